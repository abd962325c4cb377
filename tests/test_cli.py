"""The command line: a line for every photograph, a line for everything that went wrong, nothing left lying about."""

import functools
import json
import os
import shutil
import socket
import subprocess
import sys

import matplotlib
import numpy as np
import pytest
import torch
from faults import run_of
from lightning_fabric import Fabric
from PIL import Image

from companion import checkpoints, cli, datasets, evaluation, mechanisms, photos, plots, recipes, scenes
from companion.captioner import build
from companion.vocabulary import SPECIALS, Vocabulary, detokenize

WORDS = Vocabulary([*SPECIALS, *"a dog cat man runs sits on the grass water 's".split()])
SCORES = {"bleu1", "bleu2", "bleu3", "bleu4", "rouge_l", "cider_d"}


@pytest.fixture(scope="session")
def ships(tmp_path_factory):
    """Two small models that have learnt nothing, in the place of those that ship."""
    folder = tmp_path_factory.mktemp("weights")
    for name in ("photos", "scenes"):
        torch.manual_seed(1)
        captioner = build(name, WORDS, "tiny")
        with torch.no_grad():
            for parameter in captioner.decoder.parameters():
                parameter.add_(torch.randn_like(parameter) * 0.2)
            captioner.decoder.words.bias[Vocabulary.end] = -6.0
        checkpoints.save(captioner, folder / name, {"minutes": 0})
    return folder


@pytest.fixture
def shipped(ships, monkeypatch):
    """The models that ship are the small ones."""
    monkeypatch.setattr(checkpoints, "SHIPPED", ships)
    return ships


