"""A cache holds what the encoder computes; it is reused when it may be, and continued where it was interrupted."""

import hashlib
import itertools
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
from tests.processes import run_program


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


def cached(*arguments, **options):
    """The grids alone, of `cache_features`."""
    return feature_cache.cache_features(*arguments, **options).grids


def contents(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@pytest.mark.parametrize("batch_size", [1, 2, 5, 100])
def test_the_cache_holds_the_grid_of_each_photograph_and_of_its_mirror_image(batch_size, examples, out):
    cache = cached(CountingEncoder(), examples, out, batch_size=batch_size)
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
    cache = cached(CountingEncoder(), examples, out)
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
    before = np.array(cached(first, examples, out))
    assert np.array_equal(cached(second, examples, out), before)
    assert (first.encoded, second.encoded) == (10, 0)  # two views each


@pytest.mark.parametrize("change", CHANGES)
def test_other_photographs_are_encoded_anew(change, examples, out):
    cached(CountingEncoder(), examples, out)
    changed, encoder = CHANGES[change](examples), CountingEncoder()
    again = cached(encoder, changed, out)
    assert encoder.encoded == 2 * len(changed)
    assert np.array_equal(again, cached(CountingEncoder(), changed, out.with_name("fresh.npy")))


DAMAGE = {
    "cut short": lambda path: path.write_bytes(path.read_bytes()[:-10]),
    "empty": lambda path: path.write_bytes(b""),
    "no array": lambda path: path.write_bytes(b"hello"),
    "gone": lambda path: path.unlink(),
    "without its key": lambda path: path.with_suffix(".sha256").unlink(),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_cache_is_written_anew(damage, examples, out):
    before = np.array(cached(CountingEncoder(), examples, out))
    DAMAGE[damage](out)
    encoder = CountingEncoder()
    assert np.array_equal(cached(encoder, examples, out), before)
    assert encoder.encoded == 10


class Killed(BaseException):
    """Ends the work as SIGKILL does: nothing catches it."""


FILE_OPERATIONS = {os: ("fsync", "replace"), feature_cache: ("atomic_write",), Path: ("unlink",)}


def kill_at(patch, encoder, count):
    """Raise `Killed` before the event of this number: a batch for the encoder, or an operation on a file."""
    events = itertools.count()

    def killing(work):
        def run(*arguments, **options):
            if next(events) == count:
                raise Killed
            return work(*arguments, **options)

        return run

    patch.setattr(encoder, "forward", killing(encoder.forward))
    for owner, names in FILE_OPERATIONS.items():
        for name in names:
            patch.setattr(owner, name, killing(getattr(owner, name)))


def interrupt(monkeypatch, examples, out, count, encoder=None, **options):
    """Encode, killed at this event; return how many images were encoded, or None if there are fewer events."""
    encoder = encoder or CountingEncoder()
    with monkeypatch.context() as patch:
        kill_at(patch, encoder, count)
        try:
            feature_cache.cache_features(encoder, examples, out, **options)
        except Killed:
            return encoder.encoded
    return None


@pytest.fixture(params=["whole", "damaged"])
def maybe_damaged(request, examples):
    """The photographs, and how many of them can be read."""
    if request.param == "damaged":
        examples[1].image.write_bytes(b"no picture")
        examples[4].image.write_bytes(b"")  # alone in its batch
    return examples, 5 if request.param == "whole" else 3


def test_stopped_anywhere_it_is_continued_and_encodes_no_more_than_one_batch_again(maybe_damaged, out, monkeypatch):
    examples, readable = maybe_damaged
    fresh = feature_cache.cache_features(CountingEncoder(), examples, out.with_name("fresh.npy"), batch_size=2)
    count = 0
    while (before := interrupt(monkeypatch, examples, out, count, batch_size=2)) is not None:
        encoder = CountingEncoder()
        grids, left_out = feature_cache.cache_features(encoder, examples, out, batch_size=2)
        assert np.array_equal(grids, fresh.grids), count
        assert left_out == fresh.left_out
        assert 0 <= before + encoder.encoded - 2 * readable <= 4, count  # a batch has two views of two
        assert not {file.name for file in out.parent.iterdir() if file.name.startswith(".")}
        out.unlink()
        out.with_suffix(".sha256").unlink()
        count += 1
    assert count > 15


class KilledEncoder(CountingEncoder):
    """Encodes one batch, and is killed in the next. It is called like the other, and so is the same to the cache."""

    def forward(self, images):
        if self.encoded == 2:
            raise Killed
        return super().forward(images)


KilledEncoder.__qualname__ = CountingEncoder.__qualname__


def test_killed_in_every_batch_nothing_is_encoded_twice(examples, out):
    encoders = [KilledEncoder() for _ in range(4)]
    for encoder in encoders:
        with pytest.raises(Killed):
            feature_cache.cache_features(encoder, examples, out, batch_size=1)
    last = CountingEncoder()
    grids = cached(last, examples, out, batch_size=1)
    assert [encoder.encoded for encoder in (*encoders, last)] == [2] * 5
    assert np.array_equal(grids, cached(CountingEncoder(), examples, out.with_name("fresh.npy"), batch_size=1))


class AnotherEncoder(CountingEncoder):
    """The same size of grids, other values."""

    def forward(self, images):
        grid = super().forward(images)
        return grid._replace(features=1 - grid.features)


class ScaledEncoder(CountingEncoder):
    """An encoder with a weight."""

    def __init__(self, scale):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(scale))

    def forward(self, images):
        grid = super().forward(images)
        return grid._replace(features=grid.features * self.scale)


@pytest.mark.parametrize("finished", [True, False])
@pytest.mark.parametrize(
    ("one", "other"), [(CountingEncoder(), AnotherEncoder()), (ScaledEncoder(1.0), ScaledEncoder(0.5))]
)
def test_the_grids_of_another_encoder_are_not_taken(one, other, finished, examples, out, monkeypatch):
    one.encoded = other.encoded = 0
    if finished:
        feature_cache.cache_features(one, examples, out)
    else:
        assert interrupt(monkeypatch, examples, out, 13, encoder=one, batch_size=1)
        assert out.with_name(f".{out.name}.unfinished").exists()
    grids = cached(other, examples, out, batch_size=1)
    assert other.encoded == 10
    assert np.array_equal(grids, cached(other, examples, out.with_name("fresh.npy"), batch_size=1))


@pytest.mark.parametrize("change", CHANGES)
def test_what_was_begun_with_other_photographs_is_not_continued(change, examples, out, monkeypatch):
    assert interrupt(monkeypatch, examples, out, 13, batch_size=1)
    changed, encoder = CHANGES[change](examples), CountingEncoder()
    grids = cached(encoder, changed, out, batch_size=1)
    assert encoder.encoded == 2 * len(changed)
    assert np.array_equal(grids, cached(CountingEncoder(), changed, out.with_name("fresh.npy"), batch_size=1))


UNFINISHED_DAMAGE = {
    "rows cut short": lambda rows, state: rows.write_bytes(rows.read_bytes()[:-10]),
    "rows gone": lambda rows, state: rows.unlink(),
    "rows without their state": lambda rows, state: state.unlink(),
    "state cut short": lambda rows, state: state.write_bytes(state.read_bytes()[:-10]),
    "state of nothing": lambda rows, state: state.write_bytes(b"{}"),
}


@pytest.mark.parametrize("damage", UNFINISHED_DAMAGE)
def test_what_was_begun_and_then_damaged_is_begun_anew(damage, examples, out, monkeypatch):
    assert interrupt(monkeypatch, examples, out, 13, batch_size=1)
    UNFINISHED_DAMAGE[damage](*(out.with_name(f".train.{suffix}.unfinished") for suffix in ("npy", "sha256")))
    encoder = CountingEncoder()
    grids = cached(encoder, examples, out, batch_size=1)
    assert encoder.encoded == 10
    assert np.array_equal(grids, cached(CountingEncoder(), examples, out.with_name("fresh.npy"), batch_size=1))


def test_an_interruption_leaves_the_old_cache(examples, out, monkeypatch):
    """Stopped anywhere in a new cache, and asked for the old photographs again: they are right."""
    old = np.array(cached(CountingEncoder(), examples[:3], out))
    for count in itertools.count():
        if interrupt(monkeypatch, examples[2:], out, count, batch_size=2) is None:
            break
        encoder = CountingEncoder()
        assert np.array_equal(cached(encoder, examples[:3], out), old), count
        assert encoder.encoded in (0, 6)
        assert set(contents(out.parent)) == {"train.npy", "train.sha256"}
    assert count > 10


def test_photographs_that_cannot_be_read_are_named_and_the_rows_are_of_the_others(examples, out):
    """A row that was not of its photograph would be that of another: all are different."""
    whole = cached(CountingEncoder(), [examples[0], examples[2], examples[4]], out.with_name("whole.npy"))
    examples[1].image.write_bytes(b"no picture")
    examples[3].image.unlink()
    reasons = []
    grids, left_out = feature_cache.cache_features(
        CountingEncoder(), examples, out, batch_size=2, report=reasons.append
    )
    assert np.array_equal(grids, whole)
    assert list(left_out) == [1, 3]
    assert list(left_out.values()) == reasons
    assert reasons[0].startswith(f"{examples[1].image}: it is not a picture")
    assert reasons[1] == f"{examples[3].image}: there is no such file"
    again, encoder = [], CountingEncoder()
    assert feature_cache.cache_features(encoder, examples, out, report=again.append).left_out == left_out
    assert (again, encoder.encoded) == (reasons, 0)  # from the files: they are reported in every run


def test_none_of_the_photographs_can_be_read(examples, out):
    for example in examples:
        example.image.write_bytes(b"")
    grids, left_out = feature_cache.cache_features(CountingEncoder(), examples, out)
    assert (len(grids), list(left_out)) == (0, [0, 1, 2, 3, 4])
    assert not contents(out.parent)


def test_what_the_report_raises_ends_the_work_at_once(examples, out):
    def stop(reason):
        raise ValueError(reason)

    examples[2].image.write_bytes(b"")
    encoder = CountingEncoder()
    with pytest.raises(ValueError, match=r"2\.png: the file is empty"):
        feature_cache.cache_features(encoder, examples, out, batch_size=1, report=stop)
    assert encoder.encoded == 4


@pytest.mark.slow
def test_a_run_on_photographs_that_is_killed_anywhere_ends_the_same_and_encodes_nothing_twice(tmp_path):
    (tmp_path / "run").mkdir()
    run_program("killed_training", tmp_path / "run", str(tmp_path / "left alone"), "0", "photos")


def test_the_fingerprint_is_of_names_captions_and_bytes(examples):
    """A second way to the same digest; an image in memory counts by its pixels."""
    in_memory = Example("drawn", np.arange(12, dtype=np.uint8).reshape(2, 2, 3), ("one", "two"))
    text = b"0.png\0picture 0\0" + Path(examples[0].image).read_bytes() + b"drawn\0one\0two\0" + bytes(range(12))
    assert feature_cache.fingerprint([examples[0], in_memory]) == hashlib.sha256(text).hexdigest()
