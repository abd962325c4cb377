"""Archives as other systems and programs make them are unpacked, or one line says what to pack again.

Each goes through `companion data`, and is written by `zip`, `tar`, `7z` or by hand.
"""

import io
import shutil
import struct
import subprocess
import tarfile
import unicodedata
import zipfile
import zlib

import numpy as np
import pytest
from PIL import Image

from companion import cli, datasets
from companion.datasets import download
from tests.faults.injection import snapshot
from tests.faults.test_downloads import serving


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def photograph(seed):
    file = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    Image.fromarray(pixels).resize((60, 40)).save(file, "JPEG")
    return file.getvalue()


PHOTOGRAPHS = photograph(0), photograph(1)


def files(first="0", second="1", captions=None):
    """The files of a data set of two photographs, by their names."""
    table = captions or f"image,caption,split\n{first}.jpg,a dog,train\n{second}.jpg,a cat,dev\n"
    pictures = zip((first, second), PHOTOGRAPHS, strict=True)
    return {f"images/{name}.jpg": data for name, data in pictures} | {"captions.csv": table.encode()}


def write(folder, members):
    for name, data in members.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def under(top, members):
    return {f"{top}/{name}": data for name, data in members.items()}


SET = under("set", files())


def pack(folder, members, *command):
    """Write the members into a folder and call a program there; return the archive, its first argument with a dot."""
    if shutil.which(command[0]) is None:
        pytest.skip(f"there is no {command[0]} here")
    write(folder, members)
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return folder / next(word for word in command if "." in word.strip("."))


def by_hand(folder, members, *, extra=None):
    """Write a zip whose names are these bytes, which `zipfile` cannot: it writes ASCII or UTF-8 with its flag."""
    body, directory = b"", b""
    for name, data in members.items():
        fields = (20, 0, 0, 0, 0x5000, zlib.crc32(data), len(data), len(data), len(name))
        more = extra(name) if extra else b""
        directory += struct.pack("<4s6H3I5H2I", b"PK\1\2", 20, *fields, len(more), 0, 0, 0, 0, len(body))
        directory += name + more
        body += struct.pack("<4s5H3I2H", b"PK\3\4", *fields, 0) + name + data
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, len(members), len(members), len(directory), len(body), 0)
    (folder / "set.zip").write_bytes(body + directory + end)
    return folder / "set.zip"


def in_page(folder, members, page):
    return by_hand(folder, {name.encode(page): data for name, data in members.items()})


def unicode_extra(name):
    """The extra field of WinRAR and Info-ZIP: the name, here in code page 932, once more in UTF-8."""
    text = name.decode("cp932").encode()
    return struct.pack("<HHBI", 0x7075, 5 + len(text), 1, zlib.crc32(name)) + text


def oldest_tar(folder):
    """A tar file of Unix V7, without a magic number."""
    with tarfile.open(folder / "set.tar", "w", format=tarfile.USTAR_FORMAT) as archive:
        for name, data in SET.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            header = bytearray(entry.tobuf(tarfile.USTAR_FORMAT))
            header[257:512] = bytes(255)
            header[148:156] = b"%06o\0 " % (sum(header[:148]) + sum(header[156:]) + 8 * 32)
            archive.fileobj.write(bytes(header) + data + bytes(-len(data) % 512))
            archive.offset += 512 + len(data) + -len(data) % 512
    return folder / "set.tar"


MAC = {"._set": b"x", "set/._captions.csv": b"\0\5\x16\7", "set/images/._0.jpg": b"x", "set/.DS_Store": b"x"}
WINDOWS = {"set/images/Thumbs.db": b"x", "set/desktop.ini": b"x", "set/images/Desktop.ini": b"x"}
SHADOWS = {"__MACOSX/._set": b"x", "__MACOSX/set/images/._0.jpg": b"x"}
NAS = {"set/@eaDir/0.jpg/SYNOPHOTO_THUMB.jpg": b"x", "set/.Trashes/captions.csv": b"x"}
ODD_NAMES = "Screenshot at 4.42.48\u202fPM", "Snímek obrazovky v\u00a013.05.05"


