"""Fixtures of the cases: a data set goes through `companion evaluate photos`, without the time of a real model."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
import torch

from companion import checkpoints, cli, datasets
from companion.datasets import Dataset, Example
from companion.decoding import Caption
from companion.models import Captioner


class Run(NamedTuple):
    """What a command did: its exit status, its output without progress bars, and the data set that it read, if any."""

    status: int
    out: str
    err: str
    dataset: Dataset | None

    @property
    def examples(self) -> list[Example]:
        """All examples of all splits."""
        return [example for examples in self.dataset.splits.values() for example in examples] if self.dataset else []

    @property
    def captions(self) -> dict[str, tuple[str, ...]]:
        """The captions by the names of the pictures."""
        return {example.name: example.captions for example in self.examples}


@pytest.fixture
def evaluate(monkeypatch, capsys, photos_captioner) -> Callable[..., Run]:
    """Return a function that runs `companion evaluate photos --data FOLDER` with a model that says the same always."""

    def caption(self, images, beam=5, **options):
        return [Caption(("a", "dog"), 0.0, torch.zeros(2, 1, 1)) for _ in images]

    def run(folder: Path, *options: str, split: str = "train") -> Run:
        read: list[Dataset] = []
        original = datasets.read

        def read_and_keep(*arguments, **options):
            read.append(original(*arguments, **options))
            return read[-1]

        with monkeypatch.context() as patch:
            patch.setattr(datasets, "read", read_and_keep)
            patch.setattr(checkpoints, "load", lambda name: photos_captioner)
            patch.setattr(Captioner, "caption", caption)
            capsys.readouterr()
            status = cli.main(["evaluate", "photos", "--data", str(folder), "--split", split, *options])
        out, err = capsys.readouterr()
        return Run(status, out, re.sub(r"\r[^\r\n]*", "", err), read[-1] if read else None)

    return run
