"""The whole book as one PDF: `make pdf`, which is `python -m tools.print_book` after `make book`.

The finished pages become one page, `_build/print/book.html`: cover, contents, the pages in the order of _toc.yml, and
at the end the solutions of the exercises and the answers of the quizzes. Chromium prints it, with links, outline and
tags for screen readers. It does so twice, since only the first PDF says on which page each chapter begins.
"""

import argparse
import html
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pypdf
import yaml
from bs4 import BeautifulSoup, Tag
from playwright.sync_api import Browser

from companion import __version__
from tools import page_browser

ROOT = Path(__file__).resolve().parents[1]
BUILT = ROOT / "_build" / "html"
OUT = ROOT / "_build" / "print" / "attention_looked_at.pdf"
FOLDED = "details.solution, details.tip"  # solutions, and answers of quizzes
REMOVED = "script, style.practice, button, .headerlink, .practice, .toctree-wrapper"
ID_LISTS = ("for", "headers", "aria-labelledby", "aria-describedby", "aria-controls")
PAGE = """<!DOCTYPE html>
<html lang="en" data-theme="light"><head><meta charset="utf-8"><title>{title}</title>
{sheets}
<script>
window.MathJax = {{options: {{enableMenu: false, processHtmlClass: "math", ignoreHtmlClass: "printed"}}}};
</script>
<script defer src="{mathjax}"></script>
</head><body class="printed"><main class="bd-article">
{body}
</main></body></html>
"""


class Part(NamedTuple):
    """A part of the book: its caption, and its pages by name."""

    caption: str
    pages: list[str]


class Chapter(NamedTuple):
    """A page in the printed book: its name, which is also its anchor, its title, its text, and what goes to the end."""

    name: str
    title: str
    text: str
    solutions: str


def parts(toc: Path) -> list[Part]:
    """Return the parts of the book; the first one is its front page."""
    contents = yaml.safe_load(toc.read_text(encoding="utf-8"))
    listed = [
        Part(part["caption"], [Path(page["file"]).name for page in part["chapters"]]) for part in contents["parts"]
    ]
    return [Part("", [Path(contents["root"]).name]), *listed]


def chapter(page: Path, names: frozenset[str], out: Path) -> Chapter:
    """Return a finished page as a chapter of the printed book.

    Anchors get the name of the page before them, so that none occurs twice. Links within the book lead to anchors of
    the same document; what is not printed is no link. Pictures are found from the folder `out`.
    """
    soup = BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser")
    article = soup.select_one("article.bd-article")
    if article is None:
        raise ValueError(f"{page}: no article on this page")
    for element in article.select(REMOVED):
        element.decompose()
    for element in article.find_all("noscript"):  # what a page says without scripts is what paper says
        element.unwrap()
    name = page.stem
    for element in article.find_all(True):
        _rename(element, name)
        if element.name == "a" and element.get("href"):
            _relink(element, name, names)
        elif element.name == "img":
            element["src"] = _moved(str(element["src"]), page.parent, out)
            element.attrs.pop("loading", None)  # paper does not scroll
    for summary in article.select("details.hide > summary"):  # code and outputs that a page folds
        summary.decompose()
    for element in article.find_all("details"):
        element.name = "div" if element.find("summary", recursive=False) is None else "details"
        element["open"] = ""
    title = article.find("h1")
    if title is None:
        raise ValueError(f"{page}: no title on this page")
    displayed = title.get_text(" ", strip=True)
    title["id"] = name
    folded = _solutions(article, name)
    return Chapter(name, re.sub(r"\s+", " ", displayed), article.decode_contents(), folded)


def _rename(element: Tag, name: str) -> None:
    """Put the name of the page before every identifier that an element has or names."""
    if element.get("id"):
        element["id"] = f"{name}--{element['id']}"
    if element.name == "a" and element.get("name"):
        del element["name"]
    for key in ID_LISTS:
        if element.get(key):
            listed = element[key]
            words = listed if isinstance(listed, list) else str(listed).split()
            element[key] = " ".join(f"{name}--{word}" for word in words)
    for key, value in element.attrs.items():
        if isinstance(value, str) and "url(#" in value:
            element[key] = value.replace("url(#", f"url(#{name}--")


def _relink(link: Tag, name: str, names: frozenset[str]) -> None:
    """Make a link lead to where its target is in the printed book."""
    address, _, anchor = str(link["href"]).partition("#")
    if re.match(r"(?:https?|mailto):", address):
        return
    target = Path(address).stem if address else name
    if address and (target not in names or not address.endswith(".html") or "/" in address):
        del link["href"]
    else:
        link["href"] = f"#{target}--{anchor}" if anchor else f"#{target}"
    link.attrs.pop("target", None)


def _moved(address: str, folder: Path, out: Path) -> str:
    """Return the address of a file, given from one folder, as seen from another."""
    return address if address.startswith("data:") else Path(os.path.relpath(folder / address, out)).as_posix()


def _solutions(article: Tag, name: str) -> str:
    """Take solutions and answers out of a chapter, leave a link to each in its place, and return them as HTML."""
    moved = []
    answers = 0
    for count, block in enumerate(article.select(FOLDED), start=1):
        anchor, back = f"{name}--at-the-end-{count}", f"{name}--from-{count}"
        if "solution" in block.get_attribute_list("class"):
            kind, heading = "Solution", _heading_of(block)
        else:
            answers += 1
            kind, heading = "Answer", f"Quiz, question {answers}"
        if summary := block.find("summary"):
            summary.extract()
        link = f'<p class="to-the-end" id="{back}"><a href="#{anchor}">{kind}: at the end of the book</a></p>'
        block.replace_with(BeautifulSoup(link, "html.parser"))
        own = f'<span id="{html.escape(str(block["id"]))}"></span>' if block.get("id") else ""
        title = f'<h3>{own}<a href="#{back}">{html.escape(heading)}</a></h3>'
        moved.append(f'<section id="{anchor}">{title}{block.decode_contents()}</section>')
    return "".join(moved)


