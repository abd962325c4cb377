"""Reference captions with their statistics, and the checks that every metric makes of its input.

Captions are strings, tokenised by the tokenizer of `References`, that of English by default; a caption without words is
allowed. `references[i]` holds the references of `candidates[i]`, at least one. Explained in the chapter on scoring.
"""

import math
import reprlib
from collections.abc import Mapping, Sequence, Set
from functools import cached_property
from itertools import chain
from typing import Any

import numpy as np

from companion.metrics.ngrams import SHIFT, NgramIndex, Ngrams
from companion.tokenizer import ENGLISH, Tokenizer


def check_list(name: str, given: Any, of: str) -> None:
    """Raise ValueError, saying what was given, unless it is a list, or a tuple, an array or a column of a table.

    What has no length, no order or keys of its own (a generator, a set, a dict) is refused, because the candidates and
    the references of an image are matched by their place.
    """
    if isinstance(given, str):
        raise ValueError(f"{name} is the string {_short(given)}: put it into a list, [{_short(given)}]")
    if isinstance(given, Mapping) or hasattr(given, "columns"):
        hint = "make two lists with the images in the same order, [one[key] for key in keys]"
        raise ValueError(f"{name} is a {type(given).__name__}, and a list of {of} is wanted: {hint}")
    try:
        len(given), iter(given)
    except TypeError:
        hint = f": list({name})" if hasattr(given, "__next__") else ""
    else:
        if not isinstance(given, (bytes, Set)):
            return
        hint = ""
    raise ValueError(f"{name} is {_short(given)} of type {type(given).__name__}, and a list of {of} is wanted{hint}")


def check_captions(name: str, captions: Sequence[Any]) -> None:
    """Raise ValueError, naming the place and saying what stands there, unless all captions are strings."""
    for index, caption in enumerate(captions):
        if isinstance(caption, str):
            continue
        hint = ""
        if hasattr(caption, "text"):
            hint = ": take its text"
        elif isinstance(caption, bytes):
            hint = ": decode it"
        elif isinstance(caption, (list, tuple, np.ndarray)):
            hint = ": join its words, ' '.join(...)"
        elif str(caption) in ("None", "nan", "NaT", "<NA>"):  # of pandas, too, without a need for it
            hint = ": a missing caption; leave its image out, or give an empty string"
        given = f"{_short(caption)} of type {type(caption).__name__}"
        raise ValueError(f"{name}[{index}] is {given}, and a string is wanted{hint}")


def _short(given: Any) -> str:
    """Return what was given, in one short line."""
    return " ".join(reprlib.repr(given).split())


class References(Sequence[Sequence[str]]):
    """The references of a set of images, with statistics that are computed once, when they are first needed.

    To score many candidates against the same references, or captions in another language than English, build this once
    and pass it to a metric in place of lists.
    `words[image][reference]` is a list of words. In all other statistics the references of all images stand in one
    row, and `image` has the image of each.

    Args:
        references: for each image a list of strings, at least one.
        tokenizer: makes words of these captions and of the candidates.

    Raises:
        ValueError: an image, named by its index, has no reference, or something in place of a list or of a string.
    """

    def __init__(self, references: Sequence[Sequence[str]], tokenizer: Tokenizer = ENGLISH):
        check_list("references", references, "lists of strings")
        for index, captions in enumerate(references):
            check_list(f"references[{index}]", captions, "strings")
            if len(captions) == 0:
                raise ValueError(f"references[{index}] is empty: each image needs at least one reference")
            check_captions(f"references[{index}]", captions)
        self.captions, self.tokenizer = list(references), tokenizer
        self.words = [[tokenizer.tokenize(caption) for caption in captions] for captions in references]
        self._corpus = self  # the source of the document frequencies

    def __len__(self) -> int:
        return len(self.words)

    def __getitem__(self, image: Any) -> Any:
        return self.captions[image]

    def take(self, images: Sequence[int]) -> "References":
        """Return the references of these images, repeats allowed, with the document frequencies of the whole corpus.

        For reinforcement learning: the rewards of a batch are `cider_d_each(samples, corpus.take(batch))`.
        """
        part = References([], self.tokenizer)
        part.captions, part.words = [self.captions[i] for i in images], [self.words[i] for i in images]
        part._corpus = self._corpus
        chosen = [np.arange(*np.searchsorted(self.image, (image, image + 1))) for image in images]
        part.ngrams = [ngrams.take(np.concatenate(chosen)) for ngrams in self.ngrams]
        return part

    @cached_property
    def image(self) -> np.ndarray:
        """The index of the image of each reference."""
        return np.repeat(np.arange(len(self)), [len(captions) for captions in self.words])

    @cached_property
    def lengths(self) -> np.ndarray:
        """The number of words of each reference."""
        return np.array([len(words) for words in chain.from_iterable(self.words)])

    @cached_property
    def ngram_index(self) -> NgramIndex:
        """The ids of the n-grams of the whole corpus."""
        return NgramIndex([*chain.from_iterable(self.words)]) if self._corpus is self else self._corpus.ngram_index

    @cached_property
    def ngrams(self) -> list[Ngrams]:
        """The n-grams of the references, one entry for each order."""
        return self.ngram_index.count([*chain.from_iterable(self.words)])

    @cached_property
    def idf(self) -> list[np.ndarray]:
        """`log(images / images with the n-gram in a reference)` by the n-gram's id, one entry for each order."""
        if self._corpus is not self:
            return self._corpus.idf
        by_image = (np.unique(self.image[each.caption] * SHIFT + each.ngram) % SHIFT for each in self.ngrams)
        return [np.log(len(self) / np.bincount(ngrams)) for ngrams in by_image]

    def tf_idf_norm(self, order: int, ngrams: Ngrams, captions: int) -> np.ndarray:
        """Return `sqrt(sum of (count * idf)^2)` for each of `captions` captions: the length of its tf-idf vector.

        An n-gram that no reference has gets the idf of one that a single image has.
        """
        idf, unseen_idf = self.idf[order - 1], math.log(len(self._corpus))
        new = ngrams.ngram >= len(idf)
        known = ngrams.counts[~new] * idf[ngrams.ngram[~new]]
        squares = np.bincount(ngrams.caption[~new], known**2, captions)
        return np.sqrt(squares + unseen_idf**2 * np.bincount(ngrams.caption[new], ngrams.counts[new] ** 2, captions))


ReferenceSets = Sequence[Sequence[str]] | References  # what a metric takes as references; lists are English


def tokenized_pairs(candidates: Sequence[str], references: ReferenceSets) -> tuple[list[list[str]], References]:
    """Return the words of each candidate, and the references as `References`.

    Raises:
        ValueError: there is no candidate, their number is not that of the references, or something else stands where a
            list or a string is wanted; the message names its place.
    """
    check_list("candidates", candidates, "strings")
    if not isinstance(references, References):
        check_list("references", references, "lists of strings")
    if len(candidates) != len(references):
        raise ValueError(f"{len(candidates)} candidates but {len(references)} lists of references: give each its own")
    if len(candidates) == 0:
        raise ValueError("no candidates: there is nothing to score")
    check_captions("candidates", candidates)
    references = references if isinstance(references, References) else References(references)
    return [references.tokenizer.tokenize(candidate) for candidate in candidates], references
