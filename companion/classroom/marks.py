"""The pytest plugin that grades: an item for every check of every submission, and its mark in the report.

`grading` runs it as `pytest -p companion.classroom.marks --job JOB about.toml`. A process that runs checks only adds a
mark to each report; who collects them is `Collector`, in the process that was started. So it does not matter how many
processes there are: `-n 4 --dist loadscope` of pytest-xdist keeps the checks of a student together.
"""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from companion.classroom import assignments, checking, notebooks, variants
from companion.classroom.box import Box, Limits
from companion.classroom.expectations import Expectation, Recorder, Subject
from companion.classroom.mistake import Mistake
from companion.classroom.projects import Project, Refused, opened
from companion.classroom.roster import read_roster
from companion.classroom.sheets import variant_of
from companion.classroom.submissions import Submission, find_submissions


@dataclass
class Job:
    """What is to be graded, in values that JSON has: paths are texts, and the secrets stay in their files."""

    assignment: str
    folder: str
    students: list[str]
    roster: str | None
    key: str | None
    salt: str | None
    fenced: bool
    limits: dict[str, Any]

    def submissions(self) -> dict[str, Submission]:
        """Return the submissions by their students."""
        rows = read_roster(Path(self.roster)) if self.roster else None
        return {one.student: one for one in find_submissions(Path(self.folder), self.assignment, rows)}

    def checks(self) -> dict[str, assignments.Check]:
        """Return the public checks and the hidden ones, by their names."""
        hidden = assignments.checks_of(assignments.course_module(self.assignment, "hidden"))
        return assignments.public_checks(self.assignment) | hidden


class Grader:
    """Run the checks of one job, those of a student after each other in one box."""

    def __init__(self, job: Job):
        self.job = job
        self.assignment = assignments.load(job.assignment)
        self.checks = job.checks()
        self.key, self.salt = (variants.read_secret(Path(path) if path else None) for path in (job.key, job.salt))
        self.submissions = job.submissions()
        self.student: str | None = None
        self.box: Box | None = None
        self.project = ExitStack()
        self.subjects: dict[str, Any] = {}

    def mark(self, student: str, check_name: str) -> dict[str, Any]:
        """Run one check and return its mark: points, and the sentences of a mistake."""
        began = time.monotonic()
        if student != self.student:
            self.open(student)
        check = self.checks[check_name]
        points, question = check.points  # type: ignore[attr-defined]
        sentences = checking.run_check(check, {**self.subjects, **self.given(student, check_name)})
        return {
            "student": student,
            "check": check_name,
            "question": question,
            "points": 0 if sentences else points,
            "of": points,
            "sentences": sentences,
            "cell_faults": {} if self.box is None else {str(n): fault for n, fault in self.box.cell_faults.items()},
            "seconds": time.monotonic() - began,
        }

    def given(self, student: str, check_name: str) -> dict[str, Any]:
        """Return what a check may ask for beside the student's functions."""
        check = self.checks[check_name]
        wanted = checking.parameters(check)
        function = assignments.function_of(check, self.assignment.functions)
        given: dict[str, Any] = {}
        if check_name in self.assignment.prints:
            given["expect"] = checking.public_expectation(self.assignment, check_name)
        elif "expect" in wanted:
            mistakes = assignments.course_module(self.job.assignment, "mistakes")
            recorder = Recorder(mistakes.REFERENCES[function], mistakes.MISTAKES[function])
            given["expect"] = Expectation(recorder, self.assignment.functions[function])
        if "draw" in wanted:
            given["draw"] = variants.generator(self.key, self.assignment.name, check_name)
        if "variant" in wanted:
            given["variant"] = variant_of(self.assignment.name, student, self.salt)
        return given

    def open(self, student: str) -> None:
        """Make the functions of another student ready to be called."""
        self.close()
        self.student = student
        submission = self.submissions[student]
        if self.assignment.is_project:
            self.subjects = {"project": self.open_project(submission)}
            return
        fault, cells = submission.fault, []
        if not fault:
            try:
                cells = notebooks.read_cells(submission.data, submission.name)
            except ValueError as error:
                fault = str(error)
        if fault:
            self.subjects = {name: Subject(name, _refusal(fault)) for name in self.assignment.functions}
            return
        limits = Limits(**self.job.limits)
        self.box = Box([self.assignment.set_up, *cells], fenced=self.job.fenced, limits=limits)
        self.subjects = {name: checking.boxed(self.box, name) for name in self.assignment.functions}

    def open_project(self, submission: Submission) -> Project:
        """Return the project of a student, which is there until `close`."""
        if submission.fault:
            return Refused(submission.fault)
        try:
            return self.project.enter_context(opened(submission.path, fenced=self.job.fenced))
        except ValueError as error:
            return Refused(str(error))

    def close(self) -> None:
        """End the process of the last student."""
        self.project.close()
        if self.box is not None:
            self.box.close()
        self.box, self.student = None, None


