"""How well a word's attention map serves as a mask, on scenes with true masks and on photographs.

    python -m benchmarks.editing FLICKR8K EVERYDAY

Scenes: the intersection over union (IoU) of the masks of shape words in true captions with their objects, by
threshold, on validation and on test scenes, beside masks that know less and masks that know more. A score is the mean
over scenes of the mean over their words, with a 95 % bootstrap interval over scenes.

Photographs: the split dev of both folders, without the first photographs of FLICKR8K, which are for validation. Of each
caption the first noun counts. Its mask is blurred, or filled in, and the captioner captions the result: does it still
say the noun? The same is done with the mask moved elsewhere and with the box of a detector, where that has found the
noun. There, the map is also measured against the box. Validation gives the IoU of map and box by threshold.

Writes editing.json. Photographs are added to it in batches, so that a run that was stopped goes on; with other weights
or other settings it begins anew. FLICKR8K, EVERYDAY: data sets in any layout that `datasets.read` knows.
"""

import contextlib
import hashlib
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from companion import checkpoints, datasets, scenes, tasks
from companion.apps import editing
from companion.decoding import Caption
from companion.files import atomic_write
from companion.metrics import grounding, masks
from companion.metrics.masks import Box, Mask
from companion.metrics.nouns import noun_forms
from companion.model_card import bootstrap_interval
from companion.models import Captioner
from companion.scenes import Scene
from companion.tags import COCO_WORDS, load_nanodet, mentions
from companion.tags.tagger import NAMED

RESULTS = Path(__file__).with_name("editing.json")
THRESHOLDS = tuple(round(0.05 * i, 2) for i in range(1, 20))
SCENES = 1000  # of validation, and of test
PHOTOGRAPHS = 300  # of Flickr8k for validation, and as many others for measuring
BATCH = 8  # photographs
EDITS = ("blur", "inpaint")


# -- masks that know more, or less ------------------------------------------------------------------------------------


def best_cells(mask: Mask, rows: int, cols: int) -> float:
    """Return the highest IoU that whole cells of a grid can have with a mask.

    With more cells that are covered less, the IoU rises and then falls; a cell is worth taking the more, the more of it
    is covered. So the best cells are the first k by their cover, for some k.
    """
    cover = np.sort(grounding.covered(mask, rows, cols).ravel())[::-1]
    return float((cover.cumsum() / (cover.sum() + (1 - cover).cumsum())).max())


def centre_box(mask: Mask) -> Mask:
    """Return a box in the middle of the picture, of its proportions, with about as many pixels as the mask."""
    half = mask.mean() ** 0.5 / 2
    rows, cols = (np.abs((np.arange(side) + 0.5) / side - 0.5) < half for side in mask.shape)
    return rows[:, None] & cols[None, :]


def bounding_box(mask: Mask) -> Mask:
    """Return the smallest box around a mask."""
    rows, cols = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    box = np.zeros_like(mask)
    box[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1] = True
    return box


