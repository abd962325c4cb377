"""Numbers of several runs in, every run and its range out. Used in chapter 15."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from companion.plots.style import COLOURS


def spread(found: Mapping[str, Sequence[float]], ax: Axes | None = None) -> Axes:
    """One row a name: a dot for every run, a line from the least to the most, an upright stroke at the mean.

    A single run is a dot and a stroke. ValueError for a name without any.
    """
    for name, values in found.items():
        if not len(values):
            raise ValueError(f"{name}: no run to draw; leave it out until there is one")
    ax = ax or plt.subplots(figsize=(4.4, 0.34 * len(found) + 0.9))[1]
    for row, values in enumerate(found.values()):
        ax.plot([min(values), max(values)], [row, row], color=COLOURS[0], linewidth=2, solid_capstyle="butt")
        ax.plot(values, [row] * len(values), "o", color=COLOURS[0], markersize=4.5, alpha=0.7)
        middle = sum(values) / len(values)
        ax.plot([middle, middle], [row - 0.3, row + 0.3], color=COLOURS[1], linewidth=2)
    ax.set_yticks(range(len(found)), list(found), parse_math=False)
    ax.set_ylim(max(len(found), 1) - 0.5, -0.5)
    ax.tick_params(axis="y", length=0)
    return ax
