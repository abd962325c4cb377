"""Captions and their references in, scores out: BLEU-1 to 4, ROUGE-L, CIDEr-D. Chapter 13 derives each formula.

Captions are strings, cut into words by `companion.vocabulary.tokenize`; one without words is allowed and scores 0.
`references[i]` holds the references of `candidates[i]`, at least one. To score many candidates against the same
references, build `References` once and pass it wherever a list of references is asked for.
"""

import math
from collections.abc import Sequence
from functools import cached_property
from itertools import chain
from statistics import fmean
from typing import NamedTuple

import numpy as np

from companion.ngrams import ORDERS, SHIFT, Ngrams, Numbers
from companion.vocabulary import tokenize

BETA = 1.2  # ROUGE-L: how much more recall weighs than precision
SIGMA = 6.0  # CIDEr-D: words of difference in length at which the penalty reaches exp(-1/2)


class References:
    """The references of a set of images, counted once: `references[image]` is a list of strings, at least one.

    `words[image][reference]` are words; all statistics below are made when first asked for, and then kept. In them the
    references of all images stand in one row, and `image` says whose each is.
    ValueError, naming the image by its index, where an image has no reference or a string instead of a list.
    """

    def __init__(self, references: Sequence[Sequence[str]]):
        for index, captions in enumerate(references):
            if isinstance(captions, str):
                raise ValueError(f"references[{index}] is the string {captions!r}: put it into a list, [{captions!r}]")
            if len(captions) == 0:
                raise ValueError(f"references[{index}] is empty: each image needs at least one reference")
        self.words = [[tokenize(caption) for caption in captions] for captions in references]
        self._corpus = self  # where the document frequencies come from

    def __len__(self) -> int:
        return len(self.words)

    def take(self, images: Sequence[int]) -> "References":
        """The references of these images, repeats allowed, with the document frequencies of the whole corpus.

        For reinforcement learning: the reward of a batch is `cider_d_each(samples, corpus.take(batch))`.
        """
        part = References([])
        part.words, part._corpus = [self.words[image] for image in images], self._corpus
        chosen = [np.arange(*np.searchsorted(self.image, (image, image + 1))) for image in images]
        part.ngrams = [found.take(np.concatenate(chosen)) for found in self.ngrams]
        return part

    @cached_property
    def image(self) -> np.ndarray:
        """The image of each reference."""
        return np.repeat(np.arange(len(self)), [len(captions) for captions in self.words])

    @cached_property
    def lengths(self) -> np.ndarray:
        """The words of each reference, counted."""
        return np.array([len(words) for words in chain.from_iterable(self.words)])

    @cached_property
    def numbers(self) -> Numbers:
        """The n-grams of the whole corpus, numbered."""
        return Numbers([*chain.from_iterable(self.words)]) if self._corpus is self else self._corpus.numbers

    @cached_property
    def ngrams(self) -> list[Ngrams]:
        """The n-grams of the references, an entry an order."""
        return self.numbers.count([*chain.from_iterable(self.words)])

    @cached_property
    def idf(self) -> list[np.ndarray]:
        """`log(images / images whose references hold the n-gram)`, an entry an order, by the n-gram's number."""
        if self._corpus is not self:
            return self._corpus.idf
        held = (np.unique(self.image[found.caption] * SHIFT + found.ngram) % SHIFT for found in self.ngrams)
        return [np.log(len(self) / np.bincount(ngrams)) for ngrams in held]

    def norm(self, order: int, found: Ngrams, captions: int) -> np.ndarray:
        """`sqrt(sum of (count * idf)^2)`: the length of each caption's tf-idf vector.

        The idf of an n-gram that no reference holds is counted as if one image held it.
        """
        idf, unseen = self.idf[order - 1], math.log(len(self._corpus))
        new = found.ngram >= len(idf)
        known = found.times[~new] * idf[found.ngram[~new]]
        squares = np.bincount(found.caption[~new], known**2, captions)
        return np.sqrt(squares + unseen**2 * np.bincount(found.caption[new], found.times[new] ** 2, captions))


