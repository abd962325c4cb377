"""A mixture is as wide as its weights and has their average colour; line plots show the curves that they are given."""

import matplotlib
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb

matplotlib.use("agg")
import matplotlib.pyplot as plt

from companion import plots

RED, BLUE, WHITE = (1.0, 0.0, 0.0), (0.0, 0.0, 1.0), (1.0, 1.0, 1.0)
WEIGHTS = [[0.5, 0.25, 0.25], [0.98, 0.02, 0.0]]
ODD = "$x$ \\frac"
X = np.linspace(0, 1, 5)

FIGURES = {
    "mixtures": lambda ax=None: plots.mixtures(WEIGHTS, [RED, BLUE, WHITE], ["even", ODD], ax=ax),
    "line plot": lambda ax=None: plots.line_plot(X, {"up": X, "down": 1 - X}, ([0.2, 0.4], [1, 2]), ax=ax),
}


@pytest.fixture(autouse=True)
def no_figure_is_left():
    yield
    plt.close("all")


@pytest.mark.parametrize("draw", FIGURES.values(), ids=FIGURES)
def test_a_figure_is_drawn_on_the_axes_that_it_is_given(draw):
    assert isinstance(draw(), Axes)
    plt.close("all")
    figure, (left, right) = plt.subplots(1, 2)
    assert draw(right) is right
    assert plt.get_fignums() == [figure.number]
    assert right.has_data()
    assert not left.has_data()


def test_a_piece_is_as_wide_as_its_weight_and_the_last_one_is_the_average_colour():
    bars = FIGURES["mixtures"]().patches
    assert [bar.get_width() for bar in bars[:3]] == WEIGHTS[0]
    assert [bar.get_x() for bar in bars[:3]] == [0, 0.5, 0.75]
    assert [to_rgb(bar.get_facecolor()) for bar in bars[:3]] == [RED, BLUE, WHITE]
    assert to_rgb(bars[3].get_facecolor()) == pytest.approx((0.75, 0.25, 0.5))
    assert bars[3].get_x() > 1  # beside the pieces


def test_a_piece_carries_its_number_where_there_is_room_light_on_dark_and_dark_on_light():
    texts = [(text.get_text(), text.get_color()) for text in FIGURES["mixtures"]().texts]
    assert texts == [("1", "white"), ("2", "white"), ("3", "black"), ("1", "white")]


def test_rows_run_downwards_and_their_names_are_plain_text():
    ax = FIGURES["mixtures"]()
    assert ax.yaxis_inverted()
    assert [label.get_text() for label in ax.get_yticklabels()] == ["even", ODD]
    assert not any(label.get_parse_math() for label in ax.get_yticklabels())


def test_one_row_of_weights_may_come_without_an_axis_of_rows():
    assert len(plots.mixtures([0.5, 0.5], [RED, BLUE]).patches) == 3


def test_colours_that_do_not_fit_the_weights_are_refused_in_one_line():
    for colours in ([RED, BLUE], [RED[:2]] * 3):
        with pytest.raises(ValueError, match="3 weights a row, but colours of shape") as caught:
            plots.mixtures(WEIGHTS, colours)
        assert len(str(caught.value).splitlines()) == 1
    assert plt.get_fignums() == []


def test_a_line_plot_has_the_curves_given_each_with_other_dashes_and_the_points_on_top():
    ax = FIGURES["line plot"]()
    lines = {line.get_label(): line.get_ydata().tolist() for line in ax.lines}
    assert lines == {"up": X.tolist(), "down": (1 - X).tolist()}
    assert len({line.get_linestyle() for line in ax.lines}) == 2
    (points,) = ax.collections
    assert points.get_offsets().tolist() == [[0.2, 1], [0.4, 2]]
    assert points.get_zorder() > max(line.get_zorder() for line in ax.lines)


def test_a_line_plot_needs_no_points():
    assert not plots.line_plot(X, {"up": X}).collections
