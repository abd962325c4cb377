"""Receptive fields, maps and rows of token ids. Used in the chapters on pictures as grids and on words as numbers."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from numpy.typing import ArrayLike

from companion.plots.images import picture_array
from companion.plots.style import COLOUR_MAP, COLOURS, GREY


class Box(NamedTuple):
    """A range of rows and columns of pixels, the last ones included. It may extend beyond the image, into padding."""

    top: int
    left: int
    bottom: int
    right: int


def receptive_field(
    image: Any,
    box: Box,
    step: int | None = None,
    *,
    title: str = "",
    dark: float = 0.35,
    ax: Axes | None = None,
) -> Axes:
    """Draw the image, darkened outside the box, which is outlined.

    With `step`, lines every `step` pixels separate the places of a grid. Raises ValueError for a box without a pixel of
    the image.
    """
    array = picture_array(image)
    _check_within(array.shape[:2], box)
    light = np.full(array.shape[:2], dark)
    light[max(box.top, 0) : box.bottom + 1, max(box.left, 0) : box.right + 1] = 1
    ax = _show((array * light[..., None]).astype(np.uint8), title, ax)
    if step:
        rows, cols = (np.arange(step, size, step) - 0.5 for size in array.shape[:2])
        ax.hlines(rows, -0.5, array.shape[1] - 0.5, color="white", linewidth=0.4, alpha=0.45)
        ax.vlines(cols, -0.5, array.shape[0] - 0.5, color="white", linewidth=0.4, alpha=0.45)
    _outline(ax, box, COLOURS[1])
    return ax


def heatmap(values: ArrayLike, boxes: Sequence[Box] = (), title: str = "", *, ax: Axes | None = None) -> Axes:
    """Draw a map (row col) in colours, dark where it is small, with outlined boxes.

    Raises ValueError for values that are not one map, and for a box without a pixel of it.
    """
    array = np.asarray(values, dtype=float)
    if array.ndim != 2:
        raise ValueError(f"a heat map has rows and columns; this one has the shape {array.shape}: choose one map of it")
    ax = _show(array, title, ax)
    for box, colour in zip(boxes, ("white", COLOURS[1], COLOURS[6]), strict=False):
        _check_within(array.shape, box)
        _outline(ax, box, colour)
    return ax


def tokens(ids: ArrayLike, words: Sequence[str], *, ax: Axes | None = None) -> Axes:
    """Draw token ids (caption word) as a table, each below its word in `words`; padding, id 0, is grey.

    Raises ValueError for ids that are not those of one picture's captions, or not in the vocabulary.
    """
    table = np.asarray(ids)
    if table.ndim != 2:
        raise ValueError(f"captions are rows of ids; these have the shape {table.shape}: choose one picture's captions")
    if table.size and not 0 <= table.min() <= table.max() < len(words):
        raise ValueError(f"ids from {table.min()} to {table.max()}, but the words have ids from 0 to {len(words) - 1}")
    rows, cols = table.shape
    ax = ax or plt.subplots(figsize=(0.6 * cols, 0.45 * rows))[1]
    for (row, col), i in np.ndenumerate(table):
        colour = GREY if i == 0 else COLOURS[1] if i < 4 else COLOURS[0]
        cell = Rectangle((col - 0.47, row - 0.46), 0.94, 0.92, facecolor=colour, alpha=0.12, edgecolor="none")
        ax.add_patch(cell)
        ax.text(col, row - 0.14, words[i], ha="center", va="center", fontsize=9.5, color=colour, parse_math=False)
        ax.text(col, row + 0.24, str(i), ha="center", va="center", fontsize=8.5, color=GREY)
    ax.set(xlim=(-0.5, cols - 0.5), ylim=(rows - 0.5, -0.5))
    ax.axis("off")
    return ax


def _show(values: np.ndarray, title: str, ax: Axes | None) -> Axes:
    """Draw an image or a map without axes."""
    ax = ax or plt.subplots(figsize=(2.2, 2.2))[1]
    ax.imshow(values, cmap=COLOUR_MAP)
    ax.set_title(title, parse_math=False)
    ax.axis("off")
    return ax


def _outline(ax: Axes, box: Box, colour: str) -> None:
    """Draw the outline of a box around its outermost pixels."""
    corner, width, height = (box.left - 0.5, box.top - 0.5), box.right - box.left + 1, box.bottom - box.top + 1
    ax.add_patch(Rectangle(corner, width, height, fill=False, edgecolor=colour, linewidth=1.6))


def _check_within(shape: tuple[int, ...], box: Box) -> None:
    """Raise ValueError for a box without a pixel of the image."""
    rows, cols = shape
    if box.bottom < max(box.top, 0) or box.right < max(box.left, 0) or box.top >= rows or box.left >= cols:
        raise ValueError(f"{box} has no pixel in a picture of {rows} rows and {cols} columns")
