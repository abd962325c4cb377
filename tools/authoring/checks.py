"""The rules that notebooks, chapter texts and built pages keep, each a function that returns its complaints.

A complaint is one line that says where, what, and what to do; an empty list means that all is well. tests/test_book.py
applies every check to every notebook of the book. CONTRIBUTING.md gives the rules.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from html.parser import HTMLParser
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from tools.authoring.colab import CELL_ID, colab_cell
from tools.authoring.paired import differences, place, read_paired_text, text_path

MAX_CELL_LINES = 15
MAX_CLASS_LINES = 30  # of a cell that defines a class
MAX_COLUMNS = 72
MAX_BYTES = 1_000_000
MAX_IGNORED_SHARE = 0.15

LIVE_OUTPUTS = ("text/html", "image/svg+xml", "application/javascript")
IGNORED = "nbval-ignore-output"
ADDRESS = re.compile(r"(?:https?:)?//\w[\w.-]*\.\w", re.IGNORECASE)
# An XML namespace looks like an address, but nothing opens it.
NAMESPACE = re.compile(r"""xmlns(?::\w+)?\s*=\s*(["']).*?\1""")
NETWORK_IMAGE = re.compile(
    r"""(?: !\[[^\]]*\]\(\s*<? | <img\b[^>]*\bsrc\s*=\s*["']? | \{(?:image|figure)\}\s* ) (?:https?:)?//""", re.I | re.X
)


def not_executed(notebook: NotebookNode) -> list[str]:
    """Return the cells that were not run, or not once from top to bottom.

    nbval compares nothing for a cell without an execution count, and passes it.
    """
    cells = [(index, cell) for index, cell in code_cells(notebook) if cell.source.strip()]
    return [
        f"{place(notebook, index)}: executed as {cell.execution_count}, not as {count}; run `make notebooks`"
        for count, (index, cell) in enumerate(cells, start=1)
        if cell.execution_count != count
    ]


def no_colab_cell(notebook: NotebookNode) -> list[str]:
    """Return a complaint if the notebook does not begin with the present cell for Colab."""
    if notebook.cells and notebook.cells[0].source == colab_cell().source:
        return []
    return ["the first cell is not the one for Colab; run `make notebooks`"]


def long_cells(notebook: NotebookNode) -> list[str]:
    """Return the code cells of more than `MAX_CELL_LINES` lines, or `MAX_CLASS_LINES` if they define a class."""
    lengths = ((index, len(cell.source.splitlines()), _max_lines(cell)) for index, cell in code_cells(notebook))
    return [
        f"{place(notebook, index)}: {length} lines of code; at most {limit}, the rest belongs in the package"
        for index, length, limit in lengths
        if length > limit
    ]


def wide_lines(notebook: NotebookNode) -> list[str]:
    """Return the code cells with a line of more than `MAX_COLUMNS` columns, which would scroll on the page.

    The cell for Colab is not on the page.
    """
    return [
        f"{place(notebook, index)}: a line of {widest} columns; at most {MAX_COLUMNS}"
        for index, cell in code_cells(notebook)
        if cell.get("id") != CELL_ID and (widest := max(map(len, cell.source.splitlines()), default=0)) > MAX_COLUMNS
    ]


def _max_lines(cell: NotebookNode) -> int:
    defines_class = re.search(r"^class \w+", cell.source, re.MULTILINE)
    return MAX_CLASS_LINES if defines_class else MAX_CELL_LINES


def figures_without_alt_text(notebook: NotebookNode) -> list[str]:
    """Return the cells that output a figure and have no `mystnb: {image: {alt: ...}}` in their metadata."""
    return [
        f"{place(notebook, index)}: a figure without alternative text; give the cell `mystnb: {{image: {{alt: ...}}}}`"
        for index, cell in code_cells(notebook)
        if any("image/png" in output.get("data", {}) for output in cell.outputs) and not _alt_text(cell).strip()
    ]


def error_outputs(notebook: NotebookNode) -> list[str]:
    """Return the outputs that are exceptions, except in cells tagged `raises-exception`."""
    return [
        f"{place(notebook, index)}: {output.ename}: {output.evalue}; mend it, or tag the cell `raises-exception`"
        for index, output in _outputs(notebook)
        if output.output_type == "error" and "raises-exception" not in _tags(notebook.cells[index])
    ]


def stderr_outputs(notebook: NotebookNode) -> list[str]:
    """Return the outputs on standard error: warnings and progress bars, which differ from machine to machine."""
    return [
        f"{place(notebook, index)}: on standard error: {output.text.strip()[:80]!r}; find the cause and remove it"
        for index, output in _outputs(notebook)
        if output.output_type == "stream" and output.name == "stderr"
    ]


def network_outputs(notebook: NotebookNode) -> list[str]:
    """Return the outputs in HTML, SVG or JavaScript that carry a network address."""
    return [
        f"{place(notebook, index)}: the {kind} output carries a network address; the book opens without a network"
        for index, output in _outputs(notebook)
        for kind, text in output.get("data", {}).items()
        if kind in LIVE_OUTPUTS and ADDRESS.search(NAMESPACE.sub("", "".join(text)))
    ]


NOTEBOOK_CHECKS: tuple[Callable[[NotebookNode], list[str]], ...] = (
    not_executed, no_colab_cell, long_cells, wide_lines, figures_without_alt_text,
    error_outputs, stderr_outputs, network_outputs,
)  # fmt: skip


def out_of_sync(notebook: NotebookNode, text: Path) -> list[str]:
    """Return the cells that differ from the paired text, or a complaint that there is no text."""
    if not text.exists():
        return [f"{text} is missing: every notebook is made from its text"]
    return [
        f"{line}; edit {text.name}, then run `make notebooks`" for line in differences(notebook, read_paired_text(text))
    ]


def too_large(path: Path) -> list[str]:
    """Return a complaint if the notebook file has more than `MAX_BYTES`."""
    size = path.stat().st_size
    if size <= MAX_BYTES:
        return []
    return [f"{path.name}: {size // 1000} kB; at most {MAX_BYTES // 1000}: draw smaller or fewer figures"]


def check_notebook(path: Path) -> list[str]:
    """Return all complaints about one notebook of the book, each with the name of its file."""
    notebook = nbformat.read(path, as_version=4)
    complaints = [line for check in NOTEBOOK_CHECKS for line in check(notebook)]
    complaints += out_of_sync(notebook, text_path(path))
    return [f"{path.name}, {line}" for line in complaints] + too_large(path)


def too_many_ignored(notebooks: Iterable[NotebookNode]) -> list[str]:
    """Return a complaint if more than `MAX_IGNORED_SHARE` of the code cells of the whole book ignore their output."""
    code = (cell for notebook in notebooks for _, cell in code_cells(notebook))
    cells = [cell for cell in code if cell.source.strip() and cell.get("id") != CELL_ID]
    ignored = sum(IGNORED in _tags(cell) or "NBVAL_IGNORE_OUTPUT" in cell.source for cell in cells)
    if ignored <= MAX_IGNORED_SHARE * len(cells):
        return []
    return [f"{ignored} of {len(cells)} cells ignore their output; at most {MAX_IGNORED_SHARE:.0%}"]


def network_images(text: str) -> list[str]:
    """Return the lines of a Markdown text that show an image from the network."""
    return [
        f"line {number}: an image from the network: {line.strip()[:80]!r}; keep a copy beside the page"
        for number, line in enumerate(text.splitlines(), start=1)
        if NETWORK_IMAGE.search(line)
    ]


def network_requests(page: str) -> list[str]:
    """Return what a browser would fetch from the network to show a page: scripts, styles, images, frames; not links."""
    parser = _RequestParser()
    parser.feed(page)
    return [f"asks for {address}" for address in parser.addresses]


class _RequestParser(HTMLParser):
    """Collects the network addresses that a page loads by itself."""

    LOADED_LINKS = frozenset(("stylesheet", "icon", "manifest", "preload", "modulepreload", "prefetch", "preconnect"))
    LOADED_ATTRIBUTES = ("src", "srcset", "data", "poster")

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        values = [attributes[name] for name in self.LOADED_ATTRIBUTES if name in attributes]
        if tag == "link" and self.LOADED_LINKS & set(attributes.get("rel", "").lower().split()):
            values.append(attributes.get("href", ""))
        self.addresses += [value for value in values if re.match(r"\s*(?:https?:)?//", value)]


def code_cells(notebook: NotebookNode) -> Iterator[tuple[int, NotebookNode]]:
    """Yield the code cells, each with its index among all cells."""
    return ((index, cell) for index, cell in enumerate(notebook.cells) if cell.cell_type == "code")


def _outputs(notebook: NotebookNode) -> Iterator[tuple[int, NotebookNode]]:
    return ((index, output) for index, cell in code_cells(notebook) for output in cell.outputs)


def _tags(cell: NotebookNode) -> list[str]:
    return cell.metadata.get("tags", [])


def _alt_text(cell: NotebookNode) -> str:
    return str(((cell.metadata.get("mystnb") or {}).get("image") or {}).get("alt") or "")
