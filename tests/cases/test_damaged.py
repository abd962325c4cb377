"""Damaged pictures in a data set: each is named with its reason and left out, and the work goes on without it."""

import functools
import json
import os
import shutil
import struct
import subprocess
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from companion import checkpoints, cli, model_card, models, tasks
from companion.encoders import to_grid
from companion.training import TrainConfig
from tests.cases.pictures import draw, write_pictures
from tests.helpers import find_imagemagick

CONFIG = TrainConfig(epochs=2, lr=2e-3, batch_size=4, captions_per_image=2, rl_epochs=1)


def png(*chunks: tuple[bytes, bytes]) -> bytes:
    """Return a PNG of these chunks, with right checksums."""
    parts = [struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
             for kind, data in chunks]  # fmt: skip
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def header(width: int, height: int) -> tuple[bytes, bytes]:
    return b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)


def saved(kind: str, **options) -> bytes:
    """Return a photograph as the bytes of a file of this kind."""
    path = Path("saved")
    draw(99, (200, 150)).save(path, kind, **options)
    data = path.read_bytes()
    path.unlink()
    return data


def converted(suffix: str) -> bytes:
    """Return a photograph that ImageMagick wrote."""
    program = find_imagemagick()
    if program is None:
        pytest.skip("ImageMagick is not installed")
    path = Path("converted" + suffix)
    subprocess.run([program, "-size", "200x150", "plasma:", str(path)], check=True, capture_output=True)
    data = path.read_bytes()
    path.unlink()
    return data


def flipped(data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 0xFF]) + data[place + 1 :]


