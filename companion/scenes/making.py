"""A seed in, a scene out. Explained in chapter 8, "Pictures into grids".

`draw` makes one scene, `make` a data set, `render` a scene from things chosen by hand, `mirror` a scene's mirror image.
"""

from collections.abc import Sequence

import numpy as np

from companion.scenes.drawing import background, paint
from companion.scenes.grammar import references
from companion.scenes.truth import is_true
from companion.scenes.world import (
    COLOURS,
    HELD_OUT,
    MOST,
    SHAPES,
    SIDE,
    SIZES,
    SPLITS,
    TEXTURES,
    Dice,
    Scene,
    Thing,
)

PER_SEED = 1_000_000  # scenes that one seed of `make` can give

# how many things alike in colour and shape, group by group, and how often in a hundred
_PLANS = (
    ((1,), 10), ((1, 1), 40), ((2,), 8), ((1, 1, 1), 13), ((2, 1), 11),
    ((3,), 4), ((2, 2), 4), ((3, 1), 4), ((2, 1, 1), 3), ((1, 1, 1, 1), 3),
)  # fmt: skip
_INSIDE = 0.3  # how often the first of two single things is put inside the second
_GAP = 3  # pixels between two things
# half extents in pixels, drawn on the half so that straight edges fall between pixels
_RADII = {"small": (6.5, 7.5), "large": (11.5, 12.5)}
_HOST, _GUEST = 15.5, 5.5  # of a thing that holds another, and of that other
# the shapes with room for another thing, and how many pixels below their centre the room is
_ROOM = {"circle": 0, "square": 0, "heart": -2, "triangle": 5}

_KNOWN = tuple((colour, shape) for colour in COLOURS for shape in SHAPES if (colour, shape) not in HELD_OUT)


def _pairs(dice: Dice, count: int, split: str) -> list[tuple[str, str]]:
    """`count` different (colour, shape): in the compositional split just one of them is held out, elsewhere none is."""
    chosen = [dice.pick(HELD_OUT)] if split == "compositional" else []
    while len(chosen) < count:
        pair = dice.pick(_KNOWN)
        if pair not in chosen:
            chosen.append(pair)
    return dice.shuffled(chosen)


def _plan(dice: Dice) -> tuple[int, ...]:
    roll = dice.below(sum(weight for _, weight in _PLANS))
    for sizes, weight in _PLANS:
        roll -= weight
        if roll < 0:
            return sizes
    raise AssertionError("the weights add up")


def _cast(dice: Dice, split: str) -> list[Thing]:
    """The things of a scene, not yet in their places; a host comes first, then its guest, placed relative to it."""
    sizes = _plan(dice)
    pairs = _pairs(dice, len(sizes), split)
    things: list[Thing] = []
    if sizes[:2] == (1, 1) and dice.chance(_INSIDE):
        hosts = [pair for pair in pairs if pair[1] in _ROOM]
        guests = [pair for pair in pairs if hosts and pair[0] != hosts[0][0]]  # red on red would not be seen
        if hosts and guests:
            things = _nest(dice, hosts[0], guests[0])
            pairs = [pair for pair in pairs if pair not in (hosts[0], guests[0])]
            sizes = sizes[2:]
    for (colour, shape), count in zip(pairs, sizes, strict=True):
        for _ in range(count):
            size = dice.pick(SIZES)
            if sum(thing.size == "large" for thing in things) == 2:  # a third large one would find no room
                size = "small"
            things.append(Thing(shape, colour, size, dice.pick(TEXTURES), 0, 0, dice.pick(_RADII[size])))
    return things


def _nest(dice: Dice, host: tuple[str, str], guest: tuple[str, str]) -> list[Thing]:
    """A large thing and a small one inside it."""
    textures = dice.pick((("plain", "plain"), ("plain", "striped"), ("striped", "plain")))  # stripes on stripes blur
    outer = Thing(host[1], host[0], "large", textures[0], 0, 0, _HOST)
    return [outer, Thing(guest[1], guest[0], "small", textures[1], _ROOM[host[1]], 0, _GUEST)]


