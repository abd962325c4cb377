"""Read who is in a class, from a CSV of one's own or from a gradebook that Canvas or Moodle exported.

Entry points: `read_roster` and `find_row`.
"""

import csv
import io
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

# The columns that may name a student, the best first: logins of Canvas and Moodle, one's own CSV, other names.
NAME_COLUMNS = ("sis login id", "username", "student", "email address", "email", "full name", "name")
# The columns by which a handed-in file may name a student.
ID_COLUMNS = (*NAME_COLUMNS, "id", "identifier", "id number", "sis user id", "first name", "sid")


@dataclass(frozen=True)
class Row:
    """A student of a class: the name by which marks and variants go, and all ids, in lower case."""

    student: str
    ids: frozenset[str]
    index: int  # of the line among those of the table, the head not counted


def read_table(path: Path) -> tuple[list[str], list[list[str]]]:
    """Return the head of a CSV and its lines, each as long as the head. Raises ValueError if it is none."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"{path}: is no text in UTF-8; export it as CSV in UTF-8") from None
    lines = [line for line in csv.reader(io.StringIO(text)) if any(cell.strip() for cell in line)]
    if len(lines) < 2:
        raise ValueError(f"{path}: has no students; it needs a head and a line for each")
    head = lines[0]
    return head, [line[: len(head)] + [""] * (len(head) - len(line)) for line in lines[1:]]


def read_roster(path: Path) -> list[Row]:
    """Return the students of a CSV in its order.

    Raises:
        ValueError: it has no column with names, or a student is there twice.
    """
    head, lines = read_table(path)
    columns = {title.strip().lower(): number for number, title in reversed(list(enumerate(head)))}
    name_columns = [columns[title] for title in NAME_COLUMNS if title in columns]
    if not name_columns:
        raise ValueError(f"{path}: has no column `student`, nor one of Canvas or Moodle that names students")
    rows = []
    for index, line in enumerate(lines):
        student = next((line[number].strip() for number in name_columns if line[number].strip()), "")
        if not student or line[0].strip().lower() in ("points possible", "student, test"):
            continue
        ids = {line[columns[title]].strip().lower() for title in ID_COLUMNS if title in columns}
        rows.append(Row(student, frozenset(with_spellings(ids)), index))
    names = [row.student.lower() for row in rows]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"{path}: the student {twice!r} is there twice")
    return rows


def with_spellings(ids: Iterable[str]) -> set[str]:
    """Return ids with what file names make of them: Canvas writes "Ann O'Neil" or "O'Neil, Ann" as `oneilann`."""
    spelled = {text for text in ids if text}
    for text in list(spelled):
        spelled.add(text.partition("@")[0])
        spelled |= {f"participant {number}" for number in re.findall(r"^(\d+)$", text)}
        spelled.add(re.sub(r"[\W_]", "", text))
        words = re.findall(r"[^\s,]+", text)
        spelled.add(re.sub(r"[\W_]", "", "".join([words[-1], *words[:-1]])) if words else text)
    return spelled


def find_row(rows: Iterable[Row], ids: Mapping[str, str]) -> Row | None:
    """Return the only row that has one of these ids, those of the first kind first, or None."""
    for value in ids.values():
        matches = [row for row in rows if value.lower() in row.ids]
        if len(matches) == 1:
            return matches[0]
    return None
