"""What `pytest --nbval -p tools.authoring.nbval_plugin` does beyond nbval, which executes the notebooks again.

- Figures are compared with the committed ones (`figures`); nbval compares texts alone. In a cell tagged
  `trained-figure`, whose numbers training makes, the figure need only be more like the committed one than like any
  other of its notebook.
- The solutions of the paired text run in the notebook's kernel after its last cell, one test each.
- A cell that was never executed fails; nbval would compare nothing and pass.
- The first cell that fails stops its notebook, since what follows would fail for want of it, and the report names the
  heading above it. A solution that fails stops nothing.
- Notebooks with a cell tagged `slow` begin first, so that two processes end together.

All state is kept on the notebook, which one process executes, so `-n 2 --dist loadscope` works too.
"""

import re
from collections import defaultdict
from collections.abc import Generator
from typing import Any

import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell
from nbval.plugin import IPyNbCell, IPyNbFile, NbCellError

from tools.authoring.figures import RGB, closest, complaint, decode
from tools.authoring.paired import place, text_path
from tools.authoring.solutions import Solution, solutions

FIRST_FAILURE = pytest.StashKey[str]()
MIXED_UP = "another figure of this notebook, or none of them, is more like it than the committed one"
COLOUR_CODE = re.compile(r"\x1b\[[\d;]*m")


class SolutionItem(IPyNbCell):
    """The code of one solution, executed in the kernel of its notebook."""

    def __init__(self, parent: IPyNbFile, name: str, solution: Solution):
        self.solution, self.text = solution, text_path(parent.path)
        # Compiled under the name of the text, so that a traceback shows the text's own lines.
        code = solution.code.lstrip("\n")
        padded = f"{len(solution.code) - len(code)} * '\\n' + {code!r}"
        source = f"exec(compile({padded}, {str(self.text)!r}, 'exec', dont_inherit=True), globals())"
        super().__init__(name, parent, 0, new_code_cell(source), defaultdict(bool))

    def reportinfo(self) -> tuple[Any, int, str]:
        """Return where the solution begins, for pytest's reports."""
        return self.text, self.solution.line - 1, f"{self.text.name}::{self.name}"

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException]) -> str:
        """Return file, line and exercise, then the traceback."""
        error = excinfo.value
        traceback = (error.inner_traceback if isinstance(error, NbCellError) else None) or str(error)
        lines = re.findall(rf"{re.escape(self.text.name)}:(\d+)", COLOUR_CODE.sub("", traceback))
        line = lines[-1] if lines else self.solution.line
        return f"{self.text.name}, line {line}, solution of {self.solution.label}\n{traceback}"


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Add the solutions of a notebook's text after its cells."""
    report = yield
    if isinstance(collector, IPyNbFile) and report.passed and text_path(collector.path).exists():
        for solution in solutions(text_path(collector.path).read_text(encoding="utf-8")):
            if solution.code:
                name = f"solution {solution.label}"
                report.result.append(SolutionItem.from_parent(collector, name=name, solution=solution))
    return report


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the notebooks with slow cells first."""
    slow = {item.parent for item in items if isinstance(item, IPyNbCell) and "slow" in _tags(item.cell)}
    items.sort(key=lambda item: item.parent not in slow)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Skip a cell after a failure; refuse one without an execution count; compare figures; remember a failure."""
    if not isinstance(item, IPyNbCell):
        return (yield)
    notebook = item.parent
    if FIRST_FAILURE in notebook.stash:
        pytest.skip(f"not run: {notebook.stash[FIRST_FAILURE]} failed before it")
    if isinstance(item, SolutionItem):
        return (yield)
    try:
        if item.cell.source.strip() and item.cell.execution_count is None and not item.options["skip"]:
            pytest.fail("committed without having been executed: run `make notebooks`", pytrace=False)
        result = yield
        _compare_figures(item)
        return result
    except pytest.skip.Exception:
        raise
    except BaseException:
        notebook.stash[FIRST_FAILURE] = _place(item)
        raise


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Put file, cell and heading over nbval's own report of a cell."""
    report = yield
    if isinstance(item, IPyNbCell) and not isinstance(item, SolutionItem) and report.failed:
        report.longrepr = f"{item.path.name}, {_place(item)}\n{report.longrepr}"
    return report


def _compare_figures(item: IPyNbCell) -> None:
    """Fail if the cell, executed again, drew another figure; not if its output is ignored."""
    if not item.options["check"]:
        return
    committed, executed = _figures(item.cell.outputs), _figures(item.test_outputs or [])
    if len(committed) != len(executed):
        pytest.fail(f"{len(executed)} figures, committed with {len(committed)}", pytrace=False)
    if "trained-figure" in _tags(item.cell):
        cells = [cell for cell in item.parent.nb.cells if cell.cell_type == "code"]
        before = sum(len(_figures(cell.outputs)) for cell in cells[: item.cell_num])
        every = [figure for cell in cells for figure in _figures(cell.outputs)]
        reasons = ["" if closest(new, every) == before + i else MIXED_UP for i, new in enumerate(executed)]
    else:
        reasons = [complaint(old, new) for old, new in zip(committed, executed, strict=True)]
    for reason in filter(None, reasons):
        pytest.fail(f"{reason}; if it is meant to be so, run `make notebooks`", pytrace=False)


def _figures(outputs: list[NotebookNode]) -> list[RGB]:
    return [decode(output.data["image/png"]) for output in outputs if "image/png" in output.get("data", {})]


def _tags(cell: NotebookNode) -> list[str]:
    return cell.metadata.get("tags", [])


def _place(item: IPyNbCell) -> str:
    notebook = item.parent.nb
    return place(notebook, next(index for index, cell in enumerate(notebook.cells) if cell is item.cell))
