"""Photographs in, their grids from a frozen encoder out, stored on disk so that every epoch can reuse them.

Explained in chapter 16. A file holds half-precision numbers: photograph, view (as it is; mirrored), place, channel.
"""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from companion.batches import pictures
from companion.datasets import Example
from companion.encoders import Grid
from companion.files import write_whole

VIEWS = 2


def fingerprint(examples: Sequence[Example]) -> str:
    """SHA-256 of the examples: names, captions and the bytes of the pictures, in their order."""
    digest = hashlib.sha256()
    for example in examples:
        for text in (example.name, *example.captions):
            digest.update(text.encode() + b"\0")
        image = example.image
        digest.update(image.tobytes() if isinstance(image, np.ndarray) else image.read_bytes())
    return digest.hexdigest()


@torch.inference_mode()
def store(encoder: nn.Module, examples: Sequence[Example], path: Path | str, batch: int = 32) -> np.ndarray:
    """Grids of all the examples' photographs, and of their mirror images, as an array mapped from the file at `path`.

    Returns half precision, image view place channel. A file that is there already is used again if it is whole and was
    made of the same photographs; otherwise it is made anew, under another name first, so that half a file is never
    taken for one. ValueError, naming the photograph, if one cannot be read.
    """
    path, wanted = Path(path), fingerprint(examples)
    key = path.with_suffix(".sha256")
    if (before := reusable(path, key, wanted)) is not None:
        return before
    unfinished = path.with_name(f".{path.name}.unfinished")  # if it is there, from a run that was killed: overwritten
    grids: np.memmap | None = None
    try:
        for first in tqdm(range(0, len(examples), batch), desc="looking at photographs", unit="batch"):
            images = pictures(examples[first : first + batch])
            views = torch.stack([encoder(x).features for x in (images, images.flip(-1))], dim=1).half().numpy()
            if grids is None:
                shape = (len(examples), *views.shape[1:])
                grids = np.lib.format.open_memmap(unfinished, mode="w+", dtype=np.float16, shape=shape)
            grids[first : first + batch] = views
        assert grids is not None, "no photographs to look at"
        grids.flush()
        key.unlink(missing_ok=True)  # before the new file comes, so that the old key never stands beside it
        os.replace(unfinished, path)
        write_whole(key, wanted.encode())
    finally:
        unfinished.unlink(missing_ok=True)
    return np.load(path, mmap_mode="r", allow_pickle=False)


def reusable(path: Path, key: Path, wanted: str) -> np.ndarray | None:
    """The array in `path` if it is whole and its key is the one that is wanted; otherwise nothing."""
    try:
        same = key.read_text() == wanted
        return np.load(path, mmap_mode="r", allow_pickle=False) if same else None
    except (OSError, ValueError, EOFError):  # missing, or damaged: made anew, either way
        return None


def grid(stored: np.ndarray, pictures: Tensor, views: Tensor | None = None) -> Grid:
    """The grids of some photographs, each in the view asked for (0 as it is, 1 mirrored), in full precision."""
    chosen = stored[pictures.numpy(), 0 if views is None else views.numpy()]
    side = int(chosen.shape[1] ** 0.5)
    return Grid(torch.from_numpy(chosen).float(), side, side)
