"""Captions and corpora for which a metric could divide by zero."""

from pathlib import Path

from companion import metrics
from tests.faults.injection import Fault, Guard, attempt, fault_tests


def empty_hypotheses(folder: Path) -> None:
    scores = attempt(lambda: metrics.score(["", "..."], [["a dog"], ["a cat"]]))
    assert set(scores.values()) == {0.0}


FAULTS = {
    "empty hypotheses": Fault(
        empty_hypotheses,
        [Guard("metrics.captions.bleu_from_counts", " if length else 0.0", "")],
        "broken: ZeroDivisionError",
    ),
}

test_with_its_guard_the_law_holds, test_without_its_guard_the_harm_is_done = fault_tests(FAULTS)