def _refusal(fault: str) -> Callable[..., None]:
    """Return a function whose every call is the mistake that nothing could be read."""

    def refuse(*_: object, **__: object) -> None:
        raise Mistake(f"Nothing could be graded: {fault}.")

    return refuse


class Collector:
    """Collect marks from reports, and hand over those of a student when they are complete.

    Args:
        count: how many checks a student has.
        finish: takes the student and the marks.
    """

    def __init__(self, count: int, finish: Callable[[str, list[dict[str, Any]]], None]):
        self.count = count
        self.finish = finish
        self.marks: dict[str, list[dict[str, Any]]] = {}
        self.errors: list[str] = []  # of checks that could not be run

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take the mark of a report, or the error of the check that has none."""
        if report.when != "call":
            return
        mark = dict(report.user_properties).get("mark")
        if not isinstance(mark, dict):
            self.errors.append(f"{report.nodeid}: {str(report.longrepr).strip().splitlines()[-1]}")
            return
        marks = self.marks.setdefault(mark["student"], [])
        marks.append(mark)
        if len(marks) == self.count:
            self.finish(mark["student"], marks)


class CheckItem(pytest.Item):
    """One check of one submission."""

    def __init__(self, *, student: str, check_name: str, grader: Grader, **rest: Any):
        super().__init__(**rest)
        self.student, self.check_name, self.grader = student, check_name, grader

    def runtest(self) -> None:
        """Run the check, and fail with the student's mistake, if there is one."""
        mark = self.grader.mark(self.student, self.check_name)
        self.user_properties.append(("mark", mark))
        if mark["sentences"]:
            raise Mistake(*mark["sentences"])

    def repr_failure(self, excinfo: Any, style: Any = None) -> str:
        """Return the sentence of a mistake alone, and for anything else its type, too."""
        return str(excinfo.value) if excinfo.errisinstance(Mistake) else repr(excinfo.value)


class CheckFile(pytest.File):
    """The description of an assignment, which stands for all of its checks."""

    def collect(self) -> Iterator[CheckItem]:
        """Yield the items of one student after those of another."""
        grader: Grader = self.config.stash[GRADER]
        for student in grader.job.students:
            for check_name in grader.checks:
                name = f"{student}::{check_name}"
                yield CheckItem.from_parent(self, name=name, student=student, check_name=check_name, grader=grader)


GRADER = pytest.StashKey[Grader]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that says what is to be graded."""
    parser.addoption("--job", help="what is to be graded, as JSON")


def pytest_configure(config: pytest.Config) -> None:
    """Make the grader of this process."""
    config.stash[GRADER] = Grader(Job(**json.loads(config.getoption("--job"))))


def pytest_unconfigure(config: pytest.Config) -> None:
    """End the process of the last student."""
    config.stash[GRADER].close()


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> CheckFile:
    """Collect the file that was named."""
    return CheckFile.from_parent(parent, path=file_path)
