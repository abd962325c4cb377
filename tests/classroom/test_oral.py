"""Questions on one's own code: a change is small and really shows, and its answer is what the changed program gives."""

import ast
import re
from types import SimpleNamespace

import pytest

from companion import cli
from companion.classroom import Mistake, Subject, assignments, fence, oral
from companion.classroom.box import Box
from companion.classroom.mutations import mutations
from tests.classroom.helpers import ROOT, notebook, run_checks, solution_cells

ASKED = [name for name in assignments.names() if oral.checked_functions(assignments.load(name))]

# -- changes -----------------------------------------------------------------------------------------------------------

CHANGES = {
    "x.softmax(dim=-1)": ["x.softmax(dim=0)"],
    "x.softmax(dim=0)": ["x.softmax(dim=-1)"],
    "x.softmax(1)": ["x.softmax(0)"],
    "torch.softmax(x, -2)": ["torch.softmax(x, -1)"],
    "torch.cat([x, y], axis=1)": ["torch.cat([x, y], axis=0)"],
    "x.sum(dim=-1, keepdim=True)": ["x.sum(dim=-1, keepdim=False)", "x.sum(dim=0, keepdim=True)"],
    "x.masked_fill(~m, -math.inf)": ["x.masked_fill(m, -math.inf)", "x.masked_fill(~m, 0.0)"],
    "x / torch.sqrt(n)": ["x / (n)", "x * torch.sqrt(n)"],
    "(a - b).abs() <= (c)": ["(a + b).abs() <= (c)", "(a - b).abs() < (c)"],
    "a & b": ["a | b"],
    "x.argmax(-1)": ["x.argmax(0)", "x.argmin(-1)"],
    "sorted(x, reverse=True)": ["sorted(x, reverse=False)"],
    "'ä' if x > 0 else x * 2": ["'ä' if x > 0 else x / 2", "'ä' if x >= 0 else x * 2"],
    "a @ b": [],
    "x[:-1].view(2, -1)": [],
    "f(dim=n)": [],
    "1 < x < 2": [],
}


@pytest.mark.parametrize("line", CHANGES)
def test_a_line_is_changed_in_one_place(line):
    found = mutations(["import math", f"def f(x):\n    # ~x / 2\n    return {line}\n"])
    assert sorted(one.after for one in found) == sorted(f"return {after}" for after in CHANGES[line])
    assert {(one.cell, one.function, one.before) for one in found} <= {(1, "f", f"return {line}")}


@pytest.mark.parametrize("name", ASKED)
def test_a_change_leaves_all_other_lines_and_a_program_that_can_be_read(name):
    cells = solution_cells(name)
    found = mutations(cells)
    assert len(found) > 3
    for one in found:
        ast.parse(one.source)
        pairs = list(zip(cells[one.cell].split("\n"), one.source.split("\n"), strict=True))
        assert [tuple(line.strip() for line in pair) for pair in pairs if len(set(pair)) > 1] == [
            (one.before, one.after)
        ]


@pytest.mark.parametrize("cell", ["%matplotlib inline\ndef f(x): return ~x", "def f(x:", "x = ~y", "", "\0"])
def test_a_cell_without_a_readable_function_has_no_changes(cell):
    assert mutations([cell]) == []


def test_two_lines_and_helpers_within_a_function():
    cell = "def f(x):\n    def g(y):\n        return ~y\n    return (x\n            <= g(x)\n            + 1)\n"
    assert [(one.function, one.after) for one in mutations([cell])] == [("f", "return y")]


# -- questions ---------------------------------------------------------------------------------------------------------


class OpenBox(Box):
    """Runs the cells in this process, in place of a box, which takes seconds to start."""

    def __init__(self, cells, **_):
        self.names = {"get_ipython": lambda: SimpleNamespace(transform_cell=str)}
        for cell in cells:
            exec(cell, self.names)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def call(self, name, arguments, named):
        if not callable(self.names.get(name)):
            raise Mistake(f"There is no function called {name}.")
        return self.names[name](*arguments, **named)


@pytest.fixture
def asked(monkeypatch, tmp_path):
    """Return the questions about these cells with this key."""
    monkeypatch.setattr(oral, "Box", OpenBox)

    def ask(name, cells, key=b"key"):
        path = tmp_path / f"ann_{name.lower()}.ipynb"
        path.write_bytes(notebook(cells))
        ((student, found),) = oral.ask_all(name, path, key, fenced=False)
        assert student == "ann"
        return found

    return ask


def lines_of(question):
    """Return the line of the student's that a question shows, and what it becomes."""
    return re.findall(r"^    (.*)$", question.text, re.MULTILINE)


@pytest.mark.parametrize("name", ASKED)
def test_a_question_asks_about_a_change_that_costs_points(name, asked):
    """The witness makes the change in the text of the program and runs all checks of the assignment on it."""
    cells = solution_cells(name)[:-1]
    questions = asked(name, cells)
    assert len(questions) == oral.QUESTIONS
    assert len({lines_of(one)[0] for one in questions}) == oral.QUESTIONS
    for question in questions:
        before, after = lines_of(question)
        function = re.search(r"in the answers of (\w+)\?", question.text)[1]
        number = int(re.search(r"In code cell (\d+)", question.text)[1]) - 1
        assert before in cells[number]
        namespace: dict = {}
        for cell in [*cells[:number], cells[number].replace(before, after), *cells[number + 1 :]]:
            exec(cell, namespace)
        points, _ = run_checks(name, Subject(function, namespace[function]))
        assert points < assignments.load(name).questions[function]


