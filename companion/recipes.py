"""Data in, a trained checkpoint with its card out: the two runs that made the weights that ship.

The numbers stand at the top; each recipe reads from top to bottom. Explained in chapters 11 and 16.
"""

import platform
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from lightning_fabric import Fabric
from torch import Tensor

from companion import checkpoints, datasets, evaluation, features, plots, scenes
from companion.augment import flip_falsifies
from companion.batches import batches, caption_tensor
from companion.captioner import Captioner, build
from companion.datasets import Example
from companion.files import write_whole
from companion.training import Batch, Plan, fit
from companion.vocabulary import Vocabulary

SCENES = Plan(epochs=12, rate=2e-3)
SCENES_DRAWN = 20_000
PHOTOS = Plan(epochs=10, rate=1.5e-3, decay=0.05, smoothing=0.1)
PHOTOS_MIN_COUNT = 4  # rarer words become <unk>
BATCH = 32
Precision = Literal["32-true", "bf16-mixed"]  # bfloat16 is twice as fast or more where the processor knows it

FILES = (  # all that a run writes
    *("train.npy", "train.sha256", "dev.npy", "dev.sha256"),  # features of photographs
    *("training.safetensors", "log.jsonl"),  # what resuming needs
    *("weights.safetensors", "vocabulary.json", "card.json", "learning.png"),
)


def train_scenes(
    out: Path,
    seed: int = 0,
    size: str = "base",
    resume: bool = False,
    precision: Precision = "32-true",
    plan: Plan = SCENES,
    drawn: int = SCENES_DRAWN,
) -> Captioner:
    """Draw scenes, train a captioner on them from nothing, measure it on scenes it has not seen, save it in `out`."""
    began, plan = time.perf_counter(), plan._replace(seed=seed)
    world, unseen = scenes.make("train", drawn), scenes.make("validation", 300)
    train = [Example(str(scene.seed), scene.image, tuple(r.text for r in scene.captions)) for scene in world]
    vocabulary = vocabulary_of(train, min_count=1)
    torch.manual_seed(seed)
    captioner = build("scenes", vocabulary, size)
    images, tokens = evaluation.scene_images(world), caption_tensor(train, vocabulary)

    def feed(generator: torch.Generator) -> Iterator[Batch]:
        for chosen in batches(len(train), BATCH, generator):
            yield Batch(images[chosen], trimmed(tokens[chosen]))

    def validate(captioner: Captioner) -> dict[str, float]:
        return evaluation.score_scenes(evaluation.caption_scenes(captioner, unseen), unseen)

    log = fit(captioner, feed, steps(train), plan, out, validate, resume, Fabric(devices=1, precision=precision))
    return finish(
        captioner,
        out,
        plan,
        precision,
        log,
        began,
        {"name": "scenes", "examples": drawn, "sha256": features.fingerprint(train)},
    )


def train_photos(
    data: Path,
    out: Path,
    seed: int = 0,
    resume: bool = False,
    precision: Precision = "32-true",
    plan: Plan = PHOTOS,
) -> Captioner:
    """Train a decoder on the photographs and captions in `data`, over a frozen encoder, and save it in `out`.

    Every photograph is also seen in the mirror, unless one of its captions says left or right.
    """
    began, plan = time.perf_counter(), plan._replace(seed=seed)
    dataset = datasets.read(data)
    train, dev = datasets.pick(dataset, "train"), datasets.pick(dataset, "dev")
    vocabulary = vocabulary_of(train, PHOTOS_MIN_COUNT)
    torch.manual_seed(seed)
    captioner = build("photos", vocabulary)
    out.mkdir(parents=True, exist_ok=True)
    stored, stored_dev = (
        features.store(captioner.encoder, e, out / f"{n}.npy") for e, n in ((train, "train"), (dev, "dev"))
    )
    tokens = caption_tensor(train, vocabulary)
    mirrorable = torch.tensor([not any(map(flip_falsifies, example.captions)) for example in train])

    def feed(generator: torch.Generator) -> Iterator[Batch]:
        for chosen in batches(len(train), BATCH, generator):
            views = (torch.rand(len(chosen), generator=generator) < 0.5) & mirrorable[chosen]
            yield Batch(features.grid(stored, chosen, views.long()), trimmed(tokens[chosen]))

    def validate(captioner: Captioner) -> dict[str, float]:
        return evaluation.score_photos(evaluation.caption_stored(captioner, stored_dev, beam=1), dev)

    log = fit(captioner, feed, steps(train), plan, out, validate, resume, Fabric(devices=1, precision=precision))
    facts = {"name": Path(data).name, "examples": len(train), "sha256": features.fingerprint([*train, *dev])}
    return finish(captioner, out, plan, precision, log, began, facts)


def vocabulary_of(train: Sequence[Example], min_count: int) -> Vocabulary:
    """The words of the training captions."""
    return Vocabulary.build((caption for example in train for caption in example.captions), min_count)


def trimmed(tokens: Tensor) -> Tensor:
    """Tokens without the columns that are padding for every caption of the batch."""
    return tokens[..., : int((tokens != Vocabulary.pad).sum(-1).max())]


def steps(train: Sequence[Example]) -> int:
    """Batches an epoch."""
    return -(-len(train) // BATCH)


def finish(
    captioner: Captioner,
    out: Path,
    plan: Plan,
    precision: Precision,
    log: list[dict[str, Any]],
    began: float,
    data: dict[str, Any],
) -> Captioner:
    """Save the checkpoint, its card and the picture of its learning; return it as it was saved, in half precision."""
    card = {
        "data": data,
        "plan": plan._asdict() | {"batch": BATCH, "precision": precision},
        "minutes": round((time.perf_counter() - began) / 60, 1),  # of this process: less than all, if it was resumed
        "machine": {"processor": platform.processor() or platform.machine(), "threads": torch.get_num_threads()},
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "log": log,
    }
    checkpoints.save(captioner, out, card)
    write_whole(out / "learning.png", plots.png(plots.learning(log)))
    return checkpoints.load(out)
