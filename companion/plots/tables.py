"""Matrices as heat maps with their numbers."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from companion.plots.style import COLOUR_MAP


def matrix(
    values: ArrayLike, rows: Sequence[str] = (), cols: Sequence[str] = (), *, digits: int = 2, ax: Axes | None = None
) -> Axes:
    """Draw a matrix (row col) as a heat map with its numbers in the cells; `rows` and `cols` name its rows and columns.

    Numbers are written with `digits` decimal places.
    """
    table = np.asarray(values, dtype=float)
    ax = ax or plt.subplots(figsize=(0.7 * table.shape[1] + 1, 0.5 * table.shape[0] + 0.8))[1]
    image = ax.imshow(table, cmap=COLOUR_MAP, aspect="auto")
    for (row, col), value in np.ndenumerate(table):
        colour = "white" if np.less(image.norm(value), 0.6) else "black"
        ax.text(col, row, f"{value:.{digits}f}", ha="center", va="center", color=colour, fontsize=9)
    ax.set_xticks(range(table.shape[1]), list(cols) or [""] * table.shape[1], parse_math=False)
    ax.set_yticks(range(table.shape[0]), list(rows) or [""] * table.shape[0], parse_math=False)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    return ax
