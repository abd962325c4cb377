"""A dot range shows every run, their range and their mean."""

import matplotlib
import matplotlib.pyplot as plt
import pytest
from matplotlib.axes import Axes

matplotlib.use("agg")
from companion import plots

RUNS = {"$one": [0.2, 0.5, 0.8], "two": [0.4]}


@pytest.fixture(autouse=True)
def no_figure_is_left():
    yield
    plt.close("all")


def test_it_is_drawn_on_the_axes_that_it_is_given():
    assert isinstance(plots.dot_range(RUNS), Axes)
    _, (left, right) = plt.subplots(1, 2)
    assert plots.dot_range(RUNS, ax=right) is right
    assert right.has_data()
    assert not left.has_data()
    plots.png(right)  # a lone dollar sign is no formula: it would fail here


def test_every_run_is_a_dot_in_the_row_of_its_name_the_first_on_top():
    ax = plots.dot_range(RUNS)
    dots = {(x, y) for line in ax.lines if line.get_marker() == "o" for x, y in zip(*line.get_data(), strict=True)}
    assert dots == {(0.2, 0), (0.5, 0), (0.8, 0), (0.4, 1)}
    assert [tick.get_text() for tick in ax.get_yticklabels()] == list(RUNS)
    assert ax.yaxis_inverted()


def test_the_line_is_the_range_and_the_stroke_the_mean():
    lines = [line for line in plots.dot_range(RUNS).lines if line.get_marker() != "o"]
    horizontal = [tuple(line.get_xdata()) for line in lines if len({*line.get_ydata()}) == 1]
    vertical = [line.get_xdata()[0] for line in lines if len({*line.get_ydata()}) == 2]
    assert horizontal == [(0.2, 0.8), (0.4, 0.4)]
    assert vertical == pytest.approx([0.5, 0.4])


def test_without_runs_it_is_empty():
    assert not plots.dot_range({}).has_data()


def test_a_name_without_a_run_is_refused_before_anything_is_drawn():
    with pytest.raises(ValueError, match="two: no run to draw"):
        plots.dot_range(RUNS | {"two": []})
    assert plt.get_fignums() == []
