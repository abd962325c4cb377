"""Arrays and strings in, figures out: every figure of the book, in one style. Each takes `ax=None` and returns axes.

Nothing is shown and nothing is saved here; a notebook ends its cell with `plt.show()`, a command writes `png(axes)`.
One file a kind of figure: `pictures`, `tables`, `lines`, `vectors`, `diagrams`; the style is in `style`.
"""

from companion.plots.averages import mixtures, smooth
from companion.plots.decoding import intervals, tree
from companion.plots.diagrams import flow
from companion.plots.grids import Box, field, heat, tokens
from companion.plots.lines import curves, learning
from companion.plots.looking import against_chance, gallery, looks
from companion.plots.pictures import filmstrip, filmstrips, lit, picture, picture_array, pictures
from companion.plots.spread import spread
from companion.plots.style import COLOURS, GREY, HEAT, png
from companion.plots.tables import matrix
from companion.plots.vectors import plane

__all__ = [
    "COLOURS",
    "GREY",
    "HEAT",
    "Box",
    "against_chance",
    "curves",
    "field",
    "filmstrip",
    "filmstrips",
    "flow",
    "gallery",
    "heat",
    "intervals",
    "learning",
    "lit",
    "looks",
    "matrix",
    "mixtures",
    "picture",
    "picture_array",
    "pictures",
    "plane",
    "png",
    "smooth",
    "spread",
    "tokens",
    "tree",
]
