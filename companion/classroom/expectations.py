"""Compare an answer with the right one, and name the mistake that gives just this answer.

A reference function has keyword arguments ("knobs") that turn it into the functions of typical mistakes, each with its
sentence. All of them are called with the arguments of a check, and what they return is kept as prints: shapes, and
numbers rounded to four digits. Public checks carry their prints in a file, so that they do not contain the solution;
hidden checks make theirs while they run. Entry points: `Recorder` (makes prints) and `Expectation` (uses them).
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch

from companion.classroom.mistake import BoxError, Mistake

DIGITS = 4
PRINTED = 4000  # of a larger tensor, no more numbers than these are compared, evenly spaced
TOLERANCE = 1e-3  # of the larger of 1 and the number itself: wider than the rounding of a print
UNKNOWN = "The answer of {name} is not the right one, and it is not that of a mistake that this check knows."
ZEROS = "All numbers of the answer are 0."

Print = Any  # JSON: {"shape", "numbers"} of a tensor or a number, a list of prints, or a plain value


class Subject:
    """A student's function with its name, and what earlier checks have shown of it.

    `visible` has a function for each right answer, which returns the sentences of the mistakes that would have been
    seen in that answer, and so are not made.
    """

    def __init__(self, name: str, function: Callable[..., Any]):
        self.name = name
        self.function = function
        self.visible: list[Callable[[], Iterable[str]]] = []

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Return the answer. Raises Mistake if the function raises, or returns None."""
        try:
            value = self.function(*arguments, **named)
        except (Mistake, BoxError):
            raise
        except Exception as error:
            raise Mistake(f"{self.name} raised {type(error).__name__}: {str(error)[:300]}") from None
        if value is None:
            raise Mistake(f"{self.name} returned nothing (None): is it written, and does it end in `return`?")
        return value


