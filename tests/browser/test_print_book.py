"""The book as one page to be printed: its chapters, links and solutions; and the PDF that Chromium makes of it."""

import re
from pathlib import Path

import pypdf
import pytest
from bs4 import BeautifulSoup

from tools import print_book
from tools.print_book import Chapter, assemble, chapter

ROOT = Path(__file__).resolve().parents[2]
NAMES = frozenset({"one", "two", "index"})
TOC = """format: jb-book
root: book/index
parts:
  - caption: First & last
    chapters:
      - file: book/one
      - file: book/two
"""
HEAD = '<!DOCTYPE html><html lang="en"><body><nav id="part">Side bar</nav><article class="bd-article">'
ONE = f"""{HEAD}<section id="one"><h1><span>1 · </span>One<a class="headerlink" href="#one">#</a></h1>
<section id="part"><h2>Part</h2><p>See <a href="two.html#part">there</a>, <a href="two.html">two</a>,
<a href="#part">here</a>,
<a href="https://a.org">outside</a>, <a href="../notebooks/one.ipynb">a notebook</a>.</p>
<img src="../_images/a.png" alt="A" loading="lazy"><noscript><p>Still</p></noscript><script>alert(1)</script>
<button>Copy</button><table><tr><th id="head">Head</th><td headers="head">Cell</td></tr></table>
<details class="admonition hide below-input"><summary>Show</summary><pre>folded</pre></details>
<div class="exercise admonition"><p class="admonition-title">Exercise 1.1 (Sum)</p><p>Question</p></div>
<details class="admonition solution" id="its-solution"><summary>Solution</summary><p>Forty-two</p></details>
<details class="admonition tip"><summary>Answer</summary><p>Answer (a)</p></details>
</section></section></article></html>"""
TWO = f"""{HEAD}<section id="two"><h1>Two</h1><section id="part"><h2>Part</h2><p>{"Long text. " * 900}</p>
<p>See <a href="one.html#its-solution">a solution</a>.</p></section></section></article></body></html>"""
INDEX = f'{HEAD}<section id="index"><h1>Index</h1><p><span class="math">\\(x^2\\)</span></p></section></article></html>'


@pytest.fixture
def built(tmp_path: Path) -> Path:
    """Return a folder of finished pages, and _toc.yml beside it."""
    (tmp_path / "_build" / "html" / "book").mkdir(parents=True)
    for name, text in {"one": ONE, "two": TWO, "index": INDEX}.items():
        (tmp_path / "_build" / "html" / "book" / f"{name}.html").write_text(text, encoding="utf-8")
    (tmp_path / "_toc.yml").write_text(TOC)
    return tmp_path / "_build" / "html"


def assembled(folder: Path) -> BeautifulSoup:
    book = [
        (part.caption, [chapter(folder / "book" / f"{name}.html", NAMES, folder / "print") for name in part.pages])
        for part in print_book.parts(folder.parents[1] / "_toc.yml")
    ]
    return BeautifulSoup(assemble(book, "A <title>", {"one": 5}), "html.parser")


def test_the_chapters_stand_in_the_order_of_the_contents_with_their_pages(built):
    soup = assembled(built)
    assert [heading.get_text(" ", strip=True) for heading in soup.find_all("h1")] == [
        "Contents", "Index", "1 · One", "Two", "Solutions and answers",
    ]  # fmt: skip
    lines = [line.get_text(" ", strip=True) for line in soup.select(".contents li")]
    assert lines == [
        "Index 999", "First & last", "1 · One 5", "Two 999", "At the end", "Solutions and answers 999"
    ]  # fmt: skip
    assert "A <title>" in soup.select_one(".cover").get_text()


def test_every_identifier_is_there_once_and_every_link_leads_somewhere(built):
    soup = assembled(built)
    anchors = [element["id"] for element in soup.find_all(id=True)]
    assert sorted(set(anchors)) == sorted(anchors)
    links = [link["href"] for link in soup.find_all("a", href=True)]
    assert "https://a.org" in links
    assert [link for link in links if link.startswith("#") and link[1:] not in anchors] == []
    assert [link for link in links if not re.match("#|https:", link)] == []
    assert soup.find("td", headers="one--head")


def test_paper_has_what_a_page_says_without_scripts_and_nothing_to_press(built):
    text = assembled(built).get_text()
    assert "Still" in text
    assert "folded" in text
    assert not re.search(r"alert|Copy|Show|Side bar|#", text)


def test_solutions_and_answers_stand_at_the_end_with_a_link_there_and_back(built):
    soup = assembled(built)
    *chapters, end = soup.find_all("article")
    assert "Forty-two" not in "".join(each.get_text() for each in chapters)
    assert [heading.get_text() for heading in end.find_all("h3")] == ["Exercise 1.1 (Sum)", "Quiz, question 1"]
    assert "Forty-two" in end.get_text()
    for place, section in zip(soup.select(".to-the-end"), end.select("section > section"), strict=True):
        assert place.a["href"] == f"#{section['id']}"
        assert section.h3.a["href"] == f"#{place['id']}"


def test_pictures_are_found_from_the_folder_of_the_book(built):
    made = chapter(built / "book" / "one.html", NAMES, built.parent / "print")
    assert 'src="../html/_images/a.png"' in made.text
    assert "loading" not in made.text


def test_text_of_titles_is_escaped(built):
    made = assemble([("<i>", [Chapter("one", "<script>", "", "")])], "&", {})
    assert "<script>" not in made
    assert "<i>" not in made


def test_the_pdf_has_numbers_links_an_outline_and_tags(chromium, built):
    (built / "_static" / "mathjax").mkdir(parents=True)
    for sheet in ("print.css", "print_book.css"):
        (built / "_static" / sheet).write_text((ROOT / "book" / "_static" / sheet).read_text())
    mathjax = "window.MathJax = {startup: {promise: Promise.resolve()}};"
    (built / "_static" / "mathjax" / "tex-chtml.js").write_text(mathjax)
    pdf = built.parent / "print" / "book.pdf"
    count = print_book.print_book(chromium, built, "A title", pdf)
    reader = pypdf.PdfReader(pdf)
    texts = [page.extract_text() for page in reader.pages]
    assert len(texts) == count >= 6
    first = next(number for number, text in enumerate(texts, start=1) if "Long text." in text)
    assert re.search(rf"Two\s*{first}\b", texts[1])  # the contents
    assert "Forty-two" in texts[-1]
    assert str(count) in texts[-1].splitlines()
    assert [entry["/Title"] for entry in reader.outline if not isinstance(entry, list)][-1] == "Solutions and answers"
    assert reader.trailer["/Root"]["/MarkInfo"]["/Marked"]
    links = [note.get_object() for page in reader.pages for note in page.get("/Annots", [])]
    assert any(note.get("/A", {}).get("/URI", "").startswith("https://a.org") for note in links)
    assert sum("/Dest" in note or "/D" in note.get("/A", {}) for note in links) >= 6
