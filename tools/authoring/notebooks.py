"""Execute chapter texts into notebooks: `python -m tools.authoring.notebooks [NAME...] [--all]`, or `make notebooks`.

Without names, it makes the notebooks whose text has changed since they were last executed; where only prose, tags or
captions have changed, nothing is executed again. A notebook is written completely or not at all. CONTRIBUTING.md
explains how to write a chapter.
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

from companion.files import atomic_write
from tools.authoring import checks
from tools.authoring.colab import CELL_ID, colab_cell
from tools.authoring.paired import differences, notebook_path, place, read_paired_text

BOOK = Path(__file__).resolve().parents[2] / "book"
SECONDS_PER_CELL = 900


def execute(notebook: NotebookNode, folder: Path) -> None:
    """Run every cell in place, in `folder`, and keep nothing that differs from one run to the next.

    The kernel is the Python that runs this, as in the tests, and not one that happens to be registered as "python3".

    Raises:
        ValueError: a cell failed, took too long or killed its kernel; the message says in one line which, under which
            heading, and why.
    """
    started = [0]
    kernel = AsyncKernelManager(kernel_name=CURRENT_ENV_KERNEL_NAME, kernel_spec_manager=NbvalKernelspecManager())
    client = NotebookClient(
        notebook,
        km=kernel,
        timeout=SECONDS_PER_CELL,
        record_timing=False,
        coalesce_streams=True,  # the pieces in which a stream arrives differ from run to run
        extra_arguments=["--IPKernelApp.log_level=ERROR"],
        resources={"metadata": {"path": str(folder)}},
        on_cell_execute=lambda cell, cell_index: started.append(cell_index),
    )
    try:
        client.execute()
    except CellExecutionError as error:
        reason = next(iter(str(error.evalue).strip().splitlines()), "")
        raise ValueError(f"{place(notebook, started[-1])}: {error.ename}: {reason}") from error
    except CellTimeoutError as error:
        raise ValueError(f"{place(notebook, started[-1])}: took longer than {SECONDS_PER_CELL} seconds") from error
    except DeadKernelError as error:
        raise ValueError(f"{place(notebook, started[-1])}: the kernel died") from error
    notebook.metadata.language_info.pop("version", None)


def keep_outputs(notebook: NotebookNode, path: Path) -> bool:
    """Take the outputs of the notebook at `path` if its code was executed and is the same; return whether it is.

    The cell for Colab may differ, which does nothing here.
    """
    if not path.exists():
        return False
    old = nbformat.read(path, as_version=4)
    pairs = list(zip(code := _code(notebook), executed := _code(old), strict=False))
    changed = any(a.source != b.source and a.id != CELL_ID for a, b in pairs)
    if changed or len(code) != len(executed) or checks.not_executed(old):
        return False
    for cell, before in pairs:
        cell.outputs, cell.execution_count = before.outputs, before.execution_count
    notebook.metadata = old.metadata
    return True


def _code(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for _, cell in checks.code_cells(notebook)]


def make(text: Path, *, anew: bool = True) -> None:
    """Write the notebook of a text, executed; without `anew`, only if its code has changed.

    Raises:
        ValueError: a cell failed; the message is one line, and the old notebook stays.
    """
    notebook = read_paired_text(text)
    notebook.cells.insert(0, colab_cell())
    try:
        if anew or not keep_outputs(notebook, notebook_path(text)):
            execute(notebook, notebook_path(text).parent)
    except ValueError as error:
        raise ValueError(f"{text}: {error}") from error
    atomic_write(notebook_path(text), (nbformat.writes(notebook).rstrip("\n") + "\n").encode())


def is_current(text: Path) -> bool:
    """Return whether the notebook of a text exists, agrees with it, was executed and has the present cell for Colab."""
    path = notebook_path(text)
    if not path.exists():
        return False
    notebook = nbformat.read(path, as_version=4)
    if checks.not_executed(notebook) or checks.no_colab_cell(notebook):
        return False
    return not any(differences(notebook, read_paired_text(text)))


def choose(book: Path, names: list[str]) -> list[Path]:
    """Return the texts named by "03", "03_dot_product" or "book/text/03_dot_product.md"; all texts without a name.

    Raises:
        ValueError: there is no such chapter.
    """
    texts = sorted((book / "text").glob("*.md"))
    chosen = []
    for name in names:
        stem = Path(name).stem
        matching = [text for text in texts if text.stem == stem or text.stem.startswith(f"{stem}_")]
        if not matching:
            known = ", ".join(text.stem for text in texts)
            raise ValueError(f"{name}: no such chapter in {book / 'text'}; there are {known}")
        chosen += matching
    return chosen or texts


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return 0 if every requested notebook was made and keeps the rules, else 1."""
    parser = argparse.ArgumentParser(description="Execute the book's texts into notebooks.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="03, or 03_dot_product (default: those that changed)")
    parser.add_argument("--all", action="store_true", help="also those that did not change")
    parser.add_argument("--book", type=Path, default=BOOK, help="the folder that holds text/ and the notebooks")
    options = parser.parse_args(arguments)
    complaints = []
    try:
        for text in choose(options.book, options.names):
            path = notebook_path(text)
            if not options.all and not options.names and is_current(text):
                print(f"{path.name}: unchanged")
                continue
            make(text, anew=options.all or bool(options.names))
            print(f"{path.name}: made")
            complaints += checks.check_notebook(path)
    except ValueError as error:
        complaints.append(str(error))
    for line in complaints:
        print(line, file=sys.stderr)
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
