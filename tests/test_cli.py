"""The command line: a line for every photograph, one line for every error, nothing written but where it was asked."""

import functools
import json
import os
import re
import shutil
import socket
import subprocess
import sys

import matplotlib
import numpy as np
import pytest
import torch
from PIL import Image

from companion import attention, checkpoints, cli, datasets, decoders, models, plots, scenes, tasks
from companion.models import build
from companion.vocabulary import SPECIALS, Vocabulary, detokenize
from tests.faults.injection import snapshot
from tests.processes import program_code

WORDS = Vocabulary([*SPECIALS, *"a dog cat man runs sits on the grass water 's".split()])
SCORES = {"bleu1", "bleu2", "bleu3", "bleu4", "rouge_l", "cider_d"}

RUN_OPTIONS = "--out --seed --resume --precision --devices --nodes --strategy"
OPTIONS = {  # of every command
    "caption": "--beam --json --csv --jsonl --coco --attention --checkpoint",
    "train scenes": f"--size --attention --decoder --encoder {RUN_OPTIONS}",
    "train photos": "--data --split-ratio --strict --language --init-from --reward-holdout --tags --text --pseudo "
    f"{RUN_OPTIONS}",
    "ensemble": "--data --strict --out",
    "evaluate scenes": "--split --checkpoint --beam --json",
    "evaluate photos": "--data --split-ratio --strict --language --split --checkpoint --beam --json --results",
    "data flickr8k": "--url --archive --out --size --sha256",
    "scenes": "--out --count --split --seed",
    "edit": "--word --do --out --threshold --checkpoint",
    "alt": "--out --review --json --checkpoint",
    "moderate": "--policy --queue --json --checkpoint",
    "check": "",
    "grade": "--out --key --salt --extra --feedback --gradebook --gradescope --without-fence",
    "sheet": "--roster --salt",
    "oral": "--key --without-fence",
    "info": "",
}
NEEDED = {  # what every command cannot be called without
    "caption": "PHOTO",
    "train scenes": "--out DIR",
    "train photos": "--data DIR --out DIR",
    "ensemble": "DIR DIR --data DIR --out DIR",
    "evaluate scenes": "",
    "evaluate photos": "--data DIR",
    "data flickr8k": "--url URL --out DIR",
    "scenes": "--out DIR --count 1",
    "edit": "PHOTO --word dog --do blur --out FILE",
    "alt": "FILE.md",
    "moderate": "FOLDER --policy FILE",
    "check": "A1",
    "grade": "A1 DIR --out FILE",
    "sheet": "A1 --roster FILE",
    "oral": "A1 FILE",
    "info": "",
}
ALL_OPTIONS = sorted({option for options in OPTIONS.values() for option in options.split()})


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    """A folder with two small models in place of those that ship: their weights are random."""
    folder = tmp_path_factory.mktemp("weights")
    for name, end_bias in (("photos", -1.0), ("scenes", -6.0)):  # no caption is empty
        torch.manual_seed(1)
        captioner = build(name, WORDS, "tiny")
        with torch.no_grad():
            for parameter in captioner.decoder.parameters():
                parameter.add_(torch.randn_like(parameter) * 0.2)
            captioner.decoder.output_proj.bias[Vocabulary.end] = end_bias
        checkpoints.save(captioner, folder / name, {"minutes": 0})
    return folder


@pytest.fixture(scope="module")
def photos_model(pretrained):
    return checkpoints.load(pretrained / "photos")


@pytest.fixture(scope="module")
def scenes_model(pretrained):
    return checkpoints.load(pretrained / "scenes")


@pytest.fixture
def shipped(pretrained, monkeypatch):
    """The models that ship are the small ones, loaded from their files by every command."""
    monkeypatch.setattr(checkpoints.io, "PRETRAINED", pretrained)
    return pretrained


@pytest.fixture
def loaded(shipped, photos_model, scenes_model, monkeypatch):
    """The models that ship are the small ones, loaded once for all tests."""
    models = {"photos": photos_model, "scenes": scenes_model}
    monkeypatch.setattr(checkpoints, "load", lambda name: models[name])
    return shipped


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """A folder of good photographs: landscape, portrait and square."""
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for name, size in (("wide.png", (1600, 900)), ("tall.jpg", (90, 160)), ("square.png", (50, 50))):
        pixels = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize(size).save(folder / name)
    return folder


