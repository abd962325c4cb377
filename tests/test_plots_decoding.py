"""A tree shows every hypothesis once, joined to its beginning; an interval lies where its numbers say."""

import matplotlib
import matplotlib.pyplot as plt
import pytest
from matplotlib.axes import Axes

matplotlib.use("agg")
from companion import plots

SEEN = {"a": 0.6, "dogs": 0.4, "a $dog": 0.24, "a puppy": 0.21, "dogs <end>": 0.12}
BARS = {"one": (-0.1, 0.2, 0.3), "$two": (0.4, 0.5, 0.9)}
FIGURES = {
    "tree": lambda ax=None: plots.tree(SEEN, ["a", "dogs"], "dogs <end>", ax=ax),
    "intervals": lambda ax=None: plots.intervals(BARS, ax=ax),
}


@pytest.fixture(autouse=True)
def no_figure_is_left():
    yield
    plt.close("all")


@pytest.mark.parametrize("draw", FIGURES.values(), ids=FIGURES)
def test_a_figure_draws_where_it_is_told_and_returns_its_axes(draw):
    assert isinstance(draw(), Axes)
    _, (left, right) = plt.subplots(1, 2)
    assert draw(right) is right
    assert right.has_data()
    assert not left.has_data()
    plots.png(right)  # a lone dollar sign is no formula: it would fail here


def nodes(ax):
    """The texts of a tree by what they say."""
    return {text.get_text(): text for text in ax.texts}


def test_each_hypothesis_is_a_node_in_the_column_of_its_length():
    found = nodes(FIGURES["tree"]())
    assert {label: text.get_position()[0] for label, text in found.items()} == {
        "a\n0.6": 1, "dogs\n0.4": 1, "$dog\n0.24": 2, "puppy\n0.21": 2, "<end>\n0.12": 2,
    }  # fmt: skip
    rows = {label: text.get_position()[1] for label, text in found.items()}
    assert (rows["$dog\n0.24"], rows["puppy\n0.21"], rows["<end>\n0.12"]) == (0, 1, 2)  # no two on top of each other
    assert (rows["a\n0.6"], rows["dogs\n0.4"]) == (0.5, 2)  # amid their children


def test_each_node_hangs_on_the_one_before_it():
    ax = FIGURES["tree"]()
    rows = {said: nodes(ax)[f"{said.split()[-1]}\n{share:.3g}"].get_position()[1] for said, share in SEEN.items()}
    lines = [tuple(line.get_ydata()) for line in ax.lines if len(line.get_ydata()) == 2]
    assert lines[2:] == [(rows[said.split()[0]], rows[said]) for said in list(SEEN)[2:]]
    assert [end for _, end in lines[:2]] == [rows["a"], rows["dogs"]]


def test_the_winner_the_kept_and_the_dropped_look_different():
    found = nodes(FIGURES["tree"]())
    colour = {label.split()[0]: text.get_color() for label, text in found.items()}
    assert colour["dogs"] == colour["<end>"] == plots.COLOURS[1]
    assert colour["a"] == plots.COLOURS[0]
    assert colour["puppy"] == colour["$dog"] == plots.GREY
    weights = {label.split()[0]: text.get_weight() for label, text in found.items()}
    assert (weights["dogs"], weights["a"], weights["puppy"]) == ("bold", "bold", "normal")


def test_intervals_lie_where_their_numbers_say_the_first_on_top():
    ax = FIGURES["intervals"]()
    assert [tick.get_text() for tick in ax.get_yticklabels()] == list(BARS)
    spans = [tuple(line.get_xdata()) for line in ax.lines]
    assert (-0.1, 0.3) in spans
    assert (0.4, 0.9) in spans
    dots = [(line.get_xdata()[0], line.get_ydata()[0]) for line in ax.lines if line.get_marker() == "o"]
    assert dots == [(0.2, 0), (0.5, 1)]
    assert ax.yaxis_inverted()


@pytest.mark.parametrize(
    ("draw", "wrong"),
    [
        (lambda: plots.tree({}), "no hypotheses"),
        (lambda: plots.tree({"a": 0.5, "b c": 0.1}), "give 'b' its probability"),
        (lambda: plots.tree({"": 1.0, "a": 0.5}), "hangs in the air"),
        (lambda: plots.tree({"a": 0.5}, best="b"), "none of the hypotheses"),
        (lambda: plots.intervals({"x": (0.3, 0.2, 0.5)}), "x: 0.2 does not lie between"),
    ],
)
def test_bad_input_is_refused_in_one_line_before_anything_is_drawn(draw, wrong):
    with pytest.raises(ValueError, match=wrong) as caught:
        draw()
    assert len(str(caught.value).splitlines()) == 1
    assert plt.get_fignums() == []
