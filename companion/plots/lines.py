"""Curves over one axis, and the curves of a training run."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from companion.plots.style import GREY

# the scores that `learning_curves` draws by default, where the log has them
DEFAULT_SCORES = ("truth", "exact", "pointing", "bleu4", "cider_d")


def curves(
    x: ArrayLike,
    measured: Mapping[str, ArrayLike],
    theory: Mapping[str, ArrayLike] | None = None,
    *,
    doublings: bool = False,
    joined: bool = True,
    ax: Axes | None = None,
) -> Axes:
    """Draw named curves over the same x: measured ones in colour with markers, theoretical ones dashed and grey.

    Args:
        x: where the curves have their values.
        measured: values by name.
        theory: values by name.
        doublings: whether the x axis is logarithmic, with the powers of four as ticks: 1, 4, 16, 64.
        joined: whether lines join the measured points.
        ax: where to draw.
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
    ax.legend(loc="lower left", bbox_to_anchor=(-0.03, 1), ncols=2, columnspacing=1.2)  # above, where it hides nothing
    return ax


def learning_curves(log: Sequence[Mapping[str, Any]], scores: Sequence[str] = (), *, ax: Axes | None = None) -> Axes:
    """Draw the training loss of every epoch and, on a second axis, the named scores, or those of `DEFAULT_SCORES`.

    `log` has a record for each epoch, with "epoch", "loss" and the scores.
    """
    ax = ax or plt.subplots(figsize=(5, 3))[1]
    epochs = [record["epoch"] for record in log]
    ax.plot(epochs, [record["loss"] for record in log], color=GREY, label="loss")
    ax.set(xlabel="epoch", ylabel="training loss (nats a word)")
    score_axes = ax.twinx()
    for name in scores or [score for score in DEFAULT_SCORES if log and score in log[0]]:
        score_axes.plot(epochs, [record[name] for record in log], label=name)
    score_axes.set(ylabel="validation score")
    score_axes.spines.right.set_visible(True)
    if score_axes.lines:
        score_axes.legend(loc="lower right", bbox_to_anchor=(1.03, 1), ncols=3, columnspacing=1.2)
    return ax
