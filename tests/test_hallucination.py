"""What captions make up and leave out: mistakes by kind, CHAIR, and how far samples agree."""

import json
import math
from collections import Counter

import numpy as np
import pytest
import torch

from benchmarks import belief
from companion import checkpoints, scenes
from companion.metrics import calibration, consistency, hallucination, nouns
from companion.scenes import scene_object
from companion.vocabulary import SPECIALS, Vocabulary
from tests.helpers import small_captioner

SCENE = scenes.render_scene(
    [
        scene_object("a small red circle", 12, 12),
        scene_object("a small red circle", 12, 50),
        scene_object("a large striped blue star", 45, 30),
    ],
    seed=0,
)


@pytest.mark.parametrize(
    ("line", "made"),
    [
        ("two red circles and a blue star", {}),
        ("two small red circles are above a big striped blue star", {}),
        ("a red circle and a blue star", {"omission": 1}),
        ("there is a blue star", {"omission": 2}),
        ("two red circles and a blue cross", {"object": 1, "omission": 1}),
        ("two red circles and a green star", {"colour": 1, "omission": 1}),
        ("two red circles and two blue stars", {"number": 1}),
        ("two red circles and a blue star and a blue star", {"number": 1}),
        ("two large red circles and a blue star", {"size": 1}),
        ("two red circles and a plain blue star", {"texture": 1}),
        ("two red circles are below a blue star", {"relation": 1}),
        ("three red circles are below a blue star", {"number": 1, "relation": 1}),
        ("two red circles are left of a green star", {"colour": 1, "omission": 1}),
        ("a red circle is left of a blue star and right of a blue star", {"number": 1, "omission": 1}),
        ("a red circle is left of a red circle and a blue star", {}),
        ("a red circle is right of a blue star and left of a blue star", {"number": 1, "omission": 1}),
        ("a blue", {"grammar": 1, "omission": 3}),
    ],
)
def test_mistakes_worked_out_by_hand(line, made):
    assert hallucination.mistakes(line, SCENE) == Counter(made)


def test_relations_that_hold_of_different_objects_are_a_false_combination():
    line = "a red circle is left of a blue star and right of a red circle"
    assert not scenes.is_true(line, SCENE)
    assert hallucination.mistakes(line, SCENE) == Counter(combination=1, omission=0) + Counter()


def test_a_caption_makes_something_up_exactly_if_it_is_false_and_leaves_out_exactly_what_is_not_named():
    world = scenes.make_dataset("train", 40)
    for scene, other in zip(world, [*world[1:], world[0]], strict=True):
        for reference in scene.captions:
            assert not hallucination.mistakes(reference.text, scene)
            made = hallucination.mistakes(reference.text, other)
            assert scenes.is_true(reference.text, other) == (set(made) <= {"omission"})
            if not set(made) - {"omission"}:
                assert scenes.is_exact(reference.text, other) == (made["omission"] == 0)
        assert set(hallucination.mistakes(other.captions[0].text, scene)) <= set(hallucination.KINDS)


def test_chair_by_hand_and_as_the_noun_metrics_of_photographs():
    assert hallucination.chair([{"dog", "ball"}, {"cat"}], [{"dog"}, {"cat", "bed"}]) == (1 / 3, 1 / 2)
    lines = ["a dog with a ball", "a cat on a bed", "two horses", "a man"]
    references = [["a dog runs"], ["the cat is in bed", "a cat"], ["a horse", "a fence"], ["a woman"]]
    counts = nouns.noun_counts(lines, references)
    named = [nouns.nouns_in(line.split()) for line in lines]
    present = [nouns.nouns_in(" ".join(own).split()) for own in references]
    ours = hallucination.chair(named, present)
    assert ours.sentences == nouns.hallucination_rate(counts) == 0.25
    assert ours.instances == pytest.approx(1 - nouns.noun_precision(counts))


def test_chair_of_scenes_is_zero_for_the_references_and_not_for_those_of_other_scenes():
    world = scenes.make_dataset("train", 20)
    present = [hallucination.present_objects(scene) for scene in world]
    own = [hallucination.named_objects(scene.captions[0].text) for scene in world]
    assert own == present
    assert hallucination.chair(own, present) == (0, 0)
    assert hallucination.chair(own[1:] + own[:1], present).sentences > 0.9
    assert hallucination.named_objects("a blue") == set()


def test_facts_do_not_depend_on_the_wording():
    same = ["a small red circle is left of two stars", "to the right of a little red circle are two stars"]
    assert len({consistency.stated_facts(line) for line in same}) == 1
    assert len(consistency.stated_facts(same[0])) == 4
    assert consistency.stated_facts("a striped heart contains a cross") == consistency.stated_facts(
        "a cross is inside a striped heart"
    )
    assert not consistency.stated_facts("a blue") & consistency.stated_facts("a red")
    for other in ("a red circle is left of two stars", "a small red circle is right of two stars", "a blue"):
        assert consistency.stated_facts(other) != consistency.stated_facts(same[0])


def test_agreement_support_and_semantic_entropy_by_hand():
    assert consistency.agreement({"a", "b"}, [{"a", "b"}, {"b", "c"}, set()]) == pytest.approx((1 + 1 / 3 + 0) / 3)
    assert consistency.agreement(set(), [set()]) == 1
    assert consistency.least_support({"a", "b"}, [{"a", "b"}, {"b"}, {"c"}, set()]) == 0.25
    assert consistency.least_support(set(), [{"a"}]) == 1
    assert consistency.semantic_entropy("aabb") == pytest.approx(math.log(2))
    assert consistency.semantic_entropy("aaaa") == 0
    assert consistency.semantic_entropy("abcd") == pytest.approx(math.log(4))
    assert consistency.semantic_entropy("aaab") == pytest.approx(-(0.75 * math.log(0.75) + 0.25 * math.log(0.25)))


