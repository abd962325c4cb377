"""Forecasts, quizzes and puzzles answer in the page, by mouse, finger and keyboard, and keep their answers there."""

import itertools
import re

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from tests.browser import site
from tools.authoring.paired import KERNEL
from tools.practice import COMPARED, forecast_of, right_number

NOTEBOOKS = sorted((site.ROOT / "book").glob("*.ipynb"))
NUMBER, CHOICE, TEXT = "What is the number?", "Short or long?", "What will be said?"
HOSTILE = "<script>window.entered = 1</script><img src=x onerror='window.entered=1'> ‮שלום 🐶 " + "x" * 400


def predict(question: str) -> nbformat.NotebookNode:
    return new_markdown_cell(f":::{{admonition}} Predict, then run\n:class: tip\n{question}\n:::")


def cell(source: str, output: str = "", *, folded: bool = False) -> nbformat.NotebookNode:
    outputs = [new_output("stream", text=output)] if output else []
    tags = {"tags": ["hide-output"]} if folded else {}
    return new_code_cell(source, execution_count=1, outputs=outputs, metadata=tags)


QUIZ = """\
**1.** Which of the three?

- (a) The first, $x^2$.
- (b) The second.
- (c) The third.

:::{admonition} Answer
:class: dropdown tip
(b). It is so. The first, (a), is too **small**. Nor is it (c), which is too large.
:::
"""
PUZZLE = """\
```{exercise} Lines in the wrong order
:label: ex-toy-order

Choose three of the four lines.
```

````{solution} ex-toy-order
:class: dropdown

D, B, A; D may stand anywhere before A. Line C is wrong.
````
"""
CELLS = [
    new_markdown_cell("# A page"),
    predict(NUMBER), cell("forecast = 0.17  # 1/6"), cell("f(forecast)", "0.24 and 0.09\noff by 0.07\n", folded=True),
    predict(CHOICE), cell('forecast = "short"  # or "long"'), cell("g()", "as in your forecast: False\n", folded=True),
    predict(TEXT), cell("h()", "a dog\n", folded=True),
    new_markdown_cell("## Exercises\n\nA puzzle."),
    cell('lines = {"A": "average()", "B": "score(\'<b>\')", "C": "wrong()", "D": "project()"}'),
    new_markdown_cell(PUZZLE),
    new_markdown_cell(f"## Quiz\n\n{QUIZ}"),
]  # fmt: skip


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    folder = tmp_path_factory.mktemp("practice")
    nbformat.write(new_notebook(cells=CELLS, metadata={"kernelspec": KERNEL}), folder / "index.ipynb")
    extensions = ["myst_nb", "sphinx_exercise", "tools.folded", "tools.practice"]
    (folder / "conf.py").write_text(
        f'extensions = {extensions}\nnb_execution_mode = "off"\n'
        'myst_enable_extensions = ["colon_fence", "dollarmath"]\n'
        f'html_theme = "sphinx_book_theme"\nhtml_static_path = [{str(site.ROOT / "book" / "_static")!r}]\n'
        'mathjax_path = "none.js"\nsuppress_warnings = ["mystnb.unknown_mime_type"]\n'
    )
    page = site.build(folder)
    page.write_text(re.sub(r"<script[^>]*none\.js[^>]*></script>", "", page.read_text()))  # there is no MathJax here
    return page


def box(page, question: str):
    return page.locator(".admonition.tip", has_text=question)


def fold(page, index: int):
    return page.locator("details.hide").nth(index)


# Forecasts


def test_an_output_is_sealed_until_there_is_a_forecast(page):
    output = fold(page, 0)
    output.locator("summary").click()
    assert output.get_attribute("open") is None
    notice = page.get_by_text("This output is sealed")
    assert notice.is_visible()
    notice.get_by_role("button", name="To the question").click()
    page.keyboard.type("0.3")
    page.keyboard.press("Enter")
    assert output.get_attribute("open") is not None
    page.get_by_text("Your forecast: 0.3. The cell gives 0.24: off by 0.06.").wait_for()
    assert not notice.is_visible()


