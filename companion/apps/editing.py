"""Edit a photograph where a captioner looked for a word: from the word's attention map to a mask, and to an edit.

`find_word` finds the word in a caption, `word_mask` makes the mask, each function of `EDITS` changes a picture by a
mask, and `encode` makes the bytes of a file. Explained in the chapter on editing. Masks are rough and captioners err:
no edit is evidence of anything, and none hides a person reliably.
"""

import io
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageFilter

from companion.decoding import Caption, Tag
from companion.metrics import masks
from companion.metrics.masks import Mask
from companion.tags import TAG_WORDS, mentions

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP", ".tif": "TIFF", ".tiff": "TIFF"}
JPEG_QUALITY = 95
BLUR_SHARE = 0.04  # deviation of the blur, as a share of the picture's longer side
DARKNESS = 0.25  # brightness of what is not highlighted
INPAINT_SIDE = 160  # longest side, in pixels, of the picture that is filled in: half of it takes a second or two
WHOLE_PICTURE = (0.0, 0.0, 1.0, 1.0)  # the box of a tag that was found at no place


class Place(NamedTuple):
    """Where a caption says a word, or several that follow each other: the indices of the first and behind the last."""

    start: int
    end: int
    times: int  # that the caption says it


class WordMask(NamedTuple):
    """The pixels at which a word was looked for, and the tag whose box they lie in, or None."""

    mask: Mask
    tag: Tag | None


def find_word(caption: Caption, word: str) -> Place:
    """Return the first place at which a caption says a word.

    A word is read as the captioner's language reads it, so it may have capitals, and consist of several tokens, as most
    words of Chinese do.

    Raises:
        ValueError: the caption does not say the word; the message has the caption and its words.
    """
    wanted = tuple(caption.tokenizer.tokenize(word))
    starts = [i for i in range(len(caption.words)) if caption.words[i : i + len(wanted)] == wanted] if wanted else []
    if not starts:
        words = ", ".join(dict.fromkeys(caption.words))
        raise ValueError(f'the caption does not say {word!r}: "{caption.text}"; its words are {words}')
    return Place(starts[0], starts[0] + len(wanted), len(starts))


def find_tag(caption: Caption, place: Place) -> Tag | None:
    """Return the most probable tag with a box that the words of a place mention, or None."""
    mentioned = mentions([set(caption.words[place.start : place.end])])[0]
    words = {TAG_WORDS[i] for i in mentioned.nonzero().flatten().tolist()}
    return next((tag for tag in caption.tags if tag.word in words and tag.box != WHOLE_PICTURE), None)


def word_mask(caption: Caption, place: Place, size: tuple[int, int], *, threshold: float = masks.THRESHOLD) -> WordMask:
    """Return the mask of the words of a place, within the box of their tag if there is one.

    Args:
        caption: as `Captioner.caption` returns it, with weights as word row col.
        place: of `find_word`; the map is the mean over its tokens.
        size: width and height of the picture.
        threshold: see `metrics.masks.from_map`.
    """
    width, height = size
    tag = find_tag(caption, place)
    weights = caption.weights[place.start : place.end].mean(0)
    mask = masks.from_map(weights, height, width, threshold=threshold, box=tag.box if tag else None)
    return WordMask(mask, tag)


def blur(image: Image.Image, mask: Mask) -> Image.Image:
    """Return the picture with its masked pixels blurred."""
    return _put(image.filter(ImageFilter.GaussianBlur(BLUR_SHARE * max(image.size))), image, mask)


def grey(image: Image.Image, mask: Mask) -> Image.Image:
    """Return the picture with its masked pixels without colour."""
    return _put(image.convert("L").convert("RGB"), image, mask)


def crop(image: Image.Image, mask: Mask) -> Image.Image:
    """Return the part of the picture that holds all masked pixels."""
    (top, bottom), (left, right) = (np.flatnonzero(mask.any(axis))[[0, -1]].tolist() for axis in (1, 0))
    return image.crop((left, top, right + 1, bottom + 1))


def highlight(image: Image.Image, mask: Mask) -> Image.Image:
    """Return the picture with all but its masked pixels darkened."""
    return _put(image, image.point(lambda value: int(value * DARKNESS)), mask)


def inpaint(image: Image.Image, mask: Mask) -> Image.Image:
    """Return the picture with its masked pixels filled in from those around them.

    The surface is that of a biharmonic function (Damelin and Hoang 2018): as smooth as can be, and without texture. It
    is computed on a picture of at most `INPAINT_SIDE` pixels a side and enlarged.

    Raises:
        ValueError: nothing lies around the mask, or scikit-image, which computes the surface, is not installed.
    """
    try:
        from skimage.restoration import inpaint_biharmonic
    except ModuleNotFoundError:
        raise ValueError("inpainting needs scikit-image: pip install scikit-image") from None
    scale = min(1.0, INPAINT_SIDE / max(image.size))
    small = image.resize([max(1, round(scale * side)) for side in image.size], Image.Resampling.BOX)
    # A pixel of the small picture is filled in if any of its pixels is: it must not bring back what is to go.
    hidden = np.asarray(Image.fromarray(mask.astype(np.float32)).resize(small.size, Image.Resampling.BOX)) > 0
    if hidden.all():
        raise ValueError("the mask leaves nothing of the picture from which it could be filled in; raise the threshold")
    filled = inpaint_biharmonic(np.asarray(small), hidden, channel_axis=-1)
    surface = Image.fromarray((255 * filled).round().astype(np.uint8))
    return _put(surface.resize(image.size, Image.Resampling.BICUBIC), image, mask)


EDITS: dict[str, Callable[[Image.Image, Mask], Image.Image]] = {
    "blur": blur,
    "grey": grey,
    "crop": crop,
    "highlight": highlight,
    "inpaint": inpaint,
}


def _put(edited: Image.Image, image: Image.Image, mask: Mask) -> Image.Image:
    """Return the masked pixels of `edited`, and all others of `image`."""
    return Image.composite(edited, image, Image.fromarray(mask))


def file_format(path: Path) -> str:
    """Return the format in which a picture of this name is written. Raises ValueError, with the choices, if in none."""
    kind = FORMATS.get(path.suffix.lower())
    if kind is None:
        raise ValueError(f"{path}: its suffix must be one of {', '.join(FORMATS)}; choose another name")
    return kind


def encode(image: Image.Image, path: Path) -> bytes:
    """Return the picture as a file in the format of the path's suffix, without any metadata.

    Raises:
        ValueError: the suffix is none of `FORMATS`, or the picture is too large for the format.
    """
    kind, file = file_format(path), io.BytesIO()
    try:
        Image.fromarray(np.asarray(image)).save(file, kind, quality=JPEG_QUALITY)  # of pixels alone
    except (OSError, ValueError) as error:
        size = " x ".join(map(str, image.size))
        raise ValueError(f"{path}: {kind} cannot hold a picture of {size} pixels ({error}); choose .png") from None
    return file.getvalue()
