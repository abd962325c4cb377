"""Find pictures that are in two splits under whatever names: the same files, and files that look the same.

Explained in the chapter on real photographs.
"""

import hashlib
import os
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from companion.datasets.examples import Example
from companion.datasets.images import load_image

SIMILARITY = 0.975  # of two thumbnails; of 6 million pairs of Flickr8k's photographs none had more than 0.964
MAX_COMPARED = 20_000  # pictures; each takes half a millisecond if it is a small JPEG, and more if it is large
_THUMBNAIL = 16  # pixels a side
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # of red, green and blue, as a grey JPEG has it
_TAIL_BYTES = 4096
_BLOCK = 500  # pictures compared at once with all others


class Copy(NamedTuple):
    """A picture of one split that is also in a split before it, perhaps under another name."""

    split: str
    example: Example
    other_split: str
    other: Example


def find_copies(splits: Mapping[str, Sequence[Example]]) -> list[Copy]:
    """Return the pictures whose files are the same, byte by byte, as one of an earlier split.

    Only files of the same length are opened, and only those that end in the same way are read.
    """
    groups: list[list[tuple[str, Example]]] = [[(split, e) for split, examples in splits.items() for e in examples]]
    for key in (_length, _tail, content_hash):
        groups = [part for group in groups for part in _by_key(group, key) if len({split for split, _ in part}) > 1]
    return [
        Copy(split, example, *group[0]) for group in groups for split, example in group if split != group[0][0]
    ]  # fmt: skip


def _by_key(
    group: Iterable[tuple[str, Example]], key: Callable[[Path], Hashable]
) -> Iterable[list[tuple[str, Example]]]:
    parts = defaultdict(list)
    for split, example in group:
        parts[key(file_of(example))].append((split, example))
    return parts.values()


def file_of(example: Example) -> Path:
    """Return the file of an example that was read from a folder."""
    assert isinstance(example.image, Path), f"{example.name} is an array of pixels, not a file"
    return example.image


def content_hash(path: Path) -> bytes:
    """Return the SHA-256 of a file; of its name if it cannot be read, which is reported when it is decoded."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError:
        return hashlib.sha256(os.fsencode(path.name)).digest()


def _length(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1


def _tail(path: Path) -> bytes:
    """Return the last bytes of a file: those of two JPEGs differ, while the first are often the same."""
    try:
        with open(path, "rb") as file:
            file.seek(-min(_TAIL_BYTES, os.fstat(file.fileno()).st_size), os.SEEK_END)
            return file.read()
    except OSError:
        return b""


def find_near_copies(splits: Mapping[str, Sequence[Example]]) -> list[Copy]:
    """Return the pictures that look like one of an earlier split: encoded anew, in another size, a little brighter.

    The hash of a picture is the grey values of its thumbnail, without their mean and scale; two pictures look alike if
    their hashes correlate by more than `SIMILARITY`. Pictures that were cropped or mirrored are not found, nor are
    those of a single colour, nor files that cannot be decoded.
    """
    examples = [(split, example) for split, some in splits.items() for example in some]
    files = tqdm([file_of(example) for _, example in examples], "comparing photographs", leave=False, delay=3)
    hashes = np.stack([_perceptual_hash(path) for path in files])
    copies, before = [], 0  # pictures of the splits before this one
    for some in splits.values():
        for first in range(before, before + len(some) if before else 0, _BLOCK):
            block = hashes[first : min(first + _BLOCK, before + len(some))]
            similarity = block @ hashes[:before].T
            nearest = similarity.argmax(1)
            for i in np.flatnonzero(similarity.max(1) > SIMILARITY):
                copies.append(Copy(*examples[first + i], *examples[nearest[i]]))
        before += len(some)
    return copies


def _perceptual_hash(path: Path) -> np.ndarray:
    """Return the grey values of a thumbnail as a vector of length one; zeros if there is nothing to be seen."""
    try:
        grey = np.tensordot(_LUMA, load_image(path, _THUMBNAIL).numpy(), 1)
    except ValueError:
        return np.zeros(_THUMBNAIL**2, dtype=np.float32)
    vector = (grey - grey.mean()).ravel()
    length = float(np.linalg.norm(vector))
    visible = length > 2 * _THUMBNAIL  # a standard deviation of two of 255 grey values
    return vector / length if visible else np.zeros_like(vector)