def _heading_of(solution: Tag) -> str:
    """Return the title of the exercise above a solution."""
    exercise = solution.find_previous(class_="exercise")
    title = exercise.find(class_="admonition-title") if isinstance(exercise, Tag) else None
    return re.sub(r"\s+", " ", title.get_text(" ", strip=True)) if isinstance(title, Tag) else "Solution"


def assemble(book: list[tuple[str, list[Chapter]]], title: str, pages: Mapping[str, int]) -> str:
    """Return the text of the printed book; `pages` are the numbers of the pages on which chapters begin, if known."""
    lines, texts, solutions = [], [], []
    for caption, chapters in book:
        if caption:
            lines.append(f"<li class='part'>{html.escape(caption)}</li>")
        for each in chapters:
            lines.append(_line(each.name, each.title, pages))
            heading = f'<p class="part-name">{html.escape(caption)}</p>' if caption and each is chapters[0] else ""
            texts.append(f'<article class="chapter">{heading}{each.text}</article>')
            if each.solutions:
                solutions.append(f"<section><h2>{html.escape(each.title)}</h2>{each.solutions}</section>")
    if solutions:
        lines += ["<li class='part'>At the end</li>", _line("solutions", "Solutions and answers", pages)]
        texts.append(
            f'<article class="chapter"><h1 id="solutions">Solutions and answers</h1>{"".join(solutions)}</article>'
        )
    cover = (
        f'<section class="cover"><p class="cover__title">{html.escape(title)}</p>'
        "<p>Attention for image captioning, from a weighted average to captions of photographs</p>"
        f"<p>Version {html.escape(__version__)}</p></section>"
    )
    contents = f'<nav class="contents" aria-label="Contents"><h1>Contents</h1><ol>{"".join(lines)}</ol></nav>'
    return "\n".join([cover, contents, *texts])


def _line(name: str, title: str, pages: Mapping[str, int]) -> str:
    """Return a line of the contents; before the numbers are known, three digits keep their place."""
    return (
        f'<li><a href="#{name}"><span class="contents__title">{html.escape(title)}</span>'
        f'<span class="contents__page">{pages.get(name, 999)}</span></a></li>'
    )


def first_pages(pdf: Path, names: frozenset[str]) -> dict[str, int]:
    """Return the page, counted from 1, on which each of these anchors stands in a PDF."""
    reader = pypdf.PdfReader(pdf)
    found = {}
    for name, destination in reader.named_destinations.items():
        number = reader.get_destination_page_number(destination)
        if name.lstrip("/") in names and number is not None:
            found[name.lstrip("/")] = number + 1
    return found


def write_pdf(running: Browser, page: Path, pdf: Path) -> None:
    """Print a page, once its formulas are typeset and its pictures are there."""
    view = running.new_page()
    try:
        view.route("http*://**", lambda route: route.abort())
        view.set_default_timeout(600_000)
        view.goto(page.resolve().as_uri(), timeout=600_000)
        view.wait_for_function("!!window.MathJax && !!MathJax.startup && !!MathJax.startup.promise")
        view.evaluate("() => MathJax.startup.promise.then(() => true)")
        view.evaluate(
            "() => Promise.all([...document.images].map((image) => image.decode().catch(() => null))).then(() => true)"
        )
        view.pdf(path=str(pdf), prefer_css_page_size=True, print_background=True, outline=True, tagged=True)
    finally:
        view.close()


def print_book(running: Browser, built: Path, title: str, pdf: Path) -> int:
    """Write the PDF from the finished pages, with `_toc.yml` two folders above them; return the number of its pages."""
    folder = pdf.parent
    folder.mkdir(parents=True, exist_ok=True)
    listed = parts(built.parents[1] / "_toc.yml")
    names = frozenset(name for part in listed for name in part.pages)
    book = [
        (part.caption, [chapter(built / "book" / f"{name}.html", names, folder) for name in part.pages])
        for part in listed
    ]
    static = Path(os.path.relpath(built / "_static", folder)).as_posix()
    sheets = "\n".join(
        f'<link rel="stylesheet" href="{static}/{sheet}">'
        for sheet in ("pygments.css", "print.css", "print_book.css")
        if (built / "_static" / sheet).exists()
    )
    pages: dict[str, int] = {}
    for _ in range(2):
        body = assemble(book, title, pages)
        mathjax = f"{static}/mathjax/tex-chtml.js"
        text = PAGE.format(title=html.escape(title), sheets=sheets, mathjax=mathjax, body=body)
        (folder / "book.html").write_text(text, encoding="utf-8")
        write_pdf(running, folder / "book.html", pdf)
        pages = first_pages(pdf, names | {"solutions"})
    return len(pypdf.PdfReader(pdf).pages)


def main() -> int:
    """Write the PDF and say where it is and how long; return 0, or 1 if something is missing."""
    argparse.ArgumentParser(
        prog="python -m tools.print_book", description="Print the whole book as one PDF."
    ).parse_args()
    title = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))["title"]
    try:
        with page_browser.browser() as running:
            count = print_book(running, BUILT, title, OUT)
    except (ValueError, FileNotFoundError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{OUT.relative_to(ROOT)}: {count} pages, {OUT.stat().st_size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
