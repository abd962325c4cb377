"""A Sphinx extension: a page loads only what it shows, and the site has a titled front door.

- MathJax stands on the pages that have a formula, and on no other. Its other bundles, 14 MB that no page loads, are
  removed.
- Font Awesome, a script and fonts of 1.6 MB for some twenty icons, is removed: book/_static/icons.css draws them.
- index.html, which leads to the first page, has a title and a link; 404.html is what a server shows for a page that
  does not exist.
"""

import re
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.osutil import relative_uri

FONT_AWESOME_SCRIPT = re.compile(r'\s*<script src="[^"]*/fontawesome\.js[^"]*"></script>')
# The faces of the fonts, and the rules that give each of two thousand icons its letter.
FONT_AWESOME_STYLE = re.compile(r'@font-face\{[^}]*Font Awesome[^}]*\}|(?:\.fa-[\w-]+:before,?)+\{content:"[^"]*"\}')
FONT_AWESOME_FILES = ("_static/scripts/fontawesome.js*", "_static/vendor/fontawesome/**/*")
SOURCE_MAPS = "_static/**/*.map"
MATHJAX_BUNDLES = "_static/mathjax/*.js"  # each is the whole program, for other input or output

FRONT = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>{head}
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 1.1rem/1.5 system-ui, sans-serif; margin: 12vh auto; max-width: 34rem; padding: 0 1rem; }}
a {{ color: light-dark(#0a5a9c, #8cc2f2); }}
</style>
</head>
<body>
<main>
<h1>{title}</h1>
<p>{text}</p>
</main>
</body>
</html>
"""


def has_formula(doctree: nodes.document | None) -> bool:
    """Return whether a page has a formula, in its text or in a docstring that it shows."""
    return doctree is not None and next(doctree.findall(_is_formula), None) is not None


def _is_formula(node: nodes.Node) -> bool:
    return isinstance(node, nodes.math | nodes.math_block)


def drop_mathjax(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Take MathJax and its settings from the scripts of a page without a formula."""
    if not has_formula(doctree):
        context["script_files"] = [
            script
            for script in context.get("script_files", [])
            if "mathjax" not in f"{script.filename} {script.attributes.get('body')}".lower()
        ]


def finish(app: Sphinx, exception: Exception | None) -> None:
    """Remove from the finished site what no page needs, and write its front pages."""
    if exception is None and app.builder.name == "html":
        remove_unused(Path(app.outdir), urlparse(app.config.mathjax_path).path)
        write_front_pages(app)


def remove_unused(out: Path, mathjax: str) -> None:
    """Remove Font Awesome, source maps, and the bundles of MathJax but one, whose path below `_static` is given."""
    for page in out.rglob("*.html"):
        remove(FONT_AWESOME_SCRIPT, page)
    for sheet in out.glob("_static/styles/*.css"):
        remove(FONT_AWESOME_STYLE, sheet)
    for pattern in (*FONT_AWESOME_FILES, SOURCE_MAPS, MATHJAX_BUNDLES):
        for path in out.glob(pattern):
            if path.is_file() and path != out / "_static" / mathjax:
                path.unlink()


def write_front_pages(app: Sphinx) -> None:
    """Write index.html, which leads to the first page, and 404.html."""
    out = Path(app.outdir)
    first = relative_uri("", app.builder.get_target_uri(app.config.root_doc))
    title = app.config.html_title
    home = f"{app.config.html_baseurl or '/'}{first}"  # a server shows 404.html under any address
    (out / "index.html").write_text(
        FRONT.format(
            title=title,
            head=f'\n<meta http-equiv="refresh" content="0; url={first}">',
            text=f'The book begins on <a href="{first}">its first page</a>.',
        ),
        encoding="utf-8",
    )
    (out / "404.html").write_text(
        FRONT.format(
            title=f"No such page · {title}",
            head="",
            text=f'There is no page at this address. <a href="{home}">The first page</a> of the book lists all others.',
        ),
        encoding="utf-8",
    )


def remove(pattern: re.Pattern[str], path: Path) -> None:
    """Remove what matches a pattern from a file, which is written only if there is something."""
    text = path.read_text(encoding="utf-8")
    if pattern.search(text):
        path.write_text(pattern.sub("", text), encoding="utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect the extension to Sphinx, which calls this."""
    app.connect("html-page-context", drop_mathjax, priority=900)  # after the extension that adds the script
    app.connect("build-finished", finish, priority=900)  # after the files of the theme have been copied
    return {"parallel_read_safe": True}
