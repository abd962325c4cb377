"""A cache holds what the encoder computes; it is reused when it may be, and an incomplete one never is."""

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from companion import datasets
from companion.datasets import Example
from companion.encoders import Grid
from companion.training import feature_cache


class CountingEncoder(nn.Module):
    """A quick encoder that tells left from right: the mean colours of 2 x 2 parts. It counts the images it encodes."""

    def __init__(self):
        super().__init__()
        self.encoded = 0

    def forward(self, images):
        self.encoded += len(images)
        maps = nn.functional.adaptive_avg_pool2d(images.float() / 255, 2)
        return Grid(maps.flatten(2).transpose(1, 2), 2, 2)


@pytest.fixture
def examples(tmp_path):
    """Five photographs, each unlike its mirror image and unlike the others."""
    (tmp_path / "pictures").mkdir()
    rng = np.random.default_rng(0)
    examples = []
    for i in range(5):
        path = tmp_path / "pictures" / f"{i}.png"
        Image.fromarray(rng.integers(0, 256, (2, 2, 3), dtype=np.uint8)).resize((30, 20)).save(path)
        examples.append(Example(path.name, path, (f"picture {i}",)))
    return examples


@pytest.fixture
def out(tmp_path):
    (tmp_path / "out").mkdir()
    return tmp_path / "out" / "train.npy"


def contents(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@pytest.mark.parametrize("batch_size", [1, 2, 5, 100])
def test_the_cache_holds_the_grid_of_each_photograph_and_of_its_mirror_image(batch_size, examples, out):
    cache = feature_cache.cache_features(CountingEncoder(), examples, out, batch_size=batch_size)
    assert cache.dtype == np.float16
    assert cache.shape == (5, feature_cache.VIEWS, 4, 3)
    for example, (plain, mirrored) in zip(examples, cache, strict=True):
        image = datasets.load_image(example.image)
        expected = CountingEncoder()(image[None]).features[0].numpy()
        flipped = CountingEncoder()(torch.from_numpy(image.numpy()[:, :, ::-1].copy())[None]).features[0].numpy()
        assert np.abs(plain - expected).max() <= 0.0005  # half precision, values up to one
        assert np.abs(mirrored - flipped).max() <= 0.0005
        assert np.abs(mirrored - expected).max() > 0.05  # the two can be told apart
    assert set(contents(out.parent)) == {"train.npy", "train.sha256"}


def test_a_cached_grid_holds_the_chosen_pictures_in_the_chosen_views(examples, out):
    cache = feature_cache.cache_features(CountingEncoder(), examples, out)
    grid = feature_cache.cached_grid(cache, torch.tensor([3, 0]), torch.tensor([1, 0]))
    assert (grid.rows, grid.cols, grid.features.dtype) == (2, 2, torch.float32)
    assert np.array_equal(grid.features.numpy(), np.stack([cache[3, 1], cache[0, 0]]).astype(np.float32))
    plain = feature_cache.cached_grid(cache, torch.tensor([3, 0]))
    assert np.array_equal(plain.features.numpy(), cache[[3, 0], 0].astype(np.float32))


def repaint(examples):
    Image.new("RGB", (30, 20), "red").save(examples[2].image)
    return examples


CHANGES = {
    "other pixels": repaint,
    "another order": lambda examples: examples[::-1],
    "one fewer": lambda examples: examples[:-1],
    "another caption": lambda examples: [examples[0]._replace(captions=("something else",)), *examples[1:]],
}


def test_the_same_photographs_are_encoded_once(examples, out):
    first, second = CountingEncoder(), CountingEncoder()
    before = np.array(feature_cache.cache_features(first, examples, out))
    assert np.array_equal(feature_cache.cache_features(second, examples, out), before)
    assert (first.encoded, second.encoded) == (10, 0)  # two views each


@pytest.mark.parametrize("change", CHANGES)
def test_other_photographs_are_encoded_anew(change, examples, out):
    feature_cache.cache_features(CountingEncoder(), examples, out)
    changed, encoder = CHANGES[change](examples), CountingEncoder()
    again = feature_cache.cache_features(encoder, changed, out)
    assert encoder.encoded == 2 * len(changed)
    assert np.array_equal(again, feature_cache.cache_features(CountingEncoder(), changed, out.with_name("fresh.npy")))


DAMAGE = {
    "cut short": lambda path: path.write_bytes(path.read_bytes()[:-10]),
    "empty": lambda path: path.write_bytes(b""),
    "no array": lambda path: path.write_bytes(b"hello"),
    "gone": lambda path: path.unlink(),
    "without its key": lambda path: path.with_suffix(".sha256").unlink(),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_cache_is_written_anew(damage, examples, out):
    before = np.array(feature_cache.cache_features(CountingEncoder(), examples, out))
    DAMAGE[damage](out)
    encoder = CountingEncoder()
    assert np.array_equal(feature_cache.cache_features(encoder, examples, out), before)
    assert encoder.encoded == 10


class InterruptedEncoder(CountingEncoder):
    """Encodes one batch of two photographs in both views, and is then interrupted."""

    def forward(self, images):
        if self.encoded >= 4:
            raise KeyboardInterrupt
        return super().forward(images)


def test_an_interruption_leaves_the_old_files_and_no_incomplete_one(examples, out):
    feature_cache.cache_features(CountingEncoder(), examples[:3], out)
    before = contents(out.parent)
    with pytest.raises(KeyboardInterrupt):
        feature_cache.cache_features(InterruptedEncoder(), examples, out, batch_size=2)
    assert contents(out.parent) == before


@pytest.mark.parametrize("failing", ["replace", "atomic_write"])
def test_a_new_cache_is_never_taken_for_the_old_one(failing, examples, out, monkeypatch):
    """Stopped between the file and its key, then asked for the old photographs again: they are encoded again."""
    old = np.array(feature_cache.cache_features(CountingEncoder(), examples[:3], out))

    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(os if failing == "replace" else feature_cache, failing, stop)
        with pytest.raises(KeyboardInterrupt):
            feature_cache.cache_features(CountingEncoder(), examples[2:], out)
    assert np.array_equal(feature_cache.cache_features(CountingEncoder(), examples[:3], out), old)


def test_what_a_killed_run_has_left_is_overwritten(examples, out):
    fresh = np.array(feature_cache.cache_features(CountingEncoder(), examples, out))
    key = out.with_suffix(".sha256")
    key.unlink()
    out.rename(out.with_name(".train.npy.unfinished"))
    assert np.array_equal(feature_cache.cache_features(CountingEncoder(), examples, out), fresh)
    assert set(contents(out.parent)) == {out.name, key.name}


def test_a_photograph_that_cannot_be_read_is_named(examples, out):
    Path(examples[3].image).write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"3\.png") as caught:
        feature_cache.cache_features(CountingEncoder(), examples, out, batch_size=2)
    assert len(str(caught.value).splitlines()) == 1
    assert not contents(out.parent)


def test_the_fingerprint_is_of_names_captions_and_bytes(examples):
    """A second way to the same digest; an image in memory counts by its pixels."""
    in_memory = Example("drawn", np.arange(12, dtype=np.uint8).reshape(2, 2, 3), ("one", "two"))
    text = b"0.png\0picture 0\0" + Path(examples[0].image).read_bytes() + b"drawn\0one\0two\0" + bytes(range(12))
    assert feature_cache.fingerprint([examples[0], in_memory]) == hashlib.sha256(text).hexdigest()
