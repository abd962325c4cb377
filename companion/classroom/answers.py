"""Check an answer to an exercise of the book that asks for numbers. Entry point: `check_answer`.

A learner notebook calls it below such an exercise; `companion.classroom.by_hand` has the answers and the mistakes.
"""

import math
from collections.abc import Iterable
from typing import SupportsFloat

from companion.classroom.by_hand import ANSWERS, Values


def check_answer(label: str, answer: object) -> None:
    """Print whether the answer to an exercise is right, or which mistake gives it."""
    print(verdict(label, answer))


def verdict(label: str, answer: object) -> str:
    """Return a sentence on the answer to an exercise: a number, or several in a list, a tuple or a tensor.

    An `answer` that is still `...` is not answered yet; nothing that a learner enters raises an error.
    """
    _, right, mistakes, tolerance = ANSWERS[label]
    if answer is ...:
        return "Not answered yet."
    try:
        numbers = _numbers(answer)
    except (TypeError, ValueError):
        return "Enter a number." if len(right) == 1 else f"Enter {len(right)} numbers, in a list."
    if len(numbers) == len(right) and _equal(numbers, right, tolerance):
        return "Right."
    for wrong, sentence in mistakes.items():
        if _equal(numbers, wrong, tolerance):
            return f"Not yet. {sentence}"
    if len(numbers) != len(right):
        return f"Not yet. This takes {len(right)} of them, and there are {len(numbers)}."
    if len(right) == 1:
        return "Not yet, and none of the usual mistakes gives this number."
    places = [str(i) for i, pair in enumerate(zip(numbers, right, strict=True), 1) if not _near(*pair, tolerance)]
    return f"Not yet. Wrong, counted from 1: number {', '.join(places)}."


def _numbers(answer: object) -> Values:
    """Return the numbers of an answer; a tensor has `tolist`. Raises TypeError or ValueError if it has none."""
    values = answer.tolist() if hasattr(answer, "tolist") else answer
    if isinstance(values, str):
        raise TypeError("text is not a number")
    if isinstance(values, SupportsFloat):
        return (float(values),)
    if not isinstance(values, Iterable):
        raise TypeError("neither a number nor several")
    return tuple(float(value) for value in values)


def _equal(first: Values, second: Values, tolerance: float) -> bool:
    return len(first) == len(second) and all(_near(*pair, tolerance) for pair in zip(first, second, strict=True))


def _near(first: int | float, second: int | float, tolerance: float) -> bool:
    return math.isclose(first, second, rel_tol=0, abs_tol=tolerance + 1e-12)
