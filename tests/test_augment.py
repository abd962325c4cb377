"""One matrix shears, zooms and flips an image; captions that the flip makes false are found."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from companion.datasets import augment

UPRIGHT, FLIPPED = torch.tensor([False]), torch.tensor([True])


def one(value):
    return torch.tensor([float(value)])


def images(count=2, side=16, seed=0):
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(seed))


def smooth_image(side=48):
    """An image without sharp edges, on which resampling once and resampling twice differ little."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, side), torch.linspace(-1, 1, side), indexing="ij")
    return torch.stack([torch.sin(2 * x + y), torch.cos(x - 2 * y), x * y])[None]


def square(side=64, half=8):
    image = torch.zeros(1, 1, side, side)
    image[..., side // 2 - half : side // 2 + half, side // 2 - half : side // 2 + half] = 1
    return image


def test_the_matrix_that_does_nothing_changes_nothing():
    matrix = augment.affine(one(0), one(1), UPRIGHT)
    assert_close(matrix, torch.eye(3)[None, :2])
    assert_close(augment.apply(images(1), matrix), images(1))


def test_a_flip_equals_reversing_the_columns():
    """grid_sample against torch.flip: two different settings of align_corners would show here."""
    flipped = augment.apply(images(1), augment.affine(one(0), one(1), FLIPPED))
    assert_close(flipped, images(1).flip(-1))


def test_flipping_twice_gives_the_image_back():
    flip = augment.affine(one(0), one(1), FLIPPED)
    assert_close(augment.apply(augment.apply(images(1), flip), flip), images(1))
    assert_close(augment.compose(flip, flip), torch.eye(3)[None, :2])


@pytest.mark.parametrize("zoom", [0.5, 1.5, 2.0, 3.0])
def test_zoom_multiplies_lengths(zoom):
    """A square of side 16 in the middle covers (16 zoom)² pixels afterwards: zoom 2 doubles its side."""
    zoomed = augment.apply(square(), augment.affine(one(0), one(zoom), UPRIGHT))
    assert zoomed.sum().item() == pytest.approx((16 * zoom) ** 2, rel=0.03)
    side = (zoomed[0, 0, 32] > 0.5).sum().item()
    assert side == pytest.approx(16 * zoom, abs=1)


@pytest.mark.parametrize("degrees", [-30.0, -10.0, 0.0, 20.0, 40.0])
def test_shear_leans_an_upright_line_by_so_many_degrees(degrees):
    """The line through the middle, 40 rows apart, has moved by 40 tan(degrees) columns, its top to the right."""
    line = torch.zeros(1, 1, 65, 65)
    line[..., 32] = 1
    leaning = augment.apply(line, augment.affine(one(degrees), one(1), UPRIGHT))[0, 0]
    centre = (leaning * torch.arange(65.0)).sum(1) / leaning.sum(1)
    assert (centre[12] - centre[52]).item() == pytest.approx(40 * math.tan(math.radians(degrees)), abs=0.1)


def test_shear_leaves_rows_in_their_rows():
    rows = torch.arange(16.0)[None, None, :, None].expand(1, 1, 16, 16)
    assert_close(augment.apply(rows, augment.affine(one(25), one(1), UPRIGHT)), rows)


def three_steps():
    return [augment.affine(one(s), one(z), f) for s, z, f in ((12, 1, UPRIGHT), (0, 1.3, UPRIGHT), (0, 1, FLIPPED))]


def test_one_matrix_equals_shear_then_zoom_then_flip():
    """The formula fixes the order of the three; the witness is the composition of three single matrices."""
    steps = three_steps()
    composed = augment.compose(augment.compose(steps[0], steps[1]), steps[2])
    assert_close(augment.affine(one(12), one(1.3), FLIPPED), composed)
    assert not torch.allclose(composed, augment.compose(augment.compose(steps[2], steps[1]), steps[0]))


def test_resampling_once_equals_resampling_three_times():
    """Away from the edges, up to the blur of two more interpolations."""
    image = smooth_image()
    steps = three_steps()
    thrice = image
    for step in steps:
        thrice = augment.apply(thrice, step)
    once = augment.apply(image, augment.affine(one(12), one(1.3), FLIPPED))
    inside = slice(8, -8)
    assert_close(once[..., inside, inside], thrice[..., inside, inside], atol=5e-3, rtol=0)


def test_each_image_of_a_batch_has_its_own_matrix():
    matrices = augment.affine(torch.tensor([0.0, 0.0]), torch.tensor([1.0, 1.0]), torch.tensor([False, True]))
    plain, flipped = augment.apply(images(2), matrices)
    assert_close(plain, images(2)[0])
    assert_close(flipped, images(2)[1].flip(-1))


def test_edge_pixels_extend_beyond_the_edge():
    """No black corners: a white image stays white under every matrix."""
    white = torch.ones(8, 3, 10, 10)
    matrices = augment.random(8, torch.Generator().manual_seed(0), shear=40.0, zoom=0.5)
    assert_close(augment.apply(white, matrices), white)


def test_the_same_generator_state_gives_the_same_matrices():
    first, second, other = (augment.random(4, torch.Generator().manual_seed(seed)) for seed in (3, 3, 4))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_random_matrices_stay_within_their_limits():
    matrices = augment.random(2000, torch.Generator().manual_seed(0), shear=10.0, zoom=0.2)
    zoom, flipped = 1 / matrices[:, 1, 1], matrices[:, 0, 0] < 0
    degrees = torch.rad2deg(torch.atan(matrices[:, 0, 1] * zoom))
    assert 0.8 <= zoom.min() < 0.82 < 1.18 < zoom.max() <= 1.2
    assert -10.001 <= degrees.min() < -9.5 < 9.5 < degrees.max() <= 10.001
    assert 0.45 < flipped.float().mean() < 0.55


@pytest.mark.parametrize("allowed", [False, torch.arange(400) % 2 == 0])
def test_only_images_that_may_be_flipped_are(allowed):
    flipped = augment.random(400, torch.Generator().manual_seed(0), flip=allowed)[:, 0, 0] < 0
    assert not (flipped & ~torch.as_tensor(allowed)).any()
    assert flipped.any() == torch.as_tensor(allowed).any()


def test_rescaling_maps_bytes_to_zero_to_one():
    bytes_ = torch.tensor([[[0, 51, 255]]], dtype=torch.uint8)
    assert_close(augment.rescale(bytes_), torch.tensor([[[0.0, 0.2, 1.0]]]))


SIDES = [  # caption, the caption of the mirrored image
    ("a red square left of a blue circle", "a red square right of a blue circle"),
    ("The dog on the right.", "The dog on the left."),
    ("Left: a cat. RIGHT: a dog", "Right: a cat. LEFT: a dog"),
    ("the leftmost of three, facing rightwards", "the rightmost of three, facing leftwards"),
    ("a left-handed player in the right-hand corner", "a right-handed player in the left-hand corner"),
    ("from left to right", "from right to left"),
]
NO_SIDES = ["a bright upright sign", "two dogs run", "a cleft rock", "lefty rightly frightened", "a copyright", ""]


@pytest.mark.parametrize(("caption", "mirrored"), SIDES)
def test_a_caption_that_names_a_side_is_falsified_and_can_be_mirrored(caption, mirrored):
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
    assert (mirrored != caption) == augment.flip_falsifies(caption, "en")
    assert augment.flip_falsifies(mirrored, "en") == augment.flip_falsifies(caption, "en")
