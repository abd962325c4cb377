"""Precision, recall and their curve, against loops over the definition and against numbers worked out by hand."""

import math

import numpy as np
import pytest

from companion.metrics import detection


def test_the_confusion_matrix_by_hand():
    table = detection.confusion([1, 1, 0, 0, 0], [1, 0, 1, 0, 0])
    assert table == detection.Confusion(1, 1, 1, 2)
    assert (table.precision, table.recall, table.false_alarm_rate) == (0.5, 0.5, 1 / 3)


def test_rates_of_nothing_are_zero():
    nothing = detection.confusion([False, False], [False, False])
    assert (nothing.precision, nothing.recall, nothing.false_alarm_rate) == (0, 0, 0)
    assert detection.precision_at(0.0, 0.0, 0.5) == 0


def test_the_precision_at_the_measured_base_rate_is_the_measured_precision():
    rng = np.random.default_rng(0)
    truth = rng.random(500) < 0.2
    reported = truth ^ (rng.random(500) < 0.1)
    table = detection.confusion(reported, truth)
    at = detection.precision_at(table.recall, table.false_alarm_rate, float(truth.mean()))
    assert at == pytest.approx(table.precision)


def test_one_in_a_thousand_by_hand():
    """Of 100,000 pictures 100 are bad: 95 are found, and 5 % of 99,900 are false alarms."""
    assert detection.precision_at(0.95, 0.05, 0.001) == pytest.approx(95 / (95 + 4995))


@pytest.mark.parametrize(("events", "trials"), [(0, 10), (0, 842), (3, 50), (20, 60)])
def test_at_the_highest_rate_so_few_events_have_the_probability_of_the_doubt(events, trials):
    rate = detection.highest_rate(events, trials)
    exact = sum(math.comb(trials, k) * rate**k * (1 - rate) ** (trials - k) for k in range(events + 1))
    assert exact == pytest.approx(0.05, abs=1e-9)
    assert rate > events / trials


def test_no_event_means_about_three_in_the_number_of_trials_and_all_events_mean_any_rate():
    assert detection.highest_rate(0, 842) == pytest.approx(3 / 842, rel=0.01)
    assert detection.highest_rate(7, 7) == 1


def slow_curve(scores, truth):
    """Return the points of the curve, one threshold after the other."""
    points = []
    for threshold in sorted(set(scores), reverse=True):
        reported = [score >= threshold for score in scores]
        hits = sum(a and b for a, b in zip(reported, truth, strict=True))
        points.append((threshold, hits / sum(reported), hits / sum(truth)))
    return points


@pytest.mark.parametrize("levels", [3, 9, 1000])
def test_the_curve_and_its_mean_equal_loops_over_the_thresholds(levels):
    """With few levels, most scores are equal."""
    rng = np.random.default_rng(levels)
    scores = (rng.integers(levels, size=200) / levels).tolist()
    truth = (rng.random(200) < 0.3).tolist()
    points = slow_curve(scores, truth)
    assert np.allclose(detection.precision_recall_curve(scores, truth), points)
    area = sum(p * (r - before) for (_, p, r), before in zip(points, [0.0, *(r for *_, r in points)], strict=False))
    assert detection.average_precision(scores, truth) == pytest.approx(area)


def test_a_perfect_ranking_has_an_average_precision_of_one_and_equal_scores_the_base_rate():
    truth = [True] * 3 + [False] * 7
    assert detection.average_precision(range(10, 0, -1), truth) == 1
    assert detection.average_precision([0.5] * 10, truth) == pytest.approx(0.3)
    with pytest.raises(ValueError, match="nothing to find"):
        detection.average_precision([1.0], [False])
