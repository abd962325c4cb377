"""Pictures, maps and masks in; where a model looked, where it should have, what it said, out. Chapters 14 and 16."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from numpy.typing import ArrayLike

from companion import grounding
from companion.plots.pictures import filmstrip, pictures, shape
from companion.plots.style import COLOURS, GREY

HIT, MISS = COLOURS[2], COLOURS[1]


def looks(
    image: Any,
    words: Sequence[str],
    weights: ArrayLike,
    masks: Sequence[ArrayLike | None],
    columns: int = 6,
    size: float = 1.5,
) -> np.ndarray:
    """A filmstrip with its grades. `masks` has, for each word, the pixels of what it speaks of, or None: not graded.

    A graded frame outlines its mask and boxes the place of the largest weight: green and solid if that lies on the
    mask, orange and dashed if not. Its title is the word, a tick or a cross, and how much attention is on the mask.
    """
    maps = torch.as_tensor(np.asarray(weights))
    if len(masks) != len(words):
        raise ValueError(f"{len(words)} words but {len(masks)} masks; give each word its mask, or None")
    axes = filmstrip(image, words, maps, columns, size)
    for ax, word, weight, mask in zip(axes.flat[1:], words, maps, masks, strict=False):
        if mask is None:
            continue
        pixels = np.asarray(mask, dtype=bool)
        hit, on = grounding.pointing(weight, pixels), grounding.mass(weight, pixels)
        colour, line = (HIT, "-") if hit else (MISS, "--")
        ax.contour(pixels, [0.5], colors=colour, linestyles=line, linewidths=1.6)
        ax.add_patch(_place(weight, *pixels.shape)).set(edgecolor=colour, linestyle=line)
        ax.set_title(f"{word} {'✓' if hit else '✗'} {on:.0%}", color=colour, parse_math=False)
    return axes


def _place(weights: torch.Tensor, height: int, width: int) -> Rectangle:
    """The cell of the largest weight, in the pixels of the picture."""
    rows, cols = weights.shape
    row, col = divmod(int(weights.argmax()), cols)
    corner = (col * width / cols - 0.5, row * height / rows - 0.5)
    return Rectangle(corner, width / cols, height / rows, fill=False, linewidth=1.2)


def against_chance(found: Mapping[str, tuple[float, float]], ax: Axes | None = None) -> Axes:
    """Shares from 0 to 1 as bars, `name: (share, by chance)`, each with what chance would give as an upright line."""
    ax = ax or plt.subplots(figsize=(4.4, 0.42 * len(found) + 1.2))[1]
    shares, chances = (np.array(column) for column in zip(*found.values(), strict=True))
    rows = np.arange(len(found), dtype=float)
    ax.barh(rows, shares, height=0.6, label="measured")
    ax.vlines(chances, rows - 0.42, rows + 0.42, color=COLOURS[1], linewidth=2.4, label="by chance")
    for row, share in zip(rows, shares, strict=True):
        ax.text(float(share) + 0.01, float(row), f"{share:.2f}", va="center", color=GREY, fontsize=9)
    ax.set_yticks(rows, list(found), parse_math=False)
    ax.set(xlim=(0, 1.1), ylim=(len(found) - 0.5, -0.5), xticks=np.linspace(0, 1, 6))
    ax.tick_params(axis="y", length=0)
    ax.legend(loc="lower left", bbox_to_anchor=(-0.03, 1), ncols=2)
    return ax


def gallery(images: Sequence[Any], captions: Sequence[str], columns: int = 3, size: float = 1.6) -> np.ndarray:
    """Pictures, numbered from one, each with its caption below it in as many lines as it needs; returns the axes.

    ValueError if there are not as many captions as pictures.
    """
    if len(captions) != len(images):
        raise ValueError(f"{len(images)} pictures but {len(captions)} captions; give each picture one")
    lines = [textwrap.fill(text, max(8, round(size * 13))) for text in captions]
    axes = pictures(images, [str(i) for i in range(1, len(images) + 1)], columns, size)
    rows = [slice(i, i + columns) for i in range(0, len(images), columns)]
    tall = [
        size * max(map(shape, images[row])) + 0.19 * max(text.count("\n") + 1 for text in lines[row]) for row in rows
    ]
    axes[0].figure.set_size_inches(size * min(columns, len(images)), sum(tall) + 0.3 * len(rows))
    below = {"ha": "center", "va": "top", "fontsize": 9, "color": GREY, "parse_math": False}
    for ax, text in zip(axes, lines, strict=True):
        ax.set_anchor("N")
        ax.images[0].set_interpolation("auto")  # a photograph is shrunk, and looks better averaged than picked
        ax.text(0.5, -0.03, text, transform=ax.transAxes, **below)
    return axes
