"""Things in, pixels and masks out. Explained in chapter 8, "Pictures into grids".

Every pixel is sampled at 4 x 4 points and gets the share of them that the thing covers. All arithmetic is on whole
numbers (eighths of a pixel), so that a picture is the same to the last bit on every machine and with every library.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from companion.scenes.world import SIDE, Dice, Thing, inside

UNIT = 8  # coordinates are counted in eighths of a pixel, so that the 4 sample points of a pixel are whole: -3 -1 1 3
SAMPLES = 16  # sample points in a pixel
PAD = 3  # pixels around the canvas, so that a silhouette's box need not be cut at the edge

RGB = {
    "red": (214, 32, 38),
    "orange": (247, 138, 18),
    "yellow": (250, 228, 44),
    "green": (26, 148, 58),
    "cyan": (58, 214, 226),
    "blue": (34, 66, 214),
    "purple": (124, 36, 160),
    "pink": (250, 142, 194),
}

# Corners, in thousandths of the half extent, x to the right and y up.
_TRIANGLE = ((0, 1000), (1000, -1000), (-1000, -1000))
_STAR = (
    (0, 1000), (270, 336), (1000, 274), (450, -170), (618, -1000),
    (0, -560), (-618, -1000), (-450, -170), (-1000, 274), (-270, 336),
)  # fmt: skip
_BAR = 380  # half the width of a cross's bars, in thousandths of its half extent


def stripe_colour(colour: str) -> tuple[int, int, int]:
    """The second tone of a striped thing: its own colour, darkened, so that the hue stays."""
    red, green, blue = RGB[colour]
    return red * 9 // 20, green * 9 // 20, blue * 9 // 20


def _in_polygon(x: np.ndarray, y: np.ndarray, corners: Sequence[tuple[int, int]], radius: int) -> np.ndarray:
    """Even-odd rule: a point is inside if a ray from it to the right crosses the outline an odd number of times."""
    x, y = 1000 * x, 1000 * y
    odd = np.zeros(np.broadcast_shapes(x.shape, y.shape), dtype=bool)
    for (x1, y1), (x2, y2) in zip(corners, (*corners[1:], corners[0]), strict=True):
        x1, y1, x2, y2 = x1 * radius, y1 * radius, x2 * radius, y2 * radius
        crosses = (y1 > y) != (y2 > y)
        # the crossing lies to the right of the point; multiplied out by (y2 - y1), whose sign turns the comparison
        side = (x - x1) * (y2 - y1) - (x2 - x1) * (y - y1)
        odd ^= crosses & ((side < 0) if y2 > y1 else (side > 0))
    return odd


def _covers(shape: str, x: np.ndarray, y: np.ndarray, radius: int) -> np.ndarray:
    """Whether the points (x right, y up, from the centre) lie in the shape; everything in eighths of a pixel."""
    if shape == "circle":
        return x * x + y * y <= radius * radius
    if shape == "square":
        return (abs(x) <= radius) & (abs(y) <= radius)
    if shape == "cross":
        near = _BAR * radius
        return (abs(x) <= radius) & (abs(y) <= radius) & ((abs(1000 * x) <= near) | (abs(1000 * y) <= near))
    if shape == "heart":  # (x² + y² - 1)³ <= x² y³, which spans -1.14 to 1.14 across and -1 to 1.24 upwards
        x, y = x * 114 // 100, (y * 112 + 12 * radius) // 100
        return (x * x + y * y - radius * radius) ** 3 <= x * x * y**3 * radius
    return _in_polygon(x, y, _TRIANGLE if shape == "triangle" else _STAR, radius)


@lru_cache(maxsize=4096)
def _silhouette(shape: str, radius: int, down: int, right: int) -> np.ndarray:
    """Samples covered (0 to 16) in each pixel of a box around a thing's centre; arguments in eighths of a pixel."""
    reach = -(-radius // UNIT) + 1
    points = (UNIT * np.arange(-reach, reach + 1)[:, None] + np.array([-3, -1, 1, 3])).reshape(-1).astype(np.int64)
    hit = _covers(shape, (points - right)[None, :], -(points - down)[:, None], radius)
    side = 2 * reach + 1
    counts = hit.reshape(side, 4, side, 4).sum(axis=(1, 3)).astype(np.uint16)[:, :, None]
    counts.flags.writeable = False
    return counts


@lru_cache(maxsize=256)
def _paint(colour: str, texture: str, side: int) -> np.ndarray:
    """The colours of a box of `side` pixels: one tone, or diagonal stripes of three pixels along a row."""
    plain = np.broadcast_to(np.array(RGB[colour], dtype=np.uint16), (side, side, 3))
    if texture == "plain":
        return plain
    diagonal = np.add.outer(np.arange(side), np.arange(side)) - (side - 1)
    return np.where(((diagonal + 1) // 3 % 2 == 0)[:, :, None], plain, np.array(stripe_colour(colour), dtype=np.uint16))


def _place(thing: Thing) -> tuple[np.ndarray, slice, slice]:
    """The silhouette of a thing, and the rows and columns of the padded canvas that it takes."""
    row, col = round(thing.row), round(thing.col)
    # quarters of a pixel are fine enough, and keep the store of silhouettes small
    down, right = 2 * round(4 * (thing.row - row)), 2 * round(4 * (thing.col - col))
    counts = _silhouette(thing.shape, 2 * round(4 * thing.radius), down, right)
    reach = len(counts) // 2
    return counts, slice(PAD + row - reach, PAD + row + reach + 1), slice(PAD + col - reach, PAD + col + reach + 1)


def background(dice: Dice, base: Sequence[int] | None = None) -> np.ndarray:
    """A muted ground, uint8 "row col channel": grey with a tint, a slight slope of light and a little grain."""
    if base is None:
        grey = dice.between(150, 188)
        base = [grey + dice.between(-8, 8) for _ in range(3)]
    down, right = dice.between(-12, 12), dice.between(-12, 12)
    steps = np.arange(SIDE, dtype=np.int16) - SIDE // 2
    slope = (down * steps[:, None] + right * steps[None, :]) // SIDE
    grain = (dice.bytes(SIDE * SIDE).astype(np.int16).reshape(SIDE, SIDE) * 7 >> 8) - 3
    ground = np.array(base, dtype=np.int16) + (slope + grain)[:, :, None]
    return np.clip(ground, 0, 255).astype(np.uint8)


def paint(things: Sequence[Thing], ground: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The things on the ground: the image (uint8, "row col channel") and the masks (bool, "thing row col").

    Larger things are painted first, so that what is inside them stays in sight. A pixel belongs to a thing that covers
    at least half of it. Things that overlap without one being wholly inside the other are refused with a ValueError.
    """
    canvas = np.zeros((SIDE + 2 * PAD, SIDE + 2 * PAD, 3), dtype=np.uint16)
    canvas[PAD:-PAD, PAD:-PAD] = ground
    masks = np.zeros((len(things), SIDE + 2 * PAD, SIDE + 2 * PAD), dtype=bool)
    for i in sorted(range(len(things)), key=lambda i: -things[i].radius):
        counts, rows, cols = _place(things[i])
        box = canvas[rows, cols]
        colours = _paint(things[i].colour, things[i].texture, len(counts))
        box[:] = (box * (SAMPLES - counts) + colours * counts + SAMPLES // 2) // SAMPLES
        seen = counts[:, :, 0] >= SAMPLES // 2
        _refuse_overlap(things, i, masks[:, rows, cols], seen)
        masks[:, rows, cols] &= ~seen
        masks[i, rows, cols] = seen
    inner = slice(PAD, -PAD)
    return canvas[inner, inner].astype(np.uint8), masks[:, inner, inner].copy()


def _refuse_overlap(things: Sequence[Thing], new: int, before: np.ndarray, seen: np.ndarray) -> None:
    """ValueError unless thing `new` lies clear of all that are painted, or wholly on one that it is inside of."""
    for i, mask in enumerate(before):
        if i == new or things[i].radius < things[new].radius:
            continue
        nested = inside(things[new], things[i])
        if nested and not mask[seen].all():
            raise ValueError(
                f"things {new} and {i}: the {things[new].shape} sticks out of the {things[i].shape}; move it"
            )
        if not nested and mask[seen].any():
            raise ValueError(
                f"things {new} and {i}: {things[new].shape} and {things[i].shape} overlap; move one of them"
            )
