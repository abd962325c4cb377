"""A Sphinx extension: the buttons of a chapter open and download its learner notebook, and edit its text.

The theme's buttons would lead to the notebook that the page is made from, which nobody works in and nobody edits.

It also puts the learner notebooks beside the pages, one by one and together in `notebooks/learner_notebooks.zip`, with
the recorded runs that some of them read.
"""

import re
import shutil
import zipfile
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

ARCHIVE = "learner_notebooks.zip"
RECORD = re.compile(r"\.\./(benchmarks/\w+\.json)")
EPOCH = (1980, 1, 1, 0, 0, 0)  # a zip file has dates, and the same notebooks shall give the same bytes


def link_learner_notebook(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Change the addresses of the buttons on a page that has a text or a learner notebook."""
    name = page.rpartition("/")[2]
    notebook, text = f"notebooks/{name}.ipynb", f"book/text/{name}.md"
    for group in context["header_buttons"]:
        for button in group.get("buttons", ()):
            label = button.get("label")
            if label == "source-edit-button":
                if (Path(app.srcdir) / text).exists():
                    button["url"] = button["url"].replace(f"/{page}.ipynb", f"/{text}")
            elif not (Path(app.srcdir) / notebook).exists():
                continue
            elif label == "download-source-button":
                button["url"] = context["pathto"](notebook, 1)
            elif "url" in button:
                button["url"] = button["url"].replace(f"/{page}.ipynb", f"/{notebook}")


def archived(root: Path) -> list[Path]:
    """Return the files of the archive, relative to the repository: notebooks, solutions, and the records they read."""
    notebooks = sorted([*root.glob("notebooks/*.ipynb"), *root.glob("notebooks/solutions/*.ipynb")])
    records = {name for path in notebooks for name in RECORD.findall(path.read_text(encoding="utf-8"))}
    return [path.relative_to(root) for path in notebooks] + [Path(name) for name in sorted(records)]


def copy_notebooks(app: Sphinx, error: Exception | None) -> None:
    """Write the notebooks and their archive beside the finished pages."""
    root, out = Path(app.srcdir), Path(app.outdir) / "notebooks"
    if error or app.builder.format != "html" or not (root / "notebooks").exists():
        return
    out.mkdir(exist_ok=True)
    with zipfile.ZipFile(out / ARCHIVE, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in archived(root):
            archive.writestr(zipfile.ZipInfo(path.as_posix(), EPOCH), (root / path).read_bytes(), zipfile.ZIP_DEFLATED)
            if path.match("notebooks/*.ipynb"):
                shutil.copyfile(root / path, out / path.name)


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect the extension to Sphinx, which calls this."""
    app.connect("html-page-context", link_learner_notebook, priority=900)  # after the theme has made its buttons
    app.connect("build-finished", copy_notebooks)
    return {"parallel_read_safe": True}
