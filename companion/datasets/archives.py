"""Unpack zip and tar archives from strangers into an empty folder, or refuse them with one line that says why.

Members are written by name and content alone: links, owners, permissions and times are ignored, and the extractors of
`zipfile` and `tarfile` are not used. What systems add for themselves is passed over. If one member is bad, nothing is
unpacked. Explained in the chapter on real photographs.
"""

import bz2
import errno
import gzip
import io
import lzma
import shutil
import stat
import tarfile
import unicodedata
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple, Protocol, runtime_checkable

from companion.datasets.image_folder import is_unsafe, on_disk
from companion.datasets.parsing import shorten
from companion.datasets.zip_names import member_names

MAX_BYTES = 60 * 10**9  # unpacked; the largest file of COCO, the largest data set that is read here, has 20 billion
MAX_RATIO = 100  # unpacked size by size of the archive; photographs hardly shrink at all, text to about a quarter
MIN_ALLOWANCE = 10**7  # bytes that even the smallest archive may unpack to
MAX_MEMBERS = 1_000_000
MAX_HEADER_BYTES = 10**6  # bytes of a tar file before the next member's content begins

# Files and folders that systems add for themselves: macOS, Windows, network storage.
_SYSTEM_FILES = {".ds_store", ".localized", "icon\r", "thumbs.db", "ehthumbs.db", "desktop.ini"}
_SYSTEM_FOLDERS = {
    *("__MACOSX", ".AppleDouble", ".Spotlight-V100", ".Trashes", ".fseventsd", "$RECYCLE.BIN"),
    *("System Volume Information", "@eaDir"),
}

_TAR_OPENERS: dict[bytes, Callable[..., Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ": lzma.open,
    b"]\0\0": lzma.open,
}
_OTHER_FORMATS = {  # by their first bytes
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"Rar!": "a RAR archive",
    b"\x28\xb5\x2f\xfd": "packed with Zstandard (.zst)",
    b"\x04\x22\x4d\x18": "packed with LZ4",
    b"LZIP": "packed with lzip",
    b"\x1f\x9d": "packed with compress (.Z)",
    b"MSCF": "a cabinet (.cab)",
    b"MZ": "a program, perhaps a self-extracting archive",
    b"PK\x07\x08": "one part of a split zip archive",
}
_ZIP_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA}
_ZIP_METHOD_NAMES = {9: "Deflate64", 93: "Zstandard", 95: "XZ", 98: "PPMd"}
_ZIP_ENCRYPTED = 0x41  # flags of the two kinds of encryption
_REPACK = "unpack it yourself and pack the files again as .zip or .tar.gz"


@runtime_checkable
class Readable(Protocol):
    """The one method of a file that is used here."""

    def read(self, size: int = -1, /) -> bytes:
        """Return at most `size` bytes; all that are left if it is negative; none at the end."""


class Member(NamedTuple):
    """A file in an archive. Its content can be read until the next member is asked for."""

    name: str
    size: int  # bytes, as the archive announces it
    content: Readable


def unpack(archive: Path | str, folder: Path | str) -> None:
    """Write the files of a zip or tar archive (plain, gz, bz2, xz) into an empty folder.

    After an error the folder is empty again.

    Args:
        archive: the file.
        folder: where the members go.

    Raises:
        ValueError: "ARCHIVE: reason" if it is not a complete archive, if a member would be written outside the folder
            or is a link or a device, if a name comes twice, or if it unpacks to far more than its size.
        OSError: the disk is full.
    """
    archive, folder = Path(archive), Path(folder)
    assert not any(folder.iterdir()), f"{folder} is not empty"
    try:
        with _one_line_errors(archive):
            allowance = min(MAX_BYTES, max(MIN_ALLOWANCE, MAX_RATIO * archive.stat().st_size))
            for count, member in enumerate(_members(archive)):
                allowance -= member.size
                if allowance < 0 or count == MAX_MEMBERS:
                    raise ValueError("it holds far more than its size allows; it may be made to fill the disk")
                if not _added_by_system(member.name):
                    _write(member, folder)
    except BaseException:
        for entry in list(folder.iterdir()):
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        raise


def _write(member: Member, folder: Path) -> None:
    """Write one member. Raises ValueError for an unsafe name, one that exists already, and a size not announced."""
    if any(unicodedata.category(letter) in ("Cc", "Cs") for letter in member.name):
        raise ValueError(
            f"its member {shorten(member.name)} has a name with a control character or not in UTF-8; "
            "rename it and pack again"
        )
    if is_unsafe(member.name):
        raise ValueError(
            f"its member {shorten(member.name)} leads out of the folder; pack again from inside the data set's folder"
        )
    path = folder / on_disk(member.name)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "xb") as file:
            shutil.copyfileobj(member.content, file, 1 << 20)
            written = file.tell()
    except (FileExistsError, NotADirectoryError):
        raise ValueError(f"its member {shorten(member.name)} comes twice") from None
    except OSError as error:
        if error.errno in (errno.ENAMETOOLONG, errno.EILSEQ):
            reason = f"has a name that this disk cannot hold ({error.strerror}); shorten it and pack again"
            raise ValueError(f"its member {shorten(member.name)} {reason}") from None
        raise
    if written != member.size:
        raise ValueError(f"its member {shorten(member.name)} has {written:,} bytes, not the {member.size:,} announced")


