"""Every exercise of the book has a solution, and every solution runs after the cells of its chapter."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from companion.authoring.twins import read_twin

TEXTS = sorted((Path(__file__).parent.parent / "book" / "text").glob("*.md"))
DIRECTIVE = r"^(?P<fence>[`:]{3,})\{%s\}(?P<argument>.*)\n(?P<body>(?:.*\n)*?)(?P=fence)$"

# Runs [name, code] pairs from standard input in one namespace, each compiled under its name: a failure says where.
RUNNER = """
import json, sys
names = {"__name__": "__main__"}
for name, code in json.load(sys.stdin):
    exec(compile(code, name, "exec"), names)
"""


def directives(kind: str, text: str) -> list[re.Match[str]]:
    return list(re.finditer(DIRECTIVE % kind, text, re.MULTILINE))


def labels(text: str) -> set[str]:
    found = (
        re.search(r"^:label:\s*(\S+)", exercise["body"], re.MULTILINE) for exercise in directives("exercise", text)
    )
    return {label[1] for label in found if label}


def blocks(path: Path) -> list[tuple[str, str]]:
    """The chapter's cells, then the Python of its solutions.

    Left out are cells that are meant to fail and those tagged "slow", which take minutes and which no solution needs.
    """
    cells = [
        (f"{path.name}, cell {i}", cell.source)
        for i, cell in enumerate(read_twin(path).cells)
        if cell.cell_type == "code" and not {"raises-exception", "slow"} & set(cell.metadata.get("tags", []))
    ]
    solutions = [
        (f"{path.name}, solution {solution['argument'].strip()}", code)
        for solution in directives("solution", path.read_text(encoding="utf-8"))
        for code in re.findall(r"^```python\n(.*?)^```$", solution["body"], re.DOTALL | re.MULTILINE)
    ]
    return [*cells, *solutions] if solutions else []


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.stem)
def test_every_exercise_has_a_label_and_a_solution(path):
    text = path.read_text(encoding="utf-8")
    solved = {solution["argument"].strip() for solution in directives("solution", text)}
    assert len(labels(text)) == len(directives("exercise", text)), "an exercise without a :label:"
    assert labels(text) == solved


@pytest.mark.parametrize("path", [path for path in TEXTS if blocks(path)], ids=lambda path: path.stem)
def test_every_solution_runs(path):
    pairs, environment = json.dumps(blocks(path)), {**os.environ, "MPLBACKEND": "Agg"}
    run = {"input": pairs, "text": True, "capture_output": True, "cwd": path.parent.parent, "env": environment}
    done = subprocess.run([sys.executable, "-c", RUNNER], check=False, **run)
    assert done.returncode == 0, done.stderr[-2000:]


def test_a_wrong_solution_is_found(tmp_path):
    text = "```{exercise}\n:label: ex-a\nAdd.\n```\n\n````{solution} ex-a\n```python\nassert 1 + 1 == 3\n```\n````\n"
    (tmp_path / "text").mkdir()
    path = tmp_path / "text" / "99_wrong.md"
    path.write_text(TEXTS[0].read_text(encoding="utf-8").split("# ")[0] + text)
    test_every_exercise_has_a_label_and_a_solution(path)
    with pytest.raises(AssertionError, match=r"99_wrong\.md, solution ex-a"):
        test_every_solution_runs(path)
