"""An archive of somebody else's goes in; its files come out in one folder, or one line saying why none did.

Members are written by name and content alone: no link, no owner, no permission, no time is taken over, and the
extractors of `zipfile` and `tarfile` are not used. One bad member, and nothing is unpacked. Explained in chapter 16.
"""

import bz2
import errno
import gzip
import io
import lzma
import shutil
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple, Protocol, runtime_checkable

from companion.collecting import on_disk, short, unsafe

LARGEST = 60 * 10**9  # bytes unpacked; COCO, the largest data set that is read here, has 20 billion in its largest file
GROWTH = 100  # times as large as the archive; photographs hardly grow at all, text about four times
SMALL = 10**7  # bytes that even the smallest archive may hold
MOST = 1_000_000  # members
HEADERS = 10**6  # bytes of a tar file before the next member's content begins

_TAR: dict[bytes, Callable[..., Any]] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open}


@runtime_checkable
class Readable(Protocol):
    """A file, as far as it matters here."""

    def read(self, size: int = -1, /) -> bytes:
        """At most `size` bytes; all that are left if it is negative; none at the end."""


class Member(NamedTuple):
    """A file in an archive; the content can be read until the next member is asked for."""

    name: str
    size: int
    content: Readable


def unpack(archive: Path | str, folder: Path | str) -> None:
    """Write the files of a zip or tar archive (plain, gz, bz2, xz) into `folder`, which must be empty.

    ValueError "ARCHIVE: reason", with `folder` empty again, if it is no whole archive, if a member would lead out of
    the folder or is a link or a device, if a name comes twice, or if it grows beyond all measure. OSError, with
    `folder` empty again, if the disk is full.
    """
    archive, folder = Path(archive), Path(folder)
    assert not any(folder.iterdir()), f"{folder} is not empty"
    try:
        with _refusing(archive):
            room = min(LARGEST, max(SMALL, GROWTH * archive.stat().st_size))
            for count, member in enumerate(_members(archive)):
                room -= member.size
                if room < 0 or count == MOST:
                    raise ValueError("it holds far more than its size allows; it may be made to fill the disk")
                if not member.name.startswith("__MACOSX/"):  # what macOS adds: a shadow of each file
                    _write(member, folder)
    except BaseException:
        for left in list(folder.iterdir()):
            shutil.rmtree(left) if left.is_dir() else left.unlink()
        raise


def _write(member: Member, folder: Path) -> None:
    if unsafe(member.name):
        raise ValueError(f"its member {short(member.name)} leads out of the folder")
    path = folder / on_disk(member.name)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "xb") as file:
            shutil.copyfileobj(member.content, file, 1 << 20)
            written = file.tell()
    except (FileExistsError, NotADirectoryError):
        raise ValueError(f"its member {short(member.name)} comes twice") from None
    if written != member.size:
        raise ValueError(f"its member {short(member.name)} has {written:,} bytes, not the {member.size:,} announced")


def _members(archive: Path) -> Iterator[Member]:
    with open(archive, "rb") as file:
        head = file.read(512)
        file.seek(0)
        if head.startswith(b"PK"):
            yield from _zip_members(file)
        elif opener := next((opener for magic, opener in _TAR.items() if head.startswith(magic)), None):
            with opener(file) as stream:
                yield from _tar_members(stream)
        elif head[257:262] == b"ustar":
            yield from _tar_members(file)
        elif head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
            raise ValueError("it is a web page, not an archive; perhaps it asks for a login, or has moved")
        else:
            raise ValueError("it is no zip or tar archive, or it is damaged at its beginning")


def _zip_members(file: IO[bytes]) -> Iterator[Member]:
    with zipfile.ZipFile(file) as opened:
        for entry in opened.infolist():
            kind = stat.S_IFMT(entry.external_attr >> 16)  # 0 where the archive was not made on Unix
            if entry.is_dir():
                continue
            if kind not in (0, stat.S_IFREG):
                raise ValueError(f"its member {short(entry.filename)} is a link or a device")
            with opened.open(entry) as content:
                yield Member(entry.filename, entry.file_size, content)


def _tar_members(stream: Readable) -> Iterator[Member]:
    metered = _Metered(stream)
    metered.room = HEADERS
    with tarfile.open(fileobj=metered, mode="r|", encoding="utf-8") as opened:  # type: ignore[call-overload]  # it asks for `read` alone
        for entry in opened:
            if entry.isdir():
                continue
            if not entry.isreg() or entry.issparse():
                raise ValueError(f"its member {short(entry.name)} is a link, a device or a file with holes")
            content = opened.extractfile(entry)
            assert content is not None, "a regular file has content"
            metered.room = entry.size + HEADERS
            yield Member(entry.name, entry.size, content)
            while content.read(1 << 20):  # of a member that was passed over
                pass
            metered.room = HEADERS
        # tarfile takes a damaged header, and a file that stops between two members, for the end of the archive.
        if not metered.only_zeros_from(opened.offset):
            raise ValueError("it is damaged or cut short between two of its members")


class _Metered(io.RawIOBase):
    """A stream that ends in a ValueError after `room` bytes: tarfile takes a header of any length into memory."""

    def __init__(self, stream: Readable):
        self.stream, self.room, self.taken, self.latest = stream, 0, 0, b""

    def read(self, size: int = -1) -> bytes:
        data = self.stream.read(size)
        self.taken += len(data)
        self.room -= len(data)
        self.latest = (self.latest + data)[-4 * tarfile.RECORDSIZE :]
        if self.room < 0:
            raise ValueError("a header in it is longer than any file name; it may be made to fill the memory")
        return data

    def only_zeros_from(self, place: int) -> bool:
        """Is there nothing but zeros, and at least one block of them, from `place`, just read, to the end?"""
        assert self.taken - place <= len(self.latest), "tarfile reads no further ahead than one record"
        rest = self.latest[len(self.latest) - (self.taken - place) :]
        while data := self.read(tarfile.RECORDSIZE):
            rest += data
        return len(rest) >= tarfile.BLOCKSIZE and not rest.strip(b"\0")


@contextmanager
def _refusing(archive: Path) -> Iterator[None]:
    """Whatever the readers raise becomes one line, except for what the disk says while we write."""
    try:
        yield
    except Exception as error:
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise  # a full disk, say; without a number it is gzip's word for damage, and EINVAL a place before the file
        text = " ".join(str(error).split()) or type(error).__name__
        if type(error) is ValueError:
            reason = text
        elif "password" in text:
            reason = "it asks for a password"
        else:  # the readers raise whatever the damage leads them to
            reason = f"it is damaged or cut short: {text}"
        raise ValueError(f"{archive}: {reason}") from None
