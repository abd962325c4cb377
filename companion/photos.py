"""An image file, however odd, goes in; one clean RGB tensor comes out, or one line saying why not.

Photographs are squashed to a square, not cropped: that is how the training photographs were prepared, and nothing at
the edges is lost. Colour profiles are not applied. Explained in chapter 16.
"""

import importlib.util
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image, ImageFile, UnidentifiedImageError
from torch import Tensor

MAX_PIXELS = 100_000_000
SIDE = 320  # pixels; the encoder learnt at 224, but small things are seen better larger

# Pillow reads more than these; the rest either run other programs (EPS calls Ghostscript) or are no photographs.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000", "PPM")

_SETTINGS = threading.Lock()  # those of Pillow and of `warnings` that are borrowed belong to all threads

ORIENTATION = 0x0112  # the EXIF tag; its eight values tell how the camera was held
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


# Photographs that may be shown anywhere: they come with scikit-image, in the public domain or under CC0.
EXAMPLES = {
    "astronaut": ("astronaut.png", "Eileen Collins. Photograph: NASA, public domain"),
    "chelsea": ("chelsea.png", "Chelsea the cat. Photograph: Stéfan van der Walt, CC0"),
    "coffee": ("coffee.png", "A cup of coffee. Photograph: Rachel Michetti, CC0"),
    "rocket": ("rocket.jpg", "Falcon 9 carrying DSCOVR. Photograph: SpaceX, public domain"),
    "camera": ("camera.png", "A photographer at work. Photograph: Lav Varshney, CC0"),
}


def example(name: str) -> Path:
    """The file of one of `EXAMPLES`; `EXAMPLES[name][1]` is its credit. ValueError for any other name."""
    if name not in EXAMPLES:
        raise ValueError(f"there is no example called {name!r}; choose from {', '.join(EXAMPLES)}")
    package = importlib.util.find_spec("skimage")
    if package is None or package.origin is None:
        raise ValueError("the example photographs come with scikit-image: pip install scikit-image")
    return Path(package.origin).parent / "data" / EXAMPLES[name][0]


def load(path: Path | str, size: int = SIDE) -> UInt8[Tensor, "channel row col"]:
    """The photograph in `path` as 3 x size x size bytes, 0 to 255: RGB, upright, squashed to a square.

    Grey, 16-bit, palette, CMYK and transparent pictures become RGB (transparent places white); of several frames the
    first is taken. ValueError "FILE: reason", one line, for everything that is not a whole picture.
    """
    assert size > 0, f"size={size}: a picture has at least one pixel a side"
    with _refusing(path):
        # A side of twice the target is enough for an exact-looking reduction, and lets JPEG skip most of its work.
        image = _open(path, enough=2 * size)
        image = image.resize((size, size), Image.Resampling.BICUBIC, reducing_gap=3.0)
        # numpy moves the channels: torch would wake all its threads for it, ten times slower on a busy machine.
        return torch.from_numpy(np.ascontiguousarray(np.asarray(image).transpose(2, 0, 1)))


def original(path: Path | str) -> Image.Image:
    """The photograph in `path` in its own size and proportions: RGB, upright. Refuses what `load` refuses."""
    with _refusing(path):
        return _open(path)


def _open(path: Path | str, enough: int | None = None) -> Image.Image:
    """Decode whole, turn upright, convert to RGB. A JPEG may come smaller, with no side under `enough` pixels."""
    _check_file(Path(path))
    with Image.open(path, formats=FORMATS) as image:
        width, height = image.size
        if width < 1 or height < 1:
            raise ValueError(f"it is {width} x {height} pixels: there is nothing in it")
        if width * height > MAX_PIXELS:
            raise ValueError(
                f"it says that it is {width} x {height} pixels; more than {MAX_PIXELS // 10**6} million are not opened"
            )
        if enough is not None:
            image.draft(None, (enough, enough))
        image.load()
        return _rgb(_upright(image))


def _upright(image: Image.Image) -> Image.Image:
    """Turned as EXIF says. Damaged EXIF is no reason to refuse a picture: then it stays as it lies."""
    try:
        turn = _UPRIGHT.get(image.getexif().get(ORIENTATION, 1))
    except Exception:  # the EXIF reader raises whatever the damage leads it to
        turn = None
    return image if turn is None else image.transpose(turn)


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        image = _eight_bits(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("RGB")
    return image.convert("RGB")


def _eight_bits(image: Image.Image) -> Image.Image:
    """Deep grey to 0..255, where Pillow's own `convert` would clip: 65535 is white (1.0 in floating point).

    Values outside of that range stretch it, so that nothing saturates.
    """
    values = np.nan_to_num(np.asarray(image, dtype=np.float32), posinf=0.0, neginf=0.0)
    low = min(0.0, float(values.min()))
    high = max(1.0 if image.mode == "F" else 65535.0, float(values.max()))
    return Image.fromarray(((values - low) * (255.0 / (high - low))).round().astype(np.uint8))


def _check_file(path: Path) -> None:
    if path.is_dir():
        raise ValueError("it is a folder; name one picture in it")
    if not path.exists():
        raise ValueError("there is no such file")
    if not path.is_file():  # a pipe or a device could keep us waiting for ever
        raise ValueError("it is not an ordinary file")
    if path.stat().st_size == 0:
        raise ValueError("the file is empty")


@contextmanager
def _refusing(path: Path | str) -> Iterator[None]:
    """Whatever Pillow raises becomes one line; what it merely warns of is settled by our own checks."""
    with _SETTINGS:
        lenient = ImageFile.LOAD_TRUNCATED_IMAGES
        try:
            # Another library may have asked Pillow to fill truncated pictures with grey; here they are refused.
            ImageFile.LOAD_TRUNCATED_IMAGES = False
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield
        except Exception as error:
            raise ValueError(f"{_printable(str(path))}: {_reason(path, error)}") from None
        finally:
            ImageFile.LOAD_TRUNCATED_IMAGES = lenient


def _reason(path: Path | str, error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return _what_it_is(path)
    if isinstance(error, Image.DecompressionBombError):
        return f"it says that it is larger than {MAX_PIXELS // 10**6} million pixels; it is not opened"
    if isinstance(error, MemoryError):
        return "there is not enough memory to decode it"
    if isinstance(error, OSError) and error.strerror:
        return f"it cannot be read: {error.strerror}"
    text = " ".join(str(error).split()) or type(error).__name__
    return text if type(error) is ValueError else f"it is damaged: {text}"


def _what_it_is(path: Path | str) -> str:
    with open(path, "rb") as file:
        head = file.read(64)
    if head[4:8] == b"ftyp" and head[8:12] in (b"heic", b"heix", b"mif1", b"msf1", b"hevc"):
        return "it is a HEIC photograph, which is not read here; export it as JPEG"
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        return "it is a web page or other text in angle brackets, not a picture; download the picture itself"
    return f"it is not a picture, or is damaged at its beginning; the formats read here are {', '.join(FORMATS)}"


def _printable(text: str) -> str:
    return text if text.isprintable() else repr(text)