def test_who_does_not_want_to_forecast_need_not(page):
    output = fold(page, 2)
    output.locator("summary").press("Enter")
    assert output.get_attribute("open") is None
    page.get_by_role("button", name="Open without a forecast").press("Enter")
    assert output.get_attribute("open") is not None
    output.locator("summary").click()
    assert output.get_attribute("open") is None


def test_numbers_are_read_as_people_write_them(page):
    typed = {
        "0.5": 0.5, " 1,024 ": 1024, "50 %": 0.5, "58%": 0.58, "−3": -3, ".25": 0.25, "12,345.5": 12345.5, "1e3": 1000,
        "0,5": None, "half": None, "": None,
    }  # fmt: skip
    for text, value in typed.items():
        assert page.evaluate("text => attentionBook.practice.parse(text)", text) == value, text


def test_what_is_no_number_is_refused_and_a_right_one_praised(page):
    question = box(page, NUMBER)
    question.get_by_label("Your forecast").fill("about a quarter")
    question.get_by_role("button", name="Seal it").click()
    assert "Give a number" in question.get_by_role("status").inner_text()
    assert fold(page, 0).get_attribute("open") is None
    question.get_by_label("Your forecast").fill("24%")
    question.get_by_role("button", name="Seal it").click()
    page.get_by_text("you were right, to the printed digits").wait_for()


def test_a_percentage_may_be_typed_with_its_sign(page):
    compare = "([details, answer]) => attentionBook.practice.compare(details, answer)"
    details = {"answer": "number", "right": 58, "decimals": 0}
    assert "58: off by 8." in page.evaluate(compare, [details, "50%"])
    assert "58: off by 8." in page.evaluate(compare, [details, "50"])


def test_a_choice_is_compared_and_a_sentence_is_kept(page):
    question = box(page, CHOICE)
    question.get_by_role("combobox").select_option("short")
    question.get_by_role("button", name="Seal it").click()
    page.get_by_text("Your forecast: short. The cell says: long.").wait_for()
    question = box(page, TEXT)
    question.get_by_label("Your forecast").fill(HOSTILE)
    question.get_by_role("button", name="Seal it").click()
    page.get_by_text("Compare it with the output.").wait_for()
    assert page.evaluate("window.entered") is None
    assert page.locator(".practice img, .practice script, .practice-status img").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_a_forecast_is_kept_in_the_browser_and_can_be_forgotten(page):
    question = box(page, NUMBER)
    question.get_by_label("Your forecast").fill("7")
    question.get_by_role("button", name="Seal it").click()
    page.reload()
    assert "Sealed: 7." in question.get_by_role("status").inner_text()
    assert fold(page, 0).get_attribute("open") is None
    fold(page, 0).locator("summary").click()
    page.get_by_text("off by 6.76").wait_for()
    question.get_by_role("button", name="Forget it").click()
    page.reload()
    assert question.get_by_label("Your forecast").is_visible()
    assert page.evaluate("Object.keys(localStorage).filter(key => key.startsWith('attentionBook')).length") == 0


# The quiz


def test_a_wrong_choice_is_answered_by_name_and_the_right_one_opens_the_answer(page):
    answer = page.locator("details", has_text="Answer").last
    said = page.locator(".practice-quiz").get_by_role("status")
    page.get_by_role("radio").nth(0).check()
    assert said.inner_text().strip() == "(a) is not it. The first, (a), is too small."
    assert said.locator("strong", has_text="small").count() == 1
    assert answer.get_attribute("open") is None
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    assert said.inner_text().strip() == "(c) is not it. Nor is it (c), which is too large."
    page.get_by_text("(b) The second.").click()
    assert said.inner_text().strip() == "(b) is right."
    assert answer.get_attribute("open") is not None
    page.reload()
    assert page.get_by_role("radio").nth(1).is_checked()
    assert answer.get_attribute("open") is None


