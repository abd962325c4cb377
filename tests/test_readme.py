"""What the README promises is run: its console session, its Python, its commands, its tree of files."""

import re
import shlex
import shutil
from pathlib import Path

import pytest

from companion import cli, photos

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.S | re.M)  # in order, so that no end is taken for a start
    return [body for name, body in fenced if name == language]


@pytest.fixture
def with_photographs(tmp_path, monkeypatch):
    """A folder that holds the example photographs, as the current one."""
    for name in photos.EXAMPLES:
        shutil.copy(photos.example(name), tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_console_session_prints_what_it_shows(with_photographs, capsys):
    (session,) = blocks("console")
    command, _, shown = session.partition("\n")
    assert cli.main(shlex.split(command.removeprefix("$ companion "))) == 0
    assert capsys.readouterr().out == shown


def test_the_python_runs(with_photographs):
    (code,) = blocks("python")
    names: dict = {}
    exec(code, names)
    assert len(names["caption"].words) == len(names["caption"].weights) > 2


def test_the_command_line_understands_every_command(monkeypatch):
    lines = [line for block in blocks("") for line in block.splitlines() if line.startswith("companion ")]
    assert len(lines) >= 6
    for line in lines:
        words = shlex.split(re.sub(r"[\[\]]", "", line).replace("...", ""))
        cli.parser().parse_args(words[1:])  # exits, and so fails, on a word that it does not know


def test_the_tree_of_files_is_the_one_that_is_there():
    (tree,) = (block for block in blocks("") if block.startswith("book/"))
    listed = {line.split()[0].rstrip("/") for line in tree.splitlines() if line.startswith("  ")}
    there = {path.stem for path in (ROOT / "companion").iterdir() if path.name[0] not in "_."}
    assert listed <= there
    named = set(re.findall(r"\w+", tree))
    assert there <= named, f"not in the README's tree: {sorted(there - named)}"
