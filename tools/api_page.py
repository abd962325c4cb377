"""A Sphinx extension for the page of the book that lists the package's functions (book/api.md)."""

from typing import Any

from sphinx.application import Sphinx


def skip_tuple_field(app: Sphinx, kind: str, name: str, member: Any, skip: bool, options: Any) -> bool | None:
    """Return True for the fields of named tuples: their signature lists them, and all that they have is a number."""
    return True if type(member).__name__ == "_tuplegetter" else None


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect the extension to Sphinx, which calls this."""
    app.connect("autodoc-skip-member", skip_tuple_field)
    return {"parallel_read_safe": True}
