"""Attention maps whose scores are known: uniform ones, those of one place, and captions of a scene made by hand."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from companion import scenes
from companion.metrics import grounding

ROWS, COLS, SIDE = 8, 8, 64  # eight by eight places of eight by eight pixels


def box(top, bottom, left, right):
    """Return the mask of a rectangle of pixels."""
    mask = np.zeros((SIDE, SIDE), bool)
    mask[top:bottom, left:right] = True
    return mask


def delta(row, col, rows=ROWS, cols=COLS):
    """Return a map with all attention on one place."""
    weights = torch.zeros(rows, cols)
    weights[row, col] = 1
    return weights


def uniform(rows=ROWS, cols=COLS):
    """Return a map with the same weight on every place."""
    return torch.full((rows, cols), 1 / (rows * cols))


def random_maps(seed, words=1, rows=5, cols=7):
    """Return maps that are the softmax of normally distributed scores."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(words, rows * cols, generator=generator).softmax(-1).view(words, rows, cols)


# --- maps and masks -----------------------------------------------------------------------------------------------


def test_upsampling_divides_a_weight_evenly_over_its_cell():
    up = grounding.upsample(torch.tensor([[[0.4, 0.2], [0.1, 0.3]]]), 4)
    expected = [[0.1, 0.1, 0.05, 0.05]] * 2 + [[0.025, 0.025, 0.075, 0.075]] * 2
    torch.testing.assert_close(up, torch.tensor([expected]))


def test_a_cell_that_ends_within_a_pixel_shares_it():
    """Two cells on three pixels: the middle pixel gets a third of each."""
    up = grounding.upsample(torch.tensor([[[0.75, 0.25], [0.0, 0.0]]]), 3)
    torch.testing.assert_close(up[0].sum(0), torch.tensor([0.5, 1 / 3, 1 / 6]))


@given(st.integers(0, 999), st.integers(1, 9), st.integers(1, 9), st.integers(1, 70))
@settings(max_examples=40, deadline=None)
def test_upsampling_keeps_the_sum_of_every_map(seed, rows, cols, size):
    weights = random_maps(seed, 3, rows, cols)
    up = grounding.upsample(weights, size)
    assert up.shape == (3, size, size)
    assert up.min() >= 0
    torch.testing.assert_close(up.sum((1, 2)), torch.ones(3))


@given(st.integers(0, 999), st.integers(1, 9), st.integers(1, 9))
@settings(max_examples=40, deadline=None)
def test_attention_mass_is_the_sum_of_the_upsampled_map_inside_the_mask(seed, rows, cols):
    mask = np.random.default_rng(seed).random((SIDE, SIDE)) < 0.3
    weights = random_maps(seed, 1, rows, cols)
    slow = grounding.upsample(weights, SIDE)[0][torch.from_numpy(mask)].sum()
    assert grounding.attention_mass(weights[0], mask) == pytest.approx(float(slow), abs=1e-5)


@pytest.mark.parametrize("grid", [(8, 8), (7, 7), (4, 6)])
def test_uniform_attention_has_the_share_of_the_image_as_its_mass(grid):
    mask = box(10, 30, 5, 45)  # 800 of 4096 pixels
    assert grounding.attention_mass(uniform(*grid), mask) == pytest.approx(800 / 4096)
    assert grounding.uniform_mass(mask) == 800 / 4096


def test_all_attention_on_a_cell_within_the_object_is_a_mass_of_one():
    assert grounding.attention_mass(delta(2, 5), box(16, 24, 40, 48)) == pytest.approx(1)
    assert grounding.attention_mass(delta(2, 5), box(16, 20, 40, 48)) == pytest.approx(0.5)
    assert grounding.attention_mass(delta(2, 5), box(24, 64, 0, 64)) == 0


def test_the_peak_hits_if_its_cell_holds_one_pixel_of_the_object():
    assert grounding.pointing(delta(2, 5), box(23, 24, 47, 48))
    assert not grounding.pointing(delta(2, 5), box(24, 25, 47, 48))  # one pixel lower
    assert not grounding.pointing(delta(2, 5), box(23, 24, 48, 49))  # one pixel to the right


def test_rows_and_columns_are_not_swapped():
    weights, mask = delta(0, 5, rows=2, cols=8), box(0, 32, 40, 48)
    assert grounding.pointing(weights, mask)
    assert not grounding.pointing(weights, mask.T.copy())
    assert grounding.attention_mass(weights, mask) == pytest.approx(1)


