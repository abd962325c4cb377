"""Flowcharts: boxes joined by arrows."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.patches import FancyBboxPatch

from companion.plots.style import COLOURS, GREY


def flowchart(
    boxes: Mapping[str, tuple[float | int, float | int, str]],
    paths: Sequence[str],
    bends: Mapping[str, float] | None = None,
    *,
    ax: Axes | None = None,
) -> Axes:
    """Draw boxes joined by arrows. Each column has its colour.

    Args:
        boxes: name to (column, row, text); rows are counted downwards.
        paths: such as "one box > another > a third".
        bends: how much the arrow "one box > another" curves, to its own right (above 0) or left (below 0).
        ax: where to draw.
    """
    cols, rows = zip(*(box[:2] for box in boxes.values()), strict=True)
    ax = ax or plt.subplots(figsize=(1.55 * (max(cols) - min(cols) + 1), 0.92 * (max(rows) - min(rows) + 1)))[1]
    patches = {}
    for name, (col, row, text) in boxes.items():
        colour = COLOURS[round(col) % len(COLOURS)]
        patch = FancyBboxPatch((col - 0.45, row - 0.31), 0.9, 0.62, boxstyle="round,pad=0,rounding_size=0.08")
        patch.set(edgecolor=colour, facecolor=(*to_rgb(colour), 0.13))
        patches[name] = ax.add_patch(patch)
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
