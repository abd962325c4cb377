"""Notebooks as students hand them in, and the checks of an assignment in this process, without a box."""

import importlib.util
import io
import json
import textwrap
import zipfile
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

import torch

from companion.classroom import Expectation, Subject, assignments, checking, variants
from companion.classroom.expectations import Recorder
from companion.classroom.mistake import resolve

ROOT = Path(__file__).resolve().parents[2]
KEY = b"the key of the tests"
NOTEBOOKS = [name for name in assignments.names() if not assignments.load(name).is_project]
SLOW = "test_manhattan_of_a_thousand_queries"  # run in the box alone, where a slow answer is stopped


def load_build() -> ModuleType:
    """Return `course/build.py`, which is no part of a package."""
    spec = importlib.util.spec_from_file_location("course_build", ROOT / "course" / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def solution_cells(name: str) -> list[str]:
    """Return the code cells of an assignment with its solutions."""
    folder = ROOT / "course" / "assignments" / name.lower()
    return [cell.source for cell in load_build().source_notebook(folder).cells if cell.cell_type == "code"]


def notebook(cells: list[str], **fields: object) -> bytes:
    """Return a notebook of these code cells."""
    entries: list[dict[str, object]] = [
        {"cell_type": "code", "execution_count": None, "metadata": {}, "outputs": [], "source": source}
        for source in cells
    ]
    return json.dumps({"cells": entries, "metadata": {}, "nbformat": 4, "nbformat_minor": 4} | fields).encode()


def zipped(members: Mapping[str | zipfile.ZipInfo, bytes]) -> bytes:
    """Return a zip file of these members."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return data.getvalue()


def function(name: str, arguments: list[str], code: str, cells: list[str]) -> Subject:
    """Return a function with this body, after the cells that a student's notebook has before it."""
    namespace: dict = {}
    for cell in cells:
        exec(cell, namespace)
    exec(f"def {name}({', '.join(arguments)}):\n" + textwrap.indent(code, "    "), namespace)
    return Subject(name, namespace[name])


def run_checks(name: str, subject: Subject, **given: object) -> tuple[float, list[str]]:
    """Return the points of a function by all checks of an assignment, and the texts of what is wrong with it."""
    assignment = assignments.load(name)
    mistakes, hidden = (assignments.course_module(name, part) for part in ("mistakes", "hidden"))
    total, found = 0.0, []
    for check_name, check in (assignments.public_checks(name) | assignments.checks_of(hidden)).items():
        if assignments.function_of(check, assignment.functions) != subject.name or check_name == SLOW:
            continue
        if check_name in assignment.prints:
            expect = checking.public_expectation(assignment, check_name)
        elif subject.name in mistakes.REFERENCES:
            recorder = Recorder(mistakes.REFERENCES[subject.name], mistakes.MISTAKES[subject.name])
            expect = Expectation(recorder, assignment.functions[subject.name])
        else:
            expect = Expectation([], [])
        draw = variants.generator(KEY, name, check_name)
        sentences = checking.run_check(check, {subject.name: subject, "expect": expect, "draw": draw, **given})
        found += [sentences] if sentences else []
        total += 0 if sentences else check.points[0]  # type: ignore[attr-defined]
    return total, resolve(found)


def singling_out(bug: int, number: float) -> tuple[torch.Tensor, ...]:
    """Return an input of A2's fourth question that shows this bug and hides the six others."""
    eye, seen = torch.eye(2), torch.ones(2, 2).bool()
    query, keys, values, mask = number * eye, eye, torch.zeros(2, 1), seen
    if bug == 0:
        query, keys = torch.tensor([[number], [-number]]), torch.tensor([[1.0], [-1.0]])
    if bug == 2:
        query, keys = number * torch.eye(3), 2000 / number * torch.eye(3).roll(1, 0)
        values, mask = torch.zeros(3, 1), torch.ones(3, 3).bool()
    if bug == 3:
        keys, mask = 2 / number * eye, eye.bool()
    if bug == 4:
        query = torch.tensor([[number, 0.0], [0.0, 1.0]])
        keys, mask = torch.tensor([[420 / number, 0.0], [0.0, 140.0]]), eye.bool()
    if bug == 5:
        query = torch.tensor([[number, number], [number, -2000.0]])
    if bug == 6:
        return torch.tensor([[number]]), torch.ones(1, 1), torch.ones(1, 1), torch.ones(1, 1).bool()
    return query, keys, values, mask
