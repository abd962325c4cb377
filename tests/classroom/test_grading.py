"""Forty submissions, hostile ones among them, graded behind the fence: every mark is right and every fault is named."""

import contextlib
import csv
import json
import os
import re
import socket
import stat
import threading
import zipfile
from pathlib import Path

import pytest

from companion.classroom import fence, grading, table
from companion.classroom.box import Limits
from tests.classroom.helpers import ROOT, notebook, solution_cells, zipped

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(fence.find_bwrap() is None, reason="there is no bubblewrap here, so nothing is fenced"),
]

CELLS = solution_cells("A1")  # set-up, temper, slow_manhattan, manhattan, by_area, check
FULL = {"temper": 4, "manhattan": 5, "by_area": 5}
NO_MANHATTAN = FULL | {"manhattan": 0}
NO_TEMPER = FULL | {"temper": 0}
NOTHING = dict.fromkeys(FULL, 0)
LIMITS = Limits(cell_s=2.0, call_s=1.0)

ZEROS = """
def temper(scores, temperatures): return torch.zeros_like(scores)
def manhattan(query, keys, values): return torch.zeros(len(query), values.shape[1]), torch.zeros(len(query), len(keys))
def by_area(scores, areas): return torch.zeros_like(scores)
"""
PATCHES = """
import companion.classroom.expectations, companion.classroom.protocol
torch.allclose = torch.equal = lambda *_, **__: True
companion.classroom.expectations.same = lambda *_: True
companion.classroom.protocol.encode = lambda value: b"right"
"""
EQUAL = """
class Equal(torch.Tensor):
    def __eq__(self, other): return True
    def __sub__(self, other): return 0
    __hash__ = None
def temper(scores, temperatures): return scores.as_subclass(Equal)
"""
PICKLE = """
import os
class Bomb:
    def __reduce__(self): return os.system, ("touch /tmp/pickled",)
def temper(scores, temperatures): return Bomb()
"""
FORGE = """
import os
for descriptor in range(3, 40):
    try: os.write(descriptor, b"\\0" * 64)
    except OSError: pass
"""
READ = """
import os
PLACES = {places!r}
def temper(scores, temperatures, right=temper):
    seen = [place for place in PLACES if os.path.exists(place)]
    if seen: raise ValueError(seen)
    return right(scores, temperatures)
"""


def loop(body):
    return [*CELLS, f"def manhattan(query, keys, values):\n    {body}"]


