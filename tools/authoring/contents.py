"""The table of contents: which pages are chapters, their numbers, and those of their figures and exercises.

Every page of a part of `_toc.yml` that is `numbered` is a chapter, and the numbers run on from part to part. Sphinx
counts in the same way: chapters through the book, figures and exercises by chapter. Learner notebooks count by these
functions.
"""

from functools import cache
from pathlib import Path

import yaml
from nbformat import NotebookNode

from tools.authoring.paired import read_paired_text
from tools.authoring.solutions import exercise_labels

TOC = Path(__file__).resolve().parents[2] / "_toc.yml"


@cache
def chapter_numbers(toc: Path = TOC) -> dict[str, int]:
    """Return the number of every chapter by the name of its page, "02_weighted_averages", in the order of the book."""
    parts = yaml.safe_load(toc.read_text(encoding="utf-8"))["parts"]
    pages = [page["file"] for part in parts if part.get("numbered") for page in part["chapters"]]
    return {Path(page).name: number for number, page in enumerate(pages, start=1)}


def labels(text: Path, chapter: int) -> dict[str, str]:
    """Return what a reference to each exercise and each figure of a chapter displays: "Exercise 2.1", "Figure 2.3".

    Raises:
        ValueError: a caption without a name.
    """
    figures = [figure.get("name", "") for cell in read_paired_text(text).cells if (figure := figure_of(cell))]
    if "" in figures:
        raise ValueError(f"{text}: a caption without a name; give the cell `mystnb: {{figure: {{name: fig-...}}}}`")
    exercises = exercise_labels(text.read_text(encoding="utf-8"))
    displayed = {label: f"Exercise {chapter}.{count}" for count, label in enumerate(exercises, start=1)}
    return displayed | {label: f"Figure {chapter}.{count}" for count, label in enumerate(figures, start=1)}


def figure_of(cell: NotebookNode) -> dict[str, str]:
    """Return what a code cell says of its figure, its `caption` and its `name`; empty if it has no caption."""
    figure: dict[str, str] = (cell.metadata.get("mystnb") or {}).get("figure") or {}
    return figure if figure.get("caption") else {}
