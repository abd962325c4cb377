"""Claims go in ("this picture has this caption", "it is in this split"); a clean `Dataset` and its faults come out.

datasets.py knows the file layouts; what is right and wrong about pictures, captions and splits, whatever the layout, is
known here. Explained in chapter 16.
"""

import filecmp
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".jp2", ".ppm", ".pgm")
_OUTSIDE = re.compile(r"^[/\\]|^[A-Za-z]:|(^|[/\\])\.\.([/\\]|$)")  # /a  \a  C:a  ..  a/../b
_ORDER = ("train", "dev", "test")
_ALIASES = {
    "training": "train",
    "restval": "train",
    "val": "dev",
    "valid": "dev",
    "validation": "dev",
    "testing": "test",
}


class Example(NamedTuple):
    """One picture and what people said of it."""

    name: str
    image: Path | np.ndarray  # a file, or uint8 "row col channel"
    captions: tuple[str, ...]


class Dataset(NamedTuple):
    """Examples by split (`train`, `dev`, `test`), and what was wrong in the files: "file:line: what; what was done"."""

    splits: dict[str, list[Example]]
    faults: list[str]


def split_name(name: str) -> str:
    """The name used here: `train`, `dev`, `test`; a name of somebody's own is kept, in lower case."""
    name = name.strip().lower()
    return _ALIASES.get(name, name)


class Folder:
    """The pictures under a folder, each subfolder listed once: asking the disk for 7,000 names one by one is slow."""

    def __init__(self, root: Path | str):
        self.root = Path(root)
        if not self.root.is_dir():
            raise ValueError(f"{self.root}: there is no such folder; the pictures are looked for there")
        self._listed: dict[str, set[str]] = {}

    def find(self, name: str) -> Path | None:
        """The file, or None if it is not there."""
        assert not unsafe(name), f"{name!r} should have been refused before anybody looked for it"
        parent, _, last = name.rpartition("/")
        if parent not in self._listed:
            place = self.root / on_disk(parent)
            files = [entry.name for entry in os.scandir(place) if entry.is_file()] if place.is_dir() else []
            self._listed[parent] = {os.fsencode(name).decode("utf-8", "surrogateescape") for name in files}
        return self.root / on_disk(name) if last in self._listed[parent] else None

    def pictures(self) -> set[str]:
        """Names of the picture files in the folders that have been asked about."""
        return {
            f"{parent}/{name}" if parent else name
            for parent, names in self._listed.items()
            for name in names
            if name.lower().endswith(PICTURES)
        }


def unsafe(name: str) -> bool:
    """Does this name, from a file that anybody may have written, lead out of the picture folder, or garble a screen?"""
    return not name.isprintable() or bool(_OUTSIDE.search(name))


def on_disk(name: str) -> str:
    """The name as the locale of this process spells it: the disk holds UTF-8, whatever the locale believes."""
    return os.fsdecode(name.encode("utf-8", "surrogateescape"))