Answers = Sequence[Sequence[str]] | References


def _paired(candidates: Sequence[str], references: Answers) -> tuple[list[list[str]], References]:
    """The words of the candidates, and the references counted; ValueError where the two do not fit together."""
    if isinstance(candidates, str):
        raise ValueError(f"candidates is the string {candidates!r}: put it into a list, [{candidates!r}]")
    if len(candidates) != len(references):
        raise ValueError(f"{len(candidates)} candidates but {len(references)} lists of references: give each its own")
    if len(candidates) == 0:
        raise ValueError("no candidates: there is nothing to score")
    answers = references if isinstance(references, References) else References(references)
    return [tokenize(candidate) for candidate in candidates], answers


class BleuCounts(NamedTuple):
    """All that BLEU needs to know of an image, or of a corpus, where it is the sum over the images."""

    matches: tuple[int, ...]  # per order: n-grams found in a reference too, each counted no more often than there
    totals: tuple[int, ...]  # per order: n-grams of the candidate
    length: int  # words of the candidate
    closest: int  # words of the reference nearest in length; of two equally near, the shorter


def bleu_counts(candidates: Sequence[str], references: Answers) -> list[BleuCounts]:
    """The counts of each image. Resample them and sum, `bleu_of`, for a bootstrap interval of a corpus's BLEU."""
    captions, answers = _paired(candidates, references)
    matches = []
    for mine, theirs in zip(answers.numbers.count(captions), answers.ngrams, strict=True):
        ours, held = shared(mine, theirs, answers.image)
        most = np.zeros_like(mine.times)  # the largest count in any one reference
        np.maximum.at(most, ours, theirs.times[held])
        matches.append(np.bincount(mine.caption, np.minimum(mine.times, most), len(captions)).astype(int).tolist())
    counts = []
    for words, others, match in zip(captions, answers.words, zip(*matches, strict=True), strict=True):
        totals = tuple(max(len(words) - order + 1, 0) for order in ORDERS)
        closest = min((len(other) for other in others), key=lambda length: (abs(length - len(words)), length))
        counts.append(BleuCounts(match, totals, len(words), closest))
    return counts


