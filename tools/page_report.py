"""Count what the pages of the book offer a learner, and what does not fit on them: `python -m tools.page_report`.

A line for each chapter, from its text and its notebook: figures and their captions, the longer side of the smallest
picture, predictions and folded outputs, questions of the quiz, misconceptions, exercises. With `--browser`, and after
`make book`, a second table from Chromium (`tools.page_browser`): blocks that scroll sideways, text with too little
contrast, and what went wrong while a page was opened. tests/test_pages.py holds the bounds.
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
import yaml
from nbformat import NotebookNode
from PIL import Image
from scipy import ndimage

from tools.authoring.checks import code_cells
from tools.authoring.paired import notebook_path
from tools.authoring.solutions import exercise_labels

ROOT = Path(__file__).resolve().parents[1]
NOT_CHAPTERS = ("At the back", "Teaching with this book")  # parts of _toc.yml
BOX = r"^:::\{admonition\} %s.*?^:::$"
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
    parts = yaml.safe_load((ROOT / "_toc.yml").read_text())["parts"]
    pages = [page["file"] for part in parts if part["caption"] not in NOT_CHAPTERS for page in part["chapters"]]
    return [ROOT / "book" / "text" / f"{Path(page).name}.md" for page in pages]


def count(text: Path) -> Chapter:
    """Return the counts of a chapter."""
    source, notebook = text.read_text(encoding="utf-8"), nbformat.read(notebook_path(text), as_version=4)
    figures = [cell for _, cell in code_cells(notebook) if _pictures(cell)]
    sides = [side for cell in figures for picture in _pictures(cell) for side in frame_sides(picture)]
    boxes = re.findall(BOX % "What people get wrong", source, re.MULTILINE | re.DOTALL)
    return Chapter(
        name=text.stem,
        figures=sum(len(_pictures(cell)) for cell in figures),
        captions=sum(len(_pictures(cell)) for cell in figures if _caption(cell)),
        frame=min(sides, default=None),
        predictions=len(re.findall(BOX % "Predict", source, re.MULTILINE | re.DOTALL)),
        folded=sum("hide-output" in cell.metadata.get("tags", []) for _, cell in code_cells(notebook)),
        questions=len(re.findall(r"^\*\*\d+\.\*\*", source.partition("## Quiz")[2], re.MULTILINE)),
        misconceptions=sum(len(re.findall(r"^(?:\d+\.|-) ", box, re.MULTILINE)) for box in boxes),
        exercises=len(exercise_labels(source)),
    )


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


def _pictures(cell: NotebookNode) -> list[bytes]:
    found = (output.get("data", {}).get("image/png") for output in cell.outputs)
    return [base64.b64decode(png) for png in found if png]


def _caption(cell: NotebookNode) -> str:
    return str(((cell.metadata.get("mystnb") or {}).get("figure") or {}).get("caption") or "").strip()


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

        seen = page_browser.visit([ROOT / "_build" / "html" / "book" / f"{text.stem}.html" for text in texts])
        print("\n" + table(seen, page_browser.Visit._fields))


if __name__ == "__main__":
    main()