def test_a_small_peak_on_the_object_beats_a_large_share_beside_it():
    weights = 0.9 * uniform() + 0.1 * delta(0, 0)
    assert grounding.pointing(weights, box(0, 8, 0, 8))
    assert grounding.attention_mass(weights, box(0, 8, 0, 8)) == pytest.approx(0.9 / 64 + 0.1)


def test_a_map_without_a_single_peak_points_only_where_all_its_peaks_do():
    mask = box(0, 8, 0, 16)
    assert not grounding.pointing(uniform(), mask)
    assert grounding.pointing((delta(0, 0) + delta(0, 1)) / 2, mask)
    assert not grounding.pointing((delta(0, 0) + delta(0, 2)) / 2, mask)


def test_a_map_of_nan_points_nowhere():
    assert not grounding.pointing(torch.full((2, 2), math.nan), box(0, 64, 0, 64))


def test_entropy_counts_the_places_that_share_the_attention():
    maps = torch.stack([delta(3, 3), (delta(0, 0) + delta(7, 7)) / 2, uniform()])
    torch.testing.assert_close(grounding.entropy(maps), torch.tensor([0, math.log(2), math.log(64)]))
    torch.testing.assert_close(grounding.peakedness(maps), torch.tensor([1, 5 / 6, 0]))
    torch.testing.assert_close(grounding.entropy(0.3 * maps), grounding.entropy(maps))


# --- captions of a scene ------------------------------------------------------------------------------------------

RED, BLUE, ELSEWHERE = (1, 1), (6, 6), (1, 6)  # places: on the red circle, on the blue square, on neither
CIRCLE = scenes.scene_object("a small red circle", row=12, col=12)
SQUARE = scenes.scene_object("a large striped blue square", row=52, col=52)
MASKS = np.stack([box(8, 16, 8, 16), box(44, 60, 44, 60)])  # one whole cell; one whole cell and parts of eight more
SCENE = scenes.Scene(0, np.zeros((SIDE, SIDE, 3), np.uint8), (CIRCLE, SQUARE), MASKS, ())


def caption(text, **places):
    """Return a caption whose named words attend to the named places, and all other words evenly."""
    words = tuple(text.split())
    weights = torch.stack([delta(*places[word]) if word in places else uniform() for word in words])
    return SimpleNamespace(words=words, weights=weights)


def test_a_true_caption_is_graded_word_by_word():
    """Three words attend to the circle; of three for the square, one hits, one misses, one attends everywhere."""
    graded = caption(
        "a small red circle and a striped blue square", small=RED, red=RED, circle=RED, striped=BLUE, blue=ELSEWHERE
    )
    report = grounding.grade([graded], [SCENE])
    touched, square = 9 / 64, 256 / 4096
    assert report.classes["size"] == pytest.approx((1, 1, 1 / 64, 1, 64 / 4096))
    assert report.classes["texture"] == pytest.approx((1, 1, touched, 1, square))
    assert report.classes["colour"] == pytest.approx((2, 0.5, 5 / 64, 0.5, (64 / 4096 + square) / 2))
    assert report.classes["shape"] == pytest.approx((2, 0.5, 5 / 64, (1 + square) / 2, (64 / 4096 + square) / 2))
    assert report.overall.words == 6
    assert report.pointing == pytest.approx(4 / 6)
    assert report.overall.attention_mass == pytest.approx((1 + 1 + 1 + 1 + 0 + square) / 6)
    assert report.outcomes == (1, 0, 0, 0)


def test_attending_to_the_wrong_object_is_a_miss():
    report = grounding.grade([caption("a red circle", red=BLUE, circle=BLUE)], [SCENE])
    assert (report.overall.words, report.pointing, report.overall.attention_mass) == (2, 0, 0)
    assert report.outcomes == (0, 1, 0, 0)


def test_a_word_for_several_objects_may_attend_to_any_of_them():
    """Two red circles: the second stands in the cell of `BLUE`."""
    scene = SCENE._replace(objects=(CIRCLE, scenes.scene_object("a small red circle", row=52, col=52)))
    report = grounding.grade([caption("two red circles", red=RED, circles=BLUE)], [scene])
    assert report.pointing == 1
    assert report.overall.uniform_mass == pytest.approx((64 + 256) / 4096)


