"""The tree of a search, and estimates with their intervals. Used in the chapters on decoding and on scoring."""

from collections.abc import Collection, Mapping

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch

from companion.plots.style import COLOURS, GREY

# Of a tree, in units of columns and rows: half the width and height of a node, and the column of the root.
HALF_WIDTH, HALF_HEIGHT, ROOT = 0.34, 0.39, 0.4


def tree(
    hypotheses: Mapping[str, float],
    kept: Collection[str] = (),
    best: str | None = None,
    *,
    ax: Axes | None = None,
) -> Axes:
    """Draw the hypotheses of a search as a tree, from left to right: a node for each, with its last word.

    Args:
        hypotheses: each hypothesis, such as "a dog", with its probability. Its beginning, "a", must be there too.
        kept: those that the search extended; they are solid and blue, the others dashed and grey.
        best: the final caption, which is orange with all its beginnings.
        ax: where to draw.

    Raises:
        ValueError: the beginning of a hypothesis is missing, or `best` is not among the hypotheses.
    """
    _check_tree(hypotheses, best)
    rows = _rows(hypotheses)
    depth = max(len(hypothesis.split()) for hypothesis in hypotheses)
    if ax is None:
        ax = plt.subplots(figsize=(1.35 * depth + 0.3, 0.52 * (max(rows.values()) + 1) + 0.2))[1]
    for hypothesis, probability in hypotheses.items():
        parent, word = _parent(hypothesis), hypothesis.split()[-1]
        col, row = len(hypothesis.split()), rows[hypothesis]
        on_best = best is not None and f"{best} ".startswith(f"{hypothesis} ")
        colour = COLOURS[1] if on_best else COLOURS[0] if hypothesis in kept else GREY
        line = "-" if on_best or hypothesis in kept else "--"
        start = col - 1 + HALF_WIDTH if parent else ROOT
        ax.plot([start, col - HALF_WIDTH], [rows[parent], row], line, color=colour, linewidth=1.6 if on_best else 1.1)
        corner = (col - HALF_WIDTH, row - HALF_HEIGHT)
        node = FancyBboxPatch(corner, 2 * HALF_WIDTH, 2 * HALF_HEIGHT, "round,pad=0,rounding_size=0.1")
        ax.add_patch(node).set(edgecolor=colour, facecolor="none", linestyle=line)
        label, weight = f"{word}\n{probability:.3g}", "bold" if line == "-" else "normal"
        ax.text(col, row, label, ha="center", va="center", color=colour, fontsize=9, weight=weight, parse_math=False)
    ax.plot([ROOT], [rows[""]], "o", color=GREY, markersize=4)
    ax.set(xlim=(ROOT - 0.1, depth + 0.5), ylim=(max(rows.values()) + 0.5, -0.5))
    ax.axis("off")
    return ax


def _parent(hypothesis: str) -> str:
    """Return the hypothesis without its last word; "" for the root's children."""
    return " ".join(hypothesis.split()[:-1])


def _check_tree(hypotheses: Mapping[str, float], best: str | None) -> None:
    """Raise ValueError for hypotheses that do not form a tree."""
    if not hypotheses:
        raise ValueError("no hypotheses: a tree needs at least one word")
    for hypothesis in hypotheses:
        parent = _parent(hypothesis)
        if not hypothesis.split() or (parent and parent not in hypotheses):
            raise ValueError(f"the hypothesis {hypothesis!r} has no parent: give {parent!r} its probability too")
    if best is not None and best not in hypotheses:
        raise ValueError(f"the best caption {best!r} is none of the hypotheses")


def _rows(hypotheses: Mapping[str, float]) -> dict[str, float]:
    """Return the row of each hypothesis and of the root "": leaves one below the other, parents amid their children."""
    children: dict[str, list[str]] = {}
    for hypothesis in hypotheses:
        children.setdefault(_parent(hypothesis), []).append(hypothesis)
    rows: dict[str, float] = {}

    def place(hypothesis: str, free: int) -> int:
        """Assign rows to the hypothesis and its descendants, and return the first row that is still free."""
        if hypothesis not in children:
            rows[hypothesis] = float(free)
            return free + 1
        for child in children[hypothesis]:
            free = place(child, free)
        rows[hypothesis] = (rows[children[hypothesis][0]] + rows[children[hypothesis][-1]]) / 2
        return free

    place("", 0)
    return rows


def intervals(estimates: Mapping[str, tuple[float, float, float]], *, ax: Axes | None = None) -> Axes:
    """Draw estimates with their intervals, one row each, and a dashed line at zero.

    `estimates` maps a name to (low, middle, high). Raises ValueError where the middle is not between the two.
    """
    for name, (low, middle, high) in estimates.items():
        if not low <= middle <= high:
            raise ValueError(f"{name}: {middle} does not lie between {low} and {high}; give low, middle, high")
    ax = ax or plt.subplots(figsize=(4.6, 0.38 * len(estimates) + 0.9))[1]
    ax.axvline(0, color=GREY, linewidth=1, linestyle="--")
    for row, (low, middle, high) in enumerate(estimates.values()):
        ax.plot([low, high], [row, row], color=COLOURS[0], linewidth=2, solid_capstyle="butt")
        ax.plot([middle], [row], "o", color=COLOURS[0], markersize=6)
    ax.set_yticks(range(len(estimates)), list(estimates), parse_math=False)
    ax.set(ylim=(len(estimates) - 0.5, -0.5))
    ax.tick_params(axis="y", length=0)
    return ax
