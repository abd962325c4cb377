"""Learner notebooks: in step with the texts, plain Markdown, no solution in sight, and they run with empty answers."""

import re
from pathlib import Path

import nbformat
import pytest
from pybtex.database import parse_string

from tools.authoring import learner
from tools.authoring.colab import colab_cell
from tools.authoring.lesson import FORECAST, Lesson
from tools.authoring.notebooks import execute
from tools.authoring.paired import notebook_path
from tools.authoring.plain import Directive, Writer, blocks, quoted
from tools.authoring.solutions import solutions

TEXTS = learner.chapter_texts()
# What the chapter's notebook does not have; all other code cells are its own.
ADDED = re.compile(r"on-colab|records-on-colab|forecast-\d+|answer-ex-[\w-]+|check-ex-[\w-]+")
MYST = re.compile(r"^\s*[`:]{3,}\{|\{[\w:-]+\}`|^:\w+: ", re.MULTILINE)
ANSWER = re.compile(r"^:::\{admonition\} Answer\n:class: dropdown tip\n(.*?)\n:::$", re.DOTALL | re.MULTILINE)
SHORT = ("02_weighted_averages", "06_masks")


def read(name: str) -> nbformat.NotebookNode:
    return nbformat.read(learner.OUT / f"{name}.ipynb", as_version=4)


def sources(notebook, kind: str) -> list[str]:
    return [cell.source for cell in notebook.cells if cell.cell_type == kind]


# The committed notebooks


def test_they_are_what_the_texts_give_byte_for_byte():
    made = dict(learner.outputs())
    committed = {path: path.read_text(encoding="utf-8") for path in learner.OUT.rglob("*.ipynb")}
    assert {path.name for path in made.keys() ^ committed.keys()} == set(), "run `make notebooks`"
    assert [path.name for path in made if made[path] != committed[path]] == [], "run `make notebooks`"


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.stem)
def test_the_code_is_that_of_the_executed_chapter_in_its_order(path):
    """So a learner notebook runs because its chapter runs; what is added does nothing before it is answered."""
    chapter = nbformat.read(notebook_path(path), as_version=4)
    code = [cell for cell in read(path.stem).cells if cell.cell_type == "code"]
    assert code[0].source == colab_cell().source
    assert [cell.source for cell in code if not ADDED.fullmatch(cell.id)] == sources(chapter, "code")[1:]
    assert not any(cell.outputs or cell.execution_count for cell in code)


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.stem)
def test_no_directive_and_no_role_is_left(path):
    for name in (path.stem, f"solutions/{path.stem}"):
        assert [source for source in sources(read(name), "markdown") if MYST.search(source)] == []


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.stem)
def test_no_solution_and_no_answer_is_in_sight_and_all_are_in_the_second_notebook(path):
    text = path.read_text(encoding="utf-8")
    chapter = "\n".join(sources(nbformat.read(notebook_path(path), as_version=4), "code"))
    questions = "\n".join(re.findall(r"^`{3,}\{exercise\}.*?^`{3,}$", text, re.DOTALL | re.MULTILINE))
    lines = {line.strip() for solution in solutions(text) for line in solution.code.splitlines()}
    secret = {line for line in lines if len(line) > 12 and line not in chapter and line not in questions}
    plain = [body for body in ANSWER.findall(text) if not re.search(r"[`\]]", body)]
    lesson, solved = (
        "\n".join(cell.source for cell in read(name).cells) for name in (path.stem, f"solutions/{path.stem}")
    )
    assert len(secret) > 2
    assert [line for line in (*secret, *ANSWER.findall(text)) if line in lesson] == []
    assert [line for line in (*secret, *plain) if line not in solved] == []


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.stem)
def test_every_exercise_has_its_cell_and_every_link_leads_somewhere(path):
    notebook = read(path.stem)
    asked = [cell for cell in notebook.cells if cell.source.startswith("### Exercise ")]
    empty = [cell for cell in notebook.cells if cell.id.startswith("answer-")]
    assert len(asked) == len(empty) == len(solutions(path.read_text(encoding="utf-8")))
    for name in (path.stem, f"solutions/{path.stem}"):
        here = (learner.OUT / f"{name}.ipynb").parent
        prose = re.sub(
            r"`+[^`]+`+|\$[^$]+\$|^    .*$", "", "\n".join(sources(read(name), "markdown")), flags=re.MULTILINE
        )
        links = re.findall(r"\]\((?!https?:)([^)\s]+)\)", prose)
        assert [link for link in links if not (here / link).exists()] == []


