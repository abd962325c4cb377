"""The style of all figures, grids of axes, and a figure as a PNG file.

Backgrounds are transparent and lines mid-grey, so that a figure can be read on a light page and on a dark one. The
style starts from Matplotlib's defaults, not from the user's `matplotlibrc`, whose fonts, LaTeX or file formats would
change or break the figures. The backend stays as it is.
"""

import io
from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

GREY = "#71767e"  # a contrast of 4.5 to 1 both on white and on the black behind figures in the dark theme
COLOURS = ("#3b82c4", "#e07b39", "#3f9e6d", "#b55a9e", "#c9a227", "#6f7bd6", "#c4524f", "#4aa3a8")
COLOUR_MAP = "viridis"

STYLE = {
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "axes.prop_cycle": plt.cycler(color=COLOURS),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "figure.dpi": 110,
    "figure.constrained_layout.use": True,
    "font.size": 10,
    "axes.titlesize": 10,
    "image.interpolation": "nearest",
    **dict.fromkeys(("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), GREY),
    **dict.fromkeys(("axes.titlecolor", "legend.labelcolor"), GREY),
}
plt.style.use(["default", STYLE])


def axes_grid(
    rows: int,
    columns: int,
    figsize: tuple[float, float],
    *,
    height_ratios: Sequence[float] | None = None,
    ax: Axes | None = None,
) -> np.ndarray:
    """Return an array (row column) of axes in a new figure of `figsize` inches, or in the area of `ax` if given.

    `ax` itself is switched off. Raises ValueError if it is not one of a grid of subplots.
    """
    if ax is None:
        return plt.subplots(rows, columns, figsize=figsize, height_ratios=height_ratios, squeeze=False)[1]
    area = ax.get_subplotspec()
    if area is None:
        raise ValueError("ax has no place in a grid of subplots; make it with plt.subplots")
    ax.axis("off")
    return area.subgridspec(rows, columns, height_ratios=height_ratios).subplots(squeeze=False)


def png(axes: Axes | np.ndarray, background: str = "white") -> bytes:
    """Return the figure of the axes as a PNG with an opaque background, and close the figure."""
    figure = np.asarray(axes).flat[0].figure
    file = io.BytesIO()
    with plt.style.context(["default", STYLE]):  # settings changed since then
        figure.savefig(file, format="png", facecolor=background, dpi=150)
    plt.close(figure)
    return file.getvalue()