READ = {
    # files that systems add
    "tar of macOS": lambda f: pack(f, MAC | SET, "tar", "czf", "macos.tar.gz", "._set", "set"),
    "zip of macOS": lambda f: pack(f, SHADOWS | SET | {".DS_Store": b"x"}, "zip", "-qr", "mac.zip", "."),
    "zip of Windows": lambda f: pack(f, WINDOWS | SET, "7z", "a", "windows.zip", "set"),
    "tar of a NAS": lambda f: pack(f, NAS | SET, "tar", "cJf", "nas.tar.xz", "set"),
    "icon of a folder": lambda f: pack(f, SET | {"set/Icon\r": b"x"}, "tar", "cf", "mac.tar", "set"),
    "README beside the folder": lambda f: pack(f, SET | {"README.txt": b"x"}, "zip", "-qr", "readme.zip", "."),
    "LICENSE and system files": lambda f: pack(
        f, MAC | SET | {"LICENSE": b"x"}, "tar", "czf", "x.tgz", "LICENSE", "set"
    ),
    "no folder": lambda f: pack(f, files(), "zip", "-qr", "flat.zip", "images", "captions.csv"),
    # Not in the folder that is packed: tar complains if what it reads is growing.
    "folder ./": lambda f: pack(
        f, under("own", files() | {".DS_Store": b"x"}), "tar", "cjf", "dot.tar.bz2", "-C", "own", "."
    ),
    # backslashes
    "PowerShell 5": lambda f: in_page(f, {name.replace("/", "\\"): data for name, data in SET.items()}, "ascii"),
    "backslashes, with folders": lambda f: in_page(
        f, {"set\\": b"", "set\\images\\": b""} | {n.replace("/", "\\"): d for n, d in SET.items()}, "ascii"
    ),
    "backslashes and odd letters": lambda f: in_page(
        f, {n.replace("/", "\\"): d for n, d in under("表", files("ソ", "十")).items()}, "cp932"
    ),
    "tar with backslashes": lambda f: pack(
        f,
        {n.replace("/", "\\"): d for n, d in SET.items()},
        "tar",
        "czf",
        "b.tgz",
        "--no-unquote",
        *[n.replace("/", "\\") for n in SET],
    ),
    # code pages and letters
    "UTF-8 without its flag": lambda f: in_page(f, under("sét", files("café", "照片")), "utf-8"),
    "cp437": lambda f: in_page(f, under("set", files("café", "Köln")), "cp437"),
    "cp850": lambda f: in_page(f, under("set", files("São", "Ð1")), "cp850"),
    "GBK": lambda f: in_page(f, under("照片", files("一只狗", "猫")), "gbk"),
    "Shift-JIS": lambda f: in_page(f, under("写真", files("犬", "テスト")), "cp932"),
    "EUC-KR": lambda f: in_page(f, under("set", files("사진", "개")), "cp949"),
    "Big5": lambda f: in_page(f, under("set", files("許功蓋", "貓")), "cp950"),
    "cp866": lambda f: in_page(f, under("set", files("собака", "кот")), "cp866"),
    "only the folder in GBK": lambda f: in_page(f, under("新建文件夹", files()), "gbk"),
    "only a note in Shift-JIS": lambda f: in_page(f, SET | {"set/お読み下さい.txt": b"x"}, "cp932"),
    "names once more in UTF-8": lambda f: by_hand(
        f, {n.encode("cp932"): d for n, d in under("写真", files("犬", "猫")).items()}, extra=unicode_extra
    ),
    "zip of this system": lambda f: pack(f, under("set", files("café", "犬")), "zip", "-qr", "this.zip", "set"),
    "7z's zip": lambda f: pack(f, under("set", files("café", "犬")), "7z", "a", "this.zip", "set"),
    "narrow blanks": lambda f: pack(f, under("set", files(*ODD_NAMES)), "zip", "-qr", "blank.zip", "set"),
    "joiners": lambda f: pack(f, under("set", files("👨\u200d👩", "می\u200cروم")), "tar", "czf", "zwj.tgz", "set"),
    "taken apart": lambda f: pack(
        f,
        {unicodedata.normalize("NFD", n): d for n, d in under("set", files("café", "Å")).items() if n.endswith("jpg")}
        | {"set/captions.csv": files("café", "Å")["captions.csv"]},
        *("zip", "-qr", "nfd.zip", "set"),
    ),
    # other forms of zip and tar
    "zip64": lambda f: pack(f, SET, "zip", "-qr", "-fz", "large.zip", "set"),
    "stored": lambda f: pack(f, SET, "zip", "-qr0", "stored.zip", "set"),
    "LZMA": lambda f: pack(f, SET, "7z", "a", "-mm=LZMA", "lzma.zip", "set"),
    "BZip2": lambda f: pack(f, SET, "7z", "a", "-mm=BZip2", "bzip2.zip", "set"),
    "tar of 1979": oldest_tar,
    "tar.lzma": lambda f: pack(f, SET, "tar", "--lzma", "-cf", "old.tar.lzma", "set"),
    "tar of GNU": lambda f: pack(f, SET, "tar", "--format=gnu", "-czf", "gnu.tgz", "set"),
}

