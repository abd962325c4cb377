"""A Sphinx extension: pages do without the scripts of sphinx-thebe, which the theme and Jupyter Book each add.

Nothing on the pages runs by thebe, which loads its code from the network. And a script that stands on a page twice
fails, because it declares the same constant twice.
"""

from typing import Any

from docutils import nodes
from sphinx.application import Sphinx


def remove(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None) -> None:
    """Take the scripts of sphinx-thebe from the list of a page."""
    scripts = context.get("script_files", [])
    context["script_files"] = [
        script for script in scripts if "thebe" not in f"{script.filename} {script.attributes.get('body')}"
    ]


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect the extension to Sphinx, which calls this."""
    app.connect("html-page-context", remove, priority=900)  # after the extensions that add scripts to single pages
    return {"parallel_read_safe": True}
