"""A folder that names no split gets one that stays the same, and nothing is measured on what was trained."""

import json
import shutil
from pathlib import Path

import pytest

from companion import checkpoints, cli, tasks
from companion.training import TrainConfig
from tests.cases.pictures import write_pictures


def album(folder: Path, names: list[str], splits: list[str] | None = None) -> Path:
    """Write another picture for each name, and a table with or without splits, into a folder, and return it."""
    write_pictures(folder, names)
    return table(folder, names, splits)


def table(folder: Path, names: list[str], splits: list[str] | None = None) -> Path:
    rows = [f"{name},a dog {i}" for i, name in enumerate(names)]
    if splits:
        rows = [f"{row},{split}" for row, split in zip(rows, splits, strict=True)]
    header = "image,caption,split" if splits else "image,caption"
    (folder / "captions.csv").write_text("\n".join([header, *rows]), encoding="utf-8")
    return folder


def numbered(count: int) -> list[str]:
    return [f"{i}.png" for i in range(count)]


def names(run, split: str) -> set[str]:
    return {example.name for example in run.dataset.splits.get(split, [])}


def test_a_folder_without_splits_gets_them_and_one_line_says_so(tmp_path, evaluate):
    folder = album(tmp_path / "mine", numbered(30))
    run = evaluate(folder, split="dev")
    assert run.status == 0
    dev = names(run, "dev")
    assert run.err.splitlines() == [
        f"{folder}: there is no split 'dev'; of 30 pictures {len(dev)} as 'dev' were held out from training, chosen by "
        "their content (--split-ratio 0.9/0.1)"
    ]
    assert 1 <= len(dev) <= 8
    assert dev | names(run, "train") == set(numbered(30))
    assert not dev & names(run, "train")


def test_the_split_goes_by_content_alone(tmp_path, evaluate):
    """Neither the names nor the order nor the folder decide; and more pictures move none."""
    before = evaluate(album(tmp_path / "before", numbered(20)), "--split-ratio", "0.5/0.5", split="dev")
    after = write_pictures(tmp_path / "after", numbered(40))
    for i in range(20):
        (after / f"{i}.png").rename(after / f"renamed {i}.png")
    table(after, [*(f"{i}.png" for i in range(39, 19, -1)), *(f"renamed {i}.png" for i in range(20))])
    again = evaluate(after, "--split-ratio", "50/50", split="dev")
    for split in ("train", "dev"):
        assert {f"renamed {name}" for name in names(before, split)} <= names(again, split)


def test_copies_go_the_same_way(tmp_path, evaluate):
    folder = write_pictures(tmp_path / "a", numbered(10))
    for name in numbered(10):
        shutil.copy(folder / name, folder / f"copy of {name}")
    run = evaluate(
        table(folder, [*numbered(10), *(f"copy of {name}" for name in numbered(10))]), "--split-ratio", "1/1"
    )
    for split in ("train", "dev"):
        assert {name.removeprefix("copy of ") for name in names(run, split)} <= names(run, split)


def test_a_smaller_share_is_a_part_of_a_larger_one(tmp_path, evaluate):
    folder = album(tmp_path / "a", numbered(40))
    held_out = [names(evaluate(folder, "--split-ratio", ratio), "dev") for ratio in ("0.9/0.1", "0.7/0.3", "0.5/0.5")]
    assert held_out[0] < held_out[1] < held_out[2]


RATIOS = {  # option: pictures of 12 in train, dev and test, where the option says it exactly
    "0/1": (0, 12, 0),
    "0.98/0.01/0.01": (10, 1, 1),
    "0.0001/0.9999": (1, 11, 0),
    "1/98/1": (1, 10, 1),
}


@pytest.mark.parametrize("ratio", RATIOS)
def test_every_split_that_was_asked_for_gets_a_picture(tmp_path, evaluate, ratio):
    run = evaluate(album(tmp_path / "a", numbered(12)), "--split-ratio", ratio, split="dev")
    assert tuple(len(names(run, split)) for split in ("train", "dev", "test")) == RATIOS[ratio]


def test_dev_is_taken_from_the_training_pictures_alone(tmp_path, evaluate):
    splits = ["train"] * 9 + ["test"] * 3 + ["holdout"] * 3
    run = evaluate(album(tmp_path / "a", numbered(15), splits), "--split-ratio", "0.5/0.3/0.2", split="dev")
    assert names(run, "test") == {"9.png", "10.png", "11.png"}
    assert names(run, "holdout") == {"12.png", "13.png", "14.png"}
    assert names(run, "train") | names(run, "dev") == set(numbered(9))
    assert "of 9 pictures" in run.err


