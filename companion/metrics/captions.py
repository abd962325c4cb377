"""The caption metrics BLEU-1 to BLEU-4, ROUGE-L and CIDEr-D. The chapter on scoring derives each formula.

Candidates are strings; a candidate without words scores 0. References are as in `companion.metrics.references`. Each
metric has a function for the scores of all images together, and `score_*`, which `metrics.METRICS` lists.
"""

import math
from collections.abc import Sequence
from statistics import fmean
from typing import NamedTuple

import numpy as np

from companion.metrics.ngrams import ORDERS, SHIFT, Ngrams
from companion.metrics.references import ReferenceSets, tokenized_pairs

BETA = 1.2  # ROUGE-L: the weight of recall relative to precision
SIGMA = 6.0  # CIDEr-D: the difference in length, in words, at which the penalty is exp(-1/2)


class BleuCounts(NamedTuple):
    """The counts from which BLEU is computed, of one image or summed over the images of a corpus."""

    matches: tuple[int, ...]  # for each order: n-grams that a reference has too, each at most as often as that has it
    totals: tuple[int, ...]  # for each order: n-grams of the candidate
    length: int  # words of the candidate
    closest: int  # words of the reference nearest in length; of two equally near, the shorter


def bleu_counts(candidates: Sequence[str], references: ReferenceSets) -> list[BleuCounts]:
    """Return the counts of each image.

    For a bootstrap interval of a corpus's BLEU, resample them and pass them to `bleu_from_counts`.
    """
    words, references = tokenized_pairs(candidates, references)
    matches = []
    for candidate_ngrams, reference_ngrams in zip(references.ngram_index.count(words), references.ngrams, strict=True):
        ours, theirs = shared_ngrams(candidate_ngrams, reference_ngrams, references.image)
        limit = np.zeros_like(candidate_ngrams.counts)  # the largest count in any one reference
        np.maximum.at(limit, ours, reference_ngrams.counts[theirs])
        clipped = np.minimum(candidate_ngrams.counts, limit)
        matches.append(np.bincount(candidate_ngrams.caption, clipped, len(words)).astype(int).tolist())
    counts = []
    for candidate, others, match in zip(words, references.words, zip(*matches, strict=True), strict=True):
        totals = tuple(max(len(candidate) - order + 1, 0) for order in ORDERS)
        closest = min((len(other) for other in others), key=lambda length: (abs(length - len(candidate)), length))
        counts.append(BleuCounts(match, totals, len(candidate), closest))
    return counts


