"""Attention maps graded against masks, and galleries of captioned photographs.

Used in the chapters on grounding and on real photographs.
"""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from numpy.typing import ArrayLike

from companion.metrics import grounding
from companion.plots.images import aspect_ratio, filmstrip, pictures
from companion.plots.style import COLOURS, GREY

HIT, MISS = COLOURS[2], COLOURS[1]


def graded_filmstrip(
    image: Any,
    words: Sequence[str],
    weights: ArrayLike,
    *,
    masks: Sequence[ArrayLike | None],
    columns: int = 3,
    size: float = 2.0,
    ax: Axes | None = None,
) -> np.ndarray:
    """Draw a filmstrip and grade its frames by the pointing game.

    `masks` has, for each word, the pixels (row col) of the objects that it refers to, or None if it is not graded. A
    graded frame outlines the mask and the cell with the largest weight: solid and green for a hit, dashed and orange
    for a miss. Its title is the word, a tick or a cross, and the attention mass on the mask.

    Returns the axes (row column). Raises ValueError unless each word has a map and an entry in `masks`.
    """
    maps = torch.as_tensor(np.asarray(weights))
    if len(masks) != len(words):
        raise ValueError(f"{len(words)} words but {len(masks)} masks; give each word its mask, or None")
    axes = filmstrip(image, words, maps, columns=columns, size=size, ax=ax)
    for panel, word, weight, mask in zip(axes.flat[1:], words, maps, masks, strict=False):
        if mask is None:
            continue
        pixels = np.asarray(mask, dtype=bool)
        hit, mass = grounding.pointing(weight, pixels), grounding.attention_mass(weight, pixels)
        colour, line = (HIT, "-") if hit else (MISS, "--")
        panel.contour(pixels, [0.5], colors=colour, linestyles=line, linewidths=1.6)
        panel.add_patch(_peak_cell(weight, *pixels.shape)).set(edgecolor=colour, linestyle=line)
        panel.set_title(f"{word} {'✓' if hit else '✗'} {mass:.0%}", color=colour, parse_math=False)
    return axes


def _peak_cell(weights: torch.Tensor, height: int, width: int) -> Rectangle:
    """Return the cell with the largest weight, in pixels of an image of this height and width."""
    rows, cols = weights.shape
    row, col = divmod(int(weights.argmax()), cols)
    corner = (col * width / cols - 0.5, row * height / rows - 0.5)
    return Rectangle(corner, width / cols, height / rows, fill=False, linewidth=1.2)


def against_chance(measured: Mapping[str, tuple[float, float]], *, ax: Axes | None = None) -> Axes:
    """Draw shares from 0 to 1 as bars, each with its chance level as a vertical line.

    `measured` maps a name to (share, chance level).
    """
    ax = ax or plt.subplots(figsize=(4.4, 0.42 * len(measured) + 1.2))[1]
    shares, chances = (np.array(column) for column in zip(*measured.values(), strict=True))
    rows = np.arange(len(measured), dtype=float)
    ax.barh(rows, shares, height=0.6, label="measured")
    ax.vlines(chances, rows - 0.42, rows + 0.42, color=COLOURS[1], linewidth=2.4, label="by chance")
    for row, share in zip(rows, shares, strict=True):
        ax.text(float(share) + 0.01, float(row), f"{share:.2f}", va="center", color=GREY, fontsize=9)
    ax.set_yticks(rows, list(measured), parse_math=False)
    ax.set(xlim=(0, 1.1), ylim=(len(measured) - 0.5, -0.5), xticks=np.linspace(0, 1, 6))
    ax.tick_params(axis="y", length=0)
    ax.legend(loc="lower left", bbox_to_anchor=(-0.03, 1), ncols=2)
    return ax


def gallery(
    images: Sequence[Any], captions: Sequence[str], columns: int = 3, *, size: float = 1.6, ax: Axes | None = None
) -> np.ndarray:
    """Draw images, numbered from one, each with its caption below it in as many lines as it needs.

    Returns the axes, one for each image. Raises ValueError unless each image has a caption.
    """
    if len(captions) != len(images):
        raise ValueError(f"{len(images)} pictures but {len(captions)} captions; give each picture one")
    wrapped = [textwrap.fill(caption, max(8, round(size * 13))) for caption in captions]
    axes = pictures(images, [str(i) for i in range(1, len(images) + 1)], columns, size=size, ax=ax)
    rows = [slice(i, i + columns) for i in range(0, len(images), columns)]
    heights = [
        size * max(map(aspect_ratio, images[row])) + 0.19 * max(text.count("\n") + 1 for text in wrapped[row])
        for row in rows
    ]
    if ax is None:
        axes[0].figure.set_size_inches(size * min(columns, len(images)), sum(heights) + 0.3 * len(rows))
    below = {"ha": "center", "va": "top", "fontsize": 9, "color": GREY, "parse_math": False}
    for panel, text in zip(axes, wrapped, strict=True):
        panel.set_anchor("N")
        panel.images[0].set_interpolation("auto")  # a photograph is reduced, and averaging pixels looks better
        panel.text(0.5, -0.03, text, transform=panel.transAxes, **below)
    return axes
