"""What a captioner with tags learns from beside captioned photographs: captions alone, and captions made by retrieval.

An epoch mixes batches of three streams: photographs with their captions (grid and tags), twice in an epoch; captions
without a photograph (the grid is withheld, and the tags are simulated); photographs with captions that nobody wrote for
them (grid and tags). Only the first is learnt from with the reward, too. Explained in the chapter on real photographs.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from companion import datasets
from companion.datasets import Example
from companion.datasets.parsing import Log, read_json, read_lines, read_records, shorten
from companion.encoders import Grid
from companion.tags import simulate_tags
from companion.tasks import languages
from companion.tokenizer import Tokenizer
from companion.training import Batch, BatchSource, CaptionBatches, TrainConfig, feature_cache
from companion.vocabulary import Vocabulary


class StreamConfig(NamedTuple):
    """How the streams are mixed, and how often a memory is withheld, so that the decoder learns to use either."""

    photo_passes: int = 2  # over the photographs with their own captions, in an epoch; over the other streams one
    grid_dropout: float = 0.1  # share of the batches of photographs that come without their grid
    tag_dropout: float = 0.1  # share of those that come without their tags


STREAMS = StreamConfig()
NO_PICTURE = np.zeros((0, 0, 3), dtype=np.uint8)
Holdout = Callable[[int], tuple[Tensor, Tensor]]


def read_text(path: Path, *, report: Callable[[str], None] | None = None, strict: bool = False) -> list[Example]:
    """Return the captions in a file as examples without a picture.

    Args:
        path: a file `.json` in the form of COCO's captions, whose captions of one picture make one example; or a text
            file with a caption in each line, each an example of its own.
        report: called with every issue and note, one line each.
        strict: the first issue is an error.

    Raises:
        ValueError: there is no caption in the file; or with `strict`, there is an issue.
    """
    log = Log()
    captions: defaultdict[str, list[str]] = defaultdict(list)
    if path.suffix.lower() == ".json":
        for location, record in read_records(path, read_json(path, log), "annotations", log):
            image_id, text = record.get("image_id"), record.get("caption")
            if isinstance(image_id, int | str) and isinstance(text, str) and text.strip():
                captions[f"{path.name}:{image_id}"].append(" ".join(text.split()))
            else:
                log.issue(location, f"{shorten(record)} has no image_id or no caption")
    else:
        for number, line in read_lines(path, log):
            captions[f"{path.name}:{number}"].append(" ".join(line.split()))
    if strict and log.issues:
        raise ValueError(log.issues[0].rpartition(";")[0])
    if not captions:
        raise ValueError(f"{path}: there is no caption in this file")
    if report is not None:
        for line in (*log.issues, *log.notes):
            report(line)
    return [Example(name, NO_PICTURE, tuple(texts)) for name, texts in captions.items()]


def new_captions(retrieved: Sequence[Example], texts: Sequence[Example]) -> list[Example]:
    """Return the retrieved captions that are in none of the texts, each once; the others are counted there."""
    known = {caption for example in texts for caption in example.captions}
    captions = {" ".join(caption.split()) for example in retrieved for caption in example.captions}
    return [Example("retrieved", NO_PICTURE, tuple(sorted(captions - known)))]


class Stream(NamedTuple):
    """Captions to learn from, and where the grids of the pictures with these indices come from."""

    examples: list[Example]
    load: Callable[[Tensor, Tensor | None], Grid]
    mirrorable: Bool[Tensor, "image"] | None = None  # None if no picture is ever mirrored
    passes: int = 1  # in an epoch


def photograph_stream(examples: list[Example], cache: np.ndarray, sides: str | None) -> Stream:
    """Return the stream of photographs with cached grids; `sides` is the language of `languages.find_mirrorable`."""

    def load(chosen: Tensor, mirrored: Tensor | None) -> Grid:
        assert mirrored is not None
        return feature_cache.cached_grid(cache, chosen, mirrored.long())

    return Stream(examples, load, languages.find_mirrorable(examples, sides))


def text_stream(examples: list[Example], tokenizer: Tokenizer, channels: int) -> Stream:
    """Return the stream of captions without photographs: grids of no places, with simulated tags.

    Every batch is simulated anew, with PyTorch's default generator, which the training loop seeds in every epoch.

    Args:
        examples: the captions.
        tokenizer: makes words of them.
        channels: of the encoder's grid.
    """
    words = [{word for caption in example.captions for word in tokenizer.tokenize(caption)} for example in examples]

    def load(chosen: Tensor, mirrored: Tensor | None) -> Grid:
        tags = simulate_tags([words[i] for i in chosen.tolist()], torch.default_generator)
        return Grid(torch.zeros(len(chosen), 0, channels), 0, 0, tags)

    return Stream(examples, load)


def caption_batches(
    stream: Stream, vocabulary: Vocabulary, config: TrainConfig, holdout: Holdout
) -> tuple[CaptionBatches, CaptionBatches]:
    """Return the batches of a stream for cross-entropy, and those for the reward."""
    tokens = datasets.caption_tensor(stream.examples, vocabulary, max_words=vocabulary.tokenizer.max_words)
    taught, held_out = (
        CaptionBatches(
            tokens, stream.load, image_ids=image_ids, mirrorable=stream.mirrorable,
            batch_size=config.batch_size, captions_per_image=config.captions_per_image,
        )
        for image_ids in holdout(len(stream.examples))
    )  # fmt: skip
    return taught, held_out


def mix(
    streams: Sequence[Stream], vocabulary: Vocabulary, config: TrainConfig, *, holdout: Holdout, tags: bool
) -> tuple[BatchSource, BatchSource]:
    """Return the batches of the streams for cross-entropy, and those for the reward.

    The `image_ids` of a batch are indices in the examples of all streams, one stream after the other. For a decoder
    with tags, those for cross-entropy come now and then without one of its memories. One without tags learns from a
    single stream.

    Args:
        streams: what is learnt from; the first one with the reward, too.
        vocabulary: its words.
        config: size of the batches.
        holdout: from the size of the first to the indices for cross-entropy and those for the reward.
        tags: whether the decoder has tags.
    """
    if not tags:
        (photographs,) = streams
        return caption_batches(photographs, vocabulary, config, holdout)
    learnt, held_out = caption_batches(streams[0], vocabulary, config, holdout)
    taught, offset = [(learnt, 0, streams[0].passes)], len(streams[0].examples)
    for stream in streams[1:]:
        learnt, _ = caption_batches(stream, vocabulary, config, use_all)
        taught.append((learnt, offset, stream.passes))
        offset += len(stream.examples)
    return MixedBatches(taught, dropout=STREAMS), MixedBatches([(held_out, 0, 1)])


def use_all(count: int) -> tuple[Tensor, Tensor]:
    """Return all indices, for cross-entropy and for the reward."""
    return torch.arange(count), torch.arange(count)


class MixedBatches:
    """The batches of several sources in random order.

    Every process draws the same order, and withholds the same memories, because `generator` alone decides.

    Args:
        sources: each with the number that is added to its `image_ids`, and that of its passes in an epoch.
        dropout: withholds memories; None withholds nothing.
    """

    def __init__(self, sources: Sequence[tuple[BatchSource, int, int]], *, dropout: StreamConfig | None = None):
        self.sources = [(source, offset) for source, offset, passes in sources for _ in range(passes)]
        self.dropout = dropout

    def __len__(self) -> int:
        return sum(len(source) for source, _ in self.sources)

    def epoch(self, generator: torch.Generator) -> Iterator[Batch]:
        """Yield every batch of every source once."""
        sizes = torch.tensor([len(source) for source, _ in self.sources])
        order = torch.arange(len(sizes)).repeat_interleave(sizes)
        order = order[torch.randperm(len(order), generator=generator)]
        iterators = [source.epoch(generator) for source, _ in self.sources]
        for index in order.tolist():
            batch = next(iterators[index])
            assert batch.image_ids is not None
            batch = batch._replace(image_ids=batch.image_ids + self.sources[index][1])
            yield batch if self.dropout is None else drop_memories(batch, self.dropout, generator)


def drop_memories(batch: Batch, dropout: StreamConfig, generator: torch.Generator) -> Batch:
    """Return the batch, or at random the batch without its grid or without its tags; one that has no grid as it is."""
    chance = float(torch.rand((), generator=generator))
    grid = batch.source
    assert isinstance(grid, Grid)
    if not grid.rows or chance >= dropout.grid_dropout + dropout.tag_dropout:
        return batch
    return batch._replace(source=grid.without_places() if chance < dropout.grid_dropout else grid._replace(tags=None))


def facts(streams: Sequence[Stream]) -> dict[str, Any]:
    """Return what the card says of the streams and of how they are mixed."""
    sizes = [
        {
            "examples": len(stream.examples),
            "captions": sum(len(example.captions) for example in stream.examples),
            "sha256": feature_cache.fingerprint(stream.examples),
            "passes": stream.passes,
        }
        for stream in streams
    ]
    return {"sizes": sizes, **STREAMS._asdict()}
