"""Find the pictures in a folder, and say what was passed over."""

import os
from collections import Counter
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from companion.datasets.images import FORMATS


class FoundPictures(NamedTuple):
    """The pictures in a folder, sorted, and what else there is.

    `hidden` counts files and folders whose name begins with a dot, `others` the files that are no pictures, by suffix.
    `unreadable` has a line for each folder that could not be listed.
    """

    paths: list[Path]
    hidden: int
    others: Counter[str]
    unreadable: list[str]

    def passed_over(self) -> str:
        """Return what was passed over in words, such as "1 hidden, 2 no pictures (.csv, .txt)"; "" for nothing."""
        kinds = ", ".join(sorted(self.others)[:5]) + (", ..." if len(self.others) > 5 else "")
        parts = [f"{self.hidden:,} hidden"] * bool(self.hidden)
        parts += [f"{self.others.total():,} no pictures ({kinds})"] * bool(self.others)
        return ", ".join(parts)


def find_pictures(folder: Path, exclude: Collection[Path] = ()) -> FoundPictures:
    """Return the pictures in a folder and its subfolders, except those in the folders of `exclude`.

    A file is a picture by its suffix; without a suffix, by its first bytes. Links to folders are not followed.
    """
    Image.init()
    suffixes = {suffix for suffix, name in Image.registered_extensions().items() if name in FORMATS}
    found = FoundPictures([], 0, Counter(), [])
    hidden, excluded = 0, {path.resolve() for path in exclude}

    def note_unreadable(error: OSError) -> None:
        found.unreadable.append(f"{error.filename}: it cannot be read: {error.strerror}")

    for parent, folders, files in os.walk(folder, onerror=note_unreadable):
        hidden += sum(name.startswith(".") for name in (*folders, *files))
        folders[:] = [
            name for name in folders if not name.startswith(".") and Path(parent, name).resolve() not in excluded
        ]
        for name in files:
            path = Path(parent, name)
            if name.startswith("."):
                continue
            is_picture = path.suffix.lower() in suffixes if path.suffix else _looks_like_picture(path)
            if is_picture and not (path.exists() and not path.is_file()):  # a broken link will be reported
                found.paths.append(path)
            else:
                found.others[path.suffix.lower() or "without suffix"] += 1
    found.paths.sort(key=lambda path: path.parts)
    return found._replace(hidden=hidden)


def _looks_like_picture(path: Path) -> bool:
    """Return whether the file begins like a picture."""
    try:
        if not path.is_file():  # a pipe could keep us waiting for ever
            return False
        with Image.open(path, formats=FORMATS):
            return True
    except Exception:  # readers of formats raise whatever the bytes lead them to
        return False
