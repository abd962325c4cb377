"""Captions with mistakes made on purpose, the detectors that find them, and the counts of words for persons."""

import json
import math

import numpy as np
import pytest
import torch

from benchmarks import corruption, person_words
from companion import checkpoints, scenes
from companion.datasets import Example
from companion.models import build
from companion.scenes import COLOURS
from companion.tasks.scene_batches import to_examples
from companion.tasks.scene_probes import caption_log_probs
from companion.vocabulary import SPECIALS, Vocabulary

WORLD = scenes.make_dataset("train", 200)


def changed(name):
    """Return the captions of the mistake, each with its scene, that differ from the scene's own."""
    return [
        (scene, own.text, line)
        for scene, each in zip(WORLD, corruption.with_mistake(name)(WORLD), strict=True)
        for own, line in zip(scene.captions, each.captions, strict=True)
        if own.text != line
    ]


@pytest.mark.parametrize("name", corruption.MISTAKES)
def test_a_mistake_makes_a_caption_false_in_the_share_that_is_named(name):
    def can(words):
        return bool(set(words) & corruption.OPPOSITES.keys()) if name == "wrong_side" else True

    possible = sum(can(caption.words) for scene in WORLD for caption in scene.captions)
    share = len(changed(name)) / possible
    assert abs(share - corruption.SHARE) < 4 * math.sqrt(corruption.SHARE * (1 - corruption.SHARE) / possible)
    false = [not scenes.is_true(line, scene) for scene, _, line in changed(name)]
    assert np.mean(false) > 0.99


def test_wrong_colours_and_sides_change_one_word_and_its_article():
    for name, words in (("wrong_colour", set(COLOURS)), ("wrong_side", set(corruption.OPPOSITES))):
        for _, own, line in changed(name):
            pairs = [(a, b) for a, b in zip(own.split(), line.split(), strict=True) if a != b]
            assert sum(a in words and b in words for a, b in pairs) == 1
            assert all({a, b} == {"a", "an"} or a in words for a, b in pairs)
            assert " an red" not in f" {line}"
            assert " a orange" not in f" {line}"


def test_every_mistake_is_made_in_the_same_captions_again_and_again():
    (first, second) = ({own for _, own, _ in changed(name)} for name in ("wrong_colour", "shuffled"))
    assert len(first ^ second) < 0.05 * len(first)  # a shuffled caption may keep its order
    assert changed("wrong_colour") == changed("wrong_colour")


def test_one_colour_has_the_name_of_another_and_nothing_else_has_changed():
    for scene, each in zip(WORLD, corruption.same_mistake(WORLD), strict=True):
        for own, line in zip(scene.captions, each.captions, strict=True):
            assert line == own.text.replace("an orange", "a red").replace("orange", "red")


def test_the_one_annotator_names_every_object_and_nothing_else():
    for scene, each in zip(WORLD, corruption.one_annotator(WORLD), strict=True):
        (line,) = each.captions
        assert scenes.is_exact(line, scene)
        classes = {scenes.word_class(word) for word in line.split()}
        assert classes <= {"shape", "colour", "count", "other"}


def test_a_stranger_names_an_object_that_no_other_caption_names():
    lines = ["a red star", "there is one red star", "two red stars", "a blue star", "star a blue", "a star"]
    assert [corruption.stranger(lines, i) for i in range(6)] == [False, False, False, True, True, True]
    assert corruption.without_strangers(lines) == lines[:3]
    assert corruption.without_strangers(["a red star", "a blue star"]) == ["a red star", "a blue star"]


def test_cleaning_drops_wrong_captions_and_hardly_any_true_one():
    dirty, clean = corruption.with_mistake("wrong_colour")(WORLD), corruption.cleaned(WORLD)
    counts = np.array(
        [
            [sum(scenes.is_true(line, scene) is wanted for line in each.captions) for wanted in (True, False)]
            for scene, *both in zip(WORLD, dirty, clean, strict=True)
            for each in both
        ]
    )
    (true, false), (true_left, false_left) = counts[::2].sum(0), counts[1::2].sum(0)
    assert true_left > 0.98 * true
    assert false_left < 0.25 * false


def test_no_scene_is_left_without_a_caption():
    makers = [corruption.cleaned, corruption.same_mistake, corruption.one_reference, corruption.one_annotator]
    for make in makers:
        assert all(each.captions for each in make(WORLD))


