"""What each student has for herself in A5: broken programs, and forecasts that are computed here in another way."""

import json
import math
from itertools import combinations, pairwise

import pytest
import torch

from companion.classroom import Subject, assignments, texts
from companion.classroom.sheets import Code, render, variant_of
from companion.classroom.submissions import Submission
from companion.classroom.variants import generator
from tests.classroom.helpers import KEY, ROOT, function, load_build, run_checks, solution_cells

PARTS = ("pooled", "unknown", "empty", "mixed", "sharpened")
STUDENTS = [f"student {number}" for number in range(40)]
SHEETS = {student: variant_of("A5", student, b"salt") for student in STUDENTS}
VARIANT = assignments.course_module("A5", "variant")
REFERENCES = assignments.course_module("A5", "mistakes").REFERENCES

# -- the broken programs -----------------------------------------------------------------------------------------------

FAULTS = {
    "skip_score": [
        "A pair matches as often as the candidate repeats it, however seldom the reference has it.",
        "The shortest reference is compared, not the closest in length.",
        "A pair that contains <unk> matches.",
    ],
    "error_rate": [
        "This is the mean of the captions' own rates: they are not added up first.",
        "The edits are those to the shortest reference, not to the one that needs the fewest.",
        "<unk> is taken for equal to <unk>.",
    ],
    "character_score": [
        "The spaces are counted as characters.",
        "Precision counts more than recall, or candidates and references are exchanged.",
        "The score is from 0 to 100.",
    ],
}


def points_of_program(question, bug=None):
    namespace: dict = {}
    exec(solution_cells("A5")[0], namespace)
    exec(VARIANT.program(question, bug), namespace)
    return run_checks("A5", Subject(question, namespace[question]))


@pytest.mark.parametrize("question", FAULTS)
def test_the_program_without_a_fault_earns_all_points(question):
    assert points_of_program(question) == (2, [])


@pytest.mark.parametrize(("question", "bug"), [(question, bug) for question in FAULTS for bug in range(3)])
def test_each_of_the_nine_programs_has_the_fault_that_is_named(question, bug):
    points, sentences = points_of_program(question, bug)
    assert points < 2
    assert set(sentences) == {FAULTS[question][bug]}


def test_a_sheet_shows_three_programs_without_what_is_right_in_them():
    for variant in SHEETS.values():
        programs = ["\n".join(block.lines) for block in variant.sheet() if isinstance(block, Code)]
        assert len(programs) == 3
        for text, (question, bug) in zip(programs, variant.bugs.items(), strict=True):
            right, wrong = VARIANT.BUGS[question][bug]
            assert right not in text
            assert wrong in text + "\n"
            assert max(map(len, text.splitlines())) <= 72


def test_all_nine_programs_are_drawn():
    assert len({pair for variant in SHEETS.values() for pair in variant.bugs.items()}) == 9


# -- the forecasts -----------------------------------------------------------------------------------------------------


def mean(numbers):
    return sum(numbers) / len(numbers)


def sums(v):
    """Return the matches, the pairs of candidates and those of references of all captions."""
    return [sum(row[column] for row in v.counts) for column in range(3)]


def known_pairs(v):
    """Return how many pairs of the third caption have no unknown word, by a list of them."""
    caption = ["<unk>"] * v.unknown + [f"word {i}" for i in range(v.words - v.unknown)]
    return sum("<unk>" not in pair for pair in combinations(caption, 2))


def mass(v, weights):
    return REFERENCES["on_object"](torch.tensor(weights, dtype=torch.float64)[None], v.on[None])[0].item()


def changed(v, change):
    """Return the map with each weight changed, divided by the sum of all."""
    rows = [[change(x) for x in row] for row in v.weights.tolist()]
    total = sum(map(sum, rows))
    return [[x / total for x in row] for row in rows]


def lengths(v):
    return [mean(each) for each in v.lengths]


