"""Shards hold the examples that were written, batches do not depend on processes, and nothing in a shard is run."""

import gzip
import io
import json
import sys
import tarfile

import numpy as np
import pytest
import torch
from PIL import Image

from companion import datasets
from companion.datasets import shards
from companion.training import distributed

CAPTIONS = "a dog runs", "ein Hund läuft 犬"


@pytest.fixture(scope="module")
def album(tmp_path_factory):
    """Eleven photographs of many sizes in a folder, as a data set."""
    folder = tmp_path_factory.mktemp("album")
    rng, lines = np.random.default_rng(0), ["image,caption"]
    for i in range(11):
        pixels = rng.integers(0, 256, (4 + i, 6, 3), dtype=np.uint8)
        name = f"{i}.{'jpg' if i % 2 else 'png'}"
        Image.fromarray(pixels).resize((60 + 20 * i, 50)).save(folder / name)
        lines += [f"{name},{line} {i}" for line in CAPTIONS[: 1 + i % 2]]
    (folder / "captions.csv").write_text("\n".join(lines), encoding="utf-8")
    return datasets.read(folder).splits["train"]


@pytest.fixture(scope="module")
def sharded(album, tmp_path_factory):
    """A folder with the album in shards of four."""
    folder = tmp_path_factory.mktemp("shards")
    assert shards.write(album, folder, "train", images_per_shard=4) == 3
    return folder


@pytest.fixture
def copy(sharded, tmp_path):
    """The shards, to be damaged."""
    for file in sharded.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    return tmp_path


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def names(batches):
    return [[example.name for example in batch] for batch in batches]


@pytest.mark.parametrize("generator", [None, 0, 1])
def test_shards_hold_every_example_once_with_the_pixels_and_captions_of_the_folder(album, sharded, generator):
    """To the last bit."""
    originals = {example.name: example for example in album}
    read = []
    for batch in shards.batches(sharded, "train", 3, generator=None if generator is None else seeded(generator)):
        same = [originals[example.name] for example in batch]
        assert torch.equal(datasets.load_images(batch), datasets.load_images(same))
        assert [example.captions for example in batch] == [example.captions for example in same]
        read += batch
    assert sorted(example.name for example in read) == sorted(originals)


def test_batches_are_of_the_size_asked_for_across_shards(sharded):
    assert [len(batch) for batch in shards.batches(sharded, "train", 3)] == [3, 3, 3, 2]
    assert [len(batch) for batch in shards.batches(sharded, "train", 20)] == [11]


def test_the_generator_alone_decides_the_order(sharded):
    one, again, other = (names(shards.batches(sharded, "train", 3, generator=seeded(seed))) for seed in (0, 0, 1))
    assert one == again != other
    assert one != names(shards.batches(sharded, "train", 3))


@pytest.mark.parametrize("generator", [None, 0])
@pytest.mark.parametrize("processes", [2, 3])
def test_the_slices_of_several_processes_make_up_the_batches_of_one(sharded, processes, generator, monkeypatch):
    def read():
        order = None if generator is None else seeded(generator)
        return names(shards.batches(sharded, "train", 3, generator=order, rank_slice=distributed.rank_slice))

    whole = read()
    monkeypatch.setattr(distributed, "world_size", lambda: processes)
    parts = []
    for rank in range(processes):
        monkeypatch.setattr(distributed, "rank", lambda rank=rank: rank)
        parts.append(read())
    for batch, *slices in zip(whole, *parts, strict=True):
        if len(batch) < processes:
            assert slices == [batch] * processes
        else:
            assert sorted(name for part in slices for name in part) == sorted(batch)


