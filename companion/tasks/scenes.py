"""The task of drawn scenes: training recipe, captioning, scoring, model card and reward.

The recipe of the weights that ship stands at the top. Explained in the chapters on learning, scoring and grounding.
"""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool
from lightning_fabric import Fabric
from torch import Tensor

from companion import datasets, metrics, scenes
from companion.datasets import Example
from companion.decoders import DECODERS
from companion.decoding import Caption
from companion.metrics import grounding
from companion.model_card import EXAMPLES_SHOWN, attention_stats, bootstrap_interval, metric_intervals
from companion.models import Captioner, build
from companion.scenes import Scene
from companion.tasks.run import RunFacts, build_vocabulary, finalize_run
from companion.training import CaptionBatches, RewardFn, TrainConfig, cider_reward, distributed, feature_cache, fit

TINY = TrainConfig(epochs=4, lr=6e-3, captions_per_image=2, alignment_weight=2.0, rl_epochs=2, rl_lr=1e-3)
BASE = TrainConfig(
    epochs=4, lr=4e-3, captions_per_image=2, alignment_weight=2.0, word_dropout=0.3, rl_epochs=3, rl_lr=6e-4,
    min_advantage=0.005,
)  # fmt: skip
CONFIGS = {"tiny": (TINY, 12_500), "base": (BASE, 33_000)}  # hyperparameters and number of training scenes by size
ATTENTION = "coverage"  # of the LSTM decoder of the shipped model
VALIDATION_SIZE = 300  # scenes, scored after every epoch
MEASURED = 1000  # scenes, for the card
STYLE_WEIGHT = 0.02  # of CIDEr-D in the reward; with 0.1 a model names two objects of one colour by one shape


def train(
    out: Path,
    *,
    seed: int = 0,
    size: str = "base",
    attention: str | None = None,
    decoder: str = "lstm",
    resume: bool = False,
    fabric: Fabric | None = None,
    config: TrainConfig | None = None,
    count: int | None = None,
) -> Captioner:
    """Train a captioner of drawn scenes from scratch, measure it on new scenes and save it in `out`.

    Args:
        out: folder of the run.
        seed: of weights and batches.
        size: "tiny" or "base".
        attention: a name in `attention.MECHANISMS`; by default `ATTENTION`, or what the decoder comes with.
        decoder: a name in `decoders.DECODERS`.
        resume: continue the run in `out`.
        fabric: devices and precision.
        config: hyperparameters, by default those of the size in `CONFIGS`.
        count: number of training scenes, by default that of the size.
    """
    fabric = fabric or distributed.launch()
    size_config, size_count = CONFIGS[size]
    config, count = (config or size_config)._replace(seed=seed), count or size_count
    if not getattr(DECODERS.get(decoder), "supports_alignment", True):
        config = config._replace(alignment_weight=0.0)
    if attention is None and decoder == "lstm":
        attention = ATTENTION
    world, validation = scenes.make_dataset("train", count), scenes.make_dataset("validation", VALIDATION_SIZE)
    examples = to_examples(world)
    torch.manual_seed(seed)
    captioner = build("scenes", build_vocabulary(examples, min_count=1), size, attention=attention, decoder=decoder)
    images, tokens = scenes.image_tensor(world), datasets.caption_tensor(examples, captioner.vocabulary)
    batches = CaptionBatches(
        tokens, lambda chosen, _: images[chosen],
        batch_size=config.batch_size, captions_per_image=config.captions_per_image,
        alignment=alignment_targets(world) if config.alignment_weight else None,
    )  # fmt: skip

    def validate(captioner: Captioner) -> dict[str, float]:
        return score(caption(captioner, validation), validation)

    log = fit(
        captioner, batches, config,
        out=out, validate=validate, resume=resume, fabric=fabric, reward_fn=scene_reward(world, examples),
    )  # fmt: skip
    data = {
        "name": "scenes",
        "examples": count,
        "sha256": feature_cache.fingerprint(examples),
        "validation": f"{VALIDATION_SIZE} other scenes",
        "measured": f"{MEASURED} scenes of the test split, and of the compositional one",
    }
    built = f"--size {size} --attention {captioner.config['attention']} --decoder {decoder}"
    facts = RunFacts(f"companion train scenes --out {shlex.quote(out.name)} {built}", config, log, data)

    def measure(captioner: Captioner) -> dict[str, Any]:
        test, new_pairs = scenes.make_dataset("test", MEASURED), scenes.make_dataset("compositional", MEASURED)
        card = scene_card(caption(captioner, test, beam=5), test)
        captions = caption(captioner, new_pairs, beam=5)
        card["metrics"]["compositional_truth"] = truth_rate(captions, new_pairs)
        return card

    distributed.on_rank_zero(fabric, lambda: finalize_run(captioner, facts, out=out, fabric=fabric, measure=measure))
    return captioner


def to_examples(world: Sequence[Scene]) -> list[Example]:
    """Return the scenes as examples of a data set, each named by its seed."""
    return [Example(str(s.seed), s.image, tuple(reference.text for reference in s.captions)) for s in world]