# The puzzle


def test_a_finger_unseals_chooses_and_adds_a_line(phone):
    fold(phone, 2).locator("summary").tap()
    phone.get_by_role("button", name="Open without a forecast").tap()
    assert fold(phone, 2).get_attribute("open") is not None
    phone.get_by_role("radio").nth(2).tap()
    assert phone.get_by_role("radio").nth(2).is_checked()
    line(phone, "C").tap()
    assert letters(phone) == "C"
    phone.get_by_role("button", name="take line C out").tap()
    assert letters(phone) == ""


def letters(page) -> str:
    return "".join(page.locator(".practice-order [data-letter]").evaluate_all("all => all.map(e => e.dataset.letter)"))


def check(page) -> str:
    page.get_by_role("button", name="Check the order").click()
    return page.locator(".practice-puzzle").get_by_role("status").inner_text()


def line(page, letter: str):
    return page.locator(f'[data-letter="{letter}"]')


def test_a_puzzle_is_solved_by_the_keyboard(page):
    for letter in "BCA":
        line(page, letter).press("Enter")
    assert letters(page) == "BCA"
    assert "line C, at place 2" in check(page)
    line(page, "C").press("Delete")
    line(page, "D").press("Enter")
    for _ in range(2):
        page.keyboard.press("ArrowUp")
    assert letters(page) == "DBA"
    assert check(page) == 'Right. In the notebook: attempt("DBA").'
    page.reload()
    assert letters(page) == "DBA"
    page.get_by_role("button", name="Start again").click()
    assert letters(page) == ""


def test_a_line_that_may_stand_anywhere_before_another_may(page):
    wrong = "([order, right, free]) => attentionBook.practice.firstWrong(order, right, free)"
    for order, place in {
        "DBA": 0,
        "BDA": 0,
        "BAD": 3,
        "BA": 3,
        "DB": 3,
        "DBAC": 4,
        "DCBA": 2,
        "CDBA": 1,
        "": 1,
    }.items():
        assert page.evaluate(wrong, [order, "DBA", ["D", "A"]]) == place, order
    assert page.evaluate(wrong, ["BDA", "DBA", None]) == 1


@pytest.mark.parametrize("touch", [False, True], ids=["mouse", "finger"])
def test_lines_are_dragged(page, touch):
    def drag(letter: str, x: float, y: float) -> None:
        grip = page.locator("li", has=line(page, letter)).locator(".practice-grip")
        start = grip.bounding_box()
        points = [(start["x"] + 8, start["y"] + 8)]
        points += [
            (points[0][0] + (x - points[0][0]) * n / 4, points[0][1] + (y - points[0][1]) * n / 4) for n in range(1, 5)
        ]
        if touch:
            session = page.context.new_cdp_session(page)
            for kind, (px, py) in zip(("touchStart", *["touchMove"] * 4), points, strict=True):
                session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": px, "y": py}]})
            session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
            return
        page.mouse.move(*points[0])
        page.mouse.down()
        for point in points[1:]:
            page.mouse.move(*point)
        page.mouse.up()

    def target() -> dict[str, float]:
        return page.locator(".practice-order").bounding_box()

    page.locator(".practice-puzzle").scroll_into_view_if_needed()
    for letter in "BA":
        drag(letter, target()["x"] + 60, target()["y"] + target()["height"] - 4)
    assert letters(page) == "BA"
    drag("D", target()["x"] + 60, target()["y"] + 3)
    assert letters(page) == "DBA"
    assert "Right" in check(page)
    drag("B", target()["x"] + 60, target()["y"] + target()["height"] + 150)  # out
    assert letters(page) == "DA"


def test_the_lines_are_text(page):
    assert "score('<b>')" in line(page, "B").inner_text()
    assert page.locator(".practice-puzzle b").count() == 0


# On every screen


def use_everything(page) -> None:
    """Answer the quiz wrongly, ask for a sealed output, and begin the puzzle."""
    page.get_by_role("radio").nth(0).check()
    fold(page, 0).locator("summary").click()
    line(page, "A").press("Enter")


