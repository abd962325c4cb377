"""The opening page in Chromium: small, quick, without errors, and with explorers that answer."""

from pathlib import Path
from urllib.parse import unquote, urlparse

import pytest

BUILT = Path(__file__).resolve().parents[2] / "_build" / "html"
INDEX, FORMULAS = BUILT / "book" / "index.html", BUILT / "book" / "03_dot_product.html"
MOST, MOST_OF_A_CHAPTER = 1_000_000, 2_500_000  # bytes
READY = "() => performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd"

pytestmark = pytest.mark.skipif(not INDEX.exists(), reason="the pages are not built: run `make book` first")


def loaded(page) -> dict[str, int]:
    """Load a page anew, and return the files that it loads, itself included, with their bytes."""
    urls: list[str] = []
    page.on("request", lambda request: urls.append(request.url))
    page.reload(wait_until="networkidle")
    paths = {Path(unquote(urlparse(url).path)) for url in urls if url.startswith("file:")}
    return {path.name: path.stat().st_size for path in paths}


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_opening_page_loads_less_than_a_megabyte_and_no_mathjax(open_page, theme):
    page, errors, requests = open_page(INDEX, theme=theme)
    files = loaded(page)
    assert len(files) > 5
    assert sum(files.values()) < MOST, sorted(files.items(), key=lambda item: -item[1])[:8]
    assert not [name for name in files if "mathjax" in name or "fontawesome" in name or name.startswith("fa-")]
    assert (errors, requests) == ([], [])


def test_the_opening_page_answers_within_a_second(open_page):
    """The quickest of three loads from disk: other processes may slow one down."""
    page, _, _ = open_page(INDEX)
    milliseconds = []
    for _ in range(3):
        page.reload(wait_until="load")
        milliseconds.append(page.evaluate(READY))
    assert min(milliseconds) < 1000


def test_a_chapter_with_formulas_shows_them_and_is_not_heavy(open_page):
    page, errors, _ = open_page(FORMULAS)
    page.wait_for_selector("mjx-container")
    files = loaded(page)
    own = {name: size for name, size in files.items() if not name.startswith("tex-")}  # MathJax serves all chapters
    assert len(own) < len(files)
    assert sum(own.values()) < MOST_OF_A_CHAPTER
    assert not [name for name in files if "fontawesome" in name or name.startswith("fa-")]
    assert errors == []


@pytest.mark.parametrize("width", [390, 768, 1280])
def test_the_opening_page_fits_and_its_explorers_answer(open_page, width):
    page, errors, _ = open_page(INDEX, width=width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    explorers = page.get_by_role("group", name="Attention explorer").all()
    assert len(explorers) == 4
    for explorer in explorers:
        explorer.get_by_role("radio").last.click()
        assert explorer.locator("[aria-checked=true]").count() == 1
        assert "has its largest weight at row" in explorer.get_by_role("status").inner_text()
    verdicts = page.locator(".stage .verdict").all_inner_texts()
    assert [verdict.partition(":")[0] == "false" for verdict in verdicts] == [False, True]
    assert errors == []


def test_the_first_explorer_stands_above_any_code_and_within_the_first_screen(open_page):
    page, _, _ = open_page(INDEX)
    first = page.get_by_role("group", name="Attention explorer").first.bounding_box()
    assert first["y"] < 400
    code = page.locator("pre:visible").first.bounding_box()
    assert code["y"] > first["y"] + first["height"]


def test_icons_are_drawn(open_page):
    """An icon without a drawing would be an empty box or a square of the text's colour."""
    page, _, _ = open_page(INDEX)
    masks = page.evaluate(
        """() => [...document.querySelectorAll("[class*='fa-']")].map(
             (icon) => getComputedStyle(icon, "::before").maskImage)"""
    )
    assert len(masks) > 5
    assert all(mask.startswith('url("data:image/svg+xml') for mask in masks)
