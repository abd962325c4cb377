"""The project: every typical fault of what is handed in is named by its own sentence, and a sound project earns all."""

import json
import os
import re
import shutil
import stat
import zipfile

import matplotlib.pyplot as plt
import pytest
import torch
from PIL import Image

from companion import checkpoints, cli, datasets
from companion.classroom import assignments, fence, grading
from companion.classroom.projects import Refused, boxed, unpacking
from companion.classroom.projects.page import read_page
from companion.classroom.public import a6
from tests.classroom import project_samples as samples
from tests.classroom.helpers import ROOT, zipped

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """Return the folder of a sound project, and what it says when it is asked, which is asked once."""
    folder = tmp_path_factory.mktemp("a6") / "sound"
    samples.write_project(folder)
    answers: dict = {}

    def ask(name, *arguments):
        key = json.dumps([name, *arguments])
        if key not in answers:
            answers[key] = samples.ask_here(name, *arguments)
        return answers[key]

    return folder, ask


# -- faults ------------------------------------------------------------------------------------------------------------


def swap(name, old, new, count=1):
    """Return an edit that replaces text in a file."""

    def edit(folder):
        text = (folder / name).read_text(encoding="utf-8")
        assert old in text
        (folder / name).write_text(text.replace(old, new, count), encoding="utf-8")

    return edit


def drop(pattern, name):
    """Return an edit that takes the lines out of a file in which a pattern is found."""

    def edit(folder):
        lines = (folder / name).read_text(encoding="utf-8").splitlines(keepends=True)
        kept = [line for line in lines if not re.search(pattern, line)]
        assert len(kept) < len(lines)
        (folder / name).write_text("".join(kept), encoding="utf-8")

    return edit


def remove(name):
    """Return an edit that takes a file or a folder away."""

    def edit(folder):
        path = folder / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    return edit


def card(run, **changes):
    """Return an edit of a card: its keys, or keys within keys, as in `train_config__lr`."""

    def edit(folder):
        path = folder / "runs" / run / "card.json"
        facts = json.loads(path.read_text(encoding="utf-8"))
        for name, value in changes.items():
            *outer, last = name.split("__")
            place = facts
            for key in outer:
                place = place[key]
            if value is None:
                del place[last]
            else:
                place[last] = value
        path.write_text(json.dumps(facts), encoding="utf-8")

    return edit


def cells(name, column, value, lines=None):
    """Return an edit that writes a value into a column, in all lines or in the first of them."""

    def edit(folder):
        head, *rows = [line.split(",") for line in (folder / name).read_text(encoding="utf-8").splitlines()]
        for row in rows[:lines]:
            place = head.index(column)
            row[place] = value(row[place]) if callable(value) else value
        (folder / name).write_text("\n".join(",".join(row) for row in [head, *rows]) + "\n", encoding="utf-8")

    return edit


def both(*edits):
    """Return several edits as one."""

    def edit(folder):
        for each in edits:
            each(folder)

    return edit


def leak(folder):
    """Put a training picture into the test split under another name, a little smaller."""
    with Image.open(folder / "data/images/000.png") as image:
        image.resize((60, 60)).save(folder / "data/images/099.png")


def place(folder):
    """Let a picture say where it was taken."""
    path = folder / "data/images/005.png"
    with Image.open(path) as image:
        exif = Image.Exif()
        exif[0x8825] = {1: "N", 2: (52.0, 31.0, 12.0)}
        image.save(path, exif=exif)


def original(folder):
    """Hand in the weights that ship, with a card of one's own."""
    facts = json.loads((folder / samples.MODEL / "card.json").read_text(encoding="utf-8"))
    own = {key: value for key, value in facts.items() if not key.endswith("sha256")}
    checkpoints.save(checkpoints.load("scenes"), folder / samples.MODEL, own)


def damaged(folder):
    """Cut the weights short."""
    path = folder / samples.MODEL / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])


def copied(folder):
    """Count one run twice, under another seed."""
    one, other = (folder / "runs" / name / "card.json" for name in ("baseline-1", "baseline-2"))
    facts = json.loads(one.read_text(encoding="utf-8"))
    facts["seed"] = facts["train_config"]["seed"] = 2
    other.write_text(json.dumps(facts), encoding="utf-8")


SEEDS_1 = both(*(card(f"baseline-{n}", seed=1, train_config__seed=1) for n in (2, 3)))