def _spread(dice: Dice, things: list[Thing]) -> list[Thing]:
    """The things, each in a place where it touches no other; guests move with their hosts."""
    while True:
        placed: list[Thing] = []
        for thing in things:
            if placed and placed[0].radius == _HOST and thing.radius == _GUEST:
                placed.append(thing._replace(row=placed[0].row + thing.row, col=placed[0].col + thing.col))
                continue
            for _ in range(20):
                reach = int(thing.radius) + 1
                row, col = dice.between(reach, SIDE - 1 - reach), dice.between(reach, SIDE - 1 - reach)
                if all(max(abs(row - o.row), abs(col - o.col)) >= thing.radius + o.radius + _GAP for o in placed):
                    placed.append(thing._replace(row=row, col=col))
                    break
            else:
                break  # no room: begin again
        if len(placed) == len(things):
            return [Thing(*t[:4], *map(float, t[4:])) for t in dice.shuffled(placed)]


def draw(seed: int, split: str = "train") -> Scene:
    """The scene of a seed, the same to the last bit on every machine.

    Each split has its own scenes: the stream of chance depends on seed and split. "compositional" has in every scene
    one of the pairs of colour and shape in `HELD_OUT`, the other splits never have one. ValueError for an unknown split
    or a seed below 0.
    """
    if split not in SPLITS:
        raise ValueError(f"no split is called {split!r}; choose one of {', '.join(SPLITS)}")
    if seed < 0:
        raise ValueError(f"a seed is a whole number from 0 on, not {seed}")
    dice = Dice(seed * len(SPLITS) + SPLITS.index(split))
    things = tuple(_spread(dice, _cast(dice, split)))
    image, masks = paint(things, background(dice))
    return Scene(seed, image, things, masks, references(things, dice))


def make(split: str, count: int, seed: int = 0) -> list[Scene]:
    """The first `count` scenes of a split. Another `seed` gives others; the first 50 of 100 are those of 50."""
    if not 1 <= count <= PER_SEED:
        raise ValueError(f"cannot make {count} scenes; ask for 1 to {PER_SEED:,}")
    return [draw(seed * PER_SEED + i, split) for i in range(count)]


def render(things: Sequence[Thing], ground: Sequence[int] | None = None, seed: int = 0) -> Scene:
    """A scene from things placed by hand, with captions of its own.

    things: one to four, see `thing`; on the image, and none overlapping another unless it lies wholly inside.
    ground: the colour behind them as (red, green, blue), 0 to 255; else by `seed`, which also decides on the captions.
    ValueError says which thing is wrong.
    """
    if not 1 <= len(things) <= MOST:
        raise ValueError(f"a scene has 1 to {MOST} things, not {len(things)}")
    for i, thing in enumerate(things):
        _refuse_unknown(i, thing)
    dice = Dice(seed)
    image, masks = paint(things, background(dice, ground))
    return Scene(seed, image, tuple(things), masks, references(things, dice))


def _refuse_unknown(i: int, thing: Thing) -> None:
    """ValueError if a thing has an attribute that does not exist, or a place that is not on the image."""
    for value, known in zip(thing[:4], (SHAPES, COLOURS, SIZES, TEXTURES), strict=True):
        if value not in known:
            raise ValueError(f"thing {i}: {value!r} is unknown; choose one of {', '.join(known)}")
    edge = SIDE - 0.5
    if not all(thing.radius - 0.5 <= place <= edge - thing.radius for place in (thing.row, thing.col)):
        raise ValueError(
            f"thing {i}: a {thing.shape} of radius {thing.radius} at row {thing.row}, col {thing.col} leaves the image "
            f"of {SIDE} x {SIDE} pixels; move it inwards"
        )
    if thing.radius < 3:
        raise ValueError(f"thing {i}: radius {thing.radius} is too small to be told apart; take 3 pixels or more")


def mirror(scene: Scene) -> Scene:
    """The mirror image, left and right exchanged, with those of the captions that are still true: maybe none."""
    things = tuple(thing._replace(col=SIDE - 1 - thing.col) for thing in scene.things)
    image, masks = np.ascontiguousarray(scene.image[:, ::-1]), np.ascontiguousarray(scene.masks[:, :, ::-1])
    turned = scene._replace(image=image, things=things, masks=masks)
    return turned._replace(captions=tuple(caption for caption in scene.captions if is_true(caption.text, turned)))
