"""The task of drawn scenes: training recipe, captioning, scoring, model card and reward.

The recipe of the weights that ship stands at the top. Explained in the chapters on learning, scoring and grounding.
"""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric

from companion import metrics, scenes
from companion.decoders import DECODERS
from companion.decoding import Caption
from companion.metrics import grounding, statements
from companion.model_card import EXAMPLES_SHOWN, attention_stats, bootstrap_interval, metric_intervals, round_scores
from companion.models import Captioner, build
from companion.scenes import Scene
from companion.tasks import scene_probes
from companion.tasks.run import RunFacts, build_vocabulary, finalize_run
from companion.tasks.scene_batches import SceneBatches, to_examples
from companion.training import RewardFn, TrainConfig, distributed, feature_cache, fit

TINY = TrainConfig(
    epochs=4, lr=4e-3, captions_per_image=2, alignment_weight=2.0, word_dropout=0.1,
    rl_epochs=1, rl_lr=6e-4, kl_weight=0.15, rl_ce_weight=0.5, min_advantage=0.0,
)  # fmt: skip
BASE = TINY._replace(epochs=10, lr=3e-3, rl_lr=4e-4)
CONFIGS = {"tiny": (TINY, 12_500), "base": (BASE, 33_000)}  # hyperparameters, and scenes in an epoch, by size
VOCABULARY_SCENES = 1000  # whose captions hold every word of the grammar
ATTENTION = "coverage"  # of the LSTM decoder of the shipped model
BLOCKS = 1  # of self-attention behind the convolutions of the encoder
VALIDATION_SIZE = 300  # scenes, scored after every epoch
# Greedy search chooses one wording and never says the others. Of the temperatures 0.6 to 1, this is the lowest at which
# every relation, size and number is said at least half as often as in the references.
TEMPERATURE = 0.7
MEASURED = 1000  # scenes, for the card


