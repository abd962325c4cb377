"""A new caption-file layout takes one file and one line, and then works from the command line to the card."""

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from companion import checkpoints, cli, datasets, tasks
from companion.training import TrainConfig
from tests.layout_samples import THREE, write_file

TOY_LAYOUT = '''
"""A toy layout: a file toy.txt with lines split|name|caption."""

from companion.datasets.layouts.base import Layout, find_image_folders
from companion.datasets.parsing import read_lines
from companion.datasets.validation import DatasetBuilder


def read(folder):
    path = folder / "toy.txt"
    if not path.exists():
        return None
    builder = DatasetBuilder(find_image_folders(folder))
    for number, line in read_lines(path, builder):
        location = f"{path}:{number}"
        if line.count("|") == 2:
            split, name, caption = line.split("|")
            builder.add_caption(name, caption, location)
            builder.assign_split(name, split, location)
        else:
            builder.issue(location, "not split|name|caption")
    return builder.build()


TOY = Layout("toy.txt with lines split|name|caption; pictures in images/ or beside it", read)
'''

# A plugin, so that the layout and its sample are registered before the tests of `test_datasets` are collected.
PLUGIN = """
def pytest_sessionstart(session):
    import toy_layout
    from companion.datasets import LAYOUTS
    from tests import layout_samples

    LAYOUTS["Toy"] = toy_layout.TOY

    def write_toy(folder, images=layout_samples.THREE):
        layout_samples.write_images(folder / "images", layout_samples.file_names(images))
        lines = [f"{split}|{name}|{caption}" for name, split, captions in images for caption in captions]
        layout_samples.write_file(folder / "toy.txt", "\\n".join(lines))

    layout_samples.SAMPLES["Toy"] = write_toy
"""


def write_album(folder: Path, images: list[tuple[str, str, tuple[str, ...]]]) -> Path:
    """Write images and captions in the toy layout, and return the folder."""
    rng = np.random.default_rng(0)
    for name in {name for name, _, _ in images}:
        (folder / "images").mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(folder / "images" / name)
    lines = [f"{split}|{name}|{caption}" for name, split, captions in images for caption in captions]
    write_file(folder / "toy.txt", "\n".join([*lines, "a line of another form"]))
    return folder


@pytest.fixture
def toy_registered(tmp_path, monkeypatch):
    """Import the file of the toy layout and register it, which takes one line in the table `LAYOUTS`."""
    file = write_file(tmp_path / "toy_layout.py", TOY_LAYOUT)
    spec = importlib.util.spec_from_file_location("toy_layout", file)
    toy_layout = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(toy_layout)
    monkeypatch.setitem(datasets.LAYOUTS, "Toy", toy_layout.TOY)


def test_a_registered_layout_is_read_and_its_issues_are_reported(tmp_path, toy_registered):
    folder, reported = write_album(tmp_path / "album", THREE), []
    dataset = datasets.read(folder, report=reported.append)
    assert {(e.name, split, e.captions) for split, examples in dataset.splits.items() for e in examples} == set(THREE)
    assert reported == [f"{folder}/toy.txt:7: not split|name|caption; left out"]


def test_a_registered_layout_is_named_where_a_folder_has_none(tmp_path, toy_registered):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"Toy +toy\.txt with lines split\|name\|caption"):
        datasets.read(tmp_path / "empty")


def test_a_registered_layout_passes_the_tests_of_every_layout_unedited(tmp_path):
    write_file(tmp_path / "toy_layout.py", TOY_LAYOUT)
    write_file(tmp_path / "toy_plugin.py", PLUGIN)
    root = Path(__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "toy_plugin", "-p", "no:cacheprovider", "--no-header",
         "-k", "Toy or has_a_sample", "tests/test_datasets.py"],
        cwd=root, env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{root}"}, capture_output=True, text=True,
        timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None
    assert int(passed[1]) >= 8  # one says that the layout has a sample, the others are laws of every layout


def test_a_registered_layout_goes_from_the_command_line_to_the_card(tmp_path, toy_registered, monkeypatch, capsys):
    captions = ("a dog runs on the grass", "a dog on the grass")
    images = [(f"{i}.png", "train" if i < 2 else "dev", captions) for i in range(3)]
    data, out = write_album(tmp_path / "album", images), tmp_path / "run"
    monkeypatch.setattr(tasks.photos, "PHOTOS", TrainConfig(epochs=1, lr=1e-3))
    assert cli.main(["train", "photos", "--data", str(data), "--out", str(out)]) == 0
    assert "toy.txt:7: not split|name|caption; left out" in capsys.readouterr().err
    card = checkpoints.card(out)
    assert (card["data"]["name"], card["data"]["examples"]) == ("album", 2)
    assert cli.main(["evaluate", "photos", "--data", str(data), "--checkpoint", str(out), "--json"]) == 0
    scores = json.loads(capsys.readouterr().out)
    assert scores == pytest.approx(card["metrics"] | card["nouns"], abs=1e-3)
