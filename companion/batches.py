"""Examples go in; token tensors and the order in which to visit them come out.

The five captions of one picture lie on the `beam` axis, so that the picture is encoded once and not five times.
Explained in chapter 9, "Words into numbers".
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int, UInt8
from torch import Tensor

from companion import photos
from companion.datasets import Example
from companion.vocabulary import Vocabulary


def pictures(examples: Sequence[Example]) -> UInt8[Tensor, "batch 3 row col"]:
    """The examples' pictures, files read and made square. ValueError, naming the file, if one cannot be read."""
    return torch.stack([_pixels(example.image) for example in examples])


def _pixels(image: Path | np.ndarray) -> Tensor:
    return torch.from_numpy(image.transpose(2, 0, 1).copy()) if isinstance(image, np.ndarray) else photos.load(image)


def collate(captions: Sequence[Sequence[Sequence[int]]]) -> Int[Tensor, "batch beam word"]:
    """Ids as one tensor: short captions end in `<pad>`, and a picture with fewer captions has rows of nothing else."""
    beam = max((len(several) for several in captions), default=0)
    longest = max((len(ids) for several in captions for ids in several), default=0)
    padded = [
        [[*ids, *[Vocabulary.pad] * (longest - len(ids))] for ids in [*several, *[[]] * (beam - len(several))]]
        for several in captions
    ]
    return torch.tensor(padded, dtype=torch.long).reshape(len(captions), beam, longest)


def caption_tensor(
    examples: Sequence[Example],
    vocabulary: Vocabulary,
    per_image: int = 5,
    max_words: int | None = 20,
    seed: int = 0,
) -> Int[Tensor, "image beam word"]:
    """Captions of all examples as ids between `<start>` and `<end>`, `per_image` of each, cut to `max_words` words.

    A picture with exactly `per_image` captions gives them in their order. One with more gives a random choice of them;
    one with fewer gives all of them, and fills up with repeats drawn at random. The same `seed` draws the same.
    """
    assert per_image > 0, f"per_image={per_image}: a picture without captions teaches nothing"
    generator = torch.Generator().manual_seed(seed)
    rows = []
    for example in examples:
        assert example.captions, f"{example.name} has no caption; datasets.read leaves such pictures out"
        encoded = [vocabulary.encode(caption, max_words) for caption in example.captions]
        rows.append([encoded[i] for i in _draw(len(encoded), per_image, generator)])
    return collate(rows)


def _draw(count: int, wanted: int, generator: torch.Generator) -> list[int]:
    """`wanted` of `count` indices: each once before any comes twice."""
    if count == wanted:
        return list(range(count))
    if count > wanted:
        return sorted(torch.randperm(count, generator=generator)[:wanted].tolist())
    return [*range(count), *torch.randint(count, (wanted - count,), generator=generator).tolist()]


def batches(count: int, batch_size: int, generator: torch.Generator | None = None) -> Iterator[Int[Tensor, " batch"]]:
    """Indices 0 to count - 1, each once, `batch_size` at a time, the last batch maybe smaller.

    Shuffled by `generator`, whose state alone decides the order; without one, in order (for measuring).
    """
    assert batch_size > 0, f"batch_size={batch_size}: a batch holds at least one picture"
    order = torch.arange(count) if generator is None else torch.randperm(count, generator=generator)
    yield from order.split(batch_size)


def similar(
    tokens: Int[Tensor, "image beam word"], batch_size: int, captions: int, generator: torch.Generator, pool: int = 20
) -> Iterator[tuple[Int[Tensor, " batch"], Int[Tensor, "batch captions"]]]:
    """Each image once, in batches of captions of similar length: the images' indices, and which captions of each.

    Most of a batch of captions of any length is padding, and padding costs as much as words. So each image brings
    `captions` of its captions, neighbours in length, and batches are cut from `pool` batches' worth of images sorted by
    them. Images, captions and the order of the batches are drawn by `generator`.
    """
    lengths = (tokens != Vocabulary.pad).sum(-1)
    order = lengths.argsort(-1)
    count, beams = lengths.shape
    assert captions <= beams, f"{captions} captions of images that have {beams}"
    shuffled = torch.randperm(count, generator=generator)
    first = torch.randint(beams - captions + 1, (count, 1), generator=generator)
    chosen = order.gather(1, first + torch.arange(captions))
    longest = lengths.gather(1, chosen).amax(1)
    cut: list[Tensor] = []
    for some in shuffled.split(pool * batch_size):
        cut += some[longest[some].argsort()].split(batch_size)
    for i in torch.randperm(len(cut), generator=generator).tolist():
        yield cut[i], chosen[cut[i]]