def train(
    out: Path,
    *,
    seed: int = 0,
    size: str = "base",
    attention: str | None = None,
    decoder: str = "lstm",
    encoder: str = "convolution",
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
        encoder: a name in `models.ENCODERS`.
        resume: continue the run in `out`.
        fabric: devices and precision.
        config: hyperparameters, by default those of the size in `CONFIGS`.
        count: scenes in an epoch, by default that of the size.
    """
    fabric = fabric or distributed.launch()
    size_config, size_count = CONFIGS[size]
    config, count = (config or size_config)._replace(seed=seed), count or size_count
    if not getattr(DECODERS.get(decoder), "supports_alignment", True):
        config = config._replace(alignment_weight=0.0)
    if attention is None and decoder == "lstm":
        attention = ATTENTION
    validation = scenes.make_dataset("validation", VALIDATION_SIZE)
    examples = to_examples(scenes.make_dataset("train", VOCABULARY_SCENES))
    torch.manual_seed(seed)
    vocabulary = build_vocabulary(examples, min_count=1)
    blocks = BLOCKS if encoder == "convolution" else None  # None is the encoder's own number
    captioner = build("scenes", vocabulary, size, attention=attention, decoder=decoder, encoder=encoder, blocks=blocks)
    batches = SceneBatches(count, captioner.vocabulary, config)
    rl_batches = SceneBatches(count, captioner.vocabulary, config, weak_relations=True)

    def reward(image_ids: Sequence[int], captions: Sequence[Sequence[str]]) -> Sequence[Sequence[float]]:
        return scene_reward(rl_batches.world)(image_ids, captions)

    def validate(captioner: Captioner) -> dict[str, float]:
        return score(caption(captioner, validation, beam=1), validation)

    log = fit(
        captioner, batches, config,
        out=out, validate=validate, resume=resume, fabric=fabric, reward_fn=reward, rl_batches=rl_batches,
    )  # fmt: skip
    data = {
        "name": "scenes",
        "examples": count * (config.epochs + config.rl_epochs),  # no scene is seen twice
        "sha256": feature_cache.fingerprint(examples),
        "sha256_of": f"the first {VOCABULARY_SCENES} scenes of the split train, which have the vocabulary",
        "validation": f"{VALIDATION_SIZE} other scenes",
        "measured": f"{MEASURED} scenes of the test split, and of the compositional one",
    }
    built = f"--size {size} --attention {captioner.config['attention']} --decoder {decoder}"
    built += f" --encoder {encoder}" if encoder != "convolution" else ""
    facts = RunFacts(f"companion train scenes --out {shlex.quote(out.name)} {built}", config, log, data)

    def measure(captioner: Captioner) -> dict[str, Any]:
        test = scenes.make_dataset("test", MEASURED)
        captions = caption(captioner, test)
        card = scene_card(captions, test)
        card["metrics"] |= probe(captioner, test)
        card["decodings"] = decodings(captioner, captions, test)
        return card

    distributed.on_rank_zero(fabric, lambda: finalize_run(captioner, facts, out=out, fabric=fabric, measure=measure))
    return captioner


def caption(
    captioner: Captioner, world: Sequence[Scene], *, beam: int | None = None, batch_size: int = 250
) -> list[Caption]:
    """Return a caption for every scene: a sample at `TEMPERATURE`, the same in every call, or by beam search.

    A beam of one is greedy search. The sample of a scene also depends on the scenes before it.
    """
    parts = scenes.image_tensor(world).split(batch_size)
    if beam is not None:
        return [c for part in parts for c in captioner.caption(part, beam)]
    generator = torch.Generator().manual_seed(0)
    return [c for part in parts for c in captioner.sample(part, temperature=TEMPERATURE, generator=generator)]


def truth_rate(captions: Sequence[Caption], world: Sequence[Scene]) -> float:
    """Return the share of the captions, 0 to 1, that are true of their scenes."""
    return float(np.mean([scenes.is_true(c.text, scene) for c, scene in zip(captions, world, strict=True)]))


def score(captions: Sequence[Caption], world: Sequence[Scene]) -> dict[str, float]:
    """Return the scores of captions against their scenes.

    `truth` and `exact` are shares of the captions, `pointing` the share of the words for objects in true captions whose
    attention peaks on the object; then come `statements.score_statements` and `metrics.score` with the references.
    """
    lines = [c.text for c in captions]
    report = grounding.grade(captions, world)
    return {
        "truth": truth_rate(captions, world),
        "exact": float(np.mean([scenes.is_exact(line, scene) for line, scene in zip(lines, world, strict=True)])),
        "pointing": float(np.nan_to_num(report.pointing)),  # without a true caption there is nothing to grade: 0
        **statements.score_statements(lines, world),
        **metrics.score(lines, [[reference.text for reference in scene.captions] for scene in world]),
    }


def evaluate(
    captioner: Captioner, split: str = "test", *, beam: int | None = None, count: int = 1000
) -> dict[str, float]:
    """Return the scores on `count` scenes of a split: those of `score` and of `probe`; `beam` is that of `caption`."""
    world = scenes.make_dataset(split, count)
    return score(caption(captioner, world, beam=beam), world) | probe(captioner, world, beam=beam)


def probe(captioner: Captioner, world: Sequence[Scene], *, beam: int | None = None) -> dict[str, float]:
    """Return what is asked beyond the captions of the scenes: the truth rate on as many compositional ones, and the
    scores of `scene_probes`, which do not depend on the beam.
    """
    new_pairs = scenes.make_dataset("compositional", len(world))
    return {
        "compositional_truth": truth_rate(caption(captioner, new_pairs, beam=beam), new_pairs),
        "forced_choice": scene_probes.forced_choice(captioner, world),
        "reference_loss": scene_probes.reference_loss(captioner, world),
        **scene_probes.sample_scores(captioner, world),
    }


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
        "truth_by_form": _truths(statements.truth_by_form(lines, world)),
        "truth_by_fact": _truths(statements.truth_by_fact(lines, world)),
        "rates": {
            kind: {r.word: [round(r.captions, 4), round(r.references, 4)] for r in rates}
            for kind, rates in statements.stated_rates(lines, world).items()
        },
        "vanished": statements.vanished(lines, world),
    }


def _truths(groups: dict[str, statements.Truth]) -> dict[str, dict[str, int | float]]:
    return {name: {"total": truth.total, "truth": round(truth.rate, 4)} for name, truth in groups.items()}


def decodings(captioner: Captioner, captions: Sequence[Caption], world: Sequence[Scene]) -> dict[str, dict[str, float]]:
    """Return truth, similarity and what captions state, for `captions`, greedy search, a beam of 5 and a sample.

    `captions` are samples at `TEMPERATURE`, the last row is sampled at temperature 1. "vanished" is the number of words
    that `statements.vanished` names.
    """
    lines = {
        f"sample at {TEMPERATURE}": [c.text for c in captions],
        "greedy": [c.text for c in caption(captioner, world, beam=1)],
        "beam 5": [c.text for c in caption(captioner, world, beam=5)],
        "sample at 1": [own for (own,) in scene_probes.sample_captions(captioner, world, count=1)],
    }
    references = [[reference.text for reference in scene.captions] for scene in world]
    return {
        name: round_scores(
            {
                "truth": float(np.mean([scenes.is_true(line, scene) for line, scene in zip(own, world, strict=True)])),
                "cider_d": metrics.cider_d(own, references),
                **statements.score_statements(own, world),
                "vanished": float(len(statements.vanished(own, world))),
            }
        )
        for name, own in lines.items()
    }


def scene_reward(world: Sequence[Scene]) -> RewardFn:
    """Return a reward function: `caption_reward` of every caption."""

    def reward(image_ids: Sequence[int], captions: Sequence[Sequence[str]]) -> list[list[float]]:
        rows = zip(image_ids, captions, strict=True)
        return [[caption_reward(line, world[i]) for line in lines] for i, lines in rows]

    return reward


def caption_reward(line: str, scene: Scene) -> float:
    """Return 1 for a caption that is true, names every object, and no two of them by the same phrase; else 0.

    "a red circle and a red circle" is true of two red circles, but hides that they are two.
    """
    statement = scenes.parse(line) if scenes.is_exact(line, scene) else None
    phrases = [phrase[:-1] for phrase in statement.phrases] if statement else []  # without their positions
    return float(bool(phrases) and len(set(phrases)) == len(phrases))