def shared(mine: Ngrams, theirs: Ngrams, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The rows of the candidates, and those of their references, that tell of the same n-gram of the same image."""
    ours, wanted = mine.caption * SHIFT + mine.ngram, image[theirs.caption] * SHIFT + theirs.ngram
    rows = np.searchsorted(ours, wanted)
    held = np.append(ours, -1)[rows] == wanted
    return rows[held], held.nonzero()[0]


def bleu_of(counts: Sequence[BleuCounts], max_order: int = 4) -> list[float]:
    """BLEU-1 to BLEU-`max_order`, each from 0 to 1, of the images that are counted here taken together.

    `BLEU-N = brevity * (p_1 * ... * p_N)^(1/N)` with the precisions `p_n = matches_n / totals_n` and, for c words in
    the candidates and r in the references closest in length, `brevity = min(1, exp(1 - r/c))`
    (Papineni et al. 2002, section 2.3).
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


def bleu(candidates: Sequence[str], references: Answers, max_order: int = 4) -> list[float]:
    """BLEU-1 to BLEU-`max_order` of the corpus, each from 0 to 1, not smoothed (Papineni et al. 2002, section 2.3).

    Counts are summed over the images before the precisions are taken: this is not the mean of the images' scores.
    Where no n-gram of some order matches, or no candidate is long enough to have one, BLEU of that order and above is
    0, as in the paper. The COCO reference code adds 1e-15 to matches and 1e-9 to totals so as not to divide by 0, and
    says about 0.0001 there, or 0.03 for the BLEU-4 of three correct words; everywhere else the two agree.
    """
    return bleu_of(bleu_counts(candidates, references), max_order)


def common_length(one: Sequence[str], other: Sequence[str]) -> int:
    """Words in the longest common subsequence: in both, in the same order, not necessarily side by side.

    >>> common_length("a dog runs on grass".split(), "a brown dog on the grass".split())
    4
    """
    above = [0] * (len(other) + 1)  # above[j]: the answer for the words of `one` so far and the first j of `other`
    for word in one:
        row = [0]
        for j, match in enumerate(other):
            row.append(above[j] + 1 if word == match else max(above[j + 1], row[j]))
        above = row
    return above[-1]


def rouge_l_each(candidates: Sequence[str], references: Answers) -> list[float]:
    """ROUGE-L of each image, from 0 to 1 (Lin 2004, equations 2 to 4, with beta = 1.2 as in the COCO reference code).

    With L words in the longest common subsequence, `P = L / len(candidate)` and `R = L / len(reference)`, each the
    largest over the references (not necessarily from the same one): `F = (1 + beta^2) P R / (R + beta^2 P)`.
    """
    captions, answers = _paired(candidates, references)
    scores = []
    for words, others in zip(captions, answers.words, strict=True):
        common = [common_length(words, other) for other in others]
        if not any(common):
            scores.append(0.0)
            continue
        precision = max(common) / len(words)
        recall = max(length / len(other) for length, other in zip(common, others, strict=True) if other)
        scores.append((1 + BETA**2) * precision * recall / (recall + BETA**2 * precision))
    return scores


def rouge_l(candidates: Sequence[str], references: Answers) -> float:
    """The mean over the images of `rouge_l_each`, from 0 to 1 (Lin 2004)."""
    return fmean(rouge_l_each(candidates, references))


def cider_d_each(candidates: Sequence[str], references: Answers) -> list[float]:
    """CIDEr-D of each image, from 0 to 10 (Vedantam et al. 2015: equations 1 to 3, and section 8 for the D).

    With g a caption's tf-idf vector over the n-grams of one order, c the candidate, s a reference and l words, it is
    `10 exp(-(l_c - l_s)^2 / (2 sigma^2)) sum(min(g_c, g_s) g_s) / (|g_c| |g_s|)`, the mean over s and the four orders.
    The idf comes from the references given, so an image's score depends on the others: n-grams in every image weigh
    nothing, and **a single image scores 0 even on an exact match**. tf is a plain count, as in the COCO reference code.
    """
    captions, answers = _paired(candidates, references)
    image, cosine = answers.image, np.zeros(len(answers.image))
    for order, mine, theirs in zip(ORDERS, answers.numbers.count(captions), answers.ngrams, strict=True):
        ours, held = shared(mine, theirs, image)
        # g = tf * idf and c and s share the idf, so min(g_c, g_s) g_s = min(tf_c, tf_s) tf_s idf^2
        count, idf = theirs.times[held], answers.idf[order - 1][theirs.ngram[held]]
        product = np.bincount(theirs.caption[held], np.minimum(mine.times[ours], count) * count * idf**2, len(image))
        norms = answers.norm(order, mine, len(captions))[image] * answers.norm(order, theirs, len(image))
        cosine += np.divide(product, norms, out=np.zeros(len(image)), where=norms > 0)
    difference = np.array([len(words) for words in captions])[image] - answers.lengths
    similarity = 10 / len(ORDERS) * cosine * np.exp(-(difference**2) / (2 * SIGMA**2))
    return (np.bincount(image, similarity) / np.bincount(image)).tolist()


def cider_d(candidates: Sequence[str], references: Answers) -> float:
    """The mean over the images of `cider_d_each`, from 0 to 10; 0 for a single image (Vedantam et al. 2015)."""
    return fmean(cider_d_each(candidates, references))


def score(candidates: Sequence[str], references: Answers) -> dict[str, float]:
    """All metrics under `bleu1 bleu2 bleu3 bleu4 rouge_l` (0 to 1) and `cider_d` (0 to 10)."""
    answers = references if isinstance(references, References) else References(references)
    scores = {f"bleu{order}": value for order, value in zip(ORDERS, bleu(candidates, answers), strict=True)}
    return {**scores, "rouge_l": rouge_l(candidates, answers), "cider_d": cider_d(candidates, answers)}
