"""A Sphinx extension: the directives `{all-figures}` and `{all-exercises}` list what the chapters have, with links.

Both read the pages in the order of the table of contents. A figure that has a caption is listed by its number and
caption, an exercise by its number, title, difficulty and minutes.
"""

from collections.abc import Iterator
from typing import NamedTuple

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.docutils import SphinxDirective


class all_items(nodes.General, nodes.Element):  # docutils names nodes in lower case
    """Where a list will stand; its attribute `kind` says of what."""


class Item(NamedTuple):
    """A line of a list: where it leads, its number, and the nodes of its text."""

    anchor: str
    number: str
    text: list[nodes.Node]


class AllFigures(SphinxDirective):
    """List all figures that have a caption, and so a number."""

    kind = "figure"

    def run(self) -> list[nodes.Node]:
        """Leave a mark, which `fill` replaces when all pages are read; the page is written anew at every build."""
        self.env.note_reread()
        return [all_items("", kind=self.kind)]


class AllExercises(AllFigures):
    """List all exercises of the book."""

    kind = "exercise"


def fill(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """Replace the marks on a page by lists: a heading for each chapter, a line for each item."""
    env = app.env
    for mark in list(doctree.findall(all_items)):
        lists: list[nodes.Node] = []
        for chapter in _reading_order(env):
            lines = [_line(app, page, chapter, item) for item in _items(env, chapter, mark["kind"])]
            if lines:
                link = nodes.reference("", "", refuri=_address(app, page, chapter), internal=True)
                link += nodes.strong("", _title(env, chapter))
                lists += [nodes.paragraph("", "", link), nodes.bullet_list("", *lines)]
        mark.replace_self(lists)


def _title(env: BuildEnvironment, chapter: str) -> str:
    """Return the title of a chapter with its number, as it stands on the page."""
    number = env.toc_secnumbers.get(chapter, {}).get("", ())
    prefix = ".".join(map(str, number)) + env.config.html_secnumber_suffix if number else ""
    return prefix + env.titles[chapter].astext()


def _reading_order(env: BuildEnvironment) -> Iterator[str]:
    """Yield the pages in the order of the table of contents."""

    def below(page: str) -> Iterator[str]:
        yield page
        for child in env.toctree_includes.get(page, []):
            yield from below(child)

    return below(env.config.root_doc)


def _items(env: BuildEnvironment, chapter: str, kind: str) -> Iterator[Item]:
    numbers = env.toc_fignumbers.get(chapter, {}).get(kind, {})
    if not numbers:
        return
    doctree = env.get_doctree(chapter)
    for anchor, number in numbers.items():
        node = next((each for each in doctree.findall(nodes.Element) if anchor in each.get("ids", [])), None)
        if node is None:
            continue
        text = _caption(node) if kind == "figure" else _exercise(node)
        yield Item(anchor, ".".join(map(str, number)), text)


def _caption(figure: nodes.Element) -> list[nodes.Node]:
    caption = next(iter(figure.findall(nodes.caption)), nodes.caption())
    return [child.deepcopy() for child in caption.children]


def _exercise(exercise: nodes.Element) -> list[nodes.Node]:
    title = next(iter(exercise.findall(nodes.title)), nodes.title())
    effort = next(iter(exercise.findall(nodes.emphasis)), None)  # "Easy, 10 minutes."
    name = title.astext().removeprefix("Exercise").strip().strip("()")
    return [nodes.Text(name), *([nodes.Text(" · "), effort.deepcopy()] if effort is not None else [])]


def _line(app: Sphinx, page: str, chapter: str, item: Item) -> nodes.list_item:
    link = nodes.reference("", "", refuri=f"{_address(app, page, chapter)}#{item.anchor}", internal=True)
    link += nodes.Text(item.number)
    return nodes.list_item("", nodes.paragraph("", "", link, nodes.Text("  "), *item.text))


def _address(app: Sphinx, page: str, chapter: str) -> str:
    return app.builder.get_relative_uri(page, chapter)


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect the extension to Sphinx, which calls this."""
    app.add_node(all_items)
    app.add_directive("all-figures", AllFigures)
    app.add_directive("all-exercises", AllExercises)
    app.connect("doctree-resolved", fill)
    return {"parallel_read_safe": True}
