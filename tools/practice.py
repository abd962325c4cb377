"""A Sphinx extension: forecasts, quizzes and puzzles can be answered in the page.

It recognises them by the way in which every chapter writes them, and leaves behind each of them an empty element that
says, as JSON, what `book/_static/practice*.js` need to know. Without JavaScript the page stays as it is.

- A **forecast** is a box "Predict, ..." with a folded output after it. If a cell between them sets `forecast`, its
  value says what is asked for: a number, or one of the strings in that line.
- A **quiz question** is a list whose items begin with "(a)", "(b)" ... before an answer that begins with the right one.
- A **puzzle** is a cell that sets `lines`, a dictionary, and an exercise whose solution begins with letters in order.
"""

import ast
import itertools
import json
import re
from collections.abc import Iterator, Sequence
from html import escape
from typing import Any, NamedTuple

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util import logging

logger = logging.getLogger(__name__)

NUMBER = re.compile(r"(?<![\w.,])(?P<digits>-?\d[\d,]*(?:\.\d+)?)(?P<percent> ?%)?(?![\d.]*\w)")
DIFFERENCE = re.compile(r"\boff by (?P<number>\d[\d,]*(?:\.\d+)?)(?P<percent> ?%)?")
FACTOR = re.compile(r"\bforecast times (?P<number>\d+(?:\.\d+)?)")
COMPARED = re.compile(r"\boff by \d|forecast times \d|as in your forecast: ")
CHOICE = re.compile(r"\(([a-z])\)\s")
ORDER = re.compile(r"([A-Z](?:, [A-Z])+)[.:;]")
ANYWHERE = re.compile(r"([A-Z]) may stand anywhere before ([A-Z])")
SENTENCE = re.compile(r"(?<=[.?!])\s+")


class Printed(NamedTuple):
    """A number as it was printed: its value, half of its last digit, and its decimals; a percentage is a share."""

    value: float
    half: float
    decimals: int


def printed(text: str, *, percent: bool) -> Printed:
    """Return the number of a text such as "1,024" or "0.71"."""
    decimals = len(text.partition(".")[2]) + 2 * percent
    return Printed(float(text.replace(",", "")) / (100 if percent else 1), 0.5 * 10.0**-decimals, decimals)


def right_number(forecast: float, output: str) -> Printed | None:
    """Return the number that was to be forecast, from an output that prints how far the cell's own forecast is off.

    It is the printed number whose distance from the forecast is nearest to that, within the rounding of both, and
    printed no more coarsely. If there is none, the number itself was not printed; then it is the only one at that
    distance that is not negative, since no forecast of the book is of a negative quantity.
    """
    difference, factor = DIFFERENCE.search(output), FACTOR.search(output)
    if not (stated := difference or factor):
        return None
    off = printed(stated["number"], percent=bool(difference and difference["percent"]))
    rest = output[: stated.start()] + output[stated.end() :]
    best: dict[float, list[Printed]] = {}
    for match in NUMBER.finditer(rest):
        number = printed(match["digits"], percent=bool(match["percent"]))
        scale = 1.0 if difference else forecast
        distance = abs(number.value - forecast) if difference else number.value / scale
        error = round(abs(distance - off.value), 9)
        if number.decimals >= off.decimals and error <= off.half + number.half / scale:
            best.setdefault(error, []).append(number)
    if best:
        nearest = {number.value: number for number in best[min(best)]}
        return next(iter(nearest.values())) if len(nearest) == 1 else None
    if difference and forecast - off.value < 0:
        return Printed(forecast + off.value, off.half, off.decimals)
    return None


def right_option(options: Sequence[str], own: str, output: str) -> str | None:
    """Return the option that the output says is right, if it compares the cell's own forecast with two options."""
    if "as in your forecast: True" in output:
        return own
    if "as in your forecast: False" in output and len(options) == 2:
        return next(option for option in options if option != own)
    return None


