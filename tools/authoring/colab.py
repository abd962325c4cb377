"""The first cell of every notebook, which installs the package on Google Colab.

Colab has PyTorch but not this book's package. Pages leave the cell out, and everywhere else it does nothing, so texts
do not have it: `tools.authoring.notebooks` inserts it when it makes a notebook from its text. A learner notebook whose
chapter reads recorded runs has `records_cell` as well. While the repository has no address (`tools.addresses`), both
say what to do instead.
"""

import nbformat
from nbformat import NotebookNode

from tools import addresses

CELL_ID = "on-colab"

# The restart is needed because Colab has loaded older copies of some of the libraries before the first cell runs.
SOURCE = """\
# Google Colab does not have this book's package: fetch it.
# Anywhere else this cell does nothing.
import importlib.util
import sys

installed = importlib.util.find_spec("companion") is not None
if "google.colab" in sys.modules and not installed:
    packages = "git+{address} scikit-image"
    get_ipython().run_line_magic("pip", f"install --quiet {{packages}}")
    # Restart, then choose "Run all" once more.
    get_ipython().kernel.do_shutdown(restart=True)"""

WITHOUT_ADDRESS = """\
# Google Colab does not have this book's package, and this copy of the
# book names no address to fetch it from.
import importlib.util
import sys

installed = importlib.util.find_spec("companion") is not None
if "google.colab" in sys.modules and not installed:
    print("Upload the folder of the book, then run in a cell of its own:")
    print("%pip install FOLDER scikit-image")"""

RECORDS_SOURCE = """\
# This chapter reads records of longer runs. On Google Colab, fetch the repository that holds them.
import os

if "google.colab" in sys.modules and not os.path.exists("../benchmarks"):
    if not os.path.exists("{name}"):
        get_ipython().system("git clone --quiet --depth 1 {address}")
    os.chdir("{name}/notebooks")"""


RECORDS_WITHOUT_ADDRESS = """\
# This chapter reads records of longer runs, from the folder benchmarks of the book.
import os

if "google.colab" in sys.modules and not os.path.exists("../benchmarks"):
    print("Upload the folder of the book, then run in a cell of its own: %cd FOLDER/notebooks")"""


def colab_cell() -> NotebookNode:
    """Return the cell, not yet executed, with the repository's address from `_config.yml`."""
    address = addresses.repository_url()
    source = SOURCE.format(address=address) if address else WITHOUT_ADDRESS
    return nbformat.v4.new_code_cell(source, id=CELL_ID, metadata={"tags": ["remove-cell"]})


def records_cell() -> NotebookNode:
    """Return the cell that fetches the recorded runs on Colab, and changes into the folder from which they are read."""
    address = addresses.repository_url()
    name = address.rpartition("/")[2]
    source = RECORDS_SOURCE.format(address=address, name=name) if address else RECORDS_WITHOUT_ADDRESS
    return nbformat.v4.new_code_cell(source, id="records-on-colab")
