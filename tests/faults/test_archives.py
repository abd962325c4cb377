"""Archives that were made to do harm, or came to harm: nothing is unpacked, nor written anywhere else."""

import io
import os
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest

from companion.datasets import archives
from tests.albums import write_zip
from tests.faults.injection import Fault, Guard, assert_refused, assert_unchanged, fault_tests, snapshot

MAKE_ARCHIVE = Callable[..., Path]


def write_tar(path: Path, *members: tuple[str | tarfile.TarInfo, bytes], mode: Literal["w", "w:gz"] = "w:gz") -> Path:
    with tarfile.open(path, mode=mode) as archive:
        for name, data in members:
            entry = tarfile.TarInfo(name) if isinstance(name, str) else name
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return path


def special_entry(kind: bytes, target: str = "") -> tarfile.TarInfo:
    entry = tarfile.TarInfo("one")
    entry.type, entry.linkname = kind, target
    return entry


def assert_archive_refused(folder: Path, make: Callable[[Path], Path], *words: str) -> None:
    (folder / "out").mkdir()
    (folder / "secret").write_text("secret")
    archive = make(folder)
    before = snapshot(folder)
    try:
        assert_refused(lambda: archives.unpack(archive, folder / "out"), str(archive), *words)
    finally:
        assert_unchanged(folder, before)


def bad_name(make: MAKE_ARCHIVE, name: str) -> Callable[[Path], None]:
    """One of two members has a name that leads out of the folder; HERE stands for the folder of the test."""

    def law(folder: Path) -> None:
        path = name.replace("HERE", str(folder))
        assert_archive_refused(folder, lambda f: make(f / "archive", ("good.txt", b"1"), (path, b"2")), "leads out")

    return law


def bad_kind(kind: bytes, target: str = "") -> Callable[[Path], None]:
    """A member is a link or a device; through a symbolic link a second member would be written."""

    def law(folder: Path) -> None:
        link = special_entry(kind, target.replace("HERE", str(folder)))
        through = (("one/x", b"2"),) if kind == tarfile.SYMTYPE else ()
        assert_archive_refused(folder, lambda f: write_tar(f / "archive", (link, b""), *through), "link")

    return law


def zip_link(folder: Path) -> None:
    entry = zipfile.ZipInfo("one.jpg")
    entry.create_system, entry.external_attr = 3, 0o120777 << 16
    assert_archive_refused(folder, lambda f: write_zip(f / "archive", (entry, b"/etc/passwd")), "link")


def long_header(path: Path) -> Path:
    entry = tarfile.TarInfo("one")
    entry.pax_headers = {"comment": "a" * 3_000_000}
    return write_tar(path, (entry, b"1"))


def truncate(path: Path, size: int) -> Path:
    path.write_bytes(path.read_bytes()[:size])
    return path


def web_page(path: Path) -> Path:
    path.write_text("\n<!DOCTYPE html><html><body>Please log in</body></html>")
    return path


def bad_archive(make: Callable[[Path], Path], words: str) -> Callable[[Path], None]:
    return lambda folder: assert_archive_refused(folder, lambda f: make(f / "archive"), words)


def too_many_members(folder: Path) -> None:
    members = [(f"{i}.txt", b"") for i in range(30)]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(archives, "MAX_MEMBERS", 20)
        assert_archive_refused(folder, lambda f: write_zip(f / "archive", *members), "far more")


NAME_CHECK = Guard("datasets.image_folder.is_unsafe", "", "lambda name: False")
OWN_EXTRACTION = Guard(  # Python before 3.11.4 trusts every member and knows no other filter
    "datasets.archives.unpack",
    "_members(archive)",
    "(tarfile.open(archive).extractall("
    "folder, **{'filter': 'fully_trusted'} if hasattr(tarfile, 'data_filter') else {}), [])[1]",
)
SIZE_LIMIT = Guard("datasets.archives.unpack", "if allowance < 0 or count == MAX_MEMBERS:", "if False:")
PAGE_CHECK = Guard("datasets.archives._members", r'head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<")', "False")

FAULTS = {
    "zip: ../": Fault(bad_name(write_zip, "../x"), [NAME_CHECK], "'x']"),
    "tar: ../": Fault(bad_name(write_tar, "a/../../x"), [NAME_CHECK], "'x']"),
    "zip: absolute": Fault(bad_name(write_zip, "HERE/x"), [NAME_CHECK], "'x']"),
    "tar: absolute": Fault(bad_name(write_tar, "HERE/x"), [NAME_CHECK], "'x']"),
    "zip: sibling prefix": Fault(bad_name(write_zip, "../out-evil/x"), [NAME_CHECK], "out-evil/x"),
    "tar: sibling prefix": Fault(bad_name(write_tar, "../out-evil/x"), [NAME_CHECK], "out-evil/x"),
    "zip: Windows drive": Fault(bad_name(write_zip, "C:\\x"), [NAME_CHECK], "C:"),
    "zip: backslashes": Fault(bad_name(write_zip, "a\\..\\..\\x"), [NAME_CHECK], "'x']"),
    "tar: symbolic link": Fault(bad_kind(tarfile.SYMTYPE, "HERE"), [OWN_EXTRACTION], "written: ["),
    "zip: symbolic link": Fault(
        zip_link,
        [Guard("datasets.archives._zip_members", "if kind not in (0, stat.S_IFREG):", "if False:")],
        "out/one.jpg",
    ),
    "tar: hard link": Fault(bad_kind(tarfile.LNKTYPE, "../secret"), [OWN_EXTRACTION], "out/one"),
    "tar: device": Fault(bad_kind(tarfile.FIFOTYPE), [OWN_EXTRACTION], "out/one"),
    "zip: bomb": Fault(
        bad_archive(lambda p: write_zip(p, ("a", bytes(12_000_000))), "far more"), [SIZE_LIMIT], "written: ['out/a']"
    ),
    "tar: bomb": Fault(
        bad_archive(lambda p: write_tar(p, ("a", bytes(12_000_000))), "far more"), [SIZE_LIMIT], "written: ['out/a']"
    ),
    "zip: a million members": Fault(too_many_members, [SIZE_LIMIT], "out/0.txt"),
    "tar: header bomb": Fault(
        bad_archive(long_header, "longer than any file name"),
        [Guard("datasets.archives.MAX_HEADER_BYTES", "", "10**12")],
        "out/one",
    ),
    "zip: cut short": Fault(
        bad_archive(lambda p: truncate(write_zip(p, ("a", os.urandom(5000))), 4000), "cut short"),
        [
            Guard(
                "datasets.archives._one_line_errors", "except Exception as error:", "except ZeroDivisionError as error:"
            )
        ],
        "broken: BadZipFile",
    ),
    "tar: cut between members": Fault(
        bad_archive(lambda p: truncate(write_tar(p, ("a", b"1"), ("b", b"2"), mode="w"), 1024), "cut short between"),
        [Guard("datasets.archives._tar_members", "if not metered.only_zeros_from(archive.offset):", "if False:")],
        "written: ['out/a']",
    ),
    "zip: a name twice": Fault(
        bad_archive(lambda p: write_tar(p, ("a", b"1"), ("a", b"2")), "comes twice"),
        [Guard("datasets.archives._write", '"xb"', '"wb"')],
        "written: ['out/a']",
    ),
    "HTML saved as zip": Fault(bad_archive(web_page, "a web page"), [PAGE_CHECK], "refused, but not for this"),
}

test_with_its_guard_the_law_holds, test_without_its_guard_the_harm_is_done = fault_tests(FAULTS)
