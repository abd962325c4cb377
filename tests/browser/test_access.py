"""Access to the finished pages: axe-core in both themes and at two widths, the keyboard, motion, and no error.

Every page is opened once. The rules that depend on colours run in both themes, those that depend on the width of the
window at both widths, all others once. Nothing is excused. Tests of a page that is missing, or older than its notebook,
are skipped.
"""

from functools import cache
from pathlib import Path

import pytest
import yaml

from tools import page_browser

ROOT = Path(__file__).resolve().parents[2]
BUILT = ROOT / "_build" / "html"
SCROLLS = ("book/api",)  # its examples are those of the docstrings, which have 120 columns


# Whether the element that has the focus has an outline, or a shadow all around, that is there to see.
RING = """() => {
  const style = getComputedStyle(document.activeElement);
  const outline = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2;
  return outline || /rgba?\\((?!0, 0, 0, 0\\)).*? 0px 0px 0px [2-9]/.test(style.boxShadow);
}"""


@cache
def pages() -> list[str]:
    """Return the pages of the book by the names that _toc.yml has for them."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    return [toc["root"], *(page["file"] for part in toc["parts"] for page in part["chapters"]), "search", "genindex"]


def built(name: str) -> Path:
    """Return the file of a page; skip the test if it is missing or old."""
    page = BUILT / f"{name}.html"
    sources = [path for path in (ROOT / f"{name}.ipynb", ROOT / f"{name}.md") if path.exists()]
    if not page.exists() or any(path.stat().st_mtime > page.stat().st_mtime for path in sources):
        pytest.skip("the page is not built, or is older than its notebook: run `make book` first")
    return page


@pytest.mark.slow
@pytest.mark.parametrize("name", pages())
def test_a_page_is_accessible(open_page, name):
    page, errors, requests = open_page(built(name))
    page.emulate_media(reduced_motion="reduce")  # or colours would still be changing while they are judged
    for width in (page_browser.NARROW, 768, page_browser.WIDE):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate(page_browser.OVERFLOW) == 0
    assert name in SCROLLS or page.evaluate(page_browser.SCROLLING) == 0  # at 1280 pixels
    page.evaluate(page_browser.WITHOUT_REPETITION)
    found = page_browser.violations(page)
    page.evaluate("document.documentElement.dataset.theme = 'dark'")
    found += page_browser.violations(page, page_browser.RULES_OF_COLOUR)
    page.set_viewport_size({"width": page_browser.NARROW, "height": 900})
    page.wait_for_timeout(400)  # the theme looks after 300 ms what scrolls now
    found += page_browser.violations(page, page_browser.RULES_OF_WIDTH)
    assert found == []
    assert (errors, requests) == ([], [])


def test_a_fault_is_found_in_each_theme_and_at_each_width(open_page, tmp_path):
    text = """<!DOCTYPE html><html lang="en"><title>A page</title><style>
      html[data-theme=dark] p { color: #333; background: #222 }
      @media (max-width: 500px) { a { display: inline-block; width: 9px; height: 9px; overflow: hidden } }
    </style><main><h1>Title</h1><p>Text</p><img src="data:,"><a href="#a">One</a><a href="#b">Two</a></main></html>"""
    (tmp_path / "page.html").write_text(text)
    page, _, _ = open_page(tmp_path / "page.html")
    assert {fault.rule for fault in page_browser.violations(page)} == {"image-alt"}
    page.evaluate("document.documentElement.dataset.theme = 'dark'")
    assert {fault.rule for fault in page_browser.violations(page, page_browser.RULES_OF_COLOUR)} == {"color-contrast"}
    page.set_viewport_size({"width": page_browser.NARROW, "height": 900})
    assert {fault.rule for fault in page_browser.violations(page, page_browser.RULES_OF_WIDTH)} == {"target-size"}


def test_the_report_of_a_page_counts_what_is_there(chromium, tmp_path):
    (tmp_path / "style.css").write_text("p { color: #bbb; background: white }" + " " * 50_000)
    (tmp_path / "page.html").write_text(
        """<!DOCTYPE html><html lang="en"><title>A page</title><link rel="stylesheet" href="style.css">
        <main class="bd-content">
        <p>Grey</p><a href="#a">One</a><button>Two</button><button disabled>No</button><a href="#b" hidden>No</a>
        <div style="width: 500px">Wide</div><script src="https://example.org/a.js"></script>
        <script>const end = performance.now() + 200; while (performance.now() < end); throw new Error("fault")</script>
        </main></html>"""
    )
    seen = page_browser.visit(chromium, tmp_path / "page.html")
    assert seen._replace(first_paint=0, interactive=0, errors=0) == page_browser.Visit(
        name="page", kilobytes=51, first_paint=0, interactive=0, tab_stops=2, scroll_wide=0, scroll_narrow=0,
        overflow=118, contrast_light=1, contrast_dark=1, errors=0, requests=1,
    )  # fmt: skip
    assert seen.errors >= 1
    assert seen.interactive >= 200
    assert 0 < seen.first_paint < 5_000


def test_one_piece_of_code_stands_for_all_that_look_the_same(open_page, tmp_path):
    tokens = "".join('<span class="k">if</span> <span class="n">x</span>' for _ in range(20))
    (tmp_path / "page.html").write_text(f'<main><div class="highlight"><pre>{tokens}</pre></div></main>')
    page, _, _ = open_page(tmp_path / "page.html")
    text = page.inner_text("pre")
    page.evaluate(page_browser.WITHOUT_REPETITION)
    assert page.evaluate("document.querySelectorAll('pre span').length") == 2
    assert page.inner_text("pre") == text


def test_a_table_that_is_too_wide_for_a_phone_becomes_cards(open_page):
    page, errors, _ = open_page(built("book/reading_list"))
    table = page.locator("table.table").first
    headings = table.locator("thead th").all_inner_texts()
    rows = table.get_by_role("row").count()
    assert page.locator("table.cards").count() == 0
    page.set_viewport_size({"width": page_browser.NARROW, "height": 900})
    page.wait_for_selector("table.cards")
    assert table.evaluate("table => table.parentElement.scrollWidth <= table.parentElement.clientWidth")
    first = table.locator("tbody tr").first.locator("td")
    assert first.evaluate_all("cells => cells.map((cell) => cell.dataset.heading)") == headings
    assert first.nth(1).evaluate("cell => getComputedStyle(cell, '::before').content").startswith(f'"{headings[1]}"')
    boxes = [cell.bounding_box() for cell in first.all()]
    assert boxes[0]["y"] < boxes[1]["y"] < boxes[2]["y"]  # one below the other
    # A screen reader still meets a table.
    assert table.get_by_role("row").count() == rows > 10
    assert table.get_by_role("columnheader").all_inner_texts() == headings
    page.set_viewport_size({"width": page_browser.WIDE, "height": 900})
    page.wait_for_selector("table.cards", state="detached")
    assert errors == []


def test_the_keyboard_sees_where_it_is_and_does_not_stop_at_formulas(open_page):
    page, _, _ = open_page(built("book/03_dot_product"))
    page.wait_for_selector("mjx-container")
    assert page.evaluate("[...document.querySelectorAll('mjx-container')].filter(f => f.tabIndex >= 0).length") == 0
    assert page.evaluate("document.querySelectorAll('mjx-container mjx-assistive-mml math').length") > 20
    page.emulate_media(reduced_motion="reduce")  # or rings would still be fading in
    for _ in range(30):
        page.keyboard.press("Tab")
        assert page.evaluate(RING), page.evaluate("document.activeElement.outerHTML.slice(0, 99)")


def test_a_formula_that_scrolls_is_a_stop_of_the_keyboard(open_page):
    page, _, _ = open_page(built("book/04_additive"), width=page_browser.NARROW)
    page.wait_for_function("!!document.querySelector('div.math mjx-container')")
    page.wait_for_timeout(300)
    states = page.evaluate(
        "() => [...document.querySelectorAll('div.math')].map(m => [m.scrollWidth > m.clientWidth, m.tabIndex === 0])"
    )
    assert states
    assert all(scrolls == stop for scrolls, stop in states)


def test_nothing_moves_for_readers_who_ask_for_that(open_page):
    page, _, _ = open_page(built("book/index"))
    page.emulate_media(reduced_motion="reduce")
    moving = """() => [...document.querySelectorAll('*')].filter(e => {
      const style = getComputedStyle(e);
      return style.animationName !== 'none' || style.transitionDuration.split(',').some(d => parseFloat(d) > 0);
    }).map(e => e.outerHTML.slice(0, 80))"""
    assert page.evaluate(moving) == []
