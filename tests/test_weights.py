"""The weights that ship: whole, small, documented, and saying what they said when they were made."""

import hashlib
import json
import shlex
import sys
from pathlib import Path

import pytest

from companion import checkpoints, cli, photos

sys.path.insert(0, str(Path(__file__).parent / "golden"))
import make_captions

NAMES = ("scenes", "photos")
FOUR = ("astronaut", "chelsea", "coffee", "rocket")
GOOD = {"scenes": {"truth": 0.8, "pointing": 0.8}, "photos": {"bleu4": 0.15}}


def test_together_they_stay_under_twenty_megabytes():
    sizes = {file: file.stat().st_size for file in checkpoints.SHIPPED.rglob("*") if file.is_file()}
    assert {file.parent.name for file in sizes} == set(NAMES)
    assert sum(sizes.values()) < 20e6


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_holds_a_checkpoint_and_nothing_else(name):
    files = {file.name for file in (checkpoints.SHIPPED / name).iterdir()}
    assert files == {"weights.safetensors", "vocabulary.json", "card.json"}


@pytest.mark.parametrize("name", NAMES)
def test_the_card_says_how_the_weights_were_made_and_how_good_they_are(name):
    card = checkpoints.card(name)
    weights = (checkpoints.SHIPPED / name / "weights.safetensors").read_bytes()
    assert card["sha256"] == hashlib.sha256(weights).hexdigest()
    runs = card.get("joined", [card])
    calls = [cli.parser().parse_args(shlex.split(run["command"])[1:]) for run in runs]
    assert [(called.what, called.seed) for called in calls] == [(name, run["seed"]) for run in runs]
    if "joined" in card:
        called = cli.parser().parse_args(shlex.split(card["command"])[1:])
        assert called.folders == [one.out.name for one in calls]
    assert len(card["data"]["sha256"]) == 64
    assert card["data"]["examples"] > 1000
    assert card["minutes"] > 0
    assert all(card["metrics"][score] > least for score, least in GOOD[name].items())


@pytest.mark.parametrize("name", NAMES)
def test_they_load_by_name_from_any_folder(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    captioner = checkpoints.load(name)
    assert captioner.settings["data"] == name
    assert len(captioner.vocabulary) == checkpoints.card(name)["words"]


def test_four_photographs_get_four_different_sentences(capsys):
    paths = [str(photos.example(name)) for name in FOUR]
    assert cli.main(["caption", *paths]) == 0
    out, err = capsys.readouterr()
    sentences = [line.removeprefix(f"{path}: ") for path, line in zip(paths, out.splitlines(), strict=True)]
    assert err == ""
    assert len(set(sentences)) == 4
    assert all(len(sentence.split()) >= 4 for sentence in sentences)


@pytest.mark.parametrize("name", NAMES)
def test_they_say_what_they_said_when_they_were_made(name):
    """Greedy captions in golden/captions.json; `python tests/golden/make_captions.py` writes it for new weights."""
    golden = json.loads(make_captions.GOLDEN.read_text(encoding="utf-8"))[name]
    assert golden["sha256"] == checkpoints.card(name)["sha256"], "new weights: run tests/golden/make_captions.py"
    captioner, images = checkpoints.load(name), make_captions.pictures(name)
    assert len(golden["captions"]) >= 3
    said = {p: make_captions.evaluation.text(captioner.caption(images[p], beam=1)[0]) for p in golden["captions"]}
    assert said == golden["captions"]
    assert len(set(said.values())) > len(said) / 2
