"""Shards give back what was put into them, in the batches that the folder gives, and run nothing that they hold."""

import gzip
import io
import json
import sys
import tarfile

import numpy as np
import pytest
import torch
from PIL import Image

from companion import batches, datasets, distribution, shards

SAID = "a dog runs", "ein Hund läuft 犬"


@pytest.fixture(scope="module")
def album(tmp_path_factory):
    """Eleven photographs of many sizes in a folder, as a data set."""
    folder = tmp_path_factory.mktemp("album")
    chance, lines = np.random.default_rng(0), ["image,caption"]
    for i in range(11):
        pixels = chance.integers(0, 256, (4 + i, 6, 3), dtype=np.uint8)
        name = f"{i}.{'jpg' if i % 2 else 'png'}"
        Image.fromarray(pixels).resize((60 + 20 * i, 50)).save(folder / name)
        lines += [f"{name},{line} {i}" for line in SAID[: 1 + i % 2]]
    (folder / "captions.csv").write_text("\n".join(lines), encoding="utf-8")
    return datasets.read(folder).splits["train"]


@pytest.fixture(scope="module")
def written(album, tmp_path_factory):
    """The album in shards of four."""
    folder = tmp_path_factory.mktemp("shards")
    assert shards.write(album, folder, "train", each=4) == 3
    return folder


@pytest.fixture
def copy(written, tmp_path):
    """The shards, to be damaged."""
    for file in written.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    return tmp_path


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def names(found):
    return [[example.name for example in batch] for batch in found]


@pytest.mark.parametrize("generator", [None, 0, 1])
def test_shards_and_folder_give_the_same_batches(album, written, generator):
    """Every example once; of each batch the pixels and the captions are, to the last bit, those of the folder."""
    own = {example.name: example for example in album}
    seen = []
    for batch in shards.batches(written, "train", 3, None if generator is None else seeded(generator)):
        same = [own[example.name] for example in batch]
        assert torch.equal(batches.pictures(batch), batches.pictures(same))
        assert [example.captions for example in batch] == [example.captions for example in same]
        seen += batch
    assert sorted(example.name for example in seen) == sorted(own)


def test_batches_are_of_the_size_asked_for_across_shards(written):
    assert [len(batch) for batch in shards.batches(written, "train", 3)] == [3, 3, 3, 2]
    assert [len(batch) for batch in shards.batches(written, "train", 20)] == [11]


def test_the_generator_alone_decides_the_order(written):
    one, again, other = (names(shards.batches(written, "train", 3, seeded(seed))) for seed in (0, 0, 1))
    assert one == again != other
    assert one != names(shards.batches(written, "train", 3))


@pytest.mark.parametrize("generator", [None, 0])
@pytest.mark.parametrize("processes", [2, 3])
def test_the_shares_of_several_processes_make_up_the_batches_of_one(written, processes, generator, monkeypatch):
    def read():
        order = None if generator is None else seeded(generator)
        return names(shards.batches(written, "train", 3, order, distribution.share))

    whole = read()
    monkeypatch.setattr(distribution, "processes", lambda: processes)
    parts = []
    for rank in range(processes):
        monkeypatch.setattr(distribution, "rank", lambda rank=rank: rank)
        parts.append(read())
    for batch, *several in zip(whole, *parts, strict=True):
        if len(batch) < processes:
            assert several == [batch] * processes
        else:
            assert sorted(name for part in several for name in part) == sorted(batch)


def test_pictures_of_another_size_are_kept_as_they_are(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    shards.write([datasets.Example("scene", pixels, ("a star",))], tmp_path, "test")
    ((example,),) = shards.batches(tmp_path, "test", 5, side=8)
    assert np.array_equal(example.image, pixels)


def test_writing_again_is_refused_and_the_same_seed_writes_the_same_bytes(album, written, tmp_path):
    with pytest.raises(ValueError, match=r"train\.json: is there already"):
        shards.write(album, written, "train")
    shards.write(album, tmp_path, "train", each=4)
    for file in written.iterdir():
        assert file.read_bytes() == (tmp_path / file.name).read_bytes()


def test_a_picture_that_cannot_be_read_leaves_no_index(album, tmp_path):
    (tmp_path / "bad.jpg").write_text("<html>")
    bad = datasets.Example("bad.jpg", tmp_path / "bad.jpg", SAID)
    with pytest.raises(ValueError, match=r"bad\.jpg: it is a web page"):
        shards.write([*album, bad], tmp_path / "out", "train", each=4)
    assert not (tmp_path / "out" / "train.json").exists()


# -- shards of somebody else ------------------------------------------------------------------------------------------


def rewrite(path, change):
    """The shard with the members that `change` gives for each name and its bytes."""
    with tarfile.open(path) as old:
        members = [(member.name, old.extractfile(member).read()) for member in old]
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as new:
        for name, data in (changed for member in members for changed in change(*member)):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            new.addfile(member, io.BytesIO(data))


def replaced(ending, data):
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
    "no PNG": replaced(".png", b"GIF89a"),
    "a cut PNG": lambda path: rewrite(path, lambda n, old: [(n, old[:-200] if n.endswith("png") else old)]),
    "another size": replaced(".png", png((20_000, 2))),
    "another mode": replaced(".png", png((224, 224), "L")),
    "no JSON": replaced(".json", b"{"),
    "deep JSON": replaced(".json", b"[" * 100_000),
    "no captions": replaced(".json", b'{"name": "x", "captions": []}'),
    "captions that are numbers": replaced(".json", b'{"name": "x", "captions": [1]}'),
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


def brought(name, endings, data):
    """Further files of a sample, beside its picture."""
    return [(name.removesuffix(".png") + ending, data) for ending in endings if name.endswith(".png")]


def test_what_a_shard_brings_along_is_neither_run_nor_written(copy, tmp_path_factory, monkeypatch):
    """A pickle, a command for an address, a way out of the folder: other endings are not looked at."""
    here = tmp_path_factory.mktemp("here")
    monkeypatch.chdir(here)
    evil = b"cos\nsystem\n(S'touch pwned'\ntR."
    for path in copy.glob("*.tar"):
        rewrite(path, lambda name, data: [(name, data), *brought(name, (".pyd", ".pth"), evil)])
    assert sum(len(batch) for batch in shards.batches(copy, "train", 3)) == 11
    assert list(here.iterdir()) == []
    shards.webdataset()
    with pytest.raises(ValueError, match="unsafe_gopen"):
        sys.modules["webdataset.gopen"].gopen("pipe:touch pwned")
    assert list(here.iterdir()) == []


def test_without_the_package_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "webdataset", None)
    with pytest.raises(RuntimeError, match=r"pip install 'attention-companion\[shards\]'"):
        shards.webdataset()


def test_the_index_counts_what_is_there(written):
    assert shards.counts(written, "train") == json.loads((written / "train.json").read_text())["pictures"] == [4, 4, 3]