def test_the_key_decides_what_is_asked(asked):
    cells = solution_cells("A2")[:-1]
    texts = [[one.text for one in asked("A2", cells, key)] for key in (b"1", b"1", b"2", b"3")]
    assert texts[0] == texts[1]
    assert len({tuple(one) for one in texts}) > 1


PLAIN = """
import math
def manhattan(query, keys, values):
    scores = -(query[:, None] - keys).abs().sum(-1)
    weights = scores.softmax({axis})
    return weights @ values, weights
"""
AXIS = "The weights of each place sum to 1, not those of each query: the softmax runs along the wrong axis."


def about(questions, before):
    (found,) = (one for one in questions if lines_of(one)[0] == before)
    return found


def test_the_answer_names_the_mistake_and_shows_a_row_of_numbers(asked, monkeypatch):
    monkeypatch.setattr(oral, "QUESTIONS", 9)
    question = about(asked("A1", [PLAIN.format(axis=-1)]), "weights = scores.softmax(-1)")
    assert lines_of(question)[1] == "weights = scores.softmax(0)"
    assert any(line.startswith(AXIS) for line in question.answer)
    before, after = question.answer[-2:]
    assert re.fullmatch(r"In manhattan of other sizes, a row is (-?[\d.]+)", before)
    assert re.fullmatch(r"and would be (-?[\d.]+)", after)


def test_a_change_that_mends_a_wrong_answer_is_said_to(asked, monkeypatch):
    monkeypatch.setattr(oral, "QUESTIONS", 9)
    question = about(asked("A1", [PLAIN.format(axis=0)]), "weights = scores.softmax(0)")
    assert any(line.startswith("Right, and it was wrong before.") for line in question.answer)


def test_where_nothing_changes_is_asked_and_answered(asked, monkeypatch):
    monkeypatch.setattr(oral, "QUESTIONS", 99)
    monkeypatch.setattr(oral, "TRIES", 99)
    partly = [one for one in asked("A2", solution_cells("A2")[:-1]) if "nothing change?" in one.text]
    assert partly
    assert all(any(line.startswith("Nothing changes. (") for line in one.answer) for one in partly)


ALONE = "import torch\ndef manhattan(query, keys, values):\n    {line}\n    return values"


@pytest.mark.parametrize(
    "line", ["...", "unused = values / 2", "torch.ones(1).view(2 - 1)"], ids=["none", "useless", "an error alone"]
)
def test_a_change_that_does_not_show_or_only_raises_is_not_asked_about(line, asked):
    assert asked("A1", [ALONE.format(line=line)]) == "no small change of the functions shows in the public checks"


def test_the_command_prints_students_questions_and_reasons(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(oral, "Box", OpenBox)
    (tmp_path / "ann.ipynb").write_bytes(notebook(solution_cells("A2")[:-1]))
    (tmp_path / "ben.ipynb").write_text("no notebook")
    (tmp_path / "cem.ipynb").write_bytes(
        (ROOT / "course" / "student" / "a2.ipynb").read_bytes().replace(b"check(", b"#")
    )
    assert cli.main(["oral", "A2", str(tmp_path), "--without-fence"]) == 0
    printed = capsys.readouterr().out
    assert re.findall(r"^(\w+) · A2$", printed, re.MULTILINE) == ["ann", "ben", "cem"]
    assert re.findall(r"^(\d)\. In code cell", printed, re.MULTILINE) == ["1", "2", "3"]
    assert "no questions: the file is no notebook: it is not JSON" in printed
    assert "no questions: no small change" in printed


def test_an_assignment_without_functions_to_ask_about_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(oral, "checked_functions", lambda _: {})
    with pytest.raises(ValueError, match="has no function whose code could be asked about"):
        next(oral.ask_all("A1", tmp_path, b"", fenced=False))


def test_without_a_fence_it_refuses(monkeypatch, tmp_path):
    monkeypatch.setattr(fence, "find_bwrap", lambda: None)
    with pytest.raises(ValueError, match="bubblewrap"):
        next(oral.ask_all("A1", tmp_path / "ann.ipynb", b"", fenced=True))


@pytest.mark.slow
@pytest.mark.skipif(fence.find_bwrap() is None, reason="there is no bubblewrap here, so nothing is fenced")
def test_it_asks_behind_the_fence_too(tmp_path):
    (tmp_path / "ann.ipynb").write_bytes(notebook(["%time x = 1", PLAIN.format(axis=-1)]))
    ((_, found),) = oral.ask_all("A1", tmp_path / "ann.ipynb", b"key", fenced=True)
    assert "weights = scores.softmax(-1)" in {lines_of(one)[0] for one in found}
