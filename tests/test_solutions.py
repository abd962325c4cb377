"""Every exercise of the book has a solution.

tools/authoring/nbval_plugin.py runs them in their notebooks' kernels; here a wrong one is shown to be found.
"""

import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from tools.authoring.solutions import exercise_labels, solutions

ROOT = Path(__file__).resolve().parents[1]
TEXTS = sorted((ROOT / "book" / "text").glob("*.md"))


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.stem)
def test_every_exercise_has_a_label_and_a_solution(path):
    text = path.read_text(encoding="utf-8")
    labels = exercise_labels(text)
    assert "" not in labels, "an exercise without a :label:"
    assert sorted(labels) == sorted(solution.label for solution in solutions(text))


@pytest.mark.parametrize(
    ("text", "labels", "solved"),
    [
        ("```{exercise} Add\n:label: ex-a\nAdd.\n```\n", ["ex-a"], []),
        ("```{exercise}\nAdd.\n```\n", [""], []),
        (":::{solution} ex-b\nIt is two.\n:::\n", [], ["ex-b"]),
    ],
)
def test_missing_labels_and_solutions_are_seen(text, labels, solved):
    assert exercise_labels(text) == labels
    assert [solution.label for solution in solutions(text)] == solved


def test_the_code_of_a_solution_keeps_the_lines_of_the_text():
    text = "# Title\n\n````{solution} ex-a\n\nFirst:\n\n```python\nx = 1\n```\n\nThen:\n\n```python\nx + 1\n```\n````\n"
    (solution,) = solutions(text)
    assert solution.line == 3
    assert {n: line for n, line in enumerate(solution.code.split("\n"), start=1) if line} == {8: "x = 1", 14: "x + 1"}
    assert text.splitlines()[7] == "x = 1"


EXERCISES = """# Toy

````{solution} ex-right
```python
assert total == 3
note = "seen"
```
````

````{solution} ex-wrong
The numbers of the cells are there.

```python
assert total == 3
```

So is this:

```python
def claim():
    assert total == 4, note


claim()
```
````

````{solution} ex-after
```python
assert total == 3
```
````

````{solution} ex-words
No code.
````
"""


@pytest.fixture
def toy(tmp_path):
    """A notebook of two cells with four solutions in its text, one of them wrong."""
    cells = [new_code_cell("a = 1", execution_count=1), new_code_cell("total = a + 2", execution_count=2)]
    nbformat.write(new_notebook(cells=[new_markdown_cell("# Toy"), *cells]), tmp_path / "99_toy.ipynb")
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "99_toy.md").write_text(EXERCISES)
    return tmp_path / "99_toy.ipynb"


def nbval(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run `pytest --nbval` with the plugin, as `make test` does."""
    options = ["--nbval", "--nbval-current-env", "-p", "tools.authoring.nbval_plugin", "-o", "addopts=", "-v"]
    command = [sys.executable, "-m", "pytest", *options, "-p", "no:cacheprovider", "--color=no", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=180, check=False)


def test_a_wrong_solution_is_found_with_its_line_and_stops_no_other(toy):
    ran = nbval(toy)
    assert ran.returncode == 1, ran.stderr
    assert "1 failed, 4 passed" in ran.stdout
    line = EXERCISES.splitlines().index("    assert total == 4, note") + 1
    assert f"99_toy.md, line {line}, solution of ex-wrong\n" in ran.stdout
    assert "AssertionError: seen" in re.sub(r"\x1b\[[\d;]*m", "", ran.stdout)
    assert "ex-words" not in ran.stdout