BYTES = {  # what stands in the file, and a part of the reason
    "truncated JPEG": (lambda: saved("JPEG")[:-2000], "truncated"),
    "truncated JPEG of ImageMagick": (lambda: converted(".jpg")[:-900], "truncated"),
    "progressive JPEG, cut in the header": (lambda: saved("JPEG", progressive=True)[:120], "it is"),
    "beginning lost": (lambda: saved("JPEG")[100:], "it is not a picture"),
    "nothing": (lambda: b"", "the file is empty"),
    "zeros, as after a crash": (lambda: bytes(5000), "it is not a picture"),
    "a text": (lambda: b"this is no picture\n" * 50, "it is not a picture"),
    "an error page": (lambda: b"<!DOCTYPE html><title>404 Not Found</title>", "it is a web page"),
    "SVG": (lambda: b'<svg xmlns="http://www.w3.org/2000/svg"/>', "in angle brackets"),
    "a pointer of Git LFS": (lambda: b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "not a picture"),
    "an archive": (lambda: b"PK\x03\x04" + bytes(100), "it is not a picture"),
    "HEIC": (lambda: b"\0\0\0\x18ftypheic" + bytes(100), "HEIC"),
    "bomb": (lambda: png(header(60_000, 60_000), (b"IDAT", zlib.compress(bytes(9))), (b"IEND", b"")), "million pixels"),
    "bomb below the limit of Pillow": (
        lambda: png(header(12_000, 10_000), (b"IDAT", zlib.compress(bytes(9))), (b"IEND", b"")), "12000"
    ),
    "PNG with a flipped bit in IDAT": (lambda: flipped(saved("PNG"), 2000), "it is damaged"),
    "PNG whose IDAT is not deflated": (
        lambda: png(header(9, 9), (b"IDAT", b"no stream"), (b"IEND", b"")), "it is damaged"
    ),
    "PNG without IDAT": (lambda: png(header(9, 9), (b"IEND", b"")), "it is"),
    "PNG of nothing": (lambda: png(header(0, 9), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")), "it is"),
    "truncated GIF": (lambda: saved("GIF")[:500], "it is"),
    "truncated WebP": (lambda: saved("WEBP")[:-500], "it is"),
    "truncated TIFF": (lambda: saved("TIFF")[:5000], "it is"),
    "truncated BMP": (lambda: saved("BMP")[:5000], "it is"),
}  # fmt: skip


def become_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def no_permission(path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("the superuser may read every file")
    path.chmod(0)


FILES = {  # what stands in the place of the file, and a part of the reason
    "missing": (lambda path: path.unlink(), "there is no picture '2.jpg'"),
    "a folder": (lambda path: (path.unlink(), path.mkdir()), "there is no picture '2.jpg'"),
    "a link to nothing": (lambda path: (path.unlink(), path.symlink_to("nothing")), "there is no picture '2.jpg'"),
    "a link to itself": (lambda path: (path.unlink(), path.symlink_to(path.name)), "there is no picture '2.jpg'"),
    "a pipe": (become_pipe, "there is no picture '2.jpg'"),
    "no permission": (no_permission, "Permission denied"),
}


def album(folder: Path, splits: list[str], *, named_splits: bool = True) -> Path:
    """Write a table and its photographs 0.jpg, 1.jpg, ...; each caption has a word of its own, written five times."""
    write_pictures(folder, [f"{i}.jpg" for i in range(len(splits))])
    lines = ["image,caption,split" if named_splits else "image,caption"]
    for i, split in enumerate(splits):
        for text in (f"a dog number{i} runs", f"number{i} and number{i} on the grass", f"the number{i} of number{i}"):
            lines.append(f"{i}.jpg,{text}" + f",{split}" * named_splits)
    (folder / "captions.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def remove(folder: Path, *numbers: int) -> None:
    """Take photographs out of an album, and their captions."""
    table = folder / "captions.csv"
    lines = table.read_text(encoding="utf-8").splitlines()
    for i in numbers:
        (folder / f"{i}.jpg").unlink()
        lines = [line for line in lines if not line.startswith(f"{i}.jpg,")]
    table.write_text("\n".join(lines) + "\n", encoding="utf-8")


# -- evaluate ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", BYTES)
def test_a_damaged_picture_is_named_counted_and_left_out(tmp_path, monkeypatch, evaluate, kind):
    monkeypatch.chdir(tmp_path)
    make, reason = BYTES[kind]
    data = make()
    folder = album(tmp_path / "data", ["dev"] * 4)
    (folder / "2.jpg").write_bytes(data)
    run = evaluate(folder, "--json", split="dev")
    assert run.status == 0, run.err
    [line, count] = [line for line in run.err.splitlines() if "left out" in line]
    assert line.startswith(f"{folder / '2.jpg'}: ")
    assert line.endswith("; left out")
    assert reason in line
    assert count == f"{folder}, split 'dev': 1 of 4 photographs cannot be read; left out"
    scores = json.loads(run.out)
    assert (scores.pop("photographs"), scores.pop("left_out")) == (3, 1)
    remove(folder, 2)
    assert json.loads(evaluate(folder, "--json", split="dev").out) == scores


@pytest.mark.parametrize("kind", FILES)
def test_what_stands_in_the_place_of_a_picture_is_named_and_left_out(tmp_path, evaluate, kind):
    folder = album(tmp_path / "data", ["dev"] * 4)
    damage, reason = FILES[kind]
    damage(folder / "2.jpg")
    run = evaluate(folder, split="dev")
    assert run.status == 0, run.err
    assert any("2.jpg" in line and reason in line and line.endswith("; left out") for line in run.err.splitlines())
    strict = evaluate(folder, "--strict", split="dev")
    assert (strict.status, strict.out) == (1, "")
    assert reason in strict.err.splitlines()[-1]


UNUSUAL = {
    "CMYK": lambda path: draw(2).convert("CMYK").save(path, "JPEG"),
    "animated GIF": lambda path: draw(2).save(path, "GIF", save_all=True, append_images=[draw(3)]),
    "animated WebP": lambda path: draw(2).save(path, "WEBP", save_all=True, append_images=[draw(3)]),
    "animated PNG": lambda path: draw(2).save(path, "PNG", save_all=True, append_images=[draw(3)]),
    "several pages": lambda path: draw(2).save(path, "TIFF", save_all=True, append_images=[draw(3)]),
    "16 bits": lambda path: Image.fromarray(np.asarray(draw(2).convert("L"), dtype=np.uint16) * 257).save(path, "PNG"),
    "grey and transparent": lambda path: draw(2).convert("LA").save(path, "PNG"),
    "one pixel": lambda path: draw(2).resize((1, 1)).save(path, "PNG"),
    "very narrow": lambda path: draw(2).resize((3000, 2)).save(path, "PNG"),
    "something behind its end": lambda path: path.write_bytes(path.read_bytes() + b"more"),
}


@pytest.mark.parametrize("kind", UNUSUAL)
def test_an_unusual_picture_is_not_left_out(tmp_path, evaluate, kind):
    folder = album(tmp_path / "data", ["dev"] * 3)
    UNUSUAL[kind](folder / "2.jpg")
    run = evaluate(folder, "--strict", split="dev")
    assert (run.status, "left out" in run.err, "left_out" in run.out) == (0, False, False), run.err


def test_plain_scores_say_over_how_many_pictures_they_were_taken(tmp_path, evaluate):
    folder = album(tmp_path / "data", ["dev"] * 5)
    for i in (0, 3):
        (folder / f"{i}.jpg").write_bytes(b"")
    lines = evaluate(folder, split="dev").out.splitlines()
    assert [line.split() for line in lines[-2:]] == [["photographs", "3"], ["left_out", "2"]]


def test_a_split_of_which_nothing_is_left_is_one_clear_line(tmp_path, evaluate):
    folder = album(tmp_path / "data", ["train", "dev", "dev"])
    (folder / "1.jpg").write_bytes(b"")
    (folder / "2.jpg").write_bytes(b"no picture")
    run = evaluate(folder, split="dev")
    assert (run.status, run.out) == (1, "")
    message = f"companion: {folder}, split 'dev': none of its 2 photographs can be read; the first is "
    assert run.err.splitlines()[-1] == f"{message}{folder / '1.jpg'}: the file is empty"


def test_strict_stops_at_the_first_with_one_line(tmp_path, evaluate):
    folder = album(tmp_path / "data", ["dev"] * 4)
    for i in (1, 2):
        (folder / f"{i}.jpg").write_bytes(b"")
    run = evaluate(folder, "--strict", split="dev")
    assert (run.status, run.out) == (1, "")
    assert run.err.splitlines() == [f"companion: {folder / '1.jpg'}: the file is empty"]


@pytest.mark.parametrize("content", [b"", b"<html>404</html>"])
def test_the_same_error_page_in_two_splits_is_no_leak(tmp_path, evaluate, content):
    folder = album(tmp_path / "data", ["train", "train", "dev", "dev", "test"])
    for i in (1, 2, 4):
        (folder / f"{i}.jpg").write_bytes(content)
    run = evaluate(folder, split="dev")
    assert run.status == 0, run.err
    assert "split 'dev': 1 of 2 photographs cannot be read" in run.err


def test_the_same_picture_in_two_splits_is_a_leak_beside_the_same_error_pages(tmp_path, evaluate):
    folder = album(tmp_path / "data", ["train", "train", "dev", "dev"])
    for i in (1, 2):
        (folder / f"{i}.jpg").write_bytes(b"")
    shutil.copy(folder / "0.jpg", folder / "3.jpg")
    run = evaluate(folder, split="dev")
    assert run.status == 1
    assert "'3.jpg' in the split 'dev' is the same file as '0.jpg'" in run.err


def test_results_need_no_caption_of_a_picture_that_cannot_be_read(tmp_path, evaluate):
    folder = album(tmp_path / "data", ["dev"] * 4)
    (folder / "1.jpg").write_bytes(b"")
    results = [{"image_id": f"{i}.jpg", "caption": f"a dog number{i} runs"} for i in (0, 2, 3)]
    (tmp_path / "results.json").write_text(json.dumps(results))
    options = ("--results", str(tmp_path / "results.json"), "--json")
    run = evaluate(folder, *options, split="dev")
    assert run.status == 0, run.err
    scores = json.loads(run.out)
    assert (scores["bleu4"], scores["photographs"], scores["left_out"]) == (pytest.approx(1), 3, 1)
    assert f"{folder / '1.jpg'}: the file is empty; left out" in run.err.splitlines()
    strict = evaluate(folder, *options, "--strict", split="dev")
    assert (strict.status, "pictures of the split without a caption: 1" in strict.err) == (1, True)
    results.pop()
    (tmp_path / "results.json").write_text(json.dumps(results))
    run = evaluate(folder, *options, split="dev")
    assert (run.status, "without a caption: 1 (the first is '3.jpg')" in run.err) == (1, True)


# -- train ------------------------------------------------------------------------------------------------------------


class MeanColours(nn.Module):
    """Stands in for the frozen encoder: the mean colours of 4 x 4 parts."""

    channels = 3

    def forward(self, images):
        return to_grid(nn.functional.adaptive_avg_pool2d(images.float() / 255, 4))


@pytest.fixture
def train(monkeypatch, capsys):
    """Run `companion train photos` with a small model; return the exit status and the lines of errors."""
    monkeypatch.setattr(models, "EfficientNetLite0", MeanColours)
    monkeypatch.setattr(models, "SIZES", {"base": ((16, 16, 16, 16), 32)})
    monkeypatch.setattr(tasks.photos, "PHOTOS", CONFIG)
    monkeypatch.setattr(tasks.photos, "PHOTOS_REWARD_HOLDOUT", CONFIG)
    monkeypatch.setattr(model_card, "RESAMPLES", 5)
    monkeypatch.setattr(tasks.run.plots, "learning_curves", lambda log: None)
    monkeypatch.setattr(tasks.run.plots, "png", lambda figure: b"a picture")
    batched = functools.partial(tasks.photos.feature_cache.cache_features, batch_size=3)
    monkeypatch.setattr(tasks.photos.feature_cache, "cache_features", batched)

    def run(data, out, *options):
        capsys.readouterr()
        status = cli.main(["train", "photos", "--data", str(data), "--out", str(out), *options])
        return status, [line.strip() for line in capsys.readouterr().err.replace("\r", "\n").splitlines()]

    return run


SPLITS = ["train"] * 4 + ["dev"] * 2 + ["train"] * 7 + ["dev"] * 2
DAMAGED = {0: b"", 5: b"no picture", 7: b"", 8: b"", 12: b"<html>"}  # 4 in train, one of them the first; 1 in dev


@pytest.mark.parametrize("options", [(), ("--reward-holdout",)])
@pytest.mark.parametrize("named_splits", [True, False])
def test_it_is_as_if_damaged_pictures_had_never_been_there(tmp_path, train, named_splits, options):
    """Weights, words, grids, scores and examples are the same to the last bit: no row is that of another picture."""
    folder = album(tmp_path / "one" / "data", SPLITS, named_splits=named_splits)
    without = shutil.copytree(folder, tmp_path / "other" / "data")
    for i, content in DAMAGED.items():
        (folder / f"{i}.jpg").write_bytes(content)
    remove(without, *DAMAGED)
    out, other = tmp_path / "one" / "run", tmp_path / "other" / "run"
    status, err = train(folder, out, *options)
    assert status == 0, err
    for i in DAMAGED:
        assert sum(line.startswith(f"{folder / f'{i}.jpg'}: ") and line.endswith("; left out") for line in err) == 1
    assert train(without, other, *options)[0] == 0
    assert np.array_equal(np.load(out / "train.npy"), np.load(other / "train.npy"))
    assert np.array_equal(np.load(out / "dev.npy"), np.load(other / "dev.npy"))
    for name in ("weights.safetensors", "vocabulary.json"):
        assert (out / name).read_bytes() == (other / name).read_bytes(), name
    words = set(checkpoints.load(out).vocabulary.words)
    assert not {f"number{i}" for i in DAMAGED} & words
    card, expected = checkpoints.card(out), checkpoints.card(other)
    for key in ("metrics", "intervals", "successes", "failures", "attention_stats"):
        assert card[key] == expected[key], key
    assert [{**x, "seconds": 0} for x in card["log"]] == [{**x, "seconds": 0} for x in expected["log"]]
    counts, measured = card["data"].pop("left_out"), card["data"].pop("measured")
    dev = int(expected["data"].pop("measured").split()[1])
    assert card["data"] == expected["data"]
    assert counts == ({"train": 4, "dev": 1} if named_splits else {"train": 5, "dev": 0})
    assert measured == f"dev, {dev} of {dev + counts['dev']} photographs"
    whole = card["data"]["examples"]
    measured = f"measured on {dev} of {dev + counts['dev']}"
    last = f"{folder}: trained on {whole} of {whole + counts['train']} photographs and {measured}; the others cannot be"
    assert err[-1] == f"{last} read"


def test_the_card_of_whole_pictures_says_nothing_of_damage(tmp_path, train):
    assert train(album(tmp_path / "data", SPLITS), tmp_path / "run")[0] == 0
    data = checkpoints.card(tmp_path / "run")["data"]
    assert (data["measured"], "left_out" in data) == ("dev, 4 photographs", False)


@pytest.mark.parametrize(("split", "count"), [("train", 11), ("dev", 4)])
def test_training_without_a_whole_picture_is_one_clear_line(tmp_path, train, split, count):
    folder = album(tmp_path / "data", SPLITS)
    for i, each in enumerate(SPLITS):
        if each == split:
            (folder / f"{i}.jpg").write_bytes(b"")
    status, err = train(folder, tmp_path / "run")
    assert status == 1
    assert f"split {split!r}: none of its {count} photographs can be read; the first is" in err[-1]
    assert not (tmp_path / "run" / "weights.safetensors").exists()


def test_strict_training_stops_at_the_first_picture_and_continues_when_it_is_mended(tmp_path, train):
    folder = album(tmp_path / "data", SPLITS)
    whole = (folder / "7.jpg").read_bytes()
    (folder / "7.jpg").write_bytes(b"")
    (folder / "8.jpg").write_bytes(b"")
    status, err = train(folder, tmp_path / "run", "--strict")
    assert (status, err[-1]) == (1, f"companion: {folder / '7.jpg'}: the file is empty")
    assert not any("8.jpg" in line for line in err)
    (folder / "7.jpg").write_bytes(whole)
    remove(folder, 8)
    assert train(folder, tmp_path / "run", "--strict", "--resume")[0] == 0


@pytest.mark.parametrize("fault", ["9.jpg,,train", "no.jpg,a dog runs,train"])
def test_strict_training_stops_at_a_caption_that_cannot_be_used(tmp_path, train, fault):
    folder = album(tmp_path / "data", SPLITS)
    with open(folder / "captions.csv", "a", encoding="utf-8") as table:
        table.write(f"{fault}\n")
    status, err = train(folder, tmp_path / "run", "--strict")
    assert (status, len(err)) == (1, 1)
    assert err[0].startswith(f"companion: {folder / 'captions.csv'}:{3 * len(SPLITS) + 2}: ")
    assert train(folder, tmp_path / "other")[0] == 0


def test_damaged_pictures_are_named_again_when_a_run_is_resumed_and_not_decoded_again(tmp_path, train, monkeypatch):
    folder = album(tmp_path / "data", SPLITS)
    (folder / "7.jpg").write_bytes(b"")
    assert train(folder, tmp_path / "run")[0] == 0
    before = (tmp_path / "run" / "weights.safetensors").read_bytes()
    monkeypatch.setattr(MeanColours, "forward", None)
    status, err = train(folder, tmp_path / "run", "--resume")
    assert status == 0
    assert f"{folder / '7.jpg'}: the file is empty; left out" in err
    assert (tmp_path / "run" / "weights.safetensors").read_bytes() == before


@pytest.mark.parametrize("damaged", range(4))
def test_whichever_picture_of_a_small_album_is_damaged_the_others_are_enough(tmp_path, train, damaged):
    folder = album(tmp_path / "data", [""] * 4, named_splits=False)
    (folder / f"{damaged}.jpg").write_bytes(b"no picture")
    status, err = train(folder, tmp_path / "run")
    assert status == 0, err
    assert "trained on 2 of 3 photographs and measured on 1 of 1" in err[-1]


def test_an_ensemble_is_measured_on_the_pictures_that_can_be_read(tmp_path, train, capsys):
    folder = album(tmp_path / "data", SPLITS)
    (folder / "5.jpg").write_bytes(b"")
    assert train(folder, tmp_path / "run")[0] == 0
    arguments = ["ensemble", *[str(tmp_path / "run")] * 2, "--data", str(folder), "--out"]
    assert cli.main([*arguments, str(tmp_path / "both")]) == 0
    assert "5.jpg: the file is empty; left out" in capsys.readouterr().err
    assert checkpoints.card(tmp_path / "both")["measured"] == "dev, 3 of 4 photographs"
    assert cli.main([*arguments, str(tmp_path / "strict"), "--strict"]) == 1
    assert capsys.readouterr().err.splitlines()[-1] == f"companion: {folder / '5.jpg'}: the file is empty"


def test_the_command_takes_a_folder_in_which_the_encoding_was_killed(tmp_path, train, monkeypatch):
    """All files that a kill may leave, at whatever operation, are those of a run to `--resume`."""
    folder = album(tmp_path / "data", SPLITS)
    calls = []

    def stop(self, images):
        calls.append(len(images))
        if len(calls) > 3:
            raise KeyboardInterrupt
        return to_grid(torch.zeros(len(images), 3, 4, 4))

    with monkeypatch.context() as patch:
        patch.setattr(MeanColours, "forward", stop)
        status, err = train(folder, tmp_path / "run")
        assert (status, err[-1]) == (1, "companion: interrupted")
    files = {path.name for path in (tmp_path / "run").iterdir()}
    assert files == {".train.npy.unfinished", ".train.sha256.unfinished"}
    (tmp_path / "run" / "..train.sha256.unfinished.4s6xbgbt").write_bytes(b"{")
    status, err = train(folder, tmp_path / "run")
    assert (status, "--resume continues a run" in err[-1]) == (1, True)
    encoded = []
    original = MeanColours.forward
    monkeypatch.setattr(MeanColours, "forward", lambda self, x: encoded.append(len(x)) or original(self, x))
    assert train(folder, tmp_path / "run", "--resume")[0] == 0
    assert sum(encoded) == 2 * (len(SPLITS) - 3)  # the first batch of three is there