def elsewhere(mask: Mask) -> Mask:
    """Return the mask moved by half the picture down and right; what leaves at one edge enters at the other."""
    return np.roll(mask, (mask.shape[0] // 2, mask.shape[1] // 2), (0, 1))


# -- scenes -----------------------------------------------------------------------------------------------------------


class Word(NamedTuple):
    """A shape word that refers to one object: its map, the object's mask, the map of a word for another object."""

    scene: int
    weights: Tensor
    truth: Mask
    other: Tensor | None


def shape_words(captions: Sequence[Caption], world: Sequence[Scene]) -> list[Word]:
    """Return the shape words of the true captions that refer to exactly one object."""
    words = []
    for index, (caption, scene) in enumerate(zip(captions, world, strict=True)):
        aligned = scenes.align(" ".join(caption.words), scene) or ()
        shapes = {
            t: objects[0]
            for t, objects in enumerate(aligned)
            if len(objects) == 1 and scenes.word_class(caption.words[t]) == "shape"
        }
        for t, item in shapes.items():
            others = [caption.weights[o] for o, other in shapes.items() if other != item]
            words.append(Word(index, caption.weights[t], scene.masks[item], others[0] if others else None))
    return words


def score(words: Sequence[Word], iou_of: Callable[[int, Word], float]) -> dict[str, Any]:
    """Return the mean IoU over scenes, its interval, and how many words and scenes there are."""
    by_scene: dict[int, list[float]] = {}
    for i, word in enumerate(words):
        by_scene.setdefault(word.scene, []).append(iou_of(i, word))
    means = [float(np.mean(each)) for each in by_scene.values()]
    return {
        "iou": round(float(np.mean(means)), 4),
        "interval": bootstrap_interval(means),
        "words": len(words),
        "scenes": len(means),
    }


def iou_at(threshold: float) -> Callable[[int, Word], float]:
    """Return the function that gives the IoU of a word's map, at a threshold, with its object."""
    return lambda _, word: masks.iou(masks.from_map(word.weights, *word.truth.shape, threshold=threshold), word.truth)


def whole_cells(weights: Tensor, size: int, threshold: float) -> Mask:
    """Return the mask of a map that is not interpolated."""
    return np.kron((weights >= threshold * weights.max()).numpy(), np.ones([size // len(weights)] * 2, dtype=bool))


def measure_scenes(captioner: Captioner, count: int = SCENES) -> dict[str, Any]:
    """Return the curves of validation and test, the best threshold of validation, and the rows of test."""
    words, curves = {}, {}
    for split in ("validation", "test"):
        world = scenes.make_dataset(split, count)
        words[split] = shape_words(tasks.scenes.caption(captioner, world), world)
        curves[split] = [score(words[split], iou_at(threshold))["iou"] for threshold in THRESHOLDS]
    test = words["test"]
    made = [masks.from_map(word.weights, *word.truth.shape) for word in test]
    paired = [word for word in test if word.other is not None]
    exchanged = [word._replace(weights=word.other) for word in test if word.other is not None]
    rows = {
        "map": score(test, lambda i, word: masks.iou(made[i], word.truth)),
        "map, whole cells": score(
            test,
            lambda _, word: masks.iou(whole_cells(word.weights, len(word.truth), masks.THRESHOLD), word.truth),
        ),
        "map of another scene": score(
            test, lambda i, word: masks.iou(made[(i + len(made) // 2) % len(made)], word.truth)
        ),
        "box in the middle, of the same area": score(test, lambda i, word: masks.iou(centre_box(made[i]), word.truth)),
        "best whole cells": score(test, lambda _, word: best_cells(word.truth, *word.weights.shape)),
        "box around the object": score(test, lambda _, word: masks.iou(bounding_box(word.truth), word.truth)),
        "map, where another object is named": score(paired, iou_at(masks.THRESHOLD)),
        "map of another object": score(exchanged, iou_at(masks.THRESHOLD)),
    }
    areas = {"mask": float(np.mean([m.mean() for m in made])), "object": float(np.mean([w.truth.mean() for w in test]))}
    best = THRESHOLDS[int(np.argmax(curves["validation"]))]
    return {"curves": curves, "best_threshold": best, "rows": rows, "areas": {k: round(v, 4) for k, v in areas.items()}}


# -- photographs ------------------------------------------------------------------------------------------------------


class Noun(NamedTuple):
    """The first noun of a caption: its position, its singular, and the box in which a detector found it, or None."""

    position: int
    noun: str
    box: Box | None


def first_noun(caption: Caption, detector_scores: Tensor, boxes: Tensor) -> Noun | None:
    """Return the first noun of a caption, or None. Of several classes that it mentions, the best found one counts."""
    for position, word in enumerate(caption.words):
        if noun := noun_forms().get(word):
            classes = mentions([{word}])[0, : len(COCO_WORDS)].nonzero().flatten().tolist()
            best = max(classes, key=lambda c: float(detector_scores[c]), default=None)
            is_named = best is not None and detector_scores[best] > NAMED
            return Noun(position, noun, tuple(boxes[best].tolist()) if is_named else None)
    return None


def says(caption: Caption, noun: str) -> bool:
    """Return whether a caption has a noun, in the singular or plural."""
    return any(noun_forms().get(word) == noun for word in caption.words)


def masks_of(weights: Tensor, box: Box | None, size: int) -> dict[str, Mask]:
    """Return the masks that are compared: of the map, of the box if there is one, and each of these elsewhere."""
    made = {"map": masks.from_map(weights, size, size)}
    if box is not None:
        made |= {"map in box": masks.from_map(weights, size, size, box=box), "box": masks.from_box(box, size, size)}
    return made | {f"{name}, elsewhere": elsewhere(mask) for name, mask in made.items()}


def to_tensor(image: Image.Image) -> Tensor:
    """Return a picture as bytes: 3 row col."""
    return torch.from_numpy(np.asarray(image).transpose(2, 0, 1).copy())


def edited_captions(captioner: Captioner, image: Tensor, made: dict[str, Mask]) -> dict[str, dict[str, Caption]]:
    """Return the caption of the image after each edit of each mask; an edit that is impossible is left out."""
    picture = Image.fromarray(image.numpy().transpose(1, 2, 0).copy())
    results: dict[tuple[str, str], Tensor] = {}
    for edit in EDITS:
        for name, mask in made.items():
            if not mask.all():
                with contextlib.suppress(ValueError):  # nothing is left from which the hole could be filled in
                    results[edit, name] = to_tensor(editing.EDITS[edit](picture, mask))
    captions = dict(zip(results, captioner.caption(torch.stack([*results.values()])) if results else [], strict=True))
    return {edit: {name: c for (e, name), c in captions.items() if e == edit} for edit in EDITS}


def caption_with_nouns(captioner: Captioner, images: Tensor) -> list[tuple[Caption, Noun | None]]:
    """Return the caption of each image and its first noun."""
    with torch.no_grad():
        detections = load_nanodet()(images)
    captions = captioner.caption(images)
    return [(c, first_noun(c, *each)) for c, *each in zip(captions, detections.scores, detections.boxes, strict=True)]


def measure_batch(captioner: Captioner, examples: Sequence[datasets.Example]) -> list[dict[str, Any]]:
    """Return a record for each photograph whose caption has a noun."""
    images = datasets.load_images(examples)
    rows = [
        (example, image, caption.weights[noun.position], noun)
        for example, image, (caption, noun) in zip(examples, images, caption_with_nouns(captioner, images), strict=True)
        if noun is not None
    ]
    records = []
    for i, (example, image, weights, noun) in enumerate(rows):
        _, _, other, _ = rows[(i + 1) % len(rows)]
        made = masks_of(weights, noun.box, image.shape[-1])
        record: dict[str, Any] = {
            "image": example.name,
            "noun": noun.noun,
            "areas": {name: round(float(mask.mean()), 4) for name, mask in made.items() if "elsewhere" not in name},
            "gone": {
                edit: {name: not says(c, noun.noun) for name, c in captions.items()}
                for edit, captions in edited_captions(captioner, image, made).items()
            },
        }
        if "box" in made:
            record["in_box"] = {
                "iou": round(masks.iou(made["map"], made["box"]), 4),
                "mass": round(grounding.attention_mass(weights, made["box"]), 4),
                "mass of another map": round(grounding.attention_mass(other, made["box"]), 4),
                "mass of uniform attention": round(grounding.uniform_mass(made["box"]), 4),
                "pointing": grounding.pointing(weights, made["box"]),
            }
        records.append(record)
    return records


def validation_pairs(captioner: Captioner, examples: Sequence[datasets.Example]) -> list[tuple[Tensor, Box]]:
    """Return the map and the box of each first noun that the detector has found."""
    pairs = []
    for first in range(0, len(examples), BATCH):
        images = datasets.load_images(examples[first : first + BATCH])
        for caption, noun in caption_with_nouns(captioner, images):
            if noun is not None and noun.box is not None:
                pairs.append((caption.weights[noun.position], noun.box))
    return pairs


def box_curve(pairs: Sequence[tuple[Tensor, Box]], side: int = 160) -> list[float]:
    """Return the mean IoU of maps and boxes at each threshold."""
    words = [Word(i, weights, masks.from_box(box, side, side), None) for i, (weights, box) in enumerate(pairs)]
    return [score(words, iou_at(threshold))["iou"] for threshold in THRESHOLDS]


# -- all together -----------------------------------------------------------------------------------------------------


def share(values: Sequence[bool | float]) -> dict[str, Any]:
    """Return the mean of some values, its interval, and their number."""
    numbers = [float(value) for value in values]
    return {"mean": round(float(np.mean(numbers)), 4), "interval": bootstrap_interval(numbers), "n": len(numbers)}


def summarize(records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the shares of nouns that are gone, the differences to the same area elsewhere, and the map in the box.

    "all" are all photographs, "with a box" those in which the detector found the noun.
    """
    groups = {"all": records, "with a box": [record for record in records if "in_box" in record]}
    summary: dict[str, Any] = {}
    for group, members in groups.items():
        names = ("map", "map in box", "box") if group == "with a box" else ("map",)
        areas = {name: round(float(np.mean([m["areas"][name] for m in members])), 4) for name in names}
        gone = {}
        for edit in EDITS:
            for name in names:
                there = f"{name}, elsewhere"
                both = [m["gone"][edit] for m in members if name in m["gone"][edit] and there in m["gone"][edit]]
                gone[f"{edit}, {name}"] = share([g[name] for g in both])
                gone[f"{edit}, {there}"] = share([g[there] for g in both])
                gone[f"{edit}, {name} minus elsewhere"] = share([float(g[name]) - float(g[there]) for g in both])
        summary[group] = {"areas": areas, "gone": gone}
    inside = [record["in_box"] for record in groups["with a box"]]
    summary["in_box"] = {key: share([each[key] for each in inside]) for key in inside[0]}
    gains = [each["mass"] - each["mass of another map"] for each in inside]
    return summary | {"mass minus that of another map": share(gains)}


def settings() -> dict[str, Any]:
    """Return what the results depend on: the weights, by the digests in the cards, and the constants."""
    digests = {name: checkpoints.card(name)["sha256"] for name in ("scenes", "photos")}
    constants = [masks.THRESHOLD, editing.BLUR_SHARE, editing.INPAINT_SIDE, SCENES, PHOTOGRAPHS, list(EDITS)]
    return {
        "weights": digests,
        "threshold": masks.THRESHOLD,
        "constants": hashlib.sha256(repr(constants).encode()).hexdigest(),
    }


def main(flickr8k: Path, everyday: Path) -> None:
    """Measure what is missing in editing.json, and print the summary."""
    results: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    if results.get("settings") != settings():
        results = {"settings": settings(), "photographs": []}

    def save() -> None:
        atomic_write(RESULTS, json.dumps(results, indent=1).encode() + b"\n")

    if "scenes" not in results:
        results["scenes"] = measure_scenes(checkpoints.load("scenes"))
        save()
    captioner = checkpoints.load("photos")
    dev = datasets.get_split(datasets.read(flickr8k), "dev")
    if "box_curve" not in results:
        pairs = validation_pairs(captioner, dev[: tasks.photos.VALIDATION_SIZE])
        curve = box_curve(pairs)
        results |= {"box_curve": {"iou": curve, "n": len(pairs), "best_threshold": THRESHOLDS[int(np.argmax(curve))]}}
        save()
    measured = dev[tasks.photos.VALIDATION_SIZE :][:PHOTOGRAPHS]
    measured += datasets.get_split(datasets.read(everyday), "dev")
    done = results.setdefault("seen", 0)
    for first in range(done, len(measured), BATCH):
        batch = measured[first : first + BATCH]
        results["photographs"] += measure_batch(captioner, batch)
        results["seen"] = first + len(batch)
        save()
    results["summary"] = summarize(results["photographs"])
    save()
    print(json.dumps({key: results[key] for key in ("scenes", "box_curve", "seen", "summary")}, indent=1))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:3]))
