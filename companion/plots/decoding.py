"""Hypotheses in, their tree out; estimates in, their intervals out. Used in chapters 12 and 13."""

from collections.abc import Collection, Mapping

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch

from companion.plots.style import COLOURS, GREY

WIDE, TALL, ROOT = 0.34, 0.39, 0.4  # of a tree, in columns and rows: half a box, and where its root stands


def tree(
    hypotheses: Mapping[str, float], kept: Collection[str] = (), best: str | None = None, ax: Axes | None = None
) -> Axes:
    """What a search looked at: a word a node, from left to right, with the probability of all words up to there.

    hypotheses: "a dog" to its probability, for every beginning that was looked at; each needs the one before it, "a".
    kept: those that went on, drawn solid in blue; `best`: the caption that won, with its beginnings in orange. All
    others are dashed and grey. ValueError for a hypothesis whose beginning is missing, and a `best` that is not there.
    """
    _check_tree(hypotheses, best)
    rows = _rows(hypotheses)
    depth = max(len(said.split()) for said in hypotheses)
    if ax is None:
        ax = plt.subplots(figsize=(1.35 * depth + 0.3, 0.52 * (max(rows.values()) + 1) + 0.2))[1]
    for said, probability in hypotheses.items():
        before, word = " ".join(said.split()[:-1]), said.split()[-1]
        col, row, won = len(said.split()), rows[said], best is not None and f"{best} ".startswith(f"{said} ")
        colour = COLOURS[1] if won else COLOURS[0] if said in kept else GREY
        line = "-" if won or said in kept else "--"
        start = (col - 1 + WIDE if before else ROOT, rows[before])
        ax.plot([start[0], col - WIDE], [start[1], row], line, color=colour, linewidth=1.6 if won else 1.1)
        frame = FancyBboxPatch((col - WIDE, row - TALL), 2 * WIDE, 2 * TALL, "round,pad=0,rounding_size=0.1")
        ax.add_patch(frame).set(edgecolor=colour, facecolor="none", linestyle=line)
        label, weight = f"{word}\n{probability:.3g}", "bold" if line == "-" else "normal"
        ax.text(col, row, label, ha="center", va="center", color=colour, fontsize=9, weight=weight, parse_math=False)
    ax.plot([ROOT], [rows[""]], "o", color=GREY, markersize=4)
    ax.set(xlim=(ROOT - 0.1, depth + 0.5), ylim=(max(rows.values()) + 0.5, -0.5))
    ax.axis("off")
    return ax


def _check_tree(hypotheses: Mapping[str, float], best: str | None) -> None:
    """ValueError for a tree that cannot be drawn."""
    if not hypotheses:
        raise ValueError("no hypotheses: a tree needs at least one word")
    for said in hypotheses:
        before = " ".join(said.split()[:-1])
        if not said.split() or (before and before not in hypotheses):
            raise ValueError(f"the hypothesis {said!r} hangs in the air: give {before!r} its probability too")
    if best is not None and best not in hypotheses:
        raise ValueError(f"the best caption {best!r} is none of the hypotheses")


def _rows(hypotheses: Mapping[str, float]) -> dict[str, float]:
    """A row for each hypothesis and for the root "": leaves one below the other, parents amid their children."""
    children: dict[str, list[str]] = {}
    for said in hypotheses:
        children.setdefault(" ".join(said.split()[:-1]), []).append(said)
    rows: dict[str, float] = {}

    def place(said: str, free: int) -> int:
        """Give the hypothesis and all below it their rows; the first row that is still free."""
        if said not in children:
            rows[said] = float(free)
            return free + 1
        for child in children[said]:
            free = place(child, free)
        rows[said] = (rows[children[said][0]] + rows[children[said][-1]]) / 2
        return free

    place("", 0)
    return rows


def intervals(estimates: Mapping[str, tuple[float, float, float]], ax: Axes | None = None) -> Axes:
    """Estimates with their intervals, one a row: `name: (low, middle, high)`. Zero is marked by a grey line.

    ValueError for one whose middle does not lie in its interval.
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
