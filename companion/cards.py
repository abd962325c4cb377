"""A captioner's captions of a split in, what its model card says of it out: intervals, the best and worst, the looks.

Explained in chapters 14 and 16. The scores themselves come from `evaluation`.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from companion import evaluation, grounding, metrics, scenes
from companion.datasets import Example
from companion.decoding import Caption
from companion.scenes import Scene

RESAMPLES = 1000
SHOWN = 5  # successes, and as many failures

# Words of captions of photographs by what they speak of; what is in none of the lists mostly names a thing.
PHOTO_WORDS = {
    "article": "a an the",
    "colour": "black white red blue green yellow brown orange pink purple gray grey tan blond",
    "number": "one two three four five several group many",
    "person": "man woman boy girl child person people men women boys girls children player players",
    "animal": "dog dogs bird horse",
    "verb": "is are has holding",
    "place or join": "in on of with at to through and by over near into behind from down up for while his her its",
}
_PHOTO_CLASS = {word: name for name, words in PHOTO_WORDS.items() for word in words.split()}


def photo_word_class(word: str) -> str:
    """The class of a word of a photograph's caption, one of `PHOTO_WORDS`, "verb" for any "-ing", or "other"."""
    return _PHOTO_CLASS.get(word) or ("verb" if word.endswith("ing") else "other")


def interval(values: Sequence[float], seed: int = 0) -> tuple[float, float]:
    """The middle 95 % of the means of samples drawn from the values with replacement (Efron 1979)."""
    chosen = np.random.default_rng(seed).integers(len(values), size=(RESAMPLES, len(values)))
    low, high = np.percentile(np.asarray(values, dtype=float)[chosen].mean(1), [2.5, 97.5])
    return round(float(low), 4), round(float(high), 4)


def metric_intervals(lines: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, tuple[float, float]]:
    """95 % intervals of BLEU-4, ROUGE-L and CIDEr-D over the choice of pictures; the idf stays that of all of them."""
    counts = metrics.bleu_counts(lines, references)
    drawn = np.random.default_rng(0).integers(len(lines), size=(RESAMPLES, len(lines)))
    matches, totals = np.array([c.matches for c in counts]), np.array([c.totals for c in counts])
    lengths = np.array([(c.length, c.closest) for c in counts])
    sums = ([*(tuple(x[d].sum(0).tolist()) for x in (matches, totals)), *lengths[d].sum(0).tolist()] for d in drawn)
    bleu = [metrics.bleu_of([metrics.BleuCounts(*each)])[-1] for each in sums]
    low, high = np.percentile(bleu, [2.5, 97.5])
    return {
        "bleu4": (round(float(low), 4), round(float(high), 4)),
        "rouge_l": interval(metrics.rouge_l_each(lines, references)),
        "cider_d": interval(metrics.cider_d_each(lines, references)),
    }


def looks(captions: Sequence[Caption], word_class: Callable[[str], str]) -> dict[str, dict[str, float | int]]:
    """How the attention is spread, for each class of words: mean entropy in nats, and peakedness from 0 to 1."""
    found: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for caption in captions:
        spread = zip(grounding.entropy(caption.weights), grounding.peakedness(caption.weights), strict=True)
        for word, (nats, peak) in zip(caption.words, spread, strict=True):
            found[word_class(word)].append((float(nats), float(peak)))
    return {
        name: {"words": len(pairs), "entropy": round(nats, 3), "peakedness": round(peak, 3)}
        for name, pairs in sorted(found.items())
        for nats, peak in [np.mean(pairs, axis=0).tolist()]
    }


def of_photos(captions: Sequence[Caption], examples: Sequence[Example]) -> dict[str, Any]:
    """What a card says of captions of photographs, which it names and does not show."""
    lines = [evaluation.text(caption) for caption in captions]
    references = [list(example.captions) for example in examples]
    each = metrics.cider_d_each(lines, references)
    order = np.argsort(each, kind="stable").tolist()

    def show(chosen: Sequence[int]) -> list[dict[str, Any]]:
        return [{"image": examples[i].name, "caption": lines[i], "cider_d": round(each[i], 2)} for i in chosen]

    return {
        "metrics": metrics.score(lines, references),
        "intervals": metric_intervals(lines, references),
        "successes": show(order[::-1][:SHOWN]),
        "failures": show(order[:SHOWN]),
        "looks": looks(captions, photo_word_class),
    }


def of_scenes(captions: Sequence[Caption], drawn: Sequence[Scene]) -> dict[str, Any]:
    """What a card says of captions of scenes, each named by its seed; failures with the reason why they are false."""
    lines = [evaluation.text(caption) for caption in captions]
    true = [scenes.is_true(line, scene) for line, scene in zip(lines, drawn, strict=True)]
    references = [[caption.text for caption in scene.captions] for scene in drawn]

    def show(wanted: bool) -> list[dict[str, Any]]:
        chosen = [i for i, found in enumerate(true) if found == wanted and len(drawn[i].things) > 1][:SHOWN]
        return [
            {"seed": drawn[i].seed, "caption": lines[i], "verdict": scenes.explain(lines[i], drawn[i])} for i in chosen
        ]

    return {
        "metrics": evaluation.score_scenes(captions, drawn),
        "intervals": {"truth": interval([float(x) for x in true]), **metric_intervals(lines, references)},
        "successes": show(True),
        "failures": show(False),
        "looks": looks(captions, scenes.word_class),
    }
