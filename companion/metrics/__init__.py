"""Caption metrics and attention grounding, all written here and checked against the reference implementations.

`captions` has BLEU, ROUGE-L and CIDEr-D, with counts from `ngrams` and the references in `references`; `grounding`
compares attention maps with object masks; `nouns` counts the things that captions of photographs name, and how many are
right; `redirection` gives a word the attention of another object; `statements` says what captions of scenes state and
how much of it is true; `detection` has precision, recall and their curve. `METRICS` lists the caption metrics; to add
one, write it in a file here and register it in that table. Explained in the chapters on scoring and on grounding.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from companion.metrics import grounding, nouns, redirection, statements
from companion.metrics.captions import (
    BETA,
    SIGMA,
    BleuCounts,
    bleu,
    bleu_counts,
    bleu_from_counts,
    cider_d,
    cider_d_each,
    common_length,
    rouge_l,
    rouge_l_each,
    score_bleu,
    score_cider_d,
    score_rouge_l,
    shared_ngrams,
)
from companion.metrics.ngrams import ORDERS, NgramIndex, Ngrams
from companion.metrics.references import References, ReferenceSets, tokenized_pairs

__all__ = [
    "BETA",
    "METRICS",
    "ORDERS",
    "SIGMA",
    "BleuCounts",
    "Metric",
    "NgramIndex",
    "Ngrams",
    "ReferenceSets",
    "References",
    "bleu",
    "bleu_counts",
    "bleu_from_counts",
    "cider_d",
    "cider_d_each",
    "common_length",
    "grounding",
    "nouns",
    "redirection",
    "rouge_l",
    "rouge_l_each",
    "score",
    "score_bleu",
    "score_cider_d",
    "score_rouge_l",
    "shared_ngrams",
    "statements",
    "tokenized_pairs",
]


class Metric(NamedTuple):
    """A caption metric: `function` takes candidates and references and returns one or more scores by name.

    Every score lies between 0 and `maximum`; the higher, the better.
    """

    function: Callable[[Sequence[str], ReferenceSets], dict[str, float]]
    maximum: float = 1.0

    def __call__(self, candidates: Sequence[str], references: ReferenceSets) -> dict[str, float]:
        """Return the scores of the candidates against their references."""
        return self.function(candidates, references)


METRICS: dict[str, Metric] = {
    "bleu": Metric(score_bleu),
    "rouge_l": Metric(score_rouge_l),
    "cider_d": Metric(score_cider_d, maximum=10.0),
}


def score(candidates: Sequence[str], references: ReferenceSets) -> dict[str, float]:
    """Return the scores of all `METRICS` by name: `bleu1`, `bleu2`, `bleu3`, `bleu4`, `rouge_l`, `cider_d`.

    `references[i]` holds the references of `candidates[i]`, at least one. Raises ValueError where the two do not fit
    together.
    """
    references = references if isinstance(references, References) else References(references)
    scores: dict[str, float] = {}
    for metric in METRICS.values():
        scores |= metric(candidates, references)
    return scores
