"""The first cell of every notebook, which installs the package on Google Colab.

Colab has PyTorch but not this book's package. Pages leave the cell out, and everywhere else it does nothing, so texts
do not have it: `tools.authoring.notebooks` inserts it when it makes a notebook from its text. A learner notebook whose
chapter reads recorded runs has `records_cell` as well.
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

RECORDS_SOURCE = """\
# This chapter reads records of longer runs. On Google Colab, fetch the repository that holds them.
import os

if "google.colab" in sys.modules and not os.path.exists("../benchmarks"):
    if not os.path.exists("{name}"):
        get_ipython().system("git clone --quiet --depth 1 {address}")
    os.chdir("{name}/notebooks")"""


def colab_cell() -> NotebookNode:
    """Return the cell, not yet executed, with the repository's address from `_config.yml`."""
    source = SOURCE.format(address=_repository())
    return nbformat.v4.new_code_cell(source, id=CELL_ID, metadata={"tags": ["remove-cell"]})


def records_cell() -> NotebookNode:
    """Return the cell that fetches the recorded runs on Colab, and changes into the folder from which they are read."""
    source = RECORDS_SOURCE.format(address=_repository(), name=_repository().rpartition("/")[2])
    return nbformat.v4.new_code_cell(source, id="records-on-colab")


def _repository() -> str:
    """Return the address of the repository."""
    return str(yaml.safe_load(CONFIG.read_text(encoding="utf-8"))["repository"]["url"])
