"""Grounding: whether the attention maps of a caption lie on the objects that its words refer to.

A map is the attention of one word over the places of a grid (row col) that covers the whole image. A mask is boolean
(height width, in pixels), True where the object is visible. Maps are not normalised: the weight that adaptive attention
gives to its sentinel is missing from the sum over the places, and counts as attention that is not on the object.
Explained in the chapter on grounding.
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
from companion.scenes import Scene
from companion.scenes.words import PLURALS, SIZE_OF

CLASSES = ("shape", "colour", "size", "texture")  # the classes of the words that are graded: they name visible objects

Map = Float[Tensor, "row col"]
Cells = Float[np.ndarray, "row col"]
Mask = Bool[Tensor, "height width"] | Bool[np.ndarray, "height width"]

_ATTRIBUTE_OF = {**SIZE_OF, **{plural: shape for shape, plural in PLURALS.items()}}  # of words that are not its name


def overlap(places: int, pixels: int) -> Float[np.ndarray, "{places} {pixels}"]:
    """Return, for `places` equal cells along a line of `pixels`, the share of each cell that lies on each pixel."""
    edges, pixel = np.arange(places + 1) * pixels / places, np.arange(pixels)
    common = np.minimum(edges[1:, None], pixel + 1) - np.maximum(edges[:-1, None], pixel)
    return np.maximum(common, 0) * places / pixels


def upsample(weights: Float[Tensor, "word row col"], size: int) -> Float[Tensor, "word {size} {size}"]:
    """Return the maps at `size` by `size` pixels: each weight is spread evenly over its cell, and the sums are kept.

    Nothing is smoothed, so a figure shows what the model computed. Cells need not be whole pixels: 7 places, 64 pixels.
    """
    down, across = (torch.from_numpy(overlap(places, size)).to(weights) for places in weights.shape[1:])
    return down.T @ weights @ across


def covered(mask: Mask, rows: int, cols: int) -> Cells:
    """Return the share of each cell of a grid, 0 to 1, that lies in the mask."""
    pixels = np.asarray(mask, dtype=float)
    return overlap(rows, pixels.shape[0]) @ pixels @ overlap(cols, pixels.shape[1]).T


def pointing(weights: Map, mask: Mask) -> bool:
    """Play the pointing game (Zhang et al. 2018, Excitation Backprop, section 4.1): is the map's peak on the object?

    It is a hit if the cell with the largest weight contains at least one pixel of the mask; the paper tolerates a
    distance of 15 pixels instead. Of several equal peaks all must hit, so a uniform map is a miss. For the rate of a
    random place, see `GroundingScores.chance`.
    """
    return _hits(_to_array(weights), covered(mask, *weights.shape))


def attention_mass(weights: Map, mask: Mask) -> float:
    """Return the attention on the object, 0 to 1: the sum of the upsampled map within the mask.

    Compare it with that of uniform attention, `uniform_mass(mask)`.
    """
    return float((_to_array(weights) * covered(mask, *weights.shape)).sum())


def uniform_mass(mask: Mask) -> float:
    """Return the `attention_mass` of uniform attention, 0 to 1: the share of the image that lies in the mask."""
    return float(np.asarray(mask, dtype=float).mean())


def entropy(weights: Float[Tensor, "*word row col"]) -> Float[Tensor, "*word"]:
    """Return the entropy `-sum of p log p` over the places, in nats (Shannon 1948, section 6).

    It is 0 for a single place and `log(row * col)` for a uniform map; exp(entropy) can be read as the number of places
    that share the attention. Each map is normalised first; a map of zeros has no entropy (NaN).
    """
    flat = weights.flatten(-2)
    return torch.special.entr(flat / flat.sum(-1, keepdim=True)).sum(-1)


def peakedness(weights: Float[Tensor, "*word row col"]) -> Float[Tensor, "*word"]:
    """Return `1 - entropy / log(row * col)`: 0 for a uniform map, 1 for a single place. Needs two places or more."""
    return 1 - entropy(weights) / math.log(weights.shape[-2] * weights.shape[-1])


@runtime_checkable
class CaptionWithMaps(Protocol):
    """A caption with a map for every word, such as `decoding.Caption` as `Captioner.caption` returns it."""

    @property
    def words(self) -> tuple[str, ...]:
        """The words of the caption."""

    @property
    def weights(self) -> Tensor:
        """The maps: word row col."""


class GroundingScores(NamedTuple):
    """Means over some words, each from 0 to 1 (NaN if there are no words)."""

    words: int
    pointing: float  # the share of the words whose map has its peak on the object
    chance: float  # the expected `pointing` if each peak were at a random place
    attention_mass: float  # attention on the object
    uniform_mass: float  # the same for uniform attention: the object's share of the image


class OutcomeCounts(NamedTuple):
    """The number of captions by whether they are true of their scene and whether they are grounded (see `grade`)."""

    true_grounded: int
    true_not_grounded: int
    false_grounded: int
    false_not_grounded: int

    @property
    def true_and_grounded(self) -> float:
        """The share of the captions, 0 to 1, that are both true and grounded (NaN if there are no captions)."""
        return self.true_grounded / sum(self) if sum(self) else math.nan


class Report(NamedTuple):
    """The result of `grade`."""

    overall: GroundingScores
    classes: dict[str, GroundingScores]  # for each of `CLASSES`
    outcomes: OutcomeCounts
    ungraded: int  # captions without a word that could be grounded; they are not among the outcomes

    @property
    def pointing(self) -> float:
        """`overall.pointing`: the share of the graded words, 0 to 1, whose map has its peak on their object."""
        return self.overall.pointing


def referents(word: str, scene: Scene) -> tuple[int, ...]:
    """Return the objects that a word for shape, colour, size or texture describes, whatever the words around it."""
    kind, attribute = scenes.word_class(word), _ATTRIBUTE_OF.get(word, word)
    return tuple(i for i, each in enumerate(scene.objects) if kind in CLASSES and getattr(each, kind) == attribute)


def grade(captions: Sequence[CaptionWithMaps], world: Sequence[Scene], threshold: float = 0.5) -> Report:
    """Grade the maps of generated captions; `world[i]` is the scene of `captions[i]`.

    The scores are means over the words for shape, colour, size and texture of *true* captions. Only there is it known
    which objects a word refers to (`scenes.align`); where there are several, attending to one of them is enough.

    The outcomes use one criterion for true and false captions: a word is grounded if its map has its peak on an object
    that the word by itself describes (`referents`). Words that describe no object of the scene are left out. A caption
    is grounded if at least the share `threshold` of its words is, and ungraded if no word is left.

    Raises:
        ValueError: there is not one scene for each caption, or the maps of a caption are not laid out as word row col.
    """
    if len(captions) != len(world):
        raise ValueError(f"{len(captions)} captions but {len(world)} scenes: give one scene for each caption")
    scores: dict[str, list[GroundingScores]] = defaultdict(list)
    outcomes = dict.fromkeys([(True, True), (True, False), (False, True), (False, False)], 0)
    for index, (caption, scene) in enumerate(zip(captions, world, strict=True)):
        _check_layout(index, caption)
        maps, aligned, hits = _to_array(caption.weights), scenes.align(" ".join(caption.words), scene), []
        for position, (word, weights) in enumerate(zip(caption.words, maps, strict=True)):
            if described := referents(word, scene):
                hits.append(_hits(weights, _covered_by(described, scene, weights)))
            if aligned is not None and aligned[position] and (kind := scenes.word_class(word)) in CLASSES:
                scores[kind].append(_grade_word(weights, _covered_by(aligned[position], scene, weights)))
        if hits:
            outcomes[aligned is not None, sum(hits) >= threshold * len(hits)] += 1
    classes = {kind: _mean(scores[kind]) for kind in CLASSES}
    overall = _mean([each for of_class in scores.values() for each in of_class])
    return Report(overall, classes, OutcomeCounts(*outcomes.values()), len(captions) - sum(outcomes.values()))


def _check_layout(index: int, caption: CaptionWithMaps) -> None:
    """Raise ValueError unless the caption has one map, of rows and columns, for each word."""
    shape = tuple(caption.weights.shape)
    if len(shape) != 3 or shape[0] != len(caption.words):
        raise ValueError(
            f"captions[{index}] has {len(caption.words)} words but weights of shape {shape}: "
            "they must be laid out as (word, row, col), as Captioner.caption does"
        )


def _to_array(weights: Tensor) -> np.ndarray:
    """Return maps as an array: on maps this small, NumPy is many times faster than PyTorch."""
    return weights.detach().cpu().double().numpy()


def _covered_by(members: tuple[int, ...], scene: Scene, weights: np.ndarray) -> Cells:
    """Return the share of each cell of the map's grid that the objects with these indices cover."""
    return covered(np.any(scene.masks[list(members)], axis=0), *weights.shape)


def _hits(weights: np.ndarray, cover: Cells) -> bool:
    """Return whether every peak of the map lies in a cell that is covered at least in part."""
    peaks = weights == weights.max()
    return bool(peaks.any() and (cover[peaks] > 0).all())  # a map of NaN has no peak


def _grade_word(weights: np.ndarray, cover: Cells) -> GroundingScores:
    """Return the scores of one word. All cells are equally large, so the mean over cells is that over pixels."""
    return GroundingScores(
        words=1,
        pointing=float(_hits(weights, cover)),
        chance=float((cover > 0).mean()),
        attention_mass=float((weights * cover).sum()),
        uniform_mass=float(cover.mean()),
    )


def _mean(scores: Sequence[GroundingScores]) -> GroundingScores:
    """Return the mean scores of some words."""
    if not scores:
        return GroundingScores(0, math.nan, math.nan, math.nan, math.nan)
    columns = list(zip(*scores, strict=True))[1:]
    return GroundingScores(len(scores), *(sum(column) / len(scores) for column in columns))
