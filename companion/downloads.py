"""Addresses or archives that somebody names go in; a folder that `datasets.read` understands comes out.

No address stands in this package. What arrives is held against the size and the SHA-256 that were named with it, and
until all is well it lies in a folder `.unfinished` inside of the one to be filled. Explained in chapter 16.
"""

import hashlib
import http.client
import shutil
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit

from tqdm import tqdm

from companion import archives, datasets

UNFINISHED = ".unfinished"
PATIENCE = 60  # seconds without a single byte
_BLOCK = 1 << 20


class Source(NamedTuple):
    """Where an archive is, and what is known of it."""

    place: str | Path  # an address, or a file
    size: int | None = None  # bytes
    sha256: str | None = None  # 64 hexadecimal digits


def data_set(sources: Sequence[Source], out: Path | str) -> list[str]:
    """Unpack all `sources` together into the new or empty folder `out`, and return the SHA-256 of each.

    ValueError that names the source or the folder if something is wrong with it, or if all of them together are no
    data set; OSError if the disk is full. Nothing is left in `out` then.
    """
    out = Path(out)
    work = out / UNFINISHED
    if work.is_dir():  # from a call that was killed
        shutil.rmtree(work)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"{out}: is not an empty folder; choose another --out")
    whole = work / "whole"
    whole.mkdir(parents=True)
    try:
        digests = [_add(source, work, whole) for source in sources]
        top = _top(whole)
        datasets.read(top)  # refuses what is no data set
        # Folders first, and last in the alphabet first: so the file that makes it a known layout comes last of all.
        for entry in sorted(top.iterdir(), key=lambda entry: (entry.is_dir(), entry.name), reverse=True):
            entry.rename(out / entry.name)
    finally:
        shutil.rmtree(work)
    return digests


def _add(source: Source, work: Path, whole: Path) -> str:
    """Unpack one source and put its files beside those of the others; its SHA-256."""
    archive, parts = work / "archive", work / "parts"
    try:
        if isinstance(source.place, Path):
            archive = source.place
            if not archive.is_file():
                raise ValueError("there is no such file")
        else:
            download(source.place, archive, source.size)
        digest = check(archive, source.size, source.sha256)
        parts.mkdir()
        archives.unpack(archive, parts)
        for entry in list(parts.iterdir()):
            if (whole / entry.name).exists():
                raise ValueError(f"it holds {entry.name}, and so does an archive before it")
            entry.rename(whole / entry.name)
    except ValueError as error:
        raise ValueError(f"{source.place}: {str(error).removeprefix(f'{archive}: ')}") from None
    parts.rmdir()
    (work / "archive").unlink(missing_ok=True)
    return digest


def _top(folder: Path) -> Path:
    """The folder itself; or, as many archives hold one folder that holds all the rest, that one."""
    entries = list(folder.iterdir())
    packed = len(entries) == 1 and entries[0].is_dir() and entries[0].name not in datasets.PICTURE_FOLDERS
    return _top(entries[0]) if packed else folder


def check(path: Path, size: int | None, sha256: str | None) -> str:
    """The SHA-256 of the file. ValueError if this, or its size, is not the one that was named."""
    found = path.stat().st_size
    if size is not None and found != size:
        raise ValueError(f"it has {found:,} bytes, not the {size:,} that were named: it is cut short, or another file")
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if sha256 is not None and digest != sha256.lower():
        raise ValueError(f"its SHA-256 is {digest}, not the one that was named: it is damaged, or another file")
    return digest


def download(address: str, path: Path, size: int | None = None) -> None:
    """Write what the address gives to the new file `path`. ValueError if it cannot be had whole.

    `size`: the bytes that it should have, if they are known; no more are read.
    """
    scheme = urlsplit(address).scheme
    if scheme not in ("http", "https"):
        raise ValueError("an address begins with https:// or http://")
    with _reaching(), urllib.request.urlopen(address, timeout=PATIENCE) as reply, open(path, "xb") as file:
        if urlsplit(reply.url).scheme not in ("https", scheme):
            raise ValueError(f"it leads to {reply.url}, which anybody on the way can change; name one with https://")
        announced = reply.headers.get("Content-Length", "")
        expected = int(announced) if announced.isdecimal() else size
        if size is not None and expected != size:
            raise ValueError(f"the server has {expected:,} bytes, not the {size:,} that were named")
        with tqdm(total=expected, desc="downloading", unit="B", unit_scale=True, leave=False) as progress:
            # A connection that breaks looks like the end of the file to `read`: so the bytes are counted.
            while data := reply.read(_BLOCK):
                file.write(data)
                progress.update(len(data))
                if file.tell() > (archives.LARGEST if expected is None else expected):
                    raise ValueError(f"it goes on after {file.tell():,} bytes; it is not the file that was meant")
        if expected is not None and file.tell() < expected:
            raise ValueError(f"the download stopped after {file.tell():,} of {expected:,} bytes; try again")


@contextmanager
def _reaching() -> Iterator[None]:
    """Whatever the network says becomes one line; what the disk says stays an OSError."""
    try:
        yield
    except HTTPError as error:
        raise ValueError(f"the server answers {error.code} {error.reason}") from None
    except (URLError, http.client.HTTPException, ConnectionError, TimeoutError) as error:
        reason = getattr(error, "reason", error)
        raise ValueError(f"the download failed: {reason or type(reason).__name__}; try again") from None
