"""Image files in, their captions out in the same order: one thread reads the next photographs while the model works.

Reading a photograph takes a fifth of the time of captioning it, and Pillow lets other threads run meanwhile. One thread
is enough, and two would trip over the settings of Pillow and of `warnings` that `photos.load` borrows.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor

from companion import photos
from companion.captioner import Captioner
from companion.decoding import Caption

BATCH = 16  # photographs at once; more are hardly faster, and the last of them has to be waited for


def caption_files(
    captioner: Captioner, paths: Sequence[Path], beam: int = 5
) -> Iterator[tuple[Path, Caption | ValueError]]:
    """Each file with its caption, or with the reason why it has none; at most two batches are held at a time."""
    batches = split(paths)
    with ThreadPoolExecutor(1) as reader:
        reading = reader.submit(read, batches[0], captioner.side)
        for now, later in pairwise([*batches, []]):
            images = reading.result()
            reading = reader.submit(read, later, captioner.side)
            good = [image for image in images if isinstance(image, Tensor)]
            found = iter(captioner.caption(torch.stack(good), beam) if good else [])
            for path, image in zip(now, images, strict=True):
                yield path, image if isinstance(image, ValueError) else next(found)


def split(paths: Sequence[Path]) -> list[Sequence[Path]]:
    """Batches of 1, 2, 4, ... up to `BATCH` paths, so that the first caption comes soon."""
    batches: list[Sequence[Path]] = []
    first = 0
    while first < len(paths) or not batches:
        size = min(2 ** len(batches), BATCH)
        batches.append(paths[first : first + size])
        first += size
    return batches


def read(paths: Sequence[Path], side: int) -> list[Tensor | ValueError]:
    """Each file's picture, or why it has none."""
    images: list[Tensor | ValueError] = []
    for path in paths:
        try:
            images.append(photos.load(path, side))
        except ValueError as error:
            images.append(error)
    return images