def right(v):
    """Return the right forecasts of a sheet."""
    m, c, r = sums(v)
    words = [["word"] * n for n in v.lengths[v.empty]]
    others = sum(v.edits[k] for k in range(3) if k != v.empty)
    edits = REFERENCES["error_rate"]([[]], [words]) * lengths(v)[v.empty]
    mixed = [[(1 - v.mix) * x + v.mix / 12 for x in row] for row in v.weights.tolist()]
    return {
        "pooled": m / mean([c, r]),
        "unknown": (m - v.counts[2][0] + known_pairs(v)) / mean([c, r]),
        "empty": (others + edits) / sum(lengths(v)),
        "mixed": mass(v, mixed),
        "sharpened": mass(v, changed(v, lambda x: x * x)),
    }


def forecasts(v, **other):
    found = {"sheet": v.number} | {part: round(x, 3) for part, x in right(v).items()}
    return run_checks("A5", Subject("forecasts", lambda: found | other), variant=v)


@pytest.mark.parametrize("student", STUDENTS)
def test_the_right_forecasts_earn_all_points(student):
    assert forecasts(SHEETS[student]) == (5, [])


def wrong_forecasts(v):
    """Return typical wrong answers, each with its part and its sentence."""
    m, c, r = sums(v)
    each, k, own = [2 * a / (b + d) for a, b, d in v.counts], v.empty, v.lengths[v.empty]
    lost, before = v.counts[2][0] - known_pairs(v), mass(v, v.weights.tolist())
    others, share = sum(v.edits) - v.edits[k], v.on.double().mean().item()
    edits = [*v.edits[:k], min(own), *v.edits[k + 1 :]]
    return {
        "mean of three": ("pooled", mean(each), "This is the mean of the captions' own scores."),
        "precision": ("pooled", m / c, "The matches are divided by the candidates' pairs alone."),
        "recall": ("pooled", m / r, "The matches are divided by the references' pairs alone."),
        "not doubled": ("pooled", m / (c + r), "The matches are not doubled."),
        "no effect": ("unknown", 2 * m / (c + r), "The unknown words have no effect."),
        "candidate shrinks": (
            "unknown",
            2 * (m - lost) / (c - lost + r),
            "Pairs with <unk> are not counted among the candidate's.",
        ),
        "both shrink": ("unknown", 2 * (m - lost) / (c + r - 2 * lost), "Pairs with <unk> are not counted at all."),
        "only pairs of two": (
            "unknown",
            2 * (m - math.comb(v.unknown, 2)) / (c + r),
            "Only pairs of two unknown words are lost.",
        ),
        "twice": (
            "unknown",
            2 * (m - v.unknown * (v.words - 1)) / (c + r),
            "Pairs of two unknown words are subtracted twice.",
        ),
        "share of the words": (
            "unknown",
            2 * (m - v.counts[2][0] * v.unknown / v.words) / (c + r),
            "The share of pairs that is left is taken for that of the words.",
        ),
        "mean again": (
            "unknown",
            mean([*each[:2], known_pairs(v) / v.counts[2][0]]),
            "This is the mean of the captions' own scores.",
        ),
        "no edits": ("empty", others / sum(lengths(v)), "The empty caption has no edits."),
        "left out": ("empty", others / (sum(lengths(v)) - mean(own)), "The empty caption is left out."),
        "as before": ("empty", sum(v.edits) / sum(lengths(v)), "The empty caption keeps its old edits."),
        "mean length": (
            "empty",
            (others + mean(own)) / sum(lengths(v)),
            "The edits of the empty caption are the mean length of its references.",
        ),
        "longest": (
            "empty",
            (others + max(own)) / sum(lengths(v)),
            "The edits of the empty caption are those to its longest reference.",
        ),
        "mean of rates": (
            "empty",
            mean([a / b for a, b in zip(edits, lengths(v), strict=True)]),
            "This is the mean of the captions' own rates.",
        ),
        "not mixed": ("mixed", before, "The mixture has no effect."),
        "exchanged": ("mixed", v.mix * before + (1 - v.mix) * share, "The two shares of the mixture are exchanged."),
        "only lowered": ("mixed", (1 - v.mix) * before, "Uniform attention adds nothing on the object."),
        "only added": (
            "mixed",
            before + v.mix * share,
            "The share of uniform attention is added, and the old weights are kept.",
        ),
        "one place": (
            "mixed",
            (1 - v.mix) * before + v.mix / 12,
            "Only one place of the object gets its share of uniform attention.",
        ),
        "not sharpened": ("sharpened", before, "The map is as it was."),
        "not divided": (
            "sharpened",
            sum(x * x for x in v.weights[v.on].tolist()),
            "The squares are not divided by their sum.",
        ),
        "mass squared": ("sharpened", before**2, "The mass is squared, not the weights."),
        "both masses": (
            "sharpened",
            before**2 / (before**2 + (1 - before) ** 2),
            "The masses on and beside the object are squared, not the weights.",
        ),
        "flatter": (
            "sharpened",
            mass(v, changed(v, math.sqrt)),
            "The square root is taken: the map gets flatter.",
        ),
    }


