"""Vectors of two channels in the plane. Used in the chapter on dot-product attention."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from companion.plots.style import COLOURS, GREY


def plane(query: ArrayLike, keys: ArrayLike, weights: ArrayLike | None = None, *, ax: Axes | None = None) -> Axes:
    """Draw a query (channel) as an arrow, keys (place channel) as numbered points, and lines of equal dot product.

    With weights (place), each key has a disc whose area is its weight, and the weight in figures below it. Raises
    ValueError for vectors that do not have two channels.
    """
    query, keys = np.asarray(query, dtype=float), np.asarray(keys, dtype=float)
    if query.shape != (2,) or keys.shape[1:] != (2,):
        raise ValueError(f"a plane has two channels; the query has shape {query.shape}, the keys {keys.shape}")
    ax = ax or plt.subplots(figsize=(4.1, 4.1))[1]
    limit = 1.25 * max(np.abs(keys).max(), np.abs(query).max())
    ax.set(xlim=(-limit, limit), ylim=(-limit, limit), aspect="equal", xlabel="channel 1", ylabel="channel 2")
    x, y = np.meshgrid(*[np.linspace(-limit, limit, 50)] * 2)
    lines = ax.contour(x, y, query[0] * x + query[1] * y, range(-3, 4), colors=GREY, linestyles="--", linewidths=0.7)
    beside = 0.22 * limit * np.array([query[1], -query[0]]) / np.linalg.norm(query)  # where the arrow hides no label
    positions = [beside + query * level / (query @ query) for level in lines.levels]
    ax.clabel(lines, fmt=lambda level: f"score {level:.0f}".replace("-", "−"), fontsize=8.5, manual=positions)
    head = {"arrowstyle": "-|>", "color": COLOURS[1], "lw": 2.5, "mutation_scale": 16, "shrinkA": 0, "shrinkB": 0}
    ax.annotate("", (query[0], query[1]), (0, 0), arrowprops=head)
    ax.annotate("query", (query[0], query[1]), (6, 2), textcoords="offset points", color=COLOURS[1], weight="bold")
    areas = np.zeros(len(keys)) if weights is None else 2000 * np.asarray(weights)
    ax.scatter(keys[:, 0], keys[:, 1], s=areas, color=COLOURS[0], alpha=0.35, lw=0)
    ax.scatter(keys[:, 0], keys[:, 1], s=22, color=COLOURS[0])
    for place, ((col, row), area) in enumerate(zip(keys, areas, strict=True)):
        text = f"{place + 1}" if weights is None else f"{place + 1}: {area / 2000:.2f}"
        below = (0, -4 - np.sqrt(area / np.pi))
        label = ax.annotate(text, (col, row), below, textcoords="offset points", color=COLOURS[0], weight="bold")
        label.set(ha="center", va="top")
    return ax