# By question and label: an edit, and a part of the sentence that names it. An edit of data or weights is marked True.
FAULTS = {
    "data": {
        "none": (remove("data"), "The folder data is missing.", True),
        "no captions": (remove("data/captions.csv"), "data cannot be read: ", True),
        "a missing picture": (remove("data/images/003.png"), "data has issues (1), the first: ", True),
        "an empty caption": (
            swap("data/captions.csv", "000.png,", "000.png,,train\n000.png,"),
            "an empty caption",
            True,
        ),
        "too few": (drop(r"^0[0-3]\d\.png", "data/captions.csv"), "data has 60 pictures, fewer than 100.", True),
        "no test": (swap("data/captions.csv", ",test", ",dev", -1), "data has 0 pictures in the split test", True),
        "one caption": (
            lambda folder: samples.write_csv(
                folder / "data/captions.csv",
                ("image", "caption", "split"),
                [
                    (name, f"picture {name}", "train" if name < "060" else "dev" if name < "080" else "test")
                    for name in samples.NAMES
                ],
            ),
            "data has pictures without 2 different captions (100)",
            True,
        ),
        "no licence file": (remove("data/LICENSE"), "data/LICENSE is missing", False),
        "an empty licence": (
            lambda folder: (folder / "data/LICENSE").write_text(" \n"),
            "data/LICENSE is empty.",
            False,
        ),
        "no licence named": (swap("project.toml", "CC BY 4.0", ""), "does not say `data.licence`", False),
        "no source named": (drop("^source", "project.toml"), "does not say `data.source`", False),
        "the same picture in two splits": (leak, "The splits of data share pictures", True),
        "the same file in two splits": (
            lambda folder: shutil.copy(folder / "data/images/000.png", folder / "data/images/099.png"),
            "data cannot be read: ",
            True,
        ),
        "where it was taken": (place, "data tells by GPS where pictures were taken (1), the first: 005.png.", True),
    },
    "change": {
        "two runs": (swap("project.toml", ', "runs/change-3"', ""), "lists 2 runs of change, fewer than 3.", False),
        "no runs": (drop("^baseline = ", "project.toml"), "project.toml has no list `runs.baseline`.", False),
        "no card": (remove("runs/change-1/card.json"), "runs/change-1/card.json is missing.", False),
        "a card without its log": (card("baseline-3", log=None), "runs/baseline-3/card.json has no log", False),
        "no question": (drop("^question", "project.toml"), "does not say `question`", False),
        "no expectation": (drop("^expected", "project.toml"), "does not say `expected`", False),
        "two changes": (
            both(*(card(f"change-{n}", train_config__lr=0.01) for n in (1, 2, 3))),
            "baseline and change differ in lr, word_dropout; project.toml says word_dropout.",
            False,
        ),
        "two changes, both stated": (
            both(
                *(card(f"change-{n}", train_config__lr=0.01) for n in (1, 2, 3)),
                swap("project.toml", '["word_dropout"]', '["lr", "word_dropout"]'),
            ),
            "Baseline and change differ in 2 things: lr, word_dropout.",
            False,
        ),
        "no change": (
            both(*(card(f"change-{n}", train_config__word_dropout=0.1) for n in (1, 2, 3))),
            "differ in nothing",
            False,
        ),
        "code without a patch": (
            both(
                *(card(f"change-{n}", train_config__word_dropout=0.1) for n in (1, 2, 3)),
                swap("project.toml", '["word_dropout"]', '["code"]'),
            ),
            "change.patch is missing.",
            False,
        ),
        "another change stated": (swap("project.toml", '["word_dropout"]', '["attention"]'), "says attention.", False),
        "runs that differ among themselves": (
            card("baseline-2", train_config__epochs=20),
            "runs/baseline-2 differs from runs/baseline-1 in ",
            False,
        ),
        "an option of the command": (
            card("change-3", command="companion train scenes --out c --init-from photos --seed 3"),
            "differs from runs/change-1 in init-from, not in the seed alone",
            False,
        ),
        "no model named": (drop("^model", "project.toml"), "does not say `model`", False),
        "a model that is no run": (
            swap("project.toml", '"runs/change-2"\n', '"model"\n'),
            "is none of the runs",
            False,
        ),
        "no weights": (remove("runs/change-2/weights.safetensors"), "weights.safetensors is missing.", False),
        "weights of another run": (card("change-2", sha256="0" * 64), "runs/change-2 cannot be read: ", True),
        "weights cut short": (damaged, "runs/change-2 cannot be read: ", True),
        "the package's weights": (original, "are those that ship with the package", True),
    },
    "table": {
        "the same seed three times": (SEEDS_1, "The runs of baseline have the seeds 1, 1, 1", False),
        "one run twice": (copied, "runs/baseline-1 and runs/baseline-2 have the same weights", False),
        "no table": (remove("results.csv"), "results.csv is missing.", False),
        "no lines of seed 3": (drop("^change,3,test", "results.csv"), "results.csv has 1, 2 for change on test", False),
        "other seeds": (
            swap("results.csv", "baseline,1,dev", "baseline,7,dev"),
            "has 2, 3, 7 for baseline on dev",
            False,
        ),
        "no interval": (cells("results.csv", "low", ""), "line 2, low is empty.", False),
        "no columns of the interval": (
            swap("results.csv", "low,high", "a,b"),
            "results.csv has no column low, high.",
            False,
        ),
        "an interval of nothing": (
            both(cells("results.csv", "low", "0.7", 1), cells("results.csv", "high", "0.7", 1)),
            "the interval of 0.7 of baseline, seed 1, dev, is a single number",
            False,
        ),
        "outside its interval": (cells("results.csv", "high", "0.68", 1), "lies outside its interval", False),
        "percent for shares": (
            cells("results.csv", "score", lambda x: str(100 * float(x))),
            "is more than 1, the largest score",
            False,
        ),
        "the best run as the mean": (
            swap("results.csv", "change,mean,test,0.77,", "change,mean,test,0.8,"),
            "the mean of change on test is the best run, not the mean",
            False,
        ),
        "another mean": (
            swap("results.csv", "change,mean,test,0.77,", "change,mean,test,0.75,"),
            "not the mean, which is 0.770",
            False,
        ),
        "no mean": (drop("^change,mean,test", "results.csv"), "has 0 lines with the mean of change on test", False),
        "a standard deviation for the range": (
            swap("results.csv", "change,mean,test,0.77,0.74,0.8", "change,mean,test,0.77,0.76,0.78"),
            "low and high of the mean of change on test are not those of its runs",
            False,
        ),
        "a score that no card has": (
            both(cells("results.csv", "score", "0.73", 1), cells("results.csv", "high", "0.8", 1)),
            "results.csv has 0.73 for baseline, seed 1, dev; the card of runs/baseline-1 says 0.7.",
            False,
        ),
        "chosen on test": (
            swap("project.toml", '"runs/change-2"\n', '"runs/change-3"\n'),
            "it was chosen on test",
            False,
        ),
        "not the best": (
            swap("project.toml", '"runs/change-2"\n', '"runs/baseline-1"\n'),
            "not the best of the runs on dev, nor",
            False,
        ),
        "no page": (remove("page.html"), "page.html is missing.", False),
        "a page without a table": (swap("page.html", "table>", "div>", -1), "page.html has no table", False),
        "a page without intervals": (
            swap("page.html", "<th>low</th><th>high</th>", ""),
            "the table has no column low, high",
            False,
        ),
        "a page without a run": (
            drop("<td>baseline</td><td>2", "page.html"),
            "shows 0.7 of baseline, seed 2, test",
            False,
        ),
        "a page with a better score": (
            swap("page.html", "<td>3</td><td>0.80", "<td>3</td><td>0.90"),
            "shows 0.8 of change, seed 3",
            False,
        ),
    },
    "maps": {
        "none": (remove("maps.csv"), "maps.csv is missing.", False),
        "ten words": (
            lambda folder: (folder / "maps.csv").write_text(
                "".join((folder / "maps.csv").read_text().splitlines(keepends=True)[:11])
            ),
            "maps.csv has 10 lines below its head, fewer than 20.",
            False,
        ),
        "no boxes": (
            swap("maps.csv", "left,top,right,bottom", "a,b,c,d"),
            "has no column left, top, right, bottom",
            False,
        ),
        "a few pictures": (
            cells("maps.csv", "picture", "065.png"),
            "grades words of too few pictures: 1, not 10",
            False,
        ),
        "training pictures": (
            cells("maps.csv", "picture", lambda x: f"0{x[1:]}" if x < "061" else "000.png", 3),
            "000.png is no picture of the splits dev and test",
            False,
        ),
        "words of other captions": (cells("maps.csv", "word", lambda x: f"{x}x"), "the model does not say '", False),
        "pixels for shares": (cells("maps.csv", "right", "40"), "the box is not given in shares of the picture", False),
        "left and right exchanged": (cells("maps.csv", "left", "0.99"), "the box is not given in shares", False),
        "boxes that are everywhere": (
            both(
                *(
                    cells("maps.csv", name, value)
                    for name, value in {"left": "0", "top": "0", "right": "1", "bottom": "1"}.items()
                )
            ),
            "the boxes cover 1.00 of their pictures on average",
            False,
        ),
        "all called hits": (
            both(
                cells("maps.csv", "left", "0"),
                cells("maps.csv", "right", "0.01"),
                cells("maps.csv", "top", "0"),
                cells("maps.csv", "bottom", "0.01"),
                cells("maps.csv", "hit", "1"),
            ),
            "are graded otherwise than the maps of the model lie",
            False,
        ),
        "hits called misses": (cells("maps.csv", "hit", "0"), "are graded otherwise than the maps", False),
        "yes for 1": (cells("maps.csv", "hit", "yes"), "hit is 1 or 0, not 'yes'", False),
        "no numbers": (cells("maps.csv", "top", "upper"), "are four numbers", False),
    },
    "failures": {
        "none": (remove("failures.csv"), "failures.csv is missing.", False),
        "three": (drop("06[34]", "failures.csv"), "failures.csv has 3 lines below its head", False),
        "no picture column": (swap("failures.csv", "picture", "no"), "failures.csv has no column picture.", False),
        "the same picture": (
            cells("failures.csv", "picture", "060.png"),
            "has too few different pictures: 1, not 5",
            False,
        ),
        "training pictures": (
            cells("failures.csv", "picture", "000.png", 1),
            "000.png is no picture of the splits",
            False,
        ),
        "nothing wrong said": (
            cells("failures.csv", "wrong", "", 1),
            "does not say what is wrong with the caption",
            False,
        ),
        "the same said of all": (
            cells("failures.csv", "wrong", "it is simply wrong"),
            "says the same of every failure",
            False,
        ),
        "invented captions": (
            both(
                cells("failures.csv", "caption", "a cat sits here"),
                swap("page.html", "<body>", "<body>a cat sits here"),
            ),
            "the model does not say 'a cat sits here' of 060.png",
            False,
        ),
        "not on the page": (
            lambda folder: (folder / "page.html").write_text("<p>x</p>"),
            "does not show the failure",
            False,
        ),
        "captions without pictures": (
            lambda folder: (folder / "page.html").write_text(
                re.sub("<img[^>]*>", "", (folder / "page.html").read_text())
            ),
            "page.html shows 0 pictures; 5 failures need one each.",
            False,
        ),
        "pictures from the network": (
            swap("page.html", 'src="data', 'src="https://example.org/data'),
            "from the network",
            False,
        ),
        "pictures of one's own disk": (
            swap("page.html", 'src="data', 'src="/home/ann/data'),
            "is not in the project",
            False,
        ),
        "pictures that were not handed in": (
            swap("page.html", "images/060", "images/660"),
            "data/images/660.png, which is not in the project",
            False,
        ),
    },
    "rebuild": {
        "none": (drop("^rebuild", "project.toml"), "does not say `rebuild`", False),
        "a file that is not there": (
            remove("rebuild.sh"),
            "`rebuild` names no file of the project: sh rebuild.sh",
            False,
        ),
        "two commands": (
            swap("project.toml", "sh rebuild.sh", "cd x && sh rebuild.sh"),
            "more than one command",
            False,
        ),
        "an absolute path": (
            swap("rebuild.sh", "runs/baseline", "/home/ann/a6/runs/baseline"),
            "a path of one machine: /home/ann",
            False,
        ),
        "a home folder": (swap("rebuild.sh", "python measure", "python ~/a6/measure"), "one machine: ~/a6/", False),
        "a drive": (swap("rebuild.sh", "page.ipynb", r"C:\a6\page.ipynb"), r"of one machine: C:\a6", False),
        "an absolute command": (
            swap("project.toml", "sh rebuild.sh", "sh /home/ann/a6/rebuild.sh"),
            "project.toml names a path of one machine: /home/ann",
            False,
        ),
        "an absolute interpreter": (
            swap("project.toml", "sh rebuild.sh", "/opt/conda/bin/python rebuild.sh"),
            "project.toml names a path of one machine: /opt/conda",
            False,
        ),
        "one seed": (swap("rebuild.sh", "in 1 2 3", "in 1"), "rebuild.sh does not name the seed 2.", False),
        "no training": (drop("train", "rebuild.sh"), "rebuild.sh does not train.", False),
        "no table": (
            both(drop("measure|page", "rebuild.sh"), swap("rebuild.sh", "train_change.py", "-m change train")),
            "makes neither results.csv nor the page",
            False,
        ),
        "an empty file": (lambda folder: (folder / "rebuild.sh").write_text(""), "rebuild.sh is empty.", False),
    },
}
TABLE = [(question, label) for question, faults in FAULTS.items() for label in faults]


