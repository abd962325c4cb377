"""What reading a data set returns: examples by split, and the findings in its files.

Explained in the chapter on real photographs.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np

SPLITS = ("train", "dev", "test")
_ALIASES = {
    "training": "train",
    "restval": "train",
    "val": "dev",
    "valid": "dev",
    "validation": "dev",
    "testing": "test",
}


class Example(NamedTuple):
    """A picture and its captions."""

    name: str
    image: Path | np.ndarray  # a file, or uint8 pixels: row col channel
    captions: tuple[str, ...]


class Dataset(NamedTuple):
    """Examples by split, and what was found in the files.

    Splits are called `train`, `dev` and `test`, or have a name of the data set's own. Issues and notes are one line
    each, "file:line: what was found; what was done". An issue cost an example or a caption, a note cost nothing.
    `split_ratio` holds the shares of train, dev (and test) if the data set named no dev split and one was made.
    """

    splits: dict[str, list[Example]]
    issues: list[str]
    notes: list[str]
    split_ratio: tuple[float, ...] | None = None


def split_name(name: str) -> str:
    """Return the name used here for a split: `train`, `dev`, `test`, or the data set's own name in lower case."""
    name = name.strip().lower()
    return _ALIASES.get(name, name)
