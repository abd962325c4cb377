"""Fill the column of an assignment in a gradebook that Canvas or Moodle exported. Entry point: `Gradebook`."""

import csv
import io
import re
from collections.abc import Mapping
from pathlib import Path

from companion.classroom.assignments import Assignment
from companion.classroom.roster import read_roster, read_table
from companion.files import atomic_write


class Gradebook:
    """An exported gradebook and the column in it that is to be filled.

    Args:
        path: the export.
        assignment: the one whose name the head of the column begins with, as in Canvas; a single column "Grade", as in
            Moodle's worksheets, will also do.

    Raises:
        ValueError: it has no such column, or several.
    """

    def __init__(self, path: Path, assignment: Assignment):
        self.path = path
        self.assignment = assignment
        self.head, self.lines = read_table(path)
        name = re.compile(rf"\W*{re.escape(assignment.name)}\b", re.IGNORECASE)
        candidates = [n for n, title in enumerate(self.head) if name.match(title)]
        candidates = candidates or [n for n, title in enumerate(self.head) if title.strip().lower() == "grade"]
        if len(candidates) != 1:
            raise ValueError(f"{path}: has {len(candidates)} columns for {assignment.name}; it should have one")
        (self.column,) = candidates

    def fill(self, totals: Mapping[str, float], out: Path) -> list[str]:
        """Write a copy with the totals beside `out`, as `GRADEBOOK_a2.csv`; return the students that it does not have.

        All other cells, and the lines of students without a total, stay as they are.
        """
        rows = {row.student: row.index for row in read_roster(self.path)}
        for student, total in totals.items():
            if student in rows:
                self.lines[rows[student]][self.column] = f"{total:g}"
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([self.head, *self.lines])
        atomic_write(out.parent / f"{self.path.stem}_{self.assignment.key}.csv", text.getvalue().encode())
        return sorted(set(totals) - set(rows))
