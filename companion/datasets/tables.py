"""Read tables of text as spreadsheets and scripts write them: any separator, quoted line breaks, missing quotes.

Explained in the chapter on real photographs.
"""

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from companion.datasets.image_folder import IMAGE_SUFFIXES
from companion.datasets.parsing import Log, note_empty_lines, read_lines, shorten

SEPARATORS = ",;\t|"
MAX_LINES = 100  # of one row; a quotation mark that is open for longer was never closed
_UNCLOSED = "unexpected end of data"  # the csv module's words
# How quotation marks enclose a field: also after a blank; at once only; with marks inside that a backslash escapes.
_WAYS: tuple[dict[str, Any], ...] = ({}, {"skipinitialspace": False}, {"escapechar": "\\"})


class Table(NamedTuple):
    """The header of a table, and the lines below it."""

    header: list[str]
    location: str  # of the header
    dialect: dict[str, str]  # its separator and its quotation mark
    lines: list[tuple[int, str]]  # number, text


def read_header(path: Path | str, log: Log) -> Table:
    """Read a table as far as its header, whose separator is the one that gives it the most fields.

    Raises ValueError, naming the file, if it cannot be read.
    """
    lines = list(read_lines(path, log, keep_empty=True))
    while lines and not lines[0][1].strip():
        del lines[0]
    if lines and lines[0][1].strip('"').lower().startswith("sep="):  # a line for Excel
        del lines[0]
    if not lines:
        return Table([], str(path), {}, [])
    number, text = lines[0]
    quote = "'" if text.lstrip().startswith("'") else '"'
    dialects = [{"delimiter": separator, "quotechar": quote} for separator in SEPARATORS]
    dialect = max(dialects, key=lambda each: len(_parse(text, each) or []))
    return Table([name.strip() for name in _parse(text, dialect) or []], f"{path}:{number}", dialect, lines[1:])


def read_rows(path: Path | str, table: Table, log: Log) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield each row by the names of its columns, with its location.

    A row with too few or too many fields is left out. So is one with a quotation mark that is never closed, and no
    other row with it.
    """
    first, empty = 0, []
    while first < len(table.lines):
        number, text = table.lines[first]
        if not text.strip():
            empty.append(number)
            first += 1
            continue
        fields, end = _read_row(table, first)
        location = f"{path}:{number}"
        if isinstance(fields, str):
            log.issue(location, f"{shorten(text)}: {fields}")
        elif len(fields) != len(table.header):
            more = len(fields) > len(table.header)
            hint = f" (quote a caption with {shorten(table.dialect['delimiter'])} in it)" if more else ""
            log.issue(location, f"{len(fields)} fields, not {len(table.header)}{hint}")
        else:
            yield location, dict(zip(table.header, fields, strict=True))
        first = end
    note_empty_lines(path, empty, log)


def _read_row(table: Table, first: int) -> tuple[list[str] | str, int]:
    """Return the fields of the row that begins at line `first`, or what is wrong with it, and where the next begins.

    A row goes on over the next line as long as a quotation mark is open. That it was never closed shows when one of
    these lines is a row of its own, or when the whole has not as many fields as the header.
    """
    texts = [text for _, text in table.lines[first : first + MAX_LINES]]
    problems: list[list[str] | str] = []  # what the first way of reading found in the line alone, and what others did
    for options in _WAYS:
        for count in range(1, len(texts) + 1):
            if count > 1 and _begins_row(texts[count - 1], texts[0], table):
                break
            try:
                fields = _fit(_strict("\n".join(texts[:count]), table.dialect | options), len(table.header))
            except csv.Error as error:
                problems.append(str(error))
                if _UNCLOSED in str(error):
                    continue
                break
            if len(fields) == len(table.header):
                return fields, first + count
            if count == 1:
                problems.append(fields)
            break
    if _UNCLOSED in problems[0]:
        return "a quotation mark is opened and never closed", first + 1
    fields = _fit(_parse(texts[0], table.dialect | {"strict": False}) or [], len(table.header))
    return (fields if len(fields) == len(table.header) else problems[0]), first + 1


def _strict(text: str, dialect: Mapping[str, Any]) -> list[str]:
    """Return the fields of one row. Raises csv.Error if its quotation marks are not where they should be."""
    options: dict[str, Any] = {"strict": True, "skipinitialspace": True} | dict(dialect)
    return next(csv.reader([text], **options), [])


def _parse(text: str, dialect: Mapping[str, Any]) -> list[str] | None:
    """Return the fields of one row, or None if its quotation marks are not where they should be."""
    try:
        return _strict(text, dialect)
    except csv.Error:
        return None


def _fit(fields: list[str], width: int) -> list[str]:
    """Return the fields without empty ones at the end that the header does not have, as spreadsheets add them."""
    while len(fields) > width and not fields[-1].strip():
        fields = fields[:-1]
    return fields


def _begins_row(text: str, first: str, table: Table) -> bool:
    """Return whether a line is or begins a row of its own, although a quotation mark is open since the line `first`.

    It does if both lines begin with the name of a picture; and it is one if its own quotation marks are closed, and it
    has as many fields as the header, with a picture's name among them.
    """
    if all(line.partition(table.dialect["delimiter"])[0].strip(" \t\"'").lower().endswith(IMAGE_SUFFIXES)
           for line in (text, first)):  # fmt: skip
        return True
    fields = _parse(text, table.dialect) if text.count(table.dialect["quotechar"]) % 2 == 0 else None
    return (
        fields is not None
        and len(_fit(fields, len(table.header))) == len(table.header)
        and any(field.strip().lower().endswith(IMAGE_SUFFIXES) for field in fields)
    )
