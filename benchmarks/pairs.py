"""Sizes in, pairs out: something that the package does, and its naive partner, which must give the same result."""

import copy
import random
from collections.abc import Callable
from itertools import chain
from typing import Any, NamedTuple

import naive
import torch
from torch import Tensor

from companion import attention, checkpoints, decoding, mechanisms, metrics, photos, scenes
from companion.captioner import LENGTH_POWER
from companion.decoders import LSTMDecoder
from companion.decoding import Caption
from companion.encoders import Grid
from companion.evaluation import scene_images
from companion.losses import caption_loss
from companion.vocabulary import Vocabulary, tokenize

WORDS = 3000  # of the made-up captions


class Pair(NamedTuple):
    """Two ways to the same result. Both may be called again and again."""

    ours: Callable[[], Any]
    theirs: Callable[[], Any]
    difference: Callable[[Any, Any], float]  # of their results
    floor: Callable[[], Any] | None = None  # what Python cannot do without, where PyTorch is not what bounds


def training(
    batch: int = 32, places: int = 196, channels: int = 2048, hidden: int = 512, vocab: int = 9490, words: int = 18
) -> Pair:
    """A step of training: logits, loss, gradient, AdamW. The partner projects keys and vocabulary at every word."""
    torch.manual_seed(0)
    decoder = LSTMDecoder(vocab, channels, hidden, dropout=0.0)
    decoder.attention = mechanisms.build("additive", hidden, hidden, hidden)
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
    """Beam search of width 5, in batches; the partner takes one picture at a time."""

    def ours() -> list[Caption]:
        parts = [Grid(features, grid.rows, grid.cols) for features in grid.features.split(batch)]
        return [c for part in parts for c in decoding.beam(model, part, vocabulary, 5, length_power=LENGTH_POWER)]

    def unequal(some: list[Caption], others: list[Caption]) -> int:
        return sum(a.words != b.words for a, b in zip(some, others, strict=True))

    return Pair(ours, lambda: naive.beam(model, grid, vocabulary, LENGTH_POWER), unequal)


@torch.inference_mode()
def beam_photos(count: int = 200) -> Pair:
    """With the model of photographs, on pieces of the example photographs."""
    captioner = checkpoints.load("photos")
    images = torch.stack(pieces(count, captioner.side))
    grids = [captioner.look(part) for part in images.split(20)]
    grid = grids[0]._replace(features=torch.cat([grid.features for grid in grids]))
    return beam(grid, captioner.decoder, captioner.vocabulary)


@torch.inference_mode()
def beam_scenes(count: int = 200) -> Pair:
    """With the model of scenes, on scenes of the test split."""
    captioner = checkpoints.load("scenes")
    grid = captioner.look(scene_images(scenes.make("test", count)))
    return beam(grid, captioner.decoder, captioner.vocabulary)


def pieces(count: int, side: int) -> list[Tensor]:
    """Pieces of the example photographs, byte images of `side` pixels, the same every time."""
    chance, found = random.Random(0), []
    images = [photos.load(photos.example(name), 2 * side) for name in photos.EXAMPLES]
    for i in range(count):
        row, col = chance.randrange(side), chance.randrange(side)
        found.append(images[i % len(images)][:, row : row + side, col : col + side])
    return found


def multi_head(batch: int = 32, queries: int = 20, places: int = 196, hidden: int = 512, heads: int = 8) -> Pair:
    """Multi-head attention whose weights nobody asks for; the partner is PyTorch's fused kernel, called by hand."""
    torch.manual_seed(0)
    module = attention.MultiHeadAttention(hidden, hidden, hidden, heads).eval().requires_grad_(False)
    query, grid = torch.randn(batch, queries, hidden), torch.randn(batch, places, hidden)
    return Pair(
        lambda: module.fused(query, *module.prepare(grid, grid)),
        lambda: naive.multi_head(module, query, grid),
        lambda a, b: float((a - b).abs().max()),
    )


def scores(images: int = 5000) -> Pair:
    """BLEU and CIDEr-D of a caption an image against five references; the partner follows the formulae."""
    candidates, references = captions(images)

    def ours() -> list[float]:
        counted = metrics.References(references)
        return [*metrics.bleu(candidates, counted), metrics.cider_d(candidates, counted)]

    def theirs() -> list[float]:
        return [*naive.bleu(candidates, references), naive.cider_d(candidates, references)]

    def cut() -> list[list[str]]:
        return [tokenize(text) for text in (*candidates, *chain.from_iterable(references))]

    return Pair(ours, theirs, lambda a, b: max(abs(x - y) for x, y in zip(a, b, strict=True)), cut)


def captions(images: int) -> tuple[list[str], list[list[str]]]:
    """Made-up captions of 8 to 14 words, as frequent as Zipf says; those of an image share three words in five."""
    chance = random.Random(0)
    weights = [1 / rank for rank in range(1, WORDS + 1)]
    names = [f"w{rank}" for rank in range(WORDS)]
    candidates, references = [], []
    for _ in range(images):
        words = chance.choices(names, weights, k=chance.randint(8, 14))
        several = [
            " ".join(word if chance.random() < 0.6 else other for word, other in zip(words, others, strict=True))
            for others in (chance.choices(names, weights, k=len(words)) for _ in range(6))
        ]
        candidates.append(several[0])
        references.append(several[1:])
    return candidates, references