def forecast_of(source: str, output: str) -> dict[str, Any]:
    """Return what is asked for in a cell that sets `forecast`, and what is right, for the script."""
    line = next((line for line in source.splitlines() if line.startswith("forecast = ")), "forecast = None")
    own = eval(line.partition("=")[2].strip(), {})  # a number, perhaps a product, or a string: the book's own cell
    if isinstance(own, (int, float)):
        number = right_number(own, output)
        return {"answer": "number"} | ({"right": number.value, "decimals": number.decimals} if number else {})
    options = re.findall(r'"([^"]+)"', line)
    if isinstance(own, str) and len(options) > 1:
        option = right_option(options, own, output)
        return {"answer": "choice", "options": options} | ({"right": option} if option else {})
    return {"answer": "text"}


def part_of_notebook(node: nodes.Node) -> str:
    """Return which part of a notebook a node is, in the words of MyST-NB; an empty text if it is none."""
    return str(node.get("nb_element", "")) if isinstance(node, nodes.Element) else ""


def code(cell: nodes.Element) -> str:
    """Return the source of a code cell."""
    return "\n".join(part.astext() for part in cell.children if part_of_notebook(part) == "cell_code_source")


def folded_output(cell: nodes.Element) -> nodes.Element | None:
    """Return the element that folds the output of a code cell, if there is one."""
    folds = (part for part in cell.children if type(part).__name__ == "HideCodeCellNode")
    return next((fold for fold in folds if part_of_notebook(fold.children[-1]) == "cell_code_output"), None)


def is_prediction(node: nodes.Node) -> bool:
    """Return whether a node is a box that asks for a forecast."""
    return isinstance(node, nodes.admonition) and node.next_node(nodes.title).astext().startswith("Predict")


def printed_by(cell: nodes.Element) -> str:
    """Return what a code cell prints."""
    parts = (part for part in cell.findall(nodes.Element) if part_of_notebook(part) == "cell_code_output")
    return "\n".join(block.astext() for part in parts for block in part.findall(nodes.literal_block))


def forecasts(section: nodes.Element) -> Iterator[tuple[nodes.Element, nodes.Element, nodes.Element, dict[str, Any]]]:
    """Yield each box of a section with the code cell whose output it is about, the fold of that, and what is asked.

    How far the cell's own forecast is off may also be printed by a cell further down.
    """
    for index, box in enumerate(section.children):
        if not is_prediction(box):
            continue
        following = itertools.takewhile(
            lambda node: not (is_prediction(node) or isinstance(node, nodes.section)), section.children[index + 1 :]
        )
        cells = [node for node in following if part_of_notebook(node) == "cell_code"]
        target = next((cell for cell in cells if folded_output(cell) is not None), None)
        if target is None:
            continue
        asked = next((code(cell) for cell in cells if code(cell).startswith("forecast = ")), "")
        outputs = [printed_by(cell) for cell in cells[cells.index(target) :]]
        output = next((text for text in outputs if COMPARED.search(text)), outputs[0])
        yield box, target, folded_output(target), forecast_of(asked, output)


def is_answer(node: nodes.Node) -> bool:
    """Return whether a node is the folded answer of a quiz question (`tools.folded`)."""
    return type(node).__name__ == "details" and node.children[0].astext() == "Answer"


def quiz(section: nodes.Element) -> Iterator[tuple[nodes.bullet_list, nodes.Element, dict[str, Any]]]:
    """Yield the choices of each question, its answer, and the letters: all, and the right one."""
    for choices, answer in zip(section.children, section.children[1:], strict=False):
        if not is_answer(answer) or not isinstance(choices, nodes.bullet_list):
            continue
        letters = [CHOICE.match(f"{item.astext()} ") for item in choices.children]
        right = re.match(r"\(([a-z])\)", answer.children[1].astext())
        if not all(letters):
            continue
        if not right:
            logger.warning("the answer does not begin with its letter, such as (b).", location=answer)
            continue
        yield choices, answer, {"letters": [letter[1] for letter in letters if letter], "right": right[1]}


