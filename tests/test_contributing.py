"""What CONTRIBUTING says of the code is so: the walk from the command line to the card, and where things are added."""

import functools
import importlib
import re
import sys
from pathlib import Path

from companion import cli, tasks
from companion.training import TrainConfig

ROOT = Path(__file__).parent.parent
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
QUICK = TrainConfig(epochs=1, lr=1e-3, batch_size=4)


def test_the_walk_of_train_photos_is_the_order_of_the_calls(album, tmp_path, monkeypatch):
    """Ten functions, recorded while the command runs, each when it is called for the first time."""
    walk = re.findall(r"^\d+\. `([\w.]+)`", CONTRIBUTING, re.M)
    walk = walk[walk.index("cli.parser.main") :]
    assert len(walk) == 10
    calls: list[str] = []

    def record(frame, event, argument):
        if event == "call":
            name = f"{frame.f_globals.get('__name__')}.{frame.f_code.co_qualname}"
            name = name.removeprefix("companion.").removesuffix(".__init__")
            if name in walk and name not in calls:
                calls.append(name)

    monkeypatch.setattr(tasks.photos, "train", functools.partial(tasks.photos.train, config=QUICK))
    sys.setprofile(record)
    try:
        status = cli.main(["train", "photos", "--data", str(album), "--out", str(tmp_path / "run")])
    finally:
        sys.setprofile(None)
    assert status == 0
    assert calls == walk


def test_every_registry_is_where_it_says():
    files = re.findall(r"^- File: `(companion/[\w/]+)/NAME.py`", CONTRIBUTING, re.M)
    registries = re.findall(r"^- Line: .* in `(\w+)`, in `(companion/[\w/]+)/__init__.py`", CONTRIBUTING, re.M)
    assert len(files) == 4
    assert [folder for _, folder in registries] == files
    for name, folder in registries:
        assert getattr(importlib.import_module(folder.replace("/", ".")), name)
