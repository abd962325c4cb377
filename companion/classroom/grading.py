"""Grade a folder of submissions: a table of marks that grows student by student, pages for the students, a gradebook.

Entry point: `grade`. `marks` runs the checks; what has been graded already, and has not changed, is not run again.
"""

import contextlib
import dataclasses
import hashlib
import io
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from companion.classroom import assignments, checking, feedback, fence, gradebook, gradescope, table, texts, variants
from companion.classroom.assignments import Assignment
from companion.classroom.box import Limits
from companion.classroom.projects import rubric
from companion.classroom.roster import read_roster
from companion.classroom.submissions import Submission, find_submissions
from companion.classroom.table import Row

TALK = "talk"  # the question without whose points no total counts


@dataclass(frozen=True)
class Order:
    """What is to be graded, and what is to be written.

    Args:
        assignment: its name.
        folder: the submissions.
        out: the table of marks.
        key: the file from which hidden inputs are drawn.
        salt: the file from which `write_sheets` drew the variants.
        extra: a table of the points that the teacher gives.
        feedback: the folder of the students' pages.
        gradebook: the export of a learning management system; students go by their names there.
        gradescope: write `results.json` beside the table, for the only submission.
        fenced: run the students' code behind the fence.
        limits: what a submission may use.
    """

    assignment: str
    folder: Path
    out: Path
    key: Path | None = None
    salt: Path | None = None
    extra: Path | None = None
    feedback: Path | None = None
    gradebook: Path | None = None
    gradescope: bool = False
    fenced: bool = True
    limits: Limits = dataclasses.field(default_factory=Limits)


def grade(order: Order, note: Callable[[str], None]) -> list[Row]:
    """Grade, write what was asked for, and return the rows of the table.

    Args:
        order: what is to be graded.
        note: takes each line of progress, and each warning.

    Raises:
        ValueError: something is missing or does not fit; nothing has been graded then.
        OSError: a file cannot be read or written.
    """
    assignment = assignments.load(order.assignment)
    assignments.course_folder(assignment.name)
    _check_outputs(order)
    if order.fenced:
        fence.check_fence()
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        note("warning: the limit on the number of processes does not bind root; grade as an ordinary user")
    if order.key is None:
        note("warning: without --key anybody can compute the hidden inputs")
    roster = read_roster(order.gradebook) if order.gradebook else None
    submissions = find_submissions(order.folder, assignment.name, roster)
    if order.gradescope and len(submissions) != 1:
        raise ValueError(f"--gradescope is for one submission, and {order.folder} holds {len(submissions)}")
    extra = table.read_extra(order.extra, assignment) if order.extra else {}
    digests = {one.student: digest(one, assignment, order) for one in submissions}
    done = {
        row.student: row
        for row in table.read(order.out, assignment)
        if digests.get(row.student) == row.digest and not _is_page_missing(row.student, submissions, order)
    }
    pending = [one for one in submissions if one.student not in done]
    if done:
        note(f"{order.out}: has {len(done)} of {len(submissions)} submissions already")
    book = gradebook.Gradebook(order.gradebook, assignment) if order.gradebook else None
    writer = _Writer(order, assignment, {one.student: one for one in submissions}, digests, done, note)
    errors = run(order, [one.student for one in pending], writer.finish) if pending else []
    for row in done.values():
        teacher = extra.get(row.student, {})
        row.points = {k: v for k, v in row.points.items() if k not in assignment.by_teacher} | teacher
    table.write(order.out, assignment, done.values())
    if texts.QUESTION in assignment.by_teacher:
        texts.write_page(order.out.parent, assignment, submissions)
    if assignment.is_project:
        rubric.write_form(order.out.parent, assignment, list(done))
    without_talk = [row.student for row in done.values() if not has_talked(row, assignment)]
    if without_talk:
        note(f"{len(without_talk)} of {len(done)} have no points for the talk (--extra): their totals do not count yet")
    if book is not None:
        totals = {row.student: row.total for row in done.values() if row.student not in without_talk}
        missing = book.fill(totals, order.out)
        for student in missing:
            note(f"warning: {student} has no line in {order.gradebook}")
    if errors:
        raise ValueError(f"{len(errors)} checks could not be run and gave no marks, the first: {errors[0]}")
    return list(done.values())


def has_talked(row: Row, assignment: Assignment) -> bool:
    """Return whether the total of a student counts: in an assignment with a talk, only with points for it."""
    return TALK not in assignment.by_teacher or bool(row.points.get(TALK))


