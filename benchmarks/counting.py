"""Why the encoder of drawn scenes has self-attention: numbers that are right, with and without it.

    python -m benchmarks.counting

A small captioner of scenes learns by cross-entropy, with each of `ENCODERS` and each of three seeds. Everything else is
the same. Measured are greedy captions of validation scenes: the share of true ones, the share of stated numbers that
are right, the truth among scenes of three different objects, and the truth of scenes with pairs of colour and shape
that are not among the training scenes. Every run is added to counting.json when it is done,
and none is repeated. The chapter on self-attention shows the table.
"""

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from companion import models, scenes, training
from companion.encoders import ConvEncoder
from companion.files import atomic_write
from companion.metrics import statements
from companion.model_card import round_scores
from companion.models import Captioner
from companion.scenes.grammar import group_objects
from companion.tasks import run, scene_batches
from companion.tasks import scenes as task

ENCODERS = ("convolutions", "block without positions", "block")
SEEDS = (0, 1, 2)
CONFIG = task.TINY._replace(epochs=3, rl_epochs=0)
COUNT = 12_500  # scenes in an epoch
VALIDATION = 1000  # scenes
RESULTS = Path(__file__).with_name("counting.json")


def build(encoder: str, seed: int) -> Captioner:
    """Return an untrained captioner with one of `ENCODERS`."""
    examples = scene_batches.to_examples(scenes.make_dataset("train", task.VOCABULARY_SCENES))
    torch.manual_seed(seed)
    blocks = 0 if encoder == "convolutions" else task.BLOCKS
    vocabulary = run.build_vocabulary(examples, min_count=1)
    captioner = models.build("scenes", vocabulary, "tiny", attention=task.ATTENTION, blocks=blocks)
    if encoder == "block without positions":
        assert isinstance(captioner.encoder, ConvEncoder)
        assert captioner.encoder.position_proj is not None
        torch.nn.init.zeros_(captioner.encoder.position_proj.requires_grad_(False).weight)
    return captioner


def measure(captioner: Captioner) -> dict[str, float]:
    """Return the truth of greedy captions of validation scenes, of their numbers, and of scenes that are harder."""
    world = scenes.make_dataset("validation", VALIDATION)
    lines = [caption.text for caption in task.caption(captioner, world)]
    true = [scenes.is_true(line, scene) for line, scene in zip(lines, world, strict=True)]
    different = [len(scene.objects) == len(group_objects(scene.objects)) == 3 for scene in world]
    new_pairs = scenes.make_dataset("compositional", VALIDATION)
    return {
        "truth": float(np.mean(true)),
        "numbers_right": statements.truth_by_fact(lines, world).get("number", statements.Truth(0, 0)).rate,
        "three_different": float(np.mean(np.array(true)[different])),
        "new_pairs": task.truth_rate(task.caption(captioner, new_pairs), new_pairs),
    }


def train(encoder: str, seed: int) -> dict[str, float]:
    """Train one captioner and return its measurements, with the seconds of the run."""
    config = CONFIG._replace(seed=seed)
    captioner = build(encoder, seed)
    batches = scene_batches.SceneBatches(COUNT, captioner.vocabulary, config)
    with tempfile.TemporaryDirectory() as out:
        log = training.fit(captioner, batches, config, out=out, validate=measure)
    kept = ("truth", "numbers_right", "three_different", "new_pairs")
    return round_scores({key: log[-1][key] for key in kept}) | {"seconds": sum(record["seconds"] for record in log)}


def main() -> None:
    """Train what is missing in counting.json, and print every run."""
    results: dict[str, Any] = (
        json.loads(RESULTS.read_text()) if RESULTS.exists() else {"scenes": COUNT * CONFIG.epochs, "runs": []}
    )
    done = {(record["encoder"], record["seed"]) for record in results["runs"]}
    for seed in SEEDS:
        for encoder in ENCODERS:
            if (encoder, seed) not in done:
                results["runs"].append({"encoder": encoder, "seed": seed, **train(encoder, seed)})
                atomic_write(RESULTS, json.dumps(results, indent=1).encode() + b"\n")
    for record in results["runs"]:
        print(record)


if __name__ == "__main__":
    main()
