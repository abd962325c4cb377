"""What every training run has in common: its vocabulary, its files, and how it ends.

Explained in the chapters on learning and on real photographs.
"""

import platform
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from lightning_fabric import Fabric
from torch import Tensor

from companion import checkpoints, plots
from companion.datasets import Example
from companion.files import atomic_write
from companion.model_card import round_scores
from companion.models import Captioner, build
from companion.tokenizer import ENGLISH, Tokenizer
from companion.training import TrainConfig
from companion.vocabulary import Vocabulary

RUN_FILES = (  # all that a run writes into its folder
    *("train.npy", "train.sha256", "dev.npy", "dev.sha256"),  # cached features of photographs
    *("pseudo.npy", "pseudo.sha256"),
    *("training.safetensors", "reference.safetensors", "log.jsonl"),  # what resuming needs
    *("weights.safetensors", "vocabulary.json", "card.json", "learning.png"),
)


class RunFacts(NamedTuple):
    """What the card says of a run beside its scores."""

    command: str
    config: TrainConfig
    log: list[dict[str, Any]]
    data: dict[str, Any]


def build_vocabulary(train: Sequence[Example], min_count: int, tokenizer: Tokenizer = ENGLISH) -> Vocabulary:
    """Return the words that occur at least `min_count` times in the training captions."""
    return Vocabulary.build((caption for example in train for caption in example.captions), min_count, tokenizer)


def extend_vocabulary(captioner: Captioner, train: Sequence[Example], min_count: int) -> Captioner:
    """Return a captioner that has, too, the words that occur at least `min_count` times in the training captions.

    Its own words keep their ids and their weights. A new word begins with the weights of `<unk>`, which stood for it.
    The encoder is shared; it is a frozen one.
    """
    known = captioner.vocabulary
    frequent = build_vocabulary(train, min_count, known.tokenizer).words
    words = [*known.words, *(word for word in frequent if word not in known)]
    if len(words) == len(known):
        return captioner
    extended = build(vocabulary=Vocabulary(words, known.tokenizer), **captioner.config)
    extended.encoder = captioner.encoder
    shapes = {name: tensor.shape for name, tensor in checkpoints.trained_weights(extended).items()}

    def enlarge(name: str, tensor: Tensor) -> Tensor:
        if tensor.shape == shapes[name]:
            return tensor
        return torch.cat([tensor, tensor[[Vocabulary.unk] * (len(words) - len(known))]])

    weights = checkpoints.trained_weights(captioner)
    checkpoints.set_weights(extended, {name: enlarge(name, tensor) for name, tensor in weights.items()})
    return extended


def finalize_run(
    captioner: Captioner, facts: RunFacts, *, out: Path, fabric: Fabric, measure: Callable[[Captioner], dict[str, Any]]
) -> None:
    """Round the weights to half precision, measure them, and save checkpoint, card and learning curves in `out`."""
    checkpoints.set_weights(captioner, checkpoints.to_half(checkpoints.trained_weights(captioner)))
    measured = measure(captioner.eval())
    precision = fabric.strategy.precision.precision
    card = {
        "command": f"{facts.command} --seed {facts.config.seed} --precision {precision}",
        "seed": facts.config.seed,
        **measured,
        "metrics": round_scores(measured["metrics"]),
        "data": facts.data,
        "train_config": facts.config._asdict() | {"precision": precision},
        "minutes": round(sum(record["seconds"] for record in facts.log) / 60, 1),  # of all epochs, resumed or not
        "machine": {
            "processor": platform.processor() or platform.machine(),
            "threads": torch.get_num_threads(),
            "processes": fabric.world_size,
        },
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "log": facts.log,
    }
    checkpoints.save(captioner, out, card)
    atomic_write(out / "learning.png", plots.png(plots.learning_curves(facts.log)))
