"""Copy a project that was handed in, a folder or a zip file, into a folder of ours.

The project is what lies beside its `project.toml`. Refused as a whole are links, names that lead outside, pickles, and
what is too large; hidden files are left out. Nothing is run. Entry points: `unpack`, `digest` and `read_text`.
"""

import hashlib
import os
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple

FACTS = "project.toml"
FILE_LIMIT = 64 * 2**20  # bytes of one file
TOTAL_LIMIT = 512 * 2**20  # bytes of all
COUNT_LIMIT = 5000
NAME_LIMIT = 200  # characters
PICKLED = (".pkl", ".pickle", ".pt", ".pth", ".ckpt", ".joblib", ".bin")
PICKLE_HEADS = tuple(bytes([0x80, protocol]) for protocol in range(2, 6))
LEFT_OUT = ("__MACOSX", "__pycache__")
IS_LINK, KIND = 0o120000, 0o170000  # of the file mode that a zip file keeps


class Member(NamedTuple):
    """A file among those that were handed in; `name` is relative, with slashes."""

    name: str
    size: int
    is_link: bool
    open: Callable[[], IO[bytes]]


def unpack(path: Path, folder: Path) -> None:
    """Copy the project in a folder or a zip file into `folder`, which is empty.

    Raises:
        ValueError: it cannot be read, or holds what it should not. The message is a part of a sentence.
    """
    with _project_members(path) as members:
        for member in members:
            target = folder / member.name
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("wb") as file:
                for piece in _pieces(member):
                    file.write(piece)


def digest(path: Path) -> bytes:
    """Return the SHA-256 of the names and bytes of a project. Raises ValueError as `unpack`."""
    combined = hashlib.sha256()
    with _project_members(path) as members:
        for member in members:
            content = hashlib.sha256()
            for piece in _pieces(member):
                content.update(piece)
            combined.update(hashlib.sha256(member.name.encode("utf-8", "replace")).digest() + content.digest())
    return combined.digest()


def read_text(path: Path, name: str) -> str:
    """Return the text of one file of a project, "" if there is none. Raises ValueError as `unpack`."""
    with _project_members(path) as members:
        found = [b"".join(_pieces(member)) for member in members if member.name == name]
    return found[0].decode("utf-8", "replace") if found else ""


@contextmanager
def _project_members(path: Path) -> Iterator[list[Member]]:
    """Yield the files of a project by their names. Whatever reading them raises becomes a ValueError."""
    if path.is_symlink():
        raise ValueError("it is a link, which is not followed")
    if path.is_dir():
        members = list(_folder_members(path))
        archives = [member for member in members if member.name.lower().endswith(".zip")]
        if len(archives) == 1 and not any(PurePosixPath(member.name).name == FACTS for member in members):
            path = path / archives[0].name  # Moodle puts each student's file into a folder
            if path.is_symlink():
                raise ValueError("it is a link, which is not followed")
        else:
            yield _checked(members)
            return
    if path.suffix.lower() != ".zip":
        raise ValueError(f"{path.name} is neither a folder nor a zip file")
    try:
        with zipfile.ZipFile(path) as archive:
            yield _checked(list(_archive_members(archive)))
    except ValueError:
        raise
    except Exception as error:  # a damaged archive, an unknown compression, a password, ...
        raise ValueError(f"the zip file cannot be read ({type(error).__name__})") from None


def _folder_members(folder: Path) -> Iterator[Member]:
    """Yield all files and links in a folder; no link is followed."""
    for place, inner, names in os.walk(folder, followlinks=False):
        links = [name for name in inner if Path(place, name).is_symlink()]
        for name in sorted([*links, *names]):
            path = Path(place, name)
            relative = path.relative_to(folder).as_posix()
            if not path.is_symlink() and not path.is_file():
                raise ValueError(f"{relative} is no ordinary file")
            yield Member(relative, path.lstat().st_size, path.is_symlink(), partial(_open_file, path))


def _open_file(path: Path) -> IO[bytes]:
    return path.open("rb")


def _archive_members(archive: zipfile.ZipFile) -> Iterator[Member]:
    """Yield all files of a zip file."""
    for info in archive.infolist():
        if not info.is_dir():
            is_link = (info.external_attr >> 16) & KIND == IS_LINK
            yield Member(info.filename, info.file_size, is_link, partial(archive.open, info))


def _checked(members: list[Member]) -> list[Member]:
    """Return the files of the project, named from its own folder. Raises ValueError for what is refused."""
    for member in members:
        parts = PurePosixPath(member.name).parts
        if member.name.startswith("/") or ".." in parts or "\\" in member.name or ":" in member.name:
            raise ValueError(f"the name {member.name!r} leads outside its folder")
        if len(member.name) > NAME_LIMIT or not member.name.isprintable():
            raise ValueError(f"the name {member.name[:60]!r} is too long, or has characters that no name should have")
        if member.is_link:
            raise ValueError(f"{member.name} is a link, which is not followed")
    visible = [member for member in members if not _is_left_out(member.name)]
    roots = sorted({PurePosixPath(each.name).parent for each in visible if PurePosixPath(each.name).name == FACTS})
    if len(roots) != 1:
        raise ValueError(f"it holds {len(roots)} files {FACTS}; a project has one" if roots else f"it holds no {FACTS}")
    kept = [
        member._replace(name=PurePosixPath(member.name).relative_to(roots[0]).as_posix())
        for member in visible
        if PurePosixPath(member.name).is_relative_to(roots[0])
    ]
    for member in kept:
        if member.name.lower().endswith(PICKLED):
            raise ValueError(f"{member.name} may be a pickle, which can run code")
        if member.size > FILE_LIMIT:
            raise ValueError(f"{member.name} has more than {FILE_LIMIT // 2**20} MB")
    if len(kept) > COUNT_LIMIT or sum(member.size for member in kept) > TOTAL_LIMIT:
        raise ValueError(f"it holds more than {COUNT_LIMIT} files, or more than {TOTAL_LIMIT // 2**20} MB")
    names = [member.name.lower() for member in kept]
    if len(set(names)) < len(names):
        raise ValueError("it holds two files of the same name")
    return sorted(kept)


def _is_left_out(name: str) -> bool:
    return any(part.startswith(".") or part in LEFT_OUT for part in PurePosixPath(name).parts)


def _pieces(member: Member) -> Iterator[bytes]:
    """Yield the bytes of a file. Raises ValueError if there are more than it said, or it begins as a pickle does."""
    remaining = member.size
    with member.open() as file:
        while piece := file.read(2**20):
            if remaining == member.size and piece.startswith(PICKLE_HEADS):
                raise ValueError(f"{member.name} is a pickle, which can run code")
            remaining -= len(piece)
            if remaining < 0:
                raise ValueError(f"{member.name} is larger than the zip file says")
            yield piece
