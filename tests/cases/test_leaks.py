"""The same picture in two splits, under whatever names, and pictures that are nearly the same."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image, ImageEnhance

from tests.cases.pictures import draw, write_pictures
from tests.helpers import find_imagemagick


def album(folder: Path, *rows: str) -> Path:
    """Write a table with these rows into a folder of pictures and return the folder."""
    (folder / "captions.csv").write_text("\n".join(["image,caption,split", *rows]) + "\n", encoding="utf-8")
    return folder


LEAKS = {  # name of the copy of train/a.jpg, its split
    "another name": ("train/b.jpg", "test"),
    "the same name in another folder": ("test/a.jpg", "test"),
    "another suffix": ("train/a.png", "dev"),
    "another name, another case": ("train/A.JPG", "dev"),
    "a split of the user's own": ("train/c.jpg", "holdout"),
}


@pytest.mark.parametrize("case", LEAKS)
def test_the_same_bytes_in_two_splits_stop_everything(tmp_path, evaluate, case):
    name, split = LEAKS[case]
    write_pictures(tmp_path, ["train/a.jpg", "other.jpg"])
    (tmp_path / name).parent.mkdir(exist_ok=True)
    shutil.copy(tmp_path / "train" / "a.jpg", tmp_path / name)
    run = evaluate(album(tmp_path, "train/a.jpg,a dog,train", "other.jpg,a cat,dev", f"{name},a dog,{split}"))
    assert run.status == 1
    assert run.dataset is None
    [line] = run.err.splitlines()
    assert f"captions.csv:4: the picture {name!r} in the split {split!r} is the same file as 'train/a.jpg'" in line
    assert "in 'train' by" in line
    assert "captions.csv:2; a picture that was trained on measures nothing" in line


def test_a_link_is_the_same_picture(tmp_path, evaluate):
    write_pictures(tmp_path, ["a.jpg"])
    (tmp_path / "b.jpg").symlink_to("a.jpg")
    run = evaluate(album(tmp_path, "a.jpg,a dog,train", "b.jpg,a dog,dev"))
    assert "'b.jpg' in the split 'dev' is the same file as 'a.jpg'" in run.err


def test_copies_within_a_split_and_files_of_one_length_are_no_leak(tmp_path, evaluate):
    for name, seed in (("a.bmp", 0), ("b.bmp", 0), ("c.bmp", 1), ("d.bmp", 2)):
        draw(seed).save(tmp_path / name)
    assert len({path.stat().st_size for path in tmp_path.iterdir()}) == 1
    rows = ["a.bmp,a dog,train", "b.bmp,a dog,train", "c.bmp,a cat,dev", "d.bmp,a bird,test"]
    run = evaluate(album(tmp_path, *rows))
    assert (run.status, run.err.count("looks like")) == (0, 0)
    assert len(run.examples) == 4


def test_all_leaks_are_counted(tmp_path, evaluate):
    write_pictures(tmp_path, [f"{i}.jpg" for i in range(4)])
    rows = [f"{i}.jpg,a dog,train" for i in range(4)]
    for i in range(4):
        shutil.copy(tmp_path / f"{i}.jpg", tmp_path / f"copy of {i}.jpg")
        rows.append(f"copy of {i}.jpg,a dog,test")
    assert "(and 3 more such pictures)" in evaluate(album(tmp_path, *rows)).err


def magick(*options: str) -> Callable[[Path, Path], None]:
    """Return a copier by ImageMagick with these options."""

    def copy(source: Path, target: Path) -> None:
        if not (program := find_imagemagick()):
            pytest.skip("ImageMagick is not installed")
        subprocess.run([program, source, *options, target], check=True)

    return copy


def pillow(change: Callable[[Image.Image], Image.Image]) -> Callable[[Path, Path], None]:
    """Return a copier that changes the picture."""
    return lambda source, target: change(Image.open(source).convert("RGB")).save(target, quality=85)


NEAR = {  # copiers
    "encoded anew": (pillow(lambda image: image), "b.jpg"),
    "as PNG": (pillow(lambda image: image), "b.png"),
    "as WebP": (pillow(lambda image: image), "b.webp"),
    "half as large": (pillow(lambda image: image.resize((120, 80))), "b.jpg"),
    "three times as large": (pillow(lambda image: image.resize((720, 480))), "b.jpg"),
    "squashed": (pillow(lambda image: image.resize((64, 64))), "b.png"),
    "a little brighter": (pillow(lambda image: ImageEnhance.Brightness(image).enhance(1.15)), "b.jpg"),
    "grey": (pillow(lambda image: image.convert("L")), "b.jpg"),
    "by ImageMagick, low quality": (magick("-quality", "20"), "b.jpg"),
    "by ImageMagick, without metadata": (magick("-strip", "-resize", "50%"), "b.png"),
}


@pytest.mark.parametrize("case", NEAR)
def test_a_picture_that_is_nearly_the_same_is_noted_and_kept(tmp_path, evaluate, case):
    copy, name = NEAR[case]
    for i in range(3):
        draw(i, (240, 160)).save(tmp_path / f"a{i}.jpg")
    copy(tmp_path / "a1.jpg", tmp_path / name)
    run = evaluate(album(tmp_path, *(f"a{i}.jpg,a dog,train" for i in range(3)), f"{name},a cat,dev"), split="dev")
    assert run.status == 0
    assert len(run.examples) == 4
    assert run.dataset.issues == []
    [note] = run.dataset.notes
    assert f"1 picture looks like one of another split (the first is '{name}' in 'dev', like 'a1.jpg' in 'tr" in note
    assert note in run.err


def test_what_is_not_alike_is_not_noted(tmp_path, evaluate):
    """Pictures of one colour, other pictures in the same colours, and a file that is damaged."""
    for name, image in {
        "white.png": Image.new("RGB", (60, 40), "white"),
        "black.png": Image.new("RGB", (60, 40), "black"),
        "a.jpg": draw(0),
        "b.jpg": draw(1),
        "mirrored.jpg": draw(0).transpose(Image.Transpose.ROTATE_180),
    }.items():
        image.save(tmp_path / name)
    (tmp_path / "damaged.jpg").write_bytes((tmp_path / "a.jpg").read_bytes()[:300])
    names = ["white.png", "a.jpg", "black.png", "b.jpg", "mirrored.jpg"]
    rows = [f"{name},a dog,{'train' if i < 2 else 'dev'}" for i, name in enumerate(names)]
    run = evaluate(album(tmp_path, *rows, "damaged.jpg,a dog,test"), split="dev")
    assert run.dataset.notes == []
