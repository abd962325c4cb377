"""What the README promises is run: its console session, its Python, its tree of files.

`test_printed_commands.py` runs its other commands.
"""

import re
import shlex
import shutil
from pathlib import Path

import pytest

from companion import cli, datasets

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.S | re.M)  # in order: else an end could pass for a start
    return [body for name, body in fenced if name == language]


@pytest.fixture
def folder_of_photographs(tmp_path, monkeypatch):
    """A folder that holds the example photographs, as the current one."""
    for name in datasets.EXAMPLE_IMAGES:
        shutil.copy(datasets.example_image(name), tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_console_session_prints_what_the_readme_shows(folder_of_photographs, capsys):
    (session,) = blocks("console")
    command, _, printed = session.partition("\n")
    assert cli.main(shlex.split(command.removeprefix("$ companion "))) == 0
    assert capsys.readouterr().out == printed


def test_the_python_runs(folder_of_photographs):
    (code,) = blocks("python")
    names: dict = {}
    exec(code, names)
    caption = names["caption"]
    assert len(caption.words) == len(caption.weights) > 2


def test_the_tree_of_files_is_the_one_that_is_there():
    (tree,) = (block for block in blocks("") if block.startswith("book/"))
    package = [path for path in (ROOT / "companion").iterdir() if path.suffix == ".py" or path.is_dir()]
    modules = {path.name if path.is_dir() else path.stem for path in package if path.name[0] not in "_."}
    assert {line.split()[0].rstrip("/") for line in tree.splitlines() if line.startswith("  ")} == modules
    folders = [line.split()[0] for line in tree.splitlines() if not line.startswith("  ")]
    assert all((ROOT / folder).is_dir() for folder in folders)
