"""The parts of the classroom, each by itself: frames, notebooks, file names, rosters, gradebooks, sheets, the build."""

import csv
import json
import os
import re
import sys
from itertools import combinations

import numpy as np
import pytest
import torch

from companion import cli
from companion.classroom import (
    Subject,
    assignments,
    checking,
    gradescope,
    notebooks,
    protocol,
    roster,
    sheets,
    variants,
)
from companion.classroom.box import Box
from companion.classroom.expectations import make_print, same
from companion.classroom.gradebook import Gradebook
from companion.classroom.mistake import BoxError
from companion.classroom.submissions import find_submissions
from companion.classroom.table import Row, read, safe, write
from tests.classroom.helpers import NOTEBOOKS, ROOT, load_build, notebook, solution_cells, zipped

# -- frames ------------------------------------------------------------------------------------------------------------


def through_a_pipe(value, strides=False):
    reader, writer = os.pipe()
    try:
        protocol.send(writer, value)
        return protocol.receive(reader, 5.0, strides=strides)
    finally:
        os.close(reader)
        os.close(writer)


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        3,
        2.5,
        "ä\n",
        float("inf"),
        [1, [2, ()]],
        {"a": 1, 2: (None, "b")},
        {"tensor": "0"},
        {},
        {"list": []},
    ],
)
def test_a_plain_value_arrives_as_it_was(value):
    assert through_a_pipe(value) == value
    assert type(through_a_pipe(value)) is type(value)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bool, torch.int64, torch.bfloat16])
def test_a_tensor_arrives_with_its_numbers_and_where_asked_with_its_strides(dtype):
    x = torch.arange(6).view(2, 3).to(dtype).T
    for strides in (True, False):
        y = through_a_pipe({"x": [x]}, strides)["x"][0]
        assert torch.equal(x, y)
        assert y.dtype == dtype
        assert (y.stride() == x.stride()) == strides


def test_an_array_arrives_as_a_tensor():
    assert torch.equal(through_a_pipe(np.arange(3)), torch.arange(3))


class Text(str):
    """A text that could bring code of its own."""


@pytest.mark.parametrize(
    ("value", "named"),
    [(Text("a"), "Text"), (print, "builtin"), ({1, 2}, "set"), (torch.nn.Linear(1, 1), "Linear"), (1j, "complex"),
     (torch.ones(2).to_sparse(), "sparse"), (np.array(["a"]), "array"),
     (torch.ones(2, dtype=torch.complex64), "complex64")],
)  # fmt: skip
def test_anything_else_is_refused_by_its_name(value, named):
    with pytest.raises(protocol.ProtocolError, match=named):
        protocol.encode([value])


