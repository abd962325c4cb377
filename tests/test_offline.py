"""With every socket refused the whole command line works, and its output is the same whenever the seed is."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from companion import datasets
from tests.albums import write_album_zip
from tests.processes import environment, program_code

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
    """What two processes print, each with its own order of sets, and the folders that they work in."""
    started = []
    for seed in ("1", "2"):  # at the same time
        folder = tmp_path_factory.mktemp("run")
        write_album_zip(folder / "set.zip")
        photograph = str(datasets.example_image("chelsea"))
        commands = [[photograph if word == "PHOTO" else word for word in line] for line in COMMANDS]
        process = subprocess.Popen(
            [sys.executable, "-c", program_code("without_network", json.dumps(commands))],
            cwd=folder,
            env=environment(PYTHONHASHSEED=seed),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append((process, folder))
    runs = []
    for process, folder in started:
        out, err = process.communicate(timeout=600)
        assert process.returncode == 0, err[-2000:]
        runs.append((out, folder))
    return runs


def test_no_command_opens_a_socket(twice):
    for _, folder in twice:
        assert (folder / "strip.png").is_file()
        assert (folder / "set" / "captions.csv").is_file()


def test_the_same_seed_gives_the_same_curve_and_the_same_captions(twice):
    """In two processes: losses, scores, captions, log-probabilities and attention maps, to the last digit."""
    (one, first), (other, second) = twice
    logs = [(folder / "run" / "log.jsonl").read_text(encoding="utf-8") for folder in (first, second)]
    curves = [[json.loads(line) for line in log.splitlines()] for log in logs]
    for curve in curves:
        assert len(curve) == 3
        for record in curve:
            del record["seconds"]
    assert curves[0] == curves[1]
    one, other = (re.sub(r"seconds [0-9.]+", "", output) for output in (one, other))
    assert one == other
    assert one.count('"log_probability"') == 2
    weights = [(folder / "run" / "weights.safetensors").read_bytes() for folder in (first, second)]
    assert weights[0] == weights[1]