def test_a_sound_project_passes_every_check(sound):
    folder, ask = sound
    assert {text for text in samples.run_checks(samples.project_of(folder, ask)).values() if text} == set()


@pytest.mark.parametrize(("question", "label"), TABLE)
def test_a_fault_is_caught_and_named(sound, tmp_path, question, label):
    folder, ask = sound
    edit, sentence, is_fresh = FAULTS[question][label]
    own = tmp_path / "own"
    shutil.copytree(folder, own)
    edit(own)

    def ask_sound(name, *arguments):  # of what has not been edited
        return ask(name, *(str(a).replace(str(own), str(folder)) if isinstance(a, str) else a for a in arguments))

    project = samples.project_of(own, samples.ask_here if is_fresh else ask_sound)
    texts = [text for text in samples.run_checks(project, question).values() if text]
    assert [text for text in texts if sentence in text], texts


@pytest.mark.parametrize("question", FAULTS)
def test_a_question_has_at_least_eight_faults_with_sentences_of_their_own(question):
    assert len({sentence for _, sentence, _ in FAULTS[question].values()}) >= 8


# -- what is handed in -------------------------------------------------------------------------------------------------


def link(name):
    """Return the entry of a link in a zip file."""
    info = zipfile.ZipInfo(name)
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


FACTS: dict[str | zipfile.ZipInfo, bytes] = {"project.toml": b'title = "x"\n'}
REFUSED = {
    "no project": (zipped({"notes.txt": b"x"}), "it holds no project.toml"),
    "two projects": (zipped({"a/project.toml": b"", "b/project.toml": b""}), "it holds 2 files project.toml"),
    "a link": (zipped(FACTS | {link("data"): b"/etc"}), "data is a link"),
    "a way out": (zipped(FACTS | {"../key.txt": b"x"}), "'../key.txt' leads outside"),
    "the root": (zipped(FACTS | {"/etc/passwd": b"x"}), "'/etc/passwd' leads outside"),
    "a drive": (zipped(FACTS | {"C:/x": b"x"}), "'C:/x' leads outside"),
    "a backslash": (zipped(FACTS | {"a\\..\\..\\x": b"x"}), "leads outside"),
    "a pickle by its name": (zipped(FACTS | {"runs/a/weights.pt": b"x"}), "weights.pt may be a pickle"),
    "a pickle by its bytes": (zipped(FACTS | {"runs/a/weights": b"\x80\x04\x95x"}), "weights is a pickle"),
    "two of one name": (zipped(FACTS | {"A.csv": b"", "a.csv": b""}), "two files of the same name"),
    "control characters": (zipped(FACTS | {"a\x07.csv": b""}), "characters that no name should have"),
    "damaged": (zipped(FACTS)[:-30], "the zip file cannot be read"),
    "no zip file": (b"%PDF", "the zip file cannot be read (BadZipFile)"),
}


