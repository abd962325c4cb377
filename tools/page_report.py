"""Count what the pages of the book offer a learner, and what does not fit on them: `python -m tools.page_report`.

A line for each chapter, from its text and its notebook: figures and their captions, the longer side of the smallest
picture, predictions and those whose answer is folded, questions of the quiz, misconceptions, exercises. With
`--browser`, and after `make book`, a second table from Chromium (`tools.page_browser`), a line for each page:
kilobytes, milliseconds to the first paint and until the page answers, tab stops, blocks that scroll sideways, text with
too little contrast, and what went wrong while the page was opened. tests/test_pages.py holds the bounds.
"""

import argparse
import base64
import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import nbformat
import numpy as np
from nbformat import NotebookNode
from PIL import Image
from scipy import ndimage

from tools.authoring.checks import code_cells
from tools.authoring.contents import chapter_numbers, figure_of
from tools.authoring.paired import notebook_path
from tools.authoring.solutions import exercise_labels

ROOT = Path(__file__).resolve().parents[1]
BOX = r"^:::\{admonition\} %s.*?^:::$"
PREDICT = re.compile(BOX % "Predict", re.MULTILINE | re.DOTALL)
HEADING = re.compile("^#", re.MULTILINE)
PNG = "image/png"
SMALLEST_FRAME = 24  # pixels; what is smaller is a marker or a cell of a key, no picture


class Chapter(NamedTuple):
    """The counts of one chapter; the frame in pixels, None where no figure shows a picture or a heat map."""

    name: str
    figures: int
    captions: int
    frame: int | None
    predictions: int
    folded: int
    questions: int
    misconceptions: int
    exercises: int


def chapters() -> list[Path]:
    """Return the texts of the chapters in the order of the table of contents."""
    return [ROOT / "book" / "text" / f"{name}.md" for name in chapter_numbers()]


def count(text: Path) -> Chapter:
    """Return the counts of a chapter."""
    source, notebook = text.read_text(encoding="utf-8"), nbformat.read(notebook_path(text), as_version=4)
    figures = [(cell, output.data) for _, cell in code_cells(notebook) for output in cell.outputs if is_figure(output)]
    sides = [side for _, data in figures if PNG in data for side in frame_sides(base64.b64decode(data[PNG]))]
    asked = [index for index, cell in enumerate(notebook.cells) if PREDICT.search(cell.source)]
    boxes = re.findall(BOX % "What people get wrong", source, re.MULTILINE | re.DOTALL)
    return Chapter(
        name=text.stem,
        figures=len(figures),
        captions=sum(bool(figure_of(cell)) for cell, _ in figures),
        frame=min(sides, default=None),
        predictions=len(asked),
        folded=sum(is_folded(notebook.cells[index + 1 :]) for index in asked),
        questions=len(re.findall(r"^\*\*\d+\.\*\*", source.partition("## Quiz")[2], re.MULTILINE)),
        misconceptions=sum(len(re.findall(r"^(?:\d+\.|-) ", box, re.MULTILINE)) for box in boxes),
        exercises=len(exercise_labels(source)),
    )


def is_folded(cells: Sequence[NotebookNode]) -> bool:
    """Return whether a folded output comes among the cells after a prediction, before the next one or a new section."""
    for cell in cells:
        if cell.cell_type == "markdown" and (HEADING.search(cell.source) or PREDICT.search(cell.source)):
            return False
        if "hide-output" in cell.metadata.get("tags", []):
            return True
    return False


def is_figure(output: NotebookNode) -> bool:
    """Return whether an output of a cell is a picture, or an explorer of attention (`companion.plots.explorer`)."""
    data = output.get("data", {})
    return PNG in data or 'class="attention-explorer' in "".join(data.get("text/html", ""))


def frame_sides(png: bytes) -> list[int]:
    """Return the longer side, in pixels, of every frame of a figure: a picture or heat map, which alone is opaque.

    A frame is a connected opaque region that fills nearly all of the rectangle around it.
    """
    picture = Image.open(io.BytesIO(png))
    if "A" not in picture.getbands():
        return [max(picture.size)]
    regions, _ = ndimage.label(np.asarray(picture)[..., -1] == 255)
    sides = []
    for index, (rows, cols) in enumerate(ndimage.find_objects(regions), start=1):
        height, width = rows.stop - rows.start, cols.stop - cols.start
        if min(height, width) >= SMALLEST_FRAME and (regions[rows, cols] == index).mean() > 0.95:
            sides.append(max(height, width))
    return sides


def table(rows: Sequence[Sequence[Any]], heads: Sequence[str]) -> str:
    """Return rows below their heads, aligned: the first column to the left, numbers to the right."""
    cells = [list(heads), *([("-" if x is None else str(x)) for x in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    aligned = ([x.rjust(width) for x, width in zip(row[1:], widths[1:], strict=True)] for row in cells)
    return "\n".join("  ".join([row[0].ljust(widths[0]), *rest]) for row, rest in zip(cells, aligned, strict=True))


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(prog="python -m tools.page_report", description="Count what the pages offer.")
    parser.add_argument("--browser", action="store_true", help="also open the built pages in Chromium")
    browser = parser.parse_args().browser
    texts = chapters()
    rows = [count(text) for text in texts]
    print(table(rows, Chapter._fields))
    if browser:
        from tools import page_browser

        pages = sorted((ROOT / "_build" / "html" / "book").glob("*.html"))
        with page_browser.browser() as running:
            seen = [page_browser.visit(running, page) for page in pages]
        print("\n" + table(seen, page_browser.Visit._fields))


if __name__ == "__main__":
    main()
