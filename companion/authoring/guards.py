"""A notebook, a text or a built page in, a list of complaints out: empty if all is well.

Each complaint is one line that says where, what, and what to do. tests/test_book.py runs every
guard over every notebook of the book.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from html.parser import HTMLParser
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from companion.authoring.launching import CELL_ID, colab_cell
from companion.authoring.twins import differences, place, read_twin, twin_path

MAX_CELL_LINES = 15
MAX_BYTES = 400_000
MAX_IGNORED_SHARE = 0.15

LIVE_OUTPUTS = ("text/html", "image/svg+xml", "application/javascript")
IGNORED = "nbval-ignore-output"
ADDRESS = re.compile(r"(?:https?:)?//\w[\w.-]*\.\w", re.IGNORECASE)
# An XML name looks like an address, but nobody opens it.
NAMESPACE = re.compile(r"""xmlns(?::\w+)?\s*=\s*(["']).*?\1""")
OUTSIDE_IMAGE = re.compile(
    r"""(?: !\[[^\]]*\]\(\s*<? | <img\b[^>]*\bsrc\s*=\s*["']? | \{(?:image|figure)\}\s* ) (?:https?:)?//""", re.I | re.X
)


def unexecuted(notebook: NotebookNode) -> list[str]:
    """Cells that were not run, or not once from top to bottom: nbval passes a cell without a count unseen."""
    cells = [(index, cell) for index, cell in _code(notebook) if cell.source.strip()]
    return [
        f"{place(notebook, index)}: executed as {cell.execution_count}, not as {count}; run `make notebooks`"
        for count, (index, cell) in enumerate(cells, start=1)
        if cell.execution_count != count
    ]


def unlaunchable(notebook: NotebookNode) -> list[str]:
    """A notebook that does not begin with the cell that fetches the package on Colab, from today's address."""
    if notebook.cells and notebook.cells[0].source == colab_cell().source:
        return []
    return ["the first cell is not the one for Colab; run `make notebooks`"]


def long_cells(notebook: NotebookNode) -> list[str]:
    """Code cells of more than 15 lines."""
    lengths = ((index, len(cell.source.splitlines())) for index, cell in _code(notebook))
    return [
        f"{place(notebook, index)}: {length} lines of code; at most {MAX_CELL_LINES}, the rest belongs into the package"
        for index, length in lengths
        if length > MAX_CELL_LINES
    ]


def pictures_without_words(notebook: NotebookNode) -> list[str]:
    """Cells that output a picture and have no alternative text in their metadata `mystnb: {image: {alt: ...}}`."""
    return [
        f"{place(notebook, index)}: a picture without alternative text; give the cell `mystnb: {{image: {{alt: ...}}}}`"
        for index, cell in _code(notebook)
        if any("image/png" in output.get("data", {}) for output in cell.outputs) and not _alternative(cell).strip()
    ]


def errors(notebook: NotebookNode) -> list[str]:
    """Outputs that are exceptions, unless the cell says by the tag `raises-exception` that it means to show one."""
    return [
        f"{place(notebook, index)}: {output.ename}: {output.evalue}; mend it, or tag the cell `raises-exception`"
        for index, output in _outputs(notebook)
        if output.output_type == "error" and "raises-exception" not in _tags(notebook.cells[index])
    ]


def warnings(notebook: NotebookNode) -> list[str]:
    """Outputs on the error stream: warnings and progress bars, which differ from machine to machine."""
    return [
        f"{place(notebook, index)}: on the error stream: {output.text.strip()[:80]!r}; find the cause and remove it"
        for index, output in _outputs(notebook)
        if output.output_type == "stream" and output.name == "stderr"
    ]


def outside_outputs(notebook: NotebookNode) -> list[str]:
    """Outputs in HTML, SVG or JavaScript that carry a network address."""
    return [
        f"{place(notebook, index)}: the {kind} output carries a network address; the book opens without a network"
        for index, output in _outputs(notebook)
        for kind, text in output.get("data", {}).items()
        if kind in LIVE_OUTPUTS and ADDRESS.search(NAMESPACE.sub("", "".join(text)))
    ]


NOTEBOOK_GUARDS: tuple[Callable[[NotebookNode], list[str]], ...] = (
    unexecuted, unlaunchable, long_cells, pictures_without_words, errors, warnings, outside_outputs,
)  # fmt: skip


def drifted(notebook: NotebookNode, twin: Path) -> list[str]:
    """Cells that do not say what the text says; also a missing text."""
    if not twin.exists():
        return [f"{twin} is missing: every notebook is made from its text"]
    return [f"{line}; edit {twin.name}, then run `make notebooks`" for line in differences(notebook, read_twin(twin))]


def too_large(path: Path) -> list[str]:
    """A notebook of more than 400 kB."""
    size = path.stat().st_size
    if size <= MAX_BYTES:
        return []
    return [f"{path.name}: {size // 1000} kB; at most {MAX_BYTES // 1000}: draw smaller or fewer pictures"]


def check(path: Path) -> list[str]:
    """Everything that can be said against one notebook of the book."""
    notebook = nbformat.read(path, as_version=4)
    found = [f"{path.name}, {line}" for guard in NOTEBOOK_GUARDS for line in guard(notebook)]
    return found + [f"{path.name}, {line}" for line in drifted(notebook, twin_path(path))] + too_large(path)


def too_much_ignored(notebooks: Iterable[NotebookNode]) -> list[str]:
    """More than 15 % of the code cells of the whole book whose output nobody compares."""
    code = (cell for notebook in notebooks for _, cell in _code(notebook))
    cells = [cell for cell in code if cell.source.strip() and cell.get("id") != CELL_ID]
    ignored = sum(IGNORED in _tags(cell) or "NBVAL_IGNORE_OUTPUT" in cell.source for cell in cells)
    if ignored <= MAX_IGNORED_SHARE * len(cells):
        return []
    return [f"{ignored} of {len(cells)} cells ignore their output; at most {MAX_IGNORED_SHARE:.0%}"]


def outside_images(text: str) -> list[str]:
    """Lines of a Markdown text that show a picture from the network."""
    return [
        f"line {number}: a picture from the network: {line.strip()[:80]!r}; keep a copy beside the page"
        for number, line in enumerate(text.splitlines(), start=1)
        if OUTSIDE_IMAGE.search(line)
    ]


def outside_requests(page: str) -> list[str]:
    """What a browser would fetch from the network on opening the page: scripts, styles, pictures, frames; not links."""
    scan = _Requests()
    scan.feed(page)
    return [f"asks for {address}" for address in scan.found]


class _Requests(HTMLParser):
    """Collects the outside addresses that a page loads by itself."""

    FETCHING = frozenset(("stylesheet", "icon", "manifest", "preload", "modulepreload", "prefetch", "preconnect"))
    LOADING = ("src", "srcset", "data", "poster")

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = {name: value or "" for name, value in attrs}
        values = [named[name] for name in self.LOADING if name in named]
        if tag == "link" and self.FETCHING & set(named.get("rel", "").lower().split()):
            values.append(named.get("href", ""))
        self.found += [value for value in values if re.match(r"\s*(?:https?:)?//", value)]


def _code(notebook: NotebookNode) -> Iterator[tuple[int, NotebookNode]]:
    return ((index, cell) for index, cell in enumerate(notebook.cells) if cell.cell_type == "code")


def _outputs(notebook: NotebookNode) -> Iterator[tuple[int, NotebookNode]]:
    return ((index, output) for index, cell in _code(notebook) for output in cell.outputs)


def _tags(cell: NotebookNode) -> list[str]:
    return cell.metadata.get("tags", [])


def _alternative(cell: NotebookNode) -> str:
    return str(((cell.metadata.get("mystnb") or {}).get("image") or {}).get("alt") or "")
