"""A vision transformer for drawn scenes: an image is cut into patches, and the patches attend to each other.

`PatchEncoder` takes the place of `encoders.ConvEncoder`. Explained in the chapter on places without convolution.
"""

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from companion.attention import SelfAttentionBlock
from companion.encoders import POSITION_CHANNELS, Grid, Images, grid_positions, to_pixels

PATCH = 8  # pixels a side


def to_patches(pixels: Float[Tensor, "batch 3 row col"]) -> Float[Tensor, "batch place pixel"]:
    """Cut images into patches of `PATCH` by `PATCH` pixels, row by row; the values of a patch are y x channel in a row.

    Raises ValueError if a side of the images is not a multiple of `PATCH`.
    """
    rows, cols = pixels.shape[-2:]
    if rows % PATCH or cols % PATCH:
        raise ValueError(f"{rows} x {cols} pixels cannot be cut into patches of {PATCH} x {PATCH}; crop or resize them")
    return rearrange(pixels, "batch c (row y) (col x) -> batch (row col) (y x c)", y=PATCH, x=PATCH)


class PatchEncoder(nn.Module):
    """A vision transformer (Dosovitskiy et al. 2021, equations 1 to 3), trained from scratch, without a class token.

    Each patch of 8 x 8 pixels is a place. One matrix turns its pixels into a vector, the projected positional encoding
    of the place (`encoders.grid_positions`) is added, and in every block the places attend to each other. The paper's
    positional encoding is a learned vector for each place of a picture of fixed size; this one fits every size.

    Registers (Darcet et al. 2024, section 2.2) are learned vectors that take part in self-attention as further places
    and are left out of the grid.

    Args:
        channels: of a place; a multiple of the number of heads, which is 4.
        blocks: number of self-attention blocks.
        registers: number of registers.
    """

    def __init__(self, channels: int = 128, blocks: int = 3, registers: int = 0):
        super().__init__()
        self.channels = channels
        self.patch_proj = nn.Linear(3 * PATCH**2, channels)
        self.position_proj = nn.Linear(POSITION_CHANNELS, channels)
        self.registers = nn.Parameter(torch.randn(registers, channels)) if registers else None
        self.blocks = nn.Sequential(*(SelfAttentionBlock(channels) for _ in range(blocks)))

    def embed(self, images: Images) -> Grid:
        """Return the grid of images (see `to_pixels`) as the first block gets it, but without the registers.

        Raises ValueError if a side of the images is not a multiple of `PATCH`.
        """
        pixels = to_pixels(images, self.patch_proj.weight.dtype) / 127.5 - 1
        rows, cols = (side // PATCH for side in pixels.shape[-2:])
        features = self.patch_proj(to_patches(pixels))
        positions = self.position_proj(grid_positions(rows, cols).to(features))
        return Grid(features + positions, rows, cols)

    def add_registers(self, places: Float[Tensor, "batch place channel"]) -> Float[Tensor, "batch all channel"]:
        """Return the places and, behind them, the registers."""
        if self.registers is None:
            return places
        return torch.cat([places, self.registers.expand(len(places), -1, -1)], dim=1)

    def forward(self, images: Images) -> Grid:
        """Return the grid of images: `rows / 8` by `cols / 8` places. Raises ValueError as `embed` does."""
        grid = self.embed(images)
        places = self.blocks(self.add_registers(grid.features))
        return grid._replace(features=places[:, : grid.rows * grid.cols])
