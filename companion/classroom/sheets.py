"""Write the sheets of a class: for each student a printed page with her own variant, and for the teacher the key.

A module `variant.py` of an assignment has `draw(source, number)`, which returns a variant with two methods, `sheet` and
`key`; both return blocks (`Text`, `Matrix`, `Code`). Entry point: `write_sheets`.
"""

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from companion.classroom import assignments, variants
from companion.classroom.roster import read_roster
from companion.files import atomic_write

STYLE = """
@page { size: A4; margin: 15mm; }
body { font: 11pt/1.45 Georgia, "Noto Serif", serif; color: black; background: white; max-width: 46em; margin: 1em auto;
  padding: 0 1em; }
section { break-after: page; }
section:last-child { break-after: auto; }
h1 { font-size: 16pt; margin: 0 0 0.2em; }
h2 { font-size: 12pt; font-weight: normal; margin: 0 0 1em; }
table { border-collapse: collapse; margin: 0.3em 0 1em; }
caption { text-align: left; }
td, th { border: 1px solid #666; min-width: 4.2em; height: 1.8em; padding: 0 0.4em; text-align: right; }
th { font-weight: normal; background: #eee; }
pre { font: 10.5pt/1.5 "DejaVu Sans Mono", monospace; border: 1px solid #666; padding: 0.6em; white-space: pre-wrap; }
@media print { body { margin: 0; max-width: none; padding: 0; } }
"""


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str


@dataclass(frozen=True)
class Matrix:
    """A table with a caption and named rows and columns; with `blank` its cells are to be filled in."""

    caption: str
    rows: Sequence[str]
    columns: Sequence[str]
    values: Sequence[Sequence[float]]
    digits: int = 3
    blank: bool = False


@dataclass(frozen=True)
class Code:
    """A program, with the numbers of its lines."""

    lines: Sequence[str]


Block = Text | Matrix | Code


def variant_of(name: str, student: str, salt: bytes) -> Any:
    """Return the variant of a student. Raises ValueError if the assignment has no variants."""
    source = variants.variant_random(salt, name, student)
    return assignments.course_module(name, "variant").draw(source, variants.sheet_number(salt, name, student))


def write_sheets(name: str, roster: Path, salt: bytes) -> list[Path]:
    """Write `a1_sheets.html` and `a1_key.html` beside the roster, and return their paths.

    Raises:
        ValueError: there is no such assignment, it has no sheet, or the roster cannot be read.
    """
    assignment = assignments.load(name)
    students = [row.student for row in read_roster(roster)]
    own = [(student, variants.sheet_number(salt, assignment.name, student)) for student in students]
    made = {student: variant_of(assignment.name, student, salt) for student in students}
    title = f"{assignment.name} · {assignment.title}"
    paths = []
    for kind, heading in (("sheets", title), ("key", f"{title} · key")):
        sections = [
            section(heading, student, number, made[student].key() if kind == "key" else made[student].sheet())
            for student, number in own
        ]
        paths.append(roster.parent / f"{assignment.key}_{kind}.html")
        atomic_write(paths[-1], page(heading, STYLE, "\n".join(sections)).encode())
    return paths


def section(heading: str, student: str, number: str, blocks: Iterable[Block]) -> str:
    """Return the section of one student."""
    body = "\n".join(map(render, blocks))
    return f"<section><h1>{escape(heading)}</h1><h2>{escape(student)} · sheet {number}</h2>\n{body}</section>"


def render(block: Block) -> str:
    """Return a block in HTML."""
    if isinstance(block, Text):
        return f"<p>{escape(block.text)}</p>"
    if isinstance(block, Code):
        lines = (f"{number:2}  {line}" for number, line in enumerate(block.lines, start=1))
        return f"<pre>{escape(chr(10).join(lines))}</pre>"
    head = "".join(f'<th scope="col">{escape(column)}</th>' for column in ["", *block.columns])
    rows = []
    for row, values in zip(block.rows, block.values, strict=True):
        cells = "".join(f"<td>{'' if block.blank else format(value, f'.{block.digits}f')}</td>" for value in values)
        rows.append(f'<tr><th scope="row">{escape(row)}</th>{cells}</tr>')
    return f"<table><caption>{escape(block.caption)}</caption><tr>{head}</tr>{''.join(rows)}</table>"


def page(title: str, style: str, body: str) -> str:
    """Return a whole page in HTML, which needs no other file and runs no script."""
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        f"<title>{escape(title)}</title><style>{style}</style></head>\n<body>\n{body}\n</body></html>\n"
    )


def escape(text: object) -> str:
    """Return text as HTML shows it; characters that no text should have are shown by their codes."""
    clean = "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in str(text))
    return html.escape(clean)