@pytest.mark.parametrize("name", ["dev", "val", "validation", "Valid"])
def test_splits_that_are_named_stay_as_they_are(tmp_path, evaluate, name):
    folder = album(tmp_path / "a", numbered(6), ["train"] * 5 + [name])
    run = evaluate(folder, split="dev")
    assert (names(run, "dev"), run.err) == ({"5.png"}, "")
    refused = evaluate(folder, "--split-ratio", "0.5/0.5", split="dev")
    assert refused.status == 1
    assert refused.err == f"companion: {folder}: has a split dev of its own; leave --split-ratio away\n"


def test_too_few_pictures_are_answered_in_one_line(tmp_path, evaluate):
    folder = album(tmp_path / "a", ["0.png"])
    shutil.copy(folder / "0.png", folder / "copy.png")
    run = evaluate(table(folder, ["0.png", "copy.png"]), split="dev")
    assert run.status == 1
    [line] = run.err.splitlines()
    assert "no split 'dev'; this data set has train; it takes two different pictures" in line
    assert evaluate(folder, split="train").status == 0


@pytest.mark.parametrize(
    "ratio", ["0.9", "1.0/-0.1", "a/b", "0/0", "0.9:0.1", "1/1/1/1", "", "nan/1", "inf/1", "9,0/1"]
)
@pytest.mark.parametrize("command", [["evaluate", "photos"], ["train", "photos", "--out", "run"]])
def test_a_ratio_that_is_none_is_refused_before_anything_starts(tmp_path, monkeypatch, capsys, ratio, command):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as refusal:
        cli.main([*command, "--data", ".", f"--split-ratio={ratio}"])
    assert refusal.value.code == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "is not the shares of train and dev, such as 0.9/0.1" in line
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> tuple[Path, Path]:
    """A data set without splits, and a checkpoint that was trained on it with a ratio of its own."""
    folder = tmp_path_factory.mktemp("trained")
    data = album(folder / "data", numbered(8))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tasks.photos, "PHOTOS", TrainConfig(epochs=1, lr=1e-3))
        patch.setattr(tasks.photos, "MIN_COUNT", 1)
        arguments = ["--data", str(data), "--out", str(folder / "run"), "--split-ratio", "3/2"]
        assert cli.main(["train", "photos", *arguments]) == 0
    return data, folder / "run"


def test_a_folder_without_splits_trains_and_the_card_says_how(trained):
    card = checkpoints.card(trained[1])
    assert card["train_config"]["split_ratio"] == "0.6/0.4"
    assert "--split-ratio 0.6/0.4" in card["command"]
    assert 0 < card["data"]["examples"] < 8
    assert card["data"]["measured"] == f"dev, {8 - card['data']['examples']} photographs"


def test_a_checkpoint_is_measured_on_what_it_was_not_trained_on(trained, capsys):
    """Without an option, `evaluate` holds out what `train` held out, and finds the scores of the card."""
    data, run = trained
    card = checkpoints.card(run)
    assert cli.main(["evaluate", "photos", "--data", str(data), "--checkpoint", str(run), "--json"]) == 0
    out, err = capsys.readouterr()
    assert f"of 8 pictures {8 - card['data']['examples']} as 'dev'" in err
    assert json.loads(out) == pytest.approx(card["metrics"] | card["nouns"], abs=1e-3)


COMMANDS = {
    "evaluate": ["evaluate", "photos", "--checkpoint", "RUN"],
    "train further": ["train", "photos", "--out", "NEW", "--init-from", "RUN"],
    "resume": ["train", "photos", "--out", "RUN", "--resume"],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_another_ratio_than_that_of_the_checkpoint_is_refused(trained, tmp_path, monkeypatch, capsys, command):
    data, run = trained
    shutil.copytree(run, tmp_path / "run")
    monkeypatch.setattr(tasks.photos, "PHOTOS", TrainConfig(epochs=1, lr=1e-3))
    monkeypatch.setattr(tasks.photos, "MIN_COUNT", 1)
    places = {"RUN": str(tmp_path / "run"), "NEW": str(tmp_path / "new")}
    arguments = [places.get(word, word) for word in COMMANDS[command]]
    assert cli.main([*arguments, "--data", str(data), "--split-ratio", "0.5/0.5"]) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert "0.6/0.4" in last
    assert "another run" in last or "trained with --split-ratio 0.6/0.4; with 0.5/0.5 it might be measured on" in last


def test_an_ensemble_is_measured_on_what_its_members_were_not_trained_on(trained, tmp_path, capsys):
    data, run = trained
    out = tmp_path / "both"
    assert cli.main(["ensemble", str(run), str(run), "--data", str(data), "--out", str(out)]) == 0
    assert "--split-ratio 0.6/0.4" in capsys.readouterr().err
    assert cli.main(["evaluate", "photos", "--data", str(data), "--checkpoint", str(out)]) == 0
    assert "--split-ratio 0.6/0.4" in capsys.readouterr().err
