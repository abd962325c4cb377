"""What is stored is what the encoder sees; it is used again when it may be, and half of it never is."""

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from companion import features, photos
from companion.datasets import Example
from companion.encoders import Grid


class Eye(nn.Module):
    """A quick encoder that can tell left from right: the mean colours of 2 x 2 parts. It counts what it looked at."""

    def __init__(self):
        super().__init__()
        self.looked = 0

    def forward(self, images):
        self.looked += len(images)
        maps = nn.functional.adaptive_avg_pool2d(images.float() / 255, 2)
        return Grid(maps.flatten(2).transpose(1, 2), 2, 2)


@pytest.fixture
def examples(tmp_path):
    """Five photographs, each unlike its mirror image and unlike the others."""
    (tmp_path / "pictures").mkdir()
    chance = np.random.default_rng(0)
    made = []
    for i in range(5):
        path = tmp_path / "pictures" / f"{i}.png"
        Image.fromarray(chance.integers(0, 256, (2, 2, 3), dtype=np.uint8)).resize((30, 20)).save(path)
        made.append(Example(path.name, path, (f"picture {i}",)))
    return made


@pytest.fixture
def out(tmp_path):
    (tmp_path / "out").mkdir()
    return tmp_path / "out" / "train.npy"


def contents(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@pytest.mark.parametrize("batch", [1, 2, 5, 100])
def test_stored_is_what_the_encoder_sees_and_then_what_it_sees_in_the_mirror(batch, examples, out):
    stored = features.store(Eye(), examples, out, batch)
    assert stored.dtype == np.float16
    assert stored.shape == (5, features.VIEWS, 4, 3)
    for example, (plain, mirrored) in zip(examples, stored, strict=True):
        image = photos.load(example.image)
        wanted = Eye()(image[None]).features[0].numpy()
        turned = Eye()(torch.from_numpy(image.numpy()[:, :, ::-1].copy())[None]).features[0].numpy()
        assert np.abs(plain - wanted).max() <= 0.0005  # half precision, values up to one
        assert np.abs(mirrored - turned).max() <= 0.0005
        assert np.abs(mirrored - wanted).max() > 0.05  # the two can be told apart
    assert set(contents(out.parent)) == {"train.npy", "train.sha256"}


def test_a_grid_is_the_chosen_pictures_in_the_chosen_views(examples, out):
    stored = features.store(Eye(), examples, out)
    grid = features.grid(stored, torch.tensor([3, 0]), torch.tensor([1, 0]))
    assert (grid.rows, grid.cols, grid.features.dtype) == (2, 2, torch.float32)
    assert np.array_equal(grid.features.numpy(), np.stack([stored[3, 1], stored[0, 0]]).astype(np.float32))
    plain = features.grid(stored, torch.tensor([3, 0]))
    assert np.array_equal(plain.features.numpy(), stored[[3, 0], 0].astype(np.float32))


def repaint(examples):
    Image.new("RGB", (30, 20), "red").save(examples[2].image)
    return examples


CHANGES = {
    "other pixels": repaint,
    "another order": lambda examples: examples[::-1],
    "one less": lambda examples: examples[:-1],
    "another caption": lambda examples: [examples[0]._replace(captions=("something else",)), *examples[1:]],
}


def test_the_same_photographs_are_looked_at_once(examples, out):
    first, second = Eye(), Eye()
    before = np.array(features.store(first, examples, out))
    assert np.array_equal(features.store(second, examples, out), before)
    assert (first.looked, second.looked) == (10, 0)  # two views each


@pytest.mark.parametrize("change", CHANGES)
def test_other_photographs_are_looked_at_anew(change, examples, out):
    features.store(Eye(), examples, out)
    changed, eye = CHANGES[change](examples), Eye()
    again = features.store(eye, changed, out)
    assert eye.looked == 2 * len(changed)
    assert np.array_equal(again, features.store(Eye(), changed, out.with_name("fresh.npy")))


DAMAGE = {
    "cut short": lambda path: path.write_bytes(path.read_bytes()[:-10]),
    "empty": lambda path: path.write_bytes(b""),
    "no array": lambda path: path.write_bytes(b"hello"),
    "gone": lambda path: path.unlink(),
    "without its key": lambda path: path.with_suffix(".sha256").unlink(),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file_is_made_anew(damage, examples, out):
    before = np.array(features.store(Eye(), examples, out))
    DAMAGE[damage](out)
    eye = Eye()
    assert np.array_equal(features.store(eye, examples, out), before)
    assert eye.looked == 10


class Tired(Eye):
    """Sees one batch in both views, and then no more."""

    def forward(self, images):
        if self.looked >= 4:
            raise KeyboardInterrupt
        return super().forward(images)


def test_an_interruption_leaves_the_old_files_and_no_half_one(examples, out):
    features.store(Eye(), examples[:3], out)
    before = contents(out.parent)
    with pytest.raises(KeyboardInterrupt):
        features.store(Tired(), examples, out, batch=2)
    assert contents(out.parent) == before


@pytest.mark.parametrize("failing", ["replace", "write_whole"])
def test_a_new_file_is_never_taken_for_the_old_one(failing, examples, out, monkeypatch):
    """Stopped between the file and its key, then asked for the old photographs again: they are looked at again."""
    old = np.array(features.store(Eye(), examples[:3], out))

    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(os if failing == "replace" else features, failing, stop)
        with pytest.raises(KeyboardInterrupt):
            features.store(Eye(), examples[2:], out)
    assert np.array_equal(features.store(Eye(), examples[:3], out), old)


def test_what_a_killed_run_left_behind_is_overwritten(examples, out):
    fresh = np.array(features.store(Eye(), examples, out))
    key = out.with_suffix(".sha256")
    key.unlink()
    out.rename(out.with_name(".train.npy.unfinished"))
    assert np.array_equal(features.store(Eye(), examples, out), fresh)
    assert set(contents(out.parent)) == {out.name, key.name}


def test_a_photograph_that_cannot_be_read_is_named(examples, out):
    Path(examples[3].image).write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"3\.png") as caught:
        features.store(Eye(), examples, out, batch=2)
    assert len(str(caught.value).splitlines()) == 1
    assert not contents(out.parent)


def test_the_fingerprint_is_that_of_names_captions_and_bytes(examples):
    """A second way to the same digest; drawn pictures count by their pixels."""
    drawn = Example("drawn", np.arange(12, dtype=np.uint8).reshape(2, 2, 3), ("one", "two"))
    text = b"0.png\0picture 0\0" + Path(examples[0].image).read_bytes() + b"drawn\0one\0two\0" + bytes(range(12))
    assert features.fingerprint([examples[0], drawn]) == hashlib.sha256(text).hexdigest()
