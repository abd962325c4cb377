"""An image file, however odd, becomes the picture that a person sees in it, or one line says why it cannot be read."""

import os
import struct
import warnings
import zlib

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageFile

from companion import datasets

RED, GREEN, WHITE, BLACK, PINK = (255, 0, 0), (0, 255, 0), (255, 255, 255), (0, 0, 0), (255, 127, 127)


def quarters(width=60, height=40):
    """Red top left, green top right, blue bottom left, white bottom right: each turn and flip looks different."""
    image = Image.new("RGB", (width, height), RED)
    image.paste(GREEN, (width // 2, 0, width, height // 2))
    image.paste((0, 0, 255), (0, height // 2, width // 2, height))
    image.paste(WHITE, (width // 2, height // 2, width, height))
    return image


def corners(tensor):
    """The colours in the middle of the four quarters, each channel rounded to 0 or 255."""
    n = tensor.shape[-1]
    spots = [(n // 4, n // 4), (n // 4, 3 * n // 4), (3 * n // 4, n // 4), (3 * n // 4, 3 * n // 4)]
    return ["RGBW"[_which(tensor[:, row, col])] for row, col in spots]


def _which(pixel):
    return [RED, GREEN, (0, 0, 255), WHITE].index(tuple(255 * int(value > 127) for value in pixel))


def near(pixel, colour, tolerance=12):
    return all(abs(int(a) - b) <= tolerance for a, b in zip(pixel, colour, strict=True))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.jpg", {"quality": 95}),
        ("progressive.jpg", {"progressive": True}),
        ("a.png", {}),
        ("a.bmp", {}),
        ("a.gif", {}),
        ("a.tif", {}),
        ("lzw.tif", {"compression": "tiff_lzw"}),
        ("a.webp", {"lossless": True}),
        ("a.ppm", {}),
        ("a.avif", {"quality": 95}),
        ("a.jp2", {}),
        ("two lenses.jpg", {"format": "MPO", "save_all": True, "append_images": [Image.new("RGB", (60, 40))]}),
        ("wrong ending.txt", {"format": "PNG"}),
        ("çà et là 猫.png", {}),
    ],
)
def test_every_format_shows_the_same_image(tmp_path, name, options):
    quarters().save(tmp_path / name, **options)
    tensor = datasets.load_image(tmp_path / name, size=32)
    assert tensor.shape == (3, 32, 32)
    assert corners(tensor) == list("RGBW")


def save(image, path, **options):
    image.save(path, **options)
    return path


def palette_with_a_hole():
    image = Image.new("P", (8, 8), 1)
    image.putpalette([*BLACK, *RED, *GREEN])
    image.paste(0, (0, 0, 4, 8))
    return image


ODD_MODES = {  # name: how to write it, the colour on the left, the colour on the right
    "cmyk.jpg": (lambda p: save(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), p), RED, RED),
    "cmyk.tif": (lambda p: save(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), p), RED, RED),
    "grey.jpg": (lambda p: save(Image.new("L", (8, 8), 100), p), (100,) * 3, (100,) * 3),
    "grey and alpha.png": (lambda p: save(Image.new("LA", (8, 8), (0, 0)), p), WHITE, WHITE),
    "half transparent.png": (lambda p: save(Image.new("RGBA", (8, 8), (255, 0, 0, 128)), p), PINK, PINK),
    "palette.png": (lambda p: save(palette_with_a_hole(), p), BLACK, RED),
    "palette with a hole.png": (lambda p: save(palette_with_a_hole(), p, transparency=0), WHITE, RED),
    "palette with a hole.gif": (lambda p: save(palette_with_a_hole(), p, transparency=0), WHITE, RED),
    "palette with soft alpha.png": (lambda p: save(palette_with_a_hole(), p, transparency=b"\x00\xff"), WHITE, RED),
    "transparent colour.png": (lambda p: save(Image.new("RGB", (8, 8), RED), p, transparency=RED), WHITE, WHITE),
    "one bit.png": (lambda p: save(Image.new("1", (8, 8), 1), p), WHITE, WHITE),
    "one bit.tif": (lambda p: save(Image.new("1", (8, 8), 0), p), BLACK, BLACK),
    "ycbcr.tif": (lambda p: save(Image.new("RGB", (8, 8), RED).convert("YCbCr"), p), RED, RED),
}


@pytest.mark.parametrize("name", ODD_MODES)
def test_odd_modes_keep_their_colours(tmp_path, name):
    write, left, right = ODD_MODES[name]
    tensor = datasets.load_image(write(tmp_path / name), size=8)
    assert near(tensor[:, 4, 1], left)
    assert near(tensor[:, 4, 6], right)


def ramp(dtype, top):
    return np.tile(np.linspace(0, top, 64).astype(dtype), (64, 1))


@pytest.mark.parametrize(
    ("name", "pixels"),
    [
        ("deep.png", ramp(np.uint16, 65535)),
        ("deep.tif", ramp(np.uint16, 65535)),
        ("deep.pgm", ramp(np.uint16, 65535)),
        ("big endian.tif", ramp(">u2", 65535)),
        ("float.tif", ramp(np.float32, 1.0)),
        ("float to 255.tif", ramp(np.float32, 255.0)),
        ("wide.tif", ramp(np.int32, 2**31 - 1)),
    ],
)
def test_deep_grey_is_scaled_and_not_clipped(tmp_path, name, pixels):
    """A ramp from black to white stays a ramp: clipping would make all but one 256th of it white."""
    Image.fromarray(pixels).save(tmp_path / name)
    grey = datasets.load_image(tmp_path / name, size=64)[0, 32].numpy().astype(int)
    assert np.abs(grey - np.linspace(0, 255, 64)).max() <= 1


def test_dark_deep_grey_stays_dark(tmp_path):
    """The scale is the format's, not the image's: a night does not become a day."""
    Image.fromarray(ramp(np.uint16, 6553)).save(tmp_path / "night.png")
    assert 24 <= int(datasets.load_image(tmp_path / "night.png").max()) <= 27


# By EXIF orientation, where the quarters R G / B W of the stored image appear (EXIF 2.3, tag 274).
UPRIGHT = {1: "RGBW", 2: "GRWB", 3: "WBGR", 4: "BWRG", 5: "RBGW", 6: "BRWG", 7: "WGBR", 8: "GWRB"}


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a.tif"])
def test_images_are_turned_upright(tmp_path, orientation, name):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    quarters().save(tmp_path / name, exif=exif)
    assert "".join(corners(datasets.load_image(tmp_path / name, size=32))) == UPRIGHT[orientation]
    assert datasets.load_original(tmp_path / name).size == ((60, 40) if orientation < 5 else (40, 60))


@pytest.mark.parametrize("exif", [b"Exif\0\0II*\0\x08\0\0\0\xff\xff", b"Exif\0\0nonsense", b"Exif\0\0"])
def test_damaged_exif_is_no_reason_to_refuse_an_image(tmp_path, exif):
    quarters().save(tmp_path / "a.jpg", exif=exif)
    assert corners(datasets.load_image(tmp_path / "a.jpg", size=32)) == list("RGBW")


def test_of_several_frames_the_first_is_taken(tmp_path):
    frames = [Image.new("RGB", (8, 8), colour) for colour in (RED, GREEN, BLACK)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert near(datasets.load_image(tmp_path / "a.gif", size=8)[:, 4, 4], RED)


def test_an_image_is_squashed_and_not_cropped(tmp_path):
    """A tall image keeps its top and its bottom row."""
    image = Image.new("RGB", (20, 200), WHITE)
    image.paste(RED, (0, 0, 20, 20))
    image.paste(GREEN, (0, 180, 20, 200))
    image.save(tmp_path / "tall.png")
    tensor = datasets.load_image(tmp_path / "tall.png", size=50)
    assert near(tensor[:, 1, 25], RED)
    assert near(tensor[:, 48, 25], GREEN)
    assert datasets.load_original(tmp_path / "tall.png").size == (20, 200)


@pytest.mark.parametrize("shape", [(1, 1), (3000, 1), (1, 3000)])
def test_very_small_and_very_long_images_are_read(tmp_path, shape):
    Image.new("RGB", shape, RED).save(tmp_path / "a.png")
    tensor = datasets.load_image(tmp_path / "a.png", size=16)
    assert (tensor[0] == 255).all()
    assert (tensor[1:] == 0).all()


def test_decoding_a_large_jpeg_at_reduced_size_shows_the_same_as_decoding_it_completely(tmp_path):
    """JPEG's draft mode against plain decoding, within the differences of resampling."""
    rows, cols = np.mgrid[:1200, :1600]
    wave = 127 + 100 * np.sin(cols / 90) * np.cos(rows / 70)
    Image.fromarray(np.stack([wave, wave[::-1], 255 - wave], -1).astype(np.uint8)).save(tmp_path / "a.jpg", quality=95)
    with Image.open(tmp_path / "a.jpg") as image:
        plain = np.asarray(image.resize((64, 64), Image.Resampling.BICUBIC)).astype(int)
    ours = datasets.load_image(tmp_path / "a.jpg", size=64).permute(1, 2, 0).numpy().astype(int)
    assert np.abs(ours - plain).mean() < 2


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_claiming(width, height):
    """A PNG of a few bytes whose header says that it is enormous."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"\0" * 64)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def encoded(tmp_path, ending, **options):
    noise = np.random.default_rng(0).integers(0, 256, (300, 300, 3), dtype=np.uint8)
    path = tmp_path / f"whole{ending}"
    Image.fromarray(noise).save(path, **options)
    return path.read_bytes()


BAD = {  # name: (how to make its bytes, what the message says)
    "empty.jpg": (lambda t: b"", "empty"),
    "page.jpg": (lambda t: b"<!DOCTYPE html><html><body>404</body></html>", "web page"),
    "drawing.svg": (lambda t: b'\n<svg xmlns="http://www.w3.org/2000/svg"/>', "angle brackets"),
    "words.jpg": (lambda t: b"this is no picture", "not a picture"),
    "apple.jpg": (lambda t: b"\0\0\0\x18ftypheic" + b"\0" * 200, "HEIC"),
    "postscript.eps": (lambda t: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a picture"),
    "half.jpg": (lambda t: encoded(t, ".jpg")[:9000], "truncated"),
    "nearly whole.jpg": (lambda t: encoded(t, ".jpg")[:-200], "truncated"),
    "half progressive.jpg": (lambda t: encoded(t, ".jpg", progressive=True)[:9000], "truncated"),
    "half.png": (lambda t: encoded(t, ".png")[:9000], ""),
    "half.gif": (lambda t: encoded(t, ".gif")[:9000], ""),
    "half.bmp": (lambda t: encoded(t, ".bmp")[:9000], "truncated"),
    "half.webp": (lambda t: encoded(t, ".webp")[:9000], ""),
    "half.tif": (lambda t: encoded(t, ".tif", compression="tiff_lzw")[:9000], ""),
    "header only.jpg": (lambda t: b"\xff\xd8\xff\xe0", ""),
    "bad checksum.png": (lambda t: encoded(t, ".png")[:40] + b"\0\0\0\0" + encoded(t, ".png")[44:], ""),
    "nothing.png": (lambda t: png_claiming(0, 5), ""),
    "90 million.png": (
        lambda t: png_claiming(9_000, 10_001),
        "truncated",
    ),  # Pillow only warns
    "101 million.png": (lambda t: png_claiming(10_100, 10_000), "100 million"),
    "200 million.png": (lambda t: png_claiming(20_000, 10_000), "100 million"),
    "4 billion.png": (lambda t: png_claiming(2**31 - 1, 2**31 - 1), "100 million"),
}


@pytest.mark.parametrize("function", [datasets.load_image, datasets.load_original])
@pytest.mark.parametrize("name", BAD)
def test_what_is_not_a_complete_image_is_refused_in_one_line(tmp_path, function, name):
    make, reason = BAD[name]
    (tmp_path / name).write_bytes(make(tmp_path))
    with pytest.raises(ValueError) as refusal:  # noqa: PT011  the message is examined below
        function(tmp_path / name)
    message = str(refusal.value)
    assert message.startswith(f"{tmp_path / name}: ")
    assert len(message) > len(f"{tmp_path / name}: it")
    assert "\n" not in message
    assert reason in message


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: None, "no such file"),
        (lambda path: path.mkdir(), "folder"),
        (os.mkfifo, "not an ordinary file"),
        (lambda path: path.symlink_to(path), "a.jpg"),
    ],
    ids=["missing", "folder", "pipe", "link to itself"],
)
def test_what_is_not_an_ordinary_file_is_refused(tmp_path, make, reason):
    make(tmp_path / "a.jpg")
    with pytest.raises(ValueError, match=reason):
        datasets.load_image(tmp_path / "a.jpg")


def test_a_name_with_line_breaks_still_makes_one_line(tmp_path):
    with pytest.raises(ValueError, match="no such file") as refusal:
        datasets.load_image(tmp_path / "a\nb\x1b[31m.jpg")
    assert str(refusal.value).isprintable()


def test_the_limit_holds_before_anything_is_decoded(tmp_path, monkeypatch):
    (tmp_path / "huge.png").write_bytes(png_claiming(10_100, 10_000))
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda self: pytest.fail("it was decoded"))
    with pytest.raises(ValueError, match="10100 x 10000"):
        datasets.load_image(tmp_path / "huge.png")


def test_truncated_images_are_refused_whatever_another_library_has_set_in_pillow(tmp_path, monkeypatch):
    """LOAD_TRUNCATED_IMAGES fills what is missing with grey; here the file is refused, the setting left as it was."""
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    (tmp_path / "half.jpg").write_bytes(encoded(tmp_path, ".jpg")[:9000])
    with pytest.raises(ValueError, match="truncated"):
        datasets.load_image(tmp_path / "half.jpg")
    assert ImageFile.LOAD_TRUNCATED_IMAGES


def test_no_warning_reaches_the_reader(tmp_path):
    quarters().save(tmp_path / "a.jpg", exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        datasets.load_image(tmp_path / "a.jpg")
