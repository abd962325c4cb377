"""A good archive becomes the files that are in it; several become one data set. What bad ones do is in test_faults."""

import ast
import hashlib
import io
import random
import shutil
import tarfile
from pathlib import Path

import pytest
from PIL import Image
from test_faults import listing, made_tar, made_zip, refused, serving, small_set

from companion import archives, cli, datasets, downloads
from companion.downloads import Source

MEMBERS = (("a/b/one.txt", b"one" * 1000), ("empty.txt", b""), ("naïve 犬.jpg", b"\0\xff"))
WANTED = {"a": None, "a/b": None} | dict(MEMBERS)


@pytest.fixture(autouse=True)
def nobody_between(monkeypatch):
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
        made_zip(path, ("a/", b""), *MEMBERS[:1], shadow, *MEMBERS[1:])
    else:
        folder = tarfile.TarInfo("a")
        folder.type = tarfile.DIRTYPE
        made_tar(path, (folder, b""), *MEMBERS[:1], shadow, *MEMBERS[1:], mode=mode)
    archives.unpack(path, out)
    assert listing(out) == WANTED


def test_owners_permissions_and_times_of_the_archive_are_not_taken_over(tmp_path, out):
    entry = tarfile.TarInfo("run.sh")
    entry.mode, entry.uid, entry.mtime = 0o4777, 12345, 0
    archives.unpack(made_tar(tmp_path / "archive", (entry, b"echo")), out)
    facts = (out / "run.sh").stat()
    assert facts.st_mode & 0o7111 == 0
    assert facts.st_uid == out.stat().st_uid
    assert facts.st_mtime > 10**9


@pytest.mark.parametrize("mode", ["zip", "w", "w:gz"])
def test_damaged_anywhere_it_is_refused_in_one_line_or_unpacked_whole(mode, tmp_path, out):
    """Bytes changed at random: no other exception, and nothing left, whatever the readers make of it."""
    path, chance = tmp_path / "archive", random.Random(0)
    made_zip(path, *MEMBERS) if mode == "zip" else made_tar(path, *MEMBERS, mode=mode)
    whole, outcomes = path.read_bytes(), set()
    for _ in range(300):
        data = bytearray(whole)
        for _ in range(chance.randint(1, 3)):
            data[chance.randrange(min(len(data), 4000))] = chance.randrange(256)
        path.write_bytes(data)
        try:
            archives.unpack(path, out)
            outcomes.add("whole")
        except ValueError as error:
            line = str(error)
            outcomes.add("refused" if line.startswith(f"{path}: ") and "\n" not in line else line)
            outcomes |= {f"left behind: {left}" for left in out.iterdir()}
        shutil.rmtree(out)
        out.mkdir()
    assert outcomes == {"refused", "whole"}


@pytest.mark.parametrize("mode", ["zip", "w", "w:gz"])
def test_cut_short_anywhere_it_is_refused(mode, tmp_path, out):
    path = tmp_path / "archive"
    made_zip(path, *MEMBERS) if mode == "zip" else made_tar(path, *MEMBERS, mode=mode)
    whole = path.read_bytes()
    end = len(whole) if mode != "w" else whole.rindex(b"\xff") + 512  # then only zeros follow, which nobody misses
    for keep in range(0, end, 97):
        path.write_bytes(whole[:keep])
        refused(lambda: archives.unpack(path, out), str(path))
        assert not any(out.iterdir())


