"""What each student has for herself in A3 and A4: right answers earn all points, and a wrong one is named."""

import math
from itertools import combinations

import pytest
import torch

from companion.classroom import Subject
from companion.classroom.sheets import variant_of
from tests.classroom.helpers import run_checks

STUDENTS = [f"student {number}" for number in range(40)]
FORECASTS = {student: variant_of("A3", student, b"salt") for student in STUDENTS}
TRAPS = {student: variant_of("A4", student, b"salt") for student in STUDENTS}

# -- the forecasts of A3 -----------------------------------------------------------------------------------------------


def softmax(scores):
    powers = [math.exp(score) for score in scores]
    return [power / sum(powers) for power in powers]


def less(scores, *inhibitions):
    """Return scores that are lowered by the sum of some inhibitions."""
    return [score - sum(numbers) for score, *numbers in zip(scores, *inhibitions, strict=True)]


def times(number, weights):
    return [number * weight for weight in weights]


def right(v):
    """Return the right forecasts of a variant, from scores whose softmax is the map on the sheet."""
    scores = [math.log(x) for x in v.weights.tolist()]
    first = softmax(scores)
    copied = softmax(scores + [scores[v.place]] * v.copies)[:4]
    second = softmax(less(scores, times(v.strength, first)))
    third = softmax(less(scores, times(v.fade * v.strength, first), times(v.strength, second)))
    return {"copied": copied, "second": second, "third": third}


def forecast(v, **other):
    found = {"sheet": v.number} | {part: [round(x, 3) for x in numbers] for part, numbers in right(v).items()}
    return run_checks("A3", Subject("forecast", lambda: found | other), variant=v)


@pytest.mark.parametrize("student", STUDENTS)
def test_the_right_forecasts_earn_all_points(student):
    assert forecast(FORECASTS[student]) == (5, [])


def wrong_forecasts(v):
    """Return typical wrong answers, each with its part and its sentence."""
    w, s, f, c, k = v.weights.tolist(), v.strength, v.fade, v.place, v.copies
    scores, second = [math.log(x) for x in w], right(v)["second"]
    nothing = [0.0] * 4
    here = [float(i == c) for i in range(4)]
    return {
        "no copies": ("copied", w, "The copies have no effect: together with them the weights sum to more than 1."),
        "shared": (
            "copied",
            [x / (1 + k * h) for x, h in zip(w, here, strict=True)],
            "The copies share the old weight of the place, and all others keep theirs.",
        ),
        "added up": (
            "copied",
            [x * (1 + k * h) / (1 + k * w[c]) for x, h in zip(w, here, strict=True)],
            "The place has the weights of its copies, too.",
        ),
        "one copy": ("copied", softmax([*scores, scores[c]])[:4], "Several copies count like one."),
        "one copy more": (
            "copied",
            softmax(scores + [scores[c]] * (k + 1))[:4],
            "The place itself is counted as one more copy.",
        ),
        "by the number of places": (
            "copied",
            times(4 / (4 + k), w),
            "All weights get smaller by the same factor, whatever the weight of the place that is copied.",
        ),
        "not inhibited": ("second", w, "The inhibition has no effect."),
        "raised": (
            "second",
            softmax(less(scores, times(-s, w))),
            "The sign is wrong: the inhibition raises the scores.",
        ),
        "no strength": ("second", softmax(less(scores, w)), "The strength has no effect."),
        "not a softmax": (
            "second",
            [math.exp(x) for x in less(scores, times(s, w))],
            "The numbers were not divided by their sum.",
        ),
        "faded at once": (
            "second",
            softmax(less(scores, times(f * s, w))),
            "The inhibition fades before it is used.",
        ),
        "from the weights": (
            "second",
            less(w, times(s, w)),
            "The inhibition is subtracted from the weights, not from the scores.",
        ),
        "as the second": ("third", second, "These are the weights of the second word."),
        "no fade": (
            "third",
            softmax(less(scores, times(s, w), times(s, second))),
            "The inhibition does not fade.",
        ),
        "newest only": ("third", softmax(less(scores, times(s, second))), "The inhibition of the first word is lost."),
        "older only": (
            "third",
            softmax(less(scores, times(f * s, w), nothing)),
            "The inhibition of the second word is missing.",
        ),
        "wrong one fades": (
            "third",
            softmax(less(scores, times(s, w), times(f * s, second))),
            "The newer inhibition fades, and the older does not.",
        ),
        "both fade": (
            "third",
            softmax(less(scores, times(f * s, w), times(f * s, second))),
            "Both words' inhibition fades.",
        ),
        "from the second map": (
            "third",
            softmax(less([math.log(x) for x in second], times(f * s, w), times(s, second))),
            "The scores of the second word are lowered once more, though they are lowered already.",
        ),
    }


