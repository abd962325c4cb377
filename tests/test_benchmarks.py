"""What is compared for speed gives the same result, and what is counted is counted right; no time is tested."""

import json
import subprocess
import sys

import pytest
import torch

from benchmarks import growth, measure, mechanisms, pairs, record, run

SMALL = {
    "training": (lambda: pairs.training(2, 9, 12, hidden=8, vocab=20, words=6), 1e-5),
    "beam_photos": (lambda: pairs.beam_photos(2), 0),
    "beam_scenes": (lambda: pairs.beam_scenes(6), 0),
    "multi_head": (lambda: pairs.multi_head(2, 3, 5, hidden=8, heads=2), 1e-5),
    "scores": (lambda: pairs.scores(40), 1e-9),
}


@pytest.mark.parametrize("name", SMALL)
def test_both_sides_of_a_pair_give_the_same_result_and_another_would_be_noticed(name):
    pair, tolerance = SMALL[name][0](), SMALL[name][1]
    for _ in range(2):  # a training step changes what the next one starts from, on both sides alike
        ours, partner = pair.ours(), pair.partner()
        assert pair.difference(ours, partner) <= tolerance
    if name == "scores":
        assert pair.difference(ours, [score + 1e-6 for score in partner]) > 1e-9
    if name == "beam_scenes":
        assert pair.difference(ours, partner[::-1]) > 0


def test_the_products_and_the_functions_of_a_layer_are_counted():
    layer, x = torch.nn.Linear(5, 7), torch.randn(3, 5)
    for mode in (torch.inference_mode, torch.enable_grad):
        with mode():
            work = measure.count_work(lambda: layer(x).tanh())
        assert work.flops == 2 * 3 * 5 * 7
        assert work.functions == 3 * 7
        assert work.bytes == 4 * (7 + 3 * 5 + 5 * 7 + 3 * 7) + 4 * 2 * 3 * 7


def test_the_peak_is_what_is_allocated_at_once():
    def four_after_each_other():
        for _ in range(4):
            torch.ones(1000)

    assert measure.count_work(four_after_each_other).peak == 4000
    assert measure.count_work(lambda: [torch.ones(1000) for _ in range(4)]).peak == 16_000


def test_the_exponent_of_a_power_is_recovered():
    assert measure.exponent([1, 2, 4, 8], [3 * n**1.5 for n in (1, 2, 4, 8)]) == pytest.approx(1.5)


def test_memory_grows_with_the_places_and_only_the_transformers_with_the_words(monkeypatch):
    monkeypatch.setattr(growth, "PLACES", (16, 32, 64))
    monkeypatch.setattr(growth, "WORDS", (2, 8, 32))
    rows = growth.rows(2, 2, 32, vocab=20, turns=1)
    powers = {(row["decoder"], row["against"]): row["memory_exponent"] for row in rows}
    assert powers["LSTM", "places"] > 0.5
    assert powers["LSTM", "words"] == 0
    assert powers["transformer", "words"] > 0.1


def test_the_table_in_the_readme_is_that_of_the_stored_results():
    results = json.loads(run.RESULTS.read_text())
    assert [row["name"] for row in results["rows"][-len(run.GOALS) :]] == [goal.name for goal in run.GOALS]
    assert all(row["same"] for row in results["rows"])
    assert run.table(results) in run.RESULTS.with_name("README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", mechanisms.STUDIES)
def test_the_stored_runs_of_every_study_are_complete_and_of_the_present_settings(name):
    study, results = mechanisms.STUDIES[name], mechanisms.read_results(name)
    stored = [(r["mechanism"], r["seed"], r["lr"]) for r in results["runs"]]
    tried = [(row, study.seeds[0], rate) for row in study.rows for rate in study.rates]
    best = {row: mechanisms.best_rate(study, results["runs"], row) for row in study.rows}
    assert sorted(stored) == sorted(tried + [(row, seed, best[row]) for row in study.rows for seed in study.seeds[1:]])
    assert results["seconds"].keys() == set(study.rows)
    assert all(row in mechanisms.table(name) for row in study.rows)


def test_run_by_its_path_it_says_how_it_is_to_be_run():
    done = subprocess.run([sys.executable, run.__file__], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines() == ["run it from the root of the repository: python -m benchmarks.run"]


def test_a_part_of_a_record_is_measured_once_for_the_same_facts(tmp_path):
    path, made = tmp_path / "record.json", []
    facts = {"weights": "a", "sizes": (1, 2)}
    for weights in ("a", "a", "b"):
        results = record.read(path, facts | {"weights": weights})
        record.complete(path, results, {"one": lambda: made.append(1) or 1, "two": lambda: made.append(2) or 2})
        assert json.loads(path.read_text()) == {"weights": weights, "sizes": [1, 2], "one": 1, "two": 2}
    assert made == [1, 2, 1, 2]


def test_every_rate_is_tried_under_the_first_seed_and_the_best_one_under_the_others(monkeypatch):
    study = mechanisms.Study(rows={"a": mechanisms.Row({}), "b": mechanisms.Row({})}, seeds=(7, 8), rates=(0.1, 0.2))
    monkeypatch.setitem(mechanisms.STUDIES, "drawn_up", study)
    truth = {("a", 0.1): 0.5, ("a", 0.2): 0.4, ("b", 0.1): 0.1, ("b", 0.2): 0.3}
    stored: list[dict] = []
    monkeypatch.setattr(mechanisms, "read_results", lambda name: {"runs": stored})
    made = []
    for row, rate, seed in mechanisms.missing("drawn_up", part=0, parts=1):
        made.append((row, rate, seed))
        # Under the second seed the other rate is better; it has no say.
        stored.append(
            {"mechanism": row, "lr": rate, "seed": seed, "truth": truth[row, rate] if seed == 7 else 1 - rate}
        )
    first = [("a", 0.1, 7), ("b", 0.1, 7), ("a", 0.2, 7), ("b", 0.2, 7)]
    assert made == [*first, ("a", 0.1, 8), ("b", 0.2, 8)]
    assert list(mechanisms.missing("drawn_up", part=0, parts=1)) == []
