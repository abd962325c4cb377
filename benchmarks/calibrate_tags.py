"""Calibrate the tags: how often do captions mention a word that classifier or detector score so highly?

    python -m benchmarks.calibrate_tags DATA

DATA is a data set with a split dev; the numbers that ship are those of 168 everyday photographs with five captions
each, which are used for nothing else in training. Every pair of a photograph and a word is an example. Writes
companion/tags/calibration.json.
"""

import json
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from companion import datasets
from companion.datasets import Example
from companion.encoders import EfficientNetLite0
from companion.files import atomic_write
from companion.tags import calibration
from companion.tags.nanodet import load_nanodet
from companion.tags.words import COCO_WORDS, imagenet_membership, mentions
from companion.tokenizer import ENGLISH

MENTIONS = 25  # of a word in each bin, which becomes a knot of the curve
LEVELS = (0, 0.25, 0.5, 0.75, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9995, 1)  # of quantiles: the tail matters
MENTIONED_LEVELS = tuple(i / 20 for i in range(21))
BOXES, BOX_LOG_ODDS = 100, -3.0  # boxes that are kept, and the least log-odds of their detections


def predict(examples: Sequence[Example], batch_size: int = 8) -> tuple[Tensor, Tensor, Tensor]:
    """Return ImageNet logits (image 1000), detector scores (image 80) and boxes (image 80 4)."""
    network, detector, parts = EfficientNetLite0(), load_nanodet(), []
    with torch.no_grad():
        for first in range(0, len(examples), batch_size):
            images = datasets.load_images(examples[first : first + batch_size])
            parts.append((network.classify(images), *detector(images)))
    logits, scores, boxes = (torch.cat(each) for each in zip(*parts, strict=True))
    return logits, scores, boxes


def captions_words(examples: Sequence[Example]) -> list[set[str]]:
    """Return the words of the captions of each example."""
    return [{word for caption in each.captions for word in ENGLISH.tokenize(caption)} for each in examples]


def fit(scores: Tensor, mentioned: Tensor) -> calibration.Curve:
    """Return increasing log-odds by score: bins of `MENTIONS` mentions, and isotonic regression over them.

    Neighbouring bins whose rates do not increase are merged (Barlow et al. 1972: pool adjacent violators). A knot lies
    at the mean score of its bin; half a mention and half a pair without one are added to each bin.
    """
    order = scores.flatten().argsort(stable=True)
    x, hit = scores.flatten()[order].double().numpy(), mentioned.flatten()[order].numpy()
    mentions_above = np.cumsum(hit[::-1])[::-1] - hit
    bins: list[np.ndarray] = []  # each: pairs, mentions, sum of scores
    for chosen in np.split(np.arange(len(x)), np.flatnonzero(np.diff(mentions_above // MENTIONS)) + 1):
        bins.append(np.array([len(chosen), hit[chosen].sum(), x[chosen].sum()]))
        while len(bins) > 1 and bins[-1][1] / bins[-1][0] <= bins[-2][1] / bins[-2][0]:
            bins[-2:] = [bins[-2] + bins[-1]]
    pairs, hits, total = np.array(bins).T
    log_odds = np.log((hits + 0.5) / (pairs - hits + 0.5))
    return calibration.Curve(torch.tensor(total / pairs).float(), torch.tensor(log_odds).float())


def source_facts(scores: Tensor, mentioned: Tensor) -> tuple[dict[str, Any], calibration.Curve]:
    """Return what calibration.json says of a source, and its curve."""
    curve = fit(scores, mentioned)
    log_odds = curve(scores)
    facts: dict[str, Any] = {"log_odds": rounded(curve)}
    for name, chosen, levels in (("mentioned", mentioned, MENTIONED_LEVELS), ("absent", ~mentioned, LEVELS)):
        quantiles = np.quantile(log_odds[chosen].numpy(), levels)
        facts[name] = [list(levels), [round(float(each), 3) for each in quantiles]]
    return facts, curve


def rounded(curve: calibration.Curve) -> list[list[float]]:
    """Return the knots of a curve as JSON holds them."""
    return [[float(f"{each:.4g}") for each in axis.tolist()] for axis in curve]


def main(data: str) -> None:
    """Fit both curves and write the file."""
    dev = datasets.get_split(datasets.read(data), "dev")
    logits, scores, boxes = predict(dev)
    mentioned = mentions(captions_words(dev))
    membership = imagenet_membership()
    known = membership.sum(0) > 0
    imagenet, _ = source_facts((logits.softmax(1) @ membership)[:, known], mentioned[:, known])
    detector, curve = source_facts(scores, mentioned[:, : len(COCO_WORDS)])
    found = boxes[curve(scores) > BOX_LOG_ODDS]
    kept = found[torch.randperm(len(found), generator=torch.Generator().manual_seed(0))[:BOXES]]
    facts = {
        "made_by": "python -m benchmarks.calibrate_tags DATA",
        "photographs": len(dev),
        "imagenet": imagenet,
        "detector": detector,
        "boxes": [[round(side, 2) for side in box] for box in kept.tolist()],
    }
    lines = ",\n".join(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in facts.items())
    atomic_write(calibration.FILE, f"{{\n{lines}\n}}\n".encode())
    for name, source in (("ImageNet", imagenet), ("detector", detector)):
        print(f"{name}: score and log-odds of a mention")
        print("\n".join(f"  {x:8.4f} {y:6.2f}" for x, y in zip(*source["log_odds"], strict=True)))


if __name__ == "__main__":
    main(sys.argv[1])