@pytest.mark.slow
@pytest.mark.parametrize("name", SHORT)
def test_it_runs_from_top_to_bottom_with_empty_answers(name):
    notebook = read(name)
    execute(notebook, learner.OUT)
    printed = [cell.outputs[0].text for cell in notebook.cells if cell.id.startswith("check-")]
    assert set(printed) == {"Not answered yet.\n"}


# From a text to its notebooks, on toys

LIBRARY = parse_string(
    r"""
@misc{one, title={A}, author={de Vries, Harm}, year={2016}, url={https://a.org}}
@misc{two, title={B}, author={L{\"o}we, A. and Xu, B.}, year={2017}}
@misc{three, title={C}, author={Chen, A. and B, C. and D, E.}, year={2018}}
""",
    "bibtex",
)
HEADER = "---\nkernelspec:\n  display_name: Python 3\n  language: python\n  name: python3\n---\n\n"
TOY = """# Toy

Some {cite:p}`two`.

:::{admonition} Predict, then run
:class: tip
What is it?
:::

```{code-cell} ipython3
---
tags: [hide-input, hide-output]
mystnb: {figure: {caption: It was two., name: fig-two}}
---
print(2)
```

:::{admonition} Predict, then run
:class: tip
And now?
:::

```{code-cell} ipython3
forecast = 3
```

```{code-cell} ipython3
---
mystnb: {figure: {caption: "A bar, after {cite:t}`one`, see {numref}`fig-two`.", name: fig-bar}}
---
forecast
```

```{exercise} Add
:label: ex-add

*Easy, 5 minutes.* Two and two?

    x = 1
````

````{solution} ex-add
:class: dropdown

Four.

```python
assert 2 + 2 == 4
```
````

**1.** Which?

- (a) This.

:::{admonition} Answer
:class: dropdown tip
(a), by {cite:t}`three`.
:::
"""


def toy_writer() -> Writer:
    labels = {"ex-add": "Exercise 3.1", "fig-two": "Figure 3.1", "fig-bar": "Figure 3.2"}
    return Writer(LIBRARY, labels, {"other": "other.ipynb", "faq": "https://a.org/faq.html"})


def toy(tmp_path: Path, text: str) -> Lesson:
    (tmp_path / "toy.md").write_text(HEADER + text)
    return Lesson(tmp_path / "toy.md", toy_writer(), toy_writer())


def test_a_text_becomes_a_notebook_to_work_in_and_one_of_solutions(tmp_path):
    lesson = toy(tmp_path, TOY)
    notebook, solved = lesson.learner_notebook(3, "https://a.org/toy.html"), lesson.solutions_notebook(3)
    cells = [cell.source for cell in notebook.cells[1:]]
    assert cells[0].startswith("# 3 · Toy\n\nThis is the notebook of [the chapter](https://a.org/toy.html)")
    assert cells[0].endswith("Some (Löwe and Xu, 2017).\n\n> **Predict, then run**\n>\n> What is it?")
    assert cells[1:3] == [FORECAST, "print(2)"]
    assert notebook.cells[3].metadata == {"jupyter": {"source_hidden": True}}
    assert cells[3] == "**Figure 3.1.**"
    assert cells[4:7] == ["> **Predict, then run**\n>\n> And now?", "forecast = 3", "forecast"]
    assert cells[7] == "**Figure 3.2.** A bar, after de Vries (2016), see Figure 3.1."
    assert cells[8] == "### Exercise 3.1 · Add (easy, 5 minutes)\n\nTwo and two?\n\n    x = 1"
    assert cells[9] == "# Your answer to exercise 3.1:"
    assert cells[10] == "**1.** Which?\n\n- (a) This."
    assert cells[11].startswith("## Cited here\n\n- A. Löwe and B. Xu. B. 2017.")
    assert len(cells) == 12
    assert [cell.source for cell in solved.cells[1:3]] == [
        "### Exercise 3.1 · Add\n\nFour.\n\n```python\nassert 2 + 2 == 4\n```",
        "## Quiz\n\n**1.** (a), by Chen et al. (2018).",
    ]


