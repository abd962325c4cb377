"""Decode the names in a zip archive, which may be in the code page of the computer on which it was made.

A flag tells which names are UTF-8. Without it they should be in code page 437, but most programs write them in UTF-8 or
in the page of their user's language. The caption files in the archive tell which. Explained in the chapter on real
photographs.
"""

import re
import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Iterable, Iterator

from companion.datasets.image_folder import IMAGE_SUFFIXES
from companion.datasets.parsing import shorten

UTF8_FLAG = 0x800
UNICODE_PATH = 0x7075  # the extra field in which some programs write the name once more, in UTF-8
CODE_PAGES = (  # of equally good ones the first is taken
    *("utf-8", "cp437", "cp850", "cp1252", "gb18030", "cp932", "cp949", "cp950", "cp866", "cp1251", "cp852", "cp1250"),
    *("cp737", "cp1253", "cp857", "cp1254", "cp862", "cp1255", "cp720", "cp1256", "cp874", "cp1258", "mac-roman"),
)
MAX_TEXT_BYTES = 20 * 10**6  # read from each caption file
MAX_TEXTS = 20  # caption files read
MAX_NAMES = 1000  # names looked for in the caption files


def member_names(archive: zipfile.ZipFile) -> list[str]:
    """Return the names of all members, with `/` between folders: old .NET and PowerShell write a backslash.

    Raises ValueError if pictures have names in a code page that cannot be told.
    """
    names: list[str | bytes] = [_stored_name(entry) for entry in archive.infolist()]
    encoding = _guess_encoding(archive, [name for name in names if isinstance(name, bytes)])
    decoded = [name.decode(encoding) if isinstance(name, bytes) else name for name in names]
    return [name.replace("\\", "/") for name in decoded]


def _stored_name(entry: zipfile.ZipInfo) -> str | bytes:
    """Return the name of a member; its bytes if the archive does not tell their encoding."""
    name = entry.orig_filename  # `filename` has been changed, on Windows in the middle of Japanese letters
    if entry.flag_bits & UTF8_FLAG or name.isascii():
        return name
    data, extra = name.encode("cp437"), entry.extra  # as zipfile has decoded it
    while len(extra) >= 4:
        kind, size = struct.unpack_from("<HH", extra)
        field, extra = extra[4 : 4 + size], extra[4 + size :]
        if kind == UNICODE_PATH and field[1:5] == zlib.crc32(data).to_bytes(4, "little"):
            return field[5:].decode("utf-8")
    return data


def _guess_encoding(archive: zipfile.ZipFile, names: list[bytes]) -> str:
    """Return the first code page in which the caption files hold the most of these names; UTF-8 if all names are."""
    candidates = [page for page in CODE_PAGES if _can_decode(names, page)]
    if candidates[0] == "utf-8":
        return "utf-8"
    pictures = [name for name in names if name.lower().endswith(tuple(map(str.encode, IMAGE_SUFFIXES)))]
    texts = list(_caption_texts(archive)) if pictures else []
    counts = {page: _count_known(pictures[:MAX_NAMES], page, texts) for page in candidates}
    best = max(candidates, key=counts.__getitem__)
    if not counts[best]:
        # A folder's name seldom matters; the name of a picture does.
        for name in pictures:
            if not re.split(rb"[/\\]", name)[-1].isascii():
                raise ValueError(
                    f"the names of its pictures, such as {shorten(name)}, are in a code page that cannot be told: none "
                    "is in a caption file in it (UTF-8); pack it again with names in UTF-8 (7z a -mcu=on)"
                )
    return best


def _can_decode(names: list[bytes], page: str) -> bool:
    try:
        return all(name.decode(page) is not None for name in names)
    except UnicodeDecodeError:
        return False


def _count_known(names: Iterable[bytes], page: str, texts: list[str]) -> int:
    """Return how many of the folders and files, without suffix, are in the texts, but for names in ASCII."""
    decoded = (unicodedata.normalize("NFC", name.decode(page)) for name in names)
    parts = {part for name in decoded for part in re.split(r"[/\\]", name.rpartition(".")[0]) if not part.isascii()}
    return sum(any(part in text for text in texts) for part in parts)


def _caption_texts(archive: zipfile.ZipFile) -> Iterator[str]:
    """Yield the beginnings of the files in an archive that may hold captions."""
    entries = [
        entry for entry in archive.infolist() if re.search(r"\.(csv|tsv|txt|token|jsonl?)$", entry.filename, re.I)
    ]
    for entry in entries[:MAX_TEXTS]:
        with archive.open(entry) as file:
            text = file.read(MAX_TEXT_BYTES).decode("utf-8", "ignore")
        text = re.sub(r"\\u([0-9a-fA-F]{4})", lambda match: chr(int(match[1], 16)), text)  # letters escaped in JSON
        yield unicodedata.normalize("NFC", text)
