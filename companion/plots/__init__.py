"""All figures of the book, in one style. Each function takes data and `ax=None`, and returns the axes it has drawn on.

A figure of several panels puts them into the area of `ax`. Nothing is shown or saved here: a notebook ends its cell
with `plt.show()`, a command writes `png(axes)`. There is a file for each kind of figure; `style` has colours and fonts.
"""

from companion.plots.decoding import intervals, tree
from companion.plots.diagrams import flowchart
from companion.plots.explorer import Explorer, beside, explorer
from companion.plots.grids import Box, heatmap, receptive_field, tokens
from companion.plots.grounding import against_chance, gallery, graded_filmstrip
from companion.plots.images import aspect_ratio, filmstrip, filmstrips, overlay, picture, picture_array, pictures
from companion.plots.lines import curves, learning_curves
from companion.plots.memories import two_memories, two_memories_each
from companion.plots.pooling import line_plot, mixtures
from companion.plots.runs import dot_range
from companion.plots.style import COLOUR_MAP, COLOURS, GREY, png
from companion.plots.tables import matrix
from companion.plots.vectors import plane

__all__ = [
    "COLOURS",
    "COLOUR_MAP",
    "GREY",
    "Box",
    "Explorer",
    "against_chance",
    "aspect_ratio",
    "beside",
    "curves",
    "dot_range",
    "explorer",
    "filmstrip",
    "filmstrips",
    "flowchart",
    "gallery",
    "graded_filmstrip",
    "heatmap",
    "intervals",
    "learning_curves",
    "line_plot",
    "matrix",
    "mixtures",
    "overlay",
    "picture",
    "picture_array",
    "pictures",
    "plane",
    "png",
    "receptive_field",
    "tokens",
    "tree",
    "two_memories",
    "two_memories_each",
]
