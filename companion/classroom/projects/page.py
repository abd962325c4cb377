"""Read the page of a project: tables, pictures and text. No script of it is run. Entry point: `read_page`."""

from html.parser import HTMLParser
from typing import NamedTuple

SILENT = ("script", "style", "head")  # what a reader does not see
SPACED = ("p", "div", "br", "li", "tr", "td", "th", "h1", "h2", "h3", "figcaption")  # words on both sides are two


class Page(NamedTuple):
    """What a page shows. A table is a list of rows, a row a list of the texts of its cells."""

    tables: list[list[list[str]]]
    images: list[str]  # addresses
    text: str  # with single spaces


class _Reader(HTMLParser):
    """Collect tables, pictures and text; a page that is no HTML has none of them."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tables: list[list[list[str]]] = []
        self.images: list[str] = []
        self.words: list[str] = []
        self.silent = 0
        self.cell: list[str] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Begin a table, a row or a cell, or note a picture."""
        self.silent += tag in SILENT
        if tag in SPACED:
            self.words.append(" ")
            if self.cell:
                self.cell[-1] += " "
        if tag == "img":
            self.images.append(dict(attrs).get("src") or "")
        elif tag == "table":
            self.tables.append([])
        elif tag == "tr" and self.tables:
            self.tables[-1].append([])
        elif tag in ("td", "th") and self.tables and self.tables[-1]:
            self.tables[-1][-1].append("")
            self.cell = self.tables[-1][-1]

    def handle_endtag(self, tag: str) -> None:
        """End a cell, or what a reader does not see."""
        if tag in SILENT:
            self.silent = max(0, self.silent - 1)
        if tag in ("td", "th", "tr", "table"):
            self.cell = None

    def handle_data(self, data: str) -> None:
        """Add text to the page, and to the cell that it stands in."""
        if self.silent:
            return
        self.words.append(data)
        if self.cell:
            self.cell[-1] += data


def read_page(text: str) -> Page:
    """Return what a page in HTML shows; also a broken page is read as far as it goes."""
    reader = _Reader()
    reader.feed(text)
    reader.close()
    tables = [[[" ".join(cell.split()) for cell in row] for row in table] for table in reader.tables]
    return Page(tables, reader.images, " ".join("".join(reader.words).split()))
