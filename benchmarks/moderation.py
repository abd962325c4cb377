"""Moderation by captions: what a policy finds, at which rate of false alarms, and how little it takes to deceive it.

    python -m benchmarks.moderation FLICKR8K EVERYDAY

Three parts, each written to moderation.json when it is done, and kept if its model is still the same:

- `scenes`: five rules on a thousand scenes of the test split, whose objects are known. Scores: the confidence of the
  caption, and the share of eight sampled captions that fulfil the rule.
- `photographs`: ten rules on the dev split of Flickr8k without the photographs that chose the epoch, and on the dev
  split of everyday photographs. A rule should find what two of the five human captions say. From these sets, only
  numbers, words and names of files are stored.
- `attack`: scenes with a heart, changed by a few grey levels so that the caption no longer says so.

FLICKR8K and EVERYDAY are data sets as `companion train photos` reads them. The chapter on moderation shows the tables.
"""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from companion import apps, checkpoints, datasets, models, scenes, tasks
from companion.apps import moderation
from companion.apps.policy import Relation, Rule
from companion.datasets import Example
from companion.decoding import Caption
from companion.encoders import TaggedEncoder
from companion.files import atomic_write
from companion.metrics import calibration, detection
from companion.model_card import bootstrap_interval
from companion.scenes import Scene
from companion.tokenizer import ENGLISH

RESULTS = Path(__file__).with_name("moderation.json")
SCENES, SAMPLES = 1000, 8
RESAMPLES = 1000
ATTACKED, EPSILONS, STEPS = 200, (1, 2, 4, 8), 20  # scenes, grey levels, gradient steps
HEART = "heart"
PHOTOGRAPH_RULES = {
    "dog": ("dog", "puppy"),
    "bicycle": ("bicycle", "bike", "cyclist"),
    "ball": ("ball",),
    "skateboard": ("skateboard",),
    "car": ("car",),
    "bench": ("bench",),
    "boat": ("boat",),
    "cat": ("cat", "kitten"),
    "horse": ("horse",),
    "train": ("train",),
}
LEAST_TAG = 0.5  # probability
SHOWN = 8  # failures of each kind


def make_rule(
    name: str,
    words: Sequence[str] = (),
    relations: Sequence[Relation] = (),
    least_objects: int | None = None,
    tags: Mapping[str, float] | None = None,
) -> Rule:
    """Return a rule without exceptions."""
    split = tuple(tuple(ENGLISH.tokenize(text)) for text in words)
    return Rule(name, "measured", split, tags or {}, tuple(relations), least_objects, (), 0.0)


class SceneRule(NamedTuple):
    """A rule, and whether it should find a scene."""

    rule: Rule
    truth: Callable[[Scene], bool]


def related(scene: Scene, relation: str, colour: str | None = None) -> bool:
    """Return whether an object, of this colour if one is given, stands in the relation to another."""
    return any(
        scenes.holds(relation, one, other)
        for one in scene.objects
        for other in scene.objects
        if one is not other and colour in (None, one.colour)
    )


SCENE_RULES = [
    SceneRule(
        make_rule("a red triangle", ["red triangle"]),
        lambda scene: any((o.colour, o.shape) == ("red", "triangle") for o in scene.objects),
    ),
    SceneRule(
        make_rule("a striped heart", ["striped heart"]),
        lambda scene: any((o.texture, o.shape) == ("striped", "heart") for o in scene.objects),
    ),
    SceneRule(
        make_rule("something inside something", relations=[Relation((), "inside", ())]),
        lambda scene: related(scene, "inside"),
    ),
    SceneRule(
        make_rule("something red left of something", relations=[Relation(("red",), "left of", ())]),
        lambda scene: related(scene, "left of", "red"),
    ),
    SceneRule(make_rule("three things or more", least_objects=3), lambda scene: len(scene.objects) >= 3),
]


def fires(rule: Rule, words: Sequence[str]) -> bool:
    """Return whether a rule finds something in the words of a caption."""
    return bool(moderation.find([rule], words).reported)


