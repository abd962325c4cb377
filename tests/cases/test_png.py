"""A picture whose pixels are whole is read, whatever is odd about its metadata; damaged pixels are refused.

Most pictures go through `load_image`, which every command reads with; some through `companion caption`.
"""

import io
import os
import shutil
import struct
import subprocess
import zlib

import numpy as np
import pytest
from PIL import Image

from companion import cli, datasets

PIXELS = np.kron(np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8), np.ones((10, 10, 1), np.uint8))
NOISE = np.random.default_rng(0).bytes(2_000_000)


def encode(kind, **options):
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, kind, **options)
    return file.getvalue()


PNG = encode("PNG")
JPEG = encode("JPEG", quality=100, subsampling=0)
GIF = encode("GIF")
WEBP = encode("WEBP", lossless=True)
TIFF = encode("TIFF")
LZW = encode("TIFF", compression="tiff_lzw")


def chunk(kind, data=b"", wrong=0):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data) ^ wrong)


HEADER, IMAGE, END = PNG[:33], PNG[33:-12], PNG[-12:]  # Pillow writes one chunk IDAT for so small a picture
PACKED = IMAGE[8:-4]


def png(*extras):
    return HEADER + b"".join(extras) + IMAGE + END


def segment(marker, data, length=None):
    return bytes([0xFF, marker]) + struct.pack(">H", 2 + (len(data) if length is None else length)) + data


def jpeg(*segments):
    return JPEG[:20] + b"".join(segments) + JPEG[20:]  # behind JFIF


def extension(label, *blocks):
    return bytes([0x21, label]) + b"".join(bytes([len(block)]) + block for block in blocks) + b"\0"


def gif(*extensions):
    table = 13 + 3 * 2 ** ((GIF[10] & 7) + 1)
    return GIF[:table] + b"".join(extensions) + GIF[table:]


def riff(kind, data):
    return kind + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)


def webp(flags, before=b"", after=b"", size=None):
    header = riff(b"VP8X", bytes([flags, 0, 0, 0, 79, 0, 0, 59, 0, 0]))
    body = b"WEBP" + header + before + WEBP[12:] + after
    return b"RIFF" + struct.pack("<I", len(body) if size is None else size) + body


def tiff(base, *tags):
    """Write the directory once more, with these tags: number, type, count, value or place."""
    (offset,) = struct.unpack_from("<I", base, 4)
    (count,) = struct.unpack_from("<H", base, offset)
    entries = [base[start : start + 12] for start in range(offset + 2, offset + 2 + 12 * count, 12)]
    entries = sorted(
        [*entries, *(struct.pack("<HHII", *tag) for tag in tags)], key=lambda e: struct.unpack("<H", e[:2])
    )
    body = base + b"\0" * (len(base) % 2)
    directory = struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4)
    return body[:4] + struct.pack("<I", len(body)) + body[8:] + directory


BEYOND = 10**6  # a place behind the end of the file

