"""Figures show the numbers that they are given, in plain text, and are neither shown nor saved by the function."""

import io

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from PIL import Image

matplotlib.use("agg")
from companion import plots

ROWS, COLS = 12, 20
PICTURE = np.random.default_rng(0).integers(0, 256, (ROWS, COLS, 3), dtype=np.uint8)
ODD = "$x$ <b>_y_</b> \\frac"  # what other programs might interpret as markup
WORDS = ("a", ODD, "dog")
MAPS = np.random.default_rng(1).random((3, 3, 5))
LOG = [{"epoch": 1, "loss": 3.0, "truth": 0.2, "bleu4": 0.1}, {"epoch": 2, "loss": 2.0, "truth": 0.6, "bleu4": 0.3}]

FIGURES = {
    "picture": lambda ax=None: plots.picture(PICTURE, "title", ax=ax),
    "matrix": lambda ax=None: plots.matrix([[0.1, 0.9, 0.0]], ["row"], ["a", "b", "c"], ax=ax),
    "learning curves": lambda ax=None: plots.learning_curves(LOG, ax=ax),
    "curves": lambda ax=None: plots.curves([1, 4, 16], {"a": [1, 2, 3]}, {ODD: [1, 1, 2]}, doublings=True, ax=ax),
    "plane": lambda ax=None: plots.plane([1.0, 0.5], [[1, 0], [0, 1]], [0.25, 0.75], ax=ax),
    "flowchart": lambda ax=None: plots.flowchart({"a": (0, 0, ODD), "b": (1, 0, "")}, ["a > b"], ax=ax),
}
MANY = {
    "pictures": lambda ax=None: plots.pictures([PICTURE] * 3, WORDS, ax=ax),
    "filmstrip": lambda ax=None: plots.filmstrip(PICTURE, WORDS, MAPS, ax=ax),
    "filmstrips": lambda ax=None: plots.filmstrips([(PICTURE, WORDS, MAPS)] * 2, ax=ax),
    "graded filmstrip": lambda ax=None: plots.graded_filmstrip(PICTURE, WORDS, MAPS, masks=[None] * 3, ax=ax),
    "gallery": lambda ax=None: plots.gallery([PICTURE] * 4, ["a dog", *WORDS], ax=ax),
}


@pytest.fixture(autouse=True)
def no_figure_is_left():
    yield
    plt.close("all")


def with_pictures(axes):
    """Return the axes that hold a picture."""
    return [ax for ax in np.asarray(axes).flat if ax.images]


@pytest.mark.parametrize("draw", [*FIGURES.values(), *MANY.values()], ids=[*FIGURES, *MANY])
def test_a_figure_function_returns_axes_of_one_new_figure_and_neither_shows_nor_saves(draw, monkeypatch, tmp_path):
    def never(*_, **__):
        raise AssertionError("shown or saved")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(plt, "show", never)
    monkeypatch.setattr(matplotlib.figure.Figure, "savefig", never)
    axes = list(np.asarray(draw()).flat)
    assert all(isinstance(ax, Axes) for ax in axes)
    assert len({id(ax.figure) for ax in axes}) == len(plt.get_fignums()) == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("draw", FIGURES.values(), ids=FIGURES)
def test_a_figure_function_draws_on_the_axes_that_it_is_given(draw):
    figure, (left, right) = plt.subplots(1, 2)
    assert draw(right) is right
    assert plt.get_fignums() == [figure.number]
    assert right.has_data()
    assert not left.has_data()


@pytest.mark.parametrize("draw", MANY.values(), ids=MANY)
def test_a_figure_of_several_panels_stays_within_the_axes_that_it_is_given(draw):
    figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3))
    panels = with_pictures(draw(right))
    assert plt.get_fignums() == [figure.number]
    assert (figure.get_size_inches() == (8, 3)).all()
    figure.canvas.draw()
    assert len(panels) >= 3
    assert all(panel.get_position().x0 > left.get_position().x1 for panel in panels)
    assert not right.axison


def test_several_panels_do_not_fit_axes_outside_a_grid():
    ax = plt.figure().add_axes((0.1, 0.1, 0.5, 0.5))
    with pytest.raises(ValueError, match=r"make it with plt\.subplots"):
        plots.pictures([PICTURE], ax=ax)