def interval(measure: Callable[[np.ndarray], float], count: int) -> list[float]:
    """Return the 95 % percentile bootstrap interval of a measure of pictures, given by their indices."""
    rng = np.random.default_rng(0)
    values = [measure(rng.integers(count, size=count)) for _ in range(RESAMPLES)]
    return [round(float(x), 4) for x in np.nanpercentile(values, [2.5, 97.5])]


def describe(reported: np.ndarray, truth: np.ndarray) -> dict[str, Any]:
    """Return the confusion matrix, precision and recall with intervals, and what 1 in 1,000 would make of them.

    Both arrays have an axis for the pictures, which are resampled, and perhaps one for the rules, which are pooled.
    """
    table = detection.confusion(reported, truth)
    highest = detection.highest_rate(table.false_positives, table.false_positives + table.true_negatives)
    return {
        **table._asdict(),
        "base_rate": round(float(truth.mean()), 4),
        "precision": round(table.precision, 4),
        "precision_interval": interval(lambda i: detection.confusion(reported[i], truth[i]).precision, len(truth)),
        "recall": round(table.recall, 4),
        "recall_interval": interval(lambda i: detection.confusion(reported[i], truth[i]).recall, len(truth)),
        "false_alarm_rate": round(table.false_alarm_rate, 6),
        "highest_false_alarm_rate": round(highest, 6),
        "precision_at_1_in_1000": round(detection.precision_at(table.recall, table.false_alarm_rate, 0.001), 4),
        "lowest_precision_at_1_in_1000": round(detection.precision_at(table.recall, highest, 0.001), 4),
    }


def ranked(scores: Mapping[str, np.ndarray], truth: np.ndarray) -> dict[str, Any]:
    """Return the average precision of each score with its interval, and the paired difference, last minus first.

    The arrays are those of `describe`.
    """

    def measure(score: np.ndarray, i: np.ndarray) -> float:
        return detection.average_precision(score[i], truth[i]) if truth[i].any() else np.nan

    def row(value: Callable[[np.ndarray], float]) -> dict[str, Any]:
        return {
            "average_precision": round(value(np.arange(len(truth))), 4),
            "interval": interval(value, len(truth)),
        }

    first, *_, last = scores.values()
    rows = {name: row(partial(measure, score)) for name, score in scores.items()}
    return rows | {"difference": row(lambda i: measure(last, i) - measure(first, i))}


def measure_scenes(count: int = SCENES) -> dict[str, Any]:
    """Return what the rules find in captions of scenes."""
    captioner, world = checkpoints.load("scenes"), scenes.make_dataset("test", count)
    captions = tasks.scenes.caption(captioner, world, beam=5)
    samples = tasks.scene_probes.sample_captions(captioner, world, count=SAMPLES)
    confidence = np.array([moderation.caption_confidence(c.log_probability, c.words) for c in captions])
    results = {}
    for rule, should in SCENE_RULES:
        truth = np.array([should(scene) for scene in world])
        said = np.array([fires(rule, caption.words) for caption in captions])
        sampled = np.array([[fires(rule, ENGLISH.tokenize(line)) for line in lines] for lines in samples])
        scores = {"caption": np.where(said, confidence, -confidence), "samples": sampled.mean(1)}
        curve = detection.precision_recall_curve(scores["samples"], truth)
        results[rule.name] = {
            "caption": describe(said, truth),
            "any sample": describe(sampled.max(1), truth),
            "ranking": ranked(scores, truth),
            "curve_of_samples": [[round(x, 4) for x in point] for point in curve],
        }
    return {"split": "test", "seed": 0, "scenes": count, "samples": SAMPLES, "beam": 5, "rules": results}


class Read(NamedTuple):
    """Captioned photographs: names, captions with their confidence, the probabilities of tags, human captions."""

    names: list[str]
    captions: list[Caption]
    confidence: list[float]
    tags: list[dict[str, float]]
    references: list[tuple[str, ...]]


