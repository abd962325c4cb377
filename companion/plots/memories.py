"""The two memories of a captioner with tags, word by word. Used in the chapter on real photographs."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from companion.decoding import Caption, Tag
from companion.plots.images import LOWEST, TALLEST, aspect_ratio, overlay, picture, picture_array
from companion.plots.style import COLOURS, GREY, axes_grid

BAR_HEIGHT = 0.1  # inches of each tag's bar per inch of a frame's width
FAINTEST = 0.05  # a box whose tag has a smaller number is not drawn
WHOLE_PICTURE = (0.0, 0.0, 1.0, 1.0)  # the box of a tag that was found at no place


def two_memories(image: Any, caption: Caption, columns: int = 5, *, size: float = 1.7, ax: Axes | None = None) -> Any:
    """Draw the image with its tags, then once for each word: where the decoder looked, and which tags it read.

    The first frame has the boxes of the tags, and below it their probabilities. A frame of a word has its attention to
    the places as an overlay, and below it are the weights of the tags. A box is drawn the stronger the larger the
    number of its tag. The tag that is the word itself has another colour.

    Args:
        image: the picture, as in `plots.picture`.
        caption: of a captioner with tags.
        columns: frames in a row.
        size: width of a frame in inches.
        ax: the place to draw in.

    Returns the axes (row column): a row of frames, then one of bars, and so on. Raises ValueError for a caption without
    tags.
    """
    if caption.tag_weights is None or not caption.tags:
        raise ValueError("this caption has no tags; plots.filmstrip draws its attention to the places")
    tag_weights = np.asarray(caption.tag_weights, dtype=float)
    probabilities = 1 / (1 + np.exp(-np.array([tag.confidence for tag in caption.tags])))
    frames = [(picture_array(image), "tags", probabilities)]
    for word, places, weights in zip(caption.words, np.asarray(caption.weights), tag_weights, strict=True):
        frames.append((overlay(image, places), word, weights))
    ratios = row_heights(image, caption, columns)
    axes = axes_grid(len(ratios), columns, (size * columns, size * sum(ratios)), height_ratios=ratios, ax=ax)
    for panel in axes.flat:
        panel.axis("off")
    for i, (frame, title, numbers) in enumerate(frames):
        row, column = divmod(i, columns)
        _frame(frame, title, caption.tags, numbers, ax=axes[2 * row, column])
        _bars(caption.tags, numbers, title, ax=axes[2 * row + 1, column])
    return axes


def two_memories_each(strips: Sequence[tuple[Any, Caption]], columns: int = 5, *, size: float = 1.7) -> np.ndarray:
    """Draw `two_memories` for several images, each with its caption, one below the other in one figure.

    Returns the axes of the images' areas.
    """
    heights = [sum(row_heights(image, caption, columns)) for image, caption in strips]
    areas = axes_grid(len(strips), 1, (size * columns, size * sum(heights)), height_ratios=heights)
    for (image, caption), area in zip(strips, areas.flat, strict=True):
        two_memories(image, caption, columns, ax=area)
    return areas


def row_heights(image: Any, caption: Caption, columns: int) -> list[float]:
    """Return the heights of the rows of `two_memories`, of frames and of bars in turn, in widths of a frame."""
    rows, height = -(-(len(caption.words) + 1) // columns), min(max(aspect_ratio(image), LOWEST), TALLEST)
    return [0.2 + height, 0.15 + BAR_HEIGHT * len(caption.tags)] * rows


def _frame(image: np.ndarray, title: str, tags: tuple[Tag, ...], strengths: np.ndarray, *, ax: Axes) -> None:
    """Draw an image with the boxes of the tags, each as strong as its number says."""
    picture(image, title, ax=ax)
    height, width, _ = image.shape
    for tag, strength in zip(tags, strengths, strict=True):
        if tag.box != WHOLE_PICTURE and strength >= FAINTEST:
            left, top, right, bottom = np.array(tag.box) * (width, height, width, height) - 0.5
            outline = Rectangle((left, top), right - left, bottom - top, fill=False, alpha=min(1.0, 0.3 + strength))
            outline.set(edgecolor=COLOURS[1], linewidth=1.6)
            ax.add_patch(outline)


def _bars(tags: tuple[Tag, ...], values: np.ndarray, word: str, *, ax: Axes) -> None:
    """Draw a bar from 0 to 1 for each tag, with its word."""
    names = [tag.word for tag in tags]
    colours = [COLOURS[1] if name == word else COLOURS[0] for name in names]
    ax.axis("on")
    ax.barh(range(len(names)), values, color=colours)
    ax.set(xlim=(0, 1), ylim=(len(names) - 0.4, -0.6), xticks=(), yticks=())
    ax.spines[["bottom", "left"]].set_visible(False)
    for i, (name, value) in enumerate(zip(names, values, strict=True)):
        inside = value > 0.5
        place = {"x": value - 0.02, "ha": "right", "color": "white"} if inside else {"x": value + 0.02, "color": GREY}
        ax.text(y=i, s=name, va="center", fontsize=6.5, parse_math=False, **place)
