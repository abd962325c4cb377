"""Nouns of captions: what counts as a noun, what as right, and the three measures on captions worked out by hand."""

import pytest

from companion.metrics import nouns
from companion.metrics.nouns import NounCounts, noun_counts
from companion.tokenizer import ENGLISH


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("a cat on a table", {"cat", "table"}),
        ("two cats and three knives", {"cat", "knife"}),
        ("a man, a woman and their children with babies", set()),
        ("the top of a big red group of people", set()),
        ("a white and an orange one is standing behind", set()),
        ("berries in boxes near buses", {"berry", "box", "bus"}),
        ("a cat's toy", {"cat", "toy"}),
        ("a t-shirt", {"shirt"}),
        ("he does what must be done", set()),
        ("", set()),
    ],
)
def test_nouns_are_the_physical_things_of_a_caption_in_the_singular(caption, expected):
    assert nouns.nouns_in(ENGLISH.tokenize(caption)) == expected


CANDIDATES = ["a dog with two balls", "a man on a horse", "a man is running", "cats on a bed"]
REFERENCES = [
    ["the dogs play", "one puppy with a frisbee"],
    ["a cowboy rides", "people on horses"],
    ["a man runs along a beach", "running"],
    ["a sofa", "a dog"],
]
COUNTS = [NounCounts(2, 1), NounCounts(1, 1), NounCounts(0, 0), NounCounts(2, 0)]


def test_a_noun_is_right_if_a_reference_has_it_in_the_singular_or_the_plural():
    assert noun_counts(CANDIDATES, REFERENCES) == COUNTS


def test_the_measures_are_those_worked_out_by_hand():
    assert nouns.right_noun(COUNTS) == 2 / 4
    assert nouns.noun_precision(COUNTS) == 2 / 5
    assert nouns.hallucination_rate(COUNTS) == 2 / 4


def test_captions_without_a_noun_are_neither_right_nor_hallucinated():
    counts = noun_counts(["a man", ""], [["a man"], ["a boy"]])
    assert nouns.right_noun(counts) == nouns.noun_precision(counts) == nouns.hallucination_rate(counts) == 0


def test_a_person_is_never_the_right_noun():
    assert noun_counts(["a woman and a dog"], [["a woman"]]) == [NounCounts(1, 0)]


def test_every_plural_leads_to_a_noun_of_the_list():
    forms = nouns.noun_forms()
    assert {*forms.values()} <= forms.keys()
    assert forms["wolves"] == "wolf"
    assert forms["glasses"] == "glass"
    assert "wearing" not in forms
