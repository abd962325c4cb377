"""A card tells how sure its numbers are, what the model can and cannot do, and how widely it looks."""

import numpy as np
import pytest
import torch

from companion import cards, metrics, scenes
from companion.datasets import Example
from companion.decoding import Caption


def test_an_interval_is_that_of_the_normal_distribution_where_the_mean_is_nearly_normal():
    values = np.random.default_rng(1).normal(3.0, 2.0, 400)
    low, high = cards.interval(values.tolist())
    half = 1.96 * values.std() / 20  # the square root of 400
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.15 * half)
    assert cards.interval([0.25] * 30) == (0.25, 0.25)


def caption(line, weights):
    words = tuple(line.split())
    return Caption(words, -1.0, torch.stack([weights] * len(words)))


FLAT, SHARP = torch.full((2, 2), 0.25), torch.tensor([[1.0, 0.0], [0.0, 0.0]])


def test_looks_are_told_for_each_class_of_words():
    found = cards.looks([caption("a dog running", FLAT), caption("a red ball", SHARP)], cards.photo_word_class)
    assert found["animal"] == {"words": 1, "entropy": 1.386, "peakedness": 0.0}
    assert found["colour"] == {"words": 1, "entropy": 0.0, "peakedness": 1.0}
    assert found["article"] == {"words": 2, "entropy": 0.693, "peakedness": 0.5}
    assert {name: found[name]["words"] for name in ("verb", "other")} == {"verb": 1, "other": 1}


def test_the_best_and_the_worst_photographs_are_named_and_the_interval_holds_the_score():
    said = ["a dog runs on grass", "two men play football", "a cat", "a bird flies over water", "a boy jumps", "snow"]
    dark = np.zeros((2, 2, 3), np.uint8)
    examples = [Example(f"{i}.jpg", dark, (line, f"{line} today")) for i, line in enumerate(said)]
    lines = [*said[:3], "nothing at all", *said[4:]]
    about = cards.of_photos([caption(line, FLAT) for line in lines], examples)
    assert about["failures"][0] == {"image": "3.jpg", "caption": "nothing at all", "cider_d": 0.0}
    assert "3.jpg" not in [record["image"] for record in about["successes"]]
    assert about["metrics"] == metrics.score(lines, [list(example.captions) for example in examples])
    for name, (low, high) in about["intervals"].items():
        assert low <= round(about["metrics"][name], 4) <= high


def test_scenes_are_named_by_seed_and_failures_say_why():
    drawn = scenes.make("test", 30)
    weights = torch.full((8, 8), 1 / 64)
    lines = [scene.captions[0].text if i % 2 else "a red circle and a red circle" for i, scene in enumerate(drawn)]
    about = cards.of_scenes([caption(line, weights) for line in lines], drawn)
    assert len(about["successes"]) == len(about["failures"]) == cards.SHOWN
    for record in about["failures"]:
        assert record["verdict"] == scenes.explain(record["caption"], scenes.draw(record["seed"], "test"))
    assert about["intervals"]["truth"][0] < about["metrics"]["truth"] < about["intervals"]["truth"][1]
