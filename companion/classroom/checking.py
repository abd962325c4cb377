"""Run the public checks of an assignment and print one line for each. Entry points: `check` and `check_file`."""

import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from companion.classroom import assignments, notebooks
from companion.classroom.assignments import Assignment
from companion.classroom.expectations import Expectation, Subject
from companion.classroom.mistake import Mistake, resolve


def check(name: str) -> None:
    """Print the public checks of an assignment for the functions of the notebook that calls this.

    Of a project, they are for the folder that the notebook calls `project`.
    """
    assignment = assignments.load(name)
    namespace = vars(sys.modules["__main__"])
    if assignment.is_project:
        print("\n".join(check_file(name, Path(namespace.get("project", ".")))))
        return
    print("\n".join(report(assignment, lambda function: _from_namespace(namespace, function))))


def _from_namespace(namespace: dict[str, Any], name: str) -> Subject:
    """Return a function of a notebook; calling it is a mistake if it is missing."""

    def missing(*_: object, **__: object) -> None:
        raise Mistake(f"There is no function called {name}: has its cell been run?")

    return Subject(name, namespace.get(name, missing))


def check_file(name: str, path: Path) -> list[str]:
    """Return the lines of the public checks for a notebook or a Python file, which runs in a process of its own.

    Of a project, `path` is its folder, or a zip file, and nothing of it runs. It is the student's own code on the
    student's own machine, so there is no fence.

    Raises:
        ValueError: there is no such assignment, or the file is no notebook.
        OSError: the file cannot be read.
    """
    from companion.classroom.box import Box
    from companion.classroom.projects import opened

    assignment = assignments.load(name)
    if assignment.is_project:
        try:
            with opened(path, fenced=False) as project:
                return report(assignment, lambda _: project)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
    try:
        cells = notebooks.read_cells(path.read_bytes(), path.name)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    with Box([assignment.set_up, *cells], fenced=False) as box:
        return report(assignment, lambda function: boxed(box, function))


def boxed(box: Any, name: str) -> Subject:
    """Return a function of the notebook in a box."""
    return Subject(name, lambda *arguments, **named: box.call(name, arguments, named))


def report(assignment: Assignment, subject_of: Callable[[str], Any]) -> list[str]:
    """Return a line for each public check, and a last line that counts them."""
    checks = assignments.public_checks(assignment.name)
    subjects = {name: subject_of(name) for name in assignment.functions}
    found = {}
    for name, public_check in checks.items():
        given = {"expect": public_expectation(assignment, name)}
        found[name] = run_check(public_check, subjects | given)
    lines = []
    for name, text in resolved(assignment, checks, found).items():
        label = assignments.readable(name)
        lines.append(f"✗ {label}: {text}" if text else f"✓ {label}")
    passed = list(found.values()).count(None)
    return [*lines, f"{passed} of {len(checks)} public checks. The mark also counts hidden ones."]


def resolved(
    assignment: Assignment, checks: Mapping[str, assignments.Check], found: Mapping[str, Sequence[str] | None]
) -> dict[str, str | None]:
    """Return the text of each check's mistake, or None if it passed, from the sentences that the checks have found."""
    texts: dict[str, str | None] = dict.fromkeys(found)
    for function in assignment.functions:
        failed = {
            name: sentences
            for name, sentences in found.items()
            if sentences and assignments.function_of(checks[name], assignment.functions) == function
        }
        texts |= dict(zip(failed, resolve(list(failed.values())), strict=True))
    return texts


def public_expectation(assignment: Assignment, name: str) -> Expectation:
    """Return what a public check expects, from the prints that are installed."""
    function = assignments.function_of(assignments.public_checks(assignment.name)[name], assignment.functions)
    return Expectation(assignment.prints[name], assignment.functions[function])


def parameters(one_check: assignments.Check) -> list[str]:
    """Return the names of the parameters of a check."""
    return list(inspect.signature(one_check).parameters)


def run_check(one_check: assignments.Check, given: Mapping[str, Any]) -> list[str] | None:
    """Run one check with those of the values that it has parameters for.

    Returns:
        The sentences of its mistake, each in one line, or None if it passes.
    """
    try:
        one_check(**{name: given[name] for name in parameters(one_check)})
    except Mistake as mistake:
        return [" ".join(sentence.split()) for sentence in mistake.sentences]
    return None