@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    """A folder of good photographs, lying, standing and square."""
    folder = tmp_path_factory.mktemp("pictures")
    chance = np.random.default_rng(0)
    for name, size in (("wide.png", (1600, 900)), ("tall.jpg", (90, 160)), ("square.png", (50, 50))):
        pixels = chance.integers(0, 256, (4, 4, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize(size).save(folder / name)
    return folder


@pytest.fixture
def run(capsys):
    """Runs a command; gives its exit status, its lines on standard output, its lines on standard error."""

    def command(*arguments):
        capsys.readouterr()
        try:
            status = cli.main([str(argument) for argument in arguments])
        except SystemExit as stop:  # argparse
            status = stop.code
        out, err = capsys.readouterr()
        return status, out.splitlines(), err.splitlines()

    return command


def listing(folder):
    return {str(f.relative_to(folder)): f.read_bytes() if f.is_file() else None for f in sorted(folder.rglob("*"))}


# -- caption ----------------------------------------------------------------------------------------------------------


def test_a_photograph_gets_its_caption_and_several_get_a_line_each(run, shipped, pictures):
    """What is printed is what the captioner says in Python."""
    paths = sorted(pictures.iterdir())
    captioner = checkpoints.load("photos")
    said = [detokenize(captioner.caption(photos.load(path)[None], beam=5)[0].words) for path in paths]
    assert run("caption", paths[0]) == (0, said[:1], [])
    assert run("caption", *paths) == (0, [f"{path}: {line}" for path, line in zip(paths, said, strict=True)], [])
    greedy = [detokenize(captioner.caption(photos.load(path)[None], beam=1)[0].words) for path in paths]
    assert run("caption", "--beam", 1, *paths)[1] == [f"{p}: {line}" for p, line in zip(paths, greedy, strict=True)]
    assert greedy != said


def test_json_is_an_object_a_line_with_a_grid_of_attention_for_every_word(run, shipped, pictures):
    paths = sorted(pictures.iterdir())
    status, lines, err = run("caption", "--json", *paths)
    assert (status, err, len(lines)) == (0, [], len(paths))
    captioner = checkpoints.load("photos")
    for path, line in zip(paths, lines, strict=True):
        record = json.loads(line)
        assert list(record) == ["image", "caption", "log_probability", "words", "attention"]
        found = captioner.caption(photos.load(path)[None], beam=5)[0]
        assert record["image"] == str(path)
        assert record["words"] == list(found.words)
        assert len(found.words) > 0
        assert record["caption"] == detokenize(found.words)
        assert record["log_probability"] == pytest.approx(found.log_probability, abs=1e-4)
        attention = np.array(record["attention"])
        assert attention.shape == (len(found.words), photos.SIDE // 32, photos.SIDE // 32)
        assert np.abs(attention.sum((1, 2)) - 1).max() < attention[0].size * 0.5e-5 + 1e-6
        assert np.allclose(attention, found.weights.numpy(), atol=1e-5)


def test_it_works_from_another_folder_and_under_odd_names(run, shipped, pictures, tmp_path, monkeypatch):
    """Blanks, letters of other scripts, a dash in front, a line break, a byte that is no letter: a line each."""
    odd = ["a b.png", "naïve 犬.png", "-dash.png", "new\nline.png", "tab\t\x1b[31m.png", os.fsdecode(b"jos\xe9.png")]
    for name in odd:
        shutil.copy(pictures / "square.png", tmp_path / name)
    monkeypatch.chdir(tmp_path)
    status, lines, err = run("caption", "--", *odd)
    assert (status, err) == (0, [])
    shown = ["a b", "naïve 犬", "-dash", "new\\nline", "tab\\t\\x1b[31m", "jos\\udce9"]
    assert [line.split(".png: ")[0] for line in lines] == shown
    assert len({line.split(".png: ")[1] for line in lines}) == 1  # all the same photograph
    status, lines, err = run("caption", "--json", "--", *odd)
    assert (status, err, [json.loads(line)["image"] for line in lines]) == (0, [], odd)


def damaged(folder, good):
    """Files that are no photographs, by name, and a word of the reason that should be given."""
    folder.mkdir(exist_ok=True)
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "half.png").write_bytes(good.read_bytes()[: good.stat().st_size // 2])
    (folder / "text.jpg").write_text("hello")
    (folder / "folder.png").mkdir()
    (folder / "new\nline.png").write_text("hello")
    big = bytearray(good.read_bytes())
    big[16:24] = (20_000).to_bytes(4, "big") + (10_000).to_bytes(4, "big")  # what the header says
    (folder / "huge.png").write_bytes(big)
    reasons = {"empty.jpg": "empty", "half.png": "", "text.jpg": "not a picture", "folder.png": "folder"}
    return reasons | {"new\nline.png": "not a picture", "huge.png": "", "missing.jpg": "no such file"}


def test_bad_files_are_named_and_the_good_ones_still_captioned(run, shipped, pictures, tmp_path):
    reasons = damaged(tmp_path / "bad", pictures / "square.png")
    good = sorted(pictures.iterdir())
    mixed = [tmp_path / "bad" / name for name in reasons]
    mixed[1:1], mixed[4:4] = good[:1], good[1:]
    status, lines, err = run("caption", *mixed)
    assert status == 1
    assert lines == run("caption", *good)[1]
    assert len(err) == len(reasons)
    for line, (name, reason) in zip(err, reasons.items(), strict=True):
        assert line.startswith("companion: ")
        assert name.replace("\n", "\\n") in line
        assert reason in line


def test_if_no_photograph_is_good_there_is_no_output_and_no_filmstrip(run, shipped, tmp_path):
    status, lines, err = run("caption", tmp_path / "none.png", "--attention", tmp_path / "out.png")
    assert (status, lines, len(err)) == (1, [], 1)
    assert listing(tmp_path) == {}


@pytest.mark.parametrize("beam", ["0", "-1", "1.5", "many", "9" * 30, ""])
def test_a_beam_that_is_no_whole_number_from_one_is_a_wrong_call(run, beam, shipped, pictures):
    status, lines, err = run("caption", pictures / "square.png", f"--beam={beam}")
    assert (status, lines) == (2, [])
    assert "--beam" in err[-1]
    assert "is not a whole number from 1" in err[-1]


def test_an_unknown_or_damaged_checkpoint_is_refused_in_one_line(run, ships, pictures, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(ships / "photos", copy)
    (copy / "weights.safetensors").write_bytes(b"no weights")
    for folder, name in ((tmp_path / "nowhere", "card.json"), (copy, "weights.safetensors"), (pictures, "card.json")):
        status, lines, err = run("caption", pictures / "square.png", "--checkpoint", folder)
        assert (status, lines, len(err)) == (1, [], 1)
        assert str(folder) in err[0]
        assert name in err[0]


def test_a_model_of_scenes_captions_a_scene_at_the_size_that_it_knows(run, shipped, tmp_path):
    """The same caption as for the drawing itself, and a grid of 8 by 8."""
    scene = scenes.draw(0)
    Image.fromarray(scene.image).save(tmp_path / "scene.png")
    _, lines, _ = run("caption", tmp_path / "scene.png", "--checkpoint", "scenes", "--json", "--beam", 1)
    record = json.loads(lines[0])
    assert record["words"] == list(evaluation.caption_scenes(checkpoints.load("scenes"), [scene])[0].words)
    assert np.array(record["attention"]).shape[1:] == (8, 8)


# -- the filmstrip ----------------------------------------------------------------------------------------------------


def test_the_filmstrip_shows_every_photograph_once_for_every_word_in_its_own_proportions(
    run, shipped, pictures, tmp_path, monkeypatch
):
    """The first frame is the photograph, each other one the same, darker; 16 to 9 stays 16 to 9."""
    drawn, real = [], plots.filmstrips
    monkeypatch.setattr(plots, "filmstrips", lambda strips: drawn.append((strips, real(strips))) or drawn[-1][1])
    paths = [pictures / "wide.png", pictures / "tall.jpg"]
    status, lines, err = run("caption", "--attention", tmp_path / "out.png", *paths)
    assert (status, len(lines), err) == (0, 2, [])
    [(strips, axes)] = drawn
    frames = iter([ax for ax in axes.flat if ax.images])
    for path, line, (_, words, _), ratio in zip(paths, lines, strips, (16 / 9, 9 / 16), strict=True):
        assert line == f"{path}: {detokenize(words)}"
        photograph = next(frames)
        for word in words:
            frame = next(frames)
            height, width, _ = frame.images[0].get_array().shape
            assert width / height == pytest.approx(ratio, rel=0.01)
            assert frame.get_aspect() in (1, "equal")  # pixels stay square
            assert frame.get_title() == word
            bright = photograph.images[0].get_array().astype(int)
            assert (frame.images[0].get_array() <= bright).all()
    assert next(frames, None) is None


def test_the_filmstrip_is_an_opaque_png(run, shipped, pictures, tmp_path):
    assert run("caption", "--json", "--attention", tmp_path / "out.png", pictures / "square.png")[0] == 0
    assert set(listing(tmp_path)) == {"out.png"}
    with Image.open(tmp_path / "out.png") as image:
        assert image.format == "PNG"
        pixels = np.asarray(image.convert("RGBA"))
    assert pixels[..., 3].min() == 255
    assert len(np.unique(pixels.reshape(-1, 4), axis=0)) > 100


def test_a_filmstrip_with_nowhere_to_go_is_refused_before_any_work(run, shipped, pictures, tmp_path):
    """And a photograph is never overwritten by its own filmstrip."""
    photograph = tmp_path / "square.png"
    shutil.copy(pictures / "square.png", photograph)
    (tmp_path / "folder.png").mkdir()
    before = listing(tmp_path)
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
    assert listing(tmp_path) == before


# -- train ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def called(monkeypatch):
    """The recipes, replaced: what they were called with; of a Fabric, the precision."""
    calls = []

    def note(name, *given):
        calls.append((name, *(x.strategy.precision.precision if isinstance(x, Fabric) else x for x in given)))

    for name in ("train_scenes", "train_photos"):
        monkeypatch.setattr(recipes, name, functools.partial(note, name))
    return calls


def test_train_hands_its_options_to_the_recipe(run, called, tmp_path):
    out = tmp_path / "new" / "run"
    assert run("train", "scenes", "--out", out, "--seed", 7, "--size", "tiny") == (0, [f"saved in {out}"], [])
    run("train", "scenes", "--out", tmp_path / "c", "--attention", "hard", "--decoder", "transformer")
    run("train", "photos", "--data", tmp_path, "--out", tmp_path / "b", "--resume", "--precision", "bf16-mixed")
    run("train", "photos", "--data", tmp_path, "--out", tmp_path / "d", "--withhold")
    assert called == [
        ("train_scenes", out, 7, "tiny", False, "32-true", "coverage", "lstm"),
        ("train_scenes", tmp_path / "c", 0, "base", False, "32-true", "hard", "transformer"),
        ("train_photos", tmp_path, tmp_path / "b", 0, True, "bf16-mixed", None, False),
        ("train_photos", tmp_path, tmp_path / "d", 0, False, "32-true", None, True),
    ]
    assert out.is_dir()


def test_train_knows_the_mechanisms_of_the_package():
    assert tuple(mechanisms.MECHANISMS) == cli.ATTENTION


@pytest.mark.parametrize("resume", [[], ["--resume"]])
@pytest.mark.parametrize("arguments", [["train", "scenes"], ["train", "photos", "--data", "."]])
def test_a_folder_that_holds_something_else_is_refused_and_untouched(run, called, arguments, resume, tmp_path):
    for name in ("thesis.doc", "training.safetensors"):
        (tmp_path / name).write_text("precious")
    before = listing(tmp_path)
    status, lines, err = run(*arguments, "--out", tmp_path, *resume)
    assert (status, lines, len(err), called) == (1, [], 1, [])
    assert f"{tmp_path}: holds thesis.doc already" in err[0]
    assert listing(tmp_path) == before


def test_a_file_is_no_folder(run, called, tmp_path):
    (tmp_path / "file").write_text("precious")
    for arguments in (["train", "scenes"], ["scenes", "--count", "1"]):
        status, lines, err = run(*arguments, "--out", tmp_path / "file")
        assert (status, lines, len(err), called) == (1, [], 1, [])
    assert listing(tmp_path) == {"file": b"precious"}


def test_resuming_takes_a_folder_with_all_that_a_run_writes_even_one_that_was_killed(run, called, tmp_path):
    names = [*recipes.FILES, ".train.npy.unfinished", ".training.safetensors.k3x_9a"]
    for name in names:
        (tmp_path / name).write_text("part of a run")
    assert run("train", "scenes", "--out", tmp_path)[0] == 1
    assert called == []
    assert run("train", "scenes", "--out", tmp_path, "--resume")[0] == 0
    assert len(called) == 1
    assert set(listing(tmp_path)) == set(names)


def test_photographs_need_data_and_nothing_is_made_without(run, shipped, called, tmp_path):
    for arguments in (["train", "photos", "--out", tmp_path / "out"], ["evaluate", "photos"]):
        status, lines, err = run(*arguments)
        assert (status, lines, len(err), called) == (1, [], 1, [])
        assert "--data" in err[0]
    assert listing(tmp_path) == {}


@pytest.mark.parametrize("data", ["nowhere", "empty"])
def test_data_that_cannot_be_read_is_named(run, shipped, data, tmp_path):
    (tmp_path / "empty").mkdir()
    for arguments in (["train", "photos", "--out", tmp_path / "out"], ["evaluate", "photos"]):
        status, lines, err = run(*arguments, "--data", tmp_path / data)
        assert (status, lines, len(err)) == (1, [], 1)
        assert str(tmp_path / data) in err[0]


@pytest.mark.parametrize("seed", ["-1", "x", "1e3", "9" * 30])
@pytest.mark.parametrize("arguments", [["train", "scenes"], ["scenes", "--count", "1"]])
def test_a_seed_that_is_no_whole_number_is_a_wrong_call(run, called, arguments, seed, tmp_path):
    status, lines, err = run(*arguments, "--out", tmp_path / "out", f"--seed={seed}")
    assert (status, lines, called) == (2, [], [])
    assert "--seed" in err[-1]
    assert listing(tmp_path) == {}


# -- evaluate ---------------------------------------------------------------------------------------------------------


def test_scores_of_photographs_are_printed_under_the_agreed_names(run, shipped, pictures, tmp_path):
    folder = tmp_path / "data"
    shutil.copytree(pictures, folder)
    lines = [f"{file.name},a {file.stem} picture,val" for file in sorted(pictures.iterdir())]
    (folder / "captions.csv").write_text("\n".join(["image,caption,split", *lines, "no line at all"]))
    status, lines, err = run("evaluate", "photos", "--data", folder, "--json", "--beam", 2)
    assert (status, len(lines)) == (0, 1)
    assert any("captions.csv:5" in line for line in err)  # the fault in the data is named
    scores = json.loads(lines[0])
    assert scores.keys() == SCORES
    assert scores == evaluation.evaluate_photos(checkpoints.load("photos"), folder, "dev", beam=2)
    plain = run("evaluate", "photos", "--data", folder, "--beam", 2)[1]
    assert plain == [f"{name:20} {value:.4f}" for name, value in scores.items()]
    status, lines, err = run("evaluate", "photos", "--data", folder, "--split", "spring")
    assert (status, lines) == (1, [])
    assert "spring" in err[-1]


def test_scores_of_scenes_are_printed_under_the_agreed_names(run, shipped, monkeypatch):
    few = functools.partial(evaluation.evaluate_scenes, count=4)
    monkeypatch.setattr(evaluation, "evaluate_scenes", few)
    status, lines, err = run("evaluate", "scenes", "--json")
    assert (status, len(lines), err) == (0, 1, [])
    assert json.loads(lines[0]) == few(checkpoints.load("scenes"), "test", 5)
    assert json.loads(lines[0]).keys() == SCORES | {"truth", "exact", "related", "pointing", "compositional_truth"}
    assert run("evaluate", "scenes", "--split", "spring")[::2] == (
        1, ["companion: no split is called 'spring'; choose one of train, validation, test, compositional"]
    )  # fmt: skip


@pytest.mark.parametrize(("what", "other"), [("scenes", "photos"), ("photos", "scenes")])
def test_a_model_is_measured_on_what_it_was_trained_on(run, shipped, what, other, tmp_path):
    status, lines, err = run("evaluate", what, "--checkpoint", shipped / other, "--data", tmp_path)
    assert (status, lines) == (1, [])
    assert err == [f"companion: {shipped / other}: was trained on {other}, not on {what}"]


# -- scenes, info, and the call itself --------------------------------------------------------------------------------


def test_scenes_are_written_as_a_data_set_that_is_read_without_a_fault(run, tmp_path):
    out = tmp_path / "new" / "scenes"
    status, lines, _ = run("scenes", "--out", out, "--count", 3, "--split", "test", "--seed", 2)
    assert (status, lines) == (0, [f"3 scenes in {out}"])
    dataset = datasets.read(out)
    assert dataset.faults == []
    drawn = scenes.make("test", 3, seed=2)
    assert [e.captions for e in datasets.pick(dataset, "test")] == [tuple(r.text for r in s.captions) for s in drawn]
    before = listing(out)
    status, lines, err = run("scenes", "--out", out, "--count", 3)
    assert (status, lines, len(err)) == (1, [], 1)
    assert listing(out) == before


def test_info_names_versions_weights_and_devices(run, shipped):
    status, lines, err = run("info")
    assert (status, err) == (0, [])
    text = "\n".join(lines)
    for part in (torch.__version__, "weights scenes", "weights photos", f"{len(WORDS)} words", "devices: cpu"):
        assert part in text
    for name in ("scenes", "photos"):
        assert checkpoints.card(name)["sha256"][:12] in text


def test_an_interruption_is_one_line(run, shipped, pictures, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoints, "load", interrupt)
    assert run("caption", pictures / "square.png") == (1, [], ["companion: interrupted"])


@pytest.mark.parametrize("arguments", [[], ["paint"], ["caption"], ["train", "songs", "--out", "x"], ["scenes"]])
def test_a_wrong_call_says_how_to_call(run, arguments):
    status, lines, err = run(*arguments)
    assert (status, lines) == (2, [])
    assert err[0].startswith("usage: companion")


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


def test_help_answers_at_once(tmp_path):
    """Neither PyTorch nor Matplotlib, nor even NumPy, is imported for it; every command is named."""
    code = """
import sys
from companion import cli
try:
    cli.main(["--help"])
except SystemExit as stop:
    heavy = {"torch", "matplotlib", "numpy", "PIL", "lightning_fabric"} & set(sys.modules)
    sys.exit(f"imported {heavy}" if heavy else stop.code)
"""
    done = python(code, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert all(name in done.stdout for name in ("caption", "train", "evaluate", "scenes", "info"))


def test_no_command_uses_the_network_or_writes_anywhere_but_where_it_was_told_to(ships, pictures, tmp_path):
    """With a home, a temporary folder and a current folder of its own: only `out` in the last of them has changed."""
    home, temporary, here = (tmp_path / name for name in ("home", "temporary", "here"))
    for folder in (home, temporary, here, here / "out"):
        folder.mkdir()
    photograph, reader, album = str(pictures / "square.png"), str(ships / "photos"), here / "album"
    album.mkdir()
    shutil.copy(photograph, album)
    (album / "captions.csv").write_text("image,caption,split\nsquare.png,a dog,dev\n")
    before = listing(tmp_path), listing(ships), listing(pictures)
    commands = [
        ["info"],
        ["caption", photograph, "--attention", "out/strip.png"],
        ["scenes", "--out", "out/scenes", "--count", "2"],
        ["train", "scenes", "--size", "tiny", "--out", "out/run"],
        ["caption", photograph, "--checkpoint", "out/run"],
        ["join", reader, reader, "--data", "album", "--out", "out/both"],
    ]
    code = run_of("without_network", json.dumps(commands), str(ships))
    own = {"HOME": str(home), "TMPDIR": str(temporary), "XDG_CACHE_HOME": "", "XDG_CONFIG_HOME": ""}
    # Matplotlib keeps a list of the machine's fonts; it is shown the one that it has, for making one takes long.
    done = python(code, here, MPLCONFIGDIR=matplotlib.get_cachedir(), **own)
    assert done.returncode == 0, done.stderr
    for name in ("strip.png", "scenes/captions.json", "run/weights.safetensors", "both/weights.safetensors"):
        assert (here / "out" / name).is_file()
    shutil.rmtree(here / "out")
    (here / "out").mkdir()
    assert (listing(tmp_path), listing(ships), listing(pictures)) == before


def test_a_reader_who_has_enough_is_no_error(tmp_path):
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
