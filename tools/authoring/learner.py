"""Learner notebooks: `python -m tools.authoring.learner [--execute]`, which `make notebooks` runs as well.

A chapter's own notebook (book/NAME.ipynb) is the source of a page: in JupyterLab or on Colab its directives are text,
and every solution stands below its question. From the same text come two notebooks that need no extension:

- `notebooks/NAME.ipynb` to work in: plain Markdown, no outputs, a cell for each forecast and each answer, and a check
  that names the mistake where `companion.classroom.by_hand` has one. Its other code cells are the chapter's.
- `notebooks/solutions/NAME.ipynb`: the solutions of the exercises and the answers of the quiz. They are not folded into
  the first one, because JupyterLab, Colab and other editors do not fold the same cells, and what one of them leaves
  open is a spoiler. The code of a solution is no cell there: it continues the chapter, and runs where it is pasted.

Every page of _toc.yml that has exercises gets both; `tools/authoring/lesson.py` makes them. The same text gives the
same bytes. `--execute` also runs every learner notebook from top to bottom with its empty answers.
"""

import argparse
import re
import sys
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import nbformat
import yaml
from pybtex.database import BibliographyData, parse_file

from companion.files import atomic_write
from tools.authoring.colab import CONFIG
from tools.authoring.lesson import Lesson
from tools.authoring.notebooks import BOOK, execute
from tools.authoring.plain import Writer
from tools.authoring.solutions import exercise_numbers

ROOT = BOOK.parent
OUT = ROOT / "notebooks"


@cache
def chapter_texts() -> list[Path]:
    """Return the texts that have exercises and stand in _toc.yml, in its order."""
    toc = (ROOT / "_toc.yml").read_text(encoding="utf-8")
    listed = [BOOK / "text" / f"{name}.md" for name in re.findall(r"^ *- file: *book/(\w+)", toc, re.MULTILINE)]
    return [path for path in listed if path.exists() and "{exercise}" in path.read_text(encoding="utf-8")]


@cache
def numbers() -> dict[str, str]:
    """Return the number of every exercise of the book by its label."""
    texts = [path.read_text(encoding="utf-8") for path in chapter_texts()]
    return {label: number for text in texts for label, number in exercise_numbers(text).items()}


@cache
def library() -> BibliographyData:
    """Return the book's references."""
    return parse_file(BOOK / "references.bib")


@cache
def site() -> str:
    """Return the address of the book's site."""
    return str(yaml.safe_load(CONFIG.read_text(encoding="utf-8"))["html"]["baseurl"])


def site_page(name: str) -> str:
    """Return the address of a page of the book."""
    return f"{site()}book/{name}.html"


def writer(prefix: str = "") -> Writer:
    """Return a writer for a notebook from which `notebooks/` is found under this prefix.

    Links to chapters lead to their learner notebooks, links to other pages of the book to its site.
    """
    pages = {path.stem: site_page(path.stem) for path in [*BOOK.glob("*.md"), *BOOK.glob("text/*.md")]}
    pages |= {f"_static/{path.stem}": f"{site()}_static/{path.name}" for path in BOOK.glob("_static/*.html")}
    pages |= {path.stem: f"{prefix}{path.stem}.ipynb" for path in chapter_texts()}
    return Writer(library(), numbers(), pages)


def outputs() -> Iterator[tuple[Path, str]]:
    """Yield the path and the text of every notebook that is made.

    Raises:
        ValueError: a text holds something that has no form in plain Markdown.
    """
    for text in chapter_texts():
        lesson = Lesson(text, writer(), writer("../"))
        learner, solutions = (
            lesson.learner_notebook(text.stem, site_page(text.stem)),
            lesson.solutions_notebook(text.stem),
        )
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
