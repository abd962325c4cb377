"""Ask a student about code of her own: one small change in it, what it does, and the answer for the teacher.

`mutations` makes changes; the box runs the program as it is and each changed one on the inputs of the public checks; a
question is a change that shows. Entry points: `ask` (one submission) and `ask_all` (a folder).
"""

import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from companion.classroom import assignments, checking, fence, notebooks, variants
from companion.classroom.assignments import Assignment
from companion.classroom.box import Box, Limits
from companion.classroom.expectations import UNKNOWN, Print, Subject, make_print, same
from companion.classroom.mistake import SEVERAL, Mistake
from companion.classroom.mutations import Mutation, mutations
from companion.classroom.submissions import Submission, find_submissions, ids_of, read_submission

QUESTIONS = 3
TRIES = 16  # changes that are run for one student; many do not show
LIMITS = Limits(cell_s=5.0)  # a changed program runs all cells of the notebook as one cell
SHOWN = 8  # numbers of a row in the answer
OTHER = "Other numbers, and no mistake that has a sentence of its own."

# Runs all cells once more, one of them changed, among names of their own, and takes the functions out.
PROGRAM = """
_names = {{"__name__": "changed"}}
for _cell in {cells}:
    try:
        exec(get_ipython().transform_cell(_cell), _names)
    except Exception:
        pass
for _name in {functions}:
    globals()[_name + {suffix!r}] = _names.get(_name)
"""


@dataclass(frozen=True)
class Outcome:
    """What a function makes of one public check: the prints of its answers, and the sentence of its mistake."""

    answers: list[Print]
    sentence: str | None


@dataclass(frozen=True)
class Question:
    """A question about one change, and the lines of its answer."""

    text: str
    answer: list[str]


def ask_all(name: str, path: Path, key: bytes, *, fenced: bool) -> Iterator[tuple[str, list[Question] | str]]:
    """Yield each student of a folder, or of a file, with the questions, or with the reason why there are none.

    Raises:
        ValueError: there is no such assignment, it has no function with arguments, nothing was handed in, or there is
            no fence where one is asked for.
    """
    assignment = assignments.load(name)
    if not checked_functions(assignment):
        raise ValueError(f"{assignment.name} has no function whose code could be asked about")
    if fenced:
        fence.check_fence()
    if path.is_dir():
        submissions = find_submissions(path, assignment.name)
    else:
        ids = ids_of(path, assignment.name)
        submissions = [read_submission(next(iter(ids.values())), path, assignment.name, ids)]
    for submission in submissions:
        try:
            yield submission.student, ask(assignment, submission, key, fenced=fenced)
        except (ValueError, Mistake) as error:
            yield submission.student, str(error)


def ask(assignment: Assignment, submission: Submission, key: bytes, *, fenced: bool) -> list[Question]:
    """Return up to three questions about a submission, no two about the same line; the key decides which.

    Raises:
        ValueError: the submission cannot be read, or no change in it shows.
        Mistake: the notebook ends its process again and again.
    """
    if submission.fault:
        raise ValueError(f"nothing could be read: {submission.fault}")
    cells = notebooks.read_cells(submission.data, submission.name)
    source = random.Random(variants.digest(key, "oral", assignment.name, submission.student))
    chosen = mutations(cells)
    source.shuffle(chosen)
    chosen = chosen[:TRIES]
    programs = [program(assignment, cells, mutation, number) for number, mutation in enumerate(chosen)]
    questions: dict[str, Question] = {}
    with Box([assignment.set_up, *cells, *programs], fenced=fenced, limits=LIMITS) as box:
        own = outcomes(assignment, box, "")
        for number, mutation in enumerate(chosen):
            if len(questions) < QUESTIONS and mutation.before not in questions:
                question = compare(assignment, mutation, own, outcomes(assignment, box, suffix(number)))
                questions |= {mutation.before: question} if question else {}
    if not questions:
        raise ValueError("no small change of the functions shows in the public checks")
    return list(questions.values())


def checked_functions(assignment: Assignment) -> dict[str, list[str]]:
    """Return the public checks of each function that has arguments, if they compare its answers."""
    found: dict[str, list[str]] = {}
    for check_name, check in assignments.public_checks(assignment.name).items():
        function = assignments.function_of(check, assignment.functions)
        if assignment.functions[function] and "expect" in checking.parameters(check):
            found.setdefault(function, []).append(check_name)
    return found


def suffix(number: int) -> str:
    """Return what is added to the name of a function in one changed program."""
    return f"__change{number}"


def program(assignment: Assignment, cells: Sequence[str], mutation: Mutation, number: int) -> str:
    """Return the cell that makes the functions of one changed program."""
    changed = [assignment.set_up, *cells]
    changed[mutation.cell + 1] = mutation.source
    functions = list(checked_functions(assignment))
    return PROGRAM.format(cells=json.dumps(changed), functions=json.dumps(functions), suffix=suffix(number))


