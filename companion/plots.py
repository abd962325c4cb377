"""Arrays and strings in, figures out: every figure of the book, in one style. Each takes `ax=None` and returns axes.

Nothing is shown and nothing is saved here; a notebook ends its cell with `plt.show()`, a command writes `png(axes)`.
Grounds are transparent and lines mid-grey, to read on a light page and on a dark one; pictures keep their own ground.
"""

import io
from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike
from PIL import Image

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


def picture_array(image: Any) -> np.ndarray:
    """A picture as bytes `row col channel`, from a tensor (channel first), an array or a PIL image."""
    if isinstance(image, Image.Image):
        return np.asarray(image.convert("RGB"))
    array = np.asarray(image)
    if array.ndim == 3 and array.shape[0] == 3 and array.shape[-1] != 3:
        array = array.transpose(1, 2, 0)
    if array.dtype != np.uint8:
        raise ValueError(f"a picture is bytes, 0 to 255; this one is {array.dtype}: multiply by 255 and convert it")
    return array


def lit(image: Any, weights: ArrayLike, dark: float = 0.2) -> np.ndarray:
    """The picture, bright where the weights (row col) are large and dark where they are small; bytes `row col channel`.

    The weights are divided by their largest and enlarged smoothly, so two pictures compare in shape, not in strength.
    """
    array, weights = picture_array(image), np.asarray(weights, dtype=np.float32)
    light = Image.fromarray(weights / max(float(weights.max()), 1e-12))
    light = np.clip(np.asarray(light.resize(array.shape[1::-1], Image.Resampling.BICUBIC)), 0, 1)
    return (array * (dark + (1 - dark) * light[..., None])).astype(np.uint8)


def picture(image: Any, title: str = "", ax: Axes | None = None) -> Axes:
    """A picture without axes, its title as plain text above it."""
    ax = ax or plt.subplots(figsize=(2.2, 2.2))[1]
    ax.imshow(picture_array(image))
    ax.set_title(title, parse_math=False)
    ax.axis("off")
    return ax


def pictures(images: Sequence[Any], titles: Sequence[str] = (), columns: int = 6, size: float = 1.5) -> np.ndarray:
    """Pictures in rows of `columns`, each with its title; returns the axes, one a picture."""
    rows = -(-len(images) // columns)
    columns = min(columns, len(images))
    _, axes = plt.subplots(rows, columns, figsize=(size * columns, size * 1.15 * rows), squeeze=False)
    for ax in axes.flat[len(images) :]:
        ax.axis("off")
    titles = list(titles) or [""] * len(images)
    if len(titles) != len(images):
        raise ValueError(f"{len(images)} pictures but {len(titles)} titles; give each picture one, or give none")
    for image, title, ax in zip(images, titles, axes.flat, strict=False):
        picture(image, title, ax)
    return axes.flatten()[: len(images)]


def filmstrip(image: Any, words: Sequence[str], weights: ArrayLike, columns: int = 6, size: float = 1.5) -> np.ndarray:
    """The picture as it is, then once for each word, lit where the model looked (weights: word row col)."""
    return filmstrips([(image, words, weights)], columns, size)


def filmstrips(
    strips: Sequence[tuple[Any, Sequence[str], ArrayLike]], columns: int = 6, size: float = 1.5
) -> np.ndarray:
    """Several filmstrips, each of a picture, its words and their maps, one below the other in one figure."""
    rows = [-(-(len(words) + 1) // columns) for _, words, _ in strips]
    _, axes = plt.subplots(sum(rows), columns, figsize=(size * columns, size * 1.15 * sum(rows)), squeeze=False)
    first = 0
    for (image, words, weights), count in zip(strips, rows, strict=True):
        maps = np.asarray(weights)
        if len(words) != len(maps):
            raise ValueError(f"{len(words)} words but {len(maps)} maps; a caption has one map a word")
        shown = [image, *(lit(image, each) for each in maps)]
        for ax, frame, title in zip(axes[first : first + count].flat, shown, ["", *words], strict=False):
            picture(frame, title, ax)
        first += count
    for ax in axes.flat:
        ax.axis("off")
    return axes


def matrix(
    values: ArrayLike, rows: Sequence[str] = (), cols: Sequence[str] = (), digits: int = 2, ax: Axes | None = None
) -> Axes:
    """A matrix as a heat map with its numbers written in it: weights, scores, tables."""
    values = table = np.asarray(values, dtype=float)
    ax = ax or plt.subplots(figsize=(0.7 * values.shape[1] + 1, 0.5 * values.shape[0] + 0.8))[1]
    shown = ax.imshow(values, cmap=HEAT, aspect="auto")
    for (row, col), value in np.ndenumerate(table):
        colour = "white" if np.less(shown.norm(value), 0.6) else "black"
        ax.text(col, row, f"{value:.{digits}f}", ha="center", va="center", color=colour, fontsize=9)
    ax.set_xticks(range(values.shape[1]), list(cols) or [""] * values.shape[1], parse_math=False)
    ax.set_yticks(range(values.shape[0]), list(rows) or [""] * values.shape[0], parse_math=False)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
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
        other.legend(loc="center right")
    return ax


def png(axes: Axes | np.ndarray, ground: str = "white") -> bytes:
    """The figure that the axes belong to, as a PNG on an opaque ground; the figure is closed."""
    figure = np.asarray(axes).flat[0].figure
    file = io.BytesIO()
    figure.savefig(file, format="png", facecolor=ground, dpi=150)
    plt.close(figure)
    return file.getvalue()
