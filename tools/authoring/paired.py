"""Paired texts: a chapter is written in MyST Markdown (book/text/03_name.md); its notebook (book/03_name.ipynb) is made
from that text.

Here is where the two lie, how a text becomes cells, how a notebook differs from its text, and which heading stands over
a cell. CONTRIBUTING.md explains how to write a chapter.
"""

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

import jupytext
from nbformat import NotebookNode

from tools.authoring.colab import CELL_ID

KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}

FENCE = re.compile(r"\s*(?P<fence>`{3,}|:{3,}|~{3,})(?P<rest>.*)")


def notebook_path(text: Path) -> Path:
    """Return the notebook of a text: book/text/03_name.md -> book/03_name.ipynb."""
    return text.parent.parent / f"{text.stem}.ipynb"


def text_path(notebook: Path) -> Path:
    """Return the text of a notebook: book/03_name.ipynb -> book/text/03_name.md."""
    return notebook.parent / "text" / f"{notebook.stem}.md"


def read_paired_text(text: Path) -> NotebookNode:
    """Return the notebook that a MyST text describes, without outputs.

    A cell's id is a digest of its source: the same text gives the same notebook, and a new cell leaves the other ids.
    What the tag `hide-output` folds on the page is folded in Jupyter, too.

    Raises:
        ValueError: the text cannot be read; the message names the file.
    """
    try:
        notebook = jupytext.read(text, fmt="md:myst")
    except Exception as error:  # jupytext lets YAML, MyST and decoding errors through, each of its own class
        reason = " ".join(str(error).split())
        raise ValueError(f"{text}: not a MyST notebook ({reason}); CONTRIBUTING.md shows a cell") from error
    notebook.metadata = NotebookNode(kernelspec=NotebookNode(KERNEL))
    notebook.nbformat_minor = 5  # the first with cell ids
    seen: dict[str, int] = {}
    for cell in notebook.cells:
        digest = hashlib.sha256(f"{cell.cell_type}\n{cell.source}".encode()).hexdigest()[:8]
        seen[digest] = seen.get(digest, 0) + 1
        cell["id"] = digest if seen[digest] == 1 else f"{digest}-{seen[digest]}"
        if "hide-output" in cell.metadata.get("tags", []):
            cell.metadata["jupyter"] = {"outputs_hidden": True}
    return notebook


def differences(notebook: NotebookNode, paired: NotebookNode) -> Iterator[str]:
    """Yield a line for every cell whose kind, source or metadata (tags, alternative text) differs from its text's.

    The cell for Colab stands in no text.
    """
    cells = [(index, cell) for index, cell in enumerate(notebook.cells) if cell.get("id") != CELL_ID]
    for (index, cell), other in zip(cells, paired.cells, strict=False):
        for part in ("cell_type", "source", "metadata"):
            if cell[part] != other[part]:
                yield f"{place(notebook, index)}: its {part} differs from the text"
                break
    if len(cells) != len(paired.cells):
        yield f"{len(cells)} cells, and the text has {len(paired.cells)}"


def place(notebook: NotebookNode, index: int) -> str:
    """Return where a person finds a cell: its number, counted from 1, and the nearest heading above or within it."""
    heading = "no heading"
    for cell in notebook.cells[: index + 1]:
        if cell.cell_type == "markdown":
            heading = next(reversed(list(_headings(cell.source))), heading)
    return f"cell {index + 1}, under '{heading}'"


def _headings(markdown: str) -> Iterator[str]:
    """Yield the headings of a Markdown text; a comment in fenced code is none."""
    fence = ""
    for line in markdown.splitlines():
        mark = FENCE.match(line)
        if mark and not fence:
            fence = mark["fence"]
        elif mark and mark["fence"].startswith(fence) and not mark["rest"].strip():
            fence = ""
        elif line.startswith("#") and not fence:
            yield line.lstrip("#").strip()
