"""COCO results, `[{"image_id", "caption"}]`: scored by `evaluate photos --results`, written by `caption --coco`."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from companion import checkpoints, cli, metrics
from companion.decoding import Caption
from companion.vocabulary import SPECIALS, Vocabulary
from tests.helpers import small_captioner

CAPTIONS = ["A dog runs.", "A cat sleeps on a red chair.", "Two men ride bikes."]
COCO_NAMES = [f"COCO_val2014_{number:012}.jpg" for number in (391895, 42, 7)]


@pytest.fixture
def run(capsys):
    """Run a command; return its status, its output, and the last line of its errors."""

    def command(*arguments):
        capsys.readouterr()
        try:
            status = cli.main([str(argument) for argument in arguments])
        except SystemExit as stop:
            status = stop.code
        out, err = capsys.readouterr()
        return status, out, (err.splitlines() or [""])[-1]

    return command


@pytest.fixture
def score(run, tmp_path):
    """Score results on the data set in the folder "data"; return the scores, or the line of the error."""

    def command(results, *options):
        path = tmp_path / "results.json"
        path.write_bytes(results if isinstance(results, bytes) else json.dumps(results).encode())
        status, out, err = run("evaluate", "photos", "--data", tmp_path / "data", "--results", path, "--json", *options)
        return json.loads(out) if status == 0 else err

    return command


def write_pictures(folder, names):
    folder.mkdir(parents=True)
    for i, name in enumerate(names):
        pixels = np.random.default_rng(i).integers(0, 256, (4, 4, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((40, 30)).save(folder / name)


def write_table(folder, names, split="dev"):
    """Write a data set in the CSV layout, whose last picture is in the split test."""
    write_pictures(folder, [*names, "other_9.jpg"])
    rows = [f"{name},{caption},{split}" for name, caption in zip(names, CAPTIONS, strict=True)]
    (folder / "captions.csv").write_text("\n".join(["image,caption,split", *rows, "other_9.jpg,A bird.,test"]))


def write_coco(folder, ids, names):
    """Write a data set in COCO's layout."""
    write_pictures(folder / "images", names)
    images = [{"id": i, "file_name": name} for i, name in zip(ids, names, strict=True)]
    annotations = [
        {"id": n, "image_id": i, "caption": text} for n, (i, text) in enumerate(zip(ids, CAPTIONS, strict=True))
    ]
    (folder / "captions_val.json").write_text(json.dumps({"images": images, "annotations": annotations}))


def results(ids, captions=CAPTIONS):
    return [{"image_id": i, "caption": text} for i, text in zip(ids, captions, strict=True)]


IDS = {
    "numbers in file names": (COCO_NAMES, [391895, 42, 7]),
    "numbers as text": (COCO_NAMES, ["391895", "42", "7"]),
    "numbers as pandas writes them": (COCO_NAMES, [391895.0, 42.0, 7.0]),
    "file names": (COCO_NAMES, COCO_NAMES),
    "paths": (COCO_NAMES, [f"val2014/{name}" for name in COCO_NAMES]),
    "paths of Windows": (COCO_NAMES, [f"val2014\\{name}" for name in COCO_NAMES]),
    "names without suffix": (["a.b.jpg", "c d.jpg", "犬.jpg"], ["a.b", "c d", "犬"]),
    "other suffixes": (["a.jpg", "b.jpg", "c.jpg"], ["a.png", "b.png", "c.png"]),
    "plain numbers": (["0.jpg", "1.jpg", "10.jpg"], [0, 1, 10]),
}


@pytest.mark.parametrize("kind", IDS)
def test_ids_of_every_kind_find_their_pictures(score, tmp_path, kind):
    names, ids = IDS[kind]
    write_table(tmp_path / "data", names)
    perfect = metrics.score(CAPTIONS, [[text] for text in CAPTIONS])
    assert score(results(ids)[::-1]) == pytest.approx(perfect | {"right_noun": 1.0, "noun_precision": 1.0})
    assert score(results([ids[1], ids[0], ids[2]]))["cider_d"] < perfect["cider_d"] / 2


def test_the_ids_in_the_json_of_the_data_set_come_before_numbers_in_names(score, tmp_path):
    """A picture is not taken for its neighbour where names are counted from zero and ids from one."""
    write_coco(tmp_path / "data", [1, 2, 3], ["0.jpg", "1.jpg", "2.jpg"])
    assert score(results([1, 2, 3]), "--split", "val")["bleu1"] == pytest.approx(1)
    assert "ids that name no picture of the data set, or several: 1 (the first is 0)" in score(results([0, 1, 2]))


def test_captions_of_other_splits_are_left_out(score, tmp_path):
    write_table(tmp_path / "data", COCO_NAMES)
    extra = [*results(COCO_NAMES), {"image_id": "other_9.jpg", "caption": "A bird."}]
    assert score(extra)["bleu1"] == pytest.approx(1)


