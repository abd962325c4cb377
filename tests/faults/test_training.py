"""Training that goes on from a damaged state, on one image, on NaN, or after it was killed."""

import math
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from companion import datasets, metrics, scenes, tasks
from companion.models import Captioner, build
from companion.training import CaptionBatches, TrainConfig, fit, load_state, save_state
from tests.captioners import untrained
from tests.faults.injection import (
    Fault,
    Guard,
    assert_refused,
    assert_unchanged,
    attempt,
    fault_tests,
)
from tests.processes import run_program


def state_refused(change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    """The state that training would resume from is no safetensors file, or half of one."""

    def law(folder: Path) -> None:
        captioner, config = untrained(), TrainConfig(epochs=1, lr=1e-3)
        optimizer = torch.optim.AdamW(captioner.parameters())
        save_state(captioner, optimizer, config, out=folder, log=[])
        path = folder / "training.safetensors"
        path.write_bytes(change(path.read_bytes()))
        assert_refused(lambda: load_state(captioner, optimizer, config, out=folder), str(path), "delete it")

    return law


def train_one_epoch(
    out: Path, images: torch.Tensor, spoil: Callable[[Captioner], None] = lambda _: None
) -> list[dict[str, Any]]:
    """Train a tiny captioner, spoilt before, for one epoch on scenes with these images; return the log."""
    examples = tasks.scene_batches.to_examples(scenes.make_dataset("train", len(images)))
    vocabulary = tasks.run.build_vocabulary(examples, min_count=1)
    torch.manual_seed(0)
    captioner = build("scenes", vocabulary, "tiny")
    spoil(captioner)
    batches = CaptionBatches(
        datasets.caption_tensor(examples, vocabulary),
        lambda chosen, _: images[chosen],
        batch_size=32,
        captions_per_image=5,
    )
    return fit(captioner, batches, TrainConfig(epochs=1, lr=1e-3), out=out, validate=lambda _: {})


def one_image(folder: Path) -> None:
    """A data set of one image makes one batch, and CIDEr-D of a corpus of one image is 0, not a division by zero."""
    log = attempt(lambda: train_one_epoch(folder, torch.zeros(1, 3, 64, 64, dtype=torch.uint8)))
    assert math.isfinite(log[0]["loss"])
    assert attempt(lambda: metrics.score(["a dog"], [["a dog"]]))["cider_d"] == 0


def nan_pixels(folder: Path) -> None:
    """An image with a value that is no number is named."""
    images = torch.full((2, 3, 64, 64), math.nan)
    assert_refused(lambda: train_one_epoch(folder, images), "images[0] has values that are NaN")
    assert_unchanged(folder, {})


def nan_loss(folder: Path) -> None:
    """A loss that is no number ends the training before anything is saved."""

    def spoil(captioner: Captioner) -> None:
        torch.nn.init.constant_(next(captioner.decoder.parameters()), math.nan)

    images = torch.zeros(2, 3, 64, 64, dtype=torch.uint8)
    assert_refused(lambda: train_one_epoch(folder, images, spoil), "epoch 1: the loss is nan")
    assert_unchanged(folder, {})


def killed_while_training(folder: Path) -> None:
    """The run that is left alone is made once, beside the folders of the tests, for both directions of the row."""
    run_program("killed_training", folder, str(folder.parent / "left alone"))


FAULTS = {
    "training: pickle": Fault(
        state_refused(lambda data: pickle.dumps(data)),
        [Guard("training.resume.SafetensorError", "", "ZeroDivisionError")],
        "broken: SafetensorError",
    ),
    "training: cut short": Fault(
        state_refused(lambda data: data[:-100]),
        [Guard("training.resume.SafetensorError", "", "ZeroDivisionError")],
        "broken: SafetensorError",
    ),
    "one image": Fault(
        one_image,
        [Guard("training.batches.CaptionBatches.__len__", "-(-len(self.image_ids) // ", "(len(self.image_ids) // ")],
        "broken: ",
    ),
    "NaN pixels": Fault(
        nan_pixels,
        [Guard("encoders.to_pixels", "if not (math.isfinite(least) and math.isfinite(most)):", "if False:")],
        "refused, but not for this: epoch 1: the loss is nan",
    ),
    "NaN loss": Fault(nan_loss, [Guard("training.loop.fit", "if not math.isfinite(mean):", "if False:")], "accepted"),
    "killed while training": Fault(
        killed_while_training,
        [Guard("training.resume.restore", 'state["state"].setdefault(int(i), {})[key] = tensor', "pass")],
        "another model",
        slow=True,
    ),
}

test_with_its_guard_the_law_holds, test_without_its_guard_the_harm_is_done = fault_tests(FAULTS)