def test_the_same_text_gives_the_same_bytes_and_no_id_twice(tmp_path):
    made = [nbformat.writes(toy(tmp_path, TOY).learner_notebook(3, "p")) for _ in range(2)]
    assert made[0] == made[1]
    ids = [cell.id for cell in nbformat.reads(made[0], as_version=4).cells]
    assert len(set(ids)) == len(ids)


def test_a_playground_lives_in_the_page_alone(tmp_path):
    lesson = toy(tmp_path, "# Toy\n\nBefore.\n\n:::{playground} beam\nPlay.\n:::\n\nAfter.\n")
    assert lesson.learner_notebook("toy", "p").cells[1].source.endswith("Before.\n\nAfter.")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("```{grid} 2\n```", "directive {grid}"),
        ("{doc}`x`", "role {doc}"),
        ("{cite:t}`none`", "citation of none"),
        ("{ref}`ex-none`", "reference to ex-none"),
        ("{numref}`fig-none`", "reference to fig-none"),
        ("[a](none.ipynb)", "link to none.ipynb"),
        (":::{admonition} A\nb", "no end of"),
    ],
)
def test_what_has_no_plain_form_is_refused_by_name(tmp_path, text, complaint):
    with pytest.raises(ValueError, match=rf"toy\.md: .*{complaint}"):
        toy(tmp_path, f"# Toy\n\n{text}\n")


def test_a_directive_ends_at_the_first_fence_that_is_as_long_and_code_is_no_directive():
    text = "a\n```{exercise} T\n:label: ex-a\n\nb\n````\n```python\n:::{no}\n```\n:::{admonition} A\n```py\nc\n```\n:::"
    parts = list(blocks(text))
    assert parts == [
        "a",
        Directive("exercise", "T", {"label": "ex-a"}, "b"),
        "```python\n:::{no}\n```",
        Directive("admonition", "A", {}, "```py\nc\n```"),
        "",
    ]
    assert quoted("A", "b\n\nc") == "> **A**\n>\n> b\n>\n> c"


@pytest.mark.parametrize(
    ("markdown", "plain"),
    [
        ("{cite:t}`one,two`", "de Vries (2016) and Löwe and Xu (2017)"),
        ("{cite:p}`one, three`", "(de Vries, 2016; Chen et al., 2018)"),
        ("{ref}`ex-add` {numref}`fig-bar`", "Exercise 3.1 Figure 3.2"),
        ("[a](other.ipynb#part) [b](faq.ipynb)", "[a](other.ipynb#part) [b](https://a.org/faq.html)"),
        ("`{cite:t}` ``a ` [b](none.md)``", "`{cite:t}` ``a ` [b](none.md)``"),
        ("```\n{cite:t}`none`\n```", "```\n{cite:t}`none`\n```"),
        ("[a](https://b.org/c.html) x[0](y)", "[a](https://b.org/c.html) x[0](y)"),
    ],
)
def test_prose_is_rewritten_and_code_is_not(markdown, plain):
    assert toy_writer().plain(markdown) == plain


def test_only_what_changed_is_written_and_what_is_gone_is_removed(tmp_path, monkeypatch, capsys):
    out = tmp_path / "notebooks"
    monkeypatch.setattr(learner, "OUT", out)
    monkeypatch.setattr(
        learner, "outputs", lambda: iter([(out / "a.ipynb", "1"), (out / "solutions" / "a.ipynb", "2")])
    )
    assert learner.main([]) == 0
    (out / "b.ipynb").touch()
    assert learner.main([]) == 0
    lines = ["notebooks/a.ipynb: made", "notebooks/solutions/a.ipynb: made", "notebooks/b.ipynb: removed"]
    assert capsys.readouterr().out.splitlines() == lines
    assert sorted(path.name for path in out.rglob("*.ipynb")) == ["a.ipynb", "a.ipynb"]