def test_images_of_another_size_are_kept_as_they_are(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    shards.write([datasets.Example("scene", pixels, ("a star",))], tmp_path, "test")
    ((example,),) = shards.batches(tmp_path, "test", 5, image_size=8)
    assert np.array_equal(example.image, pixels)


def test_writing_again_is_refused_and_the_same_seed_writes_the_same_bytes(album, sharded, tmp_path):
    with pytest.raises(ValueError, match=r"train\.json: is there already"):
        shards.write(album, sharded, "train")
    shards.write(album, tmp_path, "train", images_per_shard=4)
    for file in sharded.iterdir():
        assert file.read_bytes() == (tmp_path / file.name).read_bytes()


def test_an_image_that_cannot_be_read_leaves_no_index(album, tmp_path):
    (tmp_path / "bad.jpg").write_text("<html>")
    bad = datasets.Example("bad.jpg", tmp_path / "bad.jpg", CAPTIONS)
    with pytest.raises(ValueError, match=r"bad\.jpg: it is a web page"):
        shards.write([*album, bad], tmp_path / "out", "train", images_per_shard=4)
    assert not (tmp_path / "out" / "train.json").exists()


def test_images_that_cannot_be_read_are_reported_and_left_out_if_wanted(album, tmp_path):
    bad = [datasets.Example(f"bad{i}.jpg", tmp_path / f"bad{i}.jpg", CAPTIONS) for i in range(3)]
    for example in bad:
        example.image.write_text("<html>")
    lines = []
    shards.write([*bad[:2], *album, bad[2]], tmp_path / "out", "train", images_per_shard=2, report=lines.append)
    assert sorted(line.partition(": ")[0] for line in lines) == [str(example.image) for example in bad]
    assert all(line.endswith("; left out") for line in lines)
    read = [example for batch in shards.batches(tmp_path / "out", "train", 4) for example in batch]
    assert sorted(example.name for example in read) == sorted(example.name for example in album)
    with pytest.raises(ValueError, match="none of the 3 pictures can be read"):
        shards.write(bad, tmp_path / "none", "train", report=lines.append)
    assert not list((tmp_path / "none").iterdir())


# -- shards from strangers --------------------------------------------------------------------------------------------


def rewrite(path, change):
    """Replace each member of the shard by the members that `change` returns for its name and its bytes."""
    with tarfile.open(path) as old:
        members = [(member.name, old.extractfile(member).read()) for member in old]
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as new:
        for name, data in (changed for member in members for changed in change(*member)):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            new.addfile(member, io.BytesIO(data))


def with_content(ending, data):
    return lambda path: rewrite(path, lambda name, old: [(name, data if name.endswith(ending) else old)])


def png(size, mode="RGB"):
    data = io.BytesIO()
    Image.new(mode, size).save(data, "PNG")
    return data.getvalue()


DAMAGE = {
    "missing": lambda path: path.unlink(),
    "empty": lambda path: path.write_bytes(b""),
    "cut short": lambda path: path.write_bytes(path.read_bytes()[:-12_000]),
    "compressed": lambda path: path.write_bytes(gzip.compress(path.read_bytes())),
    "a web page": lambda path: path.write_text("<html>" * 200),
    "no PNG": with_content(".png", b"GIF89a"),
    "a cut PNG": lambda path: rewrite(path, lambda n, old: [(n, old[:-200] if n.endswith("png") else old)]),
    "another size": with_content(".png", png((20_000, 2))),
    "another mode": with_content(".png", png((224, 224), "L")),
    "no JSON": with_content(".json", b"{"),
    "deep JSON": with_content(".json", b"[" * 100_000),
    "no captions": with_content(".json", b'{"name": "x", "captions": []}'),
    "captions that are numbers": with_content(".json", b'{"name": "x", "captions": [1]}'),
    "twice": lambda path: rewrite(path, lambda name, old: [(name, old)] * 2),
    "one too few": lambda path: rewrite(path, lambda name, old: [(name, old)] * (not name.startswith("000000000"))),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_shard_is_named_in_one_line(copy, damage):
    path = next(p for p in sorted(copy.glob("*.tar")) if b"000000000.png" in p.read_bytes())
    DAMAGE[damage](path)
    with pytest.raises(ValueError, match=path.name) as caught:
        list(shards.batches(copy, "train", 3))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", [None, "[]", "{", '{"pictures": [0]}', '{"pictures": "no"}'])
def test_without_an_index_there_are_no_shards(copy, text):
    (copy / "train.json").unlink()
    if text is not None:
        (copy / "train.json").write_text(text)
    with pytest.raises(ValueError, match=r"train\.json: no index of shards"):
        list(shards.batches(copy, "train", 3))


def companions(name, suffixes, data):
    """Return further files of a sample, beside its image."""
    return [(name.removesuffix(".png") + suffix, data) for suffix in suffixes if name.endswith(".png")]


def test_other_files_in_a_shard_are_neither_run_nor_written(copy, tmp_path_factory, monkeypatch):
    """A pickle, or a command in place of a URL: files with other suffixes are ignored."""
    here = tmp_path_factory.mktemp("here")
    monkeypatch.chdir(here)
    evil = b"cos\nsystem\n(S'touch pwned'\ntR."
    for path in copy.glob("*.tar"):
        rewrite(path, lambda name, data: [(name, data), *companions(name, (".pyd", ".pth"), evil)])
    assert sum(len(batch) for batch in shards.batches(copy, "train", 3)) == 11
    assert list(here.iterdir()) == []
    shards.webdataset()
    with pytest.raises(ValueError, match="unsafe_gopen"):
        sys.modules["webdataset.gopen"].gopen("pipe:touch pwned")
    assert list(here.iterdir()) == []


def test_without_the_package_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "webdataset", None)
    with pytest.raises(RuntimeError, match=r"pip install 'attention-companion\[shards\]'"):
        shards.webdataset()


def test_the_index_counts_the_images_of_each_shard(sharded):
    assert (
        shards.shard_counts(sharded, "train")
        == json.loads((sharded / "train.json").read_text())["pictures"]
        == [4, 4, 3]
    )
