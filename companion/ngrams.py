"""Captions in, counts of their n-grams out, as arrays in which `metrics` can compare thousands of captions at once."""

from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np

ORDERS = (1, 2, 3, 4)  # the lengths of n-grams that BLEU-4 and CIDEr-D look at
SHIFT = 2**31  # two numbers below it make one key: first * SHIFT + second


class Ngrams(NamedTuple):
    """How often the n-grams of one order occur: a row for each caption and each n-gram in it, sorted by the two."""

    caption: np.ndarray
    ngram: np.ndarray  # its number, see `Numbers`
    times: np.ndarray

    def take(self, captions: np.ndarray) -> "Ngrams":
        """The rows of these captions, which are numbered anew; repeats are allowed."""
        first, end = (np.searchsorted(self.caption, captions, side) for side in ("left", "right"))
        caption = np.repeat(np.arange(len(captions)), end - first)
        rows = np.arange(len(caption)) + np.repeat(end - (end - first).cumsum(), end - first)
        return Ngrams(caption, self.ngram[rows], self.times[rows])


class Numbers:
    """A number for every word and n-gram of some captions: tens of times faster to count than tuples of strings.

    `known[order - 1]` holds the keys of the n-grams of an order, sorted; the number of an n-gram is its place there. An
    n-gram that is not there gets a number after all those, good for one call of `count`.
    """

    def __init__(self, captions: Sequence[Sequence[str]]):
        self.words = {word: number for number, word in enumerate(dict.fromkeys(chain.from_iterable(captions)))}
        self.known: list[np.ndarray] = []
        self.count(captions)

    def count(self, captions: Sequence[Sequence[str]]) -> list[Ngrams]:
        """The n-grams of the captions, an entry an order."""
        new: dict[str, int] = {}
        words = [
            self.words[word] if word in self.words else len(self.words) + new.setdefault(word, len(new))
            for word in chain.from_iterable(captions)
        ]
        word, lengths = np.array(words, dtype=np.int64), np.array([len(words) for words in captions], dtype=np.int64)
        caption = np.repeat(np.arange(len(captions)), lengths)
        left = lengths.cumsum()[caption] - np.arange(len(word))  # words from here to the end of the caption
        start, number, found = np.arange(len(word)), np.zeros(len(word), dtype=np.int64), []
        for order in ORDERS:  # an n-gram is the one that is a word shorter, and its last word
            whole = left[start] >= order
            start = start[whole]
            number = self.look_up(order, number[whole] * SHIFT + word[start + order - 1])
            rows, count = np.unique(caption[start] * SHIFT + number, return_counts=True)
            found.append(Ngrams(rows // SHIFT, rows % SHIFT, count))
        return found

    def look_up(self, order: int, keys: np.ndarray) -> np.ndarray:
        """The number of each n-gram, given its key."""
        if len(self.known) < order:  # the first call
            self.known.append(np.unique(keys))
        known = self.known[order - 1]
        numbers = np.searchsorted(known, keys)
        new = np.append(known, -1)[numbers] != keys
        numbers[new] = len(known) + np.unique(keys[new], return_inverse=True)[1]
        return numbers
