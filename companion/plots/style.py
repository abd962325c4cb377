"""The one style of all figures, and a figure as a file.

Grounds are transparent and lines mid-grey, to read on a light page and on a dark one; pictures keep their own ground.
"""

import io

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

GREY = "#7a7f87"
COLOURS = ("#3b82c4", "#e07b39", "#3f9e6d", "#b55a9e", "#c9a227", "#6f7bd6", "#c4524f", "#4aa3a8")
HEAT = "viridis"

plt.rcParams.update(
    {
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
)


def png(axes: Axes | np.ndarray, ground: str = "white") -> bytes:
    """The figure that the axes belong to, as a PNG on an opaque ground; the figure is closed."""
    figure = np.asarray(axes).flat[0].figure
    file = io.BytesIO()
    figure.savefig(file, format="png", facecolor=ground, dpi=150)
    plt.close(figure)
    return file.getvalue()
