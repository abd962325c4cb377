"""The attention explorer in Chromium: by mouse, touch and keyboard, in both themes, with its accessibility tree."""

import re
from pathlib import Path

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe

from companion import plots
from companion.decoding import Tag
from tests.test_explorer import HOSTILE

WORDS = ("a", "red", "kite")
FRAME = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>A page</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><style>:root {{ color-scheme: light dark }}</style>
</head><body><main><h1>A page</h1>{}</main></body></html>"""


@pytest.fixture(scope="module")
def figure() -> plots.Explorer:
    """A picture of 4 x 5 places; "red" and "kite" look at row 2, column 3, and "a" at row 4, column 1."""
    maps = np.full((3, 4, 5), 0.01)
    maps[0, 3, 0] = maps[1, 1, 2] = maps[2, 1, 2] = 0.8
    mask, corner = np.zeros((2, 40, 60), dtype=bool)
    mask[8:22, 22:38], corner[30:, 48:] = True, True
    picture = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    tags = [Tag("dog", 0.0, True, (0.0, 0.0, 0.5, 0.5)), Tag("kite", 1.0, True, (0.3, 0.2, 0.6, 0.6))]
    return plots.explorer(
        picture, WORDS, maps, alt="A kite in the sky.", masks=[None, corner, mask], tags=tags,
        tag_weights=[[0.5, 0.5], [0.7, 0.3], [0.1, 0.9]], verdict="true",
    )  # fmt: skip


@pytest.fixture
def page_of(tmp_path, open_page):
    """Open a page with figures in it, and return the page, its errors and its requests."""

    def opened(*figures: plots.Explorer, **window):
        path = Path(tmp_path / "page.html")
        path.write_text(FRAME.format("".join(each.html for each in figures)), encoding="utf-8")
        return open_page(path, **window)

    return opened


def chosen(page) -> list[str]:
    return page.locator("[aria-checked=true]").all_inner_texts()


def readers(page) -> list[str]:
    return page.locator("button.reader").all_inner_texts()


def middle_of(page, row: int, col: int) -> tuple[float, float]:
    """Return the point in the middle of a place, rows and columns counted from one."""
    box = page.locator(".stage .tile").bounding_box()
    return box["x"] + box["width"] * (col - 0.5) / 5, box["y"] + box["height"] * (row - 0.5) / 4


def visible_layers(page) -> list[int]:
    """Return which layers are visible: 0 is that of no word."""
    layers = page.locator(".stage svg")
    return [i for i in range(layers.count()) if "on" in (layers.nth(i).get_attribute("class") or "").split()]


def test_a_mouse_on_a_word_lights_its_places_and_on_a_place_marks_its_words(figure, page_of):
    page, errors, requests = page_of(figure)
    assert chosen(page) == ["kite"]  # which reads the tag of its own name
    page.get_by_role("radio", name="red").hover()
    assert chosen(page) == ["red"]
    assert visible_layers(page) == [2]
    status = page.get_by_role("status")
    assert status.inner_text().startswith(
        "“red” has its largest weight at row 2, column 3. Of the tags, it read “dog” most: 70 %."
    )
    assert "The peak is not on the object; 1 % of the attention is." in status.inner_text()
    page.mouse.move(*middle_of(page, 2, 3))
    assert readers(page) == ["red", "kite"]
    assert status.inner_text() == "Row 2, column 3: much weight for “red”, “kite”."
    page.mouse.move(*middle_of(page, 4, 1))
    assert readers(page) == ["a"]
    page.mouse.move(*middle_of(page, 1, 1))
    assert readers(page) == []
    assert status.inner_text() == "Row 1, column 1: little weight for every word."
    page.mouse.move(1, 1)
    assert chosen(page) == ["red"]
    assert "“red”" in status.inner_text()
    assert (errors, requests) == ([], [])


def test_arrow_keys_walk_over_the_words_and_over_the_places(figure, page_of):
    page, errors, _ = page_of(figure)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.getAttribute('role')") == "application"
    for key, place in (
        ("ArrowRight", "Row 1, column 1"), ("ArrowDown", "Row 2, column 1"), ("ArrowRight", "Row 2, column 2"),
        ("ArrowRight", "Row 2, column 3"), ("ArrowUp", "Row 1, column 3"), ("ArrowUp", "Row 1, column 3"),
        ("ArrowLeft", "Row 1, column 2"),
    ):  # fmt: skip
        page.keyboard.press(key)
        assert page.get_by_role("status").inner_text().startswith(place)
    page.keyboard.press("Escape")
    assert page.locator(".cursor").is_hidden()
    page.keyboard.press("Tab")
    assert chosen(page) == ["kite"]  # the group is one stop, at the word that is chosen
    for key, word in (
        ("ArrowRight", "a"), ("ArrowRight", "red"), ("ArrowLeft", "a"), ("ArrowLeft", "kite"), ("Home", "a"),
        ("End", "kite"),
    ):  # fmt: skip
        page.keyboard.press(key)
        assert chosen(page) == [word]
        assert page.evaluate("document.activeElement.textContent") == word
    page.keyboard.press("Escape")
    assert chosen(page) == []
    assert visible_layers(page) == [0]
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.tagName") == "SUMMARY"
    assert errors == []


def test_a_finger_chooses_words_and_places(figure, chromium, page_of, tmp_path):
    page_of(figure)
    context = chromium.new_context(has_touch=True, is_mobile=True, viewport={"width": 390, "height": 844})
    page = context.new_page()
    page.goto((tmp_path / "page.html").as_uri())
    page.get_by_role("radio", name="a", exact=True).tap()
    assert chosen(page) == ["a"]
    assert visible_layers(page) == [1]
    page.touchscreen.tap(*middle_of(page, 2, 3))
    assert readers(page) == ["red", "kite"]
    page.get_by_role("radio", name="red").tap()
    assert chosen(page) == ["red"]
    assert readers(page) == []
    context.close()


def test_the_accessibility_tree_has_the_picture_the_words_and_what_was_chosen(figure, page_of):
    page, _, _ = page_of(figure)
    tree = page.locator("main").aria_snapshot()
    assert "A kite in the sky." in tree
    assert re.search(r'radiogroup "Words of the caption"', tree)
    assert re.search(r'radio "kite" \[checked\]', tree)
    assert re.search(
        r"status: .?“kite” has its largest weight at row 2, column 3. .* The peak is on the object; ", tree
    )
    page.get_by_text("The numbers as a table").click()
    assert page.get_by_role("row", name="red row 2, column 3 no").is_visible()


@pytest.mark.parametrize("width", [390, 768, 1280])
def test_it_fits_in_every_window(figure, page_of, width):
    page, errors, requests = page_of(figure, plots.beside(figure, figure), width=width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for button in page.get_by_role("radio").all():
        box = button.bounding_box()
        assert min(box["width"], box["height"]) >= 24
    assert (errors, requests) == ([], [])


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing(figure, page_of, theme):
    page, _, _ = page_of(figure, plots.beside(figure, figure), theme=theme)
    page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true })")
    assert Axe().run(page).response["violations"] == []


def test_figures_on_one_page_do_not_disturb_each_other(figure, page_of):
    page, errors, _ = page_of(figure, figure)
    first, second = page.locator(".attention-explorer").all()
    first.get_by_role("radio", name="red").click()
    second.get_by_role("radio", name="a", exact=True).click()
    assert (chosen(first), chosen(second)) == (["red"], ["a"])
    assert page.locator(".stage").count() == 2
    assert errors == []


def test_it_works_where_a_notebook_inserts_it_into_a_page_that_is_open(figure, page_of):
    """As JupyterLab does: it parses the HTML apart from the page, and makes each script anew."""
    page, errors, _ = page_of()
    page.evaluate(
        """(html) => {
             const host = document.createElement("div");
             host.innerHTML = html;
             for (const script of [...host.querySelectorAll("script")]) {
               const copy = document.createElement("script");
               for (const { name, value } of script.attributes) copy.setAttribute(name, value);
               copy.textContent = script.textContent;
               script.replaceWith(copy);
             }
             document.querySelector("main").append(host);
           }""",
        figure.html,
    )
    page.get_by_role("radio", name="red").click()
    assert visible_layers(page) == [2]
    assert errors == []


@pytest.mark.parametrize("width", [390, 1280])
def test_hostile_texts_stay_texts(page_of, width):
    texts = [text for text in HOSTILE if text != "\ud800"]
    maps = np.random.default_rng(0).random((len(texts), 2, 2))
    tags = [Tag(text, 0.0, True, (0.0, 0.0, 0.5, 0.5)) for text in texts]
    picture = np.zeros((8, 8, 3), dtype=np.uint8)
    figure = plots.explorer(
        picture, texts, maps, alt=texts[0], verdict=texts[2], tags=tags, tag_weights=np.eye(len(texts))
    )
    page, errors, requests = page_of(figure, width=width)
    page.on("dialog", lambda dialog: errors.append(dialog.message))
    buttons = page.get_by_role("radio").all()
    for text, button in zip(texts, buttons, strict=True):
        assert button.evaluate("(each) => each.textContent") == text
        button.evaluate("(each) => each.click()")
        assert text in page.get_by_role("status").evaluate("(each) => each.textContent")
    assert page.locator("main img").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert (errors, requests) == ([], [])


def test_without_scripts_and_on_paper_it_is_a_filmstrip(figure, chromium, page_of, tmp_path):
    page, _, _ = page_of(figure)
    assert page.locator(".strip").is_hidden()
    page.emulate_media(media="print")
    assert page.locator(".strip").is_visible()
    assert page.locator(".stage").is_hidden()
    context = chromium.new_context(java_script_enabled=False)
    still = context.new_page()
    still.goto((tmp_path / "page.html").as_uri())
    assert still.locator(".strip li").all_inner_texts() == [
        "", "a\nreads dog 50 %", "red\n✗ 1 % on the object\nreads dog 70 %",
        "kite\n✓ 81 % on the object\nreads kite 90 %",
    ]  # fmt: skip
    context.close()
