"""Find pictures by the names that caption files give them, in whatever way the disk spells these names.

Explained in the chapter on real photographs.
"""

import contextlib
import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".jp2", ".ppm", ".pgm")
_OUTSIDE = re.compile(r"^[/\\]|^[A-Za-z]:|(^|[/\\])\.\.([/\\]|$)")  # /a  \a  C:a  ..  a/../b


class Match(NamedTuple):
    """A file that was found by a name, and in what the two spellings differ ("" if in nothing)."""

    path: Path
    difference: str = ""


class ImageFolder:
    """The files under one or more folders. Each subfolder is listed once: asking for 7,000 names one by one is slow.

    Args:
        roots: names are relative to one of these; the first that holds a picture of that name has it. Those that do
            not exist are passed over, but for the first.

    Raises:
        ValueError: the first folder does not exist.
    """

    def __init__(self, roots: Sequence[Path | str]):
        self.root = Path(roots[0])
        if not self.root.is_dir():
            raise ValueError(f"{self.root}: there is no such folder; the pictures are looked for there")
        self._roots = [Path(root) for root in roots if Path(root).is_dir()]
        self._listed: dict[str, tuple[set[str], set[str]]] = {}  # by folder: names of its files, of its subfolders
        self._by_key: dict[tuple[str, bool, Callable[[str], str]], defaultdict[str, list[str]]] = {}
        self._used: set[str] = set()  # folders in which a picture was found

    def find(self, name: str) -> Match | None:
        """Return the file with this name, or the only one whose name differs in spelling alone; None if there is none.

        Spelling is how letters are composed (Unicode normalisation), upper and lower case, slashes of Windows, the name
        of the folder in front, and the suffix of a picture where the name has none.
        """
        assert not is_unsafe(name), f"{name!r} should have been refused before it was looked for"
        spellings = [(name, "")]
        if "\\" in name:
            spellings.append((name.replace("\\", "/"), "with slashes of Windows"))
        if not name.lower().endswith(IMAGE_SUFFIXES):
            spellings += [(name + suffix, "without a suffix") for suffix in IMAGE_SUFFIXES]
        for root in self._roots:
            if name.startswith(f"{root.name}/"):
                spellings.append((name.removeprefix(f"{root.name}/"), "with the name of the folder in front"))
        for key, difference in _KEYS.items():
            for spelling, other_difference in spellings:
                for root in self._roots:
                    if path := self._look_up(root, spelling, key):
                        return Match(path, difference or other_difference)
        return None

    def inside(self, name: str) -> str | None:
        """Return a name relative to one of the folders if it begins with the whole path of that folder, else None."""
        beginnings = (f"{path}/" for root in self._roots for path in (root, root.resolve()))
        return next((name.removeprefix(each) for each in beginnings if name.startswith(each)), None)

    def has_folder(self, name: str) -> bool:
        """Return whether there is a subfolder with this name."""
        return any(name in self._list(root)[1] for root in self._roots)

    def look_alikes(self, name: str) -> list[str]:
        """Return the names of files in its folder that look like this one, or differ from it in the suffix."""
        parent, _, file_name = name.rpartition("/")
        alike: set[str] = set()
        for root in self._roots:
            alike.update(self._index(root / on_disk(parent), False, _skeleton)[_skeleton(file_name)])
        return sorted(alike)

    def unused(self, used: set[Path]) -> list[str]:
        """Return the names of the image files that are not in `used`, from folders in which others were found."""
        return sorted(
            file
            for folder in self._used
            for file in self._list(Path(folder))[0]
            if file.lower().endswith(IMAGE_SUFFIXES)
            and not file.startswith(".")
            and Path(folder) / on_disk(file) not in used
        )

    def _look_up(self, root: Path, name: str, key: Callable[[str], str]) -> Path | None:
        """Return the only file whose name, taken apart at the slashes, has the same keys."""
        *folders, file_name = [part for part in name.split("/") if part not in ("", ".")] or [""]
        for part in folders:
            match = self._match(root, part, key, folders=True)
            if match is None:
                return None
            root = root / on_disk(match)
        match = self._match(root, file_name, key, folders=False)
        if match is None:
            return None
        self._used.add(str(root))
        return root / on_disk(match)

    def _match(self, folder: Path, name: str, key: Callable[[str], str], *, folders: bool) -> str | None:
        if key is _exact:
            return name if name in self._list(folder)[folders] else None
        matches = self._index(folder, folders, key)[key(name)]
        return matches[0] if len(matches) == 1 else None

    def _index(self, folder: Path, folders: bool, key: Callable[[str], str]) -> defaultdict[str, list[str]]:
        """Return the names of the files in a folder, or of its subfolders, by their keys."""
        place = (str(folder), folders, key)
        if place not in self._by_key:
            self._by_key[place] = defaultdict(list)
            for name in self._list(folder)[folders]:
                self._by_key[place][key(name)].append(name)
        return self._by_key[place]

    def _list(self, folder: Path) -> tuple[set[str], set[str]]:
        if str(folder) not in self._listed:
            files: set[str] = set()
            folders: set[str] = set()
            for entry in _entries(folder):
                (folders if entry.is_dir() else files).add(_as_text(entry.name))
            self._listed[str(folder)] = files, folders
        return self._listed[str(folder)]


def is_unsafe(name: str) -> bool:
    """Return whether a file name that anybody may have written leads out of the image folder or garbles a terminal.

    Odd letters are no danger: no-break spaces, joiners of emoji and the like are read. Line breaks and other control
    characters are refused, and so is what no file name can hold.
    """
    if _OUTSIDE.search(name):
        return True
    return not name.isprintable() and any(unicodedata.category(letter) in ("Cc", "Cs") for letter in name)


def on_disk(name: str) -> str:
    """Return the name in the encoding of this process: the disk holds UTF-8 even where the locale is another."""
    return os.fsdecode(name.encode("utf-8", "surrogateescape"))


def _as_text(name: str) -> str:
    """Return the name of a file as UTF-8 has it, whatever the locale: the inverse of `on_disk`."""
    return os.fsencode(name).decode("utf-8", "surrogateescape")


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    """Yield the files and folders in a folder; nothing if there is no such folder."""
    for entry in os.scandir(folder) if folder.is_dir() else ():
        with contextlib.suppress(OSError):  # a link to itself
            if entry.is_dir() or entry.is_file():
                yield entry


def _exact(name: str) -> str:
    return name


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _folded(name: str) -> str:
    return _composed(_composed(name).casefold())


_KEYS: dict[Callable[[str], str], str] = {  # names are the same if their keys are: in what they may differ then
    _exact: "",
    _composed: "in another composition of letters",
    _folded: "in other upper and lower case",
}


def _skeleton(name: str) -> str:
    """Return a name without its suffix and all that the eye hardly sees: kinds of blanks, joiners, case, accents."""
    stem, dot, suffix = name.rpartition(".")
    letters = unicodedata.normalize("NFKD", stem if f"{dot}{suffix}".lower() in IMAGE_SUFFIXES else name).casefold()
    return "".join(letter for letter in letters if unicodedata.category(letter)[0] in "LNPS")