@pytest.mark.parametrize("label", REFUSED)
def test_what_a_project_must_not_hold_is_refused_as_a_whole(tmp_path, label):
    data, reason = REFUSED[label]
    (tmp_path / "ann.zip").write_bytes(data)
    (tmp_path / "out").mkdir()
    with pytest.raises(ValueError, match=re.escape(reason)):
        unpacking.unpack(tmp_path / "ann.zip", tmp_path / "out")
    with pytest.raises(ValueError, match=re.escape(reason)):
        unpacking.digest(tmp_path / "ann.zip")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ann.zip", "out"]


def test_what_is_too_large_is_refused_also_if_the_zip_file_lies(tmp_path, monkeypatch):
    monkeypatch.setattr(unpacking, "FILE_LIMIT", 1000)
    (tmp_path / "ann.zip").write_bytes(zipped(FACTS | {"a.csv": b"x" * 1001}))
    with pytest.raises(ValueError, match=r"a\.csv has more than"):
        unpacking.digest(tmp_path / "ann.zip")
    monkeypatch.setattr(unpacking, "TOTAL_LIMIT", 1000)
    (tmp_path / "ann.zip").write_bytes(zipped(FACTS | {"a.csv": b"x" * 600, "b.csv": b"x" * 600}))
    with pytest.raises(ValueError, match="it holds more than"):
        unpacking.digest(tmp_path / "ann.zip")
    data = bytearray(zipped(FACTS | {"a.csv": b"x" * 900}))
    place = data.rindex(b"PK\x01\x02")  # the entry of the last file in the directory, whose size stands 24 bytes on
    data[place + 24 : place + 28] = (10).to_bytes(4, "little")
    (tmp_path / "ann.zip").write_bytes(data)
    with pytest.raises(ValueError, match=r"larger than the zip file says|cannot be read"):
        unpacking.digest(tmp_path / "ann.zip")


