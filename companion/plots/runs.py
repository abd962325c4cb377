"""The results of several training runs. Used in the chapter that compares the mechanisms."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from companion.plots.style import COLOURS


def dot_range(runs: Mapping[str, Sequence[float]], *, ax: Axes | None = None) -> Axes:
    """Draw one row for each name: a dot for every run, a line from the smallest to the largest, a stroke at the mean.

    Raises ValueError for a name without a run.
    """
    for name, values in runs.items():
        if not len(values):
            raise ValueError(f"{name}: no run to draw; leave it out until there is one")
    ax = ax or plt.subplots(figsize=(4.4, 0.34 * len(runs) + 0.9))[1]
    for row, values in enumerate(runs.values()):
        ax.plot([min(values), max(values)], [row, row], color=COLOURS[0], linewidth=2, solid_capstyle="butt")
        ax.plot(values, [row] * len(values), "o", color=COLOURS[0], markersize=4.5, alpha=0.7)
        mean = sum(values) / len(values)
        ax.plot([mean, mean], [row - 0.3, row + 0.3], color=COLOURS[1], linewidth=2)
    ax.set_yticks(range(len(runs)), list(runs), parse_math=False)
    ax.set_ylim(max(len(runs), 1) - 0.5, -0.5)
    ax.tick_params(axis="y", length=0)
    return ax
