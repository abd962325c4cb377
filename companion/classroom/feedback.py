"""Write what a student gets back: one page with points and sentences, without inputs or code of hidden checks.

Entry point: `write_page`. Every text on the page is escaped.
"""

from pathlib import Path
from typing import Any

from companion.classroom.assignments import Assignment, readable
from companion.classroom.sheets import escape, page
from companion.classroom.submissions import Submission
from companion.files import atomic_write

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1b1b1b; background: white; max-width: 48rem; margin: 1.5rem auto;
  padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin: 1.6rem 0 0.3rem; }
table { border-collapse: collapse; width: 100%; }
td, th { text-align: left; vertical-align: top; padding: 0.35rem 0.6rem 0.35rem 0; border-bottom: 1px solid #ccc; }
td.points { white-space: nowrap; text-align: right; padding-right: 0; }
td { overflow-wrap: anywhere; }
"""


def page_path(folder: Path, submission: Submission) -> Path:
    """Return the path of a student's page: named as the submission, which is how Canvas and Moodle take it back."""
    if submission.path.is_dir() and not submission.path.is_symlink():
        return folder / submission.path.name / "feedback.html"
    return folder / f"{submission.path.stem}.html"


def write_page(folder: Path, submission: Submission, assignment: Assignment, marks: list[dict[str, Any]]) -> None:
    """Write the page of a student, and the folders that it needs."""
    path = page_path(folder, submission)
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic_write(path, feedback_page(submission.student, assignment, marks).encode())


def feedback_page(student: str, assignment: Assignment, marks: list[dict[str, Any]]) -> str:
    """Return the page of a student in HTML."""
    title = f"{assignment.name} · {assignment.title}"
    got, of = (sum(mark[key] for mark in marks) for key in ("points", "of"))
    body = [f"<h1>{escape(title)}</h1>", f"<p>{escape(student)}: {got:g} of {of:g} points by the checks.</p>"]
    for question, points in assignment.questions.items():
        if question in assignment.by_teacher:
            body.append(f"<h2>{escape(question)}</h2><p>Marked by the teacher, up to {points:g} points.</p>")
        else:
            body.append(_question(question, [mark for mark in marks if mark["question"] == question]))
    faults = marks[-1]["cell_faults"] if marks else {}
    if faults:
        items = "".join(f"<li>Cell {escape(number)} {escape(fault)}.</li>" for number, fault in faults.items())
        body.append(f"<h2>Cells that failed</h2><ul>{items}</ul>")
    return page(f"{title} · {student}", STYLE, "\n".join(body))


def _question(question: str, marks: list[dict[str, Any]]) -> str:
    """Return the part of a page about one question."""
    got, of = (sum(mark[key] for mark in marks) for key in ("points", "of"))
    head = '<tr><th scope="col">check</th><th scope="col">what was found</th><th scope="col">points</th></tr>'
    rows = []
    for mark in marks:
        sign = "✗" if mark["text"] else "✓"
        cells = f"<td>{sign} {escape(readable(mark['check']))}</td><td>{escape(mark['text'] or 'right')}</td>"
        rows.append(f'<tr>{cells}<td class="points">{mark["points"]:g} of {mark["of"]:g}</td></tr>')
    return f"<h2>{escape(question)}: {got:g} of {of:g}</h2>\n<table>{head}\n{chr(10).join(rows)}</table>"
