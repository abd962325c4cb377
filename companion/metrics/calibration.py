"""How sure a captioner may be of a caption: a calibrated probability, a threshold for it, and the reliability curve.

Explained in the chapter on real photographs. How well any score tells true captions from false ones, `auc`, and what
keeping silent saves, `risk_coverage`, are explained in the chapter on hallucination and confidence.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import ArrayLike
from torch import Tensor

from companion.decoding import Caption
from companion.tags import TAG_WORDS, mentions

RIDGE = 1e-3  # keeps the weights finite where right and wrong captions can be separated
ITERATIONS = 30  # of Newton's method; it takes about eight
PRECISION = 0.8  # wanted of the captions that count as sure
LEAST_SURE = 0.5  # share of the captions that count as sure at the least
_NUMBER = {word: i for i, word in enumerate(TAG_WORDS)}


class Confidence(NamedTuple):
    """A logistic regression that gives the probability that a caption is right, and a threshold for it.

    `log(p / (1 - p)) = bias + word_log_prob * w + agreement * a`, with w and a of `evidence`. A caption whose p is
    below the threshold is marked as unsure.
    """

    bias: float
    word_log_prob: float
    agreement: float
    threshold: float

    def probabilities(self, captions: Sequence[Caption]) -> list[float]:
        """Return the probability of each caption that it is right."""
        weights = torch.tensor(self[:3], dtype=torch.float64)
        return torch.sigmoid(evidence(captions) @ weights).tolist() if captions else []

    def are_sure(self, captions: Sequence[Caption]) -> list[bool]:
        """Return False for captions to be marked as unsure."""
        return [p >= self.threshold for p in self.probabilities(captions)]


class Bin(NamedTuple):
    """The captions whose probability lies between `low` and `high`: their number, mean probability and share right."""

    low: float
    high: float
    captions: int
    predicted: float
    observed: float


def agreement(caption: Caption) -> float:
    """Return the probability of the most probable tag among those that the caption mentions; 0 if it mentions none.

    It is 0 for captioners without tags.
    """
    mentioned = mentions([set(caption.words)])[0]
    logits = [tag.confidence for tag in caption.tags if mentioned[_NUMBER[tag.word]]]
    return float(torch.tensor(max(logits), dtype=torch.float64).sigmoid()) if logits else 0.0


def evidence(captions: Sequence[Caption]) -> Float[Tensor, "caption 3"]:
    """Return for each caption a one, its log-probability per word (`<end>` included) and its `agreement`."""
    rows = [(1.0, c.log_probability / (len(c.words) + 1), agreement(c)) for c in captions]
    return torch.tensor(rows, dtype=torch.float64)


def fit(captions: Sequence[Caption], right: Sequence[bool]) -> Confidence:
    """Return the logistic regression of maximum likelihood, by Newton's method, with the threshold of its own captions.

    Args:
        captions: of a split that the captioner was not trained on, at least one.
        right: whether each is right.
    """
    features, target = evidence(captions), torch.tensor(right, dtype=torch.float64)
    ridge = RIDGE * len(target) * torch.eye(3, dtype=torch.float64)
    ridge[0, 0] = 1e-9 * len(target)  # nothing pulls the bias to zero, but it stays finite
    weights = torch.zeros(3, dtype=torch.float64)
    for _ in range(ITERATIONS):
        p = torch.sigmoid(features @ weights)
        gradient = features.T @ (p - target) + ridge @ weights
        hessian = (features.T * (p * (1 - p)).clamp_min(1e-6)) @ features + ridge
        weights = weights - torch.linalg.solve(hessian, gradient)
    probabilities = torch.sigmoid(features @ weights).tolist()
    bias, word_log_prob, agrees = weights.tolist()
    return Confidence(bias, word_log_prob, agrees, choose_threshold(probabilities, right))


def choose_threshold(probabilities: Sequence[float], right: Sequence[bool]) -> float:
    """Return the lowest probability from which on a share `PRECISION` of the captions is right.

    It is no higher than leaves `LEAST_SURE` of the captions at or above it, even if fewer of these are right.
    """
    p, target = torch.tensor(probabilities, dtype=torch.float64), torch.tensor(right, dtype=torch.float64)
    candidates = sorted(set(probabilities))
    precise = [each for each in candidates if target[p >= each].mean() >= PRECISION]
    enough = [each for each in candidates if (p >= each).double().mean() >= LEAST_SURE]
    return min([enough[-1], *precise[:1]])


def reliability(probabilities: Sequence[float], right: Sequence[bool], bins: int = 10) -> list[Bin]:
    """Return the reliability curve (Guo et al. 2017, section 2): bins of equal width from 0 to 1, no empty ones."""
    p, target = torch.tensor(probabilities, dtype=torch.float64), torch.tensor(right, dtype=torch.float64)
    index = (p * bins).long().clamp_max(bins - 1)
    curve = []
    for i in range(bins):
        inside = index == i
        if inside.any():
            mean, share = float(p[inside].mean()), float(target[inside].mean())
            curve.append(Bin(i / bins, (i + 1) / bins, int(inside.sum()), mean, share))
    return curve


def expected_calibration_error(curve: Sequence[Bin]) -> float:
    """Return the mean distance between probability and share right, weighted by captions (Guo et al. 2017, eq. 3)."""
    total = sum(each.captions for each in curve)
    return sum(each.captions * abs(each.predicted - each.observed) for each in curve) / total


def auc(scores: ArrayLike, right: ArrayLike) -> float:
    """Return the area under the ROC curve: how often a right caption has a higher score than a wrong one.

    It is a share of the pairs of a right and a wrong caption, equal scores counting one half: 0.5 by chance, 1 for a
    perfect score (Hanley and McNeil 1982). Raises ValueError unless some captions are right and some wrong.
    """
    score, target = np.asarray(scores, dtype=float), np.asarray(right, dtype=bool)
    higher, lower = score[target], np.sort(score[~target])
    if not (len(higher) and len(lower)):
        raise ValueError("the captions are all right or all wrong: there is no pair to compare")
    below = np.searchsorted(lower, higher, "left") + np.searchsorted(lower, higher, "right")
    return float(below.sum() / (2 * len(higher) * len(lower)))


def risk_coverage(scores: ArrayLike, right: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Return the coverage and the risk of keeping the captions above each score that occurs, the highest first.

    Coverage is the share of the captions that are kept, risk the share of these that is wrong (Geifman and El-Yaniv
    2017, section 2). Captions of equal scores are kept together.
    """
    score, target = np.asarray(scores, dtype=float), np.asarray(right, dtype=bool)
    order = np.argsort(-score, kind="stable")
    kept, wrong = np.arange(1, len(score) + 1), np.cumsum(~target[order])
    ends = np.append(np.diff(score[order]) != 0, True)
    return (kept / len(score))[ends], (wrong / kept)[ends]


