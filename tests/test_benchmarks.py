"""What is compared for speed gives the same result, and what is counted is counted right; no time is looked at."""

import json
import sys
from pathlib import Path

import pytest
import torch

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import growth  # noqa: E402
import measure  # noqa: E402
import pairs  # noqa: E402
import run  # noqa: E402

TINY = {
    "training": (lambda: pairs.training(2, 9, 12, 8, 20, 6), 1e-5),
    "beam_photos": (lambda: pairs.beam_photos(3), 0),
    "beam_scenes": (lambda: pairs.beam_scenes(6), 0),
    "multi_head": (lambda: pairs.multi_head(2, 3, 5, 8, 2), 1e-5),
    "scores": (lambda: pairs.scores(40), 1e-9),
}


@pytest.mark.parametrize("name", TINY)
def test_both_sides_of_a_pair_give_the_same_result(name):
    pair, tolerance = TINY[name][0](), TINY[name][1]
    for _ in range(2):  # a step of training changes what the next one starts from, on both sides alike
        assert pair.difference(pair.ours(), pair.theirs()) <= tolerance


def test_a_different_result_would_be_noticed():
    pair = TINY["scores"][0]()
    assert pair.difference(pair.ours(), [score + 1e-6 for score in pair.theirs()]) > 1e-9
    pair = TINY["beam_scenes"][0]()
    assert pair.difference(pair.ours(), pair.theirs()[::-1]) > 0


def test_the_products_and_the_functions_of_a_layer_are_counted():
    layer, x = torch.nn.Linear(5, 7), torch.randn(3, 5)
    for mode in (torch.inference_mode, torch.enable_grad):
        with mode():
            counted = measure.work(lambda: layer(x).tanh())
        assert counted.flops == 2 * 3 * 5 * 7
        assert counted.functions == 3 * 7
        assert counted.bytes == 4 * (7 + 3 * 5 + 5 * 7 + 3 * 7) + 4 * 2 * 3 * 7


def test_the_peak_is_what_is_held_at_once():
    def four_after_each_other():
        for _ in range(4):
            torch.ones(1000)

    assert measure.work(four_after_each_other).peak == 4000
    assert measure.work(lambda: [torch.ones(1000) for _ in range(4)]).peak == 16_000


def test_a_power_is_found_again():
    assert measure.exponent([1, 2, 4, 8], [3 * n**1.5 for n in (1, 2, 4, 8)]) == pytest.approx(1.5)


def test_memory_grows_with_the_places_and_only_the_transformers_with_the_words(monkeypatch):
    monkeypatch.setattr(growth, "PLACES", (16, 32, 64))
    monkeypatch.setattr(growth, "WORDS", (2, 8, 32))
    powers = {(row["decoder"], row["against"]): row["memory_exponent"] for row in growth.rows(2, 2, 32, 20, 1)}
    assert powers["LSTM", "places"] > 0.5
    assert powers["LSTM", "words"] == 0
    assert powers["transformer", "words"] > 0.1


def test_the_table_that_is_shown_is_made_of_the_results_that_are_kept():
    results = json.loads(run.RESULTS.read_text())
    assert [row["name"] for row in results["rows"][-len(run.GOALS) :]] == [goal.name for goal in run.GOALS]
    assert all(row["same"] for row in results["rows"])
    assert run.table(results) in (BENCHMARKS / "README.md").read_text(encoding="utf-8")