@pytest.mark.parametrize("label", wrong_forecasts(FORECASTS[STUDENTS[0]]))
def test_a_wrong_forecast_is_named_whatever_the_numbers(label):
    lost = {"copied": 2, "second": 1.5, "third": 1.5}
    for variant in FORECASTS.values():
        part, numbers, sentence = wrong_forecasts(variant)[label]
        points, texts = forecast(variant, **{part: [round(x, 3) for x in numbers]})
        assert points == 5 - lost[part]
        assert len(texts) == 1
        assert sentence in texts[0].split(" Or: ")


BAD_FORECASTS = {
    "another's sheet": ({"sheet": "abcdef"}, 0, "The sheet 'abcdef' is not the one that this student was given."),
    "three numbers": ({"second": [0.1, 0.2, 0.7]}, 3.5, '"second" should be a list of four numbers.'),
    "texts": ({"third": ["a", "b", "c", "d"]}, 3.5, '"third" should be a list of four numbers.'),
    "zeros": ({"copied": [0, 0, 0, 0]}, 3, '"copied" is not right, and it is no mistake that this check knows.'),
    "not numbers": (
        {"copied": [math.nan] * 4},
        3,
        '"copied" is not right, and it is no mistake that this check knows.',
    ),
    "none": ({"second": None}, 3.5, '"second" should be a list of four numbers.'),
}


@pytest.mark.parametrize("label", BAD_FORECASTS)
def test_a_forecast_that_is_none_is_named(label):
    other, points, sentence = BAD_FORECASTS[label]
    got, texts = forecast(FORECASTS[STUDENTS[1]], **other)
    assert (got, sentence in texts) == (points, True)


@pytest.mark.parametrize("numbers", [[0.0] * 4, None])
def test_empty_forecasts_earn_nothing(numbers):
    points, texts = forecast(FORECASTS[STUDENTS[0]], copied=numbers, second=numbers, third=numbers)
    assert points == 0
    assert texts


def test_percentages_are_named():
    variant = FORECASTS[STUDENTS[2]]
    points, texts = forecast(variant, copied=[100 * round(x, 3) for x in right(variant)["copied"]])
    assert (points, texts) == (3, ["These are percentages."])


def test_no_two_of_forty_students_share_more_than_a_few_forecasts():
    made = [[round(x, 3) for part in right(v).values() for x in part] for v in FORECASTS.values()]
    shared = [sum(a == b for a, b in zip(x, y, strict=True)) for x, y in combinations(made, 2)]
    assert max(shared) <= 5
    assert sum(count == 0 for count in shared) > 0.9 * len(shared)
    assert len({variant.number for variant in FORECASTS.values()}) == 40


# -- the traps of A4 ---------------------------------------------------------------------------------------------------

QUICK = [0.0, 0.94, 0.015, 0.015, 0.015, 0.015]  # nearly certain to end
SLOW = [0.0, 0.01, 0.2475, 0.2475, 0.2475, 0.2475]
OTHERS = {word: [other for other in range(2, 6) if other != word] for word in range(2, 6)}


def model(first, rows, otherwise):
    """Return a table with these probabilities of the first words, and these rows of some words."""
    table = torch.tensor([[0.0] * 6, [0.0] * 6, *(rows.get(word, otherwise) for word in range(2, 6))])
    for word, p in first.items():
        table[0, word] = p
    return table


def greedy_trap(v, slow=SLOW):
    """Return a table in which the own word is the likeliest first one, and another ends at once."""
    p, (one, two, three) = v.probabilities[0], OTHERS[v.word]
    second = min(0.97 * p, 0.95 * (1 - p))
    rest = (1 - p - second) / 2
    return model({v.word: p, one: second, two: rest, three: rest}, {v.word: slow}, QUICK)


def two_trap(v, rest=0.0):
    """Return a table in which the own word is the third likeliest first one, and the only one that ends at once."""
    p, (one, two, three) = v.probabilities[1], OTHERS[v.word]
    return model(
        {v.word: p, one: 0.51 * (1 - p - rest), two: 0.49 * (1 - p - rest), three: rest}, {v.word: QUICK}, SLOW
    )


def traps(v, **other):
    found = {"sheet": v.number, "greedy": greedy_trap(v), "two": two_trap(v)}
    return run_checks("A4", Subject("traps", lambda: found | other), variant=v)


@pytest.mark.parametrize("student", STUDENTS[:12])
def test_every_student_can_set_the_traps(student):
    assert traps(TRAPS[student]) == (5, [])


