"""Measure how far the confidence in a caption can be trusted, and what neutral wording costs.

    python -m benchmarks.alt_text FLICKR8K EVERYDAY

FLICKR8K and EVERYDAY are data sets with a split dev; of the first, the photographs that chose the epoch are left out.
Captions of photographs, by beam search, are right if one of their nouns is in a reference. Captions of 1,000 scenes of
each split, drawn at temperature 1 so that some are false, are right if the parser says that they are true. Writes
alt_text.json: the evidence for each caption, and calibration error, share that is sure and share of these that is
right, with 95 % bootstrap intervals. Each set is written when it is done and not measured again with the same weights.
The chapter on alternative text shows them.
"""

import argparse
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import record
from companion import checkpoints, datasets, metrics, scenes, tasks
from companion.apps.alt_wording import PERSONS, neutral
from companion.datasets import Example
from companion.decoding import Caption
from companion.metrics import calibration, nouns
from companion.metrics.calibration import Confidence
from companion.model_card import RESAMPLES, bootstrap_interval
from companion.tokenizer import ENGLISH

RESULTS = Path(__file__).with_name("alt_text.json")
SCENES = 1000


def raw_probability(caption: Caption) -> float:
    """Return the geometric mean of the probabilities of the caption's words, which is not calibrated."""
    return math.exp(caption.log_probability / (len(caption.words) + 1))


def measure(probabilities: Sequence[float], right: Sequence[bool], sure: Sequence[bool]) -> dict[str, Any]:
    """Return how well probabilities fit, and how many captions are sure and right, with bootstrap intervals."""
    curve = calibration.reliability(probabilities, right)
    p, target = np.array(probabilities), np.array(right)
    chosen = np.random.default_rng(0).integers(len(p), size=(RESAMPLES, len(p)))
    errors = [
        calibration.expected_calibration_error(calibration.reliability(p[rows].tolist(), target[rows].tolist()))
        for rows in chosen
    ]
    among_sure = [float(r) for r, s in zip(right, sure, strict=True) if s]
    among_others = [float(r) for r, s in zip(right, sure, strict=True) if not s]
    return {
        "expected_calibration_error": round(calibration.expected_calibration_error(curve), 4),
        "error_interval": [round(float(x), 4) for x in np.percentile(errors, [2.5, 97.5])],
        "reliability": [[round(x, 4) for x in each] for each in curve],
        "sure": round(sum(sure) / len(sure), 4),
        "right_of_sure": round(float(np.mean(among_sure)), 4) if among_sure else None,
        "right_of_sure_interval": bootstrap_interval(among_sure) if among_sure else None,
        "right_of_others": round(float(np.mean(among_others)), 4) if among_others else None,
    }


def measure_with(confidence: Confidence, captions: Sequence[Caption], right: Sequence[bool]) -> dict[str, Any]:
    """Return the measurements of one confidence."""
    return measure(confidence.probabilities(captions), right, confidence.are_sure(captions))


def measure_crossed(captions: Sequence[Caption], right: Sequence[bool]) -> dict[str, Any]:
    """Return the measurements where each half of the captions has the regression and threshold of the other half."""
    probabilities, sure = [0.0] * len(captions), [False] * len(captions)
    for own, other in ((slice(0, None, 2), slice(1, None, 2)), (slice(1, None, 2), slice(0, None, 2))):
        fitted = calibration.fit(captions[other], right[other])
        probabilities[own], sure[own] = fitted.probabilities(captions[own]), fitted.are_sure(captions[own])
    return measure(probabilities, right, sure)


def measure_raw(captions: Sequence[Caption], right: Sequence[bool]) -> dict[str, Any]:
    """Return the measurements of the probability a word, with the threshold that `choose_threshold` wants."""
    raw = [raw_probability(caption) for caption in captions]
    threshold = calibration.choose_threshold(raw, right)
    return measure(raw, right, [p >= threshold for p in raw])