@pytest.mark.parametrize("label", wrong_forecasts(SHEETS[STUDENTS[0]]))
def test_a_wrong_forecast_is_named_whatever_the_numbers(label):
    for variant in SHEETS.values():
        part, number, sentence = wrong_forecasts(variant)[label]
        assert forecasts(variant, **{part: round(number, 3)}) == (4, [sentence])


NOT_KNOWN = '"{part}" is not right, and it is no mistake that this check knows.'
BAD_FORECASTS = {
    "another's sheet": ({"sheet": "abcdef"}, 0, "The sheet 'abcdef' is not the one that this student was given."),
    "a text": ({"mixed": "0.5"}, 4, '"mixed" should be a number.'),
    "a list": ({"empty": [0.5]}, 4, '"empty" should be a number.'),
    "none": ({"pooled": None}, 4, '"pooled" should be a number.'),
    "a truth value": ({"pooled": True}, 4, '"pooled" should be a number.'),
    "not a number": ({"unknown": math.nan}, 4, NOT_KNOWN.format(part="unknown")),
    "infinite": ({"sharpened": math.inf}, 4, NOT_KNOWN.format(part="sharpened")),
    "zero": ({"sharpened": 0}, 4, NOT_KNOWN.format(part="sharpened")),
}


@pytest.mark.parametrize("label", BAD_FORECASTS)
def test_a_forecast_that_is_none_is_named(label):
    other, points, sentence = BAD_FORECASTS[label]
    got, sentences = forecasts(SHEETS[STUDENTS[1]], **other)
    assert (got, set(sentences)) == (points, {sentence})


@pytest.mark.parametrize("part", PARTS)
def test_percentages_are_named(part):
    for variant in SHEETS.values():
        percent = 100 * round(right(variant)[part], 3)
        assert forecasts(variant, **{part: percent}) == (4, ["This is a percentage."])


@pytest.mark.parametrize("number", [0.0, None])
def test_empty_forecasts_earn_nothing(number):
    for variant in SHEETS.values():
        points, sentences = forecasts(variant, **dict.fromkeys(PARTS, number))
        assert (points, len(set(sentences)) > 0) == (0, True)


def test_another_students_forecasts_earn_nothing():
    for student, other in pairwise(STUDENTS):
        found = {"sheet": SHEETS[student].number} | right(SHEETS[other])
        points, _ = run_checks("A5", Subject("forecasts", lambda found=found: found), variant=SHEETS[student])
        assert points <= 1


def test_two_students_differ_in_every_number_asked_for():
    made = [[round(x, 3) for x in right(v).values()] for v in SHEETS.values()]
    shared = [sum(a == b for a, b in zip(x, y, strict=True)) for x, y in combinations(made, 2)]
    assert max(shared) <= 1
    assert sum(count == 0 for count in shared) > 0.97 * len(shared)
    assert len({variant.number for variant in SHEETS.values()}) == 40