def describe(captions: Sequence[Caption], right: Sequence[bool]) -> dict[str, Any]:
    """Return what a card says of the confidence in captions, two or more: the numbers of `Confidence`, and their worth.

    The reliability curve is of probabilities that come from the other half of the captions: each half is predicted by a
    regression that was fitted on the other.
    """
    fitted = fit(captions, right)
    halves = [slice(0, None, 2), slice(1, None, 2)]
    predicted: list[float] = []
    observed: list[bool] = []
    for own, other in (halves, halves[::-1]):
        predicted += fit(captions[other], right[other]).probabilities(captions[own])
        observed += right[own]
    curve = reliability(predicted, observed)
    return {
        **fitted._asdict(),
        "captions": len(captions),
        "right": round(sum(right) / len(right), 4),
        "sure": round(sum(fitted.are_sure(captions)) / len(captions), 4),
        "expected_calibration_error": round(expected_calibration_error(curve), 4),
        "reliability": [{name: round(value, 4) for name, value in each._asdict().items()} for each in curve],
    }


def confidence_of(card: Mapping[str, Any]) -> Confidence | None:
    """Return the confidence that a card holds under that key, or None. Raises ValueError if it is something else."""
    if "confidence" not in card:
        return None
    try:
        return Confidence(*(float(card["confidence"][name]) for name in Confidence._fields))
    except (TypeError, KeyError, ValueError):
        raise ValueError(f"the card's confidence lacks one of the numbers {', '.join(Confidence._fields)}") from None
