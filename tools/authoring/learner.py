"""Learner notebooks: `python -m tools.authoring.learner [--execute]`, which `make notebooks` runs as well.

A chapter's own notebook (book/NAME.ipynb) is the source of a page: in JupyterLab or on Colab its directives are text,
and every solution stands below its question. From the same text come two notebooks that need no extension:

- `notebooks/NAME.ipynb` to work in: plain Markdown, no outputs, a cell for each forecast and each answer, and a check
  that names the mistake where `companion.classroom.by_hand` has one. Its other code cells are the chapter's.
- `notebooks/solutions/NAME.ipynb`: the solutions of the exercises and the answers of the quiz. They are not folded into
  the first one, because JupyterLab, Colab and other editors do not fold the same cells, and what one of them leaves
  open is a spoiler. The code of a solution is no cell there: it continues the chapter, and runs where it is pasted.

Every chapter that has exercises gets both; `tools/authoring/lesson.py` makes them. The same text gives the
same bytes. `--execute` also runs every learner notebook from top to bottom with its empty answers.
"""

import argparse
import sys
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import nbformat
import yaml
from pybtex.database import BibliographyData, parse_file

from companion.files import atomic_write
from tools.addresses import CONFIG
from tools.authoring.contents import chapter_numbers, labels
from tools.authoring.lesson import Lesson
from tools.authoring.notebooks import BOOK, execute
from tools.authoring.plain import Writer

ROOT = BOOK.parent
OUT = ROOT / "notebooks"


@cache
def chapter_texts() -> list[Path]:
    """Return the texts of the chapters that have exercises, in the order of the book."""
    listed = [BOOK / "text" / f"{name}.md" for name in chapter_numbers()]
    return [path for path in listed if path.exists() and "{exercise}" in path.read_text(encoding="utf-8")]


@cache
def all_labels() -> dict[str, str]:
    """Return what a reference to each exercise and each figure of the book displays."""
    found = [labels(path, chapter_numbers()[path.stem]) for path in chapter_texts()]
    return {label: displayed for chapter in found for label, displayed in chapter.items()}


@cache
def library() -> BibliographyData:
    """Return the book's references."""
    return parse_file(BOOK / "references.bib")


@cache
def site() -> str:
    """Return the address of the book's site, or an empty string."""
    return str(yaml.safe_load(CONFIG.read_text(encoding="utf-8"))["html"]["baseurl"])


def page_address(name: str, prefix: str = "") -> str:
    """Return where a page of the book is: on its site, or, while that has no address, beside `notebooks/`."""
    if site():
        return f"{site()}book/{name}.html"
    suffix = "ipynb" if (BOOK / "text" / f"{name}.md").exists() else "md"
    return f"{prefix}../book/{name}.{suffix}"


def writer(prefix: str = "") -> Writer:
    """Return a writer for a notebook from which `notebooks/` is found under this prefix.

    Links to chapters lead to their learner notebooks, links to other pages as `page_address` says.
    """
    pages = {path.stem: page_address(path.stem, prefix) for path in [*BOOK.glob("*.md"), *BOOK.glob("text/*.md")]}
    static = f"{site()}_static" if site() else f"{prefix}../book/_static"
    pages |= {f"_static/{path.stem}": f"{static}/{path.name}" for path in BOOK.glob("_static/*.html")}
    pages |= {path.stem: f"{prefix}{path.stem}.ipynb" for path in chapter_texts()}
    return Writer(library(), all_labels(), pages)


def outputs() -> Iterator[tuple[Path, str]]:
    """Yield the path and the text of every notebook that is made.

    Raises:
        ValueError: a text holds something that has no form in plain Markdown.
    """
    for text in chapter_texts():
        lesson = Lesson(text, writer(), writer("../"))
        chapter, page = chapter_numbers()[text.stem], page_address(text.stem)
        learner, solutions = lesson.learner_notebook(chapter, page), lesson.solutions_notebook(chapter)
        yield OUT / f"{text.stem}.ipynb", nbformat.writes(learner).rstrip("\n") + "\n"
        yield OUT / "solutions" / f"{text.stem}.ipynb", nbformat.writes(solutions).rstrip("\n") + "\n"


def write() -> None:
    """Write every notebook whose text has changed, and delete those of chapters that are gone."""
    made = dict(outputs())
    for path, text in made.items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            atomic_write(path, text.encode())
            print(f"{path.relative_to(OUT.parent)}: made")
    for path in sorted({*OUT.glob("*.ipynb"), *OUT.glob("solutions/*.ipynb")} - set(made)):
        path.unlink()
        print(f"{path.relative_to(OUT.parent)}: removed")


def execute_all() -> None:
    """Run every learner notebook without writing its outputs, and print the seconds that each took.

    Raises:
        ValueError: a cell failed.
    """
    for path in (OUT / f"{text.stem}.ipynb" for text in chapter_texts()):
        began = time.monotonic()
        try:
            execute(nbformat.read(path, as_version=4), OUT)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
        print(f"{path.name}: {time.monotonic() - began:.0f} seconds", flush=True)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return 0 if every notebook was made and, if asked for, ran, else 1."""
    parser = argparse.ArgumentParser(description="Make the learner notebooks from the book's texts.")
    parser.add_argument("--execute", action="store_true", help="also run them all, which takes some minutes")
    options = parser.parse_args(arguments)
    try:
        write()
        if options.execute:
            execute_all()
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