def facts(captions: Sequence[Caption], right: Sequence[bool]) -> dict[str, Any]:
    """Return the evidence for each caption (log-probability a word, agreement of the tags), and whether it is right."""
    return {
        "captions": len(captions),
        "right": round(sum(right) / len(right), 4),
        "right_interval": bootstrap_interval([float(each) for each in right]),
        "word_log_prob": [round(row[1], 4) for row in calibration.evidence(captions).tolist()],
        "agreement": [round(row[2], 4) for row in calibration.evidence(captions).tolist()],
        "is_right": [int(each) for each in right],
    }


def wording(captions: Sequence[Caption], examples: Sequence[Example]) -> dict[str, Any]:
    """Return how often neutral wording changes a caption, and its CIDEr-D before and after."""
    lines = [caption.text for caption in captions]
    changed = [neutral(line) for line in lines]
    references = metrics.References([list(example.captions) for example in examples])
    before, after = (np.array(metrics.cider_d_each(each, references)) for each in (lines, changed))
    named = [sum(word in PERSONS for word in ENGLISH.tokenize(line)) for line in changed]
    return {
        "changed": round(float(np.mean([a != b for a, b in zip(lines, changed, strict=True)])), 4),
        "still_with_a_word_for_a_person": sum(count > 0 for count in named),
        "cider_d": round(float(before.mean()), 4),
        "cider_d_neutral": round(float(after.mean()), 4),
        "difference_interval": bootstrap_interval((after - before).tolist()),
    }


def measure_scenes() -> dict[str, Any]:
    """Return the measurements of scenes: fitted on validation, measured on test and on pairs that are new."""
    captioner, parts = checkpoints.load("scenes"), {}
    for split in ("validation", "test", "compositional"):
        world = scenes.make_dataset(split, SCENES)
        generator = torch.Generator().manual_seed(0)
        images = scenes.image_tensor(world).split(250)
        captions = [caption for part in images for caption in captioner.sample(part, generator=generator)]
        parts[split] = captions, [scenes.is_true(c.text, scene) for c, scene in zip(captions, world, strict=True)]
    fitted = calibration.fit(*parts["validation"])
    return {"fitted": list(fitted)} | {
        split: facts(*part)
        | {"fitted on validation": measure_with(fitted, *part), "probability a word": measure_raw(*part)}
        for split, part in parts.items()
    }


def measure_photos(folder: Path, *, skip: int) -> dict[str, Any]:
    """Return the measurements of the photographs of a split dev without its first `skip`."""
    examples = datasets.get_split(datasets.read(folder), "dev")[skip:]
    captions, left_out = tasks.photos.caption(checkpoints.load("photos"), examples)
    examples = [example for i, example in enumerate(examples) if i not in left_out]
    counts = nouns.noun_counts([c.text for c in captions], [list(example.captions) for example in examples])
    right = [each.right > 0 for each in counts]
    card = calibration.confidence_of(checkpoints.card("photos"))
    return {
        **facts(captions, right),
        "left_out": len(left_out),
        "card": measure_with(card, captions, right) if card else None,
        "fitted on the other half": measure_crossed(captions, right),
        "probability a word": measure_raw(captions, right),
        "fitted": list(calibration.fit(captions, right)),
        "wording": wording(captions, examples),
    }


def main() -> None:
    """Measure what is missing in alt_text.json for the weights that ship, and print it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.alt_text", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("flickr8k", type=Path, metavar="FLICKR8K")
    parser.add_argument("everyday", type=Path, metavar="EVERYDAY")
    options = parser.parse_args()
    weights = {name: checkpoints.card(name)["sha256"] for name in ("scenes", "photos")}
    captions = checkpoints.card("photos").get("confidence", {}).get("captions")
    results = record.read(RESULTS, {"weights": weights, "card_captions": captions})
    work = {
        "scenes": measure_scenes,
        "flickr8k": lambda: measure_photos(options.flickr8k, skip=tasks.photos.VALIDATION_SIZE),
        "everyday": lambda: measure_photos(options.everyday, skip=0),
    }
    record.complete(RESULTS, results, work)
    for name in work:
        print(name, {key: value for key, value in results[name].items() if not isinstance(value, list)})


if __name__ == "__main__":
    main()