def _added_by_system(name: str) -> bool:
    """Return whether a member is no part of the data set: what macOS or Windows adds to folders for itself."""
    *folders, file = name.split("/")
    return file.startswith("._") or file.lower() in _SYSTEM_FILES or not _SYSTEM_FOLDERS.isdisjoint(folders)


def _members(archive: Path) -> Iterator[Member]:
    """Yield the files in an archive, whose format is recognised by its first bytes."""
    with open(archive, "rb") as file:
        head = file.read(512)
        file.seek(0)
        if kind := next((kind for magic, kind in _OTHER_FORMATS.items() if head.startswith(magic)), None):
            raise ValueError(f"it is {kind}, which is not read here; {_REPACK}")
        if head.startswith(b"PK"):
            yield from _zip_members(file)
        elif opener := next((opener for magic, opener in _TAR_OPENERS.items() if head.startswith(magic)), None):
            with opener(file) as stream:
                yield from _tar_members(stream)
        elif _is_tar_header(head):
            yield from _tar_members(file)
        elif head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
            raise ValueError("it is a web page, not an archive; perhaps it asks for a login, or has moved")
        else:
            raise ValueError("it is not a zip or tar archive, or it is damaged at its beginning")


def _is_tar_header(block: bytes) -> bool:
    """Return whether a tar archive may begin so; the oldest ones have no magic number, but a checksum."""
    try:
        tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return block[257:262] == b"ustar"
    return True


def _zip_members(file: IO[bytes]) -> Iterator[Member]:
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        for entry in entries:
            if entry.flag_bits & _ZIP_ENCRYPTED:
                raise ValueError(f"it asks for a password; {_REPACK}, without one")
            if entry.compress_type not in _ZIP_METHODS:
                method = _ZIP_METHOD_NAMES.get(entry.compress_type, f"the method {entry.compress_type}")
                raise ValueError(f"its member {shorten(entry.filename)} is packed with {method}; {_REPACK} (Deflate)")
        for entry, name in zip(entries, member_names(archive), strict=True):
            kind = stat.S_IFMT(entry.external_attr >> 16)  # 0 where the archive was not made on Unix
            if name.endswith("/"):
                continue
            if kind not in (0, stat.S_IFREG):
                raise ValueError(f"its member {shorten(name)} is a link or a device; pack the file itself")
            with archive.open(entry) as content:
                yield Member(name, entry.file_size, content)


def _tar_members(stream: Readable) -> Iterator[Member]:
    metered = _MeteredStream(stream, MAX_HEADER_BYTES)
    with _open_tar(metered) as archive:
        for entry in archive:
            name = entry.name.replace("\\", "/")
            if entry.isdir():
                continue
            if not entry.isreg() or entry.issparse():
                raise ValueError(
                    f"its member {shorten(name)} is a link, a device or a file with holes; pack the file itself "
                    "(tar --dereference --hard-dereference)"
                )
            content = archive.extractfile(entry)
            assert content is not None, "a regular file has content"
            metered.allowance = entry.size + MAX_HEADER_BYTES
            yield Member(name, entry.size, content)
            while content.read(1 << 20):  # what the caller has not read
                pass
            metered.allowance = MAX_HEADER_BYTES
        # tarfile takes a damaged header, and a file that stops between two members, for the end of the archive.
        if not metered.only_zeros_from(archive.offset):
            raise ValueError("it is damaged or cut short between two of its members")


def _open_tar(stream: Readable) -> tarfile.TarFile:
    try:
        return tarfile.open(fileobj=stream, mode="r|", encoding="utf-8")  # type: ignore[call-overload]  # it uses `read` alone
    except tarfile.ReadError:
        raise ValueError("what is packed in it is no tar archive, or is damaged at its beginning") from None


class _MeteredStream(io.RawIOBase):
    """A stream that raises ValueError after `allowance` bytes: tarfile reads a header of any length into memory."""

    def __init__(self, stream: Readable, allowance: int):
        self.stream, self.allowance = stream, allowance
        self.position, self.last_bytes = 0, b""

    def read(self, size: int = -1) -> bytes:
        data = self.stream.read(size)
        self.position += len(data)
        self.allowance -= len(data)
        self.last_bytes = (self.last_bytes + data)[-4 * tarfile.RECORDSIZE :]
        if self.allowance < 0:
            raise ValueError("a header in it is longer than any file name; it may be made to fill the memory")
        return data

    def only_zeros_from(self, offset: int) -> bool:
        """Return whether a block of zeros or more, and nothing else, lies between `offset` and the end.

        `offset` is at most four records before the present position.
        """
        assert self.position - offset <= len(self.last_bytes), "tarfile reads no further ahead than one record"
        rest = self.last_bytes[len(self.last_bytes) - (self.position - offset) :]
        while data := self.read(tarfile.RECORDSIZE):
            rest += data
        return len(rest) >= tarfile.BLOCKSIZE and not rest.strip(b"\0")


@contextmanager
def _one_line_errors(archive: Path) -> Iterator[None]:
    """Raise every exception of the readers as a ValueError of one line; pass on an OSError of the disk."""
    try:
        yield
    except Exception as error:
        # gzip raises an OSError without a number for damaged data; EINVAL is a seek to before the file's beginning.
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise
        text = " ".join(str(error).split()) or type(error).__name__
        # The readers raise whatever the damage leads them to.
        reason = text if type(error) is ValueError else f"it is damaged or cut short: {text}"
        raise ValueError(f"{archive}: {reason}") from None