def test_the_numbers_of_a_sheet_fit_together():
    for v in SHEETS.values():
        assert v.weights.sum().item() == pytest.approx(1.0)
        assert v.words in v.lengths[2]
        assert v.edits[2] == 0
        for (matches, own, wanted), edits, each in zip(v.counts, v.edits, v.lengths, strict=True):
            assert 0 < matches <= min(own, wanted)
            assert wanted in {math.comb(n, 2) for n in each}
            candidate = next(n for n in range(20) if math.comb(n, 2) == own)
            assert edits >= min(abs(n - candidate) for n in each)


def test_a_sheet_does_not_show_the_answers_and_the_key_does():
    for v in SHEETS.values():
        sheet, key = ("".join(map(render, blocks)) for blocks in (v.sheet(), v.key()))
        answers = [f">{x:.3f}<" for x in v.answers().values()]
        assert [answer for answer in answers if answer in sheet] == []
        assert [answer for answer in answers if answer not in key] == []


# -- what earns nothing ------------------------------------------------------------------------------------------------


def test_the_untouched_notebook_earns_nothing_and_every_check_says_why():
    functions = assignments.load("A5").functions
    cells = load_build().student_notebook(ROOT / "course" / "assignments" / "a5", list(functions))
    for name, arguments in functions.items():
        points, sentences = run_checks("A5", function(name, arguments, "...", []), variant=SHEETS[STUDENTS[0]])
        assert f"def {name}(" in cells
        assert points == 0
        assert all("returned nothing (None): is it written" in text for text in sentences)


def test_hidden_inputs_change_with_the_key():
    hidden = assignments.course_module("A5", "hidden")
    drawn = [hidden.captions(generator(key, "A5", "test"), 5, 4, 9) for key in (KEY, b"another key")]
    assert drawn[0] != drawn[1]


# -- the text ----------------------------------------------------------------------------------------------------------


def with_text(*sources):
    cells = [{"cell_type": "markdown", "metadata": {}, "source": source} for source in sources]
    return json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}).encode()


TEXTS = {
    "it stands below its heading": (with_text("# A5", "Your text:\n\nHits prove nothing."), "Hits prove nothing."),
    "in lines": (with_text(["Your text:\n", "Hits ", "prove."]), "Hits prove."),
    "nothing was written": (with_text("Your text:"), ""),
    "the cell is gone": (with_text("# A5"), ""),
    "no notebook": (b"\x89PNG", ""),
    "a list": (b"[1]", ""),
}


@pytest.mark.parametrize("label", TEXTS)
def test_the_text_of_a_notebook_is_found(label, tmp_path):
    data, text = TEXTS[label]
    assert texts.written_text(Submission("ann", tmp_path / "ann.ipynb", "ann.ipynb", data)) == text


def test_the_texts_are_on_one_page_and_escaped(tmp_path):
    written = {"ben": "<script>1</script>", "ann": "Equal references\n\nand chance."}
    submissions = [
        Submission(name, tmp_path / name, f"{name}.ipynb", with_text(f"Your text:\n{text}"))
        for name, text in written.items()
    ]
    texts.write_page(tmp_path, assignments.load("A5"), submissions)
    page = (tmp_path / "a5_texts.html").read_text(encoding="utf-8")
    assert "<script" not in page
    assert page.index("<h2>ann</h2><p>Words: 4</p><p>Equal references</p>") < page.index("&lt;script&gt;")
    assert page.count("<li>") == assignments.load("A5").questions["text"]


def test_the_students_notebook_has_a_cell_for_the_text():
    data = (ROOT / "course" / "student" / "a5.ipynb").read_bytes().replace(b"Your text:", b"Your text: here")
    assert texts.written_text(Submission("ann", ROOT / "ann.ipynb", "ann.ipynb", data)) == "here"
