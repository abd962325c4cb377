"""A good archive becomes the files in it, and several become one data set. Bad ones are in `tests/faults`."""

import ast
import hashlib
import io
import random
import shutil
import tarfile
from pathlib import Path

import pytest
from PIL import Image

import companion
from companion import cli, datasets
from companion.datasets import archives, download
from companion.datasets.download import Source
from tests.albums import write_album_zip, write_zip
from tests.faults.injection import assert_refused, snapshot
from tests.faults.test_archives import write_tar
from tests.faults.test_downloads import serving

MEMBERS = (("a/b/one.txt", b"one" * 1000), ("empty.txt", b""), ("naïve 犬.jpg", b"\0\xff"))
UNPACKED = {"a": None, "a/b": None} | dict(MEMBERS)


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def out(tmp_path):
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


@pytest.mark.parametrize("mode", ["zip", "w", "w:gz", "w:bz2", "w:xz"])
def test_the_files_come_out_byte_for_byte(mode, tmp_path, out):
    shadow = ("__MACOSX/a/._one.txt", b"x" * 100_000)
    path = tmp_path / "archive"
    if mode == "zip":
        write_zip(path, ("a/", b""), *MEMBERS[:1], shadow, *MEMBERS[1:])
    else:
        folder = tarfile.TarInfo("a")
        folder.type = tarfile.DIRTYPE
        write_tar(path, (folder, b""), *MEMBERS[:1], shadow, *MEMBERS[1:], mode=mode)
    archives.unpack(path, out)
    assert snapshot(out) == UNPACKED


def test_owners_permissions_and_times_of_the_archive_are_ignored(tmp_path, out):
    entry = tarfile.TarInfo("run.sh")
    entry.mode, entry.uid, entry.mtime = 0o4777, 12345, 0
    archives.unpack(write_tar(tmp_path / "archive", (entry, b"echo")), out)
    facts = (out / "run.sh").stat()
    assert facts.st_mode & 0o7111 == 0
    assert facts.st_uid == out.stat().st_uid
    assert facts.st_mtime > 10**9


@pytest.mark.parametrize("mode", ["zip", "w", "w:gz"])
def test_an_archive_damaged_anywhere_is_refused_in_one_line_or_unpacked_completely(mode, tmp_path, out):
    """Bytes changed at random: no other exception, and nothing left behind, whatever the readers raise."""
    path, rng = tmp_path / "archive", random.Random(0)
    write_zip(path, *MEMBERS) if mode == "zip" else write_tar(path, *MEMBERS, mode=mode)
    intact, outcomes = path.read_bytes(), set()
    for _ in range(300):
        data = bytearray(intact)
        for _ in range(rng.randint(1, 3)):
            data[rng.randrange(min(len(data), 4000))] = rng.randrange(256)
        path.write_bytes(data)
        try:
            archives.unpack(path, out)
            outcomes.add("unpacked")
        except ValueError as error:
            line = str(error)
            outcomes.add("refused" if line.startswith(f"{path}: ") and "\n" not in line else line)
            outcomes |= {f"left behind: {file}" for file in out.iterdir()}
        shutil.rmtree(out)
        out.mkdir()
    assert outcomes == {"refused", "unpacked"}


@pytest.mark.parametrize("mode", ["zip", "w", "w:gz"])
def test_an_archive_cut_short_anywhere_is_refused(mode, tmp_path, out):
    path = tmp_path / "archive"
    write_zip(path, *MEMBERS) if mode == "zip" else write_tar(path, *MEMBERS, mode=mode)
    intact = path.read_bytes()
    end = len(intact) if mode != "w" else intact.rindex(b"\xff") + 512  # only zeros follow, which nobody needs
    for length in range(0, end, 97):
        path.write_bytes(intact[:length])
        assert_refused(lambda: archives.unpack(path, out), str(path))
        assert not any(out.iterdir())


