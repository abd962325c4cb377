"""Training that two processes of torchrun do together, and that a test does alone, on the same seven scenes.

    torchrun --nproc-per-node=2 -m tests.programs.two_processes train|resume FOLDER

`train` leaves three runs in FOLDER: `exact`, in double precision without randomness; `uninterrupted`, with everything
that is random; and `killed`, the same, of which the second process is killed in the second epoch, and with it both.
`resume` finishes `killed` and then runs the command line into `command`, twice.
"""

import itertools
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric

from companion import cli, datasets, models, scenes, tasks
from companion.models import Captioner
from companion.training import Batch, CaptionBatches, TrainConfig, distributed, fit
from companion.vocabulary import Vocabulary
from tests.helpers import small_captioner

COUNT = 7  # scenes, in batches of 3, 3 and 1: parts of unequal size, and one batch smaller than two processes
EXACT = TrainConfig(
    epochs=2,
    lr=3e-4,
    batch_size=3,
    label_smoothing=0.1,
    doubly_stochastic_weight=0.1,
    alignment_weight=0.5,
)
RANDOM = EXACT._replace(word_dropout=0.3, rl_epochs=1, rl_lr=1e-3)
DOUBLE: Any = "64-true"  # AdamW divides by the size of a gradient: a rounding error near zero becomes a whole step
SMALL = {"tiny": ((16, 16, 16, 32), 64)}  # sizes of models for the command line
KILL_AT = 4  # the batch, counted over all epochs, that the second process does not reach: in the second epoch


class KilledBatches(CaptionBatches):
    """Batches of scenes; before the batch `kill_at` the second process is killed."""

    kill_at: int | None = None
    counter = itertools.count()

    def epoch(self, generator: torch.Generator) -> Iterator[Batch]:
        for batch in super().epoch(generator):
            if next(self.counter) == self.kill_at and distributed.rank() == 1:
                os.kill(os.getpid(), signal.SIGKILL)
            yield batch


def seven_scenes() -> tuple[KilledBatches, Vocabulary]:
    """Return batches of scenes, the odd ones with one caption, so that word counts are unequal; and the vocabulary."""
    world = scenes.make_dataset("train", COUNT)
    examples, alignment = tasks.scene_batches.to_examples(world), tasks.scene_batches.alignment_targets(world)
    vocabulary = tasks.run.build_vocabulary(examples, min_count=1)
    tokens, images = datasets.caption_tensor(examples, vocabulary), scenes.image_tensor(world)
    tokens[1::2, 1:] = Vocabulary.pad
    alignment[1::2, 1:] = False
    batches = KilledBatches(
        tokens, lambda chosen, _: images[chosen], batch_size=3, captions_per_image=5, alignment=alignment
    )
    return batches, vocabulary


def train(
    out: Path,
    config: TrainConfig,
    *,
    fabric: Fabric | None = None,
    dropout: float = 0.1,
    resume: bool = False,
    kill_at: int | None = None,
) -> Captioner:
    """Train on the seven scenes and return the captioner."""
    batches, vocabulary = seven_scenes()
    batches.kill_at, batches.counter = kill_at, itertools.count()
    captioner = small_captioner(vocabulary, dropout=dropout)
    fit(
        captioner, batches, config,
        out=out, validate=validate, resume=resume, fabric=fabric, reward_fn=brevity,
    )  # fmt: skip
    return captioner


def brevity(image_ids: Any, captions: Any) -> list[list[float]]:
    """Return a reward for short captions."""
    return [[1 / (1 + len(line.split())) for line in lines] for lines in captions]


def validate(captioner: Captioner) -> dict[str, float]:
    """Return which process validated."""
    return {"rank": float(distributed.rank())}


def main(task: str, folder: Path) -> int:
    """Run one of the two tasks, in each of the two processes."""
    torch.set_num_threads(1)
    if task == "train":
        exact = distributed.launch(devices=2, precision=DOUBLE)
        train(folder / "exact", EXACT, fabric=exact, dropout=0.0)
        fabric = distributed.launch(devices=2)
        train(folder / "uninterrupted", RANDOM, fabric=fabric)
        train(folder / "killed", RANDOM, fabric=fabric, kill_at=KILL_AT)
        return 0
    train(folder / "killed", RANDOM, fabric=distributed.launch(devices=2), resume=True)
    models.SIZES = SMALL
    tasks.scenes.CONFIGS = {"tiny": (RANDOM._replace(epochs=1), 8)}
    tasks.scenes.VALIDATION_SIZE = tasks.scenes.MEASURED = 4
    command = ["train", "scenes", "--size", "tiny", "--devices", "2", "--out", str(folder / "command")]
    assert cli.main(command) == 0
    return cli.main(command)  # which is refused: the folder is not empty


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2])))
