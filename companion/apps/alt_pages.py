"""Read a page of HTML or Markdown, find its images, and write texts into a copy that is the same everywhere else.

`read_page` finds the images, `insert_texts` puts texts in at their places, byte by byte as they stand in the file's own
encoding. Explained in the chapter on alternative text.
"""

import codecs
import html
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from companion.apps.alt_html import PageImage, find_html_images
from companion.apps.alt_markdown import blank_code, escape_markdown, find_markdown_images

SUFFIXES = (".html", ".htm", ".md")
MAX_BYTES = 50_000_000  # of a page
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"),
)  # fmt: skip
_DECLARED = re.compile(
    rb"""<meta[^>]{0,200}?charset\s*=\s*["']?\s*([\w.:-]+) | ^<\?xml[^>]*encoding=["']([\w.:-]+)""", re.I | re.X
)
_LATIN = ("ascii", "iso8859-1")  # what browsers read as windows-1252


class Page(NamedTuple):
    """A page, its text and its images in their order; `base` is the address that theirs are relative to, or ""."""

    path: Path
    text: str
    encoding: str
    images: list[PageImage]
    base: str


def read_page(path: Path) -> Page:
    """Return the page in a file; one that ends in .md is Markdown, any other HTML.

    Raises ValueError for a file that cannot be read or written back as it is.
    """
    if not path.is_file():
        raise ValueError(f"{path}: {'is not an ordinary file' if path.exists() else 'there is no such file'}")
    if path.stat().st_size > MAX_BYTES:
        raise ValueError(f"{path}: is larger than {MAX_BYTES // 10**6} MB; no page is")
    data = path.read_bytes()
    encoding = find_encoding(data)
    try:
        text = data.decode(encoding, "surrogateescape")
        is_same = text.encode(encoding, "surrogateescape") == data
    except UnicodeError:
        is_same = False
    if not is_same:
        raise ValueError(f"{path}: its encoding {encoding} does not fit its bytes; convert the page to UTF-8")
    if path.suffix.lower() != ".md":
        return Page(path, text, encoding, *find_html_images(text))
    without_code = blank_code(text)
    found = find_html_images(without_code)
    both = [*found.images, *find_markdown_images(without_code)]
    return Page(path, text, encoding, sorted(both, key=lambda image: image.offset), found.base)


def find_encoding(data: bytes) -> str:
    """Return the encoding of a page: of its byte order mark, else declared in its first kilobyte, else UTF-8.

    What is not UTF-8 and declares nothing is windows-1252, as in browsers.
    """
    for mark, name in _BYTE_ORDER_MARKS:
        if data.startswith(mark):
            return name
    declared = _DECLARED.search(data[:1024])
    if declared:
        try:
            name = codecs.lookup((declared[1] or declared[2]).decode("ascii")).name
            "".encode(name)  # LookupError for what is no encoding of text, such as hex
        except (LookupError, UnicodeError):
            name = "utf-8"
        if not name.startswith("utf-16"):  # it could not be read as far as this
            return "cp1252" if name in _LATIN else name
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8"


def insert_texts(page: Page, texts: Mapping[int, str]) -> bytes:
    """Return the bytes of the page with alternative texts of some of its images, by their index; "" for decorative.

    Between these texts they are the bytes of the file.
    """
    parts, last = [], 0
    for i in sorted(texts):
        image = page.images[i]
        parts.append(page.text[last : image.offset].encode(page.encoding, "surrogateescape"))
        text = escape_markdown(texts[i]) if image.is_markdown else f' alt="{html.escape(texts[i])}"'
        parts.append(text.encode(page.encoding, "xmlcharrefreplace"))
        last = image.offset
    return b"".join([*parts, page.text[last:].encode(page.encoding, "surrogateescape")])