def test_captions_are_counted_by_truth_and_grounding():
    captions = [
        caption("a red circle", red=RED, circle=RED),  # true, grounded
        caption("a blue square", blue=BLUE, square=BLUE),  # true, grounded
        caption("a blue square", blue=BLUE, square=RED),  # true, half of its words are grounded: at the threshold
        caption("a red circle", red=BLUE, circle=ELSEWHERE),  # true, not grounded
        caption("a red square", red=RED, square=BLUE),  # false; each word attends to what it describes
        caption("a blue circle", blue=ELSEWHERE, circle=BLUE),  # false, not grounded
        caption("a green circle", green=ELSEWHERE, circle=RED),  # false; nothing is green, so only "circle" counts
        caption("a green heart", green=RED, heart=RED),  # no word describes an object
        caption("square the of of", square=BLUE),  # does not parse, so false
        SimpleNamespace(words=(), weights=torch.zeros(0, ROWS, COLS)),
    ]
    report = grounding.grade(captions, [SCENE] * len(captions))
    assert report.outcomes == (3, 1, 3, 1)
    assert report.outcomes.true_and_grounded == 3 / 8
    assert report.ungraded == 2
    assert report.overall.words == 8  # of the four true captions only
    strict = grounding.grade(captions, [SCENE] * len(captions), threshold=1.0)
    assert strict.outcomes == (2, 2, 3, 1)


def test_relation_and_count_words_are_not_graded():
    graded = caption("one red circle is left of one blue square", red=RED, circle=RED, blue=BLUE, square=BLUE)
    assert grounding.grade([graded], [SCENE]).overall.words == 4


def test_the_referents_of_a_word_are_the_objects_that_it_describes():
    assert grounding.referents("small", SCENE) == (0,)
    assert grounding.referents("big", SCENE) == (1,)
    assert grounding.referents("squares", SCENE) == (1,)
    assert grounding.referents("plain", SCENE) == (0,)
    assert all(grounding.referents(word, SCENE) == () for word in ("green", "left", "one", "a", "zebra"))


def test_references_that_attend_to_what_they_mention_have_perfect_scores(world):
    """Drawn scenes: each word of a reference attends evenly to the pixels of the objects that it refers to."""
    world, captions = world[:8], []
    for scene in world:
        reference = scene.captions[0]
        maps = torch.full((len(reference.words), SIDE, SIDE), 1 / SIDE**2)
        for word, mentioned in enumerate(reference.mentions):
            if mentioned:
                mask = torch.from_numpy(scene.masks[list(mentioned)].any(0))
                maps[word] = mask / mask.sum()
        captions.append(SimpleNamespace(words=reference.words, weights=maps))
    report = grounding.grade(captions, world)
    assert report.overall.words >= 16
    assert report.pointing == 1
    assert report.overall.attention_mass == pytest.approx(1)
    assert report.outcomes == (8, 0, 0, 0)


def test_random_maps_reach_the_chance_levels(world):
    """Over many words the two chance levels are what maps without any knowledge reach."""
    lines = [scene.captions[1].words for scene in world]
    captions = [SimpleNamespace(words=w, weights=random_maps(i, len(w), 8, 8)) for i, w in enumerate(lines)]
    overall = grounding.grade(captions, world).overall
    assert overall.words > 500
    assert overall.pointing == pytest.approx(overall.chance, abs=0.06)  # four standard errors of 600 words
    assert overall.attention_mass == pytest.approx(overall.uniform_mass, abs=0.02)
    assert overall.chance > overall.uniform_mass  # cells that touch an object extend beyond its edge


def test_without_a_true_caption_the_scores_are_nan():
    report = grounding.grade([caption("a green heart")], [SCENE])
    assert report.overall.words == 0
    assert math.isnan(report.pointing)
    assert math.isnan(report.outcomes.true_and_grounded)


def test_captions_without_their_scene_or_without_laid_out_maps_are_refused():
    with pytest.raises(ValueError, match="1 captions but 2 scenes"):
        grounding.grade([caption("a red circle")], [SCENE, SCENE])
    flattened = SimpleNamespace(words=("a", "red", "circle"), weights=torch.zeros(3, 64))
    with pytest.raises(ValueError, match=r"captions\[0\] has 3 words but weights of shape \(3, 64\)"):
        grounding.grade([flattened], [SCENE])