READ = {
    "text of 2 MB": png(chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b"a" * 2_000_000))),
    "profile of 2 MB": png(chunk(b"iCCP", b"icc\0\0" + zlib.compress(NOISE))),
    "text with a wrong checksum": png(chunk(b"tEXt", b"Comment\0hello", 1)),
    "UTF-8 text of 2 MB": png(chunk(b"iTXt", b"Comment\0\1\0\0\0" + zlib.compress(b"a" * 2_000_000))),
    "many texts of 1 MB": png(*[chunk(b"zTXt", b"C\0\0" + zlib.compress(b"a" * 1_000_000))] * 70),
    "text behind the pixels": HEADER + IMAGE + chunk(b"zTXt", b"C\0\0" + zlib.compress(b"a" * 2_000_000)) + END,
    "text between the pixels": HEADER
    + chunk(b"IDAT", PACKED[:99])
    + chunk(b"tEXt", b"a\0b")
    + chunk(b"IDAT", PACKED[99:])
    + END,
    "text in an unknown packing": png(chunk(b"zTXt", b"Comment\0\7hello")),
    "empty profile": png(chunk(b"iCCP")),
    "profile in an unknown packing": png(chunk(b"iCCP", b"icc\0\7hello")),
    "profile that is none": png(chunk(b"iCCP", b"icc\0\0hello")),
    "EXIF that is none": png(chunk(b"eXIf", b"hello")),
    "EXIF with a wrong checksum": png(chunk(b"eXIf", b"II*\0\x08\0\0\0\0\0", 1)),
    "time with a wrong checksum": png(chunk(b"tIME", bytes(7), 1)),
    "short resolution": png(chunk(b"pHYs", b"\0")),
    "empty gamma": png(chunk(b"gAMA")),
    "short primaries": png(chunk(b"cHRM", bytes(3))),
    "empty sRGB": png(chunk(b"sRGB")),
    "short transparency": png(chunk(b"tRNS", b"\0")),
    "short animation": png(chunk(b"acTL", b"\0"), chunk(b"fcTL", b"\0")),
    "private chunk": png(chunk(b"prVt", b"hello")),
    "private chunk with a wrong checksum": png(chunk(b"prVt", b"hello", 1)),
    "chunk whose name is no text": png(chunk(b"\xff\xfe\0\1", b"hello")),
    "end with a wrong checksum": PNG[:-1] + b"\0",
    "bytes behind the end": PNG + b"hello" * 99,
    "JPEG, profile without its numbers": jpeg(segment(0xE2, b"ICC_PROFILE\0")),
    "JPEG, profile with a part missing": jpeg(segment(0xE2, b"ICC_PROFILE\0\2\3hello")),
    "JPEG, EXIF that is none": jpeg(segment(0xE1, b"Exif\0\0hello")),
    "JPEG, EXIF that leads out of the file": jpeg(segment(0xE1, b"Exif\0\0II*\0\xff\xff\xff\x7f")),
    "JPEG, XMP that is no XML": jpeg(segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta")),
    "JPEG, short Photoshop data": jpeg(segment(0xED, b"Photoshop 3.0\x008BIM\3\xed\0\0\0\0\0\2ab")),
    "JPEG, short Adobe segment": jpeg(segment(0xEE, b"Adobe")),
    "JPEG, second short JFIF": jpeg(segment(0xE0, b"JFIF\0")),
    "JPEG, second pictures that are none": jpeg(segment(0xE2, b"MPF\0II*\0\x08\0\0\0\xff\xff")),
    "JPEG, 2 MB of profile": jpeg(
        *(segment(0xE2, b"ICC_PROFILE\0" + bytes([i + 1, 40]) + NOISE[:60_000]) for i in range(40))
    ),
    "JPEG, empty comment": jpeg(segment(0xFE, b"")),
    "JPEG, bytes behind the end": JPEG + b"hello" * 99,
    "GIF, long comment": gif(extension(0xFE, *[b"x" * 255] * 5000)),
    "GIF, application without a name": gif(extension(0xFF)),
    "GIF, loop without a count": gif(extension(0xFF, b"NETSCAPE2.0")),
    "GIF, empty control": gif(extension(0xF9)),
    "GIF, short control": gif(extension(0xF9, b"\0")),
    "GIF, unknown extension": gif(extension(0x77, b"hello")),
    "GIF, bytes behind the end": GIF + b"hello",
    "WebP, profile that is none": webp(0x20, riff(b"ICCP", b"hello")),
    "WebP, EXIF longer than the file": webp(8, after=b"EXIF" + struct.pack("<I", 5000) + b"abc"),
    "WebP, EXIF without its last byte": webp(8, after=b"EXIF" + struct.pack("<I", 3) + b"abc"),
    "WebP, announced chunks that are not there": webp(0x2C),
    "WebP, unknown chunk": webp(0, after=riff(b"abcd", b"hello")),
    "WebP, wrong length": webp(0, size=10**6),
    "WebP, length 0": webp(0, size=0),
    "WebP, bytes behind the end": WEBP + b"hello" * 99,
    "TIFF, text behind the end": tiff(TIFF, (270, 2, 500, BEYOND)),
    "TIFF, LZW, text behind the end": tiff(LZW, (270, 2, 500, BEYOND)),
    "TIFF, endless text": tiff(LZW, (270, 2, 2**31, 8)),
    "TIFF, EXIF behind the end": tiff(LZW, (34665, 4, 1, BEYOND)),
    "TIFF, profile behind the end": tiff(TIFF, (34675, 7, 5000, BEYOND)),
    "TIFF, unknown type": tiff(LZW, (65000, 99, 1, 1)),
    "TIFF, impossible orientation": tiff(LZW, (274, 3, 1, 99)),
}


def flipped(data, place):
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


def huge():
    """A PNG of 120 megapixels with a text that Pillow refuses first."""
    size = struct.pack(">II", 12_000, 10_000)
    return PNG[:8] + chunk(b"IHDR", size + HEADER[24:29]) + chunk(b"iCCP") + IMAGE + END


