"""Receptive fields, heat maps and rows of token ids show exactly the numbers that they are given."""

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

matplotlib.use("agg")
from companion import plots

PICTURE = np.random.default_rng(0).integers(1, 256, (12, 20, 3), dtype=np.uint8)
MAP = np.random.default_rng(1).random((12, 20))
WORDS = ("<pad>", "<start>", "<end>", "<unk>", "$a$", "dog")
IDS = [[1, 4, 5, 2], [1, 3, 2, 0]]
BOX = plots.Box(2, 3, 5, 9)

FIGURES = {
    "receptive field": lambda ax=None: plots.receptive_field(PICTURE, BOX, 4, ax=ax),
    "heatmap": lambda ax=None: plots.heatmap(MAP, [BOX], ax=ax),
    "tokens": lambda ax=None: plots.tokens(IDS, WORDS, ax=ax),
}


@pytest.fixture(autouse=True)
def no_figure_is_left():
    yield
    plt.close("all")


def outlined(ax):
    """Return top, left, bottom and right of the outlined boxes, in pixels."""
    boxes = [patch for patch in ax.patches if isinstance(patch, Rectangle) and not patch.get_fill()]
    sides = [(b.get_y(), b.get_x(), b.get_y() + b.get_height(), b.get_x() + b.get_width()) for b in boxes]
    return [(top + 0.5, left + 0.5, bottom - 0.5, right - 0.5) for top, left, bottom, right in sides]


@pytest.mark.parametrize("draw", FIGURES.values(), ids=FIGURES)
def test_a_figure_is_drawn_on_the_axes_that_it_is_given(draw):
    assert isinstance(draw(), Axes)
    figure, (left, right) = plt.subplots(1, 2)
    assert draw(right) is right
    assert right.has_data() or right.patches
    assert not left.has_data()
    assert plt.get_fignums()[-1] == figure.number


def test_the_picture_is_itself_in_the_box_and_darker_everywhere_else():
    ax = plots.receptive_field(PICTURE, BOX)
    pixels = np.asarray(ax.images[0].get_array())
    inside = np.zeros(PICTURE.shape[:2], dtype=bool)
    inside[2:6, 3:10] = True
    assert np.array_equal(pixels[inside], PICTURE[inside])
    assert (pixels[~inside] < PICTURE[~inside]).all()
    assert outlined(ax) == [BOX]


def test_a_box_beyond_the_edge_is_outlined_whole_and_lights_the_pixels_that_exist():
    box = plots.Box(-3, -2, 4, 30)
    ax = plots.receptive_field(PICTURE, box)
    assert np.array_equal(np.asarray(ax.images[0].get_array())[:5], PICTURE[:5])
    assert outlined(ax) == [box]


def test_lines_run_between_the_places():
    ax = plots.receptive_field(PICTURE, BOX, step=4)
    horizontal, vertical = (np.array([path.vertices[0] for path in lines.get_paths()]) for lines in ax.collections)
    assert horizontal[:, 1].tolist() == [3.5, 7.5]
    assert vertical[:, 0].tolist() == [3.5, 7.5, 11.5, 15.5]


def test_a_heat_map_shows_its_numbers_and_every_box():
    boxes = [BOX, plots.Box(0, 0, 11, 19)]
    ax = plots.heatmap(MAP, boxes, "title")
    assert np.array_equal(np.asarray(ax.images[0].get_array()), MAP)
    assert outlined(ax) == boxes
    assert ax.get_title() == "title"


def test_every_id_is_below_its_word_in_its_cell():
    ax = plots.tokens(IDS, WORDS)
    texts = [(round(t.get_position()[1]), round(t.get_position()[0]), t.get_text()) for t in ax.texts]
    expected = [(r, c, s) for r, row in enumerate(IDS) for c, i in enumerate(row) for s in (WORDS[i], str(i))]
    assert texts == expected
    assert not any(t.get_parse_math() for t in ax.texts if "$" in t.get_text())


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: plots.receptive_field(PICTURE / 255, BOX), "a picture is bytes"),
        (
            lambda: plots.receptive_field(PICTURE, plots.Box(12, 0, 15, 3)),
            "no pixel in a picture of 12 rows and 20 columns",
        ),
        (lambda: plots.heatmap(MAP, [plots.Box(5, 5, 4, 5)]), "no pixel"),
        (lambda: plots.heatmap(MAP[None]), r"\(1, 12, 20\): choose one map"),
        (lambda: plots.tokens([1, 2], WORDS), r"\(2,\): choose one picture's captions"),
        (lambda: plots.tokens([[1, 6]], WORDS), "from 1 to 6, but the words have ids from 0 to 5"),
        (lambda: plots.tokens([[-1]], WORDS), "from -1 to -1"),
    ],
)
def test_bad_input_is_refused_in_one_line(draw, message):
    with pytest.raises(ValueError, match=message) as error:
        draw()
    assert "\n" not in str(error.value)
