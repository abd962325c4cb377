"""Exported scenes are what was drawn, and what `datasets` reads."""

import json

import numpy as np
import pytest
from PIL import Image

from companion import datasets, scenes
from companion.scenes import exporting


def contents(folder):
    return {str(f.relative_to(folder)): f.read_bytes() for f in sorted(folder.rglob("*")) if f.is_file()}


@pytest.mark.parametrize(("split", "read_as"), [("train", "train"), ("validation", "dev"), ("compositional",) * 2])
def test_an_exported_folder_is_read_without_a_fault(split, read_as, tmp_path):
    drawn = scenes.make(split, 4, seed=3)
    scenes.export(tmp_path, split, 4, seed=3)
    dataset = datasets.read(tmp_path)
    assert dataset.faults == []
    assert dataset.splits.keys() == {read_as}
    examples = dataset.splits[read_as]
    assert [example.captions for example in examples] == [tuple(r.text for r in s.captions) for s in drawn]
    for example, scene in zip(examples, drawn, strict=True):
        assert np.array_equal(np.asarray(Image.open(example.image)), scene.image)


def test_a_mask_is_the_visible_pixels_of_its_thing(tmp_path):
    """White where the thing is seen, black elsewhere; no mask is missing and none is left over."""
    drawn = scenes.make("test", 4)
    scenes.export(tmp_path, "test", 4)
    wanted = {f"{i:06d}_{k}.png": mask for i, scene in enumerate(drawn) for k, mask in enumerate(scene.masks)}
    assert {file.name for file in (tmp_path / "masks").iterdir()} == wanted.keys()
    for name, mask in wanted.items():
        assert np.array_equal(np.asarray(Image.open(tmp_path / "masks" / name)), np.where(mask, 255, 0))
    records = json.loads((tmp_path / "captions.json").read_text())["images"]
    assert [[thing["colour"] for thing in r["things"]] for r in records] == [
        [t.colour for t in s.things] for s in drawn
    ]


def test_ids_are_unique_and_every_caption_has_its_picture(tmp_path):
    scenes.export(tmp_path, "train", 3)
    written = json.loads((tmp_path / "captions.json").read_text())
    assert [image["id"] for image in written["images"]] == [0, 1, 2]
    assert [(i["height"], i["width"]) for i in written["images"]] == [(64, 64)] * 3
    assert len({annotation["id"] for annotation in written["annotations"]}) == len(written["annotations"]) == 15
    assert [annotation["image_id"] for annotation in written["annotations"]] == [0] * 5 + [1] * 5 + [2] * 5


def test_the_same_seed_writes_the_same_bytes_and_another_does_not(tmp_path):
    for name, seed in (("one", 1), ("again", 1), ("other", 2)):
        scenes.export(tmp_path / name, "train", 2, seed)
    assert contents(tmp_path / "one") == contents(tmp_path / "again")
    assert contents(tmp_path / "one") != contents(tmp_path / "other")


def test_a_folder_whose_writing_was_interrupted_is_not_taken_for_a_data_set(tmp_path, monkeypatch):
    real, left = exporting.write_whole, [5]

    def failing(path, data):
        left[0] -= 1
        if left[0] < 0:
            raise OSError("no space left on device")
        real(path, data)

    monkeypatch.setattr(exporting, "write_whole", failing)
    with pytest.raises(OSError, match="no space"):
        scenes.export(tmp_path, "train", 3)
    assert any(tmp_path.rglob("*.png"))
    with pytest.raises(ValueError, match="no known layout"):
        datasets.read(tmp_path)
