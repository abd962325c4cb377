"""Matrices in, heat maps with their numbers out."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from companion.plots.style import HEAT


def matrix(
    values: ArrayLike, rows: Sequence[str] = (), cols: Sequence[str] = (), digits: int = 2, ax: Axes | None = None
) -> Axes:
    """A matrix as a heat map with its numbers written in it: weights, scores, tables."""
    values = table = np.asarray(values, dtype=float)
    ax = ax or plt.subplots(figsize=(0.7 * values.shape[1] + 1, 0.5 * values.shape[0] + 0.8))[1]
    shown = ax.imshow(values, cmap=HEAT, aspect="auto")
    for (row, col), value in np.ndenumerate(table):
        colour = "white" if np.less(shown.norm(value), 0.6) else "black"
        ax.text(col, row, f"{value:.{digits}f}", ha="center", va="center", color=colour, fontsize=9)
    ax.set_xticks(range(values.shape[1]), list(cols) or [""] * values.shape[1], parse_math=False)
    ax.set_yticks(range(values.shape[0]), list(rows) or [""] * values.shape[0], parse_math=False)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    return ax
