"""One chapter's learner notebook and the notebook of its solutions, from the chapter's text.

`tools.authoring.learner` says what they are for, and writes them. The text is read once: prose, exercises and code go
into the first, the solutions and the answers of the quiz into the second. A directive that has no form in plain
Markdown is an error.
"""

import hashlib
import re
from pathlib import Path

from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from companion.classroom.by_hand import ANSWERS
from tools.authoring.colab import CELL_ID, colab_cell, records_cell
from tools.authoring.contents import figure_of
from tools.authoring.paired import KERNEL, read_paired_text
from tools.authoring.plain import Directive, Writer, blocks, quoted

QUESTION = re.compile(r"^\*\*(\d+)\.\*\*", re.MULTILINE)  # of a quiz
EFFORT = re.compile(r"\*([^*]+)\.\*\s+")  # "*Easy, 5 minutes.*"
RECORDS = "../benchmarks/"
FORECAST = "# Your forecast, before you run the next cell:"
NOTE = """\
This is the notebook of [the chapter]({page}), to work in. Run its cells from top to bottom. Forecasts and answers go \
into the cells that ask for them. The solutions of the exercises and the answers of the quiz are in \
[a notebook of their own](solutions/{name}.ipynb)."""
NOTE_OF_SOLUTIONS = """\
These are the solutions of the exercises of [{title}](../{name}.ipynb) and the answers of its quiz. The code goes on \
where that notebook ends: to run it, paste it there, below its exercise."""