def test_links_and_pipes_in_a_folder_are_refused(tmp_path):
    folder = tmp_path / "ann"
    folder.mkdir()
    (folder / "project.toml").write_text("")
    (folder / "key").symlink_to("/etc")
    with pytest.raises(ValueError, match="key is a link"):
        unpacking.digest(folder)
    (folder / "key").unlink()
    os.mkfifo(folder / "pipe")
    with pytest.raises(ValueError, match="pipe is no ordinary file"):
        unpacking.digest(folder)
    (tmp_path / "ben").symlink_to(folder)
    with pytest.raises(ValueError, match="it is a link"):
        unpacking.digest(tmp_path / "ben")
    (tmp_path / "carl.pdf").write_bytes(b"%PDF")
    with pytest.raises(ValueError, match=r"carl\.pdf is neither a folder nor a zip file"):
        unpacking.digest(tmp_path / "carl.pdf")


def test_a_folder_its_zip_file_and_a_folder_with_that_are_the_same_project(tmp_path):
    """Moodle puts the zip file into a folder; computers add files that nobody asked for."""
    files = {"project.toml": b"x = 1\n", "data/LICENSE": b"CC0"}
    (tmp_path / "ann" / "data").mkdir(parents=True)
    for name, content in files.items():
        (tmp_path / "ann" / name).write_bytes(content)
    noise = {"__MACOSX/._project.toml": b"x", "mine/.git/config": b"x", "mine/.DS_Store": b"x"}
    data = zipped({f"mine/{name}": content for name, content in files.items()} | noise)
    (tmp_path / "ben.zip").write_bytes(data)
    (tmp_path / "carl").mkdir()
    (tmp_path / "carl" / "a6.zip").write_bytes(data)
    paths = [tmp_path / name for name in ("ann", "ben.zip", "carl")]
    assert len({unpacking.digest(path) for path in paths}) == 1
    for number, path in enumerate(paths):
        out = tmp_path / f"out{number}"
        out.mkdir()
        unpacking.unpack(path, out)
        found = {p.relative_to(out).as_posix(): p.read_bytes() for p in out.rglob("*") if p.is_file()}
        assert found == files
    (tmp_path / "ann" / "data" / "LICENSE").write_text("CC BY")
    assert unpacking.digest(tmp_path / "ann") != unpacking.digest(tmp_path / "ben.zip")


