"""A tree shows every hypothesis once, joined to its parent; an interval lies where its numbers are."""

import matplotlib
import matplotlib.pyplot as plt
import pytest
from matplotlib.axes import Axes

matplotlib.use("agg")
from companion import plots

HYPOTHESES = {"a": 0.6, "dogs": 0.4, "a $dog": 0.24, "a puppy": 0.21, "dogs <end>": 0.12}
ESTIMATES = {"one": (-0.1, 0.2, 0.3), "$two": (0.4, 0.5, 0.9)}
FIGURES = {
    "tree": lambda ax=None: plots.tree(HYPOTHESES, ["a", "dogs"], "dogs <end>", ax=ax),
    "intervals": lambda ax=None: plots.intervals(ESTIMATES, ax=ax),
}


@pytest.fixture(autouse=True)
def no_figure_is_left():
    yield
    plt.close("all")


@pytest.mark.parametrize("draw", FIGURES.values(), ids=FIGURES)
def test_a_figure_is_drawn_on_the_axes_that_it_is_given(draw):
    assert isinstance(draw(), Axes)
    _, (left, right) = plt.subplots(1, 2)
    assert draw(right) is right
    assert right.has_data()
    assert not left.has_data()
    plots.png(right)  # a lone dollar sign is no formula: it would fail here


def nodes(ax):
    """Return the nodes of a tree by their labels."""
    return {text.get_text(): text for text in ax.texts}


def test_each_hypothesis_is_a_node_in_the_column_of_its_length():
    labels = nodes(FIGURES["tree"]())
    assert {label: text.get_position()[0] for label, text in labels.items()} == {
        "a\n0.6": 1, "dogs\n0.4": 1, "$dog\n0.24": 2, "puppy\n0.21": 2, "<end>\n0.12": 2,
    }  # fmt: skip
    rows = {label: text.get_position()[1] for label, text in labels.items()}
    assert (rows["$dog\n0.24"], rows["puppy\n0.21"], rows["<end>\n0.12"]) == (0, 1, 2)  # no two on top of each other
    assert (rows["a\n0.6"], rows["dogs\n0.4"]) == (0.5, 2)  # amid their children


def test_each_node_is_joined_to_its_parent():
    ax = FIGURES["tree"]()
    labels = {line: f"{line.split()[-1]}\n{probability:.3g}" for line, probability in HYPOTHESES.items()}
    rows = {line: nodes(ax)[label].get_position()[1] for line, label in labels.items()}
    lines = [tuple(line.get_ydata()) for line in ax.lines if len(line.get_ydata()) == 2]
    assert lines[2:] == [(rows[line.split()[0]], rows[line]) for line in list(HYPOTHESES)[2:]]
    assert [end for _, end in lines[:2]] == [rows["a"], rows["dogs"]]


def test_the_best_the_kept_and_the_pruned_hypotheses_look_different():
    labels = nodes(FIGURES["tree"]())
    colour = {label.split()[0]: text.get_color() for label, text in labels.items()}
    assert colour["dogs"] == colour["<end>"] == plots.COLOURS[1]
    assert colour["a"] == plots.COLOURS[0]
    assert colour["puppy"] == colour["$dog"] == plots.GREY
    weights = {label.split()[0]: text.get_weight() for label, text in labels.items()}
    assert (weights["dogs"], weights["a"], weights["puppy"]) == ("bold", "bold", "normal")


def test_intervals_lie_at_their_numbers_the_first_on_top():
    ax = FIGURES["intervals"]()
    assert [tick.get_text() for tick in ax.get_yticklabels()] == list(ESTIMATES)
    spans = [tuple(line.get_xdata()) for line in ax.lines]
    assert (-0.1, 0.3) in spans
    assert (0.4, 0.9) in spans
    dots = [(line.get_xdata()[0], line.get_ydata()[0]) for line in ax.lines if line.get_marker() == "o"]
    assert dots == [(0.2, 0), (0.5, 1)]
    assert ax.yaxis_inverted()


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: plots.tree({}), "no hypotheses"),
        (lambda: plots.tree({"a": 0.5, "b c": 0.1}), "give 'b' its probability"),
        (lambda: plots.tree({"": 1.0, "a": 0.5}), "the hypothesis '' has no parent"),
        (lambda: plots.tree({"a": 0.5}, best="b"), "none of the hypotheses"),
        (lambda: plots.intervals({"x": (0.3, 0.2, 0.5)}), "x: 0.2 does not lie between"),
    ],
)
def test_bad_input_is_refused_in_one_line_before_anything_is_drawn(draw, message):
    with pytest.raises(ValueError, match=message) as caught:
        draw()
    assert len(str(caught.value).splitlines()) == 1
    assert plt.get_fignums() == []
