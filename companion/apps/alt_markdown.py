"""Find the images of a page in Markdown, as CommonMark defines them. Explained in the chapter on alternative text.

In Markdown an image without a text and a decorative one are written alike, `![](x.png)`: both count as without a text.
"""

import html
import re
from collections.abc import Iterator

from companion.apps.alt_html import HAS_TEXT, IN_LINK, PageImage

_FENCED = re.compile(r"^[ \t>]*(?P<fence>`{3,}|~{3,})[^\n]*\n.*?(?:^[ \t>]*(?P=fence)[`~]*[ \t]*\r?$|\Z)", re.M | re.S)
_INLINE = re.compile(r"(?<!`)(`+)(?!`)((?:(?!\n[ \t]*\r?\n).)+?)(?<!`)\1(?!`)", re.S)
_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.S)
_RAW = re.compile(r"<(script|style|textarea|pre)\b.*?(?:</\1\s*>|\Z)", re.S | re.I)
_IMAGE = re.compile(
    r"""(?<!\\)(?:\\\\)*!\[ (?P<text> (?:(?!\n[ \t]*\r?\n)[^\[\]\\] | \\. | \[[^\[\]]*\])* ) \]
    (?: \(\s* (?:<(?P<pointed>[^<>\n]*)> | (?P<plain>(?:[^\s()\\] | \\. | \([^\s()]*\))*))
        (?:\s+ (?P<title>"(?:[^"\\]|\\.)*" | '(?:[^'\\]|\\.)*' | \((?:[^()\\]|\\.)*\)))? \s*\)
      | \[(?P<label>[^\[\]]+)\] )""",
    re.X | re.S,
)
_DEFINITION = re.compile(r"^[ \t>]*\[([^\[\]]+)\]:[ \t]*(?:<([^<>\n]*)>|(\S+))", re.M)
_BLANK_LINE = re.compile(r"\n[ \t]*\r?\n")
_LIST_ITEM = re.compile(r"[ \t>]*(?:[-+*]|\d{1,9}[.)])(?:\s|$)")
_PUNCTUATION = re.compile(r"\\([!-/:-@\[-`{-~])")


def find_markdown_images(text: str) -> list[PageImage]:
    """Return the images of a page that are written in Markdown's own way; those in code and in comments are none.

    The text has been through `blank_code`.
    """
    text = _RAW.sub(_blank, _COMMENT.sub(_blank, text))
    defined = {_label(label): pointed or plain for label, pointed, plain in reversed(_DEFINITION.findall(text))}
    images = []
    for match in _IMAGE.finditer(text):
        address = match["pointed"] or match["plain"] or ""
        if match["label"]:
            if _label(match["label"]) not in defined:
                continue
            address = defined[_label(match["label"])]
        has_text = match["text"].strip()
        images.append(
            PageImage(
                text.count("\n", 0, match.start()) + 1,
                html.unescape(_PUNCTUATION.sub(r"\1", address)),
                match.start("text"),
                is_markdown=True,
                left_alone=HAS_TEXT if has_text else "",
                for_human=IN_LINK if not has_text and _is_in_link(text, match.end()) else "",
                nearby=_paragraph(text, match) + " " + (match["title"] or ""),
            )
        )
    return images


def blank_code(text: str) -> str:
    """Return the page with blanks for everything that Markdown shows as code, and all else in its place."""
    text = _FENCED.sub(_blank, text)
    text = "".join(_blank_indented(text))
    return _INLINE.sub(_blank, text)


def escape_markdown(text: str) -> str:
    """Return plain text as it stands in the brackets of an image."""
    return re.sub(r"([\\`*_{}\[\]<>&!|~$#])", r"\\\1", " ".join(text.split()))


def _blank_indented(text: str) -> Iterator[str]:
    """Yield the lines, blank where they are indented code: by four columns, after a blank line, outside lists."""
    in_list = in_code = False
    after_blank = True
    for line in text.splitlines(keepends=True):
        is_blank, indented = not line.strip(), line.expandtabs(4).startswith("    ")
        if not is_blank and not indented:
            in_list, in_code = bool(_LIST_ITEM.match(line)) or (in_list and line[0] in " \t"), False
        in_code |= indented and after_blank and not in_list and not is_blank
        yield re.sub(r"[^\r\n]", " ", line) if in_code else line
        after_blank = is_blank


def _blank(match: re.Match[str]) -> str:
    """Return as many blanks as the match has characters, with its line breaks."""
    return re.sub(r"[^\r\n]", " ", match[0])


def _label(text: str) -> str:
    return " ".join(text.casefold().split())


def _is_in_link(text: str, end: int) -> bool:
    """Return whether an image that ends there stands in the text of a link: a bracket closes that opened before it."""
    stop = _BLANK_LINE.search(text, end)
    depth = 0
    for i, character in enumerate(text[end : stop.start() if stop else len(text)], start=end):
        if character == "[":
            depth += 1
        elif character == "]" and depth:
            depth -= 1
        elif character == "]":
            return text[i + 1 : i + 2] in ("(", "[")
    return False


def _paragraph(text: str, match: re.Match[str]) -> str:
    """Return the text of the paragraph around an image, without the image."""
    before = [each.end() for each in _BLANK_LINE.finditer(text, 0, match.start())]
    after = _BLANK_LINE.search(text, match.end())
    first, last = before[-1] if before else 0, after.start() if after else len(text)
    return text[first : match.start()] + " " + text[match.end() : last]
