"""The figures of a notebook that is executed again are compared with the committed ones, and no two are mixed up."""

import itertools
import subprocess
import sys
from pathlib import Path

import nbformat
import numpy as np
import pytest
from numpy.testing import assert_array_equal

from tools.authoring.checks import code_cells
from tools.authoring.figures import MAX_DISTANCE, closest, complaint, decode, distance, same_size

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "book").glob("*.ipynb"))


def figures(path: Path) -> list[tuple[int, str]]:
    """Return the figures of a notebook in base64, each with the index of its cell."""
    cells = code_cells(nbformat.read(path, as_version=4))
    data = [(i, output.get("data", {})) for i, cell in cells for output in cell.outputs]
    return [(i, kinds["image/png"]) for i, kinds in data if "image/png" in kinds]


def from_another_machine(colours: np.ndarray) -> np.ndarray:
    """Smooth the edges, move everything down and a quarter also to the right, by a pixel, and add noise."""
    smoothed = (colours + np.roll(colours, 1, axis=0) + np.roll(colours, 1, axis=1)) / 3
    moved = np.concatenate([smoothed[:1], smoothed])
    rows, cols = moved.shape[0] // 2, moved.shape[1] // 2
    moved[rows:, cols:] = np.roll(moved[rows:, cols:], 1, axis=1)
    return (moved + np.random.default_rng(0).normal(0, 0.02, moved.shape)).clip(0, 1)


@pytest.mark.parametrize("path", [path for path in NOTEBOOKS if figures(path)], ids=lambda path: path.stem)
def test_every_figure_of_a_notebook_is_known_from_another_machine_and_from_every_other_figure(path):
    pictures = [(i, decode(png)) for i, png in figures(path)]
    for i, picture in pictures:
        assert complaint(picture, from_another_machine(picture)) == "", f"the figure of cell {i}"
    for (i, first), (j, second) in itertools.combinations(pictures, 2):
        assert complaint(first, second), f"the figures of cells {i} and {j}"


def test_a_figure_of_another_size_is_refused():
    white = np.ones((100, 120, 3))
    assert complaint(white, white[:-2, 2:]) == ""
    assert complaint(white, white[:-3]) == "a figure of 120 x 97 pixels, committed with 120 x 100"


def test_one_changed_cell_of_a_heat_map_is_refused():
    heat_map = np.random.default_rng(0).uniform(size=(10, 10, 3)).repeat(20, axis=0).repeat(20, axis=1)
    changed = heat_map.copy()
    changed[40:60, 80:100] = 1 - changed[40:60, 80:100]
    assert complaint(heat_map, heat_map) == ""
    assert "another figure" in complaint(heat_map, changed)


def test_the_distance_lies_between_zero_for_equals_and_one_for_black_and_white():
    first, second = np.random.default_rng(0).uniform(size=(2, 64, 80, 3))
    assert distance(first, first) == 0
    assert 0 < distance(first, second) < 1
    assert distance(np.zeros((64, 80, 3)), np.ones((64, 80, 3))) == pytest.approx(1)


def test_what_is_transparent_is_white():
    png = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNgYGBgAAAABQABpfZFQAAAAABJRU5ErkJggg=="
    assert_array_equal(decode(png), np.ones((1, 1, 3)))


def test_a_figure_of_other_size_and_other_numbers_is_known_among_the_figures_of_its_notebook():
    rng = np.random.default_rng(0)
    figures = [np.ones((96, 144, 3)) for _ in range(3)]
    for figure in figures:
        figure[rng.integers(0, 96, 40), rng.integers(0, 144, 40)] = 0
    figures[1][20:40] = 0.5
    executed = np.ones((100, 140, 3))
    executed[22:41] = 0.4
    assert closest(executed, figures) == 1
    assert closest(executed, [figures[0], figures[2][:80]]) == 0
    assert closest(executed, [figure[:80] for figure in figures]) is None


def test_two_exchanged_figures_are_found_when_the_notebook_is_executed_again(tmp_path):
    pairs = [  # the pair that comes earliest in its notebook, so that few cells have to run
        (j, path, {first: second, second: first})
        for path in NOTEBOOKS
        for (i, first), (j, second) in itertools.combinations(figures(path), 2)
        if i != j and same_size(decode(first), decode(second))
    ]
    last, path, exchange = min(pairs, key=lambda pair: pair[:2])
    notebook = nbformat.read(path, as_version=4)
    notebook.cells = notebook.cells[: last + 1]
    for _, cell in code_cells(notebook):
        for output in cell.outputs:
            data = output.get("data", {})
            if data.get("image/png") in exchange:
                data["image/png"] = exchange[data["image/png"]]
    nbformat.write(notebook, tmp_path / "exchanged.ipynb")
    for _, cell in code_cells(notebook):
        cell.metadata.setdefault("tags", []).append("trained-figure")
    nbformat.write(notebook, tmp_path / "exchanged_and_tagged.ipynb")
    options = ["--nbval", "--nbval-current-env", "-p", "tools.authoring.nbval_plugin", "-o", "addopts="]
    command = [sys.executable, "-m", "pytest", *options, "-p", "no:cacheprovider", "--color=no", str(tmp_path)]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert ran.returncode == 1, ran.stdout
    assert "2 failed" in ran.stdout
    assert f"at most {MAX_DISTANCE}; if it is meant to be so" in ran.stdout
    assert "another figure of this notebook, or none of them, is more like it" in ran.stdout
