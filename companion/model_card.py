"""What a model card says of the captions of a split: bootstrap intervals, examples, attention statistics.

Each task adds its own facts (`tasks.scenes.scene_card`, `tasks.photos.photo_card`). Explained in the chapters on
grounding and on real photographs.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence

import numpy as np

from companion import metrics
from companion.decoding import Caption
from companion.metrics import grounding

RESAMPLES = 1000
EXAMPLES_SHOWN = 5  # successes, and as many failures


def round_scores(scores: dict[str, float]) -> dict[str, float]:
    """Return the scores rounded to four places, as the log and the card show them."""
    return {k: round(float(v), 4) for k, v in scores.items()}


def bootstrap_interval(values: Sequence[float], seed: int = 0) -> tuple[float, float]:
    """Return the 95 % percentile bootstrap interval of the mean (Efron 1979)."""
    chosen = np.random.default_rng(seed).integers(len(values), size=(RESAMPLES, len(values)))
    low, high = np.percentile(np.asarray(values, dtype=float)[chosen].mean(1), [2.5, 97.5])
    return round(float(low), 4), round(float(high), 4)


def metric_intervals(lines: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, tuple[float, float]]:
    """Return 95 % bootstrap intervals of BLEU-4, ROUGE-L and CIDEr-D over the pictures; the idf stays that of all."""
    counts = metrics.bleu_counts(lines, references)
    resamples = np.random.default_rng(0).integers(len(lines), size=(RESAMPLES, len(lines)))
    matches, totals = np.array([c.matches for c in counts]), np.array([c.totals for c in counts])
    lengths = np.array([(c.length, c.closest) for c in counts])
    sums = (
        [*(tuple(x[rows].sum(0).tolist()) for x in (matches, totals)), *lengths[rows].sum(0).tolist()]
        for rows in resamples
    )
    bleu = [metrics.bleu_from_counts([metrics.BleuCounts(*each)])[-1] for each in sums]
    low, high = np.percentile(bleu, [2.5, 97.5])
    return {
        "bleu4": (round(float(low), 4), round(float(high), 4)),
        "rouge_l": bootstrap_interval(metrics.rouge_l_each(lines, references)),
        "cider_d": bootstrap_interval(metrics.cider_d_each(lines, references)),
    }


def attention_stats(captions: Sequence[Caption], word_class: Callable[[str], str]) -> dict[str, dict[str, float | int]]:
    """Return the number of words of each class, and the mean entropy (nats) and peakedness (0 to 1) of their maps."""
    by_class: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for caption in captions:
        spread = zip(grounding.entropy(caption.weights), grounding.peakedness(caption.weights), strict=True)
        for word, (nats, peak) in zip(caption.words, spread, strict=True):
            by_class[word_class(word)].append((float(nats), float(peak)))
    return {
        name: {"words": len(pairs), "entropy": round(nats, 3), "peakedness": round(peak, 3)}
        for name, pairs in sorted(by_class.items())
        for nats, peak in [np.mean(pairs, axis=0).tolist()]
    }
