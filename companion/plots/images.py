"""Images in rows, and images with attention weights over them. First used in the first chapter."""

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike
from PIL import Image

from companion.plots.style import axes_grid

# Of the frames of a filmstrip: the limits of height to width, within which a narrower or wider image is made smaller,
# and the letters of a title, of which no more fit above it.
LOWEST, TALLEST = 0.15, 3.0
TITLE_LETTERS = 24

PALE = 0.5  # the share of an image's own colours below an overlay; the rest is white
OVERLAY_COLOUR = (200, 0, 130)
OPACITY = 0.8  # of an overlay where the weight is largest


def picture_array(image: Any) -> np.ndarray:
    """Return an image as uint8 row col channel, from a tensor (channel first), an array or a PIL image.

    Raises ValueError for values that are not bytes.
    """
    if isinstance(image, Image.Image):
        return np.asarray(image.convert("RGB"))
    array = np.asarray(image)
    if array.ndim == 3 and array.shape[0] == 3 and array.shape[-1] != 3:
        array = array.transpose(1, 2, 0)
    if array.dtype != np.uint8:
        raise ValueError(f"a picture is bytes, 0 to 255; this one is {array.dtype}: multiply by 255 and convert it")
    return array


def overlay(image: Any, weights: ArrayLike) -> np.ndarray:
    """Return the image in pale colours, the more of one strong colour over it the larger the weight (row col).

    The result is uint8 row col channel. The weights are divided by the largest and interpolated smoothly, so two images
    can be compared in where the attention lies, not in how much there is.
    """
    array, weights = picture_array(image), np.asarray(weights, dtype=np.float32)
    shares = Image.fromarray(weights / max(float(weights.max()), 1e-12))
    shares = np.clip(np.asarray(shares.resize(array.shape[1::-1], Image.Resampling.BICUBIC)), 0, 1)
    colour = OPACITY * shares[..., None]
    pale = PALE * array + (1 - PALE) * 255
    return ((1 - colour) * pale + colour * OVERLAY_COLOUR).astype(np.uint8)


def aspect_ratio(image: Any) -> float:
    """Return the height of an image divided by its width."""
    height, width, _ = picture_array(image).shape
    return height / width


def picture(image: Any, title: str = "", *, ax: Axes | None = None) -> Axes:
    """Draw an image without axes, with its title above it as plain text."""
    ax = ax or plt.subplots(figsize=(2.2, 2.2))[1]
    ax.imshow(picture_array(image))
    ax.set_title(title, parse_math=False)
    ax.axis("off")
    return ax


def pictures(
    images: Sequence[Any], titles: Sequence[str] = (), columns: int = 6, *, size: float = 1.5, ax: Axes | None = None
) -> np.ndarray:
    """Draw images in rows of `columns`, each `size` inches wide, and return their axes, one for each image.

    Raises ValueError if there are titles, but not one for each image.
    """
    titles = list(titles) or [""] * len(images)
    if len(titles) != len(images):
        raise ValueError(f"{len(images)} pictures but {len(titles)} titles; give each picture one, or give none")
    rows = -(-len(images) // columns)
    columns = min(columns, len(images))
    axes = axes_grid(rows, columns, (size * columns, size * 1.15 * rows), ax=ax)
    for spare in axes.flat[len(images) :]:
        spare.axis("off")
    for image, title, panel in zip(images, titles, axes.flat, strict=False):
        picture(image, title, ax=panel)
    return axes.flatten()[: len(images)]


def filmstrip(
    image: Any,
    words: Sequence[str],
    weights: ArrayLike,
    *,
    columns: int = 3,
    size: float = 2.0,
    ax: Axes | None = None,
) -> np.ndarray:
    """Draw the image as it is, then once for each word, with the word's weights (word row col) as an overlay.

    Returns the axes (row column), some of which may be empty. Raises ValueError unless each word has a map.
    """
    return filmstrips([(image, words, weights)], columns, size=size, ax=ax)


def filmstrips(
    strips: Sequence[tuple[Any, Sequence[str], ArrayLike]],
    columns: int = 3,
    *,
    size: float = 2.0,
    ax: Axes | None = None,
) -> np.ndarray:
    """Draw several filmstrips, each of an image, its words and their maps, one below the other in one figure.

    A frame is at most `TALLEST` times as high as wide, and a longer image smaller in it. Drawing takes a second for
    every two images or so, and longer for each where there are dozens: give a figure to each of these.

    Returns the axes (row column) of all of them. Raises ValueError unless each word has a map.
    """
    rows = [-(-(len(words) + 1) // columns) for _, words, _ in strips]
    frame_heights = [min(max(aspect_ratio(image), LOWEST), TALLEST) for image, _, _ in strips]
    heights = [0.2 + height for height, count in zip(frame_heights, rows, strict=True) for _ in range(count)]
    axes = axes_grid(sum(rows), columns, (size * columns, size * sum(heights)), height_ratios=heights, ax=ax)
    first = 0
    for (image, words, weights), count in zip(strips, rows, strict=True):
        maps = np.asarray(weights)
        if len(words) != len(maps):
            raise ValueError(f"{len(words)} words but {len(maps)} maps; a caption has one map a word")
        frames = [image, *(overlay(image, each) for each in maps)]
        titles = [word if len(word) <= TITLE_LETTERS else f"{word[: TITLE_LETTERS - 1]}…" for word in ("", *words)]
        for panel, frame, title in zip(axes[first : first + count].flat, frames, titles, strict=False):
            picture(frame, title, ax=panel)
        first += count
    for panel in axes.flat:
        panel.axis("off")
    return axes
