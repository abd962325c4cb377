"""Graded filmstrips agree with `metrics.grounding`; bars lie beside their chance levels; galleries stay legible."""

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.patches import Rectangle

matplotlib.use("agg")
from companion import plots
from companion.metrics import grounding

PICTURE = np.random.default_rng(0).integers(0, 256, (32, 64, 3), dtype=np.uint8)
MAPS = torch.rand(3, 4, 8, generator=torch.Generator().manual_seed(0))
MAPS = MAPS / MAPS.sum((1, 2), keepdim=True)


@pytest.fixture(autouse=True)
def no_figure_is_left():
    yield
    plt.close("all")


def under_the_peak(weights):
    """Return a mask of the cell with the largest weight, eight by eight pixels."""
    row, col = divmod(int(weights.argmax()), weights.shape[1])
    mask = np.zeros(PICTURE.shape[:2], dtype=bool)
    mask[8 * row : 8 * row + 8, 8 * col : 8 * col + 8] = True
    return mask


def test_a_frame_has_a_tick_for_a_hit_a_cross_for_a_miss_and_neither_without_a_mask():
    right, wrong = under_the_peak(MAPS[0]), ~under_the_peak(MAPS[1])
    axes = plots.graded_filmstrip(PICTURE, ["red", "$star$", "a"], MAPS, masks=[right, wrong, None])
    hit, miss, plain = (ax.get_title() for ax in axes.flat[1:4])
    assert hit == f"red ✓ {grounding.attention_mass(MAPS[0], right):.0%}"
    assert miss == f"$star$ ✗ {grounding.attention_mass(MAPS[1], wrong):.0%}"
    assert plain == "a"
    assert [len(ax.collections) for ax in axes.flat[:4]] == [0, 1, 1, 0]


def test_the_box_of_a_frame_lies_around_the_cell_with_the_largest_weight():
    mask = under_the_peak(MAPS[0])
    axes = plots.graded_filmstrip(PICTURE, ["red"], MAPS[:1], masks=[mask])
    (box,) = (patch for patch in axes.flat[1].patches if isinstance(patch, Rectangle))
    rows, cols = mask.nonzero()
    assert box.get_xy() == (cols.min() - 0.5, rows.min() - 0.5)
    assert (box.get_width(), box.get_height()) == (8, 8)


def test_a_graded_filmstrip_needs_a_mask_or_none_for_every_word():
    with pytest.raises(ValueError, match="3 words but 1 masks"):
        plots.graded_filmstrip(PICTURE, ["a", "red", "star"], MAPS, masks=[None])


def test_every_bar_has_its_own_chance_level():
    ax = plots.against_chance({"shape": (0.9, 0.2), "$size$": (0.4, 0.1)})
    bars = {bar.get_y() + bar.get_height() / 2: bar.get_width() for bar in ax.patches}
    (lines,) = ax.collections
    marks = {float(low[1] + high[1]) / 2: low[0] for low, high in lines.get_segments()}
    assert bars == pytest.approx({0: 0.9, 1: 0.4})
    assert marks == pytest.approx({0: 0.2, 1: 0.1})
    assert [label.get_text() for label in ax.get_yticklabels()] == ["shape", "$size$"]


def test_a_gallery_has_every_picture_with_its_whole_caption():
    captions = ["a dog", "a man in a $5 shirt is standing in front of a very long wall of bricks", "two cats"]
    axes = plots.gallery([PICTURE, PICTURE.transpose(1, 0, 2), PICTURE], captions, columns=2)
    assert [" ".join(ax.texts[0].get_text().split()) for ax in axes] == captions
    assert [ax.get_title() for ax in axes] == ["1", "2", "3"]


def test_captions_of_a_gallery_overlap_no_picture_and_no_other_caption():
    long = "a man in a blue shirt is standing in front of a very long wall of red and brown bricks"
    axes = plots.gallery([PICTURE, PICTURE.transpose(1, 0, 2), PICTURE, PICTURE], [long] * 4, columns=2)
    figure = axes[0].figure
    figure.canvas.draw()
    boxes = [box for ax in axes for box in (ax.images[0].get_window_extent(), ax.texts[0].get_window_extent())]
    assert not [(a, b) for i, a in enumerate(boxes) for b in boxes[:i] if a.padded(-1).overlaps(b.padded(-1))]


def test_a_gallery_needs_a_caption_for_every_picture():
    with pytest.raises(ValueError, match="2 pictures but 1 captions"):
        plots.gallery([PICTURE, PICTURE], ["a dog"])


@pytest.mark.parametrize("words", [1, 5])
def test_a_figure_is_drawn_on_the_axes_that_it_is_given(words):
    figure, (left, right) = plt.subplots(1, 2)
    assert plots.against_chance({str(i): (0.5, 0.1) for i in range(words)}, ax=right) is right
    assert not left.has_data()
    assert plt.get_fignums()[-1] == figure.number
