"""An encoder of patches: every place is a patch, it learns where it lies, and hears the others in the blocks alone."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from companion import encoders, patches
from companion.attention import SelfAttentionBlock


def noise(*shape, seed=0):
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def make(channels=8, **options):
    torch.manual_seed(0)
    return patches.PatchEncoder(channels, **options).eval().requires_grad_(False)


def shuffled(images, order):
    """Return images of 4 x 6 patches whose patches have changed places."""
    cells = images.float().unfold(2, 8, 8).unfold(3, 8, 8).flatten(2, 3)[:, :, order]  # batch channel place y x
    return cells.unflatten(2, (4, 6)).permute(0, 1, 2, 4, 3, 5).reshape(images.shape)


def test_patches_are_cut_row_by_row_and_hold_their_own_pixels():
    pixels = torch.arange(2 * 3 * 16 * 24.0).view(2, 3, 16, 24)
    cut = patches.to_patches(pixels)
    assert cut.shape == (2, 6, 192)
    for row in range(2):
        for col in range(3):
            own = pixels[:, :, 8 * row : 8 * row + 8, 8 * col : 8 * col + 8]
            assert torch.equal(cut[:, 3 * row + col], own.permute(0, 2, 3, 1).flatten(1))


def test_one_matrix_for_each_patch_is_a_convolution_with_stride_8():
    encoder, images = make(), noise(2, 3, 32, 48)
    kernel = encoder.patch_proj.weight.unflatten(1, (8, 8, 3)).permute(0, 3, 1, 2)
    maps = F.conv2d(images.float() / 127.5 - 1, kernel, encoder.patch_proj.bias, stride=8)
    positions = encoder.position_proj(encoders.grid_positions(4, 6))
    torch.testing.assert_close(encoder.embed(images).features, encoders.to_grid(maps).features + positions)


@pytest.mark.parametrize("registers", [0, 3])
@pytest.mark.parametrize("size", [(64, 64), (32, 48)])
def test_a_grid_has_an_eighth_of_the_rows_and_columns_and_no_register(size, registers):
    grid = make(registers=registers)(noise(2, 3, *size))
    assert (grid.rows, grid.cols) == (size[0] // 8, size[1] // 8)
    assert grid.features.shape == (2, grid.rows * grid.cols, 8)


@pytest.mark.parametrize("registers", [0, 3])
def test_a_place_depends_on_its_own_pixels_before_the_blocks_and_on_all_behind_them(registers):
    encoder, black = make(registers=registers), torch.zeros(1, 3, 32, 48, dtype=torch.uint8)
    spot = black.clone()
    spot[:, :, 16:24, 32:40] = 255  # row 2, col 4
    before, after = (
        (function(spot).features - function(black).features).abs().sum(-1)[0] > 0
        for function in (encoder.embed, encoder)
    )
    assert before.nonzero().tolist() == [[2 * 6 + 4]]
    assert after.all()


def test_without_positions_patches_that_change_places_take_their_features_along():
    encoder, images = make(), noise(1, 3, 32, 48)
    order = torch.randperm(24, generator=torch.Generator().manual_seed(1))
    moved = shuffled(images, order)
    assert not torch.allclose(encoder(moved).features, encoder(images).features[:, order], atol=1e-3)
    nn.init.zeros_(encoder.position_proj.weight)
    torch.testing.assert_close(encoder(moved).features, encoder(images).features[:, order], atol=1e-4, rtol=1e-4)


def test_registers_are_places_without_pixels_that_the_blocks_attend_to():
    encoder, images = make(registers=3), noise(2, 3, 16, 16)
    x = torch.cat([encoder.embed(images).features, encoder.registers.expand(2, 3, 8)], dim=1)
    for block in encoder.blocks:
        assert isinstance(block, SelfAttentionBlock)
        x = block(x)
    torch.testing.assert_close(encoder(images).features, x[:, :4])
    before = encoder(images).features
    encoder.registers.neg_()
    assert not torch.allclose(encoder(images).features, before, atol=1e-3)


def test_every_parameter_learns():
    encoder = make(registers=2).requires_grad_(True)
    encoder(noise(2, 3, 16, 16)).features.square().sum().backward()
    without = {name for name, p in encoder.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0}
    assert without <= {f"blocks.{i}.self_attention.key_proj.bias" for i in range(3)}  # softmax does not see it


@pytest.mark.parametrize("size", [(30, 64), (64, 4)])
def test_a_picture_that_cannot_be_cut_into_patches_is_refused_with_its_size(size):
    with pytest.raises(ValueError, match=f"{size[0]} x {size[1]} pixels"):
        make()(noise(1, 3, *size))
