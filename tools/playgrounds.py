"""A Sphinx extension: `{playground} NAME` puts a playground on a page, with its scripts on that page alone.

The body is what the page says without JavaScript, and above the playground with it. The scripts lie in
`book/_static/playgrounds/`; `PLAYGROUNDS` names those that each one needs, in order.
"""

from typing import Any

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective, SphinxTranslator

SHARED = ("core", "maths")
PLAYGROUNDS = {
    "weights": ("weights",),
    "saturation": ("saturation",),
    "masks": ("masks",),
    "heads": ("heads",),
    "beam": ("beam",),
    "scoring": ("metrics", "scoring"),
}
NEEDS_SCRIPT = "Here the page has a playground. It needs JavaScript."


class playground(nodes.General, nodes.Element):  # docutils names nodes in lower case
    """The place of a playground on a page; its children are its text."""


class Playground(SphinxDirective):
    """The directive: its argument is one of `PLAYGROUNDS`, its body a paragraph that says what one can do."""

    required_arguments = 1
    has_content = True
    option_spec = {"score": lambda name: directives.choice(name, ("dot", "distance"))}  # noqa: RUF012, of weights

    def run(self) -> list[nodes.Node]:
        """Return the node. Raises an error of docutils for a name that is not known, or an empty body."""
        name = self.arguments[0]
        if name not in PLAYGROUNDS:
            raise self.error(f"no playground is called {name!r}; there are {', '.join(PLAYGROUNDS)}")
        self.assert_has_content()
        node = playground(name=name, score=self.options.get("score"), ids=[f"playground-{name}"])
        self.state.nested_parse(self.content, self.content_offset, node)
        return [node]


def visit(self: SphinxTranslator, node: playground) -> None:
    """Open the element."""
    attributes = {"role": "group", "aria-label": f"Playground: {node['name']}", "data-playground": node["name"]}
    attributes |= {"data-score": node["score"]} if node["score"] else {}
    self.body.append(self.starttag(node, "div", "", CLASS="playground", **attributes))


def depart(self: SphinxTranslator, node: playground) -> None:
    """Close the element."""
    self.body.append(f"<noscript><p>{NEEDS_SCRIPT}</p></noscript></div>\n")


def add_scripts(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None) -> None:
    """Add the scripts and the style sheet to a page that has a playground."""
    names = [node["name"] for node in doctree.findall(playground)] if doctree else []
    scripts = dict.fromkeys(script for name in names for script in (*SHARED, *PLAYGROUNDS[name]))
    for script in scripts:
        app.add_js_file(f"playgrounds/{script}.js", loading_method="defer")
    if names:
        app.add_css_file("playgrounds/playgrounds.css")


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect the extension to Sphinx, which calls this."""
    app.add_node(playground, html=(visit, depart))
    app.add_directive("playground", Playground)
    app.connect("html-page-context", add_scripts)
    return {"parallel_read_safe": True}
