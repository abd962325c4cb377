"""Change one small thing in a student's code, such as `dim=-1` to `dim=0`, and keep the rest letter by letter.

`oral` asks the student what such a change does. Entry point: `mutations`.
"""

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

OPERATORS: dict[type[ast.AST], tuple[str, str]] = {  # what stands there, and what is put in its place
    ast.LtE: ("<=", "<"),
    ast.Lt: ("<", "<="),
    ast.GtE: (">=", ">"),
    ast.Gt: (">", ">="),
    ast.Div: ("/", "*"),
    ast.Mult: ("*", "/"),
    ast.Add: ("+", "-"),
    ast.Sub: ("-", "+"),
    ast.BitAnd: ("&", "|"),
}
ALONG_AN_AXIS = ("softmax", "log_softmax", "sum", "mean", "argmax", "argmin", "cumsum", "cat", "stack")
SWITCHES = ("keepdim", "reverse", "largest", "descending")
OPPOSITES = {"argmax": "argmin", "argmin": "argmax"}


@dataclass(frozen=True)
class Mutation:
    """One change of one line of a function: the number of its cell from 0, the line without its indent, the cell."""

    cell: int
    function: str
    before: str
    after: str
    source: str


def mutations(cells: Sequence[str]) -> list[Mutation]:
    """Return all changes of the functions in these cells, in the order of the code; a cell that is no Python has none.

    Changed are axes, comparisons, arithmetic signs, `&`, `~`, the fill value `-inf`, a square root, switches such as
    `keepdim`, and `argmax`. No change spans two lines.
    """
    return [mutation for number, cell in enumerate(cells) for mutation in _of_cell(number, cell)]


def _of_cell(number: int, cell: str) -> Iterator[Mutation]:
    try:
        functions = [node for node in ast.parse(cell).body if isinstance(node, ast.FunctionDef)]
    except (SyntaxError, ValueError, RecursionError):
        return
    lines = cell.encode().split(b"\n")  # the columns of `ast` count bytes
    for function in functions:
        for row, start, end, text in sorted(set(_edits(function, lines))):
            line = lines[row][:start] + text.encode() + lines[row][end:]
            source = b"\n".join([*lines[:row], line, *lines[row + 1 :]]).decode()
            yield Mutation(number, function.name, lines[row].decode().strip(), line.decode().strip(), source)


Edit = tuple[int, int, int, str]  # row from 0, first byte, byte after the last, what is put there


def _edits(function: ast.FunctionDef, lines: Sequence[bytes]) -> Iterator[Edit]:
    """Yield the edits of a function, those of the functions within it included."""
    for node in ast.walk(function):
        if isinstance(node, ast.Call):
            yield from _of_call(node)
        elif isinstance(node, ast.BinOp):
            yield from _of_operator(node.op, node.left, node.right, lines)
        elif isinstance(node, ast.Compare) and len(node.ops) == 1:
            yield from _of_operator(node.ops[0], node.left, node.comparators[0], lines)
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Invert):
            yield (node.lineno - 1, node.col_offset, node.col_offset + 1, "")
        elif isinstance(node, ast.UnaryOp) and isinstance(node.operand, ast.Attribute) and node.operand.attr == "inf":
            yield from _whole(node, "0.0")


def _of_call(call: ast.Call) -> Iterator[Edit]:
    """Yield the edits of a call: its axis, its switches, its square root, its `argmax`."""
    name = call.func.attr if isinstance(call.func, ast.Attribute) else ""
    for keyword in call.keywords:
        if keyword.arg in ("dim", "axis"):
            yield from _of_axis(keyword.value)
        if keyword.arg in SWITCHES and isinstance(keyword.value, ast.Constant):
            yield from _whole(keyword.value, str(not keyword.value.value))
    if name in ALONG_AN_AXIS and call.args:
        yield from _of_axis(call.args[-1])
    if name == "sqrt" and len(call.args) == 1:
        yield from _whole(call.func, "")
    if name in OPPOSITES and call.func.end_lineno and call.func.end_col_offset:
        end = call.func.end_col_offset
        yield (call.func.end_lineno - 1, end - len(name), end, OPPOSITES[name])


def _of_axis(node: ast.expr) -> Iterator[Edit]:
    """Yield the edit of an axis that is written as a number: the first for the last or any other, else the last."""
    try:
        axis = ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError):
        return
    if type(axis) is int:
        yield from _whole(node, "-1" if axis in (0, -2) else "0")


def _of_operator(operator: ast.AST, left: ast.expr, right: ast.expr, lines: Sequence[bytes]) -> Iterator[Edit]:
    """Yield the edit of the sign between two operands of one line; parentheses may stand there, too."""
    old, new = OPERATORS.get(type(operator), ("", ""))
    if not old or left.end_lineno != right.lineno or left.end_col_offset is None:
        return
    start = lines[right.lineno - 1].find(old.encode(), left.end_col_offset, right.col_offset)
    if start >= 0:
        yield (right.lineno - 1, start, start + len(old), new)


def _whole(node: ast.expr, text: str) -> Iterator[Edit]:
    """Yield the edit that puts a text in the place of a node, if it stands in one line."""
    if node.lineno == node.end_lineno and node.end_col_offset is not None:
        yield (node.lineno - 1, node.col_offset, node.end_col_offset, text)
