"""Numbers over numbers in, curves out."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from companion.plots.style import GREY


def curves(
    x: ArrayLike,
    measured: Mapping[str, ArrayLike],
    theory: Mapping[str, ArrayLike] | None = None,
    doublings: bool = False,
    joined: bool = True,
    ax: Axes | None = None,
) -> Axes:
    """Curves over the same x, by name: the measured ones coloured, each with its own marker; theory dashed grey.

    Measured points are joined unless `joined` is False. With `doublings` the x axis is logarithmic and names the powers
    of four in plain figures: 1, 4, 16, 64.
    """
    ax = ax or plt.subplots(figsize=(4.3, 3.2))[1]
    line = "-" if joined else "none"
    for (name, values), marker in zip(measured.items(), cycle("os^Dv"), strict=False):
        ax.plot(x, np.asarray(values), linestyle=line, marker=marker, markersize=4.5, label=name)
    for (name, values), dashes in zip((theory or {}).items(), cycle(("--", ":", "-.")), strict=False):
        ax.plot(x, np.asarray(values), dashes, color=GREY, label=name, zorder=3)
    if doublings:
        ax.set_xscale("log", base=2)
        ax.set_xticks([4**n for n in range(16) if np.min(x) <= 4**n <= np.max(x)])
        ax.xaxis.set_major_formatter("{x:.0f}")
    ax.legend(loc="lower left", bbox_to_anchor=(-0.03, 1), ncols=2, columnspacing=1.2)  # above, where nothing runs
    return ax


def learning(log: Sequence[dict[str, Any]], scores: Sequence[str] = (), ax: Axes | None = None) -> Axes:
    """The training loss of every epoch, and on a second axis the named scores (those of the log that lie in 0 to 1)."""
    ax = ax or plt.subplots(figsize=(5, 3))[1]
    epochs = [record["epoch"] for record in log]
    ax.plot(epochs, [record["loss"] for record in log], color=GREY, label="loss")
    ax.set(xlabel="epoch", ylabel="training loss (nats a word)")
    other = ax.twinx()
    for name in scores or [k for k in ("truth", "exact", "pointing", "bleu4", "cider_d") if log and k in log[0]]:
        other.plot(epochs, [record[name] for record in log], label=name)
    other.set(ylabel="validation score")
    other.spines.right.set_visible(True)
    if other.lines:
        other.legend(loc="lower right", bbox_to_anchor=(1.03, 1), ncols=3, columnspacing=1.2)  # as above
    return ax
