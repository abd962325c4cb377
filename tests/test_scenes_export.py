"""Exported scenes are those that were generated, and `datasets` reads them."""

import json

import numpy as np
import pytest
from PIL import Image

from companion import datasets, scenes
from companion.scenes import exporting


def contents(folder):
    """Return the bytes of every file in a folder by its name."""
    return {str(f.relative_to(folder)): f.read_bytes() for f in sorted(folder.rglob("*")) if f.is_file()}


@pytest.mark.parametrize(("split", "read_as"), [("train", "train"), ("validation", "dev"), ("compositional",) * 2])
def test_an_exported_folder_is_read_without_an_issue(split, read_as, tmp_path):
    world = scenes.make_dataset(split, 4, seed=3)
    scenes.export(tmp_path, split, 4, seed=3)
    dataset = datasets.read(tmp_path)
    assert dataset.issues == []
    assert dataset.splits.keys() == {read_as}
    examples = dataset.splits[read_as]
    assert [example.captions for example in examples] == [tuple(r.text for r in s.captions) for s in world]
    for example, scene in zip(examples, world, strict=True):
        assert np.array_equal(np.asarray(Image.open(example.image)), scene.image)


def test_a_mask_is_the_visible_pixels_of_its_object(tmp_path):
    """White where the object is visible, black elsewhere; no mask is missing and none is left over."""
    world = scenes.make_dataset("test", 4)
    scenes.export(tmp_path, "test", 4)
    expected = {f"{i:06d}_{k}.png": mask for i, scene in enumerate(world) for k, mask in enumerate(scene.masks)}
    assert {file.name for file in (tmp_path / "masks").iterdir()} == expected.keys()
    for name, mask in expected.items():
        assert np.array_equal(np.asarray(Image.open(tmp_path / "masks" / name)), np.where(mask, 255, 0))
    records = json.loads((tmp_path / "captions.json").read_text())["images"]
    exported = [[tuple(o.values()) for o in record["objects"]] for record in records]
    assert exported == [list(map(tuple, scene.objects)) for scene in world]


def test_ids_are_unique_and_every_caption_has_its_picture(tmp_path):
    scenes.export(tmp_path, "train", 3)
    coco = json.loads((tmp_path / "captions.json").read_text())
    assert [image["id"] for image in coco["images"]] == [0, 1, 2]
    assert [(i["height"], i["width"]) for i in coco["images"]] == [(64, 64)] * 3
    assert len({annotation["id"] for annotation in coco["annotations"]}) == len(coco["annotations"]) == 15
    assert [annotation["image_id"] for annotation in coco["annotations"]] == [0] * 5 + [1] * 5 + [2] * 5


def test_the_same_seed_writes_the_same_bytes_and_another_does_not(tmp_path):
    for name, seed in (("one", 1), ("again", 1), ("other", 2)):
        scenes.export(tmp_path / name, "train", 2, seed=seed)
    assert contents(tmp_path / "one") == contents(tmp_path / "again")
    assert contents(tmp_path / "one") != contents(tmp_path / "other")


def test_a_folder_whose_export_was_interrupted_is_not_a_data_set(tmp_path, monkeypatch):
    write, left = exporting.atomic_write, [5]

    def failing(path, data):
        left[0] -= 1
        if left[0] < 0:
            raise OSError("no space left on device")
        write(path, data)

    monkeypatch.setattr(exporting, "atomic_write", failing)
    with pytest.raises(OSError, match="no space"):
        scenes.export(tmp_path, "train", 3)
    assert any(tmp_path.rglob("*.png"))
    with pytest.raises(ValueError, match="no known layout"):
        datasets.read(tmp_path)