def test_a_full_disk_is_reported_and_leaves_nothing(tmp_path, out, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    archive = write_zip(tmp_path / "archive", *MEMBERS)
    monkeypatch.setattr(shutil, "copyfileobj", full)
    with pytest.raises(OSError, match="No space left"):
        archives.unpack(archive, out)
    assert not any(out.iterdir())


# -- the command ------------------------------------------------------------------------------------------------------


def write_flickr8k_archives(folder):
    """Write the two archives in which Flickr8k is published, in miniature, with what macOS adds; return their paths."""
    colours = {"a": "red", "b": "green", "c": "blue"}
    files = {name: io.BytesIO() for name in colours}
    for name, colour in colours.items():
        Image.new("RGB", (8, 8), colour).save(files[name], "JPEG")
    images = write_zip(
        folder / "Flickr8k_Dataset.zip",
        *[(f"Flicker8k_Dataset/{name}.jpg", file.getvalue()) for name, file in files.items()],
        ("__MACOSX/Flicker8k_Dataset/._a.jpg", b"\0"),
    )
    lists = [
        (f"Flickr_8k.{s}Images.txt", f"{n}.jpg\n".encode())
        for n, s in zip("abc", ("train", "dev", "test"), strict=True)
    ]
    tokens = "".join(f"{n}.jpg#0\ta dog\n" for n in "abc").encode()
    text = write_zip(folder / "Flickr8k_text.zip", ("Flickr8k.token.txt", tokens), *lists, ("readme.txt", b"hello"))
    return images, text


def run(capsys, *arguments):
    try:
        status = cli.main(["data", "flickr8k", *map(str, arguments)])
    except SystemExit as stop:
        status = stop.code
    out, err = capsys.readouterr()
    return status, out.splitlines(), err.splitlines()


def test_the_archives_of_flickr8k_become_a_data_set(tmp_path, capsys):
    """And the SHA-256 of each is printed, so that it can be given the next time."""
    both = write_flickr8k_archives(tmp_path)
    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in both]
    status, lines, err = run(capsys, "--archive", *both, "--out", tmp_path / "new" / "set", "--sha256", *digests)
    assert (status, err) == (0, [])
    assert lines[:2] == [f"{digest}  {path}" for digest, path in zip(digests, both, strict=True)]
    assert lines[2:] == ["train: 1 photographs", "dev: 1 photographs", "test: 1 photographs"]
    assert datasets.read(tmp_path / "new" / "set").issues == []
    assert {path.name for path in (tmp_path / "new" / "set").iterdir()} == {
        *("Flicker8k_Dataset", "Flickr8k.token.txt", "readme.txt"),
        *(f"Flickr_8k.{split}Images.txt" for split in ("train", "dev", "test")),
    }


def test_a_url_gives_what_the_archive_gives(tmp_path, capsys):
    body = write_album_zip(tmp_path / "set.zip")
    for announced in (len(body), None):
        with serving(body, announced) as url:
            status, lines, _ = run(capsys, "--url", url, "--out", tmp_path / f"{announced}", "--size", len(body))
        assert (status, lines[1:]) == (0, ["train: 1 photographs"])
        assert set(snapshot(tmp_path / f"{announced}")) == {"captions.csv", "images", "images/a.jpg"}


def test_archives_that_are_not_a_data_set_together_are_refused_and_leave_nothing(tmp_path, capsys):
    images, text = write_flickr8k_archives(tmp_path)
    for sources, words in (
        ([images], "no known layout"),
        ([text], "no picture"),
        ([text, text], "an archive before it"),
    ):
        status, lines, err = run(capsys, "--archive", *sources, "--out", tmp_path / "set")
        assert (status, lines) == (1, [])
        assert words in " ".join(err)
        assert snapshot(tmp_path / "set") == {}


def test_a_folder_that_is_not_empty_is_refused_unless_a_killed_call_left_its_files(tmp_path):
    write_album_zip(tmp_path / "set.zip")
    out = tmp_path / "set"
    (out / download.UNFINISHED).mkdir(parents=True)
    (out / download.UNFINISHED / "archive").write_bytes(b"half")
    download.download_dataset([Source(tmp_path / "set.zip")], out)
    before = snapshot(out)
    assert_refused(lambda: download.download_dataset([Source(tmp_path / "set.zip")], out), str(out), "empty")
    assert snapshot(out) == before


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["--out", "x"], 2, "--url"),
        (["--url", "http://a", "--archive", "b", "--out", "x"], 2, "--archive"),
        (["--url", "http://a/", "--out", "x", "--sha256", "abc"], 2, "64 hexadecimal digits"),
        (["--url", "http://a/", "http://b/", "--out", "x", "--size", "5"], 1, "give one to each"),
        (["--archive", "nowhere.zip", "--out", "x"], 1, "nowhere.zip: there is no such file"),
        (["--url", "http://127.0.0.1:9/a.zip", "--out", "x"], 1, "http://127.0.0.1:9/a.zip: the download failed"),
        (["--url", "ftp://127.0.0.1/a.zip", "--out", "x"], 1, "https://"),
        (["--url", "http://[", "--out", "x"], 1, "http://["),
    ],
)
def test_a_wrong_call_is_one_line(arguments, status, words, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    actual, lines, err = run(capsys, *arguments)
    assert (actual, lines) == (status, [])
    assert words in err[-1]
    assert not any(path.is_file() for path in tmp_path.rglob("*"))


def test_a_redirect_from_https_to_http_is_refused(tmp_path, monkeypatch):
    class Response(io.BytesIO):
        url, headers = "http://elsewhere/", {}

    monkeypatch.setattr(download.urllib.request, "urlopen", lambda *_, **__: Response(b"PK"))
    assert_refused(lambda: download.fetch("https://here/", tmp_path / "new"), "http://elsewhere/", "https://")


def test_there_is_no_url_in_the_package():
    package = Path(companion.__file__).parent
    texts = [
        node.value
        for path in package.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    assert [text for text in texts if text.startswith(("http://", "https://")) and len(text) > 8] == []
