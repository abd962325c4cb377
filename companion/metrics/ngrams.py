"""N-gram counts of captions, as arrays in which the metrics compare thousands of captions at once.

Explained in the chapter on scoring.
"""

from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np

ORDERS = (1, 2, 3, 4)  # the lengths of the n-grams that BLEU-4 and CIDEr-D count
SHIFT = 2**31  # two integers below it make one sortable key: first * SHIFT + second


class Ngrams(NamedTuple):
    """The n-grams of one order in some captions: a row per caption and distinct n-gram, sorted by the two."""

    caption: np.ndarray  # index of the caption
    ngram: np.ndarray  # id of the n-gram in its `NgramIndex`
    counts: np.ndarray  # how often the caption has the n-gram

    def take(self, captions: np.ndarray) -> "Ngrams":
        """Return the rows of these captions, which are renumbered from 0; repeats are allowed."""
        first, end = (np.searchsorted(self.caption, captions, side) for side in ("left", "right"))
        caption = np.repeat(np.arange(len(captions)), end - first)
        rows = np.arange(len(caption)) + np.repeat(end - (end - first).cumsum(), end - first)
        return Ngrams(caption, self.ngram[rows], self.counts[rows])


class NgramIndex:
    """Ids for all words and n-grams of some captions. Counting ids is tens of times faster than counting strings.

    `keys[order - 1]` holds the sorted keys of the n-grams of one order, and the id of an n-gram is its place there. An
    n-gram that is not in the index gets an id after all those, which is valid only within one call of `count`.
    """

    def __init__(self, captions: Sequence[Sequence[str]]):
        self.words = {word: i for i, word in enumerate(dict.fromkeys(chain.from_iterable(captions)))}
        self.keys: list[np.ndarray] = []
        self.count(captions)

    def count(self, captions: Sequence[Sequence[str]]) -> list[Ngrams]:
        """Return the n-grams of the captions, one entry for each order. Every caption is a list of words."""
        new: dict[str, int] = {}
        ids = [
            self.words[word] if word in self.words else len(self.words) + new.setdefault(word, len(new))
            for word in chain.from_iterable(captions)
        ]
        word, lengths = np.array(ids, dtype=np.int64), np.array([len(words) for words in captions], dtype=np.int64)
        caption = np.repeat(np.arange(len(captions)), lengths)
        left = lengths.cumsum()[caption] - np.arange(len(word))  # words from here to the end of the caption
        start, ngram, ngrams = np.arange(len(word)), np.zeros(len(word), dtype=np.int64), []
        for order in ORDERS:  # an n-gram is an n-gram of the order below and one more word
            complete = left[start] >= order
            start = start[complete]
            ngram = self.lookup(order, ngram[complete] * SHIFT + word[start + order - 1])
            rows, counts = np.unique(caption[start] * SHIFT + ngram, return_counts=True)
            ngrams.append(Ngrams(rows // SHIFT, rows % SHIFT, counts))
        return ngrams

    def lookup(self, order: int, keys: np.ndarray) -> np.ndarray:
        """Return the id of each n-gram of an order, given its key: id of its first `order - 1` words, then last word.

        The first call for an order, from the constructor, builds its index.
        """
        if len(self.keys) < order:
            self.keys.append(np.unique(keys))
        known = self.keys[order - 1]
        ids = np.searchsorted(known, keys)
        new = np.append(known, -1)[ids] != keys
        ids[new] = len(known) + np.unique(keys[new], return_inverse=True)[1]
        return ids