def shared_ngrams(candidates: Ngrams, references: Ngrams, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of the candidates and those of their references that hold the same n-gram of the same image.

    `image` has the image of each reference. The two results have one entry for each pair of rows.
    """
    ours = candidates.caption * SHIFT + candidates.ngram
    theirs = image[references.caption] * SHIFT + references.ngram
    rows = np.searchsorted(ours, theirs)
    shared = np.append(ours, -1)[rows] == theirs
    return rows[shared], shared.nonzero()[0]


def bleu_from_counts(counts: Sequence[BleuCounts], max_order: int = 4) -> list[float]:
    """Return BLEU-1 to BLEU-`max_order`, each from 0 to 1, of the counted images taken together.

    `BLEU-N = brevity * (p_1 * ... * p_N)^(1/N)` with the precisions `p_n = matches_n / totals_n` and, for c words in
    the candidates and r in the references closest in length, `brevity = min(1, exp(1 - r/c))` (Papineni et al. 2002,
    section 2.3). Raises ValueError for a `max_order` that is not counted.
    """
    if not 1 <= max_order <= len(ORDERS):
        raise ValueError(f"max_order is {max_order}: BLEU-1 to BLEU-{len(ORDERS)} are counted")
    matches = [sum(count.matches[n] for count in counts) for n in range(max_order)]
    totals = [sum(count.totals[n] for count in counts) for n in range(max_order)]
    length, closest = sum(count.length for count in counts), sum(count.closest for count in counts)
    brevity = min(1.0, math.exp(1 - closest / length)) if length else 0.0
    scores, product = [], 1.0
    for order, match, total in zip(ORDERS, matches, totals, strict=False):
        product *= match / total if total else 0.0
        scores.append(brevity * product ** (1 / order))
    return scores


def bleu(candidates: Sequence[str], references: ReferenceSets, max_order: int = 4) -> list[float]:
    """Return BLEU-1 to BLEU-`max_order` of the corpus, 0 to 1, without smoothing (Papineni et al. 2002, section 2.3).

    The counts are summed over the images before the precisions are taken, so this is not the mean of the images'
    scores. Where no n-gram of some order matches, or no candidate is long enough to have one, BLEU of that order and
    above is 0, as in the paper. The COCO reference code adds 1e-15 to matches and 1e-9 to totals to avoid a division
    by zero; it gives about 0.0001 there, or 0.03 for the BLEU-4 of three correct words. Everywhere else the two agree.
    """
    return bleu_from_counts(bleu_counts(candidates, references), max_order)


def common_length(one: Sequence[str], other: Sequence[str]) -> int:
    """Return the length of the longest common subsequence: words of both, in the same order, possibly with gaps.

    >>> common_length("a dog runs on grass".split(), "a brown dog on the grass".split())
    4
    """
    above = [0] * (len(other) + 1)  # above[j]: the result for the words of `one` so far and the first j of `other`
    for word in one:
        row = [0]
        for j, match in enumerate(other):
            row.append(above[j] + 1 if word == match else max(above[j + 1], row[j]))
        above = row
    return above[-1]


def rouge_l_each(candidates: Sequence[str], references: ReferenceSets) -> list[float]:
    """Return ROUGE-L of each image, from 0 to 1 (Lin 2004, equations 2 to 4; beta = 1.2 as in the COCO reference code).

    With L words in the longest common subsequence, `P = L / len(candidate)` and `R = L / len(reference)`. Each is the
    largest over the references, not necessarily of the same one. `F = (1 + beta^2) P R / (R + beta^2 P)`.
    """
    words, references = tokenized_pairs(candidates, references)
    scores = []
    for candidate, others in zip(words, references.words, strict=True):
        common = [common_length(candidate, other) for other in others]
        if not any(common):
            scores.append(0.0)
            continue
        precision = max(common) / len(candidate)
        recall = max(length / len(other) for length, other in zip(common, others, strict=True) if other)
        scores.append((1 + BETA**2) * precision * recall / (recall + BETA**2 * precision))
    return scores


def rouge_l(candidates: Sequence[str], references: ReferenceSets) -> float:
    """Return the mean of `rouge_l_each` over the images, from 0 to 1 (Lin 2004)."""
    return fmean(rouge_l_each(candidates, references))


def cider_d_each(candidates: Sequence[str], references: ReferenceSets) -> list[float]:
    """Return CIDEr-D of each image, from 0 to 10 (Vedantam et al. 2015: equations 1 to 3, and section 8 for the D).

    With g a caption's tf-idf vector over the n-grams of one order, c the candidate, s a reference and l the number of
    words, it is the mean over s and the four orders of
    `10 exp(-(l_c - l_s)^2 / (2 sigma^2)) sum(min(g_c, g_s) g_s) / (|g_c| |g_s|)`. The idf comes from the references
    given, so the score of an image depends on the others: n-grams that all images have weigh nothing, and **a single
    image scores 0 even on an exact match**. tf is a plain count, as in the COCO reference code.
    """
    words, references = tokenized_pairs(candidates, references)
    image, cosine = references.image, np.zeros(len(references.image))
    for order, candidate_ngrams, reference_ngrams in zip(
        ORDERS, references.ngram_index.count(words), references.ngrams, strict=True
    ):
        ours, theirs = shared_ngrams(candidate_ngrams, reference_ngrams, image)
        # g = tf * idf, and c and s have the same idf, so min(g_c, g_s) g_s = min(tf_c, tf_s) tf_s idf^2
        tf, idf = reference_ngrams.counts[theirs], references.idf[order - 1][reference_ngrams.ngram[theirs]]
        terms = np.minimum(candidate_ngrams.counts[ours], tf) * tf * idf**2
        product = np.bincount(reference_ngrams.caption[theirs], terms, len(image))
        candidate_norms = references.tf_idf_norm(order, candidate_ngrams, len(words))[image]
        norms = candidate_norms * references.tf_idf_norm(order, reference_ngrams, len(image))
        cosine += np.divide(product, norms, out=np.zeros(len(image)), where=norms > 0)
    difference = np.array([len(candidate) for candidate in words])[image] - references.lengths
    similarity = 10 / len(ORDERS) * cosine * np.exp(-(difference**2) / (2 * SIGMA**2))
    return (np.bincount(image, similarity) / np.bincount(image)).tolist()


def cider_d(candidates: Sequence[str], references: ReferenceSets) -> float:
    """Return the mean of `cider_d_each` over the images, from 0 to 10; 0 for a single image (Vedantam et al. 2015)."""
    return fmean(cider_d_each(candidates, references))


def score_bleu(candidates: Sequence[str], references: ReferenceSets) -> dict[str, float]:
    """Return `bleu` as `bleu1`, `bleu2`, `bleu3` and `bleu4`."""
    return {f"bleu{order}": value for order, value in zip(ORDERS, bleu(candidates, references), strict=True)}


def score_rouge_l(candidates: Sequence[str], references: ReferenceSets) -> dict[str, float]:
    """Return `rouge_l` under its name."""
    return {"rouge_l": rouge_l(candidates, references)}


def score_cider_d(candidates: Sequence[str], references: ReferenceSets) -> dict[str, float]:
    """Return `cider_d` under its name."""
    return {"cider_d": cider_d(candidates, references)}
