"""What a scene is made of, and when a relation holds. Explained in chapter 8, "Pictures into grids".

In: nothing. Out: the attribute lists, the records `Thing`, `Reference`, `Scene`, the five relations, and `Dice`, the
source of chance.
"""

from collections.abc import Sequence
from random import Random
from typing import NamedTuple, TypeVar

import numpy as np

SIDE = 64  # pixels along one edge of a scene
MOST = 4  # things in one scene

SHAPES = ("circle", "square", "triangle", "star", "cross", "heart")
COLOURS = ("red", "orange", "yellow", "green", "cyan", "blue", "purple", "pink")
SIZES = ("small", "large")
TEXTURES = ("plain", "striped")
RELATIONS = ("left of", "right of", "above", "below", "inside")
SPLITS = ("train", "validation", "test", "compositional")  # the order is part of every seed: add at the end only

# One for every shape, in six colours: each colour and each shape is known from training, only the two together are new.
HELD_OUT = (
    ("purple", "triangle"),
    ("green", "star"),
    ("yellow", "heart"),
    ("cyan", "cross"),
    ("pink", "circle"),
    ("orange", "square"),
)

TRUE_OFFSET = 4.0  # pixels: from here on "left of" is true
CLEAR_OFFSET = 10.0  # pixels: from here on a reference caption may say it ...
CLEAR_RATIO = 1.25  # ... if the offset along the other axis is this many times smaller

_Item = TypeVar("_Item")


class Thing(NamedTuple):
    """One object. In pixels: `row`, `col` its centre (pixel 10 has its centre at 10.0), `radius` its half extent."""

    shape: str
    colour: str
    size: str
    texture: str
    row: float
    col: float
    radius: float


class Reference(NamedTuple):
    """A caption with its alignment: `mentions[i]` are the indices of the things that `words[i]` speaks of.

    Words for shape, colour, size, texture and count speak of the things that they describe. All others have the empty
    tuple, relation words too: where one should look on saying "left" is a matter of opinion, so it is not graded.
    """

    text: str
    words: tuple[str, ...]
    mentions: tuple[tuple[int, ...], ...]


class Scene(NamedTuple):
    """A picture and all that there is to know about it.

    image: uint8, "row col channel" = 64 64 3. masks: bool, "thing row col", where each thing is seen: a thing that
    holds another one inside loses the other's pixels.
    """

    seed: int
    image: np.ndarray
    things: tuple[Thing, ...]
    masks: np.ndarray
    captions: tuple[Reference, ...]


def inside(inner: Thing, outer: Thing) -> bool:
    """The box around `inner` lies in the box around `outer`. Things never overlap otherwise (`render` sees to it)."""
    offset = max(abs(inner.row - outer.row), abs(inner.col - outer.col))
    return inner.radius < outer.radius and offset + inner.radius <= outer.radius


def _offsets(relation: str, subject: Thing, other: Thing) -> tuple[float, float]:
    """How far `subject` lies in the direction of `relation` as seen from `other`, and how far across it; pixels."""
    down, across = subject.row - other.row, subject.col - other.col
    return {"left of": (-across, down), "right of": (across, down), "above": (-down, across), "below": (down, across)}[
        relation
    ]


def holds(relation: str, subject: Thing, other: Thing) -> bool:
    """Whether `subject` stands in `relation` to `other`.

    Left, right, above and below ask for an offset of the centres of at least `TRUE_OFFSET` pixels along their axis; a
    thing up and to the left is both "above" and "left of". Of two things one inside the other, only "inside" is true.
    """
    if relation == "inside":
        return inside(subject, other)
    if inside(subject, other) or inside(other, subject):
        return False
    return _offsets(relation, subject, other)[0] >= TRUE_OFFSET


def clear(relation: str, subject: Thing, other: Thing) -> bool:
    """Whether `relation` holds so plainly that a reference caption may say it: a long way along, little across."""
    if not holds(relation, subject, other):
        return False
    if relation == "inside":
        return True
    along, across = _offsets(relation, subject, other)
    return along >= CLEAR_OFFSET and along >= CLEAR_RATIO * abs(across)


class Dice:
    """Chance that falls alike on every machine and in every version of Python.

    Of Python's generator only `random` and `getrandbits` are used: `choice`, `shuffle` and NumPy's distributions may
    change between versions, these two do not.
    """

    def __init__(self, seed: int):
        source = Random(seed)
        self.random = source.random
        self._bits = source.getrandbits

    def below(self, count: int) -> int:
        """A whole number from 0 to `count - 1`."""
        return int(self.random() * count)

    def between(self, low: int, high: int) -> int:
        """A whole number from `low` to `high`, both included."""
        return low + int(self.random() * (high - low + 1))

    def chance(self, probability: float) -> bool:
        """True with the given probability."""
        return self.random() < probability

    def pick(self, items: Sequence[_Item]) -> _Item:
        """One of `items`, each as likely as the others."""
        return items[int(self.random() * len(items))]

    def shuffled(self, items: Sequence[_Item]) -> list[_Item]:
        """The items in a random order (Fisher and Yates)."""
        mixed = list(items)
        for last in range(len(mixed) - 1, 0, -1):
            other = self.below(last + 1)
            mixed[last], mixed[other] = mixed[other], mixed[last]
        return mixed

    def bytes(self, count: int) -> np.ndarray:
        """`count` random bytes, uint8."""
        return np.frombuffer(self._bits(8 * count).to_bytes(count, "little"), dtype=np.uint8)
