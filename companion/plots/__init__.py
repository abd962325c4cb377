"""Arrays and strings in, figures out: every figure of the book, in one style. Each takes `ax=None` and returns axes.

Nothing is shown and nothing is saved here; a notebook ends its cell with `plt.show()`, a command writes `png(axes)`.
One file a kind of figure: `pictures`, `tables`, `lines`, `vectors`, `diagrams`; the style is in `style`.
"""

from companion.plots.diagrams import flow
from companion.plots.lines import curves, learning
from companion.plots.pictures import filmstrip, filmstrips, lit, picture, picture_array, pictures
from companion.plots.style import COLOURS, GREY, HEAT, png
from companion.plots.tables import matrix
from companion.plots.vectors import plane

__all__ = [
    "COLOURS",
    "GREY",
    "HEAT",
    "curves",
    "filmstrip",
    "filmstrips",
    "flow",
    "learning",
    "lit",
    "matrix",
    "picture",
    "picture_array",
    "pictures",
    "plane",
    "png",
]