REFUSED = {
    "wrong checksum of the header": (flipped(PNG, 32), "its chunk IHDR has a wrong checksum"),
    "changed header": (flipped(PNG, 19), "its chunk IHDR has a wrong checksum"),
    "wrong checksum of the pixels": (flipped(PNG, len(PNG) - 13), "its chunk IDAT has a wrong checksum"),
    "changed pixels": (flipped(PNG, 33 + 8 + len(PACKED) // 2), "its chunk IDAT has a wrong checksum"),
    "second chunk of pixels": (
        HEADER + chunk(b"IDAT", PACKED[:99]) + chunk(b"IDAT", PACKED[99:], 1) + END,
        "its chunk IDAT has a wrong checksum",
    ),
    "wrong checksum of the palette": (
        HEADER + chunk(b"PLTE", bytes(3), 1) + IMAGE + END,
        "its chunk PLTE has a wrong checksum",
    ),
    "cut short": (PNG[: len(PNG) // 2], "truncated"),
    "cut short, with a text of 2 MB": (READ["text of 2 MB"][:-60], "truncated"),
    "bomb": (huge(), "12000 x 10000"),
    "bomb of text and pixels": (HEADER + chunk(b"iCCP") + chunk(b"IDAT", zlib.compress(b"")) + END, "truncated"),
    "JPEG, cut short, with a broken profile": (READ["JPEG, profile without its numbers"][:-300], "truncated"),
    "TIFF, cut short": (TIFF[: len(TIFF) // 2], "damaged"),
    "WebP, cut short": (READ["WebP, EXIF longer than the file"][:120], "damaged"),
}


@pytest.mark.parametrize("name", READ)
def test_a_picture_with_odd_metadata_is_read(name, tmp_path):
    (tmp_path / "a.png").write_bytes(READ[name])
    pixels = np.asarray(datasets.load_original(tmp_path / "a.png"))
    assert pixels.shape == PIXELS.shape
    assert np.abs(pixels.astype(int) - PIXELS).mean() < (30 if name.startswith("GIF") else 3)  # a GIF has 256 colours
    assert datasets.load_image(tmp_path / "a.png", 32).shape == (3, 32, 32)


@pytest.mark.parametrize("name", REFUSED)
def test_a_picture_with_damaged_pixels_is_refused_with_the_reason(name, tmp_path):
    data, words = REFUSED[name]
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(ValueError, match=words) as error:
        datasets.load_image(tmp_path / "a.png", 32)
    assert str(error.value).startswith(f"{tmp_path / 'a.png'}: ")
    assert len(str(error.value).splitlines()) == 1


def upside_down(kind):
    exif = Image.Exif()
    exif[0x0112] = 3
    return encode(kind, exif=exif, lossless=True, quality=100, subsampling=0)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_the_orientation_stays_when_metadata_are_dropped(kind, tmp_path):
    data = upside_down(kind)
    if kind == "PNG":
        data = data[:33] + chunk(b"iCCP") + data[33:]
    elif kind == "JPEG":
        data = data[:2] + segment(0xE2, b"ICC_PROFILE\0") + data[2:]
    else:
        data = data[:4] + struct.pack("<I", 10**6) + data[8:]
    (tmp_path / "a.png").write_bytes(data)
    pixels = np.asarray(datasets.load_original(tmp_path / "a.png")).astype(int)
    assert np.abs(pixels - PIXELS[::-1, ::-1]).mean() < 4


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif"])
def test_pictures_of_imagemagick_with_long_metadata(suffix, tmp_path):
    programs = [path for path in ("/usr/bin/convert", shutil.which("magick")) if path and os.path.exists(path)]
    if not programs:
        pytest.skip("ImageMagick is not installed here")
    Image.fromarray(PIXELS).save(tmp_path / "plain.png")
    command = [programs[0], tmp_path / "plain.png", "-set", "comment", "a" * 60_000, "-quality", "95"]
    subprocess.run([*command, tmp_path / f"a.{suffix}"], check=True)
    pixels = np.asarray(datasets.load_original(tmp_path / f"a.{suffix}"))
    assert np.abs(pixels.astype(int) - PIXELS).mean() < 6


def test_the_command_captions_pictures_with_odd_metadata_and_names_those_with_damaged_pixels(tmp_path, capsys):
    odd = ["text of 2 MB", "profile of 2 MB", "text with a wrong checksum", "JPEG, short Adobe segment"]
    for i, name in enumerate(odd):
        (tmp_path / f"{i}.png").write_bytes(READ[name])
    (tmp_path / "bad.png").write_bytes(REFUSED["changed pixels"][0])
    paths = [*(str(tmp_path / f"{i}.png") for i in range(len(odd))), str(tmp_path / "bad.png")]
    assert cli.main(["caption", "--checkpoint", "scenes", *paths]) == 1
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == len(odd)
    assert "bad.png: it is damaged: its chunk IDAT has a wrong checksum" in err
