"""Shear, zoom and mirror pictures, one matrix per picture, and repair the captions that a mirror makes false.

The four classic augmentations are rescaling, shear, zoom and horizontal flip. The first is a division. The other three
are one affine matrix, so a picture is resampled once and not three times. A flip changes what is true: "the dog on the
left" is then on the right; `flip_falsifies` and `mirror_caption` handle such captions. Explained in the chapter on
augmentation.
"""

import re

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor
from torch.nn import functional as F

# Not "bright" or "upright"; "left-hand" is found up to its hyphen. Only the ASCII letters, in either case.
_SIDE = re.compile(r"(?<![^\W_])(?ai:(left|right))(?=(?ai:most|wards?|hand(?:ed)?)?(?![^\W_]))")


def rescale(images: UInt8[Tensor, "*batch channel row col"]) -> Float[Tensor, "*batch channel row col"]:
    """Return bytes 0 to 255 as numbers 0 to 1."""
    return images / 255


def affine(
    shear: Float[Tensor, "batch"], zoom: Float[Tensor, "batch"], flip: Bool[Tensor, "batch"]
) -> Float[Tensor, "batch 2 3"]:
    r"""Return the matrices that shear, then zoom, then flip pictures about their centre.

    .. math:: \begin{pmatrix} x_{in} \\ y_{in} \end{pmatrix} =
              \begin{pmatrix} f / z & \tan(s) / z & 0 \\ 0 & 1 / z & 0 \end{pmatrix}
              \begin{pmatrix} x_{out} \\ y_{out} \\ 1 \end{pmatrix}

    For each place of the new picture, the matrix gives the place in the old one to sample, hence the divisions: z = 2
    makes everything twice as large. x runs to the right and y down, both from -1 to 1 between the outer edges.

    Args:
        shear: s, in degrees, as in Keras. In a square picture an upright line leans by so many degrees, its top to the
            right when s > 0.
        zoom: z, a factor. In Keras a factor above 1 makes things smaller.
        flip: f is -1 where True, else 1.

    Source: Jaderberg et al. (2015), Spatial Transformer Networks, equation 1.
    """
    slope = torch.tan(torch.deg2rad(shear))
    sign = torch.where(flip, -1.0, 1.0).to(zoom.dtype)
    zero = torch.zeros_like(zoom)
    x_in = torch.stack([sign / zoom, slope / zoom, zero], dim=-1)
    y_in = torch.stack([zero, 1 / zoom, zero], dim=-1)
    return torch.stack([x_in, y_in], dim=-2)


def compose(first: Float[Tensor, "batch 2 3"], second: Float[Tensor, "batch 2 3"]) -> Float[Tensor, "batch 2 3"]:
    """Return the matrices that have the effect of `first` and then `second`.

    They map from the new picture back to the old one, so the product is `first @ second`.
    """
    last_row = first.new_tensor([[[0.0, 0.0, 1.0]]]).expand(len(first), 1, 3)
    return first @ torch.cat([second, last_row], dim=1)


def apply(
    images: Float[Tensor, "batch channel row col"], matrices: Float[Tensor, "batch 2 3"]
) -> Float[Tensor, "batch channel row col"]:
    """Return each picture resampled through its matrix, bilinear between pixels; edge pixels extend beyond the edge."""
    # align_corners must be the same in both: False says that -1 and 1 are the outer edges of the outer pixels.
    grid = F.affine_grid(matrices, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)


def random(
    batch: int,
    generator: torch.Generator,
    *,
    shear: float = 10.0,
    zoom: float = 0.2,
    flip: bool | Bool[Tensor, "batch"] = True,
) -> Float[Tensor, "batch 2 3"]:
    """Return random matrices, uniform within the given limits; every second picture is flipped.

    The often copied `shear_range=0.2` means 0.2 degrees in Keras: in 224 pixels, that moves the edge by less than half
    of one.

    Args:
        batch: number of matrices.
        generator: source of randomness.
        shear: limit in degrees: shear is within ±`shear`.
        zoom: limit of the factor, which is within 1 ± `zoom`.
        flip: whether a picture may be flipped: for all, or for each (see `flip_falsifies`).
    """
    assert 0 <= shear < 90, f"shear={shear} degrees: 90 would lay everything flat"
    assert 0 <= zoom < 1, f"zoom={zoom}: at 1 - zoom = 0 nothing would be left of the picture"
    uniform = torch.rand(3, batch, generator=generator, device=generator.device)
    allowed = torch.as_tensor(flip, device=uniform.device)
    return affine(shear * (2 * uniform[0] - 1), 1 + zoom * (2 * uniform[1] - 1), (uniform[2] < 0.5) & allowed)


def flip_falsifies(caption: str) -> bool:
    """Return whether a caption names a side (left, rightmost, leftward, right-hand), so that a flip may make it false.

    Any "left" counts, even in "a dog left alone". Lettering is mirrored too, which no caption tells.
    """
    return bool(_SIDE.search(caption))


def mirror_caption(caption: str) -> str:
    """Return the caption of the mirrored picture: left and right exchanged, capitals kept (left, Left, LEFT).

    Mirroring twice gives the caption back.
    """
    return _SIDE.sub(_other_side, caption)


def _other_side(match: re.Match[str]) -> str:
    side = match[1]
    other = "right" if side.lower() == "left" else "left"
    return other.upper() if side.isupper() else other.capitalize() if side[0].isupper() else other
