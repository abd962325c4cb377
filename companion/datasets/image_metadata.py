"""Find the pixels of an image file among its metadata, which decoders may refuse though nobody needs it here.

Texts, colour profiles and times that are damaged, or longer than Pillow allows, are no reason to lose a photograph.
Explained in the chapter on real photographs.
"""

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_PIXELS = (b"IHDR", b"PLTE", b"IDAT")  # the chunks without which a PNG cannot be decoded; IEND is empty
_PNG_TRANSPARENCY = {0: 2, 2: 6}  # bytes of the transparent colour in a PNG of greys, of colours
# The tags by which a TIFF is decoded: size, compression, colours, orientation, strips, tiles, tables of JPEG.
_TIFF_PIXELS = {*range(254, 267), 273, 274, *range(277, 280), 284, 292, 293, *range(317, 348), *range(512, 533)}


def check_png(path: Path) -> None:
    """Raise ValueError for a PNG with a wrong checksum in a chunk of pixels: Pillow does not compare those of IDAT.

    A file that is cut short, or no PNG, is left to the decoder.
    """
    with open(path, "rb") as file:
        if file.read(8) != _PNG_SIGNATURE:
            return
        while len(head := file.read(8)) == 8:
            length, kind = struct.unpack(">I4s", head)
            if kind == b"IEND":
                return
            if kind not in _PNG_PIXELS:
                file.seek(length + 4, 1)
                continue
            checksum = zlib.crc32(kind)
            while length and (data := file.read(min(length, 1 << 20))):
                checksum, length = zlib.crc32(data, checksum), length - len(data)
            stored = file.read(4)
            if not length and len(stored) == 4 and stored != checksum.to_bytes(4, "big"):
                raise ValueError(f"it is damaged: its chunk {kind.decode()} has a wrong checksum")


def without_metadata(data: bytes) -> bytes | None:
    """Return an image file without what is not needed to decode it; None if it holds nothing else, or in other formats.

    EXIF data are kept where they are whole, since they say how the camera was held.
    """
    strip = next((strip for magic, strip in _STRIP.items() if data.startswith(magic)), None)
    if strip is None:
        return None
    try:
        stripped = strip(data)
    except (struct.error, IndexError):  # cut short
        return None
    return None if stripped == data else stripped


def _strip_png(data: bytes) -> bytes:
    """Keep the chunks of pixels and of transparency, and EXIF. Other chunks may not stand between those of pixels."""
    kept, position = [_PNG_SIGNATURE], 8
    while position + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        chunk = data[position : position + length + 12]
        checksum_matches = zlib.crc32(chunk[4:-4]).to_bytes(4, "big") == chunk[-4:]
        transparency = kind == b"tRNS" and length >= _PNG_TRANSPARENCY.get(data[25], 1)  # 25: the kind of colours
        if kind in (*_PNG_PIXELS, b"IEND") or (checksum_matches and (transparency or kind == b"eXIf")):
            kept.append(chunk)
        position += length + 12
    return b"".join(kept)


def _strip_jpeg(data: bytes) -> bytes:
    """Drop the application segments and comments, but for EXIF and for Adobe's segment on colours."""
    kept, position = [data[:2]], 2
    while data[position] == 0xFF and data[position + 1] != 0xDA:  # the pixels begin at DA
        if data[position + 1] == 0xFF:  # a fill byte
            position += 1
            continue
        (length,) = struct.unpack_from(">H", data, position + 2)
        segment = data[position : position + 2 + length]
        metadata = segment[1] == 0xFE or 0xE0 <= segment[1] <= 0xEF
        adobe = segment[1] == 0xEE and segment[4:9] == b"Adobe" and length >= 14
        if not metadata or adobe or segment[4:10] == b"Exif\0\0":
            kept.append(segment)
        position += 2 + length
    return b"".join([*kept, data[position:]])


def _strip_gif(data: bytes) -> bytes:
    """Drop the extensions before the first frame, but for the one on transparency."""
    position = 13 + (3 << (data[10] & 7) + 1 if data[10] & 0x80 else 0)
    kept = [data[:position]]
    while data[position] == 0x21:
        begin, transparency = position, data[position + 1] == 0xF9 and data[position + 2] == 4
        position += 2
        while data[position]:
            position += 1 + data[position]
        position += 1
        if transparency:
            kept.append(data[begin:position])
    return b"".join([*kept, data[position:]])


def _strip_webp(data: bytes) -> bytes:
    """Drop profiles, XMP and unknown chunks, and let the header announce the chunks that are left."""
    kept, position, flags = [], 12, 0x12  # of the header's flags those of alpha and animation
    while position + 8 <= len(data):
        kind, length = struct.unpack_from("<4sI", data, position)
        chunk = data[position : position + 8 + length + length % 2]
        is_complete = len(chunk) == 8 + length + length % 2
        flags |= 8 * (kind == b"EXIF" and is_complete)
        if kind in (b"VP8X", b"VP8 ", b"VP8L", b"ALPH", b"ANIM", b"ANMF") or (kind == b"EXIF" and is_complete):
            kept.append(chunk)
        position += 8 + length + length % 2
    if kept and kept[0].startswith(b"VP8X"):
        kept[0] = kept[0][:8] + bytes([kept[0][8] & flags]) + kept[0][9:]
    body = b"WEBP" + b"".join(kept)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _strip_tiff(data: bytes) -> bytes:
    """Write the directory of the first picture once more at the end, with the tags of its pixels alone."""
    order = "<" if data.startswith(b"II") else ">"
    (offset,) = struct.unpack_from(order + "I", data, 4)
    (count,) = struct.unpack_from(order + "H", data, offset)
    entries = [data[start : start + 12] for start in range(offset + 2, offset + 2 + 12 * count, 12)]
    kept = [entry for entry in entries if struct.unpack_from(order + "H", entry)[0] in _TIFF_PIXELS]
    if len(kept) == count:
        return data
    body = data[8:] + b"\0" * (len(data) % 2)
    directory = struct.pack(order + "H", len(kept)) + b"".join(kept) + bytes(4)
    return data[:4] + struct.pack(order + "I", 8 + len(body)) + body + directory


_STRIP: dict[bytes, Callable[[bytes], bytes]] = {
    _PNG_SIGNATURE: _strip_png,
    b"\xff\xd8": _strip_jpeg,
    b"GIF8": _strip_gif,
    b"RIFF": _strip_webp,
    b"II*\0": _strip_tiff,
    b"MM\0*": _strip_tiff,
}
