"""The exercises of a chapter's text, and the code of their solutions.

An exercise is a directive `{exercise}` with a `:label:`. Its solution is a directive `{solution}` that names the label,
with the code in blocks fenced by ```` ```python ````.
"""

import re
from typing import NamedTuple

DIRECTIVE = r"^(?P<fence>[`:]{3,})\{%s\}(?P<argument>.*)\n(?P<body>(?:.*\n)*?)(?P=fence)$"
LABEL = re.compile(r"^:label:\s*(\S+)", re.MULTILINE)
CODE = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)


class Solution(NamedTuple):
    """The solution of an exercise: its label, the line of the text on which it begins, and its code.

    `code` has a line for every line of the text up to the end of the solution, empty where the text has prose. So line
    numbers in a traceback are those of the text. It is empty if the solution has no code.
    """

    label: str
    line: int
    code: str


def exercise_labels(text: str) -> list[str]:
    """Return the label of every exercise, in order; empty for an exercise without one."""
    labels = (LABEL.search(exercise["body"]) for exercise in _directives("exercise", text))
    return [label[1] if label else "" for label in labels]


def solutions(text: str) -> list[Solution]:
    """Return every solution of a text, in order."""
    return [_solution(directive, text) for directive in _directives("solution", text)]


def _solution(directive: re.Match[str], text: str) -> Solution:
    lines: list[str] = []
    for block in CODE.finditer(directive["body"]):
        above = text.count("\n", 0, directive.start("body") + block.start(1))
        lines += [""] * (above - len(lines)) + block[1].splitlines()
    first = text.count("\n", 0, directive.start()) + 1
    return Solution(directive["argument"].strip(), first, "\n".join(lines))


def _directives(kind: str, text: str) -> list[re.Match[str]]:
    return list(re.finditer(DIRECTIVE % kind, text, re.MULTILINE))
