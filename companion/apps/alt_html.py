"""Find the images of a page in HTML, and what the page says near each.

Explained in the chapter on alternative text.
"""

import re
from html.parser import HTMLParser
from itertools import accumulate
from typing import NamedTuple

HAS_TEXT = "it has a text"
DECORATIVE = "it is decorative"
HIDDEN = "it is hidden from screen readers"
A_PIXEL = "it is a spacer, one pixel wide or high"
TEMPLATE = "it is in a template"
IN_LINK = "it is in a link or a button: the text must say what that does"
UNCLEAR = 'its tag has "alt" in a place that is not understood'
NO_ADDRESS = "it has no address"

_VOID = frozenset("area base br col embed hr img input link meta param source track wbr".split())
_TEXT_ONLY = frozenset("iframe noembed noframes script style textarea title xmp".split())
_CONTEXT = ("p", "li", "td", "th", "dt", "dd", "h1", "h2", "h3", "h4", "h5", "h6", "blockquote")
_BLOCKS = frozenset(
    "address article aside blockquote div dl fieldset figcaption figure footer form h1 h2 h3 h4 h5 h6 header hr main "
    "nav ol p pre section table ul".split()
)
# The start of an element ends open ones whose end tag may be missing, as far up as an element of the last kind.
_ENDS = {
    **dict.fromkeys(_BLOCKS, (("p",), ("table", "td", "th", "li", "button"))),
    "li": (("li",), ("ul", "ol")),
    **dict.fromkeys(("dt", "dd"), (("dt", "dd"), ("dl",))),
    **dict.fromkeys(("td", "th", "tr"), (("td", "th"), ("table",))),
}
_STRAY_ALT = re.compile(r"""[\s"'/:\[.]alt(?![\w-])""", re.IGNORECASE)


class PageImage(NamedTuple):
    """An image of a page: where it stands, what it shows, and what is to be done about its alternative text.

    `left_alone` says why no text is proposed, `for_human` why only a person can write it; both are empty for an image
    that a text can be proposed for.
    """

    line: int  # from 1
    address: str  # as the page gives it
    offset: int  # in characters, where a text goes in
    is_markdown: bool
    left_alone: str = ""
    for_human: str = ""
    nearby: str = ""  # the paragraph or figure around it, and its title


class FoundImages(NamedTuple):
    """The images of a page in HTML, in their order, and the address that the others are relative to."""

    images: list[PageImage]
    base: str


def find_html_images(text: str) -> FoundImages:
    """Return the images of a page; those in comments, scripts and the like are none."""
    finder = _Finder(text)
    finder.feed(text)
    finder.close()
    images = [image._replace(nearby=finder.words_near(title, near)) for image, title, near in finder.found]
    return FoundImages(images, finder.base)


class _Element:
    """An open element, and which pieces of the page's text are in it."""

    def __init__(self, tag: str, attributes: dict[str, str], first: int) -> None:
        self.tag, self.attributes, self.first = tag, attributes, first
        self.last: int | None = None
        self.source = ""  # of <picture>: the first address that it offers


