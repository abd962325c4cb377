"""Rendering of objects to an image and masks. Explained in the chapter on pictures as grids.

Each pixel is sampled at 4 x 4 points; the share of them that an object covers is its opacity there. All arithmetic is
on integers (eighths of a pixel), so an image is the same to the last bit on every machine and with every library.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from companion.scenes.world import IMAGE_SIZE, SceneObject, SeededRandom, inside

UNIT = 8  # coordinates are in eighths of a pixel, in which the 4 sample points of a pixel are integers: -3 -1 1 3
SAMPLES = 16  # sample points in a pixel
PAD = 3  # pixels around the canvas, so that no silhouette's box has to be clipped at the edge

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
    """Return the second colour of a striped object: its own, darkened, with the same hue."""
    red, green, blue = RGB[colour]
    return red * 9 // 20, green * 9 // 20, blue * 9 // 20


def _in_polygon(x: np.ndarray, y: np.ndarray, corners: Sequence[tuple[int, int]], radius: int) -> np.ndarray:
    """Return which points lie in a polygon whose corners are given in thousandths of `radius`.

    By the even-odd rule, a point is inside if a ray from it to the right crosses the outline an odd number of times.
    """
    x, y = 1000 * x, 1000 * y
    odd = np.zeros(np.broadcast_shapes(x.shape, y.shape), dtype=bool)
    for (x1, y1), (x2, y2) in zip(corners, (*corners[1:], corners[0]), strict=True):
        x1, y1, x2, y2 = x1 * radius, y1 * radius, x2 * radius, y2 * radius
        crosses = (y1 > y) != (y2 > y)
        # Whether the crossing lies to the right of the point, multiplied by (y2 - y1) to avoid a division; where that
        # factor is negative, the comparison is reversed.
        side = (x - x1) * (y2 - y1) - (x2 - x1) * (y - y1)
        odd ^= crosses & ((side < 0) if y2 > y1 else (side > 0))
    return odd


def _covers(shape: str, x: np.ndarray, y: np.ndarray, radius: int) -> np.ndarray:
    """Return which points lie in the shape: x to the right and y up from its centre, all in eighths of a pixel."""
    if shape == "circle":
        return x * x + y * y <= radius * radius
    if shape == "square":
        return (abs(x) <= radius) & (abs(y) <= radius)
    if shape == "cross":
        near = _BAR * radius
        return (abs(x) <= radius) & (abs(y) <= radius) & ((abs(1000 * x) <= near) | (abs(1000 * y) <= near))
    if shape == "heart":  # (x² + y² - 1)³ <= x² y³, where x extends from -1.14 to 1.14 and y from -1 to 1.24
        x, y = x * 114 // 100, (y * 112 + 12 * radius) // 100
        return (x * x + y * y - radius * radius) ** 3 <= x * x * y**3 * radius
    return _in_polygon(x, y, _TRIANGLE if shape == "triangle" else _STAR, radius)


@lru_cache(maxsize=4096)
def _silhouette(shape: str, radius: int, down: int, right: int) -> np.ndarray:
    """Return the sample points covered (0 to 16) in each pixel of a box around an object's centre.

    `radius` is that of the object, `down` and `right` the offset of its centre from that of the middle pixel, all in
    eighths of a pixel. The result has the shape row col 1.
    """
    margin = -(-radius // UNIT) + 1
    points = (UNIT * np.arange(-margin, margin + 1)[:, None] + np.array([-3, -1, 1, 3])).reshape(-1).astype(np.int64)
    covered = _covers(shape, (points - right)[None, :], -(points - down)[:, None], radius)
    side = 2 * margin + 1
    counts = covered.reshape(side, 4, side, 4).sum(axis=(1, 3)).astype(np.uint16)[:, :, None]
    counts.flags.writeable = False
    return counts


@lru_cache(maxsize=256)
def _fill(colour: str, texture: str, side: int) -> np.ndarray:
    """Return the colours of a box of `side` x `side` pixels: plain, or diagonal stripes three pixels wide in a row."""
    plain = np.broadcast_to(np.array(RGB[colour], dtype=np.uint16), (side, side, 3))
    if texture == "plain":
        return plain
    diagonal = np.add.outer(np.arange(side), np.arange(side)) - (side - 1)
    return np.where(((diagonal + 1) // 3 % 2 == 0)[:, :, None], plain, np.array(stripe_colour(colour), dtype=np.uint16))


def _rasterize(scene_object: SceneObject) -> tuple[np.ndarray, slice, slice]:
    """Return the silhouette of an object, and the rows and columns of its box on the padded canvas."""
    row, col = round(scene_object.row), round(scene_object.col)
    # positions are rounded to quarters of a pixel, which is fine enough and keeps the cache of silhouettes small
    down, right = 2 * round(4 * (scene_object.row - row)), 2 * round(4 * (scene_object.col - col))
    counts = _silhouette(scene_object.shape, 2 * round(4 * scene_object.radius), down, right)
    rows, cols = (slice(PAD + i - len(counts) // 2, PAD + i + len(counts) // 2 + 1) for i in (row, col))
    return counts, rows, cols


def background(rng: SeededRandom, colour: Sequence[int] | None = None) -> np.ndarray:
    """Return a muted background, uint8 row col channel: a colour, a slight gradient of brightness and a little noise.

    The colour is red, green, blue from 0 to 255; by default it is sampled, a grey with a slight tint.
    """
    if colour is None:
        grey = rng.randint(150, 188)
        colour = [grey + rng.randint(-8, 8) for _ in range(3)]
    down, right = rng.randint(-12, 12), rng.randint(-12, 12)
    steps = np.arange(IMAGE_SIZE, dtype=np.int16) - IMAGE_SIZE // 2
    gradient = (down * steps[:, None] + right * steps[None, :]) // IMAGE_SIZE
    noise = (rng.randbytes(IMAGE_SIZE * IMAGE_SIZE).astype(np.int16).reshape(IMAGE_SIZE, IMAGE_SIZE) * 7 >> 8) - 3
    pixels = np.array(colour, dtype=np.int16) + (gradient + noise)[:, :, None]
    return np.clip(pixels, 0, 255).astype(np.uint8)


def paint(objects: Sequence[SceneObject], background: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Paint the objects on a background and return the image and the masks.

    The image is uint8 row col channel, the masks are bool object row col. Larger objects are painted first, so that an
    object inside another stays visible. A pixel belongs to the mask of an object that covers at least half of it.

    Raises:
        ValueError: two objects overlap and neither lies wholly inside the other.
    """
    canvas = np.zeros((IMAGE_SIZE + 2 * PAD, IMAGE_SIZE + 2 * PAD, 3), dtype=np.uint16)
    canvas[PAD:-PAD, PAD:-PAD] = background
    masks = np.zeros((len(objects), IMAGE_SIZE + 2 * PAD, IMAGE_SIZE + 2 * PAD), dtype=bool)
    for i in sorted(range(len(objects)), key=lambda i: -objects[i].radius):
        counts, rows, cols = _rasterize(objects[i])
        box = canvas[rows, cols]
        colours = _fill(objects[i].colour, objects[i].texture, len(counts))
        box[:] = (box * (SAMPLES - counts) + colours * counts + SAMPLES // 2) // SAMPLES
        silhouette = counts[:, :, 0] >= SAMPLES // 2
        _check_overlap(objects, i, masks[:, rows, cols], silhouette)
        masks[:, rows, cols] &= ~silhouette
        masks[i, rows, cols] = silhouette
    inner = slice(PAD, -PAD)
    return canvas[inner, inner].astype(np.uint8), masks[:, inner, inner].copy()


def _check_overlap(objects: Sequence[SceneObject], new: int, painted: np.ndarray, silhouette: np.ndarray) -> None:
    """Raise ValueError unless object `new` is clear of all objects painted so far, or wholly on one around it.

    `painted` holds their masks and `silhouette` the pixels of the new one, both within its box.
    """
    for i, mask in enumerate(painted):
        if i == new or objects[i].radius < objects[new].radius:
            continue
        nested = inside(objects[new], objects[i])
        if nested and not mask[silhouette].all():
            raise ValueError(
                f"objects {new} and {i}: the {objects[new].shape} sticks out of the {objects[i].shape}; move it"
            )
        if not nested and mask[silhouette].any():
            raise ValueError(
                f"objects {new} and {i}: {objects[new].shape} and {objects[i].shape} overlap; move one of them"
            )