# --- pictures -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "image",
    [PICTURE, torch.from_numpy(PICTURE).permute(2, 0, 1), PICTURE.transpose(2, 0, 1), Image.fromarray(PICTURE)],
    ids=["array", "tensor", "channels first", "PIL"],
)
def test_a_picture_is_the_same_from_every_type_of_image(image):
    assert np.array_equal(plots.picture_array(image), PICTURE)
    assert np.array_equal(plots.picture(image).images[0].get_array(), PICTURE)


@pytest.mark.parametrize(
    "draw", [plots.picture, lambda x: plots.overlay(x, MAPS[0]), lambda x: plots.filmstrip(x, WORDS, MAPS)]
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
def test_a_picture_that_is_not_bytes_is_refused_in_one_line(draw, dtype):
    with pytest.raises(ValueError, match=f"bytes, 0 to 255; this one is {np.dtype(dtype)}") as caught:
        draw((PICTURE / 255).astype(dtype))
    assert len(str(caught.value).splitlines()) == 1


def test_pictures_fill_rows_and_spare_axes_stay_empty():
    axes = plots.pictures([PICTURE] * 5, list("abcde"), columns=3)
    assert [ax.get_title() for ax in axes] == list("abcde")
    assert len(with_pictures(axes)) == 5
    where = [(ax.get_subplotspec().rowspan.start, ax.get_subplotspec().colspan.start) for ax in axes]
    assert where == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)]
    assert not any(ax.axison for ax in axes[0].figure.axes)


def test_titles_that_do_not_fit_the_pictures_are_refused():
    with pytest.raises(ValueError, match="3 pictures but 2 titles"):
        plots.pictures([PICTURE] * 3, ["a", "b"])
    assert plt.get_fignums() == []


# --- attention on pictures ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("weights", [torch.tensor, np.array], ids=["tensor", "array"])
def test_an_overlay_is_coloured_at_the_peak_and_leaves_the_rest_pale(weights):
    white = np.full((60, 100, 3), 255, dtype=np.uint8)
    peak = np.zeros((3, 5))
    peak[0, 4] = 0.01  # however small: the largest weight gives the full colour
    coloured = plots.overlay(white, weights(peak)).astype(int)
    assert coloured.shape == white.shape
    red, green, blue = coloured[:10, -10:].mean((0, 1))  # top right
    assert green < 80 < 140 < min(red, blue)
    for far in (coloured[30:], coloured[:, :60]):
        assert far.min() >= 253


def test_below_an_overlay_the_picture_is_halfway_to_white_and_never_hidden():
    pale = plots.overlay(PICTURE, np.zeros((3, 5))).astype(int)
    assert np.abs(pale - (PICTURE.astype(int) + 255) / 2).max() <= 1
    uniform = plots.overlay(PICTURE, np.ones((3, 5))).astype(int)
    assert np.abs(0.2 * pale + 0.8 * np.array(plots.images.OVERLAY_COLOUR) - uniform).max() <= 1.2
    assert uniform.std() > 0


def test_an_overlay_changes_neither_the_picture_nor_the_weights():
    picture, weights = PICTURE.copy(), MAPS[0].copy()
    plots.overlay(picture, weights)
    assert np.array_equal(picture, PICTURE)
    assert np.array_equal(weights, MAPS[0])


