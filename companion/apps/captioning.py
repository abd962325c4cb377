"""Caption many image files: one thread reads the next photographs while the model works on the last ones.

Reading a photograph takes a fifth of the time of captioning it, and Pillow lets other threads run meanwhile. One thread
is enough, and two would disturb the settings of Pillow and of `warnings` that `datasets.load_image` changes for the
time of its call. Explained in the chapter on real photographs.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor

from companion import datasets
from companion.decoding import Caption
from companion.models import Captioner

BATCH_SIZE = 16  # photographs; larger batches are hardly faster, and their captions come later


def caption_files(
    captioner: Captioner, paths: Sequence[Path], beam: int = 5
) -> Iterator[tuple[Path, Caption | ValueError]]:
    """Yield every file, in order, with its caption or with the reason why it has none.

    At most two batches of images are held at a time.
    """
    batches = growing_batches(paths)
    with ThreadPoolExecutor(1) as reader:
        reading = reader.submit(read_images, batches[0], captioner.image_size)
        for batch, following in pairwise([*batches, []]):
            images = reading.result()
            reading = reader.submit(read_images, following, captioner.image_size)
            readable = [image for image in images if isinstance(image, Tensor)]
            captions = iter(captioner.caption(torch.stack(readable), beam) if readable else [])
            for path, image in zip(batch, images, strict=True):
                yield path, image if isinstance(image, ValueError) else next(captions)


def growing_batches(paths: Sequence[Path]) -> list[Sequence[Path]]:
    """Return batches of 1, 2, 4, ... up to `BATCH_SIZE` paths, so that the first caption comes soon.

    Without paths there is one empty batch.
    """
    batches: list[Sequence[Path]] = []
    first = 0
    while first < len(paths) or not batches:
        size = min(2 ** len(batches), BATCH_SIZE)
        batches.append(paths[first : first + size])
        first += size
    return batches


def read_images(paths: Sequence[Path], image_size: int) -> list[Tensor | ValueError]:
    """Return each file's image (3 row col, bytes), or the ValueError that says why it cannot be read."""
    images: list[Tensor | ValueError] = []
    for path in paths:
        try:
            images.append(datasets.load_image(path, image_size))
        except ValueError as error:
            images.append(error)
    return images
