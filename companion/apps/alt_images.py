"""Find the file behind the address of an image on a page. Nothing is fetched, and nothing outside a folder is opened.

Explained in the chapter on alternative text.
"""

import base64
import binascii
import hashlib
import os
from pathlib import Path
from urllib.parse import unquote, unquote_to_bytes, urljoin, urlsplit

from PIL import Image

from companion.apps.alt_pages import Page
from companion.datasets.images import FORMATS

MAX_ADDRESS = 200  # characters of an address that are shown


class OutsideError(ValueError):
    """An image that is not looked at: it is remote, or lies outside the folder."""


def image_file(address: str, page: Page, *, root: Path, scratch: Path) -> Path:
    """Return the file of an image on a page; it may not exist. That of a data: address is written into `scratch`.

    An address that begins with a slash is taken from `root`, like that of a site; any other from the page's folder.

    Raises:
        OutsideError: the image is remote, or lies outside `root`.
        ValueError: the address cannot be read.
    """
    if address[:5].lower() == "data:":
        return _data_file(address, scratch)
    parts = urlsplit(urljoin(page.base, address))
    if parts.scheme.lower() in ("http", "https") or parts.netloc:
        raise OutsideError("it is on another machine, and nothing is fetched")
    if parts.scheme:
        raise OutsideError(f"addresses that begin with {parts.scheme}: are not opened")
    path = unquote(parts.path, errors="surrogateescape")
    if "\0" in path:
        raise ValueError("its address has a character that no file name has")
    file = root / path.lstrip("/") if path.startswith("/") else page.path.parent / path
    if not Path(os.path.realpath(file)).is_relative_to(os.path.realpath(root)):
        raise OutsideError("it lies outside the folder, where nothing is opened")
    return file


def is_pixel(file: Path) -> bool:
    """Return whether a file is an image of a single pixel, or of a line one pixel wide, as pages are spaced with."""
    try:
        with Image.open(file, formats=FORMATS) as image:
            return min(image.size) == 1
    except Exception:  # what cannot be read is reported when it is to be captioned
        return False


def shorten_address(address: str) -> str:
    """Return an address as it is shown to people: a data: address is long, and means nothing to them."""
    return address if len(address) <= MAX_ADDRESS else f"{address[:40]}... ({len(address):,} characters)"


def _data_file(address: str, scratch: Path) -> Path:
    """Return a file with the bytes of a data: address (RFC 2397)."""
    head, comma, body = address[5:].partition(",")
    data = unquote_to_bytes(body)
    if head.rstrip().lower().endswith(";base64"):
        data = b"".join(data.split())
        try:
            data = base64.b64decode(data + b"=" * (-len(data) % 4))
        except binascii.Error:
            data = b""
    if not comma or not data:
        raise ValueError("its data: address holds no image")
    file = scratch / hashlib.sha256(data).hexdigest()
    file.write_bytes(data)
    return file
