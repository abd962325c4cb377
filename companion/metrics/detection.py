"""How well a rule finds what it should find: precision, recall, base rates, and the curve over a threshold.

Explained in the chapter on moderation.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike


class Confusion(NamedTuple):
    """The confusion matrix of a rule: pictures that are reported or not, and that should be or not."""

    true_positives: int  # reported, and should be
    false_positives: int  # reported, and should not be: false alarms
    false_negatives: int  # missed
    true_negatives: int

    @property
    def precision(self) -> float:
        """The share of the reported that should be; 0 where nothing is reported."""
        return self.true_positives / max(self.true_positives + self.false_positives, 1)

    @property
    def recall(self) -> float:
        """The share reported of those that should be; 0 where there are none."""
        return self.true_positives / max(self.true_positives + self.false_negatives, 1)

    @property
    def false_alarm_rate(self) -> float:
        """The share reported of those that should not be; 0 where there are none."""
        return self.false_positives / max(self.false_positives + self.true_negatives, 1)


class CurvePoint(NamedTuple):
    """Precision and recall if everything with a score of at least `threshold` is reported."""

    threshold: float
    precision: float
    recall: float


def confusion(reported: ArrayLike, truth: ArrayLike) -> Confusion:
    """Return the confusion matrix of what was reported and what should have been: two arrays of the same shape."""
    found, true = np.asarray(reported, dtype=bool), np.asarray(truth, dtype=bool)
    parts = (found & true, found & ~true, ~found & true, ~found & ~true)
    return Confusion(*(int(part.sum()) for part in parts))


def precision_at(recall: float, false_alarm_rate: float, base_rate: float) -> float:
    """Return the precision of a rule where a share `base_rate` of the pictures should be reported (Bayes' rule).

        precision = recall b / (recall b + false_alarm_rate (1 - b))

    It is 0 where nothing is reported.
    """
    true, false = recall * base_rate, false_alarm_rate * (1 - base_rate)
    return true / (true + false) if true + false else 0.0


def highest_rate(events: int, trials: int, *, doubt: float = 0.05) -> float:
    """Return the one-sided upper limit of a rate of which `events` were seen in `trials` (Clopper and Pearson 1934).

    It is the rate at which no more than these are seen with the probability `doubt`. With no event it is
    1 - doubt^(1 / trials), about 3 / trials.
    """
    if events >= trials:
        return 1.0
    low, high = events / trials, 1.0
    for _ in range(60):  # bisection: the probability falls with the rate
        middle = (low + high) / 2
        low, high = (middle, high) if _at_most(events, trials, middle) > doubt else (low, middle)
    return high


def _at_most(events: int, trials: int, rate: float) -> float:
    """Return the probability of at most so many events (binomial distribution); the rate is above 0 and below 1."""
    log_term, total = trials * np.log1p(-rate), 0.0
    for k in range(events + 1):
        total += float(np.exp(log_term))
        log_term += np.log((trials - k) / (k + 1)) + np.log(rate) - np.log1p(-rate)
    return total


def precision_recall_curve(scores: ArrayLike, truth: ArrayLike) -> list[CurvePoint]:
    """Return a point for each score that occurs, from the highest on; equal scores are reported together.

    Raises ValueError if nothing should be reported.
    """
    score, true = np.ravel(np.asarray(scores, dtype=float)), np.ravel(np.asarray(truth, dtype=bool))
    if not true.any():
        raise ValueError("there is nothing to find, so there is no recall")
    order = np.argsort(-score, kind="stable")
    score, hits = score[order], np.cumsum(true[order])
    ends = np.flatnonzero(np.append(score[1:] != score[:-1], True))
    return [CurvePoint(float(score[i]), float(hits[i] / (i + 1)), float(hits[i] / hits[-1])) for i in ends]


def average_precision(scores: ArrayLike, truth: ArrayLike) -> float:
    """Return the mean of the precision over the recall: sum of P_k (R_k - R_(k-1)) over the points of the curve.

    By chance it is about the share that should be reported. Raises ValueError if there are none.
    """
    curve = precision_recall_curve(scores, truth)
    recalls = [0.0, *(point.recall for point in curve)]
    return sum(
        point.precision * (after - before)
        for point, before, after in zip(curve, recalls[:-1], recalls[1:], strict=True)
    )
