"""Image files that are damaged, mislabelled, too large, or in one of the odder colour modes."""

import functools
import io
import math
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile, PngImagePlugin

from companion import datasets
from companion.datasets import images
from tests.faults.injection import Fault, Guard, assert_refused, attempt, fault_tests

RED, BLUE, WHITE, BLACK, GREY = (255, 0, 0), (0, 0, 255), (255,) * 3, (0,) * 3, (128,) * 3


def encode(image: Image.Image, kind: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def image_refused(make: Callable[[], bytes], *words: str, name: str = "a.jpg") -> Callable[[Path], None]:
    def law(folder: Path) -> None:
        (folder / name).write_bytes(make())
        assert_refused(lambda: datasets.load_image(folder / name, 64), name, *words)

    return law


def truncated_jpeg() -> bytes:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (300, 300, 3), dtype=np.uint8))
    data = encode(noise, "JPEG")[:9000]
    Image.open(io.BytesIO(data)).verify()  # the trap: it finds nothing wrong
    return data


def wrong_checksum(kind: bytes) -> bytes:
    """Return a PNG, red and blue, in which one chunk has a wrong checksum."""
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", "hello")
    data = encode(halves("red", "blue"), "PNG", pnginfo=text)
    begin = data.index(kind)
    end = begin + 4 + int.from_bytes(data[begin - 4 : begin], "big")
    return data[:end] + bytes([data[end] ^ 1]) + data[end + 1 :]


def filled_with_grey(folder: Path) -> None:
    """Another library has asked Pillow to fill truncated images with grey."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
        image_refused(truncated_jpeg, "truncated")(folder)


class AnnouncedLock:
    """A lock that says so before a thread waits for it."""

    def __init__(self, announce: Callable[[], None]):
        self.lock, self.announce = threading.Lock(), announce

    def __enter__(self) -> None:
        if not self.lock.acquire(blocking=False):
            self.announce()
            self.lock.acquire()

    def __exit__(self, *_) -> None:
        self.lock.release()


def two_readers(folder: Path) -> None:
    """While one thread reads, another finishes and restores Pillow's settings: the first is strict all the same."""
    started, go = threading.Event(), threading.Event()
    results: list[object] = []
    (folder / "a.jpg").write_bytes(truncated_jpeg())

    def read() -> None:
        try:
            results.append(datasets.load_image(folder / "a.jpg"))
        except ValueError as error:
            results.append(str(error))

    def wait(path: Path) -> None:
        started.set()
        go.wait(20)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
        patched.setattr(images, "_check_file", wait)
        patched.setattr(images, "_SETTINGS_LOCK", AnnouncedLock(started.set))
        reader = threading.Thread(target=read)
        with images._one_line_errors(folder / "b.jpg"):
            reader.start()
            started.wait(20)
        go.set()
        reader.join()
    assert isinstance(results[0], str), "accepted"


@functools.cache
def pixel_bomb() -> bytes:
    """Return 120 megapixels of black, at which Pillow would only warn."""
    return encode(Image.new("L", (12_000, 10_000)), "JPEG", quality=1)


def halves_look(make: Callable[[Path], object], *colours: tuple[int, int, int], name: str = "a.png"):
    """In the middle of its left and of its right half the image has these colours."""

    def law(folder: Path) -> None:
        make(folder / name)
        pixels = attempt(lambda: datasets.load_image(folder / name, 8))
        assert pixels.shape == (3, 8, 8), f"its shape is {tuple(pixels.shape)}"
        for col, colour in zip((1, 6), colours, strict=True):
            pixel = tuple(pixels[:, 4, col].tolist())
            assert all(abs(a - b) < 30 for a, b in zip(pixel, colour, strict=True)), f"pixel {pixel}, not {colour}"

    return law


def halves(left, right, mode: str = "RGB") -> Image.Image:
    image = Image.new(mode, (16, 16), right)
    image.paste(left, (0, 0, 8, 16))
    return image


def transparent_palette(path: Path) -> None:
    image = halves(0, 1, "P")
    image.putpalette([0, 0, 0, 255, 0, 0])
    image.save(path, transparency=0)


