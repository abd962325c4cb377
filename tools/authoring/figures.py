"""Whether two pictures show the same figure, rendered on two machines.

Two machines do not render the same pixels: edges of letters and lines are smoothed differently, and a label that is a
little wider moves everything beside it. `distance` therefore compares means over blocks of 12 x 12 pixels, lets each
block move by two pixels, and takes the block that differs most, so that a single changed cell of a heat map counts.

Measured over the figures of this book: the smallest distance between two figures of one notebook that have the same
size is 0.179 (two heat maps of the chapter on dot products). The distance between a figure and itself is at most 0.03
after smoothing over three pixels, 0.01 with noise of 2 % in every pixel, 0.08 if a quarter of it moves by a pixel. The
limit lies between, at 0.12.

Numbers that training makes differ from machine to machine, and so do figures of them. Executed with PyTorch's vector
instructions switched off, which is another machine, four figures of trained numbers came out at 0.11 to 0.41, and all
others within 0.03. The cells of those four are tagged `trained-figure`; `closest` says at least which figure it is.
"""

import base64
import io
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from PIL import Image

MAX_SHIFT = 2  # pixels, in each direction; also the largest difference between two heights or widths
BLOCK = 12  # pixels, the side of a block
MAX_DISTANCE = 0.12
MAX_STRETCH = 0.1  # of the height and width of a figure of trained numbers

RGB = Float[np.ndarray, "row col 3"]


def decode(png: str) -> RGB:
    """Return a PNG file in base64 as colours between 0 and 1, on white where it is transparent."""
    picture = Image.open(io.BytesIO(base64.b64decode(png))).convert("RGBA")
    page = Image.new("RGBA", picture.size, "white")
    page.alpha_composite(picture)
    return np.asarray(page.convert("RGB"), dtype=np.float64) / 255


def same_size(first: RGB, second: RGB) -> bool:
    """Return whether heights and widths differ by no more than `MAX_SHIFT`."""
    return all(abs(a - b) <= MAX_SHIFT for a, b in zip(first.shape, second.shape, strict=True))


def distance(first: RGB, second: RGB) -> float:
    """Return how far apart two pictures are where they differ most: 0 if they are equal, 1 for black and white.

    That is the largest difference between the mean colours of two corresponding blocks (root mean square over the three
    colours), where each block of `first` is compared with the best of its neighbours in `second` at shifts of up to
    `MAX_SHIFT` pixels. A margin of as many pixels, and blocks that are cut by the edge, do not count.
    """
    rows, cols = (np.minimum(first.shape, second.shape)[:2] - 2 * MAX_SHIFT) // BLOCK
    sums = [np.pad(picture.cumsum(0).cumsum(1), ((1, 0), (1, 0), (0, 0))) for picture in (first, second)]

    def block_means(picture: int, row: int, col: int) -> Float[np.ndarray, "rows cols 3"]:
        corners = sums[picture][row::BLOCK, col::BLOCK][: rows + 1, : cols + 1]
        return np.diff(np.diff(corners, axis=0), axis=1) / BLOCK**2

    fixed = block_means(0, MAX_SHIFT, MAX_SHIFT)
    shifts = range(2 * MAX_SHIFT + 1)
    squares = [((fixed - block_means(1, row, col)) ** 2).mean(-1) for row in shifts for col in shifts]
    return float(np.sqrt(np.min(squares, axis=0).max(initial=0)))


def complaint(committed: RGB, executed: RGB) -> str:
    """Return why two pictures do not show the same figure, or an empty string if they do."""
    if not same_size(committed, executed):
        sizes = [f"{width} x {height}" for height, width, _ in (executed.shape, committed.shape)]
        return f"a figure of {sizes[0]} pixels, committed with {sizes[1]}"
    apart = distance(committed, executed)
    if apart <= MAX_DISTANCE:
        return ""
    return f"another figure than the committed one: distance {apart:.3f}, at most {MAX_DISTANCE}"


def closest(executed: RGB, committed: Sequence[RGB]) -> int | None:
    """Return which of the pictures is most like the executed one, as an index.

    Those whose height or width differs by more than `MAX_STRETCH` are left out; None if all are. The others are scaled
    to the size of the executed one.
    """
    height, width, _ = executed.shape
    distances = {}
    for i, picture in enumerate(committed):
        if all(abs(a / b - 1) <= MAX_STRETCH for a, b in zip(picture.shape, executed.shape, strict=True)):
            scaled = Image.fromarray((picture * 255).round().astype(np.uint8)).resize((width, height))
            distances[i] = distance(executed, np.asarray(scaled, dtype=np.float64) / 255)
    return min(distances, key=distances.__getitem__) if distances else None
