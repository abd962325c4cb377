"""Pictures go in; the same pictures sheared, zoomed and mirrored by one matrix each come out, and captions to match.

The four classic augmentations are rescaling, shear, zoom and horizontal flip. The first is a division; the other three
are one affine matrix, so a picture is resampled once and not three times. A flip changes what is true: "the dog on the
left" is then on the right, and this module knows which captions say so. Explained in the chapter on augmentation.
"""

import re

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor
from torch.nn import functional as F

# Not "bright" or "upright"; "left-hand" is caught at its hyphen. Only the ASCII letters, whatever their case.
_SIDE = re.compile(r"(?<![^\W_])(?ai:(left|right))(?=(?ai:most|wards?|hand(?:ed)?)?(?![^\W_]))")


def rescale(images: UInt8[Tensor, "*batch channel row col"]) -> Float[Tensor, "*batch channel row col"]:
    """Bytes 0..255 to numbers 0..1."""
    return images / 255


def affine(
    shear: Float[Tensor, " batch"], zoom: Float[Tensor, " batch"], flip: Bool[Tensor, " batch"]
) -> Float[Tensor, "batch 2 3"]:
    r"""The matrices that shear, then zoom, then flip pictures about their centre.

    .. math:: \begin{pmatrix} x_{in} \\ y_{in} \end{pmatrix} =
              \begin{pmatrix} f / z & \tan(s) / z & 0 \\ 0 & 1 / z & 0 \end{pmatrix}
              \begin{pmatrix} x_{out} \\ y_{out} \\ 1 \end{pmatrix}

    A matrix says for each place of the new picture where in the old one to look, hence the divisions: z = 2 makes
    everything twice as large. s is `shear` in degrees, as in Keras: an upright line leans that far over in a square
    picture, its top to the right when s > 0. z is `zoom`, a factor; in Keras more than 1 makes things smaller. f is -1
    where `flip` holds, else 1. x runs to the right and y down, both from -1 to 1 between the outer edges.

    Source: Jaderberg et al. (2015), Spatial Transformer Networks, equation 1.
    """
    slope = torch.tan(torch.deg2rad(shear))
    sign = torch.where(flip, -1.0, 1.0).to(zoom.dtype)
    nothing = torch.zeros_like(zoom)
    x_in = torch.stack([sign / zoom, slope / zoom, nothing], dim=-1)
    y_in = torch.stack([nothing, 1 / zoom, nothing], dim=-1)
    return torch.stack([x_in, y_in], dim=-2)


def compose(first: Float[Tensor, "batch 2 3"], second: Float[Tensor, "batch 2 3"]) -> Float[Tensor, "batch 2 3"]:
    """The one matrix that does what `first` does and then `second`: they look backwards, so `first` stands left."""
    last_row = first.new_tensor([[[0.0, 0.0, 1.0]]]).expand(len(first), 1, 3)
    return first @ torch.cat([second, last_row], dim=1)


def apply(
    images: Float[Tensor, "batch channel row col"], matrices: Float[Tensor, "batch 2 3"]
) -> Float[Tensor, "batch channel row col"]:
    """Each picture seen through its matrix, bilinear between pixels; beyond the edge, the edge pixel goes on."""
    # align_corners must be the same in both: False says that -1 and 1 are the outer edges of the outer pixels.
    grid = F.affine_grid(matrices, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)


def random(
    batch: int,
    generator: torch.Generator,
    shear: float = 10.0,
    zoom: float = 0.2,
    flip: bool | Bool[Tensor, " batch"] = True,
) -> Float[Tensor, "batch 2 3"]:
    """Matrices drawn evenly: shear within ±`shear` degrees, zoom within 1 ± `zoom`, a flip for every second picture.

    `flip` may say for each picture whether it may be flipped (see `flip_falsifies`); True and False hold for all. The
    often copied `shear_range=0.2` is 0.2 degrees in Keras: in 224 pixels, that moves the edge by less than half of one.
    """
    assert 0 <= shear < 90, f"shear={shear} degrees: 90 would lay everything flat"
    assert 0 <= zoom < 1, f"zoom={zoom}: at 1 - zoom = 0 nothing would be left of the picture"
    drawn = torch.rand(3, batch, generator=generator, device=generator.device)
    allowed = torch.as_tensor(flip, device=drawn.device)
    return affine(shear * (2 * drawn[0] - 1), 1 + zoom * (2 * drawn[1] - 1), (drawn[2] < 0.5) & allowed)


def flip_falsifies(caption: str) -> bool:
    """Does it say left or right (leftmost, rightward, left-hand)? Then it may be false of the mirrored picture.

    It errs on the safe side: "a dog left alone" counts. That lettering is mirrored too, it cannot know.
    """
    return bool(_SIDE.search(caption))


def mirror_caption(caption: str) -> str:
    """The caption of the mirrored picture: left and right exchanged; capitals kept (left, Left, LEFT).

    To mirror twice gives the caption back.
    """
    return _SIDE.sub(_other_side, caption)


def _other_side(match: re.Match[str]) -> str:
    said = match[1]
    other = "right" if said.lower() == "left" else "left"
    return other.upper() if said.isupper() else other.capitalize() if said[0].isupper() else other
