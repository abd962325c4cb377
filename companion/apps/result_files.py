"""Append captions to a file as they arrive, so that a run that was killed can be continued.

A file is a CSV table of the columns image and caption, or has one JSON object in each line. A line is there as a whole
or does not count.
"""

import codecs
import csv
import io
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

CSV_HEADER = ["image", "caption"]
CSV_START, JSON_START = b"image,caption", b'{"image": "'


class ResultFile:
    """A file of captions that is continued: `done` has the caption of each picture that is in it already.

    Opening changes nothing. The first `append` removes a line at the end that was written only in part.

    Raises:
        ValueError: the file has something else in it, and stays as it is.
    """

    def __init__(self, path: Path, *, as_csv: bool) -> None:
        self.path = path
        self.as_csv = as_csv
        self.done: dict[str, str] = {}
        self._end = 0  # of the last whole line, in bytes
        self._file: io.BufferedRandom | None = None
        if path.exists():
            self._read()

    def append(self, record: Mapping[str, Any]) -> None:
        """Write a record, with its image and caption, as one line that other programs can read at once."""
        if self._file is None:
            self._open()
        assert self._file is not None
        self._file.write(self._format_csv([record[name] for name in CSV_HEADER]) if self.as_csv else _format(record))
        self._file.flush()

    def close(self) -> None:
        """Close the file; an empty table keeps its header."""
        if self._file is not None:
            self._file.close()

    def _open(self) -> None:
        """Open the file behind its last whole line."""
        self._file = self.path.open("r+b" if self.path.exists() else "w+b")
        self._file.seek(self._end)
        self._file.truncate()
        if self.as_csv and not self._end:
            self._file.write(self._format_csv(CSV_HEADER))

    @staticmethod
    def _format_csv(row: list[str]) -> bytes:
        """Return a row of a table as a line."""
        text = io.StringIO(newline="")
        csv.writer(text).writerow(row)  # only with its own line end does it quote both parts of it
        return text.getvalue().removesuffix("\r\n").encode("utf-8", "surrogateescape") + b"\n"

    def _read(self) -> None:
        """Read the whole lines of the file."""
        if not self.path.is_file():
            raise ValueError(f"{self.path}: is not an ordinary file; choose another name")
        start = CSV_START if self.as_csv else JSON_START
        with self.path.open("rb") as file:
            begins = file.read(len(start) + 10)
        if self.as_csv:  # a program for tables may have written it anew
            begins = begins.removeprefix(codecs.BOM_UTF8).replace(b'"', b"")
        if not start.startswith(begins[: len(start)]):
            raise self._foreign(1)
        for number, line in enumerate(self._whole_lines(), start=1):
            if line.strip() and not (self.as_csv and number == 1):
                image, caption = self._parse(line, number)
                self.done[image] = caption
            self._end += len(line)

    def _whole_lines(self) -> Iterator[bytes]:
        """Yield each line that has its end. In a table, a line break may stand between quotation marks."""
        line = b""
        with self.path.open("rb") as file:
            for part in file:
                line += part
                if line.endswith(b"\n") and not (self.as_csv and line.count(b'"') % 2):
                    yield line
                    line = b""

    def _parse(self, line: bytes, number: int) -> tuple[str, str]:
        """Return the image and the caption in a line."""
        try:
            if self.as_csv:
                [row] = csv.reader(io.StringIO(line.decode("utf-8", "surrogateescape"), newline=""))
                image, caption = row
            else:
                record = json.loads(line)
                image, caption = record["image"], record["caption"]
        except (ValueError, KeyError, TypeError, csv.Error, RecursionError):
            raise self._foreign(number) from None
        if not (isinstance(image, str) and isinstance(caption, str)):
            raise self._foreign(number)
        return image, caption

    def _foreign(self, number: int) -> ValueError:
        """Return the error for a file that is not of this kind."""
        kind = "a table of image,caption" if self.as_csv else "one JSON object with image and caption a line"
        return ValueError(
            f"{self.path}:{number}: is there already, and is not {kind} as `companion caption` writes it; "
            "choose another name"
        )


def _format(record: Mapping[str, Any]) -> bytes:
    """Return the record as a line of JSON."""
    return json.dumps(record).encode() + b"\n"
