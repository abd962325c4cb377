"""Download or take archives that the caller names, check them, and unpack them to a folder that `datasets.read` reads.

There is no URL in this package. What arrives is compared with the size and the SHA-256 that were given for it, and
until everything is checked it stays in a folder `.unfinished` inside the target. If a download is complete but no data
set comes of it, the archive is kept there for another try. Explained in the chapter on real photographs.
"""

import hashlib
import http.client
import os
import re
import shutil
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit

from tqdm import tqdm

from companion.datasets import archives
from companion.datasets.layouts import IMAGE_FOLDERS
from companion.datasets.readers import read

UNFINISHED = ".unfinished"
ARCHIVE_SUFFIXES = (".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".zst", ".7z", ".rar")
TIMEOUT = 60  # seconds without a single byte
_BLOCK_BYTES = 1 << 20


class Source(NamedTuple):
    """Where an archive is, and what is known of it."""

    location: str | Path  # a URL, or a file
    size: int | None = None  # bytes
    sha256: str | None = None  # 64 hexadecimal digits


def download_dataset(sources: Sequence[Source], out: Path | str) -> list[str]:
    """Unpack all sources together into a new or empty folder, and return the SHA-256 of each.

    After an error the folder is as empty as before, but for complete downloads: they are kept in its subfolder
    `UNFINISHED`, where the message tells. They are removed when a later call for the same folder succeeds.

    Args:
        sources: the archives of one data set.
        out: the folder.

    Raises:
        ValueError: the folder is not empty, a source cannot be had or is not what was named (the message begins with
            it), or all of them together are not a data set.
        OSError: the disk is full.
    """
    out = Path(out)
    if out.exists() and (not out.is_dir() or any(entry.name != UNFINISHED for entry in out.iterdir())):
        raise ValueError(f"{out}: is not an empty folder; choose another --out")
    work = out / UNFINISHED
    _clear(work)  # of what a call has left that was killed
    unpacked, kept = work / "unpacked", list[Path]()
    unpacked.mkdir(parents=True)
    try:
        digests = [_add(source, work, unpacked, kept) for source in sources]
        top = _top_folder(unpacked)
        _check_dataset(top, sources)
        # Folders first, and files in reverse order: the file by which a layout is recognised then comes last.
        for entry in sorted(top.iterdir(), key=lambda entry: (entry.is_dir(), entry.name), reverse=True):
            entry.rename(out / entry.name)
    except ValueError as error:
        raise ValueError(_add_place(str(error), kept)) from None
    except OSError as error:
        if not kept:
            raise
        raise OSError(_add_place(str(error), kept)) from error
    finally:
        _clear(work)
    if work.exists():
        shutil.rmtree(work)
    return digests


def _clear(work: Path) -> None:
    """Remove from the folder of unfinished work all but complete downloads, and the folder itself if it has none."""
    for name in ("unpacked", "parts"):
        shutil.rmtree(work / name, ignore_errors=True)
    (work / "archive").unlink(missing_ok=True)
    if work.is_dir() and not any(work.iterdir()):
        work.rmdir()


def _add_place(message: str, kept: Sequence[Path]) -> str:
    """Return a message with the complete downloads, which the next try can name as --archive."""
    if not kept:
        return message
    separator = "\n" if "\n" in message else "; "
    return f"{message}{separator}what was downloaded is kept (see --archive): {' '.join(map(str, kept))}"


def _add(source: Source, work: Path, unpacked: Path, kept: list[Path]) -> str:
    """Unpack one source among the files of the others, and return its SHA-256; append a complete download to `kept`."""
    archive, parts = work / "archive", work / "parts"
    try:
        if isinstance(source.location, Path):
            archive = source.location
            if not archive.is_file():
                raise ValueError("there is no such file")
        else:
            fetch(source.location, archive, source.size)
            name = re.sub(r"[^\w.-]", "_", Path(urlsplit(source.location).path).name)[-100:]
            archive = archive.replace(work / f"{len(kept) + 1}_{name}")
            kept.append(archive)
        digest = verify(archive, source.size, source.sha256)
        parts.mkdir()
        archives.unpack(archive, parts)
        _merge(parts, unpacked)
    except ValueError as error:
        raise ValueError(f"{source.location}: {str(error).removeprefix(f'{archive}: ')}") from None
    shutil.rmtree(parts)
    return digest


def _merge(parts: Path, unpacked: Path) -> None:
    """Move all files to the same places in another folder. Raises ValueError if one is there already."""
    for path in sorted(parts.rglob("*")):
        if path.is_file():
            name = path.relative_to(parts)
            try:
                (unpacked / name).parent.mkdir(parents=True, exist_ok=True)
                clash = (unpacked / name).exists()
            except (FileExistsError, NotADirectoryError):  # a file where this one has a folder
                clash = True
            if clash:
                raise ValueError(f"it holds {name.as_posix()}, and so does an archive before it")
            path.rename(unpacked / name)


def _check_dataset(folder: Path, sources: Sequence[Source]) -> None:
    """Raise ValueError if the unpacked files are not a data set; it names the archives, not files that will be gone."""
    try:
        read(folder)
    except ValueError as error:
        names = " ".join(str(source.location) for source in sources)
        message = str(error).removeprefix(f"{folder}: ").replace(f"{folder}{os.sep}", "").replace(str(folder), "it")
        inner = sorted(path.name for path in folder.rglob("*") if path.name.lower().endswith(ARCHIVE_SUFFIXES))
        if inner:
            listed = ", ".join(inner[:3]) + ", ..." * (len(inner) > 3)
            message = f"it holds archives ({listed}); unpack it, and pack all files as one .zip or .tar.gz"
        raise ValueError(f"{names}: {message}") from None


def _top_folder(folder: Path) -> Path:
    """Return the folder itself, or the one folder in it that holds everything, as in many archives."""
    entries = list(folder.iterdir())
    nested = len(entries) == 1 and entries[0].is_dir() and entries[0].name not in IMAGE_FOLDERS
    return _top_folder(entries[0]) if nested else folder


def verify(path: Path, size: int | None, sha256: str | None) -> str:
    """Return the SHA-256 of a file. Raises ValueError if this, or the size in bytes, is not the one given."""
    actual = path.stat().st_size
    if size is not None and actual != size:
        raise ValueError(f"it has {actual:,} bytes, not the {size:,} that were named: it is cut short, or another file")
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if sha256 is not None and digest != sha256.lower():
        raise ValueError(f"its SHA-256 is {digest}, not the one that was named: it is damaged, or another file")
    return digest


def fetch(url: str, path: Path, size: int | None = None) -> None:
    """Download a URL to a new file.

    Args:
        url: begins with https:// or http://.
        path: the file to create.
        size: the number of bytes, if it is known; no more are read.

    Raises:
        ValueError: the download fails, is incomplete or has another size.
        OSError: the disk is full.
    """
    scheme = urlsplit(url).scheme
    if scheme not in ("http", "https"):
        raise ValueError("an address begins with https:// or http://")
    with _network_errors(), urllib.request.urlopen(url, timeout=TIMEOUT) as response, open(path, "xb") as file:
        if urlsplit(response.url).scheme not in ("https", scheme):
            raise ValueError(f"it leads to {response.url}, which anybody on the way can change; name one with https://")
        announced = response.headers.get("Content-Length", "")
        expected = int(announced) if announced.isdecimal() else size
        if size is not None and expected != size:
            raise ValueError(f"the server has {expected:,} bytes, not the {size:,} that were named")
        with tqdm(total=expected, desc="downloading", unit="B", unit_scale=True, leave=False) as progress:
            # To `read`, a broken connection looks like the end of the file. So the bytes are counted.
            while data := response.read(_BLOCK_BYTES):
                file.write(data)
                progress.update(len(data))
                if file.tell() > (archives.MAX_BYTES if expected is None else expected):
                    raise ValueError(f"it goes on after {file.tell():,} bytes; it is not the file that was meant")
        if expected is not None and file.tell() < expected:
            raise ValueError(f"the download stopped after {file.tell():,} of {expected:,} bytes; try again")


@contextmanager
def _network_errors() -> Iterator[None]:
    """Raise every exception of the network as a ValueError of one line; pass on an OSError of the disk."""
    try:
        yield
    except HTTPError as error:
        raise ValueError(f"the server answers {error.code} {error.reason}") from None
    except (URLError, http.client.HTTPException, ConnectionError, TimeoutError) as error:
        reason = getattr(error, "reason", error)
        raise ValueError(f"the download failed: {reason or type(reason).__name__}; try again") from None
