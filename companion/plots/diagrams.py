"""Boxes and arrows: what becomes of what."""

from collections.abc import Sequence
from itertools import pairwise

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.patches import FancyBboxPatch

from companion.plots.style import COLOURS, GREY


def flow(
    boxes: dict[str, tuple[float, float, str]],
    paths: Sequence[str],
    bends: dict[str, float] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Boxes joined by arrows: what becomes of what. A box is `name: (column, row, what comes out)`, rows downwards.

    A path is "one box > another > a third". An arrow of `bends`, "one > another", bows to its own right (above 0) or
    left (below 0). Each column has its colour.
    """
    cols, rows = zip(*(box[:2] for box in boxes.values()), strict=True)
    ax = ax or plt.subplots(figsize=(1.55 * (max(cols) - min(cols) + 1), 0.92 * (max(rows) - min(rows) + 1)))[1]
    patches = {}
    for name, (col, row, text) in boxes.items():
        colour = COLOURS[round(col) % len(COLOURS)]
        shape = FancyBboxPatch((col - 0.45, row - 0.31), 0.9, 0.62, boxstyle="round,pad=0,rounding_size=0.08")
        shape.set(edgecolor=colour, facecolor=(*to_rgb(colour), 0.13))
        patches[name] = ax.add_patch(shape)
        ax.text(col, row - 0.24, name, ha="center", va="top", weight="bold", color=colour, parse_math=False)
        ax.text(col, row + 0.25, text, ha="center", va="bottom", fontsize=8.5, linespacing=1.3, parse_math=False)
    for start, end in (pair for path in paths for pair in pairwise(path.split(" > "))):
        bend = (bends or {}).get(f"{start} > {end}", 0)
        style = {"arrowstyle": "-|>", "color": GREY, "shrinkA": 0, "shrinkB": 0, "connectionstyle": f"arc3,rad={bend}"}
        ends = {"patchA": patches[start], "patchB": patches[end]}
        ax.annotate("", boxes[end][:2], boxes[start][:2], arrowprops=style | ends)
    ax.set(xlim=(min(cols) - 0.5, max(cols) + 0.5), ylim=(max(rows) + 0.4, min(rows) - 0.4))
    ax.axis("off")
    return ax
