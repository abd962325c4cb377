"""Answers to exercises: the right one is that of the printed solution, and every mistake gets its own sentence."""

import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from companion.classroom import check_answer
from companion.classroom.answers import verdict
from companion.classroom.by_hand import ANSWERS
from tools.authoring.plain import Directive, blocks

TEXTS = sorted((Path(__file__).resolve().parents[1] / "book" / "text").glob("*.md"))
SOLUTIONS = {
    block.argument: block.body
    for path in TEXTS
    for block in blocks(path.read_text(encoding="utf-8"))
    if isinstance(block, Directive) and block.name == "solution"
}
# Solutions that give the same number in words or as a fraction, which a program does not find in their text.
IN_WORDS = {
    "ex-15-sentinel": "quarter",
    "ex-cost-by-hand": "16, four",
    "ex-data-limit": "7/8, one half",
    "ex-editing-hand": "⅔, ½",
    "ex-self-by-hand": "3⁄7, 1⁄7, 3⁄7",
    "ex-world-true": "",
}
CASES = [(label, wrong) for label, answer in ANSWERS.items() for wrong in answer.mistakes]


@pytest.mark.parametrize("label", ANSWERS)
def test_the_right_answer_is_what_the_printed_solution_says(label):
    solution = SOLUTIONS[label]
    if label in IN_WORDS:
        assert all(word in solution for word in IN_WORDS[label].split(", "))
        return
    text = solution.replace("{,}", "").replace("−", "-")
    printed = {float(number) for number in re.findall(r"-?\d+(?:[.,]\d+)?", text.replace("$", " "))}
    assert set(ANSWERS[label].right) <= printed


def average(scores: list[float], values: list[float]) -> float:
    """Return the values averaged by the softmax of the scores."""
    exponentials = [math.exp(score) for score in scores]
    return sum(e * value for e, value in zip(exponentials, values, strict=True)) / sum(exponentials)


@pytest.mark.parametrize(
    ("label", "wrong", "computed"),
    [
        ("ex-average-by-hand", 23.33, average([0, 0, 0], [10, 20, 40])),
        ("ex-average-by-hand", 24.41, sum(math.exp(s) * v for s, v in ((-1, 10), (0, 20), (-4, 40)))),
        ("ex-average-by-hand", 38.26, average([1, 0, 4], [10, 20, 40])),
        ("ex-average-by-hand", 19.35, average([-1, 0, -2], [10, 20, 40])),
        ("ex-dot-by-hand", 4.48, average([2, 0], [4, 8])),
        ("ex-dot-by-hand", 5.08, average([1, 0], [4, 8])),
        ("ex-dot-by-hand", 7.22, average([0, 2 / math.sqrt(2)], [4, 8])),
        ("ex-additive-by-hand", 0.71, 21.04 / (21.04 + 6.88 + 1.59)),
        ("ex-additive-by-hand", 0.56, 3.05 / (3.05 + 1.93 + 0.47)),
        ("ex-scoring-hand", 0.692, 9 / 13),
        ("ex-15-sentinel", 0.37, 1 / (1 + 1 + math.log(2))),
        ("ex-search-hand", 0.577, math.log10(5.5 / 1.5) * 2.2 / 2.153),
        ("ex-memories-pointer", 0.64, average([1, 3, 2, 0], [0, 1, 0, 0])),
        ("ex-memories-pointer", 0.76, average([1, 3, 1, 0], [0, 1, 0, 0])),
        ("ex-own-interval", 96, (1.96 * 0.5 / 0.10) ** 2),
        ("ex-own-interval", 1537, (1.96 * 0.5 / 0.025) ** 2),
        ("ex-real-time-percentile", 24, (8 + 40) / 2),
        ("ex-real-time-percentile", 9.5, sum([5, 5, 5, 6, 6, 6, 7, 7, 8, 40]) / 10),
    ],
)
def test_a_mistake_gives_the_number_by_which_it_is_known(label, wrong, computed):
    assert (wrong,) in ANSWERS[label].mistakes
    assert computed == pytest.approx(wrong, abs=ANSWERS[label].tolerance)


