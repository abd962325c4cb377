"""A chapter's text (book/text/03_name.md) in, the cells of its notebook (book/03_name.ipynb) out, not yet executed.

Also: where the two lie, how they differ, and which heading stands over a cell.
"""

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

import jupytext
from nbformat import NotebookNode

from companion.authoring.launching import CELL_ID

KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}

FENCE = re.compile(r"\s*(?P<fence>`{3,}|:{3,}|~{3,})(?P<rest>.*)")


def notebook_path(twin: Path) -> Path:
    """book/text/03_name.md -> book/03_name.ipynb."""
    return twin.parent.parent / f"{twin.stem}.ipynb"


def twin_path(notebook: Path) -> Path:
    """book/03_name.ipynb -> book/text/03_name.md."""
    return notebook.parent / "text" / f"{notebook.stem}.md"


def read_twin(twin: Path) -> NotebookNode:
    """The notebook that a MyST text describes, without outputs; ValueError names the file if the text cannot be read.

    A cell's id is a digest of what it says: the same text gives the same notebook, and a new cell leaves the other ids.
    """
    try:
        notebook = jupytext.read(twin, fmt="md:myst")
    except Exception as problem:  # jupytext lets YAML, MyST and decoding errors through, each of its own class
        reason = " ".join(str(problem).split())
        raise ValueError(f"{twin}: not a MyST notebook ({reason}); CONTRIBUTING.md shows a cell") from problem
    notebook.metadata = NotebookNode(kernelspec=NotebookNode(KERNEL))
    notebook.nbformat_minor = 5  # the first with cell ids
    seen: dict[str, int] = {}
    for cell in notebook.cells:
        digest = hashlib.sha256(f"{cell.cell_type}\n{cell.source}".encode()).hexdigest()[:8]
        seen[digest] = seen.get(digest, 0) + 1
        cell["id"] = digest if seen[digest] == 1 else f"{digest}-{seen[digest]}"
    return notebook


def differences(notebook: NotebookNode, twin: NotebookNode) -> Iterator[str]:
    """One line for every cell whose kind, text or metadata (tags, alternative text) differs from its twin's.

    The cell for Colab stands in no text.
    """
    written = [(index, cell) for index, cell in enumerate(notebook.cells) if cell.get("id") != CELL_ID]
    for (index, cell), other in zip(written, twin.cells, strict=False):
        for part in ("cell_type", "source", "metadata"):
            if cell[part] != other[part]:
                yield f"{place(notebook, index)}: its {part} differs from the text"
                break
    if len(written) != len(twin.cells):
        yield f"{len(written)} cells, and the text has {len(twin.cells)}"


def place(notebook: NotebookNode, index: int) -> str:
    """Where a person finds a cell: its number, counted from 1, and the nearest heading above (or within) it."""
    heading = "no heading"
    for cell in notebook.cells[: index + 1]:
        if cell.cell_type == "markdown":
            heading = next(reversed(list(_headings(cell.source))), heading)
    return f"cell {index + 1}, under '{heading}'"


def _headings(markdown: str) -> Iterator[str]:
    """The headings of a Markdown text; a comment in fenced code is none."""
    fence = ""
    for line in markdown.splitlines():
        mark = FENCE.match(line)
        if mark and not fence:
            fence = mark["fence"]
        elif mark and mark["fence"].startswith(fence) and not mark["rest"].strip():
            fence = ""
        elif line.startswith("#") and not fence:
            yield line.lstrip("#").strip()