@pytest.mark.parametrize("columns", [2, 3, 4, 6])
def test_a_filmstrip_has_the_picture_as_it_is_and_then_one_frame_for_each_word(columns):
    axes = plots.filmstrip(PICTURE, WORDS, torch.from_numpy(MAPS), columns=columns)
    frames = with_pictures(axes)
    assert axes.shape == (-(-4 // columns), columns)
    assert [ax.get_title() for ax in frames] == ["", *WORDS]
    assert np.array_equal(frames[0].images[0].get_array(), PICTURE)
    for ax, weights in zip(frames[1:], MAPS, strict=True):
        assert np.array_equal(ax.images[0].get_array(), plots.overlay(PICTURE, weights))
    assert not any(ax.axison for ax in axes.flat)


def test_each_filmstrip_begins_a_new_row():
    dark = PICTURE // 2
    axes = plots.filmstrips([(PICTURE, WORDS, MAPS), (dark, ["one"], MAPS[:1])], columns=3)
    assert axes.shape == (3, 3)
    assert [[ax.get_title() for ax in row if ax.images] for row in axes] == [["", "a", ODD], ["dog"], ["", "one"]]
    assert np.array_equal(axes[2, 0].images[0].get_array(), dark)


def test_a_filmstrip_of_a_caption_without_words_is_the_picture():
    assert len(with_pictures(plots.filmstrip(PICTURE, [], np.zeros((0, 3, 5))))) == 1


def test_words_without_maps_are_refused():
    with pytest.raises(ValueError, match="3 words but 2 maps"):
        plots.filmstrip(PICTURE, WORDS, MAPS[:2])


# --- plain text ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("draw", "texts"),
    [
        (lambda: plots.picture(PICTURE, ODD), lambda ax: [ax.title]),
        (lambda: plots.filmstrip(PICTURE, WORDS, MAPS), lambda axes: [axes[0, 2].title]),
        (lambda: plots.matrix(np.eye(2), cols=[ODD, "b"]), lambda ax: ax.get_xticklabels()[:1]),
        (lambda: plots.matrix(np.eye(2), rows=[ODD, "b"]), lambda ax: ax.get_yticklabels()[:1]),
    ],
    ids=["picture", "filmstrip", "columns", "rows"],
)
def test_a_word_with_dollars_or_markup_is_plain_text(draw, texts):
    axes = draw()
    for text in texts(axes):
        assert text.get_text() == ODD
        assert not text.get_parse_math()
        assert not text.get_usetex()
    plots.png(axes)  # "\frac" alone would not be a formula: it would fail here


# --- numbers ------------------------------------------------------------------------------------------------------


def test_a_matrix_shows_each_number_in_its_cell_and_each_name_at_its_row_or_column():
    values = np.array([[0.25, 1.0, -3.0], [0.5, 0.125, 2.0]])
    ax = plots.matrix(values, ["top", "bottom"], ["left", "middle", "right"], digits=3)
    cells = {text.get_position(): text.get_text() for text in ax.texts}
    assert cells == {(col, row): f"{value:.3f}" for (row, col), value in np.ndenumerate(values)}
    assert [text.get_text() for text in ax.get_xticklabels()] == ["left", "middle", "right"]
    assert [text.get_text() for text in ax.get_yticklabels()] == ["top", "bottom"]
    assert np.array_equal(ax.images[0].get_array(), values)


def test_a_number_is_written_light_on_dark_and_dark_on_light():
    ax = plots.matrix([[0.0, 1.0]])
    assert [text.get_color() for text in ax.texts] == ["white", "black"]


def test_a_learning_curve_shows_the_loss_and_beside_it_the_scores_of_the_log():
    ax = plots.learning_curves(LOG)
    assert [line.get_ydata().tolist() for line in ax.lines] == [[3.0, 2.0]]
    (score_axes,) = (a for a in ax.figure.axes if a is not ax)
    scores = {line.get_label(): line.get_ydata().tolist() for line in score_axes.lines}
    assert scores == {"truth": [0.2, 0.6], "bleu4": [0.1, 0.3]}
    assert [line.get_xdata().tolist() for line in (*ax.lines, *score_axes.lines)] == [[1, 2]] * 3


@pytest.mark.filterwarnings("error")
def test_a_log_without_scores_shows_its_loss_and_warns_of_nothing():
    assert len(plots.learning_curves([{"epoch": 1, "loss": 2.0}]).lines) == 1
    assert len(plots.learning_curves([]).lines) == 1


# --- png ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("draw", [FIGURES["matrix"], MANY["filmstrip"]], ids=["axes", "an array of axes"])
def test_a_png_has_an_opaque_background_and_its_figure_is_closed(draw):
    other = plt.figure()
    image = Image.open(io.BytesIO(plots.png(draw(), background="#102030")))
    assert image.format == "PNG"
    assert image.convert("RGBA").getpixel((0, 0)) == (0x10, 0x20, 0x30, 255)
    assert plt.get_fignums() == [other.number]
