"""A Sphinx extension: the scripts of the live laboratory, on its page alone, and the model's file beside them.

`make book` writes the model from the checkpoint that ships, so the repository holds no second copy of the weights.
`python -m tools.laboratory FOLDER` writes the laboratory as a page of its own, without the book: FOLDER/index.html.
"""

import shutil
import sys
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

from companion.files import atomic_write

PAGE = "book/laboratory"
FOLDER = Path("_static/laboratory")  # below the built pages, and below book/
SOURCES = Path(__file__).parents[1] / "book" / FOLDER
MODEL = "model.js"
# In the order in which they are run. page.js loads the model when it has built the page.
SCRIPTS = (
    "draw", "grammar", "truth", "simd", "arrays", "captioner", "search", "engine", "dom", "picture", "tree", "sentence",
    "scenes", "controls", "page",
)  # fmt: skip

BARE = """\
<!doctype html>
<html lang="en" data-theme="light">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>The live laboratory</title>
<link rel="stylesheet" href="laboratory.css">
<style>
  :root {{
    --pst-color-text-base: #222832; --pst-color-text-muted: #48566b; --pst-color-background: #fff;
    --pst-color-border: #c9cdd2; --pst-color-primary: #0a5e74;
  }}
  body {{ font: 16px/1.5 sans-serif; margin: 1rem auto; max-width: 46rem; padding: 0 0.5rem; }}
</style>
<h1>The live laboratory</h1>
<div id="laboratory" class="laboratory"></div>
{scripts}
</html>
"""


def add_scripts(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None) -> None:
    """Add the scripts and the style sheet to the laboratory's page."""
    if page != PAGE:
        return
    app.add_css_file("laboratory/laboratory.css")
    for name in SCRIPTS:
        app.add_js_file(f"laboratory/{name}.js", loading_method="defer")


def write_model(folder: Path) -> Path:
    """Write the shipped captioner of scenes as a script into a folder, and return its path."""
    from companion import checkpoints, exporting

    path = folder / MODEL
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic_write(path, exporting.script(checkpoints.load("scenes")).encode())
    return path


def finish(app: Sphinx, error: Exception | None) -> None:
    """Write the model beside the finished pages, if the laboratory is among them."""
    if error is None and app.builder.format == "html" and PAGE in app.env.found_docs:
        write_model(Path(app.outdir) / FOLDER)


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect the extension to Sphinx, which calls this."""
    app.connect("html-page-context", add_scripts)
    app.connect("build-finished", finish)
    return {"parallel_read_safe": True}


def write_page(folder: Path) -> Path:
    """Write the laboratory as a page of its own into a folder, and return the page."""
    shutil.copytree(SOURCES, folder, dirs_exist_ok=True)
    write_model(folder)
    scripts = "\n".join(f'<script src="{name}.js"></script>' for name in SCRIPTS)
    page = folder / "index.html"
    page.write_text(BARE.format(scripts=scripts), encoding="utf-8")
    return page


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m tools.laboratory FOLDER")
    print(write_page(Path(sys.argv[1])))