def test_a_full_disk_is_said_and_leaves_nothing(tmp_path, out, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    archive = made_zip(tmp_path / "archive", *MEMBERS)
    monkeypatch.setattr(shutil, "copyfileobj", full)
    with pytest.raises(OSError, match="No space left"):
        archives.unpack(archive, out)
    assert not any(out.iterdir())


# -- the command ------------------------------------------------------------------------------------------------------


def flickr8k(folder):
    """The two archives in which Flickr8k is published, in miniature, with what macOS adds."""
    picture = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(picture, "JPEG")
    images = made_zip(
        folder / "Flickr8k_Dataset.zip",
        *[(f"Flicker8k_Dataset/{name}.jpg", picture.getvalue()) for name in "abc"],
        ("__MACOSX/Flicker8k_Dataset/._a.jpg", b"\0"),
    )
    lists = [
        (f"Flickr_8k.{s}Images.txt", f"{n}.jpg\n".encode())
        for n, s in zip("abc", ("train", "dev", "test"), strict=True)
    ]
    tokens = "".join(f"{n}.jpg#0\ta dog\n" for n in "abc").encode()
    text = made_zip(folder / "Flickr8k_text.zip", ("Flickr8k.token.txt", tokens), *lists, ("readme.txt", b"hello"))
    return images, text


def run(capsys, *arguments):
    try:
        status = cli.main(["data", "flickr8k", *map(str, arguments)])
    except SystemExit as stop:
        status = stop.code
    out, err = capsys.readouterr()
    return status, out.splitlines(), err.splitlines()


def test_the_archives_of_flickr8k_become_a_data_set(tmp_path, capsys):
    """And the SHA-256 of each is printed, so that it can be named the next time."""
    both = flickr8k(tmp_path)
    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in both]
    status, lines, err = run(capsys, "--archive", *both, "--out", tmp_path / "new" / "set", "--sha256", *digests)
    assert (status, err) == (0, [])
    assert lines[:2] == [f"{digest}  {path}" for digest, path in zip(digests, both, strict=True)]
    assert lines[2:] == ["train: 1 photographs", "dev: 1 photographs", "test: 1 photographs"]
    found = datasets.read(tmp_path / "new" / "set")
    assert found.faults == []
    assert {path.name for path in (tmp_path / "new" / "set").iterdir()} == {
        *("Flicker8k_Dataset", "Flickr8k.token.txt", "readme.txt"),
        *(f"Flickr_8k.{split}Images.txt" for split in ("train", "dev", "test")),
    }


def test_an_address_gives_what_the_archive_gives(tmp_path, capsys):
    body = small_set(tmp_path / "set.zip")
    for announced in (len(body), None):
        with serving(body, announced) as address:
            status, lines, _ = run(capsys, "--url", address, "--out", tmp_path / f"{announced}", "--size", len(body))
        assert (status, lines[1:]) == (0, ["train: 1 photographs"])
        assert set(listing(tmp_path / f"{announced}")) == {"captions.csv", "images", "images/a.jpg"}


def test_archives_that_are_no_data_set_together_are_refused_and_leave_nothing(tmp_path, capsys):
    images, text = flickr8k(tmp_path)
    for given, words in (([images], "no known layout"), ([text], "no picture"), ([text, text], "an archive before it")):
        status, lines, err = run(capsys, "--archive", *given, "--out", tmp_path / "set")
        assert (status, lines) == (1, [])
        assert words in " ".join(err)
        assert listing(tmp_path / "set") == {}


def test_a_folder_that_is_not_empty_is_refused_and_what_a_killed_call_left_is_not(tmp_path):
    small_set(tmp_path / "set.zip")
    out = tmp_path / "set"
    (out / downloads.UNFINISHED).mkdir(parents=True)
    (out / downloads.UNFINISHED / "archive").write_bytes(b"half")
    downloads.data_set([Source(tmp_path / "set.zip")], out)
    before = listing(out)
    refused(lambda: downloads.data_set([Source(tmp_path / "set.zip")], out), str(out), "empty")
    assert listing(out) == before


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
    found, lines, err = run(capsys, *arguments)
    assert (found, lines) == (status, [])
    assert words in err[-1]
    assert not any(path.is_file() for path in tmp_path.rglob("*"))


def test_a_server_that_leads_from_https_to_http_is_refused(tmp_path, monkeypatch):
    class Reply(io.BytesIO):
        url, headers = "http://elsewhere/", {}

    monkeypatch.setattr(downloads.urllib.request, "urlopen", lambda *_, **__: Reply(b"PK"))
    refused(lambda: downloads.download("https://here/", tmp_path / "new"), "http://elsewhere/", "https://")


def test_no_address_stands_in_the_code():
    package = Path(archives.__file__).parent
    texts = [
        node.value
        for path in package.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    assert [text for text in texts if text.startswith(("http://", "https://")) and len(text) > 8] == []
