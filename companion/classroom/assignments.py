"""What an assignment consists of: its description and public checks, which are installed, and what the clone adds.

An assignment A2 has its public checks in `public/a2.py`; `course/build.py` writes `public/a2.json`, the rest.
Hidden checks, mistakes and variants lie in `course/assignments` of a clone alone, outside what a student's code sees.
Entry points: `load`, `public_checks`, `course_folder` and `course_module`.
"""

import importlib
import importlib.util
import inspect
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

PUBLIC = Path(__file__).parent / "public"
COURSE = Path(__file__).resolve().parents[2] / "course" / "assignments"
Check = Callable[..., None]
F = TypeVar("F", bound=Check)


def points(number: int | float, question: str) -> Callable[[F], F]:
    """Mark a check with its points, and the question of the assignment to which they count."""

    def mark(check: F) -> F:
        check.points = (number, question)  # type: ignore[attr-defined]
        return check

    return mark


@dataclass(frozen=True)
class Assignment:
    """The description of an assignment, as `about.toml` and the public checks give it.

    `questions` has the points of each; the teacher enters those of `by_teacher`. `functions` has the names of the
    arguments of each function that a student writes. `prints` has, for each public check, the prints of its calls.
    """

    name: str
    title: str
    set_up: str
    questions: dict[str, float]
    by_teacher: list[str]
    functions: dict[str, list[str]]
    prints: dict[str, list[dict[str, Any]]]

    @property
    def is_project(self) -> bool:
        """Whether a folder is handed in (`projects`), and not a notebook with functions."""
        return "project" in self.functions

    @property
    def key(self) -> str:
        """The name in lower case, as in file names."""
        return self.name.lower()


def names() -> list[str]:
    """Return the names of all assignments."""
    return sorted(path.stem.upper() for path in PUBLIC.glob("*.json"))


@cache
def load(name: str) -> Assignment:
    """Return an assignment by its name, in any case. Raises ValueError if there is none."""
    if name.upper() not in names():
        raise ValueError(f"there is no assignment {name!r}; there are {', '.join(names())}")
    return Assignment(**json.loads((PUBLIC / f"{name.lower()}.json").read_text(encoding="utf-8")))


def checks_of(module: ModuleType) -> dict[str, Check]:
    """Return the checks in a module by their names, in the order in which they are written."""
    return {name: value for name, value in vars(module).items() if name.startswith("test_") and callable(value)}


def public_checks(name: str) -> dict[str, Check]:
    """Return the public checks of an assignment by their names."""
    return checks_of(importlib.import_module(f"companion.classroom.public.{name.lower()}"))


def readable(check_name: str) -> str:
    """Return the name of a check as it is printed: `test_two_sizes` is "two sizes"."""
    return re.sub("^test_", "", check_name).replace("_", " ")


def function_of(check: Check, functions: dict[str, list[str]]) -> str:
    """Return the name of the student's function that a check is about: the first among its parameters."""
    return next(name for name in inspect.signature(check).parameters if name in functions)


def course_folder(name: str) -> Path:
    """Return the folder of an assignment in the clone. Raises ValueError if there is no clone around this package."""
    folder = COURSE / name.lower()
    if not folder.is_dir():
        raise ValueError(
            f"{folder}: is missing; hidden checks and sheets are in a clone of the project, not in the package"
        )
    return folder


@cache
def course_module(name: str, part: str) -> ModuleType:
    """Return a module of an assignment in the clone: "hidden", "mistakes" or "variant".

    Raises:
        ValueError: the assignment has none of that name.
    """
    path = course_folder(name) / f"{part}.py"
    if not path.is_file():
        raise ValueError(f"{name} has no {part}: there is no {path}")
    spec = importlib.util.spec_from_file_location(f"course_{name.lower()}_{part}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
