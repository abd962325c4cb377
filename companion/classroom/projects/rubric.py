"""Write for the marker of projects: a page for each student with what is left to judge, and a form for the points.

Entry points: `write_page` and `write_form`. Every text of a student's is escaped, and nothing of the project is shown
but texts: its own page may hold scripts.
"""

import csv
import io
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from companion.classroom import assignments, feedback
from companion.classroom.assignments import Assignment, readable
from companion.classroom.projects.unpacking import FACTS, read_text
from companion.classroom.sheets import escape, page
from companion.classroom.submissions import Submission
from companion.classroom.table import safe
from companion.files import atomic_write

STATED = ("title", "question", "change", "expected", "differs", "model", "rebuild")  # of `project.toml`
TEXT_LIMIT = 2000  # characters of each


def page_path(folder: Path, assignment: Assignment, submission: Submission) -> Path:
    """Return the path of the marker's page of a student, in `a6_rubric` in the folder of the table of marks."""
    name = submission.path.name if submission.path.is_dir() else submission.path.stem
    return folder / f"{assignment.key}_rubric" / f"{name}.html"


def write_page(folder: Path, assignment: Assignment, submission: Submission, marks: Sequence[dict[str, Any]]) -> None:
    """Write the marker's page of a student, and the folder that it needs."""
    path = page_path(folder, assignment, submission)
    path.parent.mkdir(exist_ok=True)
    atomic_write(path, rubric_page(assignment, submission, marks).encode())


def rubric_page(assignment: Assignment, submission: Submission, marks: Sequence[dict[str, Any]]) -> str:
    """Return the marker's page in HTML: what the student states, what the checks found, and what is left to judge."""
    about = assignments.course_folder(assignment.name) / "about.toml"
    criteria: dict[str, str] = tomllib.loads(about.read_text(encoding="utf-8"))["judged"]
    title = f"{assignment.name} · {assignment.title}"
    got, of = (sum(mark[key] for mark in marks) for key in ("points", "of"))
    body = [
        f"<h1>{escape(title)}</h1>",
        f"<p>{escape(submission.student)}: {got:g} of {of:g} points by the checks. Handed in: "
        f"{escape(submission.path.name)}. Its page may hold scripts: open it without a network.</p>",
        _stated(submission),
    ]
    for question, points in assignment.questions.items():
        if question not in assignment.by_teacher:
            body.append(_checked(question, [mark for mark in marks if mark["question"] == question]))
        else:
            place = f"____ of {points:g}"
            body.append(f"<p><strong>{escape(question)}: {place}.</strong> {escape(criteria[question])}</p>")
    return page(f"{title} · {submission.student}", feedback.STYLE, "\n".join(body))


def _stated(submission: Submission) -> str:
    """Return what `project.toml` states, as a table."""
    try:
        facts = tomllib.loads(read_text(submission.path, FACTS))
    except (ValueError, OSError, RecursionError) as error:
        return f"<p>{escape(submission.fault or error)}</p>"
    cells = ((name, facts.get(name, "")) for name in STATED)
    rows = (f'<tr><th scope="row">{name}</th><td>{escape(str(value)[:TEXT_LIMIT])}</td></tr>' for name, value in cells)
    return f"<table>{''.join(rows)}</table>"


def _checked(question: str, marks: Sequence[dict[str, Any]]) -> str:
    """Return the points of a question by the checks, and a line for each that failed."""
    got, of = (sum(mark[key] for mark in marks) for key in ("points", "of"))
    lines = [f"<li>{escape(readable(mark['check']))}: {escape(mark['text'])}</li>" for mark in marks if mark["text"]]
    return f"<h2>{escape(question)}: {got:g} of {of:g}</h2><ul>{''.join(lines)}</ul>"


def write_form(folder: Path, assignment: Assignment, students: Sequence[str]) -> None:
    """Write the table that the marker fills in, `a6_points.csv`, unless it is there."""
    path = folder / f"{assignment.key}_points.csv"
    if path.exists():
        return
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["student", *assignment.by_teacher])
    writer.writerows([safe(student), *([""] * len(assignment.by_teacher))] for student in sorted(students))
    atomic_write(path, text.getvalue().encode())
