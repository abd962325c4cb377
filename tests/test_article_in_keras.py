"""The article's program under Keras: it is cut into statements, and the chapter shows the code that was run."""

import ast
import json
from pathlib import Path

from benchmarks import article_in_keras

ROOT = Path(__file__).parents[1]
ARTICLE = """text
```python
import a
x = [1,
     2]
```
```
no code
```
```python
y = f(x)
```
"""


def test_the_statements_of_an_article_have_their_lines():
    found = list(article_in_keras.statements(ARTICLE))
    assert [(s.line, s.code) for s in found] == [(3, "import a"), (4, "x = [1,\n     2]"), (11, "y = f(x)")]


def test_the_record_has_a_repair_for_every_stop():
    record = json.loads(article_in_keras.RESULTS.read_text("utf-8"))
    repairs = [code for line in article_in_keras.REPAIRS.values() for code in line]
    assert len(record["stops"]) == len(repairs)
    assert [stop["repair"] for stop in record["stops"]] == [code.replace("{code}", "").strip() for code in repairs]


def functions(code: str) -> dict[str, str]:
    """Return the bodies of the functions in the code, without annotations and docstrings, as one spelling."""
    found = {}
    for node in ast.parse(code).body:
        if isinstance(node, ast.FunctionDef):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            names = [argument.arg for argument in node.args.args]
            found[node.name] = "\n".join([f"{node.name}{names}", *map(ast.unparse, body)])
    return found


def test_the_chapter_shows_the_functions_of_the_captioner_in_keras():
    whole = functions((ROOT / "benchmarks" / "captioner_in_keras.py").read_text("utf-8"))
    text = (ROOT / "book" / "text" / "17_repairing.md").read_text("utf-8")
    (block,) = [part.split("\n```")[0] for part in text.split("\n```python\n")[1:] if "keras.Model(" in part]
    printed = functions(block)
    assert set(printed) == {"build", "generate"}
    assert all(whole[name] == code for name, code in printed.items())