class _Writer:
    """Write what is known of a student as soon as all marks are there."""

    def __init__(
        self,
        order: Order,
        assignment: Assignment,
        submissions: dict[str, Submission],
        digests: dict[str, str],
        done: dict[str, Row],
        note: Callable[[str], None],
    ):
        self.order, self.assignment, self.submissions, self.digests = order, assignment, submissions, digests
        self.done, self.note = done, note
        self.checks = assignments.public_checks(assignment.name) | assignments.checks_of(
            assignments.course_module(assignment.name, "hidden")
        )

    def finish(self, student: str, marks: list[dict[str, Any]]) -> None:
        """Write table, page and results of a student, and say so."""
        texts = checking.resolved(self.assignment, self.checks, {mark["check"]: mark["sentences"] for mark in marks})
        points = dict.fromkeys(
            (name for name in self.assignment.questions if name not in self.assignment.by_teacher), 0.0
        )
        for mark in marks:
            points[mark["question"]] += mark["points"]
            mark["text"] = texts[mark["check"]]
        reason = " | ".join(dict.fromkeys(text for text in texts.values() if text))
        seconds = sum(mark["seconds"] for mark in marks)
        self.done[student] = Row(student, points, reason, seconds, self.digests[student])
        submission = self.submissions[student]
        if self.order.feedback:
            feedback.write_page(self.order.feedback, submission, self.assignment, marks)
        if self.assignment.is_project:
            rubric.write_page(self.order.out.parent, self.assignment, submission, marks)
        if self.order.gradescope:
            gradescope.write_results(self.order.out.parent, self.assignment, marks)
        table.write(self.order.out, self.assignment, self.done.values())
        of = sum(self.assignment.questions[name] for name in points)
        self.note(f"{len(self.done)} of {len(self.submissions)}: {student}: {self.done[student].total:g} of {of:g}")


def run(order: Order, students: list[str], finish: Callable[[str, list[dict[str, Any]]], None]) -> list[str]:
    """Run the checks of these students under pytest; return a line for each check that could not be run."""
    try:
        import pytest
    except ImportError:
        raise ValueError("grading needs pytest: pip install pytest") from None
    from companion.classroom.marks import Collector, Job

    paths = {name: str(path) if (path := getattr(order, name)) else None for name in ("key", "salt")}
    job = Job(
        order.assignment,
        str(order.folder),
        students,
        str(order.gradebook) if order.gradebook else None,
        paths["key"],
        paths["salt"],
        order.fenced,
        dataclasses.asdict(order.limits),
    )
    collector = Collector(len(job.checks()), finish)
    about = assignments.course_folder(order.assignment) / "about.toml"
    options = ["-c", os.devnull, f"--rootdir={about.parent}", "-p", "no:cacheprovider", "-p", "no:faulthandler"]
    options += ["--disable-plugin-autoload", "--quiet", "--tb=no", "--capture=no"]
    options += ["-p", "companion.classroom.marks", "--job", json.dumps(dataclasses.asdict(job)), str(about)]
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        status = pytest.main(options, plugins=[collector])
    if status == pytest.ExitCode.INTERRUPTED:
        raise KeyboardInterrupt
    if status not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        raise ValueError(f"pytest could not grade: {printed.getvalue().strip()[-300:]}")
    return collector.errors


def digest(submission: Submission, assignment: Assignment, order: Order) -> str:
    """Return twelve hexadecimal digits that change with the submission, with the checks, and with key and salt."""
    parts = [submission.name.encode(), submission.data, submission.fault.encode()]
    parts += [json.dumps(vars(assignment), sort_keys=True).encode()]
    code = [assignments.PUBLIC / f"{assignment.key}.py", *assignments.course_folder(assignment.name).glob("*.py")]
    parts += [path.read_bytes() for path in sorted(code)]
    parts += [variants.digest(variants.read_secret(path), "digest") for path in (order.key, order.salt)]
    combined = hashlib.sha256()
    for part in parts:
        combined.update(hashlib.sha256(part).digest())
    return combined.hexdigest()[:12]


def _is_page_missing(student: str, submissions: list[Submission], order: Order) -> bool:
    """Return whether a page or results are asked for that are not there."""
    (submission,) = (one for one in submissions if one.student == student)
    wanted = [feedback.page_path(order.feedback, submission)] if order.feedback else []
    if assignments.load(order.assignment).is_project:
        wanted.append(rubric.page_path(order.out.parent, assignments.load(order.assignment), submission))
    wanted += [order.out.parent / gradescope.RESULTS] if order.gradescope else []
    return not all(path.exists() for path in wanted)


def _check_outputs(order: Order) -> None:
    """Raise ValueError if something that is asked for cannot be written."""
    if order.out.is_dir() or not order.out.parent.is_dir():
        raise ValueError(f"{order.out}: is a folder, or is in a folder that does not exist; choose another --out")
    if order.feedback and order.feedback.exists() and not order.feedback.is_dir():
        raise ValueError(f"{order.feedback}: is not a folder; choose another --feedback")
    inside = order.folder.resolve()
    for path in (order.out, order.feedback):
        if path and path.suffix.lower() != ".csv" and path.resolve() == inside:
            raise ValueError(f"{path}: is the folder of the submissions; choose another --feedback")
