"""A cache on disk of the grids of a frozen encoder, which then sees each photograph once and not in every epoch.

A cache is a `.npy` file in half precision with the axes image, view (as it is; mirrored), place and channel; a file
`.sha256` beside it is its key. Explained in the chapter on real photographs.
"""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor, nn
from tqdm import tqdm

from companion.datasets import Example, load_images
from companion.encoders import Grid
from companion.files import atomic_write

VIEWS = 2  # as it is, and mirrored


def fingerprint(examples: Sequence[Example]) -> str:
    """Return the SHA-256 of the examples: names, captions and the bytes of the pictures, in order."""
    digest = hashlib.sha256()
    for example in examples:
        for text in (example.name, *example.captions):
            digest.update(text.encode() + b"\0")
        image = example.image
        digest.update(image.tobytes() if isinstance(image, np.ndarray) else image.read_bytes())
    return digest.hexdigest()


@torch.inference_mode()
def cache_features(
    encoder: nn.Module, examples: Sequence[Example], path: Path | str, *, batch_size: int = 32
) -> np.ndarray:
    """Return the grids of all photographs and of their mirror images, in an array mapped from the file at `path`.

    A file that is complete and was made from the same examples is used again. Otherwise it is written anew, under
    another name until it is complete.

    Args:
        encoder: the frozen encoder, in eval mode.
        examples: whose photographs.
        path: the `.npy` file; its key goes beside it.
        batch_size: photographs encoded at once.

    Returns:
        image view place channel, in half precision.

    Raises:
        ValueError: a photograph cannot be read; the message names it.
    """
    path, wanted = Path(path), fingerprint(examples)
    key = path.with_suffix(".sha256")
    if (cache := reuse_cache(path, key, wanted)) is not None:
        return cache
    unfinished = path.with_name(f".{path.name}.unfinished")  # one that a killed run has left is overwritten
    grids: np.memmap | None = None
    try:
        for first in tqdm(range(0, len(examples), batch_size), desc="encoding photographs", unit="batch"):
            images = load_images(examples[first : first + batch_size])
            views = torch.stack([encoder(x).features for x in (images, images.flip(-1))], dim=1).half().numpy()
            if grids is None:
                shape = (len(examples), *views.shape[1:])
                grids = np.lib.format.open_memmap(unfinished, mode="w+", dtype=np.float16, shape=shape)
            grids[first : first + batch_size] = views
        assert grids is not None, "no photographs to encode"
        grids.flush()
        key.unlink(missing_ok=True)  # before the new file comes, so that the old key never stands beside it
        os.replace(unfinished, path)
        atomic_write(key, wanted.encode())
    finally:
        unfinished.unlink(missing_ok=True)
    return np.load(path, mmap_mode="r", allow_pickle=False)


def reuse_cache(path: Path, key: Path, wanted: str) -> np.ndarray | None:
    """Return the array in `path` if it is readable and its key is `wanted`, otherwise None."""
    try:
        same = key.read_text() == wanted
        return np.load(path, mmap_mode="r", allow_pickle=False) if same else None
    except (OSError, ValueError, EOFError):  # missing or damaged: written anew, either way
        return None


def cached_grid(cache: np.ndarray, image_ids: Int[Tensor, "batch"], views: Int[Tensor, "batch"] | None = None) -> Grid:
    """Return the grids of the photographs with these indices, in full precision.

    `views` is 0 for a photograph as it is and 1 for its mirror image; None is 0 for all.
    """
    features = cache[image_ids.numpy(), 0 if views is None else views.numpy()]
    side = int(features.shape[1] ** 0.5)
    return Grid(torch.from_numpy(features).float(), side, side)
