"""Pictures and weights in; pictures side by side, and lit where a model looked."""

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike
from PIL import Image


def picture_array(image: Any) -> np.ndarray:
    """A picture as bytes `row col channel`, from a tensor (channel first), an array or a PIL image."""
    if isinstance(image, Image.Image):
        return np.asarray(image.convert("RGB"))
    array = np.asarray(image)
    if array.ndim == 3 and array.shape[0] == 3 and array.shape[-1] != 3:
        array = array.transpose(1, 2, 0)
    if array.dtype != np.uint8:
        raise ValueError(f"a picture is bytes, 0 to 255; this one is {array.dtype}: multiply by 255 and convert it")
    return array


def lit(image: Any, weights: ArrayLike, dark: float = 0.2) -> np.ndarray:
    """The picture, bright where the weights (row col) are large and dark where they are small; bytes `row col channel`.

    The weights are divided by their largest and enlarged smoothly, so two pictures compare in shape, not in strength.
    """
    array, weights = picture_array(image), np.asarray(weights, dtype=np.float32)
    light = Image.fromarray(weights / max(float(weights.max()), 1e-12))
    light = np.clip(np.asarray(light.resize(array.shape[1::-1], Image.Resampling.BICUBIC)), 0, 1)
    return (array * (dark + (1 - dark) * light[..., None])).astype(np.uint8)


def shape(image: Any) -> float:
    """The height of a picture in widths."""
    height, width, _ = picture_array(image).shape
    return height / width


def picture(image: Any, title: str = "", ax: Axes | None = None) -> Axes:
    """A picture without axes, its title as plain text above it."""
    ax = ax or plt.subplots(figsize=(2.2, 2.2))[1]
    ax.imshow(picture_array(image))
    ax.set_title(title, parse_math=False)
    ax.axis("off")
    return ax


def pictures(images: Sequence[Any], titles: Sequence[str] = (), columns: int = 6, size: float = 1.5) -> np.ndarray:
    """Pictures in rows of `columns`, each with its title; returns the axes, one a picture."""
    titles = list(titles) or [""] * len(images)
    if len(titles) != len(images):
        raise ValueError(f"{len(images)} pictures but {len(titles)} titles; give each picture one, or give none")
    rows = -(-len(images) // columns)
    columns = min(columns, len(images))
    _, axes = plt.subplots(rows, columns, figsize=(size * columns, size * 1.15 * rows), squeeze=False)
    for ax in axes.flat[len(images) :]:
        ax.axis("off")
    for image, title, ax in zip(images, titles, axes.flat, strict=False):
        picture(image, title, ax)
    return axes.flatten()[: len(images)]


def filmstrip(image: Any, words: Sequence[str], weights: ArrayLike, columns: int = 6, size: float = 1.5) -> np.ndarray:
    """The picture as it is, then once for each word, lit where the model looked (weights: word row col)."""
    return filmstrips([(image, words, weights)], columns, size)


def filmstrips(
    strips: Sequence[tuple[Any, Sequence[str], ArrayLike]], columns: int = 6, size: float = 1.5
) -> np.ndarray:
    """Several filmstrips, each of a picture, its words and their maps, one below the other in one figure."""
    rows = [-(-(len(words) + 1) // columns) for _, words, _ in strips]
    heights = [0.2 + shape(image) for (image, _, _), count in zip(strips, rows, strict=True) for _ in range(count)]
    figsize = (size * columns, size * sum(heights))
    _, axes = plt.subplots(sum(rows), columns, figsize=figsize, height_ratios=heights, squeeze=False)
    first = 0
    for (image, words, weights), count in zip(strips, rows, strict=True):
        maps = np.asarray(weights)
        if len(words) != len(maps):
            raise ValueError(f"{len(words)} words but {len(maps)} maps; a caption has one map a word")
        shown = [image, *(lit(image, each) for each in maps)]
        for ax, frame, title in zip(axes[first : first + count].flat, shown, ["", *words], strict=False):
            picture(frame, title, ax)
        first += count
    for ax in axes.flat:
        ax.axis("off")
    return axes