def test_the_untouched_folder_earns_nothing_and_every_line_says_why():
    project = samples.project_of(ROOT / "course" / "student" / "a6")
    texts = list((samples.run_checks(project) | samples.run_checks(project, hidden=True)).values())
    assert len(texts) == 27
    assert all(texts)


def test_a_refused_project_earns_nothing_and_says_why():
    texts = samples.run_checks(Refused("data is a link")) | samples.run_checks(Refused("data is a link"), hidden=True)
    assert set(texts.values()) == {"Nothing could be graded: data is a link."}


def test_the_functions_of_the_students_notebook_agree_with_the_checks(sound, monkeypatch):
    """The notebook is run in a sound project: its scores are those of the table, and it draws what the checks see."""
    folder, ask = sound
    made = json.loads((ROOT / "course" / "student" / "a6.ipynb").read_text(encoding="utf-8"))
    monkeypatch.chdir(folder)
    names: dict = {"print": lambda *_: None}
    for cell in made["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "code" and "check(" not in source:
            exec(source.partition("\n\n\nfor run in runs")[0], names)
    run = folder / samples.MODEL
    assert names["score"](run, "test") == (0.77, 0.74, 0.8)
    (said,) = ask("caption", str(run), str(folder / "data"), [samples.HELD_OUT[0]])
    word = said["words"][-1]
    ax = names["draw"](run, samples.HELD_OUT[0], word)
    assert ax.get_title() == f"{word}\n{said['text']}"
    frames = [
        [*frame.get_xy(), frame.get_x() + frame.get_width(), frame.get_y() + frame.get_height()] for frame in ax.patches
    ]
    assert frames == [peak for each, peak in zip(said["words"], said["peaks"], strict=True) if each == word]
    plt.close("all")


# -- the parts ---------------------------------------------------------------------------------------------------------


def test_a_page_gives_its_tables_pictures_and_text_and_none_of_its_scripts():
    page = read_page(
        "<head><title>T</title></head><script>var a = '<table><tr><td>1</td></tr></table>'</script>"
        "<table><tr><th>model</th><th>a &amp; b</th></tr><tr><td>x<br>y</td><td><b>2</b></td></table>"
        "<p>one</p><p>two &lt;</p><img src='a.png'><IMG SRC=data:image/png;base64,xx>"
    )
    assert page.tables == [[["model", "a & b"], ["x y", "2"]]]
    assert page.images == ["a.png", "data:image/png;base64,xx"]
    assert page.text == "model a & b x y 2 one two <"


def test_the_peak_of_a_map_is_its_largest_cell_in_shares_of_the_picture():
    weights = torch.tensor([[0.1, 0.2, 0.0, 0.1], [0.1, 0.0, 0.4, 0.1]])
    assert boxed._peak(weights) == [0.5, 0.5, 0.75, 1.0]


@pytest.mark.parametrize(
    ("box", "meets"),
    [((0.0, 0.0, 1.0, 1.0), True), ((0.6, 0.6, 0.61, 0.61), True), ((0.0, 0.0, 0.5, 1.0), False),
     ((0.75, 0.5, 1.0, 1.0), False), ((0.5, 0.0, 0.75, 0.5), False), ((0.7, 0.4, 0.9, 0.51), True)],
)  # fmt: skip
def test_a_cell_meets_a_box_if_they_have_an_area_in_common(box, meets):
    assert a6._meets([0.5, 0.5, 0.75, 1.0], box) == meets


@pytest.mark.parametrize(
    ("line", "is_absolute"),
    [("python /home/ann/x.py", True), ("cp ~/x .", True), (r"D:\x\y", True), ("cd $HOME/a6", True),
     ("x=/content/x", True), ("'/Users/ann'", True), ("#!/bin/sh", False), ("#!/usr/bin/env python", False),
     ("curl https://example.org/x", False),
     ("sh ./run.sh data/x", False), ("cat x > /dev/null", False), ("echo $OUT/x ${OUT}/x and/or 1/2", False)],
)  # fmt: skip
def test_a_path_of_one_machine_is_told_from_others(line, is_absolute):
    assert bool(a6.ABSOLUTE.search(line)) == is_absolute


# -- the hidden checks -------------------------------------------------------------------------------------------------


def test_the_sound_project_passes_the_hidden_checks_on_the_world_of_the_key(sound, monkeypatch):
    folder, _ = sound
    monkeypatch.setattr(assignments.course_module("A6", "hidden"), "SCENES", 60)
    assert set(samples.run_checks(samples.project_of(folder), hidden=True).values()) == {None}


@pytest.mark.parametrize(
    ("score", "dealt", "sentences"),
    [
        (0.77, 0.05, []),
        (0.68, 0.05, []),  # within the margin of another world
        (0.60, 0.05, ["measured again, it has less: 0.60"]),
        (0.30, 0.05, ["fewer than 0.4 are true", "measured again, it has less: 0.30"]),
        (0.77, 0.77, ["suit other pictures as well as their own"]),  # always the same caption
    ],
)
def test_the_hidden_checks_name_what_they_find(sound, score, dealt, sentences):
    folder, ask = sound

    def ask_scores(name, *arguments):
        return {"score": score, "dealt": [dealt] * 20} if name == "measure_scenes" else ask(name, *arguments)

    found = [text for text in samples.run_checks(samples.project_of(folder, ask_scores), hidden=True).values() if text]
    assert len(found) == len(sentences)
    assert all(part in text for part, text in zip(sentences, found, strict=True))


def test_captions_of_photographs_score_higher_at_home_than_dealt_to_others(tmp_path):
    """The references are what the model itself says, so at home the score is the highest there is."""
    names = ("astronaut", "chelsea", "coffee", "rocket")
    data = tmp_path / "data"
    data.mkdir()
    for name in names:
        with Image.open(datasets.example_image(name)) as image:
            image.convert("RGB").save(data / f"{name}.png")
    rows = [(f"{name}.png", f"a picture of {name}", "test") for name in names]
    samples.write_csv(data / "captions.csv", ("image", "caption", "split"), rows)
    run = tmp_path / "run"
    checkpoints.save(samples.perturbed("photos"), run, {})
    assert boxed.read_checkpoint(str(run))["difference"] == pytest.approx(0.05, abs=0.01)
    said = boxed.caption(str(run), str(data), [row[0] for row in rows])
    assert all(len(each["words"]) == len(each["peaks"]) for each in said)
    rows = [(name, each["text"], "test") for (name, *_), each in zip(rows, said, strict=True)]
    samples.write_csv(data / "captions.csv", ("image", "caption", "split"), rows)
    boxed._dataset.cache_clear()
    found = boxed.score_photos(str(run), str(data), [0, 1, 2])
    assert len({each["text"] for each in said}) > 1
    assert found["score"] > max(found["dealt"])
    assert len(found["dealt"]) == 3


# -- grading -----------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(fence.find_bwrap() is None, reason="there is no bubblewrap here, so nothing is fenced")
def test_a_folder_of_projects_is_graded_behind_the_fence(sound, tmp_path, monkeypatch):
    """The sound project, the empty one and a refused one: marks, the marker's pages, the form, and the talk."""
    monkeypatch.setattr(assignments.course_module("A6", "hidden"), "SCENES", 60)
    folder = tmp_path / "submissions"
    folder.mkdir()
    shutil.make_archive(str(folder / "ann"), "zip", sound[0])
    shutil.copytree(ROOT / "course" / "student" / "a6", folder / "ben")
    swap("project.toml", 'title = ""', 'title = "<script>alert(1)</script>"')(folder / "ben")
    (folder / "carl.zip").write_bytes(zipped(FACTS | {"x.pkl": b""}))
    book = tmp_path / "book.csv"
    book.write_text("student,A6\nann,\nben,\ncarl,\n")
    (tmp_path / "key.txt").write_text("a key")
    order = grading.Order("A6", folder, tmp_path / "marks.csv", key=tmp_path / "key.txt", gradebook=book)
    notes: list[str] = []
    rows = {row.student: row for row in grading.grade(order, notes.append)}
    assert {name: row.total for name, row in rows.items()} == {"ann": 37, "ben": 0, "carl": 0}, rows["ann"].reason
    assert rows["carl"].reason == "Nothing could be graded: x.pkl may be a pickle, which can run code."
    assert "3 of 3 have no points for the talk (--extra): their totals do not count yet" in notes
    assert (tmp_path / "book_a6.csv").read_text() == "student,A6\nann,\nben,\ncarl,\n"
    pages = {path.name: path.read_text(encoding="utf-8") for path in (tmp_path / "a6_rubric").iterdir()}
    assert set(pages) == {"ann.html", "ben.html", "carl.html"}
    assert "&lt;script&gt;alert" in pages["ben.html"]
    for text in pages.values():
        assert re.findall("<script|<img|href|src=", text) == []
        assert "talk: ____ of 5." in text
    form = tmp_path / "a6_points.csv"
    questions = assignments.load("A6").by_teacher
    assert form.read_text().splitlines() == [",".join(["student", *questions]), *(f"{n},,,,,,," for n in rows)]
    form.write_text(form.read_text().replace("ann,,,,,,,", "ann,2,4,3,4,3,2,5").replace("ben,,,,,,,", "ben,1,,,,,,0"))
    monkeypatch.setattr(grading, "run", lambda *_: pytest.fail("something was run again"))
    rows = {row.student: row for row in grading.grade(grading.dataclasses.replace(order, extra=form), notes.append)}
    assert (rows["ann"].total, rows["ben"].total) == (60, 1)
    assert (tmp_path / "book_a6.csv").read_text() == "student,A6\nann,60\nben,\ncarl,\n"
    assert "ann,2,4,3,4,3,2,5" in form.read_text()


def test_check_prints_a_line_for_each_check_and_the_count(capsys, monkeypatch):
    monkeypatch.chdir(ROOT / "course" / "student" / "a6")
    assert cli.main(["check", "A6"]) == 0
    *lines, last = capsys.readouterr().out.splitlines()
    assert len(lines) == 25
    assert "✗ data can be read and nothing is left out: The folder data is missing." in lines
    assert last == "0 of 25 public checks. The mark also counts hidden ones."
    assert cli.main(["check", "A6", "none"]) == 1
    assert "none is neither a folder nor a zip file" in capsys.readouterr().err
