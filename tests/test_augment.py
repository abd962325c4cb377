"""One matrix shears, zooms and flips a picture; what the flip makes false is known."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from companion import augment

NO, YES = torch.tensor([False]), torch.tensor([True])


def one(value):
    return torch.tensor([float(value)])


def pictures(count=2, side=16, seed=0):
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(seed))


def smooth(side=48):
    """A picture without sharp edges: there, resampling once and resampling twice may not differ by much."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, side), torch.linspace(-1, 1, side), indexing="ij")
    return torch.stack([torch.sin(2 * x + y), torch.cos(x - 2 * y), x * y])[None]


def square(side=64, half=8):
    image = torch.zeros(1, 1, side, side)
    image[..., side // 2 - half : side // 2 + half, side // 2 - half : side // 2 + half] = 1
    return image


def test_the_matrix_that_does_nothing_changes_nothing():
    matrix = augment.affine(one(0), one(1), NO)
    assert_close(matrix, torch.eye(3)[None, :2])
    assert_close(augment.apply(pictures(1), matrix), pictures(1))


def test_a_flip_equals_reversing_the_columns():
    """grid_sample against torch.flip: this is where unlike settings of align_corners show."""
    flipped = augment.apply(pictures(1), augment.affine(one(0), one(1), YES))
    assert_close(flipped, pictures(1).flip(-1))


def test_flipping_twice_gives_the_picture_back():
    flip = augment.affine(one(0), one(1), YES)
    assert_close(augment.apply(augment.apply(pictures(1), flip), flip), pictures(1))
    assert_close(augment.compose(flip, flip), torch.eye(3)[None, :2])


@pytest.mark.parametrize("zoom", [0.5, 1.5, 2.0, 3.0])
def test_zoom_multiplies_lengths(zoom):
    """A square of side 16 in the middle covers (16 zoom)² pixels afterwards: zoom 2 doubles its side."""
    zoomed = augment.apply(square(), augment.affine(one(0), one(zoom), NO))
    assert zoomed.sum().item() == pytest.approx((16 * zoom) ** 2, rel=0.03)
    side = (zoomed[0, 0, 32] > 0.5).sum().item()
    assert side == pytest.approx(16 * zoom, abs=1)


@pytest.mark.parametrize("degrees", [-30.0, -10.0, 0.0, 20.0, 40.0])
def test_shear_leans_an_upright_line_by_so_many_degrees(degrees):
    """The line through the middle, 40 rows apart, has moved by 40 tan(degrees) columns, its top to the right."""
    line = torch.zeros(1, 1, 65, 65)
    line[..., 32] = 1
    leaning = augment.apply(line, augment.affine(one(degrees), one(1), NO))[0, 0]
    centre = (leaning * torch.arange(65.0)).sum(1) / leaning.sum(1)
    assert (centre[12] - centre[52]).item() == pytest.approx(40 * math.tan(math.radians(degrees)), abs=0.1)


def test_shear_leaves_rows_in_their_rows():
    rows = torch.arange(16.0)[None, None, :, None].expand(1, 1, 16, 16)
    assert_close(augment.apply(rows, augment.affine(one(25), one(1), NO)), rows)


def three_steps():
    return [augment.affine(one(s), one(z), f) for s, z, f in ((12, 1, NO), (0, 1.3, NO), (0, 1, YES))]


def test_one_matrix_equals_shear_then_zoom_then_flip():
    """In the formula, the order of the three is fixed; composing three single matrices is the witness."""
    steps = three_steps()
    composed = augment.compose(augment.compose(steps[0], steps[1]), steps[2])
    assert_close(augment.affine(one(12), one(1.3), YES), composed)
    assert not torch.allclose(composed, augment.compose(augment.compose(steps[2], steps[1]), steps[0]))


def test_resampling_once_equals_resampling_three_times():
    """Inside the picture, up to what two more interpolations blur."""
    image = smooth()
    steps = three_steps()
    thrice = image
    for step in steps:
        thrice = augment.apply(thrice, step)
    once = augment.apply(image, augment.affine(one(12), one(1.3), YES))
    inside = slice(8, -8)
    assert_close(once[..., inside, inside], thrice[..., inside, inside], atol=5e-3, rtol=0)


def test_each_picture_of_a_batch_has_its_own_matrix():
    matrices = augment.affine(torch.tensor([0.0, 0.0]), torch.tensor([1.0, 1.0]), torch.tensor([False, True]))
    plain, flipped = augment.apply(pictures(2), matrices)
    assert_close(plain, pictures(2)[0])
    assert_close(flipped, pictures(2)[1].flip(-1))


def test_beyond_the_edge_the_edge_goes_on():
    """No black corners: a white picture stays white whatever is done to it."""
    white = torch.ones(8, 3, 10, 10)
    matrices = augment.random(8, torch.Generator().manual_seed(0), shear=40.0, zoom=0.5)
    assert_close(augment.apply(white, matrices), white)


def test_the_same_generator_state_draws_the_same_matrices():
    first, second, other = (augment.random(4, torch.Generator().manual_seed(seed)) for seed in (3, 3, 4))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_random_matrices_stay_within_their_limits():
    drawn = augment.random(2000, torch.Generator().manual_seed(0), shear=10.0, zoom=0.2)
    zoom, flipped = 1 / drawn[:, 1, 1], drawn[:, 0, 0] < 0
    degrees = torch.rad2deg(torch.atan(drawn[:, 0, 1] * zoom))
    assert 0.8 <= zoom.min() < 0.82 < 1.18 < zoom.max() <= 1.2
    assert -10.001 <= degrees.min() < -9.5 < 9.5 < degrees.max() <= 10.001
    assert 0.45 < flipped.float().mean() < 0.55


@pytest.mark.parametrize("allowed", [False, torch.arange(400) % 2 == 0])
def test_only_pictures_that_may_be_flipped_are(allowed):
    flipped = augment.random(400, torch.Generator().manual_seed(0), flip=allowed)[:, 0, 0] < 0
    assert not (flipped & ~torch.as_tensor(allowed)).any()
    assert flipped.any() == torch.as_tensor(allowed).any()


def test_rescaling_maps_bytes_to_zero_to_one():
    bytes_ = torch.tensor([[[0, 51, 255]]], dtype=torch.uint8)
    assert_close(augment.rescale(bytes_), torch.tensor([[[0.0, 0.2, 1.0]]]))


SIDES = [  # caption, the caption of the mirrored picture
    ("a red square left of a blue circle", "a red square right of a blue circle"),
    ("The dog on the right.", "The dog on the left."),
    ("Left: a cat. RIGHT: a dog", "Right: a cat. LEFT: a dog"),
    ("the leftmost of three, facing rightwards", "the rightmost of three, facing leftwards"),
    ("a left-handed player in the right-hand corner", "a right-handed player in the left-hand corner"),
    ("from left to right", "from right to left"),
]
NO_SIDES = ["a bright upright sign", "two dogs run", "a cleft rock", "lefty rightly frightened", "a copyright", ""]


@pytest.mark.parametrize(("caption", "mirrored"), SIDES)
def test_a_caption_that_says_left_or_right_is_falsified_and_can_be_mirrored(caption, mirrored):
    assert augment.flip_falsifies(caption)
    assert augment.mirror_caption(caption) == mirrored


@pytest.mark.parametrize("caption", NO_SIDES)
def test_other_captions_survive_a_flip_unchanged(caption):
    assert not augment.flip_falsifies(caption)
    assert augment.mirror_caption(caption) == caption


WORDS = ["left", "right", "Left", "RIGHT", "leftmost", "right-hand", "leftwards", "bright", "dog", "rıght", "-", "."]


@given(st.lists(st.sampled_from(WORDS) | st.text(max_size=4), max_size=8).map(" ".join))
def test_mirroring_twice_gives_the_caption_back(caption):
    """And a caption changes in the mirror exactly if a flip falsifies it."""
    mirrored = augment.mirror_caption(caption)
    assert augment.mirror_caption(mirrored) == caption
    assert (mirrored != caption) == augment.flip_falsifies(caption)
    assert augment.flip_falsifies(mirrored) == augment.flip_falsifies(caption)
