"""Masks from attention maps: the pixels at which a word was looked for, and how well they cover an object.

A map is the attention of one word over the places of a grid (row col) that covers the whole image; a mask is boolean
(height width). A box is left, top, right, bottom, as fractions of the image. Explained in the chapter on editing.
"""

import math

import numpy as np
from jaxtyping import Bool, Float
from PIL import Image
from torch import Tensor

# A pixel belongs to the mask from this share of the map's largest value on. `python -m benchmarks.editing` measures it
# on validation scenes, against the objects, and on photographs for validation, against a detector's boxes.
THRESHOLD = 0.15

Box = tuple[float, float, float, float]
Mask = Bool[np.ndarray, "height width"]


def interpolate(weights: Float[Tensor, "row col"], height: int, width: int) -> Float[np.ndarray, "{height} {width}"]:
    """Return a map at `height` by `width` pixels, by bilinear interpolation between the centres of its places.

    Beyond the outermost centres the values continue unchanged. The result is to be compared with its own largest value;
    its sum has no meaning. `grounding.upsample`, which keeps the sum, does not smooth.
    """
    places = Image.fromarray(weights.detach().cpu().float().numpy())
    return np.asarray(places.resize((width, height), Image.Resampling.BILINEAR))


def from_map(
    weights: Float[Tensor, "row col"], height: int, width: int, *, threshold: float = THRESHOLD, box: Box | None = None
) -> Mask:
    """Return the pixels at which the interpolated map is at least `threshold` times its largest value.

    With a box, both are those within the box, so that the mask lies in it and is never empty.

    Args:
        weights: the attention of one word.
        height: pixels from top to bottom.
        width: pixels from left to right.
        threshold: from 0, the whole image or box, to 1, the peak alone.
        box: of the object, or None.
    """
    values = interpolate(weights, height, width)
    allowed = np.ones((height, width), dtype=bool) if box is None else from_box(box, height, width)
    return allowed & (values >= threshold * values[allowed].max())


def from_box(box: Box, height: int, width: int) -> Mask:
    """Return the pixels of a box: those that it touches, and at least one."""
    left, top, right, bottom = (min(max(side, 0.0), 1.0) for side in box)
    mask = np.zeros((height, width), dtype=bool)
    mask[_touched(top, bottom, height), _touched(left, right, width)] = True
    return mask


def _touched(start: float, end: float, pixels: int) -> slice:
    """Return the pixels along one side that lie between two fractions of it, at least in part."""
    first = min(math.floor(start * pixels), pixels - 1)
    return slice(first, max(math.ceil(end * pixels), first + 1))


def iou(mask: Mask, other: Mask) -> float:
    """Return the intersection over union of two masks, 0 to 1 (the Jaccard index): shared pixels by pixels of either.

    Two empty masks have 0.
    """
    return float((mask & other).sum() / max((mask | other).sum(), 1))