def test_auc_equals_a_double_loop_over_the_pairs():
    rng = np.random.default_rng(0)
    scores, right = rng.integers(6, size=80) / 5, rng.random(80) < 0.7  # with many ties
    pairs = [(a > b) + (a == b) / 2 for a in scores[right] for b in scores[~right]]
    assert calibration.auc(scores, right) == pytest.approx(float(np.mean(pairs)))
    assert calibration.auc(-scores, right) == pytest.approx(1 - float(np.mean(pairs)))
    assert calibration.auc([0.9, 0.8, 0.1], [True, True, False]) == 1
    with pytest.raises(ValueError, match="no pair"):
        calibration.auc([0.1, 0.2], [True, True])


def test_risk_and_coverage_by_hand():
    coverage, risk = calibration.risk_coverage([0.9, 0.8, 0.8, 0.1], [True, False, True, False])
    assert coverage.tolist() == [0.25, 0.75, 1.0]
    assert risk.tolist() == [0.0, pytest.approx(1 / 3), 0.5]


# --- the record -------------------------------------------------------------------------------------------------------


def test_the_record_is_complete_and_agrees_with_itself():
    record = json.loads(belief.RESULTS.read_text("utf-8"))
    assert record["weights"] == {name: checkpoints.card(name)["sha256"] for name in ("scenes", "photos")}
    for name in ("validation", "compositional", "test", "flickr8k", "everyday"):
        part = record[name]
        assert part["captions"] == belief.SCENES.get(name, part["captions"])
        assert part["best"] == max(part["signals"], key=lambda signal: part["signals"][signal]["auc"])
        for signal, row in part["signals"].items():
            assert row["interval"][0] < row["auc"] < row["interval"][1]
            assert row["minus_best"][1] >= 0 or signal != part["best"]
            assert part["curves"][signal][-1] == pytest.approx(1 - part["right"], abs=1e-4)
        assert part["words"]["right"] > part["words"]["made_up"] > 0
    for name in ("validation", "compositional", "test"):
        wrong = record[name]["captions"] * (1 - record[name]["right"])
        assert sum(v for k, v in record[name]["with_mistake"].items() if k != "omission") >= round(wrong)
    assert record["everyday"]["chosen"] == record["flickr8k"]["chosen"]


def test_the_interval_of_words_resamples_pictures_and_not_words():
    (one, *_), pictures = belief.resamples([0, 0, 0, 1]), {0: {0, 1, 2}, 1: {3}}
    assert all(set(rows) & own in (set(), own) for rows in [one.tolist()] for own in pictures.values())
    sizes = {len(rows) for rows in belief.resamples([0, 0, 0, 1])}
    assert sizes == {2, 4, 6}


def test_captions_that_say_equally_much_are_compared_with_each_other_alone():
    scores, right = np.array([3.0, 2.0, 1.0, 0.0]), np.array([True, True, False, False])
    assert belief.auc_among_equals(scores, right, np.array([1, 1, 1, 1])) == 1
    assert belief.auc_among_equals(-scores, right, np.array([1, 2, 1, 2])) == 0
    mixed = np.array([3.0, 0.0, 1.0, 2.0])  # the first pair of lengths is in order, the second is not
    assert belief.auc_among_equals(mixed, right, np.array([1, 2, 1, 2])) == 0.5
    assert math.isnan(belief.auc_among_equals(scores, right, np.array([1, 1, 2, 2])))


def test_the_threshold_is_the_lowest_with_half_the_risk_by_the_signal_with_the_largest_auc():
    right = [True] * 6 + [False, True, False, False]
    rows = [{"good": 10.0 - i, "bad": float(i % 2)} for i in range(10)]
    chosen = belief.choose(rows, right)
    assert (chosen["signal"], chosen["threshold"]) == ("good", 3.0)  # 7 of the first 8 are right: a risk of 0.125
    assert (chosen["risk_of_all"], chosen["coverage"], chosen["risk"]) == (0.3, 0.8, 0.125)
    assert chosen["risk"] < chosen["risk_at_most"] < 1
    assert chosen["risk_of_the_others"] == 1.0


def test_the_signals_of_a_caption_by_hand_and_its_words_have_its_log_probability():
    captioner = small_captioner(Vocabulary([*SPECIALS, *sorted(scenes.WORDS)])).eval()
    images = torch.zeros(2, 3, 64, 64, dtype=torch.uint8)
    grid = captioner.encode(images)
    captions = captioner.caption(grid, 1)
    cases = belief.observe(captioner, [grid], captions)
    for case in cases:
        assert len(case.samples) == belief.SAMPLES
        assert sum(case.word_log_probs) == pytest.approx(case.caption.log_probability, abs=1e-4)
        found = belief.signals(case, set)
        assert found["short"] == -len(case.caption.words)
        assert found["log-probability a word"] == pytest.approx(np.mean(case.word_log_probs), abs=1e-5)
        assert found["agreement in words"] == found["agreement in content"]
        assert found["least probable word"] <= found["log-probability a word"]
