"""Mixtures of colours and smooth curves. Used in the chapters on weighted averages and on additive attention."""

from collections.abc import Mapping, Sequence
from itertools import cycle

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from companion.plots.style import GREY


def mixtures(weights: ArrayLike, colours: ArrayLike, names: Sequence[str] = (), *, ax: Axes | None = None) -> Axes:
    """Draw each row of weights as a bar in the colours of the places, and beside it their weighted average.

    A piece of a bar is as wide as its weight and carries the number of its place where there is room.

    Args:
        weights: row place.
        colours: red, green, blue from 0 to 1: place channel.
        names: of the rows.
        ax: where to draw.

    Raises:
        ValueError: there is not one colour for each place.
    """
    weights, colours = np.atleast_2d(np.asarray(weights, dtype=float)), np.asarray(colours, dtype=float)
    if colours.shape != (weights.shape[1], 3):
        raise ValueError(f"{weights.shape[1]} weights a row, but colours of shape {colours.shape}; give one a place")
    ax = ax or plt.subplots(figsize=(4.5, 0.42 * len(weights) + 0.6))[1]
    for row, shares in enumerate(weights):
        left = 0.0
        for place, (share, colour) in enumerate(zip(shares, colours, strict=True), start=1):
            ax.barh(row, share, left=left, height=0.72, color=colour, edgecolor=GREY, lw=0.6)
            if share >= 0.05:
                is_bright = colour @ (0.3, 0.6, 0.1) > 0.45
                ink = "black" if is_bright else "white"
                ax.text(left + share / 2, row, f"{place}", ha="center", va="center_baseline", color=ink, fontsize=9)
            left += share
        ax.barh(row, 0.2, left=1.1, height=0.72, color=np.clip(shares @ colours, 0, 1), edgecolor=GREY, lw=0.6)
    ax.set_yticks(range(len(weights)), list(names) or [""] * len(weights), parse_math=False)
    ax.set_xticks([0.5, 1.2], ["weights", "average"])
    ax.xaxis.tick_top()
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    ax.set(xlim=(0, 1.31), ylim=(len(weights) - 0.55, -0.45))
    return ax


def line_plot(
    x: ArrayLike,
    curves: Mapping[str, ArrayLike],
    points: tuple[ArrayLike, ArrayLike] | None = None,
    *,
    ax: Axes | None = None,
) -> Axes:
    """Draw named curves over the same x, each in its own colour and dash pattern, and grey points (x, y) on top."""
    ax = ax or plt.subplots(figsize=(4.3, 3.2))[1]
    if points is not None:
        ax.scatter(np.asarray(points[0]), np.asarray(points[1]), s=16, color=GREY, alpha=0.75, lw=0, zorder=3)
    for (name, values), dashes in zip(curves.items(), cycle(("-", "--", "-.", ":")), strict=False):
        ax.plot(x, np.asarray(values), dashes, lw=2, label=name)
    ax.legend(loc="lower left", bbox_to_anchor=(-0.03, 1), ncols=2, columnspacing=1.2)  # above, where it hides nothing
    return ax