def file_of(example: Example) -> Path:
    """Return the file of a photograph."""
    assert isinstance(example.image, Path)
    return example.image


def read_photographs(examples: Sequence[Example]) -> Read:
    """Return captions and tags of photographs; the tags come from the tagger, also for a captioner without tags."""
    captioner = checkpoints.load("photos")
    has_tags = isinstance(captioner.encoder, TaggedEncoder)
    encoder = captioner.encoder if has_tags else models.build("photos", captioner.vocabulary, tags=True).encoder.eval()
    captions: list[Caption] = []
    tags: list[dict[str, float]] = []
    for start in range(0, len(examples), apps.BATCH_SIZE):
        batch = examples[start : start + apps.BATCH_SIZE]
        images = torch.stack([datasets.load_image(file_of(each), captioner.image_size) for each in batch])
        with torch.inference_mode():
            grid = encoder(images)
        named = models.list_tags(grid.tags)
        tags += [{tag.word: 1 / (1 + np.exp(-tag.confidence)) for tag in each} for each in named]
        captions += captioner.caption(grid if has_tags else grid._replace(tags=None))
    fitted = calibration.confidence_of(checkpoints.card("photos"))
    probabilities = fitted.probabilities(captions) if fitted else [None] * len(captions)
    confidence = [
        moderation.caption_confidence(c.log_probability, c.words, p)
        for c, p in zip(captions, probabilities, strict=True)
    ]
    references = [tuple(example.captions) for example in examples]
    return Read([file_of(example).name for example in examples], captions, confidence, tags, references)


def measure_photographs(examples: Sequence[Example]) -> dict[str, Any]:
    """Return what the rules find in photographs by caption, by tags, and by either."""
    read = read_photographs(examples)
    truth, said, odds = [], [], []
    for name, words in PHOTOGRAPH_RULES.items():
        rule = make_rule(name, words)
        people = [[fires(rule, ENGLISH.tokenize(line)) for line in lines] for lines in read.references]
        truth.append([sum(each) >= 2 for each in people])
        said.append([fires(rule, caption.words) for caption in read.captions])
        odds.append([each.get(name, 0.0) for each in read.tags])
    true, caption, tag = np.array(truth).T, np.array(said).T, np.array(odds).T  # photograph rule
    confidence = np.array(read.confidence)[:, None] * np.ones_like(tag)
    reported = {"caption": caption, "tags": tag >= LEAST_TAG, "either": caption | (tag >= LEAST_TAG)}
    scores = {
        "caption": np.where(caption, confidence, -confidence),
        "tags": tag,
        "either": tag + np.where(caption, confidence, 0.0),
    }
    return {
        "photographs": len(examples),
        "captioner_has_tags": bool(checkpoints.card("photos")["config"].get("tags")),
        "base_rate": round(float(true.mean()), 4),
        "found_by": {name: describe(each, true) for name, each in reported.items()},
        "ranking": ranked(scores, true),
        "rules": {
            name: {
                "should": int(true[:, i].sum()),
                **{by: detection.confusion(each[:, i], true[:, i])._asdict() for by, each in reported.items()},
            }
            for i, name in enumerate(PHOTOGRAPH_RULES)
        },
        "missed_by_either": failures(read.names, ~reported["either"] & true),
        "false_alarms_of_captions": failures(read.names, caption & ~true),
    }


def failures(names: Sequence[str], wrong: np.ndarray) -> list[list[str]]:
    """Return the first `SHOWN` pairs of photograph and rule that are wrong, as names."""
    rules = list(PHOTOGRAPH_RULES)
    return [[names[photograph], rules[rule]] for photograph, rule in np.argwhere(wrong)[:SHOWN].tolist()]


