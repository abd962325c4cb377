"""Attention maps and object masks in, grades out: did it look there? Explained in chapter 14.

A map is one word's attention over the places of a grid, `row col`; the grid covers the whole picture. A mask is
boolean, `height width` in pixels, True where the object is seen. A map is taken as it is: what adaptive attention gives
to its sentinel is missing from the sum over the places, and so counts as attention that is not on the object.
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from companion import scenes
from companion.scenes.words import PLURALS, SIZE_OF

CLASSES = ("shape", "colour", "size", "texture")  # the words that are graded: they speak of objects one can point at

Map = Float[Tensor, "row col"]
Cells = Float[np.ndarray, "row col"]
Mask = Bool[Tensor, "height width"] | Bool[np.ndarray, "height width"]

_VALUE_OF = {**SIZE_OF, **{plural: shape for shape, plural in PLURALS.items()}}


def overlap(places: int, pixels: int) -> Float[np.ndarray, "{places} {pixels}"]:
    """A line of `places` equal cells laid over a line of `pixels`: the share of each cell that falls on each pixel."""
    edges, pixel = np.arange(places + 1) * pixels / places, np.arange(pixels)
    common = np.minimum(edges[1:, None], pixel + 1) - np.maximum(edges[:-1, None], pixel)
    return np.maximum(common, 0) * places / pixels


def upsample(weights: Float[Tensor, "word row col"], size: int) -> Float[Tensor, "word {size} {size}"]:
    """Each place's weight spread evenly over its cell of a picture of `size` by `size` pixels; sums stay as they are.

    Nothing is smoothed, so the figure shows what the model had. Cells need not be whole pixels (7 places, 64 pixels).
    """
    down, across = (torch.from_numpy(overlap(places, size)).to(weights) for places in weights.shape[1:])
    return down.T @ weights @ across


def covered(mask: Mask, rows: int, cols: int) -> Cells:
    """The share of each cell, 0 to 1, that lies in the mask."""
    pixels = np.asarray(mask, dtype=float)
    return overlap(rows, pixels.shape[0]) @ pixels @ overlap(cols, pixels.shape[1]).T


def pointing(weights: Map, mask: Mask) -> bool:
    """The pointing game (Zhang et al. 2018, Excitation Backprop, section 4.1): is the peak on the object?

    A hit if the cell of the largest weight holds at least one pixel of the mask; the paper lets a peak be off by 15
    pixels instead. Of several equal peaks all must hit, so a flat map points nowhere. For chance, see `Tally`.
    """
    return _hits(_cells(weights), covered(mask, *weights.shape))


def mass(weights: Map, mask: Mask) -> float:
    """The attention on the object, 0 to 1: the sum of the upsampled map inside the mask. By chance: `uniform(mask)`."""
    return float((_cells(weights) * covered(mask, *weights.shape)).sum())


def uniform(mask: Mask) -> float:
    """The `mass` of uniform attention, 0 to 1: the share of the picture that lies in the mask."""
    return float(np.asarray(mask, dtype=float).mean())


def entropy(weights: Float[Tensor, "*word row col"]) -> Float[Tensor, "*word"]:
    """`-sum of p log p` over the places, in nats: 0 for a single place, `log(row * col)` for a uniform map.

    Each map is scaled to sum to one first; a map of zeros has no entropy (NaN). exp(entropy) may be read as the number
    of places that share the attention (Shannon 1948, section 6).
    """
    flat = weights.flatten(-2)
    return torch.special.entr(flat / flat.sum(-1, keepdim=True)).sum(-1)


def peakedness(weights: Float[Tensor, "*word row col"]) -> Float[Tensor, "*word"]:
    """`1 - entropy / log(row * col)`: 0 for a uniform map, 1 for all on one place. The grid has two places or more."""
    return 1 - entropy(weights) / math.log(weights.shape[-2] * weights.shape[-1])


@runtime_checkable
class Looked(Protocol):
    """A caption with its maps; `decoding.Caption` is one, laid out by the captioner."""

    @property
    def words(self) -> tuple[str, ...]:
        """The words said."""

    @property
    def weights(self) -> Tensor:
        """Where the model looked: word row col."""


class Tally(NamedTuple):
    """Means over some words, each from 0 to 1 (NaN if there are no words)."""

    words: int
    pointing: float  # share of the words whose map peaks on the object
    chance: float  # the same, if each map peaked at a place drawn at random
    mass: float  # attention on the object
    uniform: float  # the same, if each map were uniform: the object's share of the picture


class Table(NamedTuple):
    """Captions counted: true of their scene or not, looking at what they speak of or elsewhere."""

    true_looking: int
    true_elsewhere: int
    false_looking: int
    false_elsewhere: int

    @property
    def correct_and_looking(self) -> float:
        """The share of the captions, 0 to 1, that are true and look there (NaN if there are no captions)."""
        return self.true_looking / sum(self) if sum(self) else math.nan


class Report(NamedTuple):
    """What `grade` found. `classes` has a tally for each of `CLASSES`; `ungraded` captions are not in the table."""

    overall: Tally
    classes: dict[str, Tally]
    table: Table
    ungraded: int

    @property
    def pointing(self) -> float:
        """`overall.pointing`: the share of graded words, 0 to 1, that look at their object."""
        return self.overall.pointing


def speaks_of(word: str, scene: scenes.Scene) -> tuple[int, ...]:
    """The things of which a word for shape, colour, size or texture holds, whatever the words around it say."""
    kind, value = scenes.word_class(word), _VALUE_OF.get(word, word)
    return tuple(i for i, thing in enumerate(scene.things) if kind in CLASSES and getattr(thing, kind) == value)


def grade(captions: Sequence[Looked], drawn: Sequence[scenes.Scene], threshold: float = 0.5) -> Report:
    """Grade the maps of generated captions; `drawn[i]` is the scene that `captions[i]` is of.

    The tallies are over the words for shape, colour, size and texture of captions that are *true*: there, and only
    there, it is known of which things a word speaks (`scenes.align`; of several things, looking at one is enough).

    The table has one yardstick for true and false captions: a word looks right if its map peaks on a thing of which the
    word by itself holds. Words that hold of nothing in the scene are left out, as there is no right place for them. A
    caption is looking if at least the share `threshold` of its words do; without any such word it is `ungraded`.
    """
    if len(captions) != len(drawn):
        raise ValueError(f"{len(captions)} captions but {len(drawn)} scenes: give one scene for each caption")
    found: dict[str, list[Tally]] = defaultdict(list)
    cells = dict.fromkeys([(True, True), (True, False), (False, True), (False, False)], 0)
    for index, (caption, scene) in enumerate(zip(captions, drawn, strict=True)):
        _check(index, caption)
        maps, aligned, hits = _cells(caption.weights), scenes.align(" ".join(caption.words), scene), []
        for position, (word, weights) in enumerate(zip(caption.words, maps, strict=True)):
            if things := speaks_of(word, scene):
                hits.append(_hits(weights, _covered(scene, things, weights)))
            if aligned is not None and aligned[position] and (kind := scenes.word_class(word)) in CLASSES:
                found[kind].append(_tally(weights, _covered(scene, aligned[position], weights)))
        if hits:
            cells[aligned is not None, sum(hits) >= threshold * len(hits)] += 1
    classes = {kind: _mean(found[kind]) for kind in CLASSES}
    overall = _mean([tally for tallies in found.values() for tally in tallies])
    return Report(overall, classes, Table(*cells.values()), len(captions) - sum(cells.values()))


def _check(index: int, caption: Looked) -> None:
    shape = tuple(caption.weights.shape)
    if len(shape) != 3 or shape[0] != len(caption.words):
        raise ValueError(
            f"captions[{index}] has {len(caption.words)} words but weights of shape {shape}: "
            "they must be laid out as (word, row, col), as Captioner.caption does"
        )


def _cells(weights: Tensor) -> np.ndarray:
    return weights.detach().cpu().double().numpy()  # on arrays this small, NumPy is many times faster than PyTorch


def _covered(scene: scenes.Scene, things: tuple[int, ...], weights: np.ndarray) -> Cells:
    return covered(np.any(scene.masks[list(things)], axis=0), *weights.shape)


def _hits(weights: np.ndarray, cover: Cells) -> bool:
    peaks = weights == weights.max()
    return bool(peaks.any() and (cover[peaks] > 0).all())  # of NaN, nothing is a peak


def _tally(weights: np.ndarray, cover: Cells) -> Tally:
    """One word's grades. The cells are all equally large, so their mean is that of the pixels."""
    return Tally(
        1, float(_hits(weights, cover)), float((cover > 0).mean()), float((weights * cover).sum()), float(cover.mean())
    )


def _mean(tallies: Sequence[Tally]) -> Tally:
    if not tallies:
        return Tally(0, math.nan, math.nan, math.nan, math.nan)
    return Tally(len(tallies), *(sum(column) / len(tallies) for column in list(zip(*tallies, strict=True))[1:]))
