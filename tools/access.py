"""A Sphinx extension: markup that the libraries of the build write, and that screen readers stumble over, is mended.

- A cell without text at the head of a table is no header of anything: it becomes an ordinary cell.
- Every exercise and solution of sphinx-exercise repeats one identifier, which a page may have only once.
- An entry of the list of references has the deprecated role `doc-biblioentry`; in a list it is an item of the list.
"""

import re
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

REPEATED = re.compile(r"<section id=\"(?:exercise|solution)-content\">")
EMPTY_HEADER = re.compile(r"<th(?: class=\"head[^\"]*\")?>\s*(?:<p>\s*</p>)?\s*</th>")


def mended(body: str) -> str:
    """Return the HTML of a page's text without these faults."""
    body = REPEATED.sub("<section>", EMPTY_HEADER.sub("<td></td>", body))
    return body.replace('role="doc-biblioentry"', 'role="listitem"')


def mend(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None) -> None:
    """Mend the text of a page."""
    if doctree is not None:
        context["body"] = mended(context["body"])


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect the extension to Sphinx, which calls this."""
    app.connect("html-page-context", mend)
    return {"parallel_read_safe": True}