def make_print(value: Any) -> Print:
    """Return the print of a value. Raises TypeError if it holds anything but numbers, text and collections."""
    if isinstance(value, torch.Tensor):
        numbers = value.detach().flatten()[:: 1 + value.numel() // PRINTED].double()
        if numbers.isfinite().all():
            rounded: list[Any] = (numbers.round(decimals=DIGITS) + 0.0).tolist()
        else:
            rounded = [_rounded(x) for x in numbers.tolist()]
        return {"shape": list(value.shape), "numbers": rounded}
    if type(value) in (bool, int, float):
        return {"shape": [], "numbers": [_rounded(float(value))]}
    if value is None or type(value) is str:
        return value
    if isinstance(value, list | tuple):
        return [make_print(part) for part in value]
    if type(value) is dict:
        return [[str(key), make_print(value[key])] for key in sorted(value, key=str)]
    raise TypeError(f"a {type(value).__name__}")


def _rounded(number: float) -> float | str:
    """Return a number as it stands in a print; JSON has none for infinity and NaN, and minus zero is zero."""
    return round(number, DIGITS) + 0.0 if math.isfinite(number) else str(number)


def same(first: Print, second: Print) -> bool:
    """Return whether two prints are those of the same value, within the tolerance."""
    if isinstance(first, list) and isinstance(second, list):
        return len(first) == len(second) and all(map(same, first, second))
    if isinstance(first, dict) and isinstance(second, dict):
        return first["shape"] == second["shape"] and all(map(_close, first["numbers"], second["numbers"]))
    return type(first) is type(second) and first == second


def _close(first: float | str, second: float | str) -> bool:
    if isinstance(first, str) or isinstance(second, str):
        return first == second
    return abs(first - second) <= TOLERANCE * max(1.0, abs(second))


class Recorder:
    """Make the prints of the calls of one check: of the right answer, and of each mistake with its sentence.

    Args:
        reference: the right function, with knobs.
        mistakes: the knobs of each mistake by its sentence.
    """

    def __init__(self, reference: Callable[..., Any], mistakes: Mapping[str, Mapping[str, Any]]):
        self.reference = reference
        self.mistakes = mistakes
        self.calls: list[dict[str, Any]] = []

    def __call__(self, subject: Any, *arguments: Any, **named: Any) -> Any:
        """Record one call and return the right answer. `subject` may be anything: it is not called."""
        right = self.right(arguments, named)
        self.calls.append({"right": make_print(right), "mistakes": self.wrong(arguments, named)})
        return right

    def right(self, arguments: Sequence[Any], named: Mapping[str, Any]) -> Any:
        """Return the right answer."""
        return self.reference(*_copy(list(arguments)), **_copy(dict(named)))

    def wrong(self, arguments: Sequence[Any], named: Mapping[str, Any]) -> dict[str, Print]:
        """Return, by its sentence, the print of each mistake that is visible with these arguments."""
        right = make_print(self.right(arguments, named))
        prints = {} if _is_zero(right) else {ZEROS: _zeroed(right)}
        for sentence, knobs in self.mistakes.items():
            try:
                wrong = make_print(self.reference(*_copy(list(arguments)), **_copy(dict(named)), **knobs))
            except Exception:  # such a mistake raises here, and a student's function will, too
                continue
            if not same(wrong, right):
                prints[sentence] = wrong
        return prints


class Expectation:
    """Compare the calls of one check with their prints, in order.

    Args:
        calls: the prints of each call, or a Recorder that makes them when they are needed.
        argument_names: of the function, for sentences about them.
    """

    def __init__(self, calls: list[dict[str, Any]] | Recorder, argument_names: list[str]):
        self.recorder = calls if isinstance(calls, Recorder) else None
        self.prints: Iterator[dict[str, Any]] = iter([] if isinstance(calls, Recorder) else calls)
        self.argument_names = argument_names

    def __call__(self, subject: Subject, *arguments: Any, **named: Any) -> Any:
        """Return the student's answer if it is right and no argument was changed.

        Raises:
            Mistake: it is not, with the sentence of the mistake if it is a known one.
        """
        prints = {"right": make_print(self.recorder.right(arguments, named))} if self.recorder else next(self.prints)
        given, given_named = _copy(list(arguments)), _copy(named)
        answer = subject(*given, **given_named)
        try:
            own = make_print(answer)
        except TypeError as error:
            raise Mistake(f"{subject.name} returned {error} where numbers and tensors were expected.") from None
        recorder = self.recorder

        def mistakes() -> dict[str, Print]:
            return recorder.wrong(arguments, named) if recorder else prints["mistakes"]

        if not same(own, prints["right"]):
            raise Mistake(*describe(subject, own, prints["right"], mistakes()))
        subject.visible.append(mistakes)
        labels = [*self.argument_names, *named]
        pairs = zip([*arguments, *named.values()], [*given, *given_named.values()], strict=True)
        for label, (before, after) in zip(labels, pairs, strict=False):
            if not same(make_print(before), make_print(after)):
                raise Mistake(f"{subject.name} changes its argument {label}.")
        return answer


def describe(subject: Subject, own: Print, right: Print, mistakes: Mapping[str, Print]) -> list[str]:
    """Return the sentences of the mistakes that give this answer, or one about its form, or that it is not known.

    Of several mistakes that give it, those count that no earlier check has ruled out.
    """
    sentences = [sentence for sentence, wrong in mistakes.items() if same(own, wrong)]
    if len(sentences) > 1:
        ruled_out = {sentence for visible in subject.visible for sentence in visible()}
        sentences = [sentence for sentence in sentences if sentence not in ruled_out] or sentences
    if sentences:
        return sentences
    form, expected = _form(own), _form(right)
    if form != expected:
        return [f"{subject.name} should return {expected}, and it returns {form}."]
    if any(isinstance(number, str) for number in _numbers(own)):
        return [f"The answer of {subject.name} holds numbers that are not finite (inf or nan)."]
    return [UNKNOWN.format(name=subject.name)]


def _is_zero(print_: Print) -> bool:
    """Return whether a print has numbers, and all of them are 0."""
    return set(_numbers(print_)) == {0.0}


def _zeroed(print_: Print) -> Print:
    """Return a print with 0 in place of every number."""
    if isinstance(print_, dict):
        return {"shape": print_["shape"], "numbers": [0.0] * len(print_["numbers"])}
    return [_zeroed(part) for part in print_] if isinstance(print_, list) else print_


def _form(print_: Print) -> str:
    """Return in words what kind of value a print is of."""
    if isinstance(print_, dict):
        return f"a tensor of the shape {tuple(print_['shape'])}" if print_["shape"] else "a number"
    if isinstance(print_, list):
        return f"{len(print_)} values ({', '.join(map(_form, print_))})"
    return "nothing (None)" if print_ is None else "a text"


def _numbers(print_: Print) -> list[float | str]:
    """Return all numbers of a print."""
    if isinstance(print_, dict):
        return list(print_["numbers"])
    return [number for part in print_ for number in _numbers(part)] if isinstance(print_, list) else []


def _copy(value: Any) -> Any:
    """Return a copy of a value; a tensor keeps its strides."""
    if isinstance(value, torch.Tensor):
        return torch.empty_strided(value.shape, value.stride(), dtype=value.dtype).copy_(value)
    if isinstance(value, list):
        return [_copy(part) for part in value]
    return {key: _copy(part) for key, part in value.items()} if isinstance(value, dict) else value