def upside_down(path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 3
    halves("red", "blue").save(path, exif=exif)


def not_a_number(path: Path) -> None:
    values = np.zeros((16, 16), np.float32)
    values[:, 8:], values[0, 0], values[0, 15] = 1.0, math.nan, math.inf
    Image.fromarray(values).save(path, "TIFF")


def sixteen_bits(path: Path) -> None:
    values = np.full((16, 16), 32_768, np.uint16)
    values[:, 8:] = 65_535
    Image.fromarray(values).save(path)


FAULTS = {
    "JPEG truncated": Fault(
        image_refused(truncated_jpeg, "truncated"),
        [Guard("datasets.images._one_line_errors", "except Exception as error:", "except ZeroDivisionError as error:")],
        "broken: OSError: image file is truncated",
    ),
    "JPEG truncated, filled with grey": Fault(
        filled_with_grey,
        [Guard("datasets.images._one_line_errors", "ImageFile.LOAD_TRUNCATED_IMAGES = False", "pass")],
        "accepted",
    ),
    "JPEG truncated, two threads reading": Fault(
        two_readers, [Guard("datasets.images._one_line_errors", "with _SETTINGS_LOCK:", "if True:")], "accepted"
    ),
    "PNG with a wrong checksum of its pixels": Fault(
        image_refused(lambda: wrong_checksum(b"IDAT"), "IDAT has a wrong checksum"),
        [Guard("datasets.images._open", "check_png(path)", "pass")],
        "accepted",
    ),
    "PNG with a wrong checksum of a text": Fault(
        halves_look(lambda p: p.write_bytes(wrong_checksum(b"tEXt")), RED, BLUE),
        [Guard("datasets.images.without_metadata", "", "lambda data: None")],
        "broken: ValueError",
    ),
    "empty .jpg": Fault(
        image_refused(lambda: b"", "is empty"),
        [Guard("datasets.images._check_file", "if path.stat().st_size == 0:", "if False:")],
        "not for this",
    ),
    "HTML named .jpg": Fault(
        image_refused(lambda: b"<!DOCTYPE html><html>404</html>", "web page"),
        [Guard("datasets.images._identify", r'if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):', "if False:")],
        "not for this",
    ),
    "GIF named .jpg": Fault(
        halves_look(lambda p: halves("red", "blue").save(p, "GIF"), RED, BLUE, name="a.jpg"),
        [Guard("datasets.images.FORMATS", "", "('JPEG',)")],
        "broken: ValueError",
    ),
    "pixel bomb of 120 megapixels": Fault(
        image_refused(pixel_bomb, "12000 x 10000"),
        [Guard("datasets.images.MAX_PIXELS", "", "10**12")],
        "accepted",
    ),
    "CMYK": Fault(
        halves_look(lambda p: halves((0, 255, 255, 0), (255, 255, 0, 0), "CMYK").save(p), RED, BLUE, name="a.jpg"),
        [Guard("datasets.images._to_rgb", 'return image.convert("RGB")', "return image")],
        "shape",
    ),
    "16 bits": Fault(
        halves_look(sixteen_bits, GREY, WHITE),
        [Guard("datasets.images._to_rgb", "image = _to_eight_bits(image)", "pass")],
        "pixel (",
    ),
    "palette": Fault(
        halves_look(transparent_palette, WHITE, RED),
        [Guard("datasets.images._to_rgb", "if image.has_transparency_data:", "if False:")],
        "pixel (0, 0, 0)",
    ),
    "alpha": Fault(
        halves_look(lambda p: halves((255, 0, 0, 0), (255, 0, 0, 255), "RGBA").save(p), WHITE, RED),
        [Guard("datasets.images._to_rgb", "if image.has_transparency_data:", "if False:")],
        "pixel (255, 0, 0)",
    ),
    "EXIF": Fault(
        halves_look(upside_down, BLUE, RED, name="a.jpg"),
        [
            Guard(
                "datasets.images._upright",
                "return image if method is None else image.transpose(method)",
                "return image",
            )
        ],
        "pixel (25",
    ),
    # No line to remove: what becomes of NaN in a byte depends on the processor.
    "photograph with NaN": Fault(halves_look(not_a_number, BLACK, WHITE, name="a.tif")),
}

test_with_its_guard_the_law_holds, test_without_its_guard_the_harm_is_done = fault_tests(FAULTS)
