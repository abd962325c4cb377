"""What the pages load: MathJax only for formulas, drawn icons, a titled front door; and what the opening page says."""

import re
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from tools import page_weight

ROOT = Path(__file__).resolve().parents[1]
BUILT = ROOT / "_build" / "html"
INDEX = (ROOT / "book" / "text" / "index.md").read_text(encoding="utf-8")

CONFIG = """
import sys
sys.path.insert(0, {tools!r})
extensions = ["sphinx.ext.mathjax", "page_weight"]
html_theme = "basic"
root_doc = "first/page"
html_title = "A title"
"""
PAGES = {
    "first/page": "A page\n======\n\n.. toctree::\n\n   block\n   inline\n",
    "first/block": "Block\n=====\n\n.. math:: a + b\n",
    "first/inline": "Inline\n======\n\nA formula, :math:`a + b`.\n",
}

needs_pages = pytest.mark.skipif(not BUILT.exists(), reason="the pages are not built: run `make book` first")


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """A site of three pages, of which two have a formula."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "first").mkdir()
    (folder / "conf.py").write_text(CONFIG.format(tools=str(ROOT / "tools")))
    for name, text in PAGES.items():
        (folder / f"{name}.rst").write_text(text)
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "-b", "html", str(folder), str(folder / "built")]
    subprocess.run(command, check=True, timeout=120)
    return folder / "built"


@pytest.mark.parametrize(
    ("page", "has_formula"),
    [("first/page", False), ("first/block", True), ("first/inline", True), ("search", False), ("genindex", False)],
)
def test_mathjax_stands_on_the_pages_with_a_formula(site, page, has_formula):
    assert ("mathjax" in (site / f"{page}.html").read_text().lower()) == has_formula


def test_the_root_of_the_site_has_a_title_and_leads_to_the_first_page(site):
    page = (site / "index.html").read_text()
    assert "<title>A title</title>" in page
    assert 'content="0; url=first/page.html"' in page
    assert '<a href="first/page.html">' in page


def test_a_page_that_does_not_exist_leads_to_the_first_page_from_any_address(site):
    assert '<a href="/first/page.html">' in (site / "404.html").read_text()


def test_the_script_and_the_fonts_of_font_awesome_are_taken_out_and_nothing_else(tmp_path):
    page, sheet = tmp_path / "page.html", tmp_path / "sheet.css"
    page.write_text(
        '<a>\n  <script src="../x/fontawesome.js?digest=1"></script>\n<script src="../x/other.js"></script>'
    )
    sheet.write_text(
        'a{b:c}@font-face{font-family:Font Awesome\\ 6 Free;src:url("x")}@font-face{font-family:Mine}'
        '.fa-bell:before,.fa-bells:before{content:"\\f0f3"}.fa-lg{font-size:2em}'
    )
    page_weight.remove(page_weight.FONT_AWESOME_SCRIPT, page)
    page_weight.remove(page_weight.FONT_AWESOME_STYLE, sheet)
    assert page.read_text() == '<a>\n<script src="../x/other.js"></script>'
    assert sheet.read_text() == "a{b:c}@font-face{font-family:Mine}.fa-lg{font-size:2em}"


@needs_pages
def test_of_mathjax_the_bundle_that_the_pages_load_is_left():
    page = (BUILT / "book" / "03_dot_product.html").read_text(encoding="utf-8")
    (loaded,) = re.findall(r'src="\.\./_static/mathjax/([\w-]+\.js)', page)
    assert [path.name for path in (BUILT / "_static" / "mathjax").glob("*.js")] == [loaded]


@needs_pages
def test_the_built_site_has_less_than_60_megabytes():
    assert sum(path.stat().st_size for path in BUILT.rglob("*") if path.is_file()) < 60_000_000


@needs_pages
def test_every_icon_of_the_built_pages_is_drawn():
    drawn = set(re.findall(r"\.fa-([\w-]+)", (ROOT / "book" / "_static" / "icons.css").read_text()))
    pages = [page.read_text(encoding="utf-8") for page in BUILT.rglob("*.html")]
    used = {icon for page in pages for tag in re.findall(r'class="([^"]*\bfa-[^"]*)"', page) for icon in tag.split()}
    sizes = {"fa-lg", "fa-fw", "fa-solid", "fa-brands", "fa-regular"}
    assert {icon.removeprefix("fa-") for icon in used - sizes if icon.startswith("fa-")} <= drawn


def minutes(page: str) -> int:
    """Return the minutes to read a chapter, as its opening box says."""
    text = (ROOT / "book" / "text" / f"{page}.md").read_text(encoding="utf-8")
    (number,) = re.findall(r"^\*\*Time\*\* (\d+) minutes to read", text, re.MULTILINE)
    return int(number)


def test_the_ways_through_the_book_take_the_minutes_that_they_say():
    cards = re.findall(r"\{grid-item-card\} (.*)\n((?:.*\n)+?)\*(\d+) minutes", INDEX)
    said = {title: (re.findall(r"\]\((\w+)\.ipynb\)", body), int(number)) for title, body, number in cards}
    for title in ("An afternoon", "For practitioners"):
        pages, number = said[title]
        assert abs(sum(map(minutes, pages)) - number) <= 10
    toc = (ROOT / "_toc.yml").read_text()
    course = re.findall(r"book/(\w+)", toc[toc.index("One ·") : toc.index("Three ·")])
    assert {said["A course"][0][0], said["A course"][0][1]} <= set(course)
    assert abs(sum(map(minutes, course)) - said["A course"][1]) <= 20


def test_the_opening_page_begins_without_code():
    """The first cell is removed from view, and every other one is removed or folded."""
    cells = re.findall(r"^```\{code-cell\} ipython3\n(?:---\n)?:?tags: \[(.*?)\]", INDEX, re.MULTILINE)
    assert len(cells) == INDEX.count("```{code-cell}")
    assert cells[0] == "remove-input"
    assert set(cells) <= {"remove-input", "hide-input"}


def test_the_picture_for_other_sites_has_the_size_that_they_ask_for():
    data = (ROOT / "book" / "_static" / "share.png").read_bytes()
    assert data.startswith(b"\x89PNG")
    assert struct.unpack(">II", data[16:24]) == (1200, 630)
    assert len(data) < 200_000
