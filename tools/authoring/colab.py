"""The first cell of every notebook, which installs the package on Google Colab.

Colab has PyTorch but not this book's package. Pages leave the cell out, and everywhere else it does nothing, so texts
do not have it: `tools.authoring.notebooks` inserts it when it makes a notebook from its text.
"""

from pathlib import Path

import nbformat
import yaml
from nbformat import NotebookNode

CELL_ID = "on-colab"
CONFIG = Path(__file__).resolve().parents[2] / "_config.yml"

# The restart is needed because Colab has loaded older copies of some of the libraries before the first cell runs.
SOURCE = """\
# Google Colab does not have this book's package: fetch it. Anywhere else this cell does nothing.
import importlib.util
import sys

if "google.colab" in sys.modules and importlib.util.find_spec("companion") is None:
    get_ipython().run_line_magic("pip", "install --quiet git+{address} scikit-image")
    get_ipython().kernel.do_shutdown(restart=True)  # then choose "Run all" once more"""


def colab_cell() -> NotebookNode:
    """Return the cell, not yet executed, with the repository's address from `_config.yml`."""
    address = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))["repository"]["url"]
    source = SOURCE.format(address=address)
    return nbformat.v4.new_code_cell(source, id=CELL_ID, metadata={"tags": ["remove-cell"]})