@pytest.fixture(scope="module")
def expected(photos_model, pictures):
    """The caption of every photograph by beam search, as Python gives it, one photograph at a time."""
    return {
        path: photos_model.caption(datasets.load_image(path)[None], beam=5)[0] for path in sorted(pictures.iterdir())
    }


@pytest.fixture
def run(capsys):
    """Run a command; return its exit status, its lines on standard output, its lines on standard error."""

    def command(*arguments):
        capsys.readouterr()
        try:
            status = cli.main([str(argument) for argument in arguments])
        except SystemExit as stop:  # argparse
            status = stop.code
        out, err = capsys.readouterr()
        return status, out.splitlines(), err.splitlines()

    return command


# -- caption ----------------------------------------------------------------------------------------------------------


def test_a_photograph_gets_its_caption_and_several_get_a_line_each(run, loaded, expected):
    """What is printed is the caption that the captioner returns in Python."""
    lines = [f"{path}: {caption.text}" for path, caption in expected.items()]
    assert run("caption", *expected) == (0, lines, [])
    path, caption = next(iter(expected.items()))
    assert run("caption", path) == (0, [caption.text], [])


def test_the_beam_has_the_width_that_is_asked_for(run, loaded, photos_model, expected):
    path, beam = next(iter(expected.items()))
    greedy = photos_model.caption(datasets.load_image(path)[None], beam=1)[0]
    assert run("caption", "--beam", 1, path) == (0, [greedy.text], [])
    assert greedy.text != beam.text