REFUSED = {
    "Deflate64": (
        lambda f: pack(f, SET, "7z", "a", "-mm=Deflate64", "d64.zip", "set"),
        "packed with Deflate64; unpack it",
    ),
    "PPMd": (lambda f: pack(f, SET, "7z", "a", "-mm=PPMd", "ppmd.zip", "set"), "packed with PPMd; unpack it"),
    "password": (
        lambda f: pack(f, SET, "zip", "-qr", "-P", "secret", "p.zip", "set"),
        "it asks for a password; unpack",
    ),
    "password, AES": (
        lambda f: pack(f, SET, "7z", "a", "-psecret", "-mem=AES256", "aes.zip", "set"),
        "it asks for a password; unpack it yourself",
    ),
    "7z": (lambda f: pack(f, SET, "7z", "a", "set.7z", "set"), "it is a 7z archive, which is not read here; unpack it"),
    "rar": (lambda f: write(f, {"set.rar": b"Rar!\x1a\7\1\0" + bytes(99)}) / "set.rar", "it is a RAR archive"),
    "tar.zst": (lambda f: pack(f, SET, "tar", "--zstd", "-cf", "set.tar.zst", "set"), "Zstandard (.zst), which is not"),
    "program": (
        lambda f: write(f, {"set.exe": b"MZ" + bytes(999)}) / "set.exe",
        "it is a program, perhaps a self-extr",
    ),
    "one packed table": (
        lambda f: pack(f, files(), "gzip", "captions.csv") and f / "captions.csv.gz",
        "is no tar archive",
    ),
    "zip in a zip": (
        lambda f: pack(
            pack(f, SET, "zip", "-qr", "inner.zip", "set").parent, {}, "zip", "-q", "outer.zip", "inner.zip"
        ),
        "outer.zip: it holds archives (inner.zip); unpack it, and pack all files as one .zip or .tar.gz",
    ),
    "tar in a zip, captions beside it": (
        lambda f: pack(
            pack(f, files(), "tar", "czf", "images.tgz", "images").parent,
            {},
            "zip",
            "-q",
            "o.zip",
            "images.tgz",
            "captions.csv",
        ),
        "o.zip: it holds archives (images.tgz); unpack it",
    ),
    "no data set": (lambda f: pack(f, {"a.txt": b"x"}, "zip", "-q", "none.zip", "a.txt"), "none.zip: no known layout"),
    "no picture": (
        lambda f: pack(f, {"captions.csv": b"image,caption\nx.jpg,A dog.\n"}, "zip", "-q", "n.zip", "captions.csv"),
        "first issue is captions.csv:2: there is no picture",
    ),
    "unknown code page": (
        lambda f: in_page(f, files("犬", "猫", "image,caption\n0.jpg,a dog\n"), "cp932"),
        "7z a -mcu=on",
    ),
    "name too long": (lambda f: in_page(f, files("犬" * 100, "1"), "utf-8"), "a name that this disk cannot hold"),
    "line break in a name": (lambda f: in_page(f, {"a\nb.jpg": b"x"}, "ascii"), "control character"),
    "tar with a name in Latin-1": (lambda f: latin_tar(f), "not in UTF-8; rename it and pack again"),
    "tar with a link": (
        lambda f: linked(write(f, SET)) and pack(f, {}, "tar", "czf", "link.tgz", "set"),
        "a link, a device or a file with holes; pack the file itself",
    ),
    "backslashes out of the folder": (
        lambda f: in_page(f, {"set\\..\\..\\x.jpg": b"x"}, "ascii"),
        "leads out of the fold",
    ),
}


def latin_tar(folder):
    with tarfile.open(folder / "latin.tar", "w", encoding="latin-1", format=tarfile.GNU_FORMAT) as archive:
        archive.addfile(tarfile.TarInfo("café.jpg"), io.BytesIO())
    return folder / "latin.tar"


def linked(folder):
    (folder / "set/images/2.jpg").symlink_to("0.jpg")
    return True


def run(capsys, *arguments):
    status = cli.main(["data", "flickr8k", *map(str, arguments)])
    out, err = capsys.readouterr()
    return status, out.splitlines(), err.splitlines()


@pytest.mark.parametrize("name", READ)
def test_an_everyday_archive_is_unpacked(name, tmp_path, capsys):
    (tmp_path / "in").mkdir()
    archive = READ[name](tmp_path / "in")
    status, lines, err = run(capsys, "--archive", archive, "--out", tmp_path / "out")
    assert (status, lines[1:]) == (0, ["train: 1 photographs", "dev: 1 photographs"])
    assert [line for line in err if not line.endswith("read all the same")] == []
    assert datasets.read(tmp_path / "out").issues == []
    names = [path.name for path in (tmp_path / "out").rglob("*")]
    system = (
        "._",
        ".DS_Store",
        "__MACOSX",
        "Thumbs",
        "desktop.ini",
        "Desktop.ini",
        "@eaDir",
        ".Trashes",
        "Icon",
        ".unf",
    )
    assert [name for name in names if name.startswith(system)] == []
    photographs = [path.read_bytes() for path in (tmp_path / "out").rglob("*.jpg")]
    assert sorted(photographs) == sorted(PHOTOGRAPHS)


