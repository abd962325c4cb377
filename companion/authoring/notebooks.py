"""A chapter's text in, its executed notebook out, written whole or not at all.

`python -m companion.authoring.notebooks [NAME...] [--all]`: without names, those whose text changed since they were
last executed. CONTRIBUTING.md explains how to write a chapter.
"""

import argparse
import sys
from pathlib import Path

import nbformat
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from nbval.kernel import CURRENT_ENV_KERNEL_NAME, NbvalKernelspecManager

from companion.authoring import guards
from companion.authoring.launching import colab_cell
from companion.authoring.twins import differences, notebook_path, place, read_twin
from companion.files import write_whole

BOOK = Path(__file__).resolve().parents[2] / "book"
SECONDS_A_CELL = 900


def execute(notebook: NotebookNode, folder: Path) -> None:
    """Run every cell in place, in `folder`, and keep nothing that differs from one run to the next.

    ValueError in one line if a cell fails, takes too long or kills its kernel: which, under which heading, and why.
    The kernel is the Python that runs this, as in the tests, and not one that happens to be registered as "python3".
    """
    running = [0]
    kernel = AsyncKernelManager(kernel_name=CURRENT_ENV_KERNEL_NAME, kernel_spec_manager=NbvalKernelspecManager())
    client = NotebookClient(
        notebook,
        km=kernel,
        timeout=SECONDS_A_CELL,
        record_timing=False,
        coalesce_streams=True,  # how a stream falls into pieces is chance
        extra_arguments=["--IPKernelApp.log_level=ERROR"],
        resources={"metadata": {"path": str(folder)}},
        on_cell_execute=lambda cell, cell_index: running.append(cell_index),
    )
    try:
        client.execute()
    except CellExecutionError as problem:
        reason = next(iter(str(problem.evalue).strip().splitlines()), "")
        raise ValueError(f"{place(notebook, running[-1])}: {problem.ename}: {reason}") from problem
    except CellTimeoutError as problem:
        raise ValueError(f"{place(notebook, running[-1])}: took longer than {SECONDS_A_CELL} seconds") from problem
    except DeadKernelError as problem:
        raise ValueError(f"{place(notebook, running[-1])}: the kernel died") from problem
    notebook.metadata.language_info.pop("version", None)


def make(twin: Path) -> None:
    """Execute a text and write its notebook; if a cell fails, ValueError in one line, and the old one stays."""
    notebook = read_twin(twin)
    notebook.cells.insert(0, colab_cell())
    try:
        execute(notebook, notebook_path(twin).parent)
    except ValueError as problem:
        raise ValueError(f"{twin}: {problem}") from problem
    write_whole(notebook_path(twin), (nbformat.writes(notebook).rstrip("\n") + "\n").encode())


def is_current(twin: Path) -> bool:
    """Whether the notebook says what its text says, was executed, and can fetch the package on Colab."""
    path = notebook_path(twin)
    if not path.exists():
        return False
    notebook = nbformat.read(path, as_version=4)
    undone = guards.unexecuted(notebook) or guards.unlaunchable(notebook)
    return not undone and not any(differences(notebook, read_twin(twin)))


def choose(book: Path, names: list[str]) -> list[Path]:
    """The texts meant by "03", "03_dot_product" or "book/text/03_dot_product.md"; all of them without a name."""
    twins = sorted((book / "text").glob("*.md"))
    chosen = []
    for name in names:
        stem = Path(name).stem
        found = [twin for twin in twins if twin.stem == stem or twin.stem.startswith(f"{stem}_")]
        if not found:
            there = ", ".join(twin.stem for twin in twins)
            raise ValueError(f"{name}: no such chapter in {book / 'text'}; there are {there}")
        chosen += found
    return chosen or twins


def main(arguments: list[str] | None = None) -> int:
    """The command line: 0 if every notebook asked for was made and keeps the rules, else 1."""
    parser = argparse.ArgumentParser(description="Execute the book's texts into notebooks.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="03, or 03_dot_product (default: those that changed)")
    parser.add_argument("--all", action="store_true", help="also those that did not change")
    parser.add_argument("--book", type=Path, default=BOOK, help="the folder that holds text/ and the notebooks")
    options = parser.parse_args(arguments)
    complaints = []
    try:
        for twin in choose(options.book, options.names):
            path = notebook_path(twin)
            if not options.all and not options.names and is_current(twin):
                print(f"{path.name}: unchanged")
                continue
            make(twin)
            print(f"{path.name}: made")
            complaints += guards.check(path)
    except ValueError as problem:
        complaints.append(str(problem))
    for line in complaints:
        print(line, file=sys.stderr)
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
