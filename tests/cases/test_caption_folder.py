"""`companion caption FOLDER`: all its pictures, written as they come, and continued where it stopped."""

import csv
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from PIL import Image

from companion import checkpoints, cli, datasets
from companion.models import build
from companion.vocabulary import SPECIALS, Vocabulary
from tests.processes import environment

ODD_NAME = 'a, "b"\nc.png'


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """The folder of a small captioner with random weights."""
    folder = tmp_path_factory.mktemp("model")
    torch.manual_seed(1)
    captioner = build("scenes", Vocabulary([*SPECIALS, *"a dog cat runs on grass".split()]), "tiny")
    checkpoints.save(captioner, folder, {"minutes": 0})
    return folder


@pytest.fixture
def run(model, capsys, monkeypatch):
    """Run `companion caption` on the folder "photos"; return its status, its lines, and what was read."""
    read, load_image = [], datasets.load_image
    monkeypatch.setattr(datasets, "load_image", lambda path, size: read.append(path.name) or load_image(path, size))

    def command(*arguments):
        capsys.readouterr()
        read.clear()
        status = cli.main(["caption", "--checkpoint", str(model), "--beam", "1", "photos", *map(str, arguments)])
        out, err = capsys.readouterr()
        return status, out.splitlines(), err.splitlines(), list(read)

    return command


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """A folder, in the current one, as people have it."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "photos"
    for place in ("b/deep", ".hidden", "__empty__"):
        (folder / place).mkdir(parents=True)
    for name in ("2.JPG", "10.png", "b/1.webp", "b/deep/x.tiff", ".hidden/no.png", "._2.jpg"):
        Image.new("RGB", (30, 20), "red").save(folder / name, format="PNG")
    Image.new("RGB", (30, 20), "red").save(folder / "download", format="GIF")
    for name in ("notes.txt", "Thumbs.db", "README", "movie.mp4"):
        (folder / name).write_text("no picture")
    return folder


NAMES = ["10.png", "2.JPG", "b/1.webp", "b/deep/x.tiff", "download"]


def read_table(path):
    with open(path, newline="", encoding="utf-8", errors="surrogateescape") as file:
        return list(csv.DictReader(file))


def test_pictures_are_found_in_order_and_the_others_counted(run, photos):
    status, lines, err, _ = run()
    assert status == 0
    assert [line.partition(": ")[0] for line in lines] == [f"photos/{name}" for name in NAMES]
    assert err[0] == "companion: photos: passed over 2 hidden, 4 no pictures (.db, .mp4, .txt, without suffix)"
    assert err[-1] == "companion: 5 of 5 photographs are done"


def test_a_bad_picture_in_a_folder_is_named_and_the_status_is_one(run, photos):
    (photos / "b" / "bad.jpg").write_bytes(b"no picture")
    (photos / "gone.png").symlink_to(photos / "nowhere.png")
    status, lines, err, _ = run("--json")
    assert (status, [json.loads(line)["image"] for line in lines]) == (1, [f"photos/{name}" for name in NAMES])
    assert [line for line in err if "bad.jpg" in line and "not a picture" in line]
    assert [line for line in err if "gone.png" in line and "no such file" in line]


@pytest.mark.parametrize("content", ["nothing", "no picture"])
def test_a_folder_without_pictures_is_an_error(run, tmp_path, monkeypatch, content):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    if content == "no picture":
        (tmp_path / "photos" / "a.txt").touch()
    status, lines, err, _ = run()
    assert (status, lines, len(err)) == (1, [], 1)
    assert "there is no picture in this folder" in err[0]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every folder")
def test_a_folder_that_may_not_be_listed_is_named(run, photos):
    (photos / "b").chmod(0)
    status, lines, err, _ = run()
    (photos / "b").chmod(0o755)
    assert (status, len(lines)) == (1, 3)
    assert any("photos/b: it cannot be read" in line for line in err)


def test_its_own_results_and_figures_are_no_input(run, photos):
    assert run("--attention", "photos/figures", "--csv", "photos/out.csv")[0] == 0
    assert len(list((photos / "figures").rglob("*.png"))) == 5
    _, _, err, read = run("--attention", "photos/figures", "--csv", "photos/out.csv")
    assert read == []
    assert err[0].startswith("companion: photos: passed over 2 hidden, 5 no pictures (.csv")


def read_json_lines(path):
    return [json.loads(line) for line in Path(path).read_bytes().splitlines()]


KINDS = {"--csv": read_table, "--jsonl": read_json_lines}


@pytest.mark.parametrize("option", KINDS)
def test_what_is_there_is_not_done_again_and_half_a_line_is_dropped(run, photos, option):
    for name in (ODD_NAME, os.fsdecode(b"jos\xe9.png"), "犬\r.png"):
        Image.new("RGB", (30, 20), "blue").save(photos / name, format="PNG")
    status, lines, _, read = run(option, "out")
    whole = (photos.parent / "out").read_bytes()
    assert (status, lines, len(read)) == (0, [], 8)
    done = [(record["image"], record["caption"]) for record in KINDS[option]("out")]
    assert len(set(done)) == len(done) == 8
    assert run(option, "out")[3] == []
    for cut in random.Random(0).sample(range(1, len(whole)), 6) if option == "--csv" else (5, len(whole) // 2):
        (photos.parent / "out").write_bytes(whole[:cut])
        status, _, _, read = run(option, "out")
        assert [(record["image"], record["caption"]) for record in KINDS[option]("out")] == done
        kept = sum(whole[:cut].startswith(whole[: whole.find(line) + len(line)]) for line in _rows(whole, option))
        assert (status, len(read)) == (0, 8 - kept)


def _rows(whole, option):
    """Return the lines of a file, each with its end; of a table without the header."""
    if option == "--jsonl":
        return whole.splitlines(keepends=True)
    odd = b'"photos/a, ""b""\nc.png"'
    lines = whole.replace(odd, b"ODD").replace(b"\r", b"CR").splitlines(keepends=True)
    return [line.replace(b"ODD", odd).replace(b"CR", b"\r") for line in lines[1:]]


def test_a_picture_that_could_not_be_read_is_tried_again(run, photos):
    (photos / "10.png").write_bytes(b"no picture")
    assert run("--csv", "out.csv")[0] == 1
    assert len(read_table("out.csv")) == 4
    assert run("--csv", "out.csv")[::3] == (1, ["10.png"])
    Image.new("RGB", (30, 20), "red").save(photos / "10.png")
    assert run("--csv", "out.csv")[::3] == (0, ["10.png"])
    assert len(read_table("out.csv")) == 5


FOREIGN = {
    "--csv": [
        b"name;text\n",
        b"image,caption,split\na.jpg,a dog,dev\n",
        b"image,caption\na.jpg\n",
        b"\x00\x01\n",
        b"{}",
    ],
    "--jsonl": [b"image,caption\n", b'{"image": "a.jpg"}\n', b"[1]\n", b"42", b'{"image": "a", "caption": 1}\n'],
}


@pytest.mark.parametrize(("option", "content"), [(o, each) for o, contents in FOREIGN.items() for each in contents])
def test_a_file_of_something_else_is_refused_and_untouched(run, photos, option, content):
    (photos.parent / "out").write_bytes(content)
    status, lines, err, read = run(option, "out")
    assert (status, lines, read) == (1, [], [])
    assert "out:" in err[-1]
    assert "choose another name" in err[-1]
    assert (photos.parent / "out").read_bytes() == content


def test_a_table_that_a_spreadsheet_has_saved_is_continued(run, photos):
    saved = '\ufeff"image","caption"\r\n"photos/10.png","a dog"\r\n'
    (photos.parent / "out.csv").write_text(saved, encoding="utf-8", newline="")
    assert len(run("--csv", "out.csv")[3]) == 4
    with open("out.csv", newline="", encoding="utf-8-sig") as file:
        assert [row["image"] for row in csv.DictReader(file)] == [f"photos/{name}" for name in NAMES]


@pytest.mark.parametrize("place", ["photos/10.png", "nowhere/out.csv", "photos"])
def test_a_place_where_no_results_can_go_is_refused_before_any_work(run, photos, place):
    status, lines, err, read = run("--csv", place)
    assert (status, lines, read) == (1, [], [])
    assert place in err[-1]


def test_killed_at_a_random_moment_it_finishes_without_doing_finished_work_twice(run, model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    for i in range(100):
        Image.new("RGB", (300, 200), (i, 0, 0)).save(tmp_path / "photos" / f"{i:03}.png")
    code = "import sys; from companion.cli import main; sys.exit(main())"
    command = [
        sys.executable,
        "-c",
        code,
        "caption",
        "--checkpoint",
        model,
        "--beam",
        "1",
        "photos",
        "--csv",
        "out.csv",
    ]
    process = subprocess.Popen(command, env=environment(), stderr=subprocess.DEVNULL)
    enough = random.randint(1, 1500)  # bytes
    while process.poll() is None and not ((tmp_path / "out.csv").exists() and os.stat("out.csv").st_size > enough):
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = (tmp_path / "out.csv").read_bytes()
    finished = before.count(b"\n") - 1
    assert finished >= 0
    status, _, _, read = run("--csv", "out.csv")
    assert (status, len(read)) == (0, 100 - finished)
    assert (tmp_path / "out.csv").read_bytes().startswith(before[: before.rindex(b"\n") + 1])
    assert [row["image"] for row in read_table("out.csv")] == [f"photos/{i:03}.png" for i in range(100)]
