"""A Sphinx extension: answers and solutions, admonitions of the class `dropdown`, fold without JavaScript.

The theme folds them by a script, so without one they stand open. Here each becomes an HTML element `details`.
"""

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxTranslator


class details(nodes.General, nodes.Element):  # docutils names nodes in lower case
    """A block that a reader opens by a click on its summary, which is its first child."""


class summary(nodes.Part, nodes.TextElement):
    """The line of `details` that is always visible."""


def fold(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """Replace every admonition of the class `dropdown` in the doctree of an HTML page by `details`."""
    if app.builder.format != "html":
        return
    for node in [each for each in doctree.findall(nodes.Admonition) if "dropdown" in each["classes"]]:
        title, *body = node.children
        block = details("", summary("", "", *title.children), *body, ids=node["ids"])
        block["classes"] = ["admonition", *(name for name in node["classes"] if name not in ("admonition", "dropdown"))]
        node.parent.replace(node, block)


def visit_details(self: SphinxTranslator, node: details) -> None:
    """Open the element."""
    self.body.append(self.starttag(node, "details"))


def depart_details(self: SphinxTranslator, node: details) -> None:
    """Close the element."""
    self.body.append("</details>\n")


def visit_summary(self: SphinxTranslator, node: summary) -> None:
    """Open the element, which looks like the title of an admonition."""
    self.body.append(self.starttag(node, "summary", "", CLASS="admonition-title"))


def depart_summary(self: SphinxTranslator, node: summary) -> None:
    """Close the element."""
    self.body.append("</summary>\n")


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect the extension to Sphinx, which calls this."""
    app.add_node(details, html=(visit_details, depart_details))
    app.add_node(summary, html=(visit_summary, depart_summary))
    app.connect("doctree-resolved", fold, priority=900)  # after the titles of solutions have been resolved
    return {"parallel_read_safe": True}
