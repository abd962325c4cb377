"""A cache on disk of the grids of a frozen encoder, which then sees each photograph once and not in every epoch.

A cache is a `.npy` file in half precision with the axes image, view (as it is; mirrored), place and channel. If the
encoder names tags, too, it is a structured array with the axes image and view and the fields `features` (place channel,
in half precision) and `tags` (tag, and the columns of `TAG_COLUMNS`, in single precision). A file `.sha256` beside it,
in JSON, says of which photographs and encoder it is, and which photographs could not be read. Until it is finished,
both have other names and grow batch by batch. Explained in the chapter on real photographs.
"""

import hashlib
import io
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor, nn
from tqdm import tqdm

from companion.datasets import IMAGE_SIZE, Example, load_readable_images
from companion.encoders import Grid, TaggedEncoder, Tags
from companion.files import atomic_write
from companion.tags import TAG_WORDS

VIEWS = 2  # as it is, and mirrored
TAG_COLUMNS = 7  # word, confidence, source, and the four sides of the box; a float has every index of a word exactly


class CachedFeatures(NamedTuple):
    """The grids of the photographs that can be read, in their order; of the others the reason, by the index.

    `grids` is mapped from a file; the head of this module says what it holds.
    """

    grids: np.ndarray
    left_out: dict[int, str]


class _State(NamedTuple):
    """How far a cache is written: photographs seen, the shape of their grids (empty before the first), those left out.

    `sha256` is of what the cache is made from. `tags` is the number of tags of each view.
    """

    sha256: str
    seen: int
    shape: tuple[int, ...]
    left_out: dict[int, str]
    tags: int = 0

    @property
    def array(self) -> "_Array":
        """What the `.npy` file holds."""
        if not self.tags:
            return _Array(self.shape, np.dtype("<f2"))
        fields = [("features", "<f2", self.shape[2:]), ("tags", "<f4", (self.tags, TAG_COLUMNS))]
        return _Array(self.shape[:2], np.dtype(fields))


class _Array(NamedTuple):
    """The shape and the type of an array."""

    shape: tuple[int, ...]
    dtype: np.dtype

    def header(self) -> bytes:
        """Return the beginning of its `.npy` file; it has the same length for any number of rows."""
        file = io.BytesIO()
        about = {"descr": np.lib.format.dtype_to_descr(self.dtype), "fortran_order": False, "shape": self.shape}
        np.lib.format.write_array_header_1_0(file, about)
        return file.getvalue()

    def bytes(self) -> int:
        """Return the length of that file."""
        return len(self.header()) + self.dtype.itemsize * int(np.prod(self.shape))


class _Files(NamedTuple):
    """The files of a cache: grids and state, each finished and not."""

    grids: Path
    state: Path
    unfinished_grids: Path
    unfinished_state: Path

    @classmethod
    def of(cls, path: Path) -> "_Files":
        finished = path, path.with_suffix(".sha256")
        return cls(*finished, *(each.with_name(f".{each.name}.unfinished") for each in finished))


def fingerprint(examples: Sequence[Example]) -> str:
    """Return the SHA-256 of the examples: names, captions and the bytes of the pictures, in order.

    A file that cannot be opened counts without its bytes.
    """
    digest = hashlib.sha256()
    for example in examples:
        for text in (example.name, *example.captions):
            digest.update(text.encode() + b"\0")
        if isinstance(example.image, np.ndarray):
            digest.update(example.image.tobytes())
            continue
        try:
            with open(example.image, "rb") as file:
                while part := file.read(1 << 20):
                    digest.update(part)
        except OSError:  # it is reported when it is to be decoded
            digest.update(b"\0")
    return digest.hexdigest()


@torch.inference_mode()
def cache_features(
    encoder: nn.Module,
    examples: Sequence[Example],
    path: Path | str,
    *,
    batch_size: int = 32,
    report: Callable[[str], None] | None = None,
) -> CachedFeatures:
    """Return the grids of all photographs that can be read, and of their mirror images.

    A cache of the same examples and the same encoder is used again. If the process was stopped while it was written,
    it is continued behind the last batch. Another cache in its place stays until the new one is finished.

    Args:
        encoder: the frozen encoder, in eval mode.
        examples: whose photographs.
        path: the `.npy` file; its key goes beside it.
        batch_size: photographs encoded at once.
        report: called with the reason for each photograph that cannot be read; an exception of it ends the work.
    """
    files, report = _Files.of(Path(path)), report or (lambda reason: None)
    wanted = _sha256(encoder, examples)
    state = _read_state(files.state, wanted)
    finished = state is not None and _load_grids(files.grids, state) is not None
    if not finished:
        state = _read_state(files.unfinished_state, wanted)
        if state is not None and not _is_whole(files, state, len(examples)):
            state = None
    for reason in state.left_out.values() if state else ():
        report(reason)
    if not finished:
        state = _encode(encoder, examples, files, state or _State(wanted, 0, (), {}), batch_size, report)
        if state.shape:
            _finish(files)
    assert state is not None
    for unfinished in (files.unfinished_grids, files.unfinished_state):  # of other examples
        unfinished.unlink(missing_ok=True)
    grids = _load_grids(files.grids, state) if state.shape else np.empty((0, VIEWS, 0, 0), dtype=np.float16)
    assert grids is not None, f"{path}: was written a moment ago, and cannot be read"
    return CachedFeatures(grids, state.left_out)