def hearts(captioner: models.Captioner, count: int) -> tuple[list[Scene], list[Caption]]:
    """Return the first scenes of the test split that have a heart and a caption that says so, with their captions."""
    rule = make_rule(HEART, [HEART])
    world = [s for s in scenes.make_dataset("test", 6 * count) if any(o.shape == HEART for o in s.objects)]
    captions = tasks.scenes.caption(captioner, world[: 2 * count], beam=5)
    both = [(s, c) for s, c in zip(world, captions, strict=False) if fires(rule, c.words)][:count]
    return [s for s, _ in both], [c for _, c in both]


def attack(
    captioner: models.Captioner, images: Tensor, captions: Sequence[Caption], epsilon: int, *, steps: int = STEPS
) -> Tensor:
    """Return the images with no byte changed by more than epsilon, so that captions no longer say "heart".

    Each step follows the sign of the gradient of log p(heart or hearts), summed over the places where the caption has
    one of them (Goodfellow et al. 2015, section 4; the steps and the projection of Madry et al. 2018, section 2.1).
    """
    vocabulary = captioner.vocabulary
    tokens = datasets.collate_captions([[vocabulary.encode(caption.text)] for caption in captions])
    ids = torch.tensor([vocabulary.id(word) for word in (HEART, HEART + "s")])
    is_heart = (tokens[..., 1:, None] == ids).any(-1)
    changed = images.float()
    for _ in range(steps):
        changed = changed.detach().requires_grad_(True)
        log_p = captioner(changed, tokens[..., :-1]).logits.log_softmax(-1)[..., ids].logsumexp(-1)
        (gradient,) = torch.autograd.grad((log_p * is_heart).sum(), changed)
        changed = changed.detach() - max(1.0, epsilon / 4) * gradient.sign()
        changed = torch.minimum(torch.maximum(changed, images.float() - epsilon), images.float() + epsilon)
        changed = changed.clamp(0, 255)
    return changed.round().byte()


def measure_attack(count: int = ATTACKED) -> dict[str, Any]:
    """Return the share of scenes whose heart is no longer found, by the size of the change, attacked and at random."""
    captioner = checkpoints.load("scenes").requires_grad_(False)
    world, captions = hearts(captioner, count)
    images, rule = scenes.image_tensor(world), make_rule(HEART, [HEART])
    generator = torch.Generator().manual_seed(0)
    rows = []
    for epsilon in EPSILONS:
        signs = torch.randint(0, 2, images.shape, generator=generator) * 2 - 1
        noisy = (images.int() + epsilon * signs).clamp(0, 255).byte()
        changed = {"gradient": attack(captioner, images, captions, epsilon), "random": noisy}
        row: dict[str, Any] = {"grey_levels": epsilon}
        for name, pictures in changed.items():
            flipped = [not fires(rule, c.words) for part in pictures.split(100) for c in captioner.caption(part)]
            row[name] = round(float(np.mean(flipped)), 4)
            row[f"{name}_interval"] = bootstrap_interval([float(each) for each in flipped])
        rows.append(row)
    return {"split": "test", "scenes": len(world), "steps": STEPS, "rows": rows}


def main(flickr8k: Path, everyday: Path) -> None:
    """Measure what is missing in moderation.json or is of another model, and print the results."""
    results: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}

    def photographs() -> dict[str, Any]:
        first = tasks.photos.VALIDATION_SIZE
        sets = {"flickr8k": (flickr8k, first), "everyday": (everyday, 0)}
        return {
            name: measure_photographs(datasets.get_split(datasets.read(folder), "dev")[skipped:])
            for name, (folder, skipped) in sets.items()
        }

    parts: dict[str, tuple[str, Callable[[], dict[str, Any]]]] = {
        "scenes": ("scenes", measure_scenes),
        "attack": ("scenes", measure_attack),
        "photographs": ("photos", photographs),
    }
    for name, (model, measure) in parts.items():
        weights = checkpoints.card(model)["sha256"]
        if results.get(name, {}).get("weights") != weights:
            results[name] = {"weights": weights, **measure()}
            atomic_write(RESULTS, json.dumps(results, indent=1).encode() + b"\n")
        print(name, json.dumps(results[name], indent=1))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