def test_missing_double_and_unknown_ids_are_named_in_one_line(score, tmp_path):
    write_table(tmp_path / "data", COCO_NAMES)
    error = score(results([42, 42, 99]))
    assert f"without a caption: 2 (the first is {COCO_NAMES[0]!r})" in error
    assert f"with more than one: 1 (the first is {COCO_NAMES[1]!r})" in error
    assert "ids that name no picture of the data set, or several: 1 (the first is 99)" in error
    assert "the split 'dev' of" in error


WRONG = {
    "no JSON": (b"image_id,caption\n", "not complete JSON"),
    "cut off": (b'[{"image_id": 1, "caption": "a', "not complete JSON"),
    "an object": ({"images": []}, 'a list of {"image_id": ..., "caption": "..."} was expected'),
    "an empty list": ([], "was expected, not []"),
    "a list of captions": (["a dog"], "results.json[0]"),
    "no id": ([{"caption": "a dog"}], "results.json[0]"),
    "a truth value as id": ([{"image_id": True, "caption": "a dog"}], "results.json[0]"),
    "NaN, from pandas": (b'[{"image_id": 42, "caption": NaN}]', "results.json[0]"),
    "a list as caption": ([*results(COCO_NAMES), {"image_id": 1, "caption": ["a dog"]}], "results.json[3]"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_file_of_something_else_is_one_line(score, tmp_path, kind):
    write_table(tmp_path / "data", COCO_NAMES)
    content, reason = WRONG[kind]
    error = score(content)
    assert error.startswith("companion: ")
    assert "results.json" in error
    assert reason in error


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_other_encodings_of_unicode_are_read(score, tmp_path, encoding):
    write_table(tmp_path / "data", COCO_NAMES)
    assert score(json.dumps(results(COCO_NAMES)).encode(encoding))["bleu1"] == pytest.approx(1)


def test_results_and_a_model_are_a_wrong_call(run, tmp_path):
    status, _, err = run("evaluate", "photos", "--data", tmp_path, "--results", "x.json", "--checkpoint", "mine")
    assert status == 2
    assert "leave --checkpoint and --beam away" in err


@pytest.fixture
def captioner(monkeypatch):
    """The model that ships is one that gives every picture a caption of its own, in no time."""
    captioner = small_captioner(Vocabulary(list(SPECIALS)))

    def caption(images, beam):
        weights = torch.full((2, 2, 2), 0.25)
        return [Caption(("dog", str(int(image.float().mean()))), 0.0, weights) for image in images]

    monkeypatch.setattr(captioner, "caption", caption)
    monkeypatch.setattr(checkpoints, "load", lambda name: captioner)


WRITTEN = {
    "twelve digits": (COCO_NAMES, [7, 42, 391895]),
    "other names": (["b_1.jpg", "a.jpg", "1.jpg"], ["1.jpg", "a.jpg", "b_1.jpg"]),
    "the same number twice": ([f"{x}_000000000001.jpg" for x in "abc"], [f"{x}_000000000001.jpg" for x in "abc"]),
}


@pytest.mark.parametrize("kind", WRITTEN)
def test_caption_writes_what_evaluate_reads(run, score, tmp_path, captioner, kind):
    names, ids = WRITTEN[kind]
    write_table(tmp_path / "data", names)
    (tmp_path / "data" / "other_9.jpg").rename(tmp_path / "other_9.jpg")  # in no split any more
    status, out, _ = run("caption", tmp_path / "data", "--coco", tmp_path / "out.json")
    assert (status, out) == (0, "")
    written = json.loads((tmp_path / "out.json").read_bytes())
    assert [entry["image_id"] for entry in written] == ids
    nouns = {"right_noun", "noun_precision"}
    assert score(written).keys() == {"bleu1", "bleu2", "bleu3", "bleu4", "rouge_l", "cider_d"} | nouns


def test_a_picture_that_cannot_be_read_is_left_out_and_one_that_was_done_before_is_not(run, tmp_path, captioner):
    write_pictures(tmp_path / "p", ["a.jpg", "b.jpg"])
    (tmp_path / "p" / "bad.jpg").write_text("no picture")
    (tmp_path / "out.csv").write_text(f"image,caption\n{tmp_path}/p/b.jpg,before\n")
    outputs = ["--csv", tmp_path / "out.csv", "--coco", tmp_path / "out.json"]
    assert run("caption", tmp_path / "p", *outputs)[0] == 1
    written = {entry["image_id"]: entry["caption"] for entry in json.loads((tmp_path / "out.json").read_bytes())}
    assert written.keys() == {"a.jpg", "b.jpg"}
    assert written["b.jpg"] == "before"


@pytest.mark.parametrize("place", ["nowhere/out.json", "p", "p/a.jpg"])
def test_a_place_where_nothing_can_be_written_is_refused_before_any_work(run, tmp_path, monkeypatch, place):
    monkeypatch.chdir(tmp_path)
    write_pictures(tmp_path / "p", ["a.jpg"])
    before = (tmp_path / "p" / "a.jpg").read_bytes()
    status, out, err = run("caption", "p", "--coco", place)
    assert (status, out) == (1, "")
    assert place in err
    assert (tmp_path / "p" / "a.jpg").read_bytes() == before