@pytest.mark.parametrize(
    ("label", "wrong", "computed"),
    [
        ("ex-patches-score", (4.6, 4.6), (math.log(99), math.log(99))),
        ("ex-patches-score", (4.14, 4.16), (math.log(63), math.log(64))),
        ("ex-vl-share", (0.877, 0.308), (64 / 73, 4 / 13)),
        ("ex-vl-share", (0.135, 0.714), (10 / 74, 10 / 14)),
        ("ex-real-time-row", (-6, 128, -38, 6), (-6, *(round(w * 2**6) for w in (2, -0.6, 0.1)))),
        ("ex-real-time-row", (-4, 32, -10, 2), (-4, *(round(w * 2**4) for w in (2, -0.6, 0.1)))),
    ],
)
def test_a_mistake_gives_the_numbers_by_which_it_is_known(label, wrong, computed):
    assert wrong in ANSWERS[label].mistakes
    assert computed == pytest.approx(wrong, abs=ANSWERS[label].tolerance)


@pytest.mark.parametrize(("scale", "wrong"), [(1, (16.58, 25.32)), (4, (20.82, 26.16))])
def test_the_mistaken_scales_of_the_better_example_give_their_contexts(scale, wrong):
    scores = [2 / scale, 2 / scale, 0]
    assert wrong in ANSWERS["ex-article-third"].mistakes
    assert (average(scores, [10, 20, 40]), average(scores, [50, 0, 30])) == pytest.approx(wrong, abs=0.01)


def test_the_fractions_in_words_are_those_numbers():
    assert ANSWERS["ex-15-sentinel"].right == (1 / 4,)
    assert ANSWERS["ex-cost-by-hand"].right == (16, 4, 4)
    assert ANSWERS["ex-data-limit"].right == (7 / 8, 1 / 2)
    assert ANSWERS["ex-editing-hand"].right == (2 / 3, 1 / 2)
    assert ANSWERS["ex-self-by-hand"].right == (3 / 7, 1 / 7, 3 / 7)


@pytest.mark.parametrize("label", ANSWERS)
def test_the_right_answer_is_right_in_every_form_and_none_is_not_answered_yet(label, capsys):
    right = ANSWERS[label].right
    forms: list[object] = [list(right), torch.tensor(right, dtype=torch.float64), np.array(right), iter(right)]
    if len(right) == 1:
        forms += [right[0], torch.tensor(right[0], dtype=torch.float64)]
    assert {verdict(label, form) for form in forms} == {"Right."}
    check_answer(label, ...)
    assert capsys.readouterr().out == "Not answered yet.\n"


@pytest.mark.parametrize(("label", "wrong"), CASES)
def test_a_mistake_is_named_by_its_own_sentence_which_does_not_give_the_answer_away(label, wrong):
    _, right, mistakes, tolerance = ANSWERS[label]
    assert verdict(label, wrong) == f"Not yet. {mistakes[wrong]}"
    others = [other for other in (right, *mistakes) if other != wrong and len(other) == len(wrong)]
    assert all(max(abs(a - b) for a, b in zip(wrong, other, strict=True)) > tolerance for other in others)
    if len(right) == 1:
        assert str(right[0]) not in mistakes[wrong]


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        ([4, 16, 5], "Not yet. Wrong, counted from 1: number 3."),
        ([4, 1, 5], "Not yet. Wrong, counted from 1: number 2, 3."),
        ([4, 16], "Not yet. This takes 3 of them, and there are 2."),
        (78, "Not yet. This takes 3 of them, and there are 1."),
        ("4, 16, 78", "Enter 3 numbers, in a list."),
        (None, "Enter 3 numbers, in a list."),
        ([None, 16, 78], "Enter 3 numbers, in a list."),
        ([], "Not yet. This takes 3 of them, and there are 0."),
        ([float("nan"), 16, 78], "Not yet. Wrong, counted from 1: number 1."),
    ],
)
def test_any_other_answer_gives_one_line_and_no_error(answer, sentence):
    assert verdict("ex-grids-by-hand", answer) == sentence


def test_a_single_number_that_no_mistake_gives_is_not_yet_right():
    assert verdict("ex-average-by-hand", 1) == "Not yet, and none of the usual mistakes gives this number."
    assert verdict("ex-average-by-hand", "a") == "Enter a number."
    assert verdict("ex-average-by-hand", 17.6) == "Right."
    assert verdict("ex-average-by-hand", 17.5) != "Right."
