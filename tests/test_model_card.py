"""A card has intervals for its scores, successes and failures, and statistics of the attention weights."""

import numpy as np
import pytest
import torch

from companion import metrics, model_card, scenes, tasks
from companion.datasets import Example
from companion.decoding import Caption


def test_the_bootstrap_interval_is_that_of_the_normal_distribution_where_the_mean_is_nearly_normal():
    values = np.random.default_rng(1).normal(3.0, 2.0, 400)
    low, high = model_card.bootstrap_interval(values.tolist())
    half = 1.96 * values.std() / 20  # the square root of 400
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.15 * half)
    assert model_card.bootstrap_interval([0.25] * 30) == (0.25, 0.25)


def caption(line, weights):
    words = tuple(line.split())
    return Caption(words, -1.0, torch.stack([weights] * len(words)))


FLAT, PEAKED = torch.full((2, 2), 0.25), torch.tensor([[1.0, 0.0], [0.0, 0.0]])


def test_attention_is_described_for_each_class_of_words():
    stats = model_card.attention_stats(
        [caption("a dog running", FLAT), caption("a red ball", PEAKED)], tasks.photos.word_class
    )
    assert stats["animal"] == {"words": 1, "entropy": 1.386, "peakedness": 0.0}
    assert stats["colour"] == {"words": 1, "entropy": 0.0, "peakedness": 1.0}
    assert stats["article"] == {"words": 2, "entropy": 0.693, "peakedness": 0.5}
    assert {name: stats[name]["words"] for name in ("verb", "other")} == {"verb": 1, "other": 1}


def test_the_best_and_the_worst_photographs_are_named_and_the_interval_holds_the_score():
    true = ["a dog runs on grass", "two men play football", "a cat", "a bird flies over water", "a boy jumps", "snow"]
    dark = np.zeros((2, 2, 3), np.uint8)
    examples = [Example(f"{i}.jpg", dark, (line, f"{line} today")) for i, line in enumerate(true)]
    lines = [*true[:3], "nothing at all", *true[4:]]
    card = tasks.photos.photo_card([caption(line, FLAT) for line in lines], examples)
    assert card["failures"][0] == {"image": "3.jpg", "caption": "nothing at all", "cider_d": 0.0}
    assert "3.jpg" not in [record["image"] for record in card["successes"]]
    assert card["metrics"] == metrics.score(lines, [list(example.captions) for example in examples])
    for name, (low, high) in card["intervals"].items():
        assert low <= round(card["metrics"][name], 4) <= high


def test_scenes_are_named_by_their_seed_and_failures_have_a_reason(world):
    world = world[:30]
    weights = torch.full((8, 8), 1 / 64)
    lines = [scene.captions[0].text if i % 2 else "a red circle and a red circle" for i, scene in enumerate(world)]
    card = tasks.scenes.scene_card([caption(line, weights) for line in lines], world)
    assert len(card["successes"]) == len(card["failures"]) == model_card.EXAMPLES_SHOWN
    for record in card["failures"]:
        assert record["verdict"] == scenes.explain(record["caption"], scenes.sample_scene(record["seed"], "test"))
    assert card["intervals"]["truth"][0] < card["metrics"]["truth"] < card["intervals"]["truth"][1]
