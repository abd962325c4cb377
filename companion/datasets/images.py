"""Decode image files to clean RGB tensors, or refuse them with one line that says why.

Photographs are squashed to a square, not cropped: that is how the training photographs were prepared, and nothing at
the edges is lost. Colour profiles are not applied. Explained in the chapter on real photographs.
"""

import importlib.util
import io
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import ExifTags, Image, ImageFile, UnidentifiedImageError
from torch import Tensor

from companion.datasets.image_metadata import check_png, without_metadata

MAX_PIXELS = 100_000_000  # of the file; larger ones are not decoded
MAX_STRIPPED_BYTES = 10**9  # larger files are not read into memory to take their metadata out
IMAGE_SIZE = 320  # pixels a side; the encoder was trained at 224, but small objects are recognised better larger

# Pillow reads more than these; the rest either run other programs (EPS calls Ghostscript) or are no photographs.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000", "PPM")

_SETTINGS_LOCK = threading.Lock()  # the settings of Pillow and of `warnings` that are changed belong to all threads

_TRANSPOSE = {  # by the value of the EXIF tag Orientation, which says how the camera was held
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# Photographs that may be shown anywhere: they come with scikit-image, in the public domain or under CC0.
EXAMPLE_IMAGES = {
    "astronaut": ("astronaut.png", "Eileen Collins. Photograph: NASA, public domain"),
    "chelsea": ("chelsea.png", "Chelsea the cat. Photograph: Stéfan van der Walt, CC0"),
    "coffee": ("coffee.png", "A cup of coffee. Photograph: Rachel Michetti, CC0"),
    "rocket": ("rocket.jpg", "Falcon 9 carrying DSCOVR. Photograph: SpaceX, public domain"),
    "camera": ("camera.png", "A photographer at work. Photograph: Lav Varshney, CC0"),
}


def example_image(name: str) -> Path:
    """Return the file of one of the `EXAMPLE_IMAGES`; `EXAMPLE_IMAGES[name][1]` is its credit.

    Raises ValueError for any other name, or if scikit-image is not installed.
    """
    if name not in EXAMPLE_IMAGES:
        raise ValueError(f"there is no example called {name!r}; choose from {', '.join(EXAMPLE_IMAGES)}")
    package = importlib.util.find_spec("skimage")
    if package is None or package.origin is None:
        raise ValueError("the example photographs come with scikit-image: pip install scikit-image")
    return Path(package.origin).parent / "data" / EXAMPLE_IMAGES[name][0]


def load_image(path: Path | str, size: int = IMAGE_SIZE) -> UInt8[Tensor, "channel row col"]:
    """Return the photograph in a file as bytes 0 to 255: RGB, upright, squashed to `size` x `size` pixels.

    Grey, 16-bit, palette, CMYK and transparent pictures become RGB, with white where they are transparent. Of several
    frames the first is taken.

    Raises:
        ValueError: the file is not a complete picture; "FILE: reason", on one line.
    """
    assert size > 0, f"size={size}: a picture has at least one pixel a side"
    with _one_line_errors(path):
        # Twice the target size is enough for a faithful reduction, and lets the JPEG decoder skip most of its work.
        image = _open(path, min_size=2 * size)
        image = image.resize((size, size), Image.Resampling.BICUBIC, reducing_gap=3.0)
        # NumPy moves the channel axis: torch would start all its threads, ten times slower on a busy machine.
        return torch.from_numpy(np.ascontiguousarray(np.asarray(image).transpose(2, 0, 1)))


def can_decode(path: Path | str) -> bool:
    """Return whether `load_image` can read the photograph in a file."""
    try:
        load_image(path, 16)  # a small JPEG takes half a millisecond
    except ValueError:
        return False
    return True


def load_original(path: Path | str) -> Image.Image:
    """Return the photograph in a file in its own size and proportions: RGB, upright.

    Raises ValueError for every file that `load_image` refuses.
    """
    with _one_line_errors(path):
        return _open(path)


def _open(path: Path | str, min_size: int | None = None) -> Image.Image:
    """Decode a file completely, turn it upright and convert it to RGB.

    With `min_size` a JPEG may be decoded at a reduced size, with no side shorter than that. A file that cannot be
    decoded is tried once more without its metadata, which may be all that is damaged in it.
    """
    path = Path(path)
    _check_file(path)
    check_png(path)
    try:
        return _decode(path, min_size)
    except Exception:
        stripped = without_metadata(path.read_bytes()) if path.stat().st_size <= MAX_STRIPPED_BYTES else None
        if stripped is None:
            raise
    return _decode(io.BytesIO(stripped), min_size)


def _decode(source: Path | io.BytesIO, min_size: int | None) -> Image.Image:
    with Image.open(source, formats=FORMATS) as image:
        width, height = image.size
        if width < 1 or height < 1:
            raise ValueError(f"it is {width} x {height} pixels: there is nothing in it")
        if width * height > MAX_PIXELS:
            raise ValueError(
                f"it says that it is {width} x {height} pixels; more than {MAX_PIXELS // 10**6} million are not opened"
            )
        if min_size is not None:
            image.draft(None, (min_size, min_size))
        image.load()
        return _to_rgb(_upright(image))


def _upright(image: Image.Image) -> Image.Image:
    """Return the picture turned by its EXIF orientation; where EXIF is damaged, as it is stored."""
    try:
        method = _TRANSPOSE.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # the EXIF reader raises whatever the damage leads it to
        method = None
    return image if method is None else image.transpose(method)


def _to_rgb(image: Image.Image) -> Image.Image:
    """Return the picture in RGB, on white where it is transparent."""
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        image = _to_eight_bits(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("RGB")
    return image.convert("RGB")


def _to_eight_bits(image: Image.Image) -> Image.Image:
    """Return a grey picture of 16 bits or more scaled to 0..255, where Pillow's own `convert` would clip.

    65535 is white (1.0 in floating point). Values outside that range extend it, so that nothing saturates.
    """
    values = np.nan_to_num(np.asarray(image, dtype=np.float32), posinf=0.0, neginf=0.0)
    low = min(0.0, float(values.min()))
    high = max(1.0 if image.mode == "F" else 65535.0, float(values.max()))
    return Image.fromarray(((values - low) * (255.0 / (high - low))).round().astype(np.uint8))


def _check_file(path: Path) -> None:
    """Raise ValueError for what is not an ordinary, non-empty file."""
    if path.is_dir():
        raise ValueError("it is a folder; name one picture in it")
    if not path.exists():
        raise ValueError("there is no such file")
    if not path.is_file():  # a pipe or a device could keep us waiting for ever
        raise ValueError("it is not an ordinary file")
    if path.stat().st_size == 0:
        raise ValueError("the file is empty")


@contextmanager
def _one_line_errors(path: Path | str) -> Iterator[None]:
    """Raise every exception of Pillow as a ValueError of one line; suppress its warnings, which our checks cover."""
    with _SETTINGS_LOCK:
        load_truncated = ImageFile.LOAD_TRUNCATED_IMAGES
        try:
            # Another library may have asked Pillow to fill truncated pictures with grey; here they are refused.
            ImageFile.LOAD_TRUNCATED_IMAGES = False
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield
        except Exception as error:
            raise ValueError(f"{_printable(str(path))}: {_reason(path, error)}") from None
        finally:
            ImageFile.LOAD_TRUNCATED_IMAGES = load_truncated


def _reason(path: Path | str, error: Exception) -> str:
    """Return why the file cannot be used, in one line without its name."""
    if isinstance(error, UnidentifiedImageError):
        return _identify(path)
    if isinstance(error, Image.DecompressionBombError):
        return f"it says that it is larger than {MAX_PIXELS // 10**6} million pixels; it is not opened"
    if isinstance(error, MemoryError):
        return "there is not enough memory to decode it"
    if isinstance(error, OSError) and error.strerror:
        return f"it cannot be read: {error.strerror}"
    text = " ".join(str(error).split()) or type(error).__name__
    return text if type(error) is ValueError else f"it is damaged: {text}"


def _identify(path: Path | str) -> str:
    """Return what a file is that Pillow cannot open, by its first bytes."""
    with open(path, "rb") as file:
        head = file.read(64)
    if head[4:8] == b"ftyp" and head[8:12] in (b"heic", b"heix", b"mif1", b"msf1", b"hevc"):
        return "it is a HEIC photograph, which is not read here; export it as JPEG"
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        return "it is a web page or other text in angle brackets, not a picture; download the picture itself"
    return f"it is not a picture, or it is damaged at its beginning; the formats read here are {', '.join(FORMATS)}"


def _printable(text: str) -> str:
    return text if text.isprintable() else repr(text)