def _encode(
    encoder: nn.Module,
    examples: Sequence[Example],
    files: _Files,
    state: _State,
    batch_size: int,
    report: Callable[[str], None],
) -> _State:
    """Append the grids of the examples that have not been seen, and record every batch; return the last state."""
    if not state.seen:
        files.unfinished_state.unlink(missing_ok=True)  # before the rows that it counts are overwritten
    batches = range(state.seen, len(examples), batch_size)
    for first in tqdm(batches, desc="encoding photographs", unit="batch", disable=None if batches else True):
        images, reasons = load_readable_images(examples[first : first + batch_size])
        for reason in reasons.values():
            with tqdm.external_write_mode():  # above the bar
                report(reason)
        if len(images):
            grids = [encoder(x) for x in (images, images.flip(-1))]
            rows = state.shape[0] if state.shape else 0
            shape = (rows + len(images), VIEWS, *grids[0].features.shape[1:])
            state = state._replace(shape=shape, tags=grids[0].tags.words.shape[1] if grids[0].tags else 0)
            new = _rows(grids, state.array)
            with open(files.unfinished_grids, "r+b" if rows else "wb") as file:
                file.write(state.array.header())
                file.seek(rows * new[0].nbytes, os.SEEK_CUR)
                file.write(new.tobytes())
                file.flush()
                os.fsync(file.fileno())  # before the state counts them
        left_out = state.left_out | {first + i: reason for i, reason in reasons.items()}
        state = state._replace(seen=min(first + batch_size, len(examples)), left_out=left_out)
        atomic_write(files.unfinished_state, json.dumps(state._asdict()).encode())
    return state


def _rows(grids: Sequence[Grid], array: _Array) -> np.ndarray:
    """Return the rows of an array that hold the grids of the views of some photographs."""
    features = torch.stack([grid.features for grid in grids], dim=1).half().numpy()
    if array.dtype.names is None:
        return features
    rows = np.empty(features.shape[:2], array.dtype)
    rows["features"] = features
    for view, grid in enumerate(grids):
        assert grid.tags is not None
        words, confidence, source, boxes = (x.float().numpy() for x in grid.tags)
        rows["tags"][:, view] = np.concatenate([np.stack([words, confidence, source], -1), boxes], axis=-1)
    return rows


def _finish(files: _Files) -> None:
    """Give the files their names. Stopped anywhere in between, it can be called again."""
    if files.unfinished_grids.exists():
        files.state.unlink(missing_ok=True)  # the old state never stands beside the new grids
        os.replace(files.unfinished_grids, files.grids)
    os.replace(files.unfinished_state, files.state)


def _sha256(encoder: nn.Module, examples: Sequence[Example]) -> str:
    """Return the SHA-256 of all that decides what is in a cache: the examples and the encoder."""
    digest = hashlib.sha256(f"{fingerprint(examples)} {IMAGE_SIZE} {VIEWS} {type(encoder).__qualname__}".encode())
    if isinstance(encoder, TaggedEncoder):
        digest.update(" ".join(TAG_WORDS).encode())  # tags are stored as indices of these
    for name, tensor in encoder.state_dict().items():
        digest.update(f"{name} {tuple(tensor.shape)}".encode())
        digest.update(tensor.cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _read_state(path: Path, wanted: str) -> _State | None:
    """Return the state in a file, or None if it is missing, damaged, or of another cache than the wanted one."""
    try:
        state = _State(**json.loads(path.read_bytes()))
        left_out = {int(index): reason for index, reason in state.left_out.items()}
        return state._replace(shape=tuple(state.shape), left_out=left_out) if state.sha256 == wanted else None
    except (OSError, ValueError, TypeError, AttributeError):
        return None


def _is_whole(files: _Files, state: _State, count: int) -> bool:
    """Return whether all rows are there that the state of an unfinished cache counts."""
    if not state.shape:
        return True
    if files.unfinished_grids.exists():
        return files.unfinished_grids.stat().st_size >= state.array.bytes()
    # `_finish` was stopped before its last step, or somebody has deleted the file.
    return state.seen == count and not files.state.exists() and _load_grids(files.grids, state) is not None


def _load_grids(path: Path, state: _State) -> np.ndarray | None:
    """Return the array in a file, or None if it is missing, damaged, or of another shape."""
    try:
        grids = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return grids if (grids.shape, grids.dtype) == state.array else None


def cached_grid(cache: np.ndarray, image_ids: Int[Tensor, "batch"], views: Int[Tensor, "batch"] | None = None) -> Grid:
    """Return the grids of the photographs with these indices, with their tags if these are cached, in full precision.

    `views` is 0 for a photograph as it is and 1 for its mirror image; None is 0 for all.
    """
    rows = cache[image_ids.numpy(), 0 if views is None else views.numpy()]
    features = rows if rows.dtype.names is None else rows["features"]
    side = int(features.shape[1] ** 0.5)
    grid = Grid(torch.from_numpy(features).float(), side, side)
    return grid if rows.dtype.names is None else grid._replace(tags=_tags(rows["tags"]))


def _tags(columns: np.ndarray) -> Tags:
    """Return the tags that are stored as columns (batch tag column)."""
    words, confidence, source, *sides = torch.from_numpy(columns.copy()).unbind(-1)
    return Tags(words.long(), confidence, source.long(), torch.stack(sides, -1))
