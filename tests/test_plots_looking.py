"""Where it looked, where it should have, what it said: the figures of chapters 14 and 16 grade as `grounding` does."""

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.patches import Rectangle

matplotlib.use("agg")
from companion import grounding, plots

PICTURE = np.random.default_rng(0).integers(0, 256, (32, 64, 3), dtype=np.uint8)
MAPS = torch.rand(3, 4, 8, generator=torch.Generator().manual_seed(0))
MAPS = MAPS / MAPS.sum((1, 2), keepdim=True)


@pytest.fixture(autouse=True)
def no_figure_is_left():
    yield
    plt.close("all")


def under_the_peak(weights):
    """The pixels of the place of the largest weight, eight by eight."""
    row, col = divmod(int(weights.argmax()), weights.shape[1])
    mask = np.zeros(PICTURE.shape[:2], dtype=bool)
    mask[8 * row : 8 * row + 8, 8 * col : 8 * col + 8] = True
    return mask


def test_a_look_is_ticked_if_its_peak_is_on_the_mask_and_crossed_if_not_and_otherwise_left_alone():
    right, wrong = under_the_peak(MAPS[0]), ~under_the_peak(MAPS[1])
    axes = plots.looks(PICTURE, ["red", "$star$", "a"], MAPS, [right, wrong, None])
    hit, miss, plain = (ax.get_title() for ax in axes.flat[1:4])
    assert hit == f"red ✓ {grounding.mass(MAPS[0], right):.0%}"
    assert miss == f"$star$ ✗ {grounding.mass(MAPS[1], wrong):.0%}"
    assert plain == "a"
    assert [len(ax.collections) for ax in axes.flat[:4]] == [0, 1, 1, 0]


def test_the_box_of_a_look_lies_around_the_place_of_the_largest_weight():
    mask = under_the_peak(MAPS[0])
    axes = plots.looks(PICTURE, ["red"], MAPS[:1], [mask])
    (box,) = (patch for patch in axes.flat[1].patches if isinstance(patch, Rectangle))
    rows, cols = mask.nonzero()
    assert box.get_xy() == (cols.min() - 0.5, rows.min() - 0.5)
    assert (box.get_width(), box.get_height()) == (8, 8)


def test_looks_want_a_mask_or_none_for_every_word():
    with pytest.raises(ValueError, match="3 words but 1 masks"):
        plots.looks(PICTURE, ["a", "red", "star"], MAPS, [None])


def test_every_share_stands_beside_its_own_chance():
    ax = plots.against_chance({"shape": (0.9, 0.2), "$size$": (0.4, 0.1)})
    bars = {bar.get_y() + bar.get_height() / 2: bar.get_width() for bar in ax.patches}
    (lines,) = ax.collections
    marks = {float(low[1] + high[1]) / 2: low[0] for low, high in lines.get_segments()}
    assert bars == pytest.approx({0: 0.9, 1: 0.4})
    assert marks == pytest.approx({0: 0.2, 1: 0.1})
    assert [label.get_text() for label in ax.get_yticklabels()] == ["shape", "$size$"]


def test_a_gallery_has_every_picture_with_its_whole_caption_below_it():
    captions = ["a dog", "a man in a $5 shirt is standing in front of a very long wall of bricks", "two cats"]
    axes = plots.gallery([PICTURE, PICTURE.transpose(1, 0, 2), PICTURE], captions, columns=2)
    assert [" ".join(ax.texts[0].get_text().split()) for ax in axes] == captions
    assert [ax.get_title() for ax in axes] == ["1", "2", "3"]


def test_captions_of_a_gallery_lie_on_no_picture_and_no_other_caption():
    long = "a man in a blue shirt is standing in front of a very long wall of red and brown bricks"
    axes = plots.gallery([PICTURE, PICTURE.transpose(1, 0, 2), PICTURE, PICTURE], [long] * 4, columns=2)
    figure = axes[0].figure
    figure.canvas.draw()
    shown = [box for ax in axes for box in (ax.images[0].get_window_extent(), ax.texts[0].get_window_extent())]
    assert not [(a, b) for i, a in enumerate(shown) for b in shown[:i] if a.padded(-1).overlaps(b.padded(-1))]


def test_a_gallery_wants_a_caption_for_every_picture():
    with pytest.raises(ValueError, match="2 pictures but 1 captions"):
        plots.gallery([PICTURE, PICTURE], ["a dog"])


@pytest.mark.parametrize("words", [1, 5])
def test_an_axis_that_is_given_is_drawn_on(words):
    figure, (left, right) = plt.subplots(1, 2)
    assert plots.against_chance({str(i): (0.5, 0.1) for i in range(words)}, right) is right
    assert not left.has_data()
    assert plt.get_fignums()[-1] == figure.number