def submissions(places, port, out):
    """Return, by the name of a file, its bytes, the points it should get, and a part of the reason."""
    link = zipfile.ZipInfo("key.ipynb")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    right = notebook(CELLS)
    old = {"nbformat": 3, "nbformat_minor": 0, "metadata": {}}
    old["worksheets"] = [{"cells": [{"cell_type": "code", "input": cell, "outputs": []} for cell in CELLS]}]
    late_cells = {
        "loop at the top": "while True: pass",
        "memory at the top": "hoard = [torch.ones(50_000_000) for _ in range(100)]",
        "exit at the top": "import os\nos._exit(0)",
        "broken last": "1 / 0",
        "prints": "print('x' * 10_000_000)",
        "deletes": f"import shutil\nfor place in {places!r}: shutil.rmtree(place, ignore_errors=True)",
        "sockets": f"import socket\nsocket.create_connection(('127.0.0.1', {port}), 2).send(b'here')",
        "forks": "import os, time\nfor _ in range(40):\n    if os.fork() == 0:\n        time.sleep(1000)",
        "rewrites": f"open({str(out)!r}, 'w').write('student,total')",
        "kills its parent": "import os, signal\nos.kill(os.getppid(), signal.SIGKILL)",
        "kills everybody": "import os, signal\nos.kill(-1, signal.SIGKILL)",
    }
    made = {f"{name}.ipynb": (notebook([*CELLS, cell]), FULL, "") for name, cell in late_cells.items()}
    made |= {
        "right.ipynb": (right, FULL, ""),
        "untouched.ipynb": ((ROOT / "course/student/a1.ipynb").read_bytes(), NOTHING, "returned nothing (None)"),
        "zeros.ipynb": (notebook([CELLS[0], ZEROS]), NOTHING, "All numbers of the answer are 0."),
        "patches.ipynb": (notebook([CELLS[0], ZEROS, PATCHES]), NOTHING, ""),
        "endless.ipynb": (notebook(loop("while True: pass")), NO_MANHATTAN, "manhattan did not finish"),
        "slow.ipynb": (
            notebook(loop("return slow_manhattan(query, keys, values)")),
            FULL | {"manhattan": 4},
            "slow loop",
        ),
        "memory.ipynb": (notebook(loop("return [torch.ones(10**9) for _ in range(9)]")), NO_MANHATTAN, "manhattan "),
        "exit.ipynb": (notebook(loop("import os; os._exit(0)")), NO_MANHATTAN, "manhattan ended the Python process"),
        "system exit.ipynb": (notebook(loop("raise SystemExit(0)")), NO_MANHATTAN, "manhattan raised SystemExit"),
        "recursion.ipynb": (notebook(loop("return manhattan(query, keys, values)")), NO_MANHATTAN, "RecursionError"),
        "html.ipynb": (notebook(loop("raise ValueError('<script>alert(1)</script>')")), NO_MANHATTAN, "<script>"),
        "equal.ipynb": (notebook([*CELLS, EQUAL]), NO_TEMPER, "temper returned a value of the type Equal"),
        "pickle.ipynb": (notebook([*CELLS, PICKLE]), NO_TEMPER, "temper returned a value of the type Bomb"),
        "forges.ipynb": (notebook([*CELLS, FORGE]), FULL, ""),
        "reads.ipynb": (notebook([*CELLS, READ.format(places=places)]), FULL, ""),
        "in place.ipynb": (
            notebook([*CELLS, "def temper(s, t):\n    s /= t[:, None]\n    return s.softmax(-1)"]),
            NO_TEMPER,
            "temper changes its argument scores.",
        ),
        "lucky.ipynb": (
            notebook(
                [*CELLS, "def temper(s, t):\n    e = (s / t[:, None]).exp()\n    return e / e.sum(-1, keepdim=True)"]
            ),
            FULL | {"temper": 2.5},
            "The exponential of a large score overflows.",
        ),
        "syntax.ipynb": (
            notebook([CELLS[0], CELLS[1] + "\nx = = 1", *CELLS[2:]]),
            NO_TEMPER,
            "Cell 2 raised SyntaxError",
        ),
        "archive.zip": (zipped({"../../a1.ipynb": right, link: b"/etc/passwd", ".OTTER_LOG": b"x"}), FULL, ""),
        "damaged.zip": (zipped({"a1.ipynb": right})[:-40], NOTHING, "the zip file cannot be read"),
        "script.py": ("\n\n".join(CELLS).encode(), FULL, ""),
        "picture.ipynb": (b"\x89PNG\r\n\x1a\n\xff\xfe", NOTHING, "no notebook"),
        "list.ipynb": (b"[1, 2]", NOTHING, "JSON, but no notebook"),
        "empty.ipynb": (b"", NOTHING, "the file is empty"),
        "paper.pdf": (b"%PDF", NOTHING, "paper.pdf is no notebook"),
        "foreign.ipynb": (notebook(CELLS, metadata={"kernelspec": {"name": "conda-env-ml-py"}}), FULL, ""),
        "no metadata.ipynb": (json.dumps({"cells": json.loads(right)["cells"]}).encode(), FULL, ""),
        "colab.ipynb": (notebook([f"from google.colab import drive\n{CELLS[0]}", *CELLS[1:]]), FULL, ""),
        "old.ipynb": (json.dumps(old).encode(), FULL, ""),
        "no check.ipynb": (notebook(CELLS[:-1]), FULL, ""),
    }
    return made


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """Grade them all once; return the rows by student, what was expected, and the folder."""
    home = tmp_path_factory.mktemp("teacher")
    folder, pages, private = home / "submissions", home / "feedback", home / "private"
    private.mkdir()
    folder.mkdir()
    (private / "key.txt").write_text("a key that nobody guesses\n")
    places = [str(private), str(ROOT / "course"), str(ROOT / "tests"), "/etc/passwd", str(Path.home() / ".ssh")]
    server = socket.create_server(("127.0.0.1", 0))
    calls = []

    def serve():
        try:
            while True:
                calls.append(server.accept())
        except OSError:
            return

    threading.Thread(target=serve, daemon=True).start()
    expected = submissions(places, server.getsockname()[1], home / "marks.csv")
    for name, (data, _, _) in expected.items():
        (folder / name).write_bytes(data)
    (folder / "link.ipynb").symlink_to(private / "key.txt")
    order = grading.Order("A1", folder, home / "marks.csv", key=private / "key.txt", feedback=pages, limits=LIMITS)
    notes = []
    rows = {row.student: row for row in grading.grade(order, notes.append)}
    server.close()
    return rows, expected, order, calls, notes


