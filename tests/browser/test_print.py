"""A built page on paper: nothing is cut, nothing is closed, and nothing is there that only a screen can use."""

from pathlib import Path

import pytest

from tools import page_browser

ROOT = Path(__file__).resolve().parents[2]
PAPER = 670  # pixels between the margins of A4
PAGES = ["06_masks", "13_scoring", "16_real_photographs", "setup"]


def printed(open_page, name: str, theme: str = "light"):
    """Return a page as it will be printed."""
    path = ROOT / "_build" / "html" / "book" / f"{name}.html"
    if not path.exists():
        pytest.skip("the page is not built: run `make book` first")
    page, errors, _ = open_page(path, width=PAPER, theme=theme)
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    return page, errors


@pytest.mark.parametrize("name", PAGES)
def test_code_wraps_and_nothing_is_wider_than_the_paper(open_page, name):
    page, errors = printed(open_page, name)
    assert page.locator("article pre").count() > 3
    assert page.evaluate(page_browser.SCROLLING) == 0
    assert page.evaluate(page_browser.OVERFLOW) == 0
    assert errors == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_answers_are_open_bars_are_gone_and_the_paper_is_white(open_page, theme):
    page, _ = printed(open_page, "06_masks", theme)
    closed = page.locator("article details:not([open])")
    assert closed.count() == 0
    hidden = ".bd-sidebar-primary, .bd-sidebar-secondary, .bd-header-article, .prev-next-footer, .copybtn, .headerlink"
    assert page.locator(hidden).count() > 10
    assert [each for each in page.locator(hidden).all() if each.is_visible()] == []
    solution = page.locator("details.solution p").first
    assert solution.bounding_box()["height"] > 10
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page_browser.violations(page, ["color-contrast"]) == []
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert closed.count() > 5
    assert page.evaluate("document.documentElement.dataset.theme") == theme