def test_json_is_an_object_a_line_with_a_grid_of_attention_for_every_word(run, loaded, expected):
    status, lines, err = run("caption", "--json", *expected)
    assert (status, err, len(lines)) == (0, [], len(expected))
    for (path, caption), line in zip(expected.items(), lines, strict=True):
        record = json.loads(line)
        assert list(record) == ["image", "caption", "log_probability", "words", "attention"]
        assert record["image"] == str(path)
        assert record["words"] == list(caption.words)
        assert len(caption.words) > 0
        assert record["caption"] == caption.text
        assert record["log_probability"] == pytest.approx(caption.log_probability, abs=1e-4)
        weights = np.array(record["attention"])
        assert weights.shape == (len(caption.words), datasets.IMAGE_SIZE // 32, datasets.IMAGE_SIZE // 32)
        assert np.abs(weights.sum((1, 2)) - 1).max() < weights[0].size * 0.5e-5 + 1e-6
        assert np.allclose(weights, caption.weights.numpy(), atol=1e-5)


def test_it_works_from_another_folder_and_under_odd_names(run, loaded, pictures, tmp_path, monkeypatch):
    """Spaces, other scripts, a leading dash, a line break, a byte that is not UTF-8: one line each."""
    odd = ["a b.png", "naïve 犬.png", "-dash.png", "new\nline.png", "tab\t\x1b[31m.png", os.fsdecode(b"jos\xe9.png")]
    for name in odd:
        shutil.copy(pictures / "square.png", tmp_path / name)
    monkeypatch.chdir(tmp_path)
    status, lines, err = run("caption", "--checkpoint", "scenes", "--", *odd)
    assert (status, err) == (0, [])
    printable = ["a b", "naïve 犬", "-dash", "new\\nline", "tab\\t\\x1b[31m", "jos\\udce9"]
    assert [line.split(".png: ")[0] for line in lines] == printable
    assert len({line.split(".png: ")[1] for line in lines}) == 1  # all the same photograph
    status, lines, err = run("caption", "--checkpoint", "scenes", "--json", "--", *odd)
    assert (status, err, [json.loads(line)["image"] for line in lines]) == (0, [], odd)


def damaged(folder, good):
    """Write files that are not photographs; return a part of the expected reason for each name."""
    folder.mkdir(exist_ok=True)
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "half.png").write_bytes(good.read_bytes()[: good.stat().st_size // 2])
    (folder / "text.jpg").write_text("hello")
    (folder / "folder.png").mkdir()
    (folder / "new\nline.png").write_text("hello")
    big = bytearray(good.read_bytes())
    big[16:24] = (20_000).to_bytes(4, "big") + (10_000).to_bytes(4, "big")  # the size in the header
    (folder / "huge.png").write_bytes(big)
    reasons = {"folder.png": "in this folder", "empty.jpg": "empty", "half.png": "", "text.jpg": "not a picture"}
    return reasons | {"new\nline.png": "not a picture", "huge.png": "", "missing.jpg": "no such file"}


def test_bad_files_are_named_and_the_good_ones_still_captioned(run, loaded, pictures, tmp_path):
    reasons = damaged(tmp_path / "bad", pictures / "square.png")
    good = sorted(pictures.iterdir())
    mixed = [tmp_path / "bad" / name for name in reasons]
    mixed[1:1], mixed[4:4] = good[:1], good[1:]
    status, lines, err = run("caption", "--checkpoint", "scenes", *mixed)
    assert status == 1
    assert lines == run("caption", "--checkpoint", "scenes", *good)[1]
    assert err.pop().endswith("photographs are done")  # there was a folder
    assert len(err) == len(reasons)
    for line, (name, reason) in zip(err, reasons.items(), strict=True):
        assert line.startswith("companion: ")
        assert name.replace("\n", "\\n") in line
        assert reason in line


def test_if_no_photograph_is_good_there_is_no_output_and_no_filmstrip(run, loaded, tmp_path):
    status, lines, err = run("caption", tmp_path / "none.png", "--attention", tmp_path / "out.png")
    assert (status, lines, len(err)) == (1, [], 1)
    assert snapshot(tmp_path) == {}


@pytest.mark.parametrize("beam", ["0", "-1", "1.5", "many", "9" * 30, ""])
def test_a_beam_that_is_no_whole_number_from_one_is_a_wrong_call(run, beam):
    status, lines, err = run("caption", "photo.png", f"--beam={beam}")
    assert (status, lines, len(err)) == (2, [], 1)
    assert "--beam" in err[0]
    assert "is not a whole number from 1" in err[0]


def test_an_unknown_or_damaged_checkpoint_is_refused_in_one_line(run, pretrained, pictures, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(pretrained / "photos", copy)
    (copy / "weights.safetensors").write_bytes(b"no weights")
    for folder, name in ((tmp_path / "nowhere", "card.json"), (copy, "weights.safetensors"), (pictures, "card.json")):
        status, lines, err = run("caption", pictures / "square.png", "--checkpoint", folder)
        assert (status, lines, len(err)) == (1, [], 1)
        assert str(folder) in err[0]
        assert name in err[0]


def test_a_model_of_scenes_captions_a_scene_at_the_size_that_it_knows(run, loaded, scenes_model, tmp_path):
    """The caption is that of the drawing itself, over a grid of 8 by 8."""
    scene = scenes.sample_scene(0)
    Image.fromarray(scene.image).save(tmp_path / "scene.png")
    _, lines, _ = run("caption", tmp_path / "scene.png", "--checkpoint", "scenes", "--json", "--beam", 1)
    record = json.loads(lines[0])
    assert record["words"] == list(tasks.scenes.caption(scenes_model, [scene], beam=1)[0].words) != []
    assert np.array(record["attention"]).shape[1:] == (8, 8)


# -- the filmstrip ----------------------------------------------------------------------------------------------------


def test_the_filmstrip_shows_every_photograph_once_for_every_word_in_its_own_proportions(
    run, loaded, pictures, tmp_path, monkeypatch
):
    """The first frame is the photograph, each other one has a word's map over it; 16 to 9 stays 16 to 9."""
    calls, filmstrips = [], plots.filmstrips
    monkeypatch.setattr(plots, "filmstrips", lambda strips: calls.append((strips, filmstrips(strips))) or calls[-1][1])
    paths = [pictures / "wide.png", pictures / "tall.jpg"]
    options = ["--checkpoint", "scenes", "--attention", tmp_path / "out.png"]  # that of photographs has tags, too
    status, lines, err = run("caption", *options, *paths)
    assert (status, len(lines), err) == (0, 2, [])
    [(strips, axes)] = calls
    frames = iter([ax for ax in axes.flat if ax.images])
    for path, line, (_, words, maps), ratio in zip(paths, lines, strips, (16 / 9, 9 / 16), strict=True):
        assert line == f"{path}: {detokenize(words)}"
        photograph = next(frames).images[0].get_array()
        for word, weights in zip(words, maps, strict=True):
            frame = next(frames)
            height, width, _ = frame.images[0].get_array().shape
            assert width / height == pytest.approx(ratio, rel=0.01)
            assert frame.get_aspect() in (1, "equal")  # pixels stay square
            assert frame.get_title() == word
            assert np.array_equal(frame.images[0].get_array(), plots.overlay(photograph, weights))
    assert next(frames, None) is None


def test_the_filmstrip_is_an_opaque_png(run, loaded, pictures, tmp_path):
    arguments = ["--checkpoint", "scenes", "--json", "--attention", tmp_path / "out.png"]
    assert run("caption", *arguments, pictures / "square.png")[0] == 0
    assert set(snapshot(tmp_path)) == {"out.png"}
    with Image.open(tmp_path / "out.png") as image:
        assert image.format == "PNG"
        pixels = np.asarray(image.convert("RGBA"))
    assert pixels[..., 3].min() == 255
    assert len(np.unique(pixels.reshape(-1, 4), axis=0)) > 100


def test_a_filmstrip_with_nowhere_to_go_is_refused_before_any_work(run, loaded, pictures, tmp_path):
    """A photograph is never overwritten by its own filmstrip."""
    photograph = tmp_path / "square.png"
    shutil.copy(pictures / "square.png", photograph)
    (tmp_path / "folder.png").mkdir()
    before = snapshot(tmp_path)
    places = {
        tmp_path / "nowhere" / "out.png": "no folder",
        tmp_path / "folder.png": "not the name of a PNG file",
        tmp_path / "out.jpg": "not the name of a PNG file",
        tmp_path / "folder.png" / ".." / "square.png": "one of the photographs",
    }
    for place, reason in places.items():
        status, lines, err = run("caption", photograph, "--attention", place)
        assert (status, lines, len(err)) == (1, [], 1)
        assert str(place) in err[0]
        assert reason in err[0]
    assert snapshot(tmp_path) == before


# -- train ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def called(monkeypatch):
    """Replace both training recipes; return what they are called with: task, folders, options."""
    calls = []

    def record(task, *folders, fabric, **options):
        calls.append((task, folders, options | {"precision": fabric.strategy.precision.precision}))

    for task in ("scenes", "photos"):
        monkeypatch.setattr(getattr(tasks, task), "train", functools.partial(record, task))
    return calls


def test_train_passes_its_options_to_the_recipe(run, called, tmp_path):
    out = tmp_path / "new" / "run"
    assert run("train", "scenes", "--out", out, "--seed", 7, "--size", "tiny") == (0, [f"saved in {out}"], [])
    run("train", "scenes", "--out", tmp_path / "b", "--attention", "multi_head", "--decoder", "transformer")
    run("train", "scenes", "--out", tmp_path / "patches", "--encoder", "patches")
    run("train", "photos", "--data", tmp_path, "--out", tmp_path / "c", "--resume", "--precision", "bf16-mixed")
    run("train", "photos", "--data", tmp_path, "--out", tmp_path / "d", "--reward-holdout", "--init-from", "photos")
    streams = ("--tags", "--text", tmp_path / "t.txt", "--pseudo", tmp_path / "p")
    run("train", "photos", "--data", tmp_path, "--out", tmp_path / "e", *streams)
    scenes_options = {"seed": 0, "size": "base", "resume": False, "precision": "32-true"}
    photos_options = {"seed": 0, "resume": False, "init_from": None, "reward_holdout": False, "precision": "32-true"}
    photos_options |= {"split_ratio": None, "language": None, "strict": False}
    photos_options |= {"tags": False, "text": None, "pseudo": None}
    assert called == [
        ("scenes", (out,), scenes_options | {"seed": 7, "size": "tiny"}),
        ("scenes", (tmp_path / "b",), scenes_options | {"attention": "multi_head", "decoder": "transformer"}),
        ("scenes", (tmp_path / "patches",), scenes_options | {"encoder": "patches"}),
        ("photos", (tmp_path, tmp_path / "c"), photos_options | {"resume": True, "precision": "bf16-mixed"}),
        ("photos", (tmp_path, tmp_path / "d"), photos_options | {"reward_holdout": True, "init_from": "photos"}),
        (
            "photos",
            (tmp_path, tmp_path / "e"),
            photos_options | {"tags": True, "text": tmp_path / "t.txt", "pseudo": tmp_path / "p"},
        ),
    ]
    status, lines, err = run("train", "photos", "--data", tmp_path, "--out", tmp_path / "f", *streams[1:])
    assert (status, lines, len(err), len(called)) == (2, [], 1, 6)
    assert "add --tags" in err[0]
    assert out.is_dir()


@pytest.mark.parametrize(
    ("option", "registry"),
    [("--attention", attention.MECHANISMS), ("--decoder", decoders.DECODERS), ("--encoder", models.ENCODERS)],
)
def test_an_unknown_part_is_a_wrong_call_and_a_registered_one_is_not(
    run, called, option, registry, tmp_path, monkeypatch
):
    status, lines, err = run("train", "scenes", "--out", tmp_path / "out", option, "telepathy")
    assert (status, lines, len(err), called) == (2, [], 1, [])
    assert "'telepathy'" in err[0]
    assert ", ".join(registry) in err[0]
    assert snapshot(tmp_path) == {}
    monkeypatch.setitem(registry, "telepathy", next(iter(registry.values())))
    assert run("train", "scenes", "--out", tmp_path / "out", option, "telepathy")[0] == 0
    assert called[0][2][option.removeprefix("--")] == "telepathy"


@pytest.mark.parametrize("decoder", decoders.DECODERS)
@pytest.mark.parametrize("mechanism", attention.MECHANISMS)
def test_an_attention_that_the_decoder_does_not_have_is_a_wrong_call(run, called, mechanism, decoder, tmp_path):
    """It is refused before the output folder is made, and so before anything is drawn or trained."""
    arguments = ["train", "scenes", "--out", tmp_path / "out", "--attention", mechanism, "--decoder", decoder]
    status, _, err = run(*arguments)
    if mechanism in decoders.DECODERS[decoder].mechanisms:
        assert (status, err, len(called)) == (0, [], 1)
    else:
        assert (status, len(err), called) == (2, 1, [])
        assert err[0].startswith("companion train scenes: ")
        assert f"the decoder {decoder!r}" in err[0]
        assert ", ".join(decoders.DECODERS[decoder].mechanisms) in err[0]
        assert snapshot(tmp_path) == {}


@pytest.mark.parametrize("resume", [[], ["--resume"]])
@pytest.mark.parametrize("arguments", [["train", "scenes"], ["train", "photos", "--data", "."]])
def test_a_folder_that_holds_something_else_is_refused_and_untouched(run, called, arguments, resume, tmp_path):
    for name in ("thesis.doc", "training.safetensors"):
        (tmp_path / name).write_text("precious")
    before = snapshot(tmp_path)
    status, lines, err = run(*arguments, "--out", tmp_path, *resume)
    assert (status, lines, len(err), called) == (1, [], 1, [])
    assert f"{tmp_path}: holds thesis.doc already" in err[0]
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize(
    "arguments", [["train", "scenes"], ["scenes", "--count", "1"], ["ensemble", "one", "two", "--data", "."]]
)
def test_a_file_is_no_folder(run, called, arguments, tmp_path):
    (tmp_path / "file").write_text("precious")
    status, lines, err = run(*arguments, "--out", tmp_path / "file")
    assert (status, lines, len(err), called) == (1, [], 1, [])
    assert "is not a folder" in err[0]
    assert snapshot(tmp_path) == {"file": b"precious"}


def test_resuming_takes_a_folder_with_all_that_a_run_writes_even_one_that_was_killed(run, called, tmp_path):
    names = [*tasks.run.RUN_FILES, ".train.npy.unfinished", ".training.safetensors.k3x_9a"]
    for name in names:
        (tmp_path / name).write_text("part of a run")
    assert run("train", "scenes", "--out", tmp_path)[0] == 1
    assert called == []
    assert run("train", "scenes", "--out", tmp_path, "--resume")[0] == 0
    assert len(called) == 1
    assert set(snapshot(tmp_path)) == set(names)


@pytest.mark.parametrize("arguments", [["train", "photos", "--out", "out"], ["evaluate", "photos"]])
def test_photographs_need_data_and_nothing_is_made_without(run, called, arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, lines, err = run(*arguments)
    assert (status, lines, len(err), called) == (2, [], 1, [])
    assert "--data" in err[0]
    assert snapshot(tmp_path) == {}


@pytest.mark.parametrize("data", ["nowhere", "empty"])
def test_data_that_cannot_be_read_is_named(run, loaded, data, tmp_path):
    (tmp_path / "empty").mkdir()
    for arguments in (["train", "photos", "--out", tmp_path / "out"], ["evaluate", "photos"]):
        status, lines, err = run(*arguments, "--data", tmp_path / data)
        assert (status, lines, len(err)) == (1, [], 1)
        assert str(tmp_path / data) in err[0]


@pytest.mark.parametrize("seed", ["-1", "x", "1e3", "9" * 30])
@pytest.mark.parametrize(
    "arguments", [["train", "scenes"], ["train", "photos", "--data", "."], ["scenes", "--count", "1"]]
)
def test_a_seed_that_is_no_whole_number_is_a_wrong_call(run, called, arguments, seed, tmp_path):
    status, lines, err = run(*arguments, "--out", tmp_path / "out", f"--seed={seed}")
    assert (status, lines, len(err), called) == (2, [], 1, [])
    assert "--seed" in err[0]
    assert snapshot(tmp_path) == {}


# -- evaluate ---------------------------------------------------------------------------------------------------------


def test_scores_of_photographs_are_printed_under_the_agreed_names(run, loaded, photos_model, pictures, tmp_path):
    folder = tmp_path / "data"
    shutil.copytree(pictures, folder)
    lines = [f"{file.name},a {file.stem} picture,val" for file in sorted(pictures.iterdir())]
    (folder / "captions.csv").write_text("\n".join(["image,caption,split", *lines, "no line at all"]))
    status, lines, err = run("evaluate", "photos", "--data", folder, "--json", "--beam", 2)
    assert (status, len(lines)) == (0, 1)
    assert any("captions.csv:5" in line for line in err)  # the issue in the data is named
    scores = json.loads(lines[0])
    assert scores.keys() == SCORES | {"right_noun", "noun_precision"}
    assert scores == tasks.photos.evaluate(photos_model, folder, "dev", beam=2)
    plain = run("evaluate", "photos", "--data", folder, "--beam", 2)[1]
    assert plain == [f"{name:20} {value:.4f}" for name, value in scores.items()]
    status, lines, err = run("evaluate", "photos", "--data", folder, "--split", "spring")
    assert (status, lines) == (1, [])
    assert "spring" in err[-1]


def test_scores_of_scenes_are_printed_under_the_agreed_names(run, loaded, scenes_model, monkeypatch):
    few = functools.partial(tasks.scenes.evaluate, count=4)
    monkeypatch.setattr(tasks.scenes, "evaluate", few)
    status, lines, err = run("evaluate", "scenes", "--json")
    assert (status, len(lines), err) == (0, 1, [])
    assert json.loads(lines[0]) == few(scenes_model, "test")
    of_scenes = {
        "truth", "exact", "pointing", "compositional_truth", "forced_choice", "reference_loss",
        "truth_directional", "truth_left_of", "truth_right_of", "truth_above", "truth_below",
        "states_relation", "states_size", "states_number",
        "distinct_openings", "words_used", "distinct_of_five", "true_of_five",
    }  # fmt: skip
    assert json.loads(lines[0]).keys() == SCORES | of_scenes
    assert run("evaluate", "scenes", "--split", "spring")[::2] == (
        1, ["companion: there is no split called 'spring'; choose one of train, validation, test, compositional"]
    )  # fmt: skip


@pytest.mark.parametrize(("task", "other"), [("scenes", "photos"), ("photos", "scenes")])
def test_a_model_is_scored_on_the_task_that_it_was_trained_on(run, shipped, task, other, tmp_path):
    data = ["--data", tmp_path] if task == "photos" else []
    status, lines, err = run("evaluate", task, "--checkpoint", shipped / other, *data)
    assert (status, lines) == (1, [])
    assert err == [f"companion: {shipped / other}: was trained on {other}, not on {task}"]


# -- scenes, info, and the call itself --------------------------------------------------------------------------------


def test_scenes_are_written_as_a_data_set_that_is_read_without_an_issue(run, tmp_path):
    out = tmp_path / "new" / "scenes"
    status, lines, _ = run("scenes", "--out", out, "--count", 3, "--split", "test", "--seed", 2)
    assert (status, lines) == (0, [f"3 scenes in {out}"])
    dataset = datasets.read(out)
    assert dataset.issues == []
    captions = [tuple(r.text for r in scene.captions) for scene in scenes.make_dataset("test", 3, seed=2)]
    assert [example.captions for example in datasets.get_split(dataset, "test")] == captions
    before = snapshot(out)
    status, lines, err = run("scenes", "--out", out, "--count", 3)
    assert (status, lines, len(err)) == (1, [], 1)
    assert snapshot(out) == before


def test_info_names_versions_weights_mechanisms_decoders_encoders_and_devices(run, shipped):
    status, lines, err = run("info")
    assert (status, err) == (0, [])
    text = "\n".join(lines)
    for part in (torch.__version__, "weights scenes", "weights photos", f"{len(WORDS)} words", "devices: cpu"):
        assert part in text
    for name in ("scenes", "photos"):
        assert checkpoints.card(name)["sha256"][:12] in text
    assert f"attention: {', '.join(attention.MECHANISMS)}" in lines
    assert f"decoders: {', '.join(decoders.DECODERS)}" in lines
    assert f"encoders: {', '.join(models.ENCODERS)}" in lines


def test_an_interruption_is_one_line(run, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoints, "load", interrupt)
    assert run("caption", "photo.png") == (1, [], ["companion: interrupted"])


@pytest.mark.parametrize("command", OPTIONS)
def test_a_command_has_its_options_and_no_others(run, command):
    status, lines, err = run(*command.split(), "--help")
    assert (status, err) == (0, [])
    assert set(re.findall(r"--[a-z0-9-]+", "\n".join(lines))) == {"--help", *OPTIONS[command].split()}


@pytest.mark.parametrize(
    ("command", "option"),
    [
        (command, option)
        for command, own in OPTIONS.items()
        for option in ALL_OPTIONS
        if not any(known.startswith(option) for known in own.split())  # `--split` may stand for `--split-ratio`
    ],
)
def test_an_option_that_a_command_does_not_have_is_refused_in_one_line(run, command, option, tmp_path, monkeypatch):
    """Nothing is started and nothing written, whether or not the rest of the call is right."""
    monkeypatch.chdir(tmp_path)
    for rest in ([], NEEDED[command].split()):
        for given in ([option, "1"], [f"{option}=1"], [option]):
            status, lines, err = run(*command.split(), *rest, *given)
            assert (status, lines) == (2, [])
            expected = f"companion {command}: unrecognized arguments: {option} (see companion {command} --help)"
            assert err == [expected]
    assert snapshot(tmp_path) == {}


@pytest.mark.parametrize(
    ("call", "command", "reason"),
    [
        ("", "companion", "required: COMMAND"),
        ("paint", "companion", "invalid choice: 'paint'"),
        ("join one two --data x --out y", "companion", "invalid choice: 'join'"),
        ("caption", "companion caption", "required: PHOTO"),
        ("train", "companion train", "required: {scenes,photos}"),
        ("train songs --out x", "companion train", "invalid choice: 'songs'"),
        ("train --data=x scenes --out y", "companion train", "unrecognized arguments: --data=x"),
        ("train scenes", "companion train scenes", "required: --out"),
        ("train scenes photos --out x", "companion train scenes", "unrecognized arguments: photos"),
        ("train photos --begin photos --data x --out y", "companion train photos", "unrecognized arguments: --begin"),
        ("train scenes --size huge --out x", "companion train scenes", "invalid choice: 'huge'"),
        ("evaluate", "companion evaluate", "required: {scenes,photos}"),
        ("data", "companion data", "required: {flickr8k}"),
        ("data flickr8k --out x", "companion data flickr8k", "--url --archive is required"),
        ("scenes", "companion scenes", "required: --out, --count"),
        ("info now", "companion info", "unrecognized arguments: now"),
        ("info -v\x1b[31m", "companion info", "unrecognized arguments: -v\\x1b[31m"),
    ],
)
def test_a_wrong_call_is_one_line_that_says_what_is_wrong_and_where_help_is(
    run, called, call, command, reason, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    status, lines, err = run(*call.split())
    assert (status, lines, len(err), called) == (2, [], 1, [])
    assert err[0].startswith(f"{command}: ")
    assert reason in err[0]
    assert err[0].endswith(f"(see {command} --help)")
    assert snapshot(tmp_path) == {}


def test_after_two_dashes_everything_is_a_file(run, loaded, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, lines, err = run("caption", "--", "--data", "--json")
    assert (status, lines) == (1, [])
    assert [line.split(": ")[1] for line in err] == ["--data", "--json"]


def python(code, folder, **environment):
    """Run a program in a process of its own, in `folder`."""
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_help_and_wrong_calls_answer_at_once(tmp_path):
    """Neither PyTorch nor Matplotlib, nor even NumPy, is imported for them; every command is named."""
    code = """
import sys
from companion import cli
for call in ("--help", "train scenes --help", "train scenes --data X", "train photos --attention hard"):
    try:
        cli.main(call.split())
    except SystemExit as stop:
        assert stop.code == (0 if "--help" in call else 2), call
    heavy = {"torch", "matplotlib", "numpy", "PIL", "lightning_fabric"} & set(sys.modules)
    assert not heavy, (call, heavy)
"""
    done = python(code, tmp_path)
    assert done.returncode == 0, done.stderr
    assert all(name.split()[0] in done.stdout for name in OPTIONS)
    assert len(done.stderr.splitlines()) == 2


def test_no_command_uses_the_network_or_writes_anywhere_but_where_it_was_asked_to(pretrained, pictures, tmp_path):
    """With its own home, temporary and current folder, a process changes nothing but `out` in the last."""
    home, temporary, here = (tmp_path / name for name in ("home", "temporary", "here"))
    for folder in (home, temporary, here, here / "out"):
        folder.mkdir()
    photograph, member, album = str(pictures / "square.png"), str(pretrained / "photos"), here / "album"
    album.mkdir()
    shutil.copy(photograph, album)
    (album / "captions.csv").write_text("image,caption,split\nsquare.png,a dog,dev\n")
    before = snapshot(tmp_path), snapshot(pretrained), snapshot(pictures)
    commands = [
        ["info"],
        ["caption", photograph, "--attention", "out/strip.png"],
        ["scenes", "--out", "out/scenes", "--count", "2"],
        ["train", "scenes", "--size", "tiny", "--out", "out/run"],
        ["caption", photograph, "--checkpoint", "out/run"],
        ["ensemble", member, member, "--data", "album", "--out", "out/both"],
    ]
    code = program_code("without_network", json.dumps(commands), str(pretrained))
    own = {"HOME": str(home), "TMPDIR": str(temporary), "XDG_CACHE_HOME": "", "XDG_CONFIG_HOME": ""}
    # Matplotlib caches a list of the machine's fonts; it gets the present one, because making one takes long.
    done = python(code, here, MPLCONFIGDIR=matplotlib.get_cachedir(), **own)
    assert done.returncode == 0, done.stderr
    for name in ("strip.png", "scenes/captions.json", "run/weights.safetensors", "both/weights.safetensors"):
        assert (here / "out" / name).is_file()
    shutil.rmtree(here / "out")
    (here / "out").mkdir()
    assert (snapshot(tmp_path), snapshot(pretrained), snapshot(pictures)) == before


def test_a_closed_pipe_is_no_error(tmp_path):
    """As in `companion ... | head -0`: no traceback."""
    reader, writer = socket.socketpair()
    reader.close()
    command = [sys.executable, "-m", "companion.cli", "scenes", "--out", str(tmp_path / "out"), "--count", "1"]
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    done = subprocess.run(
        command, env=buffered, stdout=writer, stderr=subprocess.PIPE, text=True, timeout=300, check=False
    )
    writer.close()
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "Broken pipe" not in done.stderr


def test_a_terminal_that_cannot_show_a_letter_is_no_error(tmp_path):
    command = [sys.executable, "-m", "companion.cli", "scenes", "--out", str(tmp_path / "naïve 犬"), "--count", "1"]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0
    assert done.stdout == f"1 scenes in {tmp_path}/na\\xefve \\u72ac\n"
    assert (tmp_path / "naïve 犬" / "captions.json").is_file()