def outcomes(assignment: Assignment, box: Box, ending: str) -> dict[str, Outcome]:
    """Return what the functions whose names have this ending make of the public checks, by the names of the checks."""
    found, sentences, checks = {}, {}, assignments.public_checks(assignment.name)
    for function, names in checked_functions(assignment).items():
        for name in names:
            answers: list[Print] = []
            subject = Subject(function, _recorded(box, function + ending, answers))
            given = {"expect": checking.public_expectation(assignment, name), function: subject}
            sentences[name] = checking.run_check(checks[name], given)
            found[name] = answers
    texts = checking.resolved(assignment, checks, sentences)
    plain = {name: text.replace(ending, "") if text and ending else text for name, text in texts.items()}
    return {name: Outcome(found[name], plain[name]) for name in found}


def _recorded(box: Box, name: str, answers: list[Print]) -> Callable[..., Any]:
    """Return a function of the notebook in the box that also keeps the prints of its answers."""

    def call(*arguments: Any, **named: Any) -> Any:
        value = box.call(name, arguments, named)
        try:
            answers.append(make_print(value))
        except TypeError as error:
            answers.append(str(error))
        return value

    return call


def compare(
    assignment: Assignment, mutation: Mutation, own: Mapping[str, Outcome], changed: Mapping[str, Outcome]
) -> Question | None:
    """Return the question about a change, or None if it does not show, or shows by an error alone."""
    for function, names in checked_functions(assignment).items():
        other = [name for name in names if not _same(own[name], changed[name])]
        if not any(changed[name].answers for name in other):
            continue
        text = f"In code cell {mutation.cell + 1}, the function {mutation.function} has the line\n"
        text += f"    {mutation.before}\nSuppose that it were\n    {mutation.after}\n"
        text += f"What would change in the answers of {function}?"
        if len(other) < len(names):
            text += " For which inputs would nothing change?"
        return Question(text, [*_sentences(function, own, changed, names), *_numbers(own, changed, other)])
    return None


def _same(first: Outcome, second: Outcome) -> bool:
    """Return whether two outcomes have the same answers, and both pass the check or both do not."""
    passed = (first.sentence is None) == (second.sentence is None)
    return passed and len(first.answers) == len(second.answers) and all(map(same, first.answers, second.answers))


def _sentences(
    function: str, own: Mapping[str, Outcome], changed: Mapping[str, Outcome], names: Sequence[str]
) -> list[str]:
    """Return a line for each thing that the change does to the answers, with the checks in which it does."""
    checks: dict[str, list[str]] = {}
    for name in names:
        sentence = changed[name].sentence or "Right, and it was wrong before."
        if _same(own[name], changed[name]):
            sentence = "Nothing changes."
        elif sentence in (SEVERAL, UNKNOWN.format(name=function)):
            sentence = OTHER
        checks.setdefault(sentence, []).append(assignments.readable(name))
    return [f"{sentence} ({'; '.join(labels)})" for sentence, labels in checks.items()]


def _numbers(own: Mapping[str, Outcome], changed: Mapping[str, Outcome], names: Sequence[str]) -> list[str]:
    """Return two lines with the first row of numbers that differs, in the smallest answer that shows the change."""
    pairs = [
        (name, *pair)
        for name in names
        for answers in zip(own[name].answers, changed[name].answers, strict=False)
        for pair in _parts(*answers)
        if not same(*pair)
    ]
    if not pairs:
        return []
    name, before, after = min(pairs, key=lambda pair: len(pair[1]["numbers"]))
    rows = zip(_rows(before), _rows(after), strict=True)
    first = next((pair for pair in rows if not same(*({"shape": [], "numbers": row} for row in pair))), ([], []))
    return [f"In {assignments.readable(name)}, a row is {_shown(first[0])}", f"and would be {_shown(first[1])}"]


def _parts(before: Print, after: Print) -> Iterator[tuple[Print, Print]]:
    """Yield the pairs of tensors of equal shape in two answers of the same form."""
    if isinstance(before, dict) and isinstance(after, dict) and before["shape"] == after["shape"]:
        yield before, after
    if isinstance(before, list) and isinstance(after, list):
        for pair in zip(before, after, strict=False):
            yield from _parts(*pair)


def _rows(print_: Print) -> list[list[Any]]:
    """Return the numbers of a print, cut into rows along its last axis."""
    width = max(1, (print_["shape"] or [1])[-1])
    return [print_["numbers"][start : start + width] for start in range(0, len(print_["numbers"]), width)]


def _shown(row: Sequence[Any]) -> str:
    """Return the first numbers of a row with three digits."""
    numbers = [f"{x:.3g}" if isinstance(x, float) else str(x) for x in row[:SHOWN]]
    return ", ".join(numbers) + (", ..." if len(row) > SHOWN else "")
