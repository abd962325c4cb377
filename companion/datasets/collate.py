"""Turn examples into tensors, and decide in which order an epoch visits them.

The captions of a picture lie along the `beam` axis, so that the picture is encoded once and not once per caption.
Explained in the chapter on words.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int, UInt8
from torch import Tensor

from companion.datasets.examples import Example
from companion.datasets.images import IMAGE_SIZE, load_image
from companion.vocabulary import Vocabulary


def load_images(examples: Sequence[Example]) -> UInt8[Tensor, "batch 3 row col"]:
    """Return the pictures of the examples; files are read by `load_image` in its default size.

    Raises ValueError, naming the file, if one cannot be read.
    """
    return torch.stack([_pixels(example.image) for example in examples])


def load_readable_images(examples: Sequence[Example]) -> tuple[UInt8[Tensor, "readable 3 row col"], dict[int, str]]:
    """Return the pictures that `load_images` can read; of the others the reason, "FILE: reason", by the index."""
    images, reasons = [], {}
    for i, example in enumerate(examples):
        try:
            images.append(_pixels(example.image))
        except ValueError as error:
            reasons[i] = str(error)
    return torch.stack(images) if images else torch.empty((0, 3, IMAGE_SIZE, IMAGE_SIZE), dtype=torch.uint8), reasons


def _pixels(image: Path | np.ndarray) -> Tensor:
    return torch.from_numpy(image.transpose(2, 0, 1).copy()) if isinstance(image, np.ndarray) else load_image(image)


def collate_captions(captions: Sequence[Sequence[Sequence[int]]]) -> Int[Tensor, "batch beam word"]:
    """Return the token ids of several captions per picture as one tensor, padded with `<pad>`.

    A picture with fewer captions than the others gets rows of padding alone.
    """
    beam = max((len(of_image) for of_image in captions), default=0)
    longest = max((len(ids) for of_image in captions for ids in of_image), default=0)
    padded = [
        [[*ids, *[Vocabulary.pad] * (longest - len(ids))] for ids in [*of_image, *[[]] * (beam - len(of_image))]]
        for of_image in captions
    ]
    return torch.tensor(padded, dtype=torch.long).reshape(len(captions), beam, longest)


def caption_tensor(
    examples: Sequence[Example],
    vocabulary: Vocabulary,
    *,
    per_image: int = 5,
    max_words: int | None = 20,
    seed: int = 0,
) -> Int[Tensor, "image beam word"]:
    """Return the captions of all examples as token ids between `<start>` and `<end>`.

    Args:
        examples: each with one caption or more.
        vocabulary: its words.
        per_image: captions of each picture. One with exactly so many gives them in their order; one with more gives a
            random choice; one with fewer gives all of them, and then repeats drawn at random.
        max_words: words after these are cut off; None keeps all.
        seed: of the random choices.
    """
    assert per_image > 0, f"per_image={per_image}: a picture without captions teaches nothing"
    generator = torch.Generator().manual_seed(seed)
    captions = []
    for example in examples:
        assert example.captions, f"{example.name} has no caption; datasets.read leaves such pictures out"
        encoded = [vocabulary.encode(caption, max_words) for caption in example.captions]
        captions.append([encoded[i] for i in _choose(len(encoded), per_image, generator)])
    return collate_captions(captions)


def _choose(available: int, count: int, generator: torch.Generator) -> list[int]:
    """Return `count` of the indices below `available`: each once before any is repeated."""
    if available == count:
        return list(range(available))
    if available > count:
        return sorted(torch.randperm(available, generator=generator)[:count].tolist())
    return [*range(available), *torch.randint(available, (count - available,), generator=generator).tolist()]


def batch_indices(
    count: int, batch_size: int, generator: torch.Generator | None = None
) -> Iterator[Int[Tensor, "batch"]]:
    """Yield the indices 0 to `count - 1`, each once, in batches; the last batch may be smaller.

    They are shuffled by `generator`, whose state alone decides the order, or come in order without one.
    """
    assert batch_size > 0, f"batch_size={batch_size}: a batch holds at least one picture"
    order = torch.arange(count) if generator is None else torch.randperm(count, generator=generator)
    yield from order.split(batch_size)


def length_bucketed(
    tokens: Int[Tensor, "image beam word"],
    batch_size: int,
    captions: int,
    *,
    generator: torch.Generator,
    pool: int = 20,
) -> Iterator[tuple[Int[Tensor, "batch"], Int[Tensor, "batch captions"]]]:
    """Yield every picture once, in batches of captions of similar length: the pictures, and which captions of each.

    A batch of captions of any length is mostly padding, and padding costs as much as words. So each picture takes part
    with some of its captions that are neighbours in length, and batches are cut from a pool of pictures sorted by the
    longest of these.

    Args:
        tokens: the captions of all pictures, from `caption_tensor`.
        batch_size: pictures per batch.
        captions: captions of each.
        generator: decides the order of the pictures, the captions of each, and the order of the batches.
        pool: batches that are cut from one pool. A larger pool means less padding and less shuffling.
    """
    lengths = (tokens != Vocabulary.pad).sum(-1)
    by_length = lengths.argsort(-1)
    count, beam = lengths.shape
    assert captions <= beam, f"{captions} captions of pictures that have {beam}"
    shuffled = torch.randperm(count, generator=generator)
    first = torch.randint(beam - captions + 1, (count, 1), generator=generator)
    chosen = by_length.gather(1, first + torch.arange(captions))
    longest = lengths.gather(1, chosen).amax(1)
    batches: list[Tensor] = []
    for images in shuffled.split(pool * batch_size):
        batches += images[longest[images].argsort()].split(batch_size)
    for i in torch.randperm(len(batches), generator=generator).tolist():
        yield batches[i], chosen[batches[i]]


def trim_padding(tokens: Int[Tensor, "*batch word"]) -> Int[Tensor, "*batch shorter"]:
    """Return the tokens without the columns that are padding in every caption of the batch."""
    return tokens[..., : int((tokens != Vocabulary.pad).sum(-1).max())]
