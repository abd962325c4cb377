"""Fixtures that many files of tests share. They are made once per session: never train, change or write into one.

The package is imported by the fixtures that need it, so that what collects the tests without running any starts fast.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.albums import write_album

if TYPE_CHECKING:
    from companion.models import Captioner
    from companion.scenes import Scene

pytest.register_assert_rewrite("tests.faults.injection")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest tests first, so that no process is left alone with one at the end."""
    items.sort(key=lambda item: item.get_closest_marker("first") is None)


@pytest.fixture(scope="session")
def scenes_captioner() -> "Captioner":
    """The captioner of scenes that ships."""
    from companion import checkpoints

    return checkpoints.load("scenes")


@pytest.fixture(scope="session")
def photos_captioner() -> "Captioner":
    """The captioner of photographs that ships."""
    from companion import checkpoints

    return checkpoints.load("photos")


@pytest.fixture(scope="session")
def world() -> "list[Scene]":
    """The first 150 scenes of the test split; its first n are those of `make_dataset("test", n)`."""
    from companion import scenes

    return scenes.make_dataset("test", 150)


@pytest.fixture(scope="session")
def album(tmp_path_factory) -> Path:
    """An album of eight photographs in the CSV layout: six for training, two of the dev split."""
    return write_album(tmp_path_factory.mktemp("data") / "album", splits=["train"] * 6 + ["dev"] * 2)


@pytest.fixture(scope="session")
def untrained_checkpoint(tmp_path_factory) -> Path:
    """The folder of a captioner of scenes that has learnt nothing."""
    from companion import checkpoints
    from tests.captioners import untrained

    folder = tmp_path_factory.mktemp("untrained")
    checkpoints.save(untrained(), folder, {"minutes": 0})
    return folder


@pytest.fixture
def captioned(monkeypatch) -> list[str]:
    """Have an index captioned by the words of the files' names; the names of all files that are captioned."""
    from companion.apps import index
    from tests.captioners import captions_of_names

    names: list[str] = []

    def caption_files(captioner, paths):
        for path, answer in captions_of_names(captioner, paths):
            names.append(path.name)
            yield path, answer

    monkeypatch.setattr(index, "caption_files", caption_files)
    return names