class _Finder(HTMLParser):
    """Collects the images, each with its title and the elements whose text is near it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[PageImage, str, list[_Element]]] = []
        self.base = ""
        self._pieces: list[str] = []
        self._open: list[_Element] = []
        self._line_starts = [0, *accumulate(len(line) + 1 for line in text.split("\n"))]

    def words_near(self, title: str, elements: list[_Element]) -> str:
        """Return the title of an image and the text of the elements around it."""
        return " ".join([title, *(" ".join(self._pieces[each.first : each.last]) for each in elements)]).strip()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in reversed(attrs)}  # of two alike the first counts
        if tag in _ENDS:
            self._end_open(*_ENDS[tag])
        if tag == "img":
            self._add_image(attributes)
        elif tag == "base" and not self.base:
            self.base = attributes.get("href", "").strip()
        elif tag == "source" and self._open and self._open[-1].tag == "picture" and not self._open[-1].source:
            self._open[-1].source = first_candidate(attributes.get("srcset", ""))
        if tag not in _VOID:
            self._open.append(_Element(tag, attributes, len(self._pieces)))

    def handle_endtag(self, tag: str) -> None:
        for i in reversed(range(len(self._open))):
            if self._open[i].tag == tag:
                self._close_from(i)
                return

    def handle_data(self, data: str) -> None:
        if not (self._open and self._open[-1].tag in _TEXT_ONLY):
            self._pieces.append(data)

    def _end_open(self, tags: tuple[str, ...], limits: tuple[str, ...]) -> None:
        """End the innermost open element with one of these tags, unless one of the limits is inside it."""
        for i in reversed(range(len(self._open))):
            if self._open[i].tag in tags:
                self._close_from(i)
                return
            if self._open[i].tag in limits:
                return

    def _close_from(self, i: int) -> None:
        for element in self._open[i:]:
            element.last = len(self._pieces)
        del self._open[i:]

    def _add_image(self, attributes: dict[str, str]) -> None:
        if any(element.tag in _TEXT_ONLY for element in self._open):
            return
        line, column = self.getpos()
        source = next((element.source for element in reversed(self._open) if element.tag == "picture"), "")
        address = image_address(attributes, source)
        left_alone = self._left_alone(attributes)
        unclear = "alt" not in attributes and _STRAY_ALT.search(self.get_starttag_text() or "")
        reasons = ((UNCLEAR, unclear), (IN_LINK, self._is_in_link()), (NO_ADDRESS, not address))
        image = PageImage(
            line,
            address,
            self._line_starts[line - 1] + column + len("<img"),
            is_markdown=False,
            left_alone=left_alone,
            for_human="" if left_alone else next((reason for reason, applies in reasons if applies), ""),
        )
        inside_out = self._open[::-1]
        near = [next((e for e in inside_out if e.tag in tags), None) for tags in (_CONTEXT, ("figure",))]
        self.found.append((image, attributes.get("title", ""), [element for element in near if element]))

    def _left_alone(self, attributes: dict[str, str]) -> str:
        """Return why the image needs no proposal, or ""."""
        if any(attributes.get(name, "").strip() for name in ("alt", "aria-label", "aria-labelledby")):
            return HAS_TEXT
        if "alt" in attributes or attributes.get("role", "").strip().lower() in ("presentation", "none"):
            return DECORATIVE
        if any("hidden" in each or each.get("aria-hidden") == "true" for each in self._attributes(attributes)):
            return HIDDEN
        if {attributes.get(side, "").strip().removesuffix("px") for side in ("width", "height")} <= {"0", "1"}:
            return A_PIXEL
        return TEMPLATE if any(element.tag == "template" for element in self._open) else ""

    def _attributes(self, own: dict[str, str]) -> list[dict[str, str]]:
        return [own, *(element.attributes for element in self._open)]

    def _is_in_link(self) -> bool:
        return any(
            element.tag == "button"
            or (element.tag == "a" and "href" in element.attributes)
            or element.attributes.get("role", "").strip().lower() in ("button", "link")
            for element in self._open
        )


def image_address(attributes: dict[str, str], source: str = "") -> str:
    """Return the address of an image: its `src`, or what a program puts there later, or the first of its choices.

    Args:
        attributes: of the `<img>`.
        source: the first choice of the `<picture>` around it.
    """
    address, later = attributes.get("src", "").strip(), attributes.get("data-src", "").strip()
    if later and (not address or address.startswith("data:")):  # until then there is an empty image
        return later
    return address or first_candidate(attributes.get("srcset", "")) or source


def first_candidate(srcset: str) -> str:
    """Return the first address of a `srcset`, or ""."""
    words = srcset.lstrip(" \t\r\n\f,").split()
    return words[0].rstrip(",") if words else ""