@pytest.mark.parametrize("table", [torch.zeros(6, 6), None])
def test_empty_traps_earn_nothing(table):
    points, texts = traps(TRAPS[STUDENTS[0]], greedy=table, two=table)
    assert points == 0
    assert texts


def test_the_most_extreme_probabilities_allow_a_trap_too():
    make = type(TRAPS[STUDENTS[0]])
    for word in (2, 5):
        for probabilities in ((0.4, 0.22), (0.599, 0.299)):
            assert traps(make("s", word, probabilities)) == (5, [])


def test_no_two_of_forty_students_have_the_same_traps():
    made = {(v.word, v.probabilities) for v in TRAPS.values()}
    assert len(made) == 40
    assert len({v.number for v in TRAPS.values()}) == 40


V = next(v for v in TRAPS.values() if v.probabilities[1] < 0.24)
OTHER, THIRD, _ = OTHERS[V.word]
FIRST, SECOND = V.probabilities
NEARLY = 0.94 / 1.1 * greedy_trap(V)[0, OTHER].item() / FIRST  # the other caption is 1.1 times as probable
NEIGHBOUR = type(V)(V.number, V.word, (FIRST - 0.01, SECOND + 0.01))


def edited(table, *cells):
    for row, column, value in cells:
        table[row, column] = value
    return table


BAD_TRAPS = {
    "another's sheet": ({"sheet": "abcdef"}, "The sheet 'abcdef' is not the one that this student was given."),
    "a list": ({"greedy": greedy_trap(V).tolist()}, '"greedy" should be a tensor of 6 rows and 6 columns.'),
    "five rows": ({"two": two_trap(V)[:5]}, '"two" should be a tensor of 6 rows and 6 columns.'),
    "logarithms": (
        {"greedy": greedy_trap(V).log()},
        '"greedy" holds numbers that are no probabilities: infinite ones, or smaller than 0.',
    ),
    "start again": ({"greedy": edited(greedy_trap(V), (2, 0, 0.1))}, 'In "greedy", a word is followed by <start>.'),
    "after the end": ({"two": edited(two_trap(V), (1, 2, 1.0))}, 'In "two", the row of <end> is not 0.'),
    "a sum": (
        {"two": edited(two_trap(V), (0, V.word, 0.9))},
        f'In "two", row 0 sums to {1.9 - SECOND:.3f}, not to 1.',
    ),
    "no end": (
        {"two": edited(two_trap(V), (OTHER, 1, 0.0), (OTHER, 2, 0.2575))},
        'In "two", a word is followed by <end> with a probability below 0.01.',
    ),
    "another's number": (
        {"greedy": greedy_trap(NEIGHBOUR)},
        f'In "greedy", the word of the sheet does not have its probability, {FIRST:.3f}.',
    ),
    "another's second number": (
        {"two": two_trap(NEIGHBOUR)},
        f'In "two", the word of the sheet does not have its probability, {SECOND:.3f}.',
    ),
    "another's word": (
        {"greedy": greedy_trap(type(V)(V.number, OTHER, V.probabilities))},
        f'In "greedy", the greedy caption begins with {OTHER}, not with {V.word}, the word of the sheet.',
    ),
    "another's second word": (
        {"two": two_trap(type(V)(V.number, OTHER, V.probabilities))},
        f'In "two", the most probable caption begins with {OTHER}, not with {V.word}, the word of the sheet.',
    ),
    "greedy is right": (
        {"greedy": greedy_trap(V, slow=QUICK)},
        'In "greedy", greedy search finds the most probable of all captions.',
    ),
    "greedy is nearly right": (
        {"greedy": greedy_trap(V, slow=[0.0, NEARLY, *[(1 - NEARLY) / 4] * 4])},
        'In "greedy", greedy search finds a caption that is nearly as probable as the best.',
    ),
    "two are too few": (
        {"greedy": model({V.word: FIRST, OTHER: 0.51 * (1 - FIRST), THIRD: 0.49 * (1 - FIRST)}, {THIRD: QUICK}, SLOW)},
        'In "greedy", a beam of width 2 does not find the most probable of all captions.',
    ),
    "two find it": (
        {"two": model({V.word: SECOND, OTHER: 1 - SECOND}, {V.word: QUICK}, SLOW)},
        'In "two", a beam of width 2 finds the most probable of all captions.',
    ),
    "three miss it": (
        {"two": two_trap(V, rest=(1 - SECOND) / 3)},
        'In "two", a beam of width 3 does not find the most probable of all captions.',
    ),
}


@pytest.mark.parametrize("label", BAD_TRAPS)
def test_a_trap_that_is_none_is_named(label):
    other, sentence = BAD_TRAPS[label]
    points, texts = traps(V, **other)
    assert (points, set(texts)) == (0 if "sheet" in other else 2.5, {sentence})
