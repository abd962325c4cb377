"""Calibration: from the scores of classifier and detector to the log-odds that a caption mentions the word.

`calibration.json` holds the numbers, fitted by `python -m benchmarks.calibrate_tags DATA` on 168 everyday
photographs with five captions each. A score of 0.3 means something else from each source; log-odds can be compared.
"""

import json
from functools import cache
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

FILE = Path(__file__).parent / "calibration.json"


class Curve(NamedTuple):
    """A function that is linear between its knots and constant before the first and after the last."""

    x: Float[Tensor, " knot"]  # ascending
    y: Float[Tensor, " knot"]

    def __call__(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Return the function's value at each entry of `x`."""
        xs, ys = self.x.to(x), self.y.to(x)
        right = torch.searchsorted(xs, x.contiguous()).clamp(1, len(xs) - 1)
        share = (x - xs[right - 1]) / (xs[right] - xs[right - 1])
        return torch.lerp(ys[right - 1], ys[right], share.clamp(0, 1))


class Source(NamedTuple):
    """What is known of one source of tags, from the photographs that it was calibrated on."""

    log_odds: Curve  # of a caption's mentioning the word, by the source's score; increasing
    mentioned: Curve  # the quantiles of the log-odds of the words that captions mention, by the level, from 0 to 1
    absent: Curve  # the same of the words that they do not mention


class Calibration(NamedTuple):
    """The calibration of both sources, and boxes of tags on the photographs that it was fitted on."""

    imagenet: Source
    detector: Source
    boxes: Float[Tensor, "box 4"]  # of detections among the ten best tags, chosen at random


@cache
def load_calibration() -> Calibration:
    """Return the calibration that ships."""
    content = json.loads(FILE.read_text(encoding="utf-8"))
    imagenet, detector = (
        Source(*(Curve(*map(torch.tensor, content[source][field])) for field in Source._fields))
        for source in ("imagenet", "detector")
    )
    return Calibration(imagenet, detector, torch.tensor(content["boxes"]))