def test_the_loss_of_a_caption_is_that_of_teacher_forcing():
    torch.manual_seed(0)
    vocabulary = Vocabulary([*SPECIALS, *sorted(scenes.WORDS)])
    captioner = build("scenes", vocabulary, "tiny").eval()
    mean, worst = corruption.losses(captioner, to_examples(WORLD[:3])).T
    captions = [(scene, caption) for scene in WORLD[:3] for caption in scene.captions]
    for (scene, caption), own, highest in zip(captions, mean, worst, strict=True):
        ids = torch.tensor([[vocabulary.encode(caption.text)]])
        total = -caption_log_probs(captioner, [scene], ids).item()
        assert own * (len(caption.words) + 1) == pytest.approx(total, rel=1e-4)
        assert own <= highest < total


def test_what_is_found_is_the_share_of_wrong_captions_among_as_many_of_the_highest_scores():
    scores = np.array([0.9, 0.8, 0.1, 0.7, 0.2])
    assert corruption.share_found(scores, [True, False, True, True, False]) == pytest.approx(2 / 3)
    assert corruption.share_found(scores, [False] * 5) == 0


# --- words for persons --------------------------------------------------------------------------------------------


def test_captions_are_sorted_by_the_persons_that_they_name():
    lines = ["A man and his dog .", "Two girls .", "A lady and a boy .", "Three people .", "A dog ."]
    assert [person_words.gender(line) for line in lines] == ["male", "female", "both", "neutral", "none"]
    lines = ["A man and his dog .", "A guy .", "The kid .", "Two men .", "A man and a woman .", "A dog ."]
    assert [person_words.one_person(line) for line in lines] == ["man", "man", "person", None, None, None]


def picture(*captions):
    return Example("x", np.zeros((1, 1, 3), np.uint8), captions)


def test_disagreement_counts_pairs_of_captions_that_contradict_each_other():
    examples = [
        picture("a man", "a woman", "a person"),
        picture("a man", "a man", "a boy"),
        picture("a man", "two men"),
    ]
    found = person_words.disagreement(examples)
    assert found["pictures"] == 2  # the last one has a caption of two persons
    assert (found["gender"]["pictures"], found["gender"]["pairs"]) == (1, pytest.approx(1 / 6, abs=1e-4))
    assert (found["age"]["pictures"], found["age"]["pairs"]) == (1, pytest.approx(2 / 6, abs=1e-4))
    assert found["whether to name it"]["pairs"] == pytest.approx(2 / 6, abs=1e-4)


def test_a_log_odds_ratio_is_that_of_a_hand_count(monkeypatch):
    monkeypatch.setattr(person_words, "FREQUENT", 3)
    examples = [picture(f"a man {word}") for word in ["rides"] * 30 + ["sits"] * 10]
    examples += [picture(f"a woman {word}") for word in ["rides"] * 2 + ["sits"] * 38]
    examples.append(picture("a man", "a woman rides", "a man"))  # of neither side
    found = person_words.associations(examples)
    assert found["pictures"] == {"male": 40, "female": 40}
    assert found["words"] == 3  # "a" is one of them
    rows = {row["word"]: row for row in found["rows"]}
    assert (rows["rides"]["male"], rows["rides"]["female"]) == (30, 2)
    expected = math.log(2.5 * 10.5 / (38.5 * 30.5))
    assert rows["rides"]["log_odds_ratio"] == pytest.approx(expected, abs=1e-3)
    z = 2.394  # of 0.975 with three words: 1 - 0.025 / 3
    error = math.sqrt(1 / 2.5 + 1 / 10.5 + 1 / 38.5 + 1 / 30.5)
    assert rows["rides"]["high"] - rows["rides"]["low"] == pytest.approx(2 * z * error, abs=2e-3)


def test_the_captioner_is_compared_with_people_about_the_same_photographs():
    examples = [picture("a man", "a man"), picture("a woman", "a woman"), picture("a dog", "a dog")]
    found = person_words.compare(["a boy", "a man", "a dog"] * 20, examples * 20)
    assert found["confusion"] == {"male": {"male": 20}, "female": {"male": 20}}
    assert (found["male_share"]["people"], found["male_share"]["captioner"]) == (0.5, 1.0)


def test_the_stored_counts_are_complete_and_of_the_weights_that_ship():
    stored = json.loads(person_words.RESULTS.read_text())
    assert stored["weights"] == checkpoints.card("photos")["sha256"]
    assert (stored["train"]["pictures"], stored["train"]["captions"]) == (6000, 30_000)
    for counts in stored["train"]["kinds"].values():
        at_least = [counts[f"pictures with {n}"] for n in (1, 3, 5)]
        assert at_least == sorted(at_least, reverse=True)
        assert counts["captions"] <= 5 * at_least[0]
    dev = stored["dev"]
    assert sum(dev["captioner"].values()) == dev["photographs"]
    assert sum(dev["people"].values()) == 5 * dev["photographs"]
    for row in stored["train"]["associations"]["rows"]:
        assert row["low"] < row["log_odds_ratio"] < row["high"]
        assert row["low"] * row["high"] > 0
