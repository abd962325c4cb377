"""Figures of the command: the same whatever Matplotlib's settings are, and bounded, however many the photographs."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from companion import checkpoints, cli, plots, scenes
from companion.decoding import Caption
from companion.vocabulary import SPECIALS, Vocabulary
from tests.helpers import small_captioner
from tests.processes import environment

SETTINGS = {  # what a matplotlibrc in the current folder says, and MPLBACKEND
    "none": (b"", ""),
    "other figures": (
        b"text.usetex: True\nfont.family: Nowhere\nfont.size: 40\nimage.cmap: jet\naxes.prop_cycle: cycler(color='r')\n"
        b"savefig.format: pdf\nsavefig.bbox: tight\nsavefig.transparent: True\nfigure.dpi: 1000\nsavefig.dpi: 1000\n"
        b"figure.constrained_layout.use: False\nfigure.autolayout: True\n",
        "TkAgg",
    ),
    "a notebook": (b"backend: TkAgg\n", "module://matplotlib_inline.backend_inline"),
    "not settings": (b"backend: nonsense\nno.such.setting: 1\naxes.facecolor: nowhere\n", "nonsense"),
    "not UTF-8": (b"# \xff\n", "module://nowhere"),
}

EACH_IN_A_CHILD = """
import os, sys
import torch
from companion import apps, checkpoints, cli
from companion.decoding import Caption
captioner = checkpoints.load("scenes")
captioner.caption = lambda images, beam: [Caption(("a", "star"), 0.0, torch.ones(2, 8, 8) / 64)]
checkpoints.load = lambda name: captioner
assert "matplotlib" not in sys.modules
for name, backend in (argument.split("=") for argument in sys.argv[1:]):
    if not os.fork():
        os.chdir(name)
        if backend:
            os.environ["MPLBACKEND"] = backend
        sys.modules["matplotlib_inline"] = None  # as where it is not installed
        status = cli.main(["caption", "../scene.png", "--attention", "out.png"])
        sys.stderr.flush()
        os._exit(status)
    assert os.wait()[1] == 0, name
"""


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """A folder with a drawn scene."""
    folder = tmp_path_factory.mktemp("scene")
    pixels = scenes.image_tensor(scenes.make_dataset("test", 1))[0].numpy().transpose(1, 2, 0)
    Image.fromarray(np.ascontiguousarray(pixels)).save(folder / "scene.png")
    return folder


def test_no_settings_of_the_user_change_or_break_the_figure_of_the_command(scene):
    for name, (text, _) in SETTINGS.items():
        (scene / name).mkdir()
        (scene / name / "matplotlibrc").write_bytes(text)
    cases = [f"{name}={backend}" for name, (_, backend) in SETTINGS.items()]
    command = [sys.executable, "-c", EACH_IN_A_CHILD, *cases]
    variables = environment()
    variables.pop("MPLBACKEND", None)
    done = subprocess.run(command, cwd=scene, env=variables, capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert len({(scene / name / "out.png").read_bytes() for name in SETTINGS}) == 1


def test_in_python_the_style_stands_alone_and_the_backend_stays(tmp_path):
    (tmp_path / "matplotlibrc").write_text("text.usetex: True\nfont.size: 40\nsavefig.dpi: 1000\n")
    code = """
import matplotlib
from companion import plots
assert not matplotlib.rcParams["text.usetex"] and matplotlib.rcParams["font.size"] == 10
assert matplotlib.get_backend() == "svg"
axes = plots.pictures([__import__("numpy").zeros((4, 4, 3), "uint8")])
matplotlib.rcParams["savefig.bbox"] = "tight"
assert len(plots.png(axes)) > 100 and matplotlib.rcParams["savefig.bbox"] == "tight"
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment(MPLBACKEND="svg"),
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.fixture
def quick(monkeypatch):
    """The model that ships is one whose captions take no time and have five words."""
    captioner = small_captioner(Vocabulary(list(SPECIALS)))
    words = tuple("a dog on the grass".split())
    weights = torch.full((len(words), 10, 10), 0.01)
    monkeypatch.setattr(captioner, "caption", lambda images, beam: [Caption(words, 0.0, weights)] * len(images))
    monkeypatch.setattr(checkpoints, "load", lambda name: captioner)


def write_pictures(folder, *sizes):
    for i, size in enumerate(sizes):
        folder.mkdir(exist_ok=True)
        Image.new("RGB", size, (i, 90, 200)).save(folder / f"{i}.png")
    return [str(path) for path in sorted(folder.iterdir())]


def test_more_than_a_handful_have_a_figure_each_in_a_folder(quick, tmp_path, capsys):
    paths = write_pictures(tmp_path / "many", *[(30, 20)] * 6)
    assert cli.main(["caption", *paths, "--attention", str(tmp_path / "out.png")]) == 0
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 6
    assert f"in the folder {tmp_path / 'out'}" in err
    assert "6 of 6 photographs are done" in err
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [f"{i}.png.png" for i in range(6)]
    assert not (tmp_path / "out.png").exists()
    assert cli.main(["caption", *paths[:5], "--attention", str(tmp_path / "five.png")]) == 0
    assert (tmp_path / "five.png").is_file()


@pytest.mark.parametrize("size", [(2, 2000), (2000, 2), (1, 1), (5000, 40), (20, 5000)])
def test_a_figure_can_be_opened_whatever_the_shape_of_the_picture(quick, tmp_path, size):
    [path] = write_pictures(tmp_path / "odd", size)
    assert cli.main(["caption", path, "--attention", str(tmp_path / "out.png")]) == 0
    with Image.open(tmp_path / "out.png") as figure:
        assert 50 < min(figure.size) <= max(figure.size) < 2500
    assert cli.main(["caption", str(tmp_path / "out.png")]) == 0


def test_a_long_word_is_shortened_above_its_frame():
    axes = plots.filmstrip(np.zeros((4, 4, 3), np.uint8), ["a" * 500], np.ones((1, 2, 2)))
    assert len(axes.flat[1].get_title()) == 24
    plots.png(axes)


def test_a_folder_of_figures_never_overwrites_a_photograph_and_names_are_told_apart(quick, tmp_path, capsys):
    (tmp_path / "figures").mkdir()
    for place in ("a", "b", "figures"):
        write_pictures(tmp_path / place, (9, 9))
    photographs = [str(tmp_path / place / "0.png") for place in ("a", "b")]
    assert cli.main(["caption", *photographs, "--attention", str(tmp_path / "figures")]) == 0
    assert sorted(os.listdir(tmp_path / "figures")) == ["0.png", "0.png-2.png", "0.png.png"]
    (tmp_path / "a" / "0.png").rename(tmp_path / "figures" / "0")
    (tmp_path / "figures" / "0.png").rename(tmp_path / "figures" / "0.png.png")
    before = (tmp_path / "figures" / "0.png.png").read_bytes()
    capsys.readouterr()
    named = [str(tmp_path / "figures" / "0.png.png"), str(tmp_path / "b" / "0.png")]
    assert cli.main(["caption", *named, "--attention", str(tmp_path / "figures")]) == 1
    assert "one of the photographs" in capsys.readouterr().err
    assert (tmp_path / "figures" / "0.png.png").read_bytes() == before
