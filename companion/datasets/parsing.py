"""Read text and JSON files that others wrote, and record what is wrong in them instead of stopping.

Every reader takes a `Log`, which gets one line for each finding. Explained in the chapter on real photographs.
"""

import codecs
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

_LINE_END = re.compile(rb"\r*\n|\r")  # Unix, Windows, a Windows file written once more as text; old Macs
_BYTE_ORDER_MARKS = {  # that of UTF-32 begins with that of UTF-16
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_NO_TEXT = {  # by their first bytes
    b"PK\x03\x04": "a workbook (save it as CSV) or an archive (unpack it)",
    b"\xd0\xcf\x11\xe0": "a workbook (save it as CSV)",
    b"\x1f\x8b": "compressed (unpack it)",
}


class Log:
    """What was found in the files of a data set, one line each: "file:line: what was found; what was done".

    An issue cost an example or one of its captions. A note cost nothing, and is never the reason of an error.
    """

    def __init__(self) -> None:
        self.issues: list[str] = []
        self.notes: list[str] = []

    def issue(self, location: Path | str, problem: str, action: str = "left out") -> None:
        """Record what was found, where, and what was done about it."""
        self.issues.append(f"{location}: {problem}; {action}")

    def note(self, location: Path | str, finding: str, action: str = "read all the same") -> None:
        """Record what is unusual at a place, but cost nothing."""
        self.notes.append(f"{location}: {finding}; {action}")


def read_lines(path: Path | str, log: Log, *, keep_empty: bool = False) -> Iterator[tuple[int, str]]:
    """Yield the lines of a file with their numbers, without line ends.

    Line ends of any system, byte order marks and UTF-16 are read and noted. A line that is not UTF-8 is left out.

    Args:
        path: the file.
        log: gets the findings.
        keep_empty: yield empty lines, too; otherwise they are skipped and noted.

    Raises:
        ValueError: the file cannot be read; the message names it.
    """
    data = _read_bytes(path, log)
    _note_line_ends(path, data, log)
    lines = _LINE_END.split(data)
    if not lines[-1]:
        lines.pop()
    undecodable, empty = [], []
    for number, line in enumerate(lines, start=1):
        if not keep_empty and not line.strip():
            empty.append(number)
            continue
        try:
            yield number, line.decode("utf-8")
        except UnicodeDecodeError:
            undecodable.append((number, line))
    note_empty_lines(path, empty, log)
    if undecodable:
        number, line = undecodable[0]
        others = f", nor are {len(undecodable) - 1:,} lines below" if len(undecodable) > 1 else ""
        encoding = _guess_encoding(b"".join(line for _, line in undecodable))
        text = shorten(line.decode("utf-8", "replace"))
        log.issue(f"{path}:{number}", f"{text} is not UTF-8{others} (perhaps {encoding}; save the file as UTF-8)")


def note_empty_lines(path: Path | str, numbers: Sequence[int], log: Log) -> None:
    """Note in one line that these lines are empty, if there are any."""
    if numbers:
        what = "an empty line" if len(numbers) == 1 else f"the first of {len(numbers):,} empty lines"
        log.note(f"{path}:{numbers[0]}", what, "skipped")


def load_json(path: Path | str, log: Log) -> Any:
    """Return the content of a JSON file; None, and an issue, if it is not complete.

    Raises ValueError, naming the file, if it cannot be read.
    """
    data = _read_bytes(path, log)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        log.note(f"{path}:{line}", "not UTF-8", "such letters were replaced by \N{REPLACEMENT CHARACTER}")
        text = data.decode("utf-8", "replace")
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        log.issue(f"{path}:{error.lineno}", f"not complete JSON: {error.msg}", "the file was left out")
    except (ValueError, RecursionError) as error:  # a number of 5,000 digits, brackets 100,000 deep
        log.issue(f"{path}:1", f"not readable JSON: {error}", "the file was left out")
    return None


def read_json(path: Path | str, log: Log) -> dict[str, Any]:
    """Return the JSON object in a file; an empty one, and an issue, if the file does not hold a complete object.

    Raises ValueError, naming the file, if it cannot be read.
    """
    before = len(log.issues)
    content = load_json(path, log)
    if isinstance(content, dict):
        return content
    if len(log.issues) == before:
        found = shorten(content)
        log.issue(f"{path}:1", f"an object {{...}} was expected, not {found}", "the file was left out")
    return {}


def read_json_lines(path: Path | str, log: Log) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the objects in a file that holds one in each line, each with its location: "metadata.jsonl:3"."""
    for number, line in read_lines(path, log):
        location = f"{path}:{number}"
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            log.issue(location, f"{shorten(line)} is not JSON: {getattr(error, 'msg', error)}")
            continue
        if isinstance(record, dict):
            yield location, record
        else:
            log.issue(location, f"{shorten(record)} is not a record")


def read_records(path: Path | str, content: dict[str, Any], key: str, log: Log) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the objects in the list under `key`, each with its location: "captions.json:images[3]".

    Args:
        path: the file that `content` was read from, for the messages.
        content: a whole file, from `read_json`; an empty one has been reported already.
        key: name of the list.
        log: gets a line for a missing list and for every element that is not an object.
    """
    records = content.get(key, [])
    if not isinstance(records, list) or (content and key not in content):
        log.issue(path, f"no list under {key!r}")
        return
    for i, record in enumerate(records):
        if isinstance(record, dict):
            yield f"{path}:{key}[{i}]", record
        else:
            log.issue(f"{path}:{key}[{i}]", f"{shorten(record)} is not a record")


def shorten(value: object) -> str:
    """Return the value as it appears in a message: quoted, escaped, at most 60 characters."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _read_bytes(path: Path | str, log: Log) -> bytes:
    """Return the content of a file in UTF-8, as far as it can be told, without its byte order mark, which is noted."""
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise ValueError(f"{path}: it cannot be read: {error.strerror}") from None
    for head, kind in _NO_TEXT.items():
        if data.startswith(head):
            raise ValueError(f"{path}: it is {kind}, not text")
    if data.startswith(codecs.BOM_UTF8):
        log.note(f"{path}:1", "the file begins with a byte order mark", "removed")
        return data.removeprefix(codecs.BOM_UTF8)
    encoding = next((name for mark, name in _BYTE_ORDER_MARKS.items() if data.startswith(mark)), None)
    head = data[:1000]
    if encoding is None and head.count(0) > len(head) / 3:  # UTF-16 without a mark: English is half zeros
        encoding = "utf-16-be" if head[::2].count(0) > head[1::2].count(0) else "utf-16-le"
    if encoding is None:
        return data
    log.note(f"{path}:1", f"the file is {encoding[:6].upper()}, not UTF-8")
    return data.decode(encoding, "replace").encode("utf-8", "replace")


def _note_line_ends(path: Path | str, data: bytes, log: Log) -> None:
    """Note the first line that ends as on Windows, and the first that ends as on old Macs."""
    for pattern, system in ((rb"\r+\n", "Windows (CRLF)"), (rb"\r(?!\r*\n)", "old Macs (CR)")):
        if first := re.search(pattern, data):
            number = len(_LINE_END.findall(data, 0, first.start())) + 1
            log.note(f"{path}:{number}", f"lines end as on {system}")


def _guess_encoding(data: bytes) -> str:
    """Return which encoding the lines of a file may have that are not UTF-8, by how few of their letters are ASCII."""
    few = sum(byte >= 0x80 for byte in data) < len(data) / 4
    return "cp1252, as of older Windows programs" if few else "GBK, Shift-JIS, cp1251 or another code page"
