"""Small photographs for the cases, as different from one another as photographs are."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image


def draw(seed: int, size: tuple[int, int] = (60, 40)) -> Image.Image:
    """Return a picture of coloured patches; another seed is another picture."""
    patches = np.random.default_rng(seed).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    return Image.fromarray(patches).resize(size, Image.Resampling.BICUBIC)


def write_pictures(folder: Path, names: Iterable[str], first_seed: int = 0) -> Path:
    """Write another picture for each name, which may have folders in it, and return the folder."""
    for seed, name in enumerate(names, start=first_seed):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        draw(seed).save(path)
    return folder
