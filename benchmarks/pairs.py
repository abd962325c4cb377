"""Pairs to be measured: a computation of the package and its naive partner, which must give the same result."""

import copy
import random
from collections.abc import Callable
from itertools import chain
from typing import Any, NamedTuple

import torch
from torch import Tensor

from benchmarks import naive
from companion import attention, checkpoints, datasets, decoding, metrics, scenes
from companion.decoders import LSTMDecoder
from companion.decoding import Caption
from companion.encoders import Grid
from companion.models import LENGTH_POWER
from companion.training import caption_loss
from companion.vocabulary import Vocabulary, tokenize

WORDS = 3000  # in the vocabulary of the artificial captions


class Pair(NamedTuple):
    """Two implementations of one computation. Both may be called again and again."""

    ours: Callable[[], Any]
    partner: Callable[[], Any]
    difference: Callable[[Any, Any], float]  # of their results
    lower_bound: Callable[[], Any] | None = None  # what Python cannot do without, where PyTorch is not the limit


def training(
    batch: int = 32,
    places: int = 196,
    channels: int = 2048,
    *,
    hidden: int = 512,
    vocab: int = 9490,
    words: int = 18,
) -> Pair:
    """Return a training step: logits, loss, gradient, AdamW. The partner projects keys and vocabulary at every word."""
    torch.manual_seed(0)
    decoder = LSTMDecoder(vocab, channels, hidden, dropout=0.0)
    decoder.attention = attention.build("additive", hidden, hidden, hidden)
    grid = Grid(torch.rand(batch, places, channels), 1, places)
    tokens = torch.randint(4, vocab, (batch, 1, words))

    def step(decoder: LSTMDecoder, logits: Callable[[LSTMDecoder, Grid, Tensor], Tensor]) -> Callable[[], float]:
        optimizer = torch.optim.AdamW(decoder.parameters(), lr=1e-4)

        def run() -> float:
            optimizer.zero_grad(set_to_none=True)
            loss = caption_loss(logits(decoder, grid, tokens[..., :-1]), tokens[..., 1:])
            loss.backward()
            optimizer.step()
            return loss.item()

        return run

    ours = step(decoder, lambda decoder, grid, tokens: decoder(grid, tokens).logits)
    return Pair(ours, step(copy.deepcopy(decoder), naive.logits), lambda a, b: abs(a - b))


def beam(grid: Grid, model: Any, vocabulary: Vocabulary, batch: int = 50) -> Pair:
    """Return beam search of width 5 in batches; the partner takes one picture at a time."""

    def ours() -> list[Caption]:
        parts = [Grid(features, grid.rows, grid.cols) for features in grid.features.split(batch)]
        return [
            c for part in parts for c in decoding.beam_search(model, part, vocabulary, 5, length_power=LENGTH_POWER)
        ]

    def unequal(one: list[Caption], other: list[Caption]) -> int:
        return sum(a.words != b.words for a, b in zip(one, other, strict=True))

    return Pair(ours, lambda: naive.beam(model, grid, vocabulary, LENGTH_POWER), unequal)


@torch.inference_mode()
def beam_photos(count: int = 200) -> Pair:
    """Return `beam` with the model of photographs, on crops of the example photographs."""
    captioner = checkpoints.load("photos")
    images = torch.stack(crops(count, captioner.image_size))
    grids = [captioner.encode(part) for part in images.split(20)]
    grid = grids[0]._replace(features=torch.cat([grid.features for grid in grids]))
    return beam(grid, captioner.decoder, captioner.vocabulary)


@torch.inference_mode()
def beam_scenes(count: int = 200) -> Pair:
    """Return `beam` with the model of scenes, on scenes of the test split."""
    captioner = checkpoints.load("scenes")
    grid = captioner.encode(scenes.image_tensor(scenes.make_dataset("test", count)))
    return beam(grid, captioner.decoder, captioner.vocabulary)


def crops(count: int, side: int) -> list[Tensor]:
    """Return crops of the example photographs, byte images of `side` pixels, the same every time."""
    rng, cropped = random.Random(0), []
    images = [datasets.load_image(datasets.example_image(name), 2 * side) for name in datasets.EXAMPLE_IMAGES]
    for i in range(count):
        row, col = rng.randrange(side), rng.randrange(side)
        cropped.append(images[i % len(images)][:, row : row + side, col : col + side])
    return cropped


def multi_head(batch: int = 32, queries: int = 20, places: int = 196, *, hidden: int = 512, heads: int = 8) -> Pair:
    """Return multi-head attention without its weights; the partner is PyTorch's fused kernel, called by hand."""
    torch.manual_seed(0)
    module = attention.MultiHeadAttention(hidden, hidden, hidden, heads).eval().requires_grad_(False)
    query, grid = torch.randn(batch, queries, hidden), torch.randn(batch, places, hidden)
    return Pair(
        lambda: module.attend_fused(query, *module.prepare(grid, grid)),
        lambda: naive.multi_head(module, query, grid),
        lambda a, b: float((a - b).abs().max()),
    )


def scores(images: int = 5000) -> Pair:
    """Return BLEU and CIDEr-D of a caption an image against five references; the partner follows the formulae."""
    candidates, references = artificial_captions(images)

    def ours() -> list[float]:
        prepared = metrics.References(references)
        return [*metrics.bleu(candidates, prepared), metrics.cider_d(candidates, prepared)]

    def partner() -> list[float]:
        return [*naive.bleu(candidates, references), naive.cider_d(candidates, references)]

    def tokenize_all() -> list[list[str]]:
        return [tokenize(text) for text in (*candidates, *chain.from_iterable(references))]

    return Pair(ours, partner, lambda a, b: max(abs(x - y) for x, y in zip(a, b, strict=True)), tokenize_all)


def artificial_captions(images: int) -> tuple[list[str], list[list[str]]]:
    """Return captions of 8 to 14 words with Zipf frequencies; those of an image share three words in five."""
    rng = random.Random(0)
    weights = [1 / rank for rank in range(1, WORDS + 1)]
    names = [f"w{rank}" for rank in range(WORDS)]
    candidates, references = [], []
    for _ in range(images):
        words = rng.choices(names, weights, k=rng.randint(8, 14))
        captions = [
            " ".join(word if rng.random() < 0.6 else other for word, other in zip(words, others, strict=True))
            for others in (rng.choices(names, weights, k=len(words)) for _ in range(6))
        ]
        candidates.append(captions[0])
        references.append(captions[1:])
    return candidates, references
