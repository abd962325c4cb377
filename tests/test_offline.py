"""With every socket refused the whole command line works, and says the same whenever the seed is the same."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from faults import environment, run_of

from companion import photos

COMMANDS = [
    ["info"],
    ["scenes", "--out", "scenes", "--count", "3", "--seed", "5"],
    ["train", "scenes", "--out", "run", "--size", "tiny", "--seed", "3"],
    ["evaluate", "scenes", "--checkpoint", "run", "--json"],
    ["caption", "scenes/images/000000.png", "scenes/images/000001.png", "--checkpoint", "run", "--json"],
    ["caption", "PHOTO", "--attention", "strip.png"],
    ["data", "flickr8k", "--archive", "set.zip", "--out", "set"],
]


@pytest.fixture(scope="module")
def twice(tmp_path_factory) -> list[tuple[str, Path]]:
    """What two processes printed, each with its own order of sets, and the folders that they worked in."""
    from test_faults import small_set

    runs = []
    for seed in ("1", "2"):
        folder = tmp_path_factory.mktemp("run")
        small_set(folder / "set.zip")
        photograph = str(photos.example("chelsea"))
        commands = [[photograph if word == "PHOTO" else word for word in line] for line in COMMANDS]
        done = subprocess.run(
            [sys.executable, "-c", run_of("without_network", json.dumps(commands))],
            cwd=folder,
            env=environment(PYTHONHASHSEED=seed),
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        runs.append((done.stdout, folder))
    return runs


def test_no_command_opens_a_socket(twice):
    for _, folder in twice:
        assert (folder / "strip.png").is_file()
        assert (folder / "set" / "captions.csv").is_file()


def test_the_same_seed_gives_the_same_curve_and_the_same_captions(twice):
    """In two processes: losses, scores, captions, log-probabilities and maps, to the last digit."""
    (one, first), (other, second) = twice
    logs = [(folder / "run" / "log.jsonl").read_text(encoding="utf-8") for folder in (first, second)]
    curves = [[json.loads(line) for line in log.splitlines()] for log in logs]
    for curve in curves:
        assert len(curve) == 3
        for record in curve:
            del record["seconds"]
    assert curves[0] == curves[1]
    one, other = (re.sub(r"seconds [0-9.]+", "", said) for said in (one, other))
    assert one == other
    assert one.count('"log_probability"') == 2
    weights = [(folder / "run" / "weights.safetensors").read_bytes() for folder in (first, second)]
    assert weights[0] == weights[1]