class Lesson:
    """The cells of the two notebooks of one text.

    Args:
        text: the chapter's text.
        prose: rewrites what goes into the learner notebook.
        solution_prose: rewrites what goes into the notebook of solutions, which lies a folder deeper.

    Raises:
        ValueError: the text holds something that has no form in plain Markdown; the message names the text.
    """

    def __init__(self, text: Path, prose: Writer, solution_prose: Writer) -> None:
        self.name, self.prose, self.solution_prose = text.stem, prose, solution_prose
        self.cells: list[NotebookNode] = []
        self.solutions: list[NotebookNode] = []
        self.answers: list[str] = []
        self._headings: dict[str, str] = {}  # of the exercises, by label
        self._question = ""  # the number of the quiz question that was read last
        cells = read_paired_text(text).cells
        for cell, following in zip(cells, [*cells[1:], None], strict=True):
            try:
                if cell.cell_type == "code":
                    self._add_code(cell)
                else:
                    self._read(cell.source, forecast_follows=following is not None and "forecast" in following.source)
            except ValueError as error:
                raise ValueError(f"{text}: {error}") from error

    def _add_code(self, cell: NotebookNode) -> None:
        """Add a cell of the chapter, and below it its figure's number, with the caption if the output is not folded."""
        tags = set(cell.metadata.get("tags", []))
        self.cells.append(code_cell(cell.source, cell.id, folded=bool(tags & {"hide-input", "hide-cell"})))
        if figure := figure_of(cell):
            caption = "" if "hide-output" in tags else self.prose.plain(figure["caption"].strip())
            self._add([f"**{self.prose.labels[figure['name']]}.** {caption}"])

    def _read(self, markdown: str, *, forecast_follows: bool) -> None:
        """Add what a Markdown cell holds; the code cell after it may already ask for a forecast."""
        parts: list[str] = []
        for block in blocks(markdown):
            match block:
                case str():
                    parts.append(self.prose.plain(block))
                    self._question = [self._question, *QUESTION.findall(block)][-1]
                case Directive("admonition", options={"class": kind}) if "dropdown" in kind:
                    self.answers.append(f"**{self._question}.** {self.solution_prose.plain(block.body)}")
                case Directive("admonition"):
                    parts.append(quoted(block.argument, self.prose.plain(block.body)))
                    if block.argument.startswith("Predict") and not forecast_follows:
                        self._add(parts)
                        self.cells.append(code_cell(FORECAST, f"forecast-{len(self.cells)}"))
                case Directive("exercise"):
                    self._add(parts)
                    self._add_exercise(block)
                case Directive("solution"):
                    source = f"{self._headings[block.argument]}\n\n{self.solution_prose.plain(block.body.strip())}"
                    self.solutions.append(new_markdown_cell(source))
                case Directive("playground"):
                    pass  # it lives in the page alone
                case _:
                    raise ValueError(f"the directive {{{block.name}}} has no form in plain Markdown: add one here")
        self._add(parts)

    def _add(self, parts: list[str]) -> None:
        """Add a cell of these parts, unless they are blank, and empty the list."""
        if source := re.sub(r"\n{3,}", "\n\n", "\n\n".join(parts)).strip():
            self.cells.append(new_markdown_cell(source))
        parts.clear()

    def _add_exercise(self, exercise: Directive) -> None:
        """Add the question, an empty cell for the answer, and the check if there is one."""
        label, body = exercise.options["label"], exercise.body.lstrip()
        name = self.prose.labels[label]
        heading = self._headings[label] = f"### {name} · {exercise.argument}"
        if effort := EFFORT.match(body):
            words = effort[1]
            heading += f" ({words[0].lower()}{words[1:]})"
            body = body[effort.end() :]
        self.cells.append(new_markdown_cell(f"{heading}\n\n{self.prose.plain(body)}"))
        if label in ANSWERS:
            self.cells.append(code_cell(f"answer = ...  # {ANSWERS[label].asked}", f"answer-{label}"))
            check = f'from companion.classroom import check_answer\n\ncheck_answer("{label}", answer)'
            self.cells.append(code_cell(check, f"check-{label}"))
        else:
            self.cells.append(code_cell(f"# Your answer to {name.lower()}:", f"answer-{label}"))

    def learner_notebook(self, chapter: int, page: str) -> NotebookNode:
        """Return the notebook to work in, with the number of the chapter and the address of its page."""
        first, *rest = self.cells
        _, _, opening = first.source.partition("\n")
        head = [code_cell(colab_cell().source, CELL_ID, folded=True)]
        if any(RECORDS in cell.source for cell in rest if cell.cell_type == "code"):
            head.append(code_cell(records_cell().source, records_cell().id, folded=True))
        note = NOTE.format(page=page, name=self.name)
        return finished([*head, new_markdown_cell(f"# {self._title(chapter)}\n\n{note}\n{opening}"), *rest], self.prose)

    def solutions_notebook(self, chapter: int) -> NotebookNode:
        """Return the notebook of the solutions and the answers of the quiz."""
        title = self._title(chapter)
        note = NOTE_OF_SOLUTIONS.format(title=title, name=self.name)
        quiz = [new_markdown_cell("\n\n".join(["## Quiz", *self.answers]))] if self.answers else []
        head = new_markdown_cell(f"# Solutions: {title}\n\n{note}")
        return finished([head, *self.solutions, *quiz], self.solution_prose)

    def _title(self, chapter: int) -> str:
        """Return the title with its number, as it stands on the page."""
        return f"{chapter} · {self.cells[0].source.partition(chr(10))[0].lstrip('# ')}"


def code_cell(source: str, cell_id: str, *, folded: bool = False) -> NotebookNode:
    """Return a code cell that has not run; JupyterLab shows a folded one as a bar that opens by a click."""
    return new_code_cell(source, id=cell_id, metadata={"jupyter": {"source_hidden": True}} if folded else {})


def finished(cells: list[NotebookNode], prose: Writer) -> NotebookNode:
    """Return a notebook of these cells and the list of what they cite; a Markdown cell has its id from its text."""
    if prose.cited:
        cells = [*cells, new_markdown_cell(f"## Cited here\n\n{prose.references()}")]
    seen: dict[str, int] = {}
    for cell in cells:
        if cell.cell_type == "markdown":
            digest = hashlib.sha256(cell.source.encode()).hexdigest()[:8]
            seen[digest] = seen.get(digest, 0) + 1
            cell["id"] = f"text-{digest}" if seen[digest] == 1 else f"text-{digest}-{seen[digest]}"
    return new_notebook(cells=cells, metadata={"kernelspec": KERNEL, "language_info": {"name": "python"}})
