"""A notebook under `pytest --nbval` in, a readable report out: `-p companion.authoring.nbval_plugin`.

The first cell that fails stops its notebook (what follows would fail for want of it), the report names the heading
above it, and a cell that was never executed fails, where nbval would compare nothing and pass. Works with
`-n 2 --dist loadscope` too, since all that it remembers lies on the notebook, which stays with one process.
"""

from collections.abc import Generator

import pytest
from nbval.plugin import IPyNbCell

from companion.authoring.twins import place

FIRST_FAILURE = pytest.StashKey[str]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Skip a cell after a failure; refuse one without an execution count; remember the first that fails."""
    if not isinstance(item, IPyNbCell):
        return (yield)
    notebook = item.parent
    if FIRST_FAILURE in notebook.stash:
        pytest.skip(f"not run: {notebook.stash[FIRST_FAILURE]} failed before it")
    try:
        if item.cell.source.strip() and item.cell.execution_count is None and not item.options["skip"]:
            pytest.fail("committed without having been executed: run `make notebooks`", pytrace=False)
        return (yield)
    except pytest.skip.Exception:
        raise
    except BaseException:
        notebook.stash[FIRST_FAILURE] = _place(item)
        raise


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Put file, cell and heading over nbval's own report."""
    report = yield
    if isinstance(item, IPyNbCell) and report.failed:
        report.longrepr = f"{item.path.name}, {_place(item)}\n{report.longrepr}"
    return report


def _place(item: IPyNbCell) -> str:
    notebook = item.parent.nb
    return place(notebook, next(index for index, cell in enumerate(notebook.cells) if cell is item.cell))
