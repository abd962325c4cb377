"""Measure a training step of the decoder beside that of the best-known public tutorial, at the tutorial's sizes.

    python -m benchmarks.tutorial FOLDER

FOLDER is a copy of github.com/sgrvinod/a-PyTorch-Tutorial-to-Image-Captioning (commit cc9c7e2), of which `models.py` is
read; its class is `DecoderWithAttention`. Both decoders see the same 32 grids of 14 × 14 places with 2,048 channels and
the same captions, and both steps end with the gradient and an update of Adam: cross-entropy and the doubly stochastic
term. The networks are alike and not equal: ours has a wider query, a deep output layer and projected values, and its
gate has 512 channels where the tutorial's has 2,048.
"""

import importlib.util
import statistics
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

from benchmarks.measure import alternate
from companion import attention
from companion.decoders import LSTMDecoder
from companion.encoders import Grid
from companion.training.losses import caption_loss, doubly_stochastic_loss

BATCH, SIDE, CHANNELS, HIDDEN, VOCABULARY = 32, 14, 2048, 512, 9490
LENGTHS = {"captions of 18 words": (18, 18), "captions of 8 to 18 words": (8, 18)}
PAIRS = 10
FIRST_WORD = 4  # ids below it are special tokens


def load_models(folder: Path) -> Any:
    """Return the tutorial's module `models`; of torchvision, which it imports for its encoder, it gets an empty one."""
    spec = importlib.util.spec_from_file_location("tutorial_models", folder / "models.py")
    assert spec is not None
    assert spec.loader is not None
    models = importlib.util.module_from_spec(spec)
    with mock.patch.dict(sys.modules, torchvision=types.ModuleType("torchvision")):
        spec.loader.exec_module(models)
    return models


def draw_captions(shortest: int, longest: int) -> tuple[Tensor, Tensor]:
    """Return token ids with padding 0, and lengths with `<start>` and `<end>`."""
    torch.manual_seed(0)
    lengths = torch.randint(shortest, longest + 1, (BATCH,)) + 2
    lengths[0] = longest + 2
    tokens = torch.randint(FIRST_WORD, VOCABULARY, (BATCH, longest + 2))
    return tokens.masked_fill(torch.arange(longest + 2) >= lengths[:, None], 0), lengths


def update(module: nn.Module, loss_of: Callable[[], Tensor]) -> Callable[[], None]:
    """Return a training step with Adam, whose loss is that of `loss_of`."""
    optimizer = torch.optim.Adam(module.parameters(), lr=4e-4)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        loss_of().backward()
        optimizer.step()

    return step


def our_step(features: Tensor, tokens: Tensor) -> Callable[[], None]:
    """Return a training step of the package's decoder."""
    decoder = LSTMDecoder(VOCABULARY, CHANNELS, HIDDEN)
    decoder.attention = attention.build("additive", HIDDEN, HIDDEN, HIDDEN)
    grid = Grid(features, SIDE, SIDE)

    def loss() -> Tensor:
        step = decoder(grid, tokens[:, None, :-1])
        targets = tokens[:, None, 1:]
        return caption_loss(step.logits, targets) + doubly_stochastic_loss(step.weights, targets)

    return update(decoder.train(), loss)


def tutorial_step(models: Any, features: Tensor, tokens: Tensor, lengths: Tensor) -> Callable[[], None]:
    """Return a training step of the tutorial's decoder."""
    decoder = models.DecoderWithAttention(HIDDEN, HIDDEN, HIDDEN, VOCABULARY, CHANNELS)
    grids = features.unflatten(1, (SIDE, SIDE))

    def loss() -> Tensor:
        scores, captions, steps, alphas, _ = decoder(grids, tokens, lengths[:, None])
        predicted, targets = (pack_padded_sequence(x, steps, batch_first=True).data for x in (scores, captions[:, 1:]))
        return nn.functional.cross_entropy(predicted, targets) + ((1 - alphas.sum(1)) ** 2).mean()

    return update(decoder.train(), loss)


def main(folder: Path) -> None:
    """Print how many times as long the tutorial's step takes, for each kind of captions."""
    models = load_models(folder)
    features = torch.rand(BATCH, SIDE * SIDE, CHANNELS, generator=torch.Generator().manual_seed(0))
    for name, (shortest, longest) in LENGTHS.items():
        tokens, lengths = draw_captions(shortest, longest)
        ours, theirs = our_step(features, tokens), tutorial_step(models, features, tokens, lengths)
        alternate(ours, theirs, 1)  # warm-up
        times = alternate(ours, theirs, PAIRS)
        ratios = times.ratios
        print(
            f"{name}: ours {statistics.median(times.ours):.2f} s, DecoderWithAttention"
            f" {statistics.median(times.partner):.2f} s of processor time;"
            f" {statistics.median(ratios):.1f} times as long (of {PAIRS} pairs {ratios[0]:.1f} to {ratios[-1]:.1f})"
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