def test_what_is_nested_too_deep_or_too_large_is_refused():
    deep: list = []
    for _ in range(50):
        deep = [deep]
    for value in (deep, torch.empty(protocol.FRAME_LIMIT // 4 + 1)):
        with pytest.raises(protocol.ProtocolError):
            protocol.encode(value)


@pytest.mark.parametrize(
    "data", [b"\xff" * 16, b"\0" * 7 + b"\2" + b"\0" * 8 + b"{}", b"\0" * 7 + b"\1" + b"\0" * 7 + b"\4" + b"1abcd"]
)
def test_bytes_that_are_no_frame_are_named_as_such(data):
    reader, writer = os.pipe()
    os.write(writer, data)
    os.close(writer)
    with pytest.raises((protocol.ProtocolError, protocol.ClosedError)):
        protocol.receive(reader, 5.0)
    os.close(reader)


def test_an_answer_that_does_not_come_is_late_and_a_closed_pipe_is_closed():
    reader, writer = os.pipe()
    with pytest.raises(protocol.LateError):
        protocol.receive(reader, 0.01)
    os.close(writer)
    with pytest.raises(protocol.ClosedError):
        protocol.receive(reader, 5.0)
    os.close(reader)


# -- answers -----------------------------------------------------------------------------------------------------------


def test_prints_of_the_same_value_are_the_same_and_others_are_not():
    x = torch.tensor([[1.0, float("nan")], [-0.0, 1e6]])
    assert same(make_print((x, 1)), make_print([x + 1e-5, 1.0]))
    assert not same(make_print(x), make_print(x.T))
    assert not same(make_print(x), make_print(x[:1]))
    assert not same(make_print(torch.zeros(1)), make_print(None))
    assert json.loads(json.dumps(make_print(x))) == make_print(x)


def test_the_untouched_notebook_passes_no_check_and_ends_with_the_count():
    for name in NOTEBOOKS:
        assignment = assignments.load(name)
        lines = checking.report(assignment, lambda function: Subject(function, lambda *_: None))
        assert all(line.startswith("✗ ") for line in lines[:-1])
        count = len(assignments.public_checks(name))
        assert lines[-1] == f"0 of {count} public checks. The mark also counts hidden ones."


def test_check_prints_the_public_checks_of_the_notebook_that_calls_it(monkeypatch, capsys):
    namespace: dict = {"__name__": "__main__"}
    exec("\n".join(solution_cells("A1")[:-1]), namespace)
    monkeypatch.setattr(checking, "vars", lambda _: namespace, raising=False)
    checking.check("A1")
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "10 of 10 public checks. The mark also counts hidden ones."
    assert lines[0] == "✓ temper of as many queries as places"


@pytest.mark.slow
def test_the_command_checks_a_file_in_a_process_of_its_own(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cells = [*solution_cells("A1"), "def temper(scores, temperatures):\n    return scores.softmax(-1)"]
    (tmp_path / "a1.ipynb").write_bytes(notebook(cells))
    assert cli.main(["check", "a1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "✗ temper of as many queries as places: The temperatures have no effect."
    assert lines[-1] == "7 of 10 public checks. The mark also counts hidden ones."
    assert [path.name for path in tmp_path.iterdir()] == ["a1.ipynb"]


def test_a_process_that_does_not_start_is_nobodys_mistake(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with Box(["x = 1"], fenced=False) as box, pytest.raises(BoxError, match="does not start"):
        checking.boxed(box, "temper")(1)


# -- what students hand in ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "reason"),
    [(b"  \n", "empty"), (b"\xff\xfe1", "UTF-8"), (b"[1]", "no list of cells"), (b"{}", "no list"), (b"{", "not JSON"),
     (b"[" * 100_000, "not JSON"), (b'{"cells": [{"cell_type": "markdown"}]}', "no code cell"),
     (b'{"cells": [null, 3, {"cell_type": "code", "source": 7}]}', "no code cell")],
)  # fmt: skip
def test_what_is_no_notebook_is_refused_with_the_reason(data, reason):
    with pytest.raises(ValueError, match=reason):
        notebooks.read_cells(data, "a1.ipynb")


def test_the_calls_of_check_are_left_out_and_nothing_else_is():
    cells = notebooks.read_cells(notebook(['x = 1\ncheck("A1")  # here', "check = 2", "recheck(1)"]), "a.ipynb")
    assert cells == ["x = 1\n", "check = 2", "recheck(1)"]


def test_the_names_of_canvas_moodle_and_gradescope_are_read(tmp_path):
    data = notebook(["x = 1"])
    for name in ("leeann_12_345_a1.ipynb", "obrien_LATE_13_346_a1-2.ipynb", "zoe_a1.ipynb", "Ann B.py"):
        (tmp_path / name).write_bytes(data)
    for name in ("Max Power_77_assignsubmission_file_", "submission_99"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "my a1.ipynb").write_bytes(data)
        (tmp_path / name / "other.ipynb").write_bytes(b"")
    (tmp_path / "submission_metadata.yml").write_text("a: 1")
    (tmp_path / "roster.csv").write_text("student\n")
    students = {one.student: one for one in find_submissions(tmp_path, "A1")}
    assert sorted(students) == ["Ann B", "Max Power", "leeann_12", "obrien_13", "submission_99", "zoe"]
    assert all(one.data == data for one in students.values())


def test_two_files_of_one_student_are_an_error_that_names_both(tmp_path):
    for name in ("ann.ipynb", "ann.py"):
        (tmp_path / name).write_bytes(notebook(["x = 1"]))
    with pytest.raises(ValueError, match=r"ann.ipynb and ann.py"):
        find_submissions(tmp_path, "A1")


def test_a_zip_without_a_notebook_or_with_several_is_named(tmp_path):
    (tmp_path / "ann.zip").write_bytes(zipped({"x.txt": b"1"}))
    (tmp_path / "ben.zip").write_bytes(zipped({"x.ipynb": b"1", "y.ipynb": b"2"}))
    ann, ben = find_submissions(tmp_path, "A1")
    assert (ann.fault, ben.fault) == ("it holds no notebook", "it holds 2 files that could be the notebook")


CANVAS = """Student,ID,SIS Login ID,Section,A1 Weights by hand (555),A2 Four mechanisms (556)
    Points Possible,,,,20,30
"Lee, Ann",12,ann7,1,,
"O'Brien, Éva",13,eva9,1,3,
"""
MOODLE = (
    "Identifier,Full name,Email address,Grade\nParticipant 77,Max Power,max@x.org,\nParticipant 78,Zoe Z,z@x.org,5\n"
)


def test_a_canvas_gradebook_gets_its_column_filled_and_nothing_else(tmp_path):
    path = tmp_path / "export.csv"
    path.write_text(CANVAS, encoding="utf-8")
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "leeann_12_345_a1.ipynb").write_bytes(notebook(["x = 1"]))
    (one,) = find_submissions(tmp_path / "s", "A1", roster.read_roster(path))
    assert one.student == "ann7"
    assert Gradebook(path, assignments.load("A1")).fill({"ann7": 13.5, "nobody": 1.0}, tmp_path / "m.csv") == ["nobody"]
    expected = CANVAS.replace("ann7,1,,", "ann7,1,13.5,")
    made = (tmp_path / "export_a1.csv").read_text(encoding="utf-8")
    assert list(csv.reader(made.splitlines())) == list(csv.reader(expected.splitlines()))
    assert path.read_text(encoding="utf-8") == CANVAS


def test_a_moodle_worksheet_gets_its_column_filled(tmp_path):
    path = tmp_path / "grades.csv"
    path.write_text(MOODLE)
    folder = tmp_path / "s" / "Max Power_77_assignsubmission_file_"
    folder.mkdir(parents=True)
    (folder / "a1.ipynb").write_bytes(notebook(["x = 1"]))
    (one,) = find_submissions(tmp_path / "s", "A1", roster.read_roster(path))
    assert one.student == "max@x.org"
    assert Gradebook(path, assignments.load("A1")).fill({"max@x.org": 9.0}, tmp_path / "m.csv") == []
    assert (tmp_path / "grades_a1.csv").read_text() == MOODLE.replace("max@x.org,", "max@x.org,9")


def test_a_gradebook_without_the_column_is_refused(tmp_path):
    (tmp_path / "e.csv").write_text("student,A12\nann,\n")
    with pytest.raises(ValueError, match="has 0 columns for A1"):
        Gradebook(tmp_path / "e.csv", assignments.load("A1"))


def test_a_table_of_marks_is_read_as_it_was_written_and_holds_no_formula(tmp_path):
    assignment = assignments.load("A1")
    rows = [Row("=1+1", {"temper": 2.5, "manhattan": 5.0}, "@x | <b>", 1.25, "abc"), Row("ann", {}, "", 0.0, "d")]
    write(tmp_path / "m.csv", assignment, rows)
    text = (tmp_path / "m.csv").read_text()
    assert "'=1+1,,2.5,5,,7.5,'@x | <b>,1.2,abc" in text
    assert [row.student for row in read(tmp_path / "m.csv", assignment)] == ["=1+1", "ann"]
    assert safe("a\nb") == "a b"
    with pytest.raises(ValueError, match="not a table of marks of A2"):
        read(tmp_path / "m.csv", assignments.load("A2"))


def test_results_for_gradescope_have_a_test_for_each_check(tmp_path):
    mark = {"question": "temper", "check": "test_temper_of_many", "points": 0, "of": 0.5, "text": "Wrong."}
    gradescope.write_results(tmp_path, assignments.load("A1"), [mark])
    (test,) = json.loads((tmp_path / "results.json").read_text())["tests"]
    assert (test["name"], test["score"], test["max_score"], test["output"]) == (
        "temper: temper of many", 0, 0.5, "Wrong.",
    )  # fmt: skip


# -- each student's own ------------------------------------------------------------------------------------------------


def numbers(variant):
    """Return every number that the sheet of A1 asks for, as it is to be written down."""
    answers = variant.answers().values()
    return [round(x, 2) for table, _ in answers for x in table.flatten().tolist()]


def test_the_variants_of_two_students_differ_in_every_number_asked_for():
    first, second = (numbers(sheets.variant_of("A1", student, b"a salt")) for student in ("ann", "ben"))
    assert all(a != b for a, b in zip(first, second, strict=True))


def test_no_two_of_forty_sheets_share_more_than_a_few_numbers():
    made = [numbers(sheets.variant_of("A1", f"student {n}", b"a salt")) for n in range(40)]
    shared = [sum(a == b for a, b in zip(x, y, strict=True)) for x, y in combinations(made, 2)]
    assert max(shared) <= 5
    assert sum(count == 0 for count in shared) > 0.5 * len(shared)


def test_no_two_of_forty_findings_can_be_the_same():
    made = [sheets.variant_of("A2", f"student {n}", b"a salt") for n in range(40)]
    assert len({variant.number for variant in made}) == 40
    assert len({(variant.bug, variant.line, variant.own_number) for variant in made}) >= 39
    assert {variant.bug for variant in made} == set(range(7))


def test_another_secret_or_another_name_gives_another_variant_and_the_same_the_same():
    one = variants.variant_random(b"s", "A1", "ann").random()
    assert one == variants.variant_random(b"s", "A1", "ann").random()
    assert one not in (
        variants.variant_random(b"t", "A1", "ann").random(),
        variants.variant_random(b"s", "A1", "b").random(),
    )
    draws = [torch.randn(3, generator=variants.generator(key, "A1", "c")) for key in (b"k", b"k", b"l")]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_the_sheets_are_written_beside_the_roster_and_escaped(tmp_path, capsys, name):
    (tmp_path / "roster.csv").write_text("student\nann\n<b>ben</b>\n")
    (tmp_path / "salt.txt").write_text("salt")
    call = ["sheet", name, "--roster", str(tmp_path / "roster.csv"), "--salt", str(tmp_path / "salt.txt")]
    assert cli.main(call) == 0
    key = name.lower()
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        f"{key}_key.html",
        f"{key}_sheets.html",
        "roster.csv",
        "salt.txt",
    ]
    text = (tmp_path / f"{key}_sheets.html").read_text(encoding="utf-8")
    assert text.count("<section>") == 2
    assert "&lt;b&gt;ben" in text
    assert "<b>" not in text
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    assert cli.main(call) == 0
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (["check", "A7"], "there is no assignment 'A7'; there are A1, A2, A3, A4, A5, A6"),
        (["check", "A1", "none.ipynb"], "none.ipynb"),
        (["grade", "A1", "none", "--out", "m.csv"], "none: is not a folder of submissions"),
        (["grade", "A1", ".", "--out", "no/m.csv"], "choose another --out"),
        (["grade", "A1", ".", "--out", "m.csv", "--key", "empty.txt"], "empty.txt: is empty"),
        (["sheet", "A1", "--roster", "empty.txt"], "empty.txt: has no students"),
        (["sheet", "A1", "--roster", "twice.csv"], "the student 'ann' is there twice"),
    ],
)
def test_what_cannot_be_done_is_one_line(tmp_path, monkeypatch, capsys, call, reason):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.txt").write_text("")
    (tmp_path / "twice.csv").write_text("student\nann\nAnn\n")
    (tmp_path / "ann.ipynb").write_bytes(notebook(["x = 1"]))
    before = sorted(tmp_path.iterdir())
    assert cli.main([*call, "--without-fence"] if call[0] == "grade" else call) == 1
    lines = [line for line in capsys.readouterr().err.splitlines() if "warning" not in line]
    assert len(lines) == 1
    assert reason in lines[0]
    assert sorted(tmp_path.iterdir()) == before


# -- what is made from the sources -------------------------------------------------------------------------------------


def test_make_course_changes_no_byte():
    for path, text in load_build().outputs().items():
        assert path.read_bytes() == text.encode(), f"{path.relative_to(ROOT)} is out of date: run make course"


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_no_line_of_a_solution_is_in_what_students_get(name):
    source = (ROOT / "course" / "assignments" / name.lower() / "source.md").read_text(encoding="utf-8")
    solutions = re.findall(r"# BEGIN SOLUTION\n(.*?)# END SOLUTION", source, re.DOTALL)
    assert len(solutions) == len(assignments.load(name).functions)
    lines = [line.strip() for solution in solutions for line in solution.splitlines()]
    secret = [line for line in lines if line and not line.startswith(("def ", '"""', "#"))]
    student = (ROOT / "course" / "student" / f"{name.lower()}.ipynb").read_text(encoding="utf-8")
    public = "".join(path.read_text(encoding="utf-8") for path in assignments.PUBLIC.glob(f"{name.lower()}.*"))
    cells = "\n".join("".join(cell["source"]) for cell in json.loads(student)["cells"])
    assert len(secret) > 5
    assert [line for line in secret if line in cells or line in public] == []


@pytest.mark.parametrize("name", assignments.names())
def test_the_student_notebook_runs_through_and_has_ids_of_its_own(name):
    made = json.loads((ROOT / "course" / "student" / f"{name.lower()}.ipynb").read_text(encoding="utf-8"))
    assert [cell["id"] for cell in made["cells"]] == [f"{name.lower()}-{n:02}" for n in range(len(made["cells"]))]
    namespace: dict = {}
    for cell in made["cells"]:
        if cell["cell_type"] == "code" and "check" not in cell["metadata"].get("tags", []):
            exec("".join(cell["source"]), namespace)
    assert set(assignments.load(name).functions) <= set(namespace)


def test_what_is_asked_for_is_neither_in_the_package_nor_in_the_book():
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / "book" / "text").glob("*.md")]
    texts += [p.read_text(encoding="utf-8") for p in (ROOT / "companion").rglob("*.py") if "classroom" not in p.parts]
    asked = [function for name in assignments.names() for function in assignments.load(name).functions]
    assert [name for name in asked for text in texts if f"def {name}(" in text] == []