def mark_sentences(paragraph: nodes.paragraph) -> None:
    """Wrap each sentence of an answer, and give it a class for every choice that it names: `names-a`."""
    groups: list[list[nodes.Node]] = [[]]
    for child in list(paragraph.children):
        if not isinstance(child, nodes.Text):
            groups[-1].append(child)
            continue
        pieces = SENTENCE.split(child.astext())
        for index, piece in enumerate(pieces):
            if index:
                groups.append([])
            if piece:
                groups[-1].append(nodes.Text(piece))
    paragraph.children = []
    for group in filter(None, groups):
        text = "".join(part.astext() for part in group)
        names = [f"names-{letter}" for letter in dict.fromkeys(re.findall(r"\(([a-z])\)", text))]
        paragraph += [nodes.inline("", "", *group, classes=["practice-sentence", *names]), nodes.Text(" ")]


def puzzles(section: nodes.Element) -> Iterator[tuple[nodes.Element, nodes.Element, dict[str, Any]]]:
    """Yield each exercise of lines in the wrong order with its solution, the lines, and the right order."""
    lines: dict[str, str] | None = None
    exercise: nodes.Element | None = None
    for node in section.children:
        if part_of_notebook(node) == "cell_code" and code(node).startswith("lines = {"):
            lines, exercise = ast.literal_eval(ast.parse(code(node)).body[0].value), None  # type: ignore[attr-defined]
        elif type(node).__name__ == "exercise_enumerable_node":
            exercise = node
        elif lines and exercise is not None and type(node).__name__ == "details":
            text = next(node.findall(nodes.paragraph)).astext()
            order, anywhere = ORDER.match(text), ANYWHERE.search(text)
            if not order:
                logger.warning("the solution does not begin with the letters of the lines, in order", location=node)
            else:
                free = {"free": list(anywhere.groups())} if anywhere else {}
                yield exercise, node, {"lines": lines, "right": order[1].replace(", ", "")} | free
            lines = None


def element(kind: str, details: dict[str, Any]) -> nodes.raw:
    """Return the empty element that the script fills."""
    data = escape(json.dumps({"kind": kind} | details))
    return nodes.raw("", f'<div class="practice" data-practice="{data}"></div>', format="html", practice=kind)


def annotate(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """Put the elements into the doctree of an HTML page."""
    if app.builder.format != "html":
        return
    count = 0
    for section in list(doctree.findall(nodes.section)):
        for box, cell, fold, details in list(forecasts(section)):
            count += 1
            box += element("forecast", details | {"fold": f"practice-fold-{count}"})
            cell.insert(cell.index(fold), nodes.target("", "", ids=[f"practice-fold-{count}"]))
        for choices, answer, details in list(quiz(section)):
            section.insert(section.index(answer), element("quiz", details))
            choices["classes"].append("practice-choices")
            for paragraph in list(answer.findall(nodes.paragraph)):
                mark_sentences(paragraph)
        for _, solution, details in list(puzzles(section)):
            section.insert(section.index(solution), element("puzzle", details))


def add_scripts(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None) -> None:
    """Add the scripts and the style sheet to a page that has something to answer."""
    kinds = {node["practice"] for node in doctree.findall(nodes.raw) if "practice" in node} if doctree else set()
    if kinds:
        app.add_js_file("practice.js", loading_method="defer")
        app.add_css_file("practice.css")
    if "puzzle" in kinds:
        app.add_js_file("practice_puzzle.js", loading_method="defer")


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect the extension to Sphinx, which calls this."""
    app.connect("doctree-resolved", annotate, priority=950)  # after `tools.folded`
    app.connect("html-page-context", add_scripts)
    return {"parallel_read_safe": True}
