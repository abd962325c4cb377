"""Build a clean data set from single statements: this picture has this caption, this picture is in this split.

The layouts know the file formats; this module knows what is right and wrong about pictures, captions and splits,
whatever the format. Explained in the chapter on real photographs.
"""

import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from companion.datasets.copies import Copy, file_of, find_copies
from companion.datasets.examples import SPLITS, Dataset, Example, split_name
from companion.datasets.image_folder import ImageFolder, is_unsafe
from companion.datasets.images import can_decode
from companion.datasets.parsing import Log, shorten

ImageFolders = Path | str | Sequence[Path | str]  # one folder, or several of which the first with a picture has it

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
LEAK = "a picture that was trained on measures nothing: take it out of one of them"


class DatasetBuilder(Log):
    """Collects captions and split assignments in the order of the files, with the issues and notes.

    `location` is always the place in a file where something was read ("captions.csv:3"); messages begin with it.

    Args:
        image_folders: where the pictures are, one folder or several; their names are relative to one of them.

    Raises:
        ValueError: the first folder does not exist.
    """

    def __init__(self, image_folders: ImageFolders):
        super().__init__()
        self.folder = ImageFolder([image_folders] if isinstance(image_folders, Path | str) else image_folders)
        self._captions: dict[str, list[str]] = {}
        self._first_location: dict[str, str] = {}  # of each captioned picture
        self._splits: dict[str, tuple[str, str]] = {}  # picture -> split, location
        self._refused: set[tuple[str, str]] = set()
        self._paths: dict[str, Path | None] = {}  # by each name that was read
        self._first_name: dict[Path | str, str] = {}  # of each file; of each name that no file has
        self._spelt: dict[str, list[tuple[str, Path]]] = {}  # in what names differ from their files -> those that do

    def add_caption(self, name: str, text: str, location: str) -> None:
        """Add a caption of the picture `name`, white space collapsed. One without a word in it is an issue."""
        text = " ".join(_CONTROL.sub(" ", text).split())
        if (picture := self._identify(name, location)) is None:
            return
        if not re.search(r"[^\W_]", text):
            without_word = f"the caption {shorten(text)} of {name!r} has no word in it"
            self.issue(location, without_word if text else f"an empty caption of {name!r}")
            return
        self._captions.setdefault(picture, []).append(text)
        self._first_location.setdefault(picture, location)

    def assign_split(self, name: str, split: str, location: str, *, once: bool = False) -> bool:
        """Put the picture `name` into a split, and return whether it was in none before.

        Args:
            name: the picture.
            split: any name that `split_name` takes.
            location: where this was read.
            once: being assigned to the same split a second time is noted.

        Raises:
            ValueError: the picture is in another split already.
        """
        if (picture := self._identify(name, location)) is None:
            return False
        split = split_name(split)
        if picture not in self._splits:
            self._splits[picture] = (split, location)
            return True
        other_split, other_location = self._splits[picture]
        if other_split != split:
            raise ValueError(
                f"{location}: the picture {name!r} is in the split {split!r}, and in {other_split!r} by "
                f"{other_location}; {LEAK}"
            )
        if once:
            self.note(location, f"{name!r} was named before, by {other_location}", "counted once")
        return False

    def prefer_folder(self, name: str, *folders: str) -> str:
        """Return the name of the picture inside the first of these subfolders that has it, else the name itself."""
        if name and not is_unsafe(name):
            for inside in (f"{folder}/{name}" for folder in folders if self.folder.has_folder(folder)):
                if self.folder.find(inside):
                    return inside
        return name

    def build(self) -> Dataset:
        """Return the data set of all pictures that are on the disk, have a caption and are in a split.

        Raises ValueError if the files of two pictures in different splits are the same.
        """
        splits: dict[str, list[Example]] = {name: [] for name in SPLITS}
        for name, (split, location) in self._splits.items():
            path = self._paths[name]
            if path is None:
                self._report_missing(name, location)
            elif name not in self._captions:
                self.issue(location, f"the picture {name!r} has no caption")
            else:
                splits.setdefault(split, []).append(Example(name, path, tuple(self._captions[name])))
        self._report_unused()
        splits = {split: examples for split, examples in splits.items() if examples}
        # The same error page in place of two photographs is no leak; both will be left out.
        if copies := [copy for copy in find_copies(splits) if can_decode(file_of(copy.example))]:
            raise ValueError(self._describe_leak(copies))
        return Dataset(splits, self.issues, self.notes)

    def _report_missing(self, name: str, location: str) -> None:
        """Record that there is no such picture; with those that look like it, and what the eye does not see."""
        alike = " and ".join(ascii(other) for other in self.folder.look_alikes(name)[:2])
        where = f"{name!a} in {self.folder.root}, only {alike}" if alike else f"{name!r} in {self.folder.root}"
        self.issue(location, f"there is no picture {where}")

    def _report_unused(self) -> None:
        """Record captions without a picture or a split, pictures without a caption, and names spelt otherwise."""
        without_split = []
        for name, location in self._first_location.items():
            if name in self._splits:
                continue
            if self._paths[name] is None:
                self._report_missing(name, location)
            else:
                without_split.append(name)
        if without_split:
            first_location = self._first_location[without_split[0]]
            self.issue(first_location, _summary(without_split, "with captions but in no split"))
        without_caption = self.folder.unused({path for path in self._paths.values() if path})
        if without_caption:
            self.note(self.folder.root, _summary(without_caption, "without a caption"), "not used")
        for difference, cases in self._spelt.items():
            name, path = cases[0]
            pictures = f"{len(cases):,} pictures are" if len(cases) > 1 else "1 picture is"
            finding = f"{pictures} written {difference} (the first is {name!a} for {path.name!a})"
            self.note(self.folder.root, finding)

    def _describe_leak(self, copies: list[Copy]) -> str:
        """Return in one line which pictures are the same, and what to do."""
        split, example, other_split, other = copies[0]
        more = f" (and {len(copies) - 1:,} more such pictures)" if len(copies) > 1 else ""
        return (
            f"{self._splits[example.name][1]}: the picture {example.name!r} in the split {split!r} is the same file as "
            f"{other.name!r} in {other_split!r} by {self._splits[other.name][1]}{more}; {LEAK}"
        )

    def _identify(self, name: str, location: str) -> str | None:
        """Return the first name that was read for this picture, or None, and an issue, if it names no file in here."""
        name = self.folder.inside(name) or name
        if not name or is_unsafe(name):
            if (name, location) not in self._refused:  # the caption and the split of one line are one issue
                self._refused.add((name, location))
                problem = f"{shorten(name)} names no file inside the picture folder" if name else "no picture is named"
                self.issue(location, problem, "never opened" if name else "left out")
            return None
        if name not in self._paths:
            match = self.folder.find(name)
            self._paths[name] = match.path if match else None
            if match and match.difference:
                self._spelt.setdefault(match.difference, []).append((name, match.path))
        return self._first_name.setdefault(self._paths[name] or unicodedata.normalize("NFC", name), name)


def _summary(names: list[str], what: str) -> str:
    return f"{len(names):,} picture{'s' if len(names) > 1 else ''} {what} (the first is {names[0]!r})"
