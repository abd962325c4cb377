"""Batches of one epoch: captions of similar length, sharded over processes. The one source of batches of every recipe.

Explained in the chapters on words and on learning.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from companion.datasets import length_bucketed, trim_padding
from companion.models import Source
from companion.training.distributed import rank_slice


class Batch(NamedTuple):
    """What one training step sees: pictures and some captions of each."""

    source: Source
    tokens: Int[Tensor, "batch beam word"]
    image_ids: Int[Tensor, "batch"] | None = None  # indices in the training set, for a reward
    alignment: Bool[Tensor, "batch beam next place"] | None = None  # places of the objects that the *next* word names


@runtime_checkable
class BatchSource(Protocol):
    """What `fit` asks of its data: the number of batches in an epoch, and the batches."""

    def __len__(self) -> int:
        """Return the number of batches in an epoch."""

    def epoch(self, generator: torch.Generator) -> Iterator[Batch]:
        """Yield the batches of one epoch, of each this process's part; `generator` alone decides the order."""


class CaptionBatches:
    """Length-bucketed batches of a captioned training set (`datasets.length_bucketed`).

    Every process draws the same batches and keeps its own part of each (`distributed.rank_slice`), so the batches do
    not depend on the number of processes.

    Args:
        tokens: captions of all pictures as ids, from `datasets.caption_tensor`.
        load: returns the images, or the cached grids, of the pictures with these indices; its second argument is True
            for pictures to be mirrored, or None if none ever is.
        batch_size: pictures a batch.
        captions_per_image: captions of each.
        image_ids: the pictures that take part; all of them if None.
        mirrorable: True for pictures whose captions stay true in the mirror; half of those are mirrored at random.
        alignment: for every caption and word the places of what it names, as `Batch.alignment`.
    """

    def __init__(
        self,
        tokens: Int[Tensor, "image beam word"],
        load: Callable[[Tensor, Tensor | None], Source],
        *,
        batch_size: int,
        captions_per_image: int,
        image_ids: Int[Tensor, "some"] | None = None,
        mirrorable: Bool[Tensor, "image"] | None = None,
        alignment: Bool[Tensor, "image beam next place"] | None = None,
    ):
        self.tokens, self.load, self.mirrorable, self.alignment = tokens, load, mirrorable, alignment
        self.batch_size, self.captions_per_image = batch_size, captions_per_image
        self.image_ids = torch.arange(len(tokens)) if image_ids is None else image_ids

    def __len__(self) -> int:
        return -(-len(self.image_ids) // self.batch_size)

    def epoch(self, generator: torch.Generator) -> Iterator[Batch]:
        """Yield every picture once, in batches; `generator` decides the order, the captions and the mirror images."""
        bucketed = length_bucketed(
            self.tokens[self.image_ids], self.batch_size, self.captions_per_image, generator=generator
        )
        for rows, captions in bucketed:
            images = self.image_ids[rows]
            mirrored = None
            if self.mirrorable is not None:
                mirrored = (torch.rand(len(images), generator=generator) < 0.5) & self.mirrorable[images]
            mine = rank_slice(len(images))
            images, captions, mirrored = images[mine], captions[mine], None if mirrored is None else mirrored[mine]
            tokens = trim_padding(self.tokens[images[:, None], captions])
            alignment = None
            if self.alignment is not None:
                alignment = self.alignment[images[:, None], captions, : tokens.shape[-1] - 1]
            yield Batch(self.load(images, mirrored), tokens, images, alignment)
