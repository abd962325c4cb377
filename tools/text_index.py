"""A Sphinx extension: the text of the finished pages as a script, `_static/text_index.js`, for the search.

Sphinx's own index has words and no text, and the theme fetches pages to make excerpts of them, which a browser refuses
for pages on a disk. The script sets `attentionBook.text` to a list of pages in the order of the book, each with its
title, its address and its sections: heading, anchor, text. Outputs of cells are left out, code is kept.
"""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import NamedTuple

from sphinx.application import Sphinx

VOID = {"area", "br", "col", "hr", "img", "input", "link", "meta", "source", "wbr"}
HEADINGS = {"h1", "h2", "h3", "h4", "h5", "h6"}
SKIPPED = {"script", "style", "svg", "button"}
SKIPPED_CLASSES = {"cell_output", "headerlink", "section-number", "bibtex", "playground", "explorer"}
BLOCKS = {"p", "li", "pre", "td", "th", "dt", "dd", "div", "figcaption", "summary", "tr", "blockquote", "br"}


class Section(NamedTuple):
    """A heading, the anchor that leads to it, and the text below it up to the next heading."""

    heading: str
    anchor: str
    text: str


class PageText(HTMLParser):
    """Collects the sections of a page: of its `article`, and of nothing around it."""

    def __init__(self) -> None:
        super().__init__()
        self._open: list[tuple[str, bool]] = []  # element, and whether it and what it holds is skipped
        self._anchors: list[str] = []
        self._found: list[str] = []  # the anchors of the sections so far, and the pieces of their headings and texts
        self._headings: list[list[str]] = []
        self._texts: list[list[str]] = []
        self._in_article = self._in_heading = False

    def sections(self) -> list[Section]:
        """Return the sections of what was fed."""
        pieces = zip(self._headings, self._found, self._texts, strict=True)
        return [Section(_line(heading), anchor, _line(text)) for heading, anchor, text in pieces]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Begin an element."""
        values = dict(attrs)
        classes = set((values.get("class") or "").split())
        if tag == "article":
            self._in_article = True
        if tag == "section" and self._in_article:
            self._anchors.append(values.get("id") or "")
        if tag in HEADINGS and self._in_article and self._anchors:
            self._in_heading = True
            # The title of the page needs no anchor.
            self._found.append(self._anchors[-1] if len(self._anchors) > 1 else "")
            self._headings.append([])
            self._texts.append([])
        if tag in BLOCKS:
            self._add(" ")
        if tag not in VOID:
            inherited = bool(self._open) and self._open[-1][1]
            self._open.append((tag, inherited or tag in SKIPPED or bool(classes & SKIPPED_CLASSES)))

    def handle_endtag(self, tag: str) -> None:
        """End an element, and those in it that were left open."""
        if tag not in [name for name, _ in self._open]:
            return
        while self._open.pop()[0] != tag:
            pass
        if tag == "article":
            self._in_article = False
        if tag == "section" and self._anchors:
            self._anchors.pop()
        if tag in HEADINGS:
            self._in_heading = False

    def handle_data(self, data: str) -> None:
        """Add text, unless it stands in something that is skipped."""
        if not (self._open and self._open[-1][1]):
            self._add(data)

    def _add(self, text: str) -> None:
        if self._in_article and self._found:
            (self._headings if self._in_heading else self._texts)[-1].append(text)


def _line(pieces: list[str]) -> str:
    """Return text as one line; of a formula the signs at its ends go."""
    return " ".join(re.sub(r"\\[()\[\]]", "", "".join(pieces)).split())


def page_sections(html: str) -> list[Section]:
    """Return the sections of a page that have a heading or text."""
    reader = PageText()
    reader.feed(html)
    return [section for section in reader.sections() if section.heading or section.text]


def script(pages: list[tuple[str, str, list[Section]]]) -> str:
    """Return the script that sets `attentionBook.text`; it may also stand within an element `script`."""
    text = json.dumps(pages, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    text = text.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    return f"window.attentionBook = window.attentionBook || {{}};\nwindow.attentionBook.text = {text};\n"


def write(app: Sphinx, error: Exception | None) -> None:
    """Write the script beside the finished pages."""
    if error or app.builder.name != "html":
        return
    pages = []
    for name in app.env.collect_relations():  # in the order of the book
        title, address = app.env.titles[name].astext(), app.builder.get_target_uri(name)
        first, *rest = page_sections((Path(app.outdir) / address).read_text(encoding="utf-8"))
        pages.append((title, address, [first._replace(heading=""), *rest]))
    (Path(app.outdir) / "_static" / "text_index.js").write_text(script(pages), encoding="utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect the extension to Sphinx, which calls this."""
    app.connect("build-finished", write)
    return {"parallel_read_safe": True}
