"""Pieces that several tests of training share: batch sources, a small captioner, and comparisons of runs."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from companion.checkpoints import trained_weights
from companion.decoders import LSTMDecoder, Step, expand_beams
from companion.encoders import ConvEncoder, Grid
from companion.models import Captioner
from companion.training import Batch
from companion.vocabulary import Vocabulary


class FixedBatches(list[Batch]):
    """A batch source whose epochs are all the same list of batches."""

    def epoch(self, generator: torch.Generator) -> Iterator[Batch]:
        return iter(self)


def small_captioner(vocabulary: Vocabulary, seed: int = 0, *, dropout: float = 0.1) -> Captioner:
    """Return an untrained captioner of scenes with an LSTM, smaller than the smallest that `models.build` makes."""
    torch.manual_seed(seed)
    encoder = ConvEncoder((16, 16, 16, 32))
    decoder = LSTMDecoder(len(vocabulary), encoder.channels, 64, dropout=dropout)
    return Captioner(encoder, decoder, vocabulary, image_size=64)


def same_weights(one: Captioner, other: Captioner) -> bool:
    """Return whether two captioners have the same weights to the last bit."""
    ours, theirs = trained_weights(one), trained_weights(other)
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


def without_seconds(log: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return a log without how long each epoch took, which no two runs share."""
    return [{key: value for key, value in record.items() if key != "seconds"} for record in log]


def read_log(out: Path) -> list[dict[str, Any]]:
    """Return the records of a run's log. Raises AssertionError for what is not JSON, such as NaN."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    return [json.loads(line, parse_constant=refuse) for line in (out / "log.jsonl").read_text().splitlines()]


def find_imagemagick() -> str | None:
    """Return the program of ImageMagick, or None; another program called "convert" is not it."""
    for name in ("magick", "convert"):
        program = shutil.which(name)
        if program and "ImageMagick" in subprocess.run([program, "-version"], capture_output=True, text=True).stdout:
            return program
    return None


def run_steps(decoder: Any, grid: Grid, tokens: torch.Tensor) -> list[Step]:
    """Return what a decoder says after each word of known captions, read one word at a time."""
    state, steps = expand_beams(decoder.start(grid), tokens.shape[1]), []
    for word in tokens.unbind(2):
        steps.append(decoder.step(word, state))
        state = steps[-1].state
    return steps
