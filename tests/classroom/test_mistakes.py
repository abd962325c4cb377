"""Every typical wrong answer is caught by the checks and named by its own sentence; the right one earns all points."""

import json
from pathlib import Path

import pytest
import torch

from companion.classroom import Subject, assignments
from companion.classroom.expectations import UNKNOWN
from companion.classroom.mistake import SEVERAL
from companion.classroom.sheets import variant_of
from tests.classroom.helpers import NOTEBOOKS, SLOW, function, run_checks, singling_out, solution_cells

WRONG = json.loads((Path(__file__).parent / "wrong_answers.json").read_text(encoding="utf-8"))
TABLE = [
    (name, question, label)
    for name, questions in WRONG.items()
    for question, answers in questions.items()
    for label in answers
    if label != "the slow one"  # test_grading.py runs it in a box, which stops it
]
CELLS = {name: solution_cells(name)[:-1] for name in NOTEBOOKS}  # all but the check
CRASH = " raised "


@pytest.mark.parametrize(("name", "question", "label"), TABLE)
def test_a_wrong_answer_is_caught_and_named(name, question, label):
    """The sentence is given, and no other: what a check cannot tell it says it cannot."""
    assignment = assignments.load(name)
    answer = WRONG[name][question][label]
    subject = function(question, assignment.functions[question], "\n".join(answer["code"]), CELLS[name])
    points, texts = run_checks(name, subject)
    assert answer["sentence"] in texts
    assert points < assignment.questions[question]
    named = {text for text in texts if CRASH not in text and text not in (SEVERAL, UNKNOWN.format(name=question))}
    assert {text for text in named if "not finite" not in text} == {answer["sentence"]}
    if label in ("zeros", "none"):
        assert points == 0


@pytest.mark.parametrize(("name", "question"), sorted({row[:2] for row in TABLE}))
def test_a_question_has_at_least_eight_wrong_answers_with_sentences_of_their_own(name, question):
    assert len({answer["sentence"] for answer in WRONG[name][question].values()}) >= 8


def checked_questions():
    return [(name, question) for name in NOTEBOOKS for question in assignments.load(name).functions]


@pytest.mark.parametrize(("name", "question"), checked_questions())
def test_the_solution_earns_all_points(name, question):
    namespace: dict = {}
    for cell in CELLS[name]:
        exec(cell, namespace)
    points, texts = run_checks(name, Subject(question, namespace[question]), variant=variant_of(name, "example", b""))
    hidden = assignments.course_module(name, "hidden")
    slow = getattr(hidden, SLOW).points[0] if question == "manhattan" else 0
    assert (points, texts) == (assignments.load(name).questions[question] - slow, [])


@pytest.mark.parametrize("name", assignments.names())
def test_the_points_of_the_checks_add_up_to_those_of_the_questions(name):
    assignment = assignments.load(name)
    hidden = assignments.checks_of(assignments.course_module(name, "hidden"))
    sums = dict.fromkeys(assignment.questions, 0.0)
    for check in (assignments.public_checks(name) | hidden).values():
        points, question = check.points
        sums[question] += points
    assert {k: v for k, v in sums.items() if v} == {
        k: v for k, v in assignment.questions.items() if k not in assignment.by_teacher
    }


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_sentence_says_what_is_wrong_and_not_how_to_mend_it(name):
    sentences = [s for table in assignments.course_module(name, "mistakes").MISTAKES.values() for s in table]
    assert all(sentence.endswith(".") for sentence in sentences)
    assert [s for s in sentences if any(word in s.lower() for word in ("instead", "should", "use ", "try "))] == []


# -- the program with a bug --------------------------------------------------------------------------------------------


def students_by_bug():
    """Return a student for each of the seven bugs."""
    students = {}
    for number in range(60):
        students.setdefault(variant_of("A2", f"student {number}", b"salt").bug, f"student {number}")
    return students


STUDENTS = students_by_bug()


def finding(variant, **other):
    found = {"sheet": variant.number, "line": variant.line}
    found["inputs"] = singling_out(variant.bug, variant.own_number)
    return run_checks("A2", Subject("finding", lambda: found | other), variant=variant)


@pytest.mark.parametrize("bug", range(7))
def test_every_bug_can_be_singled_out(bug):
    assert finding(variant_of("A2", STUDENTS[bug], b"salt")) == (8, [])


def changed(number, entry):
    inputs = list(singling_out(6, 2.0))
    inputs[number] = entry
    return tuple(inputs)


BAD_FINDINGS = {
    "another's sheet": ({"sheet": "abcdef"}, 0, "The sheet 'abcdef' is not the one that this student was given."),
    "the line as a text": ({"line": "6"}, 5, '"line" should be an integer.'),
    "the first line": ({"line": 1}, 5, "Line 1 of the program is right."),
    "a line below the program": ({"line": 99}, 5, "There is no code in line 99."),
    "three tensors": (
        {"inputs": singling_out(6, 2.0)[:3]},
        3,
        '"inputs" should be a tuple of four tensors: query, keys, values and mask.',
    ),
    "a mask of numbers": (
        {"inputs": changed(3, torch.ones(1, 1))},
        3,
        "The mask should be boolean, not torch.float32.",
    ),
    "a nan": (
        {"inputs": changed(2, torch.tensor([[torch.nan]]))},
        3,
        "The numbers of the input should be finite, and none larger than 10,000.",
    ),
    "a hidden row": (
        {"inputs": changed(3, torch.zeros(1, 1).bool())},
        3,
        "Each query should see at least one place.",
    ),
    "sizes": (
        {"inputs": changed(1, torch.ones(2, 1))},
        3,
        "The sizes of query, keys, values and mask do not fit together.",
    ),
    "too long": (
        {"inputs": changed(2, torch.ones(1, 13))},
        3,
        "Each of the four tensors should have two axes, none longer than 12.",
    ),
    "another's number": (
        {"inputs": singling_out(6, 99.0)},
        3,
        "The entry query[0, 0] should be {number}, the number of the sheet.",
    ),
    "nothing is shown": (
        {"inputs": "bug 3"},
        3,
        "With this input the program of the sheet gives the right result.",
    ),
    "others are shown, too": (
        {"inputs": "random"},
        5,
        "With this input {others} of 6 other wrong programs differ, too.",
    ),
}


@pytest.mark.parametrize("label", BAD_FINDINGS)
def test_a_finding_that_is_none_is_named(label):
    variant = variant_of("A2", STUDENTS[6], b"salt")
    other, points, sentence = BAD_FINDINGS[label]
    if other.get("inputs") == "bug 3":
        other = {"inputs": singling_out(3, variant.own_number)}
    elif other.get("inputs") == "random":
        query, keys, values = torch.randn(3, 3, 2, generator=torch.Generator().manual_seed(1))
        query[0, 0] = variant.own_number
        query[2], keys[0] = torch.tensor([0.0, -200.0]), torch.tensor([1.0, 3.0])
        mask = torch.tensor([[True, True, False], [True, True, True], [True, False, True]])
        other = {"inputs": (query, keys, values, mask)}
    elif "inputs" in other and label != "another's number":
        inputs = list(other["inputs"])
        inputs[0] = torch.tensor([[variant.own_number]])
        other = {"inputs": tuple(inputs)}
    inputs = other.get("inputs")
    others = sum(variant.differs(bug, inputs) for bug in range(6)) if label == "others are shown, too" else 0
    got, texts = finding(variant, **other)
    assert (got, set(texts)) == (points, {sentence.format(number=variant.own_number, others=others)})