def alignment_targets(world: Sequence[Scene], rows: int = 8, cols: int = 8) -> Bool[Tensor, "image beam word place"]:
    """Return, for each word of each reference, the places of a grid where the objects lie that the word names.

    A place belongs to an object that covers a quarter of it. Words that name no object have no place.
    """
    longest = max(len(reference.words) for scene in world for reference in scene.captions)
    targets = np.zeros((len(world), len(world[0].captions), longest + 1, rows * cols), dtype=bool)
    for scene_targets, scene in zip(targets, world, strict=True):
        places = np.stack([grounding.covered(mask, rows, cols).ravel() > 0.25 for mask in scene.masks])
        for caption_targets, reference in zip(scene_targets, scene.captions, strict=True):
            for word, mentioned in enumerate(reference.mentions):
                for i in mentioned:
                    caption_targets[word] |= places[i]
    return torch.from_numpy(targets)


def caption(captioner: Captioner, world: Sequence[Scene], *, beam: int = 1, batch_size: int = 250) -> list[Caption]:
    """Return a caption for every scene by beam search; a beam of one is greedy."""
    images = scenes.image_tensor(world)
    return [c for part in images.split(batch_size) for c in captioner.caption(part, beam)]


def truth_rate(captions: Sequence[Caption], world: Sequence[Scene]) -> float:
    """Return the share of the captions, 0 to 1, that are true of their scenes."""
    return float(np.mean([scenes.is_true(c.text, scene) for c, scene in zip(captions, world, strict=True)]))


def states_relation(line: str) -> bool:
    """Return whether the caption states a relation between objects."""
    statement = scenes.parse(line)
    return statement is not None and bool(statement.claims)


def score(captions: Sequence[Caption], world: Sequence[Scene]) -> dict[str, float]:
    """Return the scores of captions against their scenes.

    `truth`, `exact` and `states_relation` are shares of the captions, `pointing` the share of the words for objects in
    true captions whose attention peaks on the object; the rest is `metrics.score` against the references.
    """
    lines = [c.text for c in captions]
    report = grounding.grade(captions, world)
    return {
        "truth": truth_rate(captions, world),
        "exact": float(np.mean([scenes.is_exact(line, scene) for line, scene in zip(lines, world, strict=True)])),
        "states_relation": float(np.mean([states_relation(line) for line in lines])),
        "pointing": float(np.nan_to_num(report.pointing)),  # without a true caption there is nothing to grade: 0
        **metrics.score(lines, [[reference.text for reference in scene.captions] for scene in world]),
    }


def evaluate(captioner: Captioner, split: str = "test", *, beam: int = 5, count: int = 1000) -> dict[str, float]:
    """Return the scores on `count` scenes of a split, and the truth rate on as many compositional ones."""
    world, new_pairs = scenes.make_dataset(split, count), scenes.make_dataset("compositional", count)
    scores = score(caption(captioner, world, beam=beam), world)
    return scores | {"compositional_truth": truth_rate(caption(captioner, new_pairs, beam=beam), new_pairs)}


def scene_card(captions: Sequence[Caption], world: Sequence[Scene]) -> dict[str, Any]:
    """Return what a card says of captions of scenes, each named by its seed; failures with the reason."""
    lines = [c.text for c in captions]
    true = [scenes.is_true(line, scene) for line, scene in zip(lines, world, strict=True)]
    references = [[reference.text for reference in scene.captions] for scene in world]

    def show(wanted: bool) -> list[dict[str, Any]]:
        chosen = [i for i, is_true in enumerate(true) if is_true == wanted and len(world[i].objects) > 1]
        return [
            {"seed": world[i].seed, "caption": lines[i], "verdict": scenes.explain(lines[i], world[i])}
            for i in chosen[:EXAMPLES_SHOWN]
        ]

    return {
        "metrics": score(captions, world),
        "intervals": {"truth": bootstrap_interval([float(x) for x in true]), **metric_intervals(lines, references)},
        "successes": show(True),
        "failures": show(False),
        "attention_stats": attention_stats(captions, scenes.word_class),
    }


def scene_reward(world: Sequence[Scene], train: Sequence[Example]) -> RewardFn:
    """Return a reward function: `caption_reward`, with `STYLE_WEIGHT` of CIDEr-D as its style."""
    style = cider_reward(train)

    def reward(image_ids: Sequence[int], captions: Sequence[Sequence[str]]) -> list[list[float]]:
        rows = zip(image_ids, captions, style(image_ids, captions), strict=True)
        return [
            [caption_reward(line, world[i], STYLE_WEIGHT * cider) for line, cider in zip(lines, row, strict=True)]
            for i, lines, row in rows
        ]

    return reward


def caption_reward(line: str, scene: Scene, style: float = 0.0) -> float:
    """Return 1 for a caption that is true and names every object, 1.25 if it also states a relation, else 0.

    The quarter pays for a risk: what is not stated cannot be false. `style` is added for true captions alone; where all
    samples of a scene are false, it would select among falsehoods.
    """
    statement = scenes.parse(line) if scenes.is_exact(line, scene) else None
    return 0.0 if statement is None else style + (1.25 if statement.claims else 1.0)
