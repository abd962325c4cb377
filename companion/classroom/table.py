"""The table of marks: a CSV that is written anew after each student, and read again when grading is resumed.

Its columns are: student, one for each question, total, reason, seconds, digest. Entry points: `read` and `write`.
"""

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from companion.classroom.assignments import Assignment
from companion.files import atomic_write

REASON_LIMIT = 600  # characters


@dataclass
class Row:
    """The marks of one student.

    `points` has those of the questions that have been marked. `digest` changes with the submission, the checks and the
    key, so that a row is known to be still right.
    """

    student: str
    points: dict[str, float]
    reason: str
    seconds: float
    digest: str

    @property
    def total(self) -> float:
        """The sum of the points."""
        return sum(self.points.values(), 0.0)


def columns(assignment: Assignment) -> list[str]:
    """Return the head of the table."""
    return ["student", *assignment.questions, "total", "reason", "seconds", "digest"]


def write(path: Path, assignment: Assignment, rows: Iterable[Row]) -> None:
    """Write the table, a line for each student."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns(assignment))
    for row in sorted(rows, key=lambda row: row.student):
        points = [f"{row.points[name]:g}" if name in row.points else "" for name in assignment.questions]
        rest = [f"{row.total:g}", safe(row.reason[:REASON_LIMIT]), f"{row.seconds:.1f}", row.digest]
        writer.writerow([safe(row.student), *points, *rest])
    atomic_write(path, text.getvalue().encode())


def read(path: Path, assignment: Assignment) -> list[Row]:
    """Return the rows of a table, none if there is no file.

    Raises:
        ValueError: it is not the table of this assignment.
    """
    if not path.exists():
        return []
    try:
        head, *lines = csv.reader(io.StringIO(path.read_text(encoding="utf-8")))
        if head != columns(assignment):
            raise ValueError
        return [_row(dict(zip(head, line, strict=True)), assignment) for line in lines]
    except (ValueError, UnicodeDecodeError):
        raise ValueError(f"{path}: is not a table of marks of {assignment.name}; choose another --out") from None


def _row(line: Mapping[str, str], assignment: Assignment) -> Row:
    points = {name: float(line[name]) for name in assignment.questions if line[name]}
    return Row(line["student"].removeprefix("'"), points, line["reason"], float(line["seconds"]), line["digest"])


def safe(text: str) -> str:
    """Return text in one line that no spreadsheet takes for a formula."""
    clean = "".join(c if c.isprintable() else " " for c in text)
    return f"'{clean}" if clean.startswith(("=", "+", "-", "@", "'")) else clean


def read_extra(path: Path, assignment: Assignment) -> dict[str, dict[str, float]]:
    """Return the points that the teacher gives, by student and question, from a CSV with a column `student`.

    Raises:
        ValueError: a column is no question that the teacher marks, or a number is none, or too large.
    """
    lines = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig"))))
    named = set(lines[0]) - {"student"} if lines else set()
    if not lines or "student" not in lines[0] or not named or not named <= set(assignment.by_teacher):
        wanted = ", ".join(["student", *assignment.by_teacher]) if assignment.by_teacher else "nothing"
        raise ValueError(f"{path}: the teacher marks {wanted} in {assignment.name}; a table has just these columns")
    extra: dict[str, dict[str, float]] = {}
    for line in lines:
        for name in named:
            try:
                points = float(line[name] or 0)
            except (TypeError, ValueError):
                points = -1.0
            if not 0 <= points <= assignment.questions[name]:
                raise ValueError(
                    f"{path}: {line['student']}: {line[name]!r} is not from 0 to {assignment.questions[name]}"
                )
            extra.setdefault(line["student"], {})[name] = points
    return extra