@pytest.mark.parametrize("width", [390, 768, 1280])
def test_nothing_overflows_and_every_target_is_large(open_page, path, width):
    page, errors, requests = open_page(path, width=width)
    use_everything(page)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    controls = page.locator(":is(.practice, .practice-choices, .practice-notice) :is(button, input, select)")
    assert site.small_targets(controls) == []
    assert errors == []
    assert requests == []


@pytest.mark.parametrize(("width", "theme"), [(390, "light"), (1280, "dark")])
def test_axe_finds_nothing(open_page, path, width, theme):
    page, _, _ = open_page(path, width=width, theme=theme)
    use_everything(page)
    assert site.faults(page, ".practice", ".practice-choices", ".practice-notice") == []


def test_the_accessibility_tree_has_the_choices_and_the_lines(page):
    tree = page.locator("article").aria_snapshot()
    assert re.search(r'radiogroup "1\. Which of the three\?"', tree)
    assert re.search(r'radio "\(b\) The second\."', tree)
    assert re.search(r'button "line A: average\(\)\. Press to add it\."', tree)
    assert re.search(r'textbox "Your forecast"', tree)


def test_without_javascript_everything_is_there_to_read(chromium, path):
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(path.as_uri())
    for text in (NUMBER, "(a) The first", "Choose three of the four lines.", "Which of the three?"):
        assert page.get_by_text(text).first.is_visible()
    fold(page, 0).locator("summary").click()
    assert page.get_by_text("off by 0.07").is_visible()
    page.locator("summary", has_text="Answer").click()
    assert "(b). It is so. The first, (a), is too small. Nor is it (c)" in page.locator("details").last.inner_text()
    context.close()


# What is right, from what the cell prints


@pytest.mark.parametrize(
    ("forecast", "output", "expected"),
    [
        (1024.0, "size 32, off by 992", 32),
        (0.17, "[0.24, 0.31, 0.24, 0.09]\nyour forecast is off by 0.07", 0.24),
        (0.75, "50% right, off by 25%", 0.5),
        (2500, "1,035 of 5,000 false\noff by 1,465", 1035),
        (1, "0.144 a dog runs\nyour rank is off by 3", 4),  # not printed, and a rank is not negative
        (0.0, "42 hits of 1406, 0 hits\noff by 0.03", 0.03),  # a whole number says nothing about hundredths
        (2.0, "COCO 7.7 hours\nyour forecast times 3.9", 7.7),
        (5.0, "3 or 7, off by 2", None),  # either
        (5.0, "off by 2", None),
        (5.0, "it is 7", None),
    ],
)
def test_the_right_number_is_read_from_the_output(forecast, output, expected):
    found = right_number(forecast, output)
    assert (found and found.value) == expected


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_number_of_the_book_that_is_compared_is_found(path):
    """A forecast's own difference, as the cell prints it, must be that of the number that was found."""
    cells = nbformat.read(path, as_version=4).cells
    asked = [index for index, each in enumerate(cells) if each.source.startswith("forecast = ")]
    for index, end in itertools.pairwise([*asked, len(cells)]):
        outputs = [each.outputs for each in cells[index:end] if each.cell_type == "code"]
        texts = ["".join(part.text for part in parts if part.output_type == "stream") for parts in outputs]
        output = next((text for text in texts if COMPARED.search(text)), "")
        details = forecast_of(cells[index].source, output)
        if details["answer"] == "number" and output:
            own = float(eval(cells[index].source.partition("=")[2].strip(), {}))
            if stated := re.search(r"off by ([\d.,]+\d|\d)(%?)", output):
                off = float(stated[1].replace(",", "")) / (100 if stated[2] else 1)
                digits = len(stated[1].partition(".")[2]) + 2 * bool(stated[2])
                assert abs(abs(details["right"] - own) - off) <= 10.0**-digits
            else:
                assert details["right"] > 0