class Collector:
    """Takes claims in file order, notes faults, and puts the data set together at the end."""

    def __init__(self, image_folder: Path | str, faults: list[str]):
        self.folder = Folder(image_folder)
        self.faults = faults
        self._captions: dict[str, list[str]] = {}
        self._first: dict[str, str] = {}  # where a captioned picture was first named
        self._splits: dict[str, tuple[str, str]] = {}  # picture -> split, where
        self._refused: set[tuple[str, str]] = set()
        self._namesakes: dict[str, list[str]] = {}  # file name without folder -> pictures in a split

    def fault(self, where: str, what: str, done: str = "left out") -> None:
        """Note what was wrong, where, and what was done about it."""
        self.faults.append(f"{where}: {what}; {done}")

    def caption(self, name: str, text: str, where: str) -> None:
        """`text` was said of the picture `name`."""
        text = " ".join(text.split())
        if not self._safe(name, where):
            return
        if not re.search(r"[^\W_]", text):
            self.fault(
                where,
                f"the caption {short(text)} of {name!r} has no word in it" if text else f"an empty caption of {name!r}",
            )
            return
        self._captions.setdefault(name, []).append(text)
        self._first.setdefault(name, where)

    def assign(self, name: str, split: str, where: str, once: bool = False) -> bool:
        """The picture `name` is in `split`; is that news? With `once`, it is a fault if not.

        ValueError if it, or a copy of it under the same file name, is in another split as well.
        """
        if not self._safe(name, where):
            return False
        split = split_name(split)
        namesakes = self._namesakes.setdefault(name.rpartition("/")[2], [])
        for other in namesakes:
            known, there = self._splits[other]
            if known != split and (other == name or self._same_bytes(other, name)):
                raise ValueError(
                    f"{where}: the picture {name!r} is in the split {split!r}, and in {known!r} by {there}; "
                    "a picture that was trained on measures nothing: take it out of one of them"
                )
        if name not in self._splits:
            self._splits[name] = (split, where)
            namesakes.append(name)
            return True
        if once:
            self.fault(where, f"{name!r} was named before, by {self._splits[name][1]}", "counted once")
        return False

    def dataset(self) -> Dataset:
        """All pictures that are on the disk, have a caption and are in a split."""
        splits: dict[str, list[Example]] = {name: [] for name in _ORDER}
        for name, (split, where) in self._splits.items():
            path = self.folder.find(name)
            if path is None:
                self.fault(where, f"there is no picture {name!r} in {self.folder.root}")
            elif name not in self._captions:
                self.fault(where, f"the picture {name!r} has no caption")
            else:
                splits.setdefault(split, []).append(Example(name, path, tuple(self._captions[name])))
        self._report_unused()
        return Dataset({split: examples for split, examples in splits.items() if examples}, self.faults)

    def _report_unused(self) -> None:
        spare = []
        for name, where in self._first.items():
            if name in self._splits:
                continue
            if self.folder.find(name) is None:
                self.fault(where, f"there is no picture {name!r} in {self.folder.root}")
            else:
                spare.append(name)
        if spare:
            self.fault(self._first[spare[0]], _count(spare, "with captions but in no split"))
        silent = sorted(self.folder.pictures() - self._captions.keys() - self._splits.keys())
        if silent:
            self.fault(str(self.folder.root), _count(silent, "without a caption"))

    def _safe(self, name: str, where: str) -> bool:
        if name and not unsafe(name):
            return True
        if (name, where) not in self._refused:  # the caption and the split of one line are one fault
            self._refused.add((name, where))
            what = f"{short(name)} names no file inside the picture folder" if name else "no picture is named"
            self.fault(where, what, "never opened" if name else "left out")
        return False

    def _same_bytes(self, one: str, other: str) -> bool:
        paths = self.folder.find(one), self.folder.find(other)
        return paths[0] is not None and paths[1] is not None and filecmp.cmp(paths[0], paths[1], shallow=False)


def _count(names: list[str], what: str) -> str:
    return f"{len(names):,} picture{'s' if len(names) > 1 else ''} {what} (the first is {names[0]!r})"


def lines(path: Path | str, faults: list[str]) -> Iterator[tuple[int, str]]:
    """Numbered lines of a UTF-8 file. A byte order mark and Windows line ends are tolerated, and reported once."""
    data = _bytes(path, faults)
    windows = False
    for number, line in enumerate(data.removesuffix(b"\n").split(b"\n") if data else [], start=1):
        if line.endswith(b"\r") and not windows:
            windows = True
            faults.append(f"{path}:{number}: lines end as on Windows (CRLF); read all the same")
        try:
            yield number, line.removesuffix(b"\r").decode("utf-8")
        except UnicodeDecodeError:
            faults.append(f"{path}:{number}: {short(line.decode('utf-8', 'replace'))} is not UTF-8; left out")


def document(path: Path | str, faults: list[str]) -> dict[str, Any]:
    """A JSON object from a file; an empty one, and a fault, if the file does not hold a whole one."""
    data = _bytes(path, faults)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        faults.append(f"{path}:{line}: not UTF-8; such letters were replaced by \N{REPLACEMENT CHARACTER}")
        text = data.decode("utf-8", "replace")
    try:
        whole = json.loads(text)
    except json.JSONDecodeError as error:
        faults.append(f"{path}:{error.lineno}: not whole JSON: {error.msg}; the file was left out")
        return {}
    except (ValueError, RecursionError) as error:  # a number of 5,000 digits, brackets 100,000 deep
        faults.append(f"{path}:1: not readable JSON: {error}; the file was left out")
        return {}
    if not isinstance(whole, dict):
        faults.append(f"{path}:1: an object {{...}} was expected, not {short(whole)}; the file was left out")
        return {}
    return whole


def records(path: Path | str, whole: dict[str, Any], key: str, faults: list[str]) -> Iterator[tuple[str, dict]]:
    """The objects in the list under `key`, each with its place in the file: "captions.json:images[3]"."""
    found = whole.get(key, [])
    if not isinstance(found, list) or (whole and key not in whole):
        faults.append(f"{path}: no list under {key!r}; left out")
        return
    for i, record in enumerate(found):
        if isinstance(record, dict):
            yield f"{path}:{key}[{i}]", record
        else:
            faults.append(f"{path}:{key}[{i}]: {short(record)} is no record; left out")


def _bytes(path: Path | str, faults: list[str]) -> bytes:
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise ValueError(f"{path}: it cannot be read: {error.strerror}") from None
    if data.startswith(b"\xef\xbb\xbf"):
        faults.append(f"{path}:1: the file begins with a byte order mark; taken off")
    return data.removeprefix(b"\xef\xbb\xbf")


def short(value: object) -> str:
    """For a message: quoted, escaped, cut."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
