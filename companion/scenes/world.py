"""What a scene is made of, and when a relation between two objects holds.

Holds the lists of attributes, the records `SceneObject`, `Reference` and `Scene`, the five relations, and
`SeededRandom`, the source of all randomness in a scene. Explained in the chapter on pictures as grids.
"""

from collections.abc import Sequence
from random import Random
from typing import NamedTuple, TypeVar

import numpy as np

IMAGE_SIZE = 64  # pixels along each edge of a scene
MAX_OBJECTS = 4  # in one scene

SHAPES = ("circle", "square", "triangle", "star", "cross", "heart")
COLOURS = ("red", "orange", "yellow", "green", "cyan", "blue", "purple", "pink")
SIZES = ("small", "large")
TEXTURES = ("plain", "striped")
RELATIONS = ("left of", "right of", "above", "below", "inside")
SPLITS = ("train", "validation", "test", "compositional")  # the order is part of every seed: append only

# One pair for every shape, in six colours. Each colour and each shape occurs in training; only the pair is new.
HELD_OUT = (
    ("purple", "triangle"),
    ("green", "star"),
    ("yellow", "heart"),
    ("cyan", "cross"),
    ("pink", "circle"),
    ("orange", "square"),
)

TRUE_OFFSET = 4.0  # pixels between the centres, from which "left of" is true
CLEAR_OFFSET = 10.0  # pixels from which a reference caption may state it ...
CLEAR_RATIO = 1.25  # ... if the offset along the other axis is this many times smaller

_Item = TypeVar("_Item")


class SceneObject(NamedTuple):
    """One object of a scene.

    `row` and `col` are its centre and `radius` is half its extent, all in pixels; pixel 10 has its centre at 10.0.
    """

    shape: str
    colour: str
    size: str
    texture: str
    row: float
    col: float
    radius: float


class Reference(NamedTuple):
    """A caption with its alignment: `mentions[i]` holds the indices of the objects that `words[i]` refers to.

    Words for shape, colour, size, texture and count refer to the objects that they describe. All other words have the
    empty tuple, relation words too: where a model should attend when it generates "left" is a matter of opinion, so
    it is not graded.
    """

    text: str
    words: tuple[str, ...]
    mentions: tuple[tuple[int, ...], ...]


class Scene(NamedTuple):
    """An image together with its ground truth: objects, masks and reference captions."""

    seed: int
    image: np.ndarray  # uint8, row col channel: 64 64 3
    objects: tuple[SceneObject, ...]
    masks: np.ndarray  # bool, object row col: the visible pixels; an object around another one lacks the other's
    captions: tuple[Reference, ...]


def inside(inner: SceneObject, outer: SceneObject) -> bool:
    """Return whether the bounding box of `inner` lies in that of `outer`.

    Objects overlap in no other way; `rendering.paint` refuses it.
    """
    offset = max(abs(inner.row - outer.row), abs(inner.col - outer.col))
    return inner.radius < outer.radius and offset + inner.radius <= outer.radius


def _offsets(relation: str, subject: SceneObject, other: SceneObject) -> tuple[float, float]:
    """Return the offset of `subject` from `other` in the direction of `relation` and that across it, in pixels."""
    down, across = subject.row - other.row, subject.col - other.col
    return {"left of": (-across, down), "right of": (across, down), "above": (-down, across), "below": (down, across)}[
        relation
    ]


def holds(relation: str, subject: SceneObject, other: SceneObject) -> bool:
    """Return whether `subject` stands in `relation` to `other`.

    Left, right, above and below need an offset of the centres of at least `TRUE_OFFSET` pixels along their axis. An
    object up and to the left is both "above" and "left of". Between two objects one inside the other, only "inside"
    holds.
    """
    if relation == "inside":
        return inside(subject, other)
    if inside(subject, other) or inside(other, subject):
        return False
    return _offsets(relation, subject, other)[0] >= TRUE_OFFSET


def clearly_holds(relation: str, subject: SceneObject, other: SceneObject) -> bool:
    """Return whether `relation` is so evident that a reference caption may state it.

    The offset along its axis must be at least `CLEAR_OFFSET` pixels and `CLEAR_RATIO` times that across it.
    """
    if not holds(relation, subject, other):
        return False
    if relation == "inside":
        return True
    along, across = _offsets(relation, subject, other)
    return along >= CLEAR_OFFSET and along >= CLEAR_RATIO * abs(across)


class SeededRandom:
    """A random number generator with the same output on every machine and in every version of Python.

    It uses only `random` and `getrandbits` of Python's generator. `choice`, `shuffle` and NumPy's distributions may
    change between versions; these two do not.
    """

    def __init__(self, seed: int):
        generator = Random(seed)
        self.random = generator.random
        self._bits = generator.getrandbits

    def randrange(self, stop: int) -> int:
        """Return an integer from 0 to `stop - 1`."""
        return int(self.random() * stop)

    def randint(self, low: int, high: int) -> int:
        """Return an integer from `low` to `high`, both included."""
        return low + int(self.random() * (high - low + 1))

    def bernoulli(self, probability: float) -> bool:
        """Return True with the given probability."""
        return self.random() < probability

    def choice(self, items: Sequence[_Item]) -> _Item:
        """Return one of `items`, each with the same probability."""
        return items[int(self.random() * len(items))]

    def shuffled(self, items: Sequence[_Item]) -> list[_Item]:
        """Return the items in random order (Fisher and Yates)."""
        shuffled = list(items)
        for last in range(len(shuffled) - 1, 0, -1):
            other = self.randrange(last + 1)
            shuffled[last], shuffled[other] = shuffled[other], shuffled[last]
        return shuffled

    def randbytes(self, count: int) -> np.ndarray:
        """Return `count` random bytes as a uint8 array."""
        return np.frombuffer(self._bits(8 * count).to_bytes(count, "little"), dtype=np.uint8)