@pytest.mark.parametrize("name", REFUSED)
def test_another_archive_is_one_line_that_says_what_to_do(name, tmp_path, capsys):
    make, words = REFUSED[name]
    (tmp_path / "in").mkdir()
    archive = make(tmp_path / "in")
    status, lines, err = run(capsys, "--archive", archive, "--out", tmp_path / "out")
    assert (status, lines, len(err)) == (1, [], 1)
    assert str(archive) in err[0]
    assert words in err[0]
    assert ".unfinished" not in err[0]
    assert list((tmp_path / "out").iterdir()) == []


def test_archives_may_share_their_folders(tmp_path, capsys):
    """As the parts do into which Google Drive packs a large folder."""
    first = pack(tmp_path / "a", {"set/images/0.jpg": PHOTOGRAPHS[0]}, "zip", "-qr", "p1.zip", "set")
    rest = {name: data for name, data in SET.items() if not name.endswith("0.jpg")}
    second = pack(tmp_path / "b", rest, "zip", "-qr", "p2.zip", "set")
    status, lines, err = run(capsys, "--archive", first, second, "--out", tmp_path / "out")
    assert (status, lines[2:], err) == (0, ["train: 1 photographs", "dev: 1 photographs"], [])


# -- downloads that are kept ------------------------------------------------------------------------------------------


KEPT = {
    "cannot be unpacked": lambda f: pack(f, SET, "zip", "-qr", "-P", "secret", "p.zip", "set"),
    "is 7z": lambda f: pack(f, SET, "7z", "a", "set.7z", "set"),
    "is no data set": lambda f: pack(f, {"a.txt": b"x"}, "zip", "-q", "none.zip", "a.txt"),
    "is cut short": lambda f: cut(pack(f, SET, "zip", "-qr", "cut.zip", "set")),
}


def cut(path):
    path.write_bytes(path.read_bytes()[:-9])
    return path


@pytest.mark.parametrize("name", KEPT)
def test_a_download_of_which_nothing_comes_is_kept_and_its_place_told(name, tmp_path, capsys):
    (tmp_path / "in").mkdir()
    body = KEPT[name](tmp_path / "in").read_bytes()
    with serving(body) as url:
        status, lines, err = run(capsys, "--url", url, "--out", tmp_path / "out")
    kept = tmp_path / "out" / download.UNFINISHED / "1_set.zip"
    assert (status, lines) == (1, [])
    assert err[-1].endswith(f"what was downloaded is kept (see --archive): {kept}")
    assert snapshot(tmp_path / "out") == {download.UNFINISHED: None, f"{download.UNFINISHED}/1_set.zip": body}
    again = run(capsys, "--archive", kept, "--out", tmp_path / "out")
    assert again[0] == 1
    assert kept.read_bytes() == body


def test_after_a_repair_the_kept_download_becomes_the_data_set(tmp_path, capsys):
    """Here the file that a web page holds is put where it was; then nothing of the first try is left."""
    with serving(b"<html>Please log in</html>") as url:
        assert run(capsys, "--url", url, "--out", tmp_path / "out")[0] == 1
    kept = tmp_path / "out" / download.UNFINISHED / "1_set.zip"
    pack(tmp_path / "in", SET, "zip", "-qr", "good.zip", "set").replace(kept)
    status, lines, err = run(capsys, "--archive", kept, "--out", tmp_path / "out")
    assert (status, lines[1:], err) == (0, ["train: 1 photographs", "dev: 1 photographs"], [])
    assert not kept.parent.exists()


def test_the_first_of_two_downloads_is_kept_if_the_second_fails(tmp_path, capsys):
    body = pack(tmp_path / "in", SET, "zip", "-qr", "good.zip", "set").read_bytes()
    with serving(body) as url:
        status, _, err = run(capsys, "--url", url, "http://127.0.0.1:9/b.zip", "--out", tmp_path / "out")
    assert status == 1
    assert "http://127.0.0.1:9/b.zip: the download failed" in err[-1]
    kept = tmp_path / "out" / download.UNFINISHED / "1_set.zip"
    assert str(kept) in err[-1]
    assert kept.read_bytes() == body


def test_zipfile_itself_reads_what_was_written_by_hand(tmp_path):
    with zipfile.ZipFile(in_page(tmp_path, SET, "ascii")) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == list(SET)