NAMES = [Path(name).stem for name in submissions([], 1, Path("out"))]


def test_there_are_forty(graded):
    rows, *_ = graded
    assert len(rows) >= 40


@pytest.mark.parametrize("name", NAMES)
def test_the_mark_and_the_reason_are_right(graded, name):
    rows, expected, *_ = graded
    _, points, reason = next(entry for file, entry in expected.items() if Path(file).stem == name)
    row = rows[name]
    assert row.points == points, row.reason
    assert reason in row.reason
    assert bool(row.reason) == (row.total < 14)


def test_a_link_is_not_followed(graded):
    rows, *_ = graded
    assert (rows["link"].total, "it is a link" in rows["link"].reason) == (0, True)


def test_nothing_of_the_teachers_was_changed_and_nobody_was_called(graded):
    rows, _, order, calls, _ = graded
    assert order.key.read_text() == "a key that nobody guesses\n"
    assert calls == []
    assert {row.student for row in table.read(order.out, grading.assignments.load("A1"))} == set(rows)
    assert not Path("/tmp/pickled").exists()


def parent_of(pid: int) -> int:
    """Return the parent of a process; 0 if there is none, or the process is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in status.splitlines() if line.startswith("PPid:")), 0)


def started_here(pid: int) -> bool:
    """Return whether this process started it, or nobody is left who did; other workers of the tests have their own."""
    parent = parent_of(pid)
    while parent > 1 and parent != os.getpid():
        parent = parent_of(parent)
        if parent == 1:  # started by another process that is alive
            return False
    return parent != 0


def test_no_process_is_left(graded):
    left = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # the process has ended
            if b"companion.classroom.child" in path.read_bytes() and started_here(int(path.parent.name)):
                left.append(path)
    assert left == []


def test_every_student_has_a_page_that_is_escaped_and_shows_no_hidden_input(graded):
    rows, _, order, *_ = graded
    pages = {path.stem: path.read_text(encoding="utf-8") for path in order.feedback.iterdir()}
    assert set(pages) == set(rows)
    assert "&lt;script&gt;" in pages["html"]
    for text in pages.values():
        assert re.findall(r"<script|<img|href|src=|tensor\(\[", text) == []
    assert "14 of 14 points" in pages["right"]


def test_the_seconds_of_a_submission_are_stated(graded):
    rows, _, order, _, notes = graded
    with order.out.open(newline="") as file:
        seconds = {line["student"]: float(line["seconds"]) for line in csv.DictReader(file)}
    assert set(seconds) == set(rows)
    print(
        f"{sum(seconds.values()):.0f} s for {len(seconds)}; right {seconds['right']}; longest {max(seconds.values())}"
    )
    assert notes[-1].startswith(f"{len(rows)} of {len(rows)}: ")


def test_grading_again_runs_nothing_that_is_done(graded, monkeypatch):
    rows, _, order, *_ = graded
    before = order.out.read_bytes()
    monkeypatch.setattr(grading, "run", lambda *_: pytest.fail("something was run again"))
    assert {row.student: row.points for row in grading.grade(order, lambda _: None)} == {
        name: row.points for name, row in rows.items()
    }
    assert order.out.read_bytes() == before


def test_without_a_fence_nothing_is_run(graded, monkeypatch, tmp_path):
    _, _, order, *_ = graded
    monkeypatch.setattr(fence, "find_bwrap", lambda: None)
    with pytest.raises(ValueError, match="--without-fence"):
        grading.grade(grading.dataclasses.replace(order, out=tmp_path / "marks.csv"), lambda _: None)
    assert list(tmp_path.iterdir()) == []
