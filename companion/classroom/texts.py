"""Collect what the students wrote in words into one page for the marker, with what a point is given for.

A text is the cell of a notebook that begins with "Your text:". Nothing of a notebook runs, and every text is escaped.
Entry point: `write_page`.
"""

import json
import tomllib
from collections.abc import Iterable
from pathlib import Path

from companion.classroom import assignments, feedback
from companion.classroom.assignments import Assignment
from companion.classroom.notebooks import raw_cells, source_of
from companion.classroom.sheets import escape, page
from companion.classroom.submissions import Submission
from companion.files import atomic_write

QUESTION = "text"  # the question that a text answers; the teacher marks it
START = "Your text:"
LIMIT = 5000  # characters


def write_page(folder: Path, assignment: Assignment, submissions: Iterable[Submission]) -> None:
    """Write the texts of an assignment, such as `a5_texts.html`, in the order of the students' names."""
    about = tomllib.loads((assignments.course_folder(assignment.name) / "about.toml").read_text(encoding="utf-8"))
    title = f"{assignment.name} · {assignment.title} · texts"
    points = "".join(f"<li>{escape(line)}</li>" for line in about["marking"].values())
    body = [f"<h1>{escape(title)}</h1><p>A point for each of these:</p><ul>{points}</ul>"]
    for one in sorted(submissions, key=lambda one: one.student):
        text = written_text(one)
        paragraphs = "".join(f"<p>{escape(part)}</p>" for part in text[:LIMIT].split("\n\n"))
        body.append(f"<h2>{escape(one.student)}</h2><p>Words: {len(text.split())}</p>{paragraphs}")
    atomic_write(folder / f"{assignment.key}_texts.html", page(title, feedback.STYLE, "\n".join(body)).encode())


def written_text(submission: Submission) -> str:
    """Return the text of a submission without its first words; nothing if there is none, or no notebook."""
    try:
        cells = raw_cells(json.loads(submission.data.decode("utf-8-sig")))
    except (ValueError, RecursionError):
        return ""
    sources = (source_of(cell, "markdown").strip() for cell in cells)
    return next((text.removeprefix(START).strip() for text in sources if text.startswith(START)), "")
