"""The text of pages for the search: what is in it, below which heading, and that it stays text."""

import json
from types import SimpleNamespace

import pytest

from tools import text_index
from tools.text_index import Section, page_sections, script

PAGE = """<html><head><title>Not this</title></head><body><nav>Not this either</nav><article class="bd-article">
<section id="top"><h1><span class="section-number">3 · </span>Title<a class="headerlink" href="#top">#</a></h1>
<p>One<br>two <em>three</em>.</p><div class="cell_input"><pre>a = <span>b</span></pre></div>
<div class="cell_output"><pre>output</pre></div>
<section id="part"><h2>Part &amp; more</h2><p>Where <span class="math">\\(k &lt; n\\)</span>.</p>
<ul><li>first</li><li>second</li></ul><script>var hidden;</script><img src="a.png" alt="not text"></section>
<section id="last"><h2>Last</h2></section></section></article><footer>Nor this</footer></body></html>"""


def test_a_section_has_its_heading_its_anchor_and_its_text_and_nothing_else():
    assert page_sections(PAGE) == [
        Section("Title", "", "One two three. a = b"),
        Section("Part & more", "part", "Where k < n. first second"),
        Section("Last", "last", ""),
    ]


@pytest.mark.parametrize("text", ["</script><script>alert(1)</script>", "“quotes\"' \u2028 \u202e", "é" * 1000])
def test_text_does_not_leave_the_script(text):
    made = script([("Title", "a.html", [Section("", "", text)])])
    assert "</script" not in made
    assert "\u2028" not in made
    assert json.loads(made.partition(".text = ")[2].removesuffix(";\n")) == [["Title", "a.html", [["", "", text]]]]


def test_the_index_lists_the_pages_in_the_order_of_the_book(tmp_path):
    for name in ("a", "b"):
        (tmp_path / f"{name}.html").write_text(PAGE)
    (tmp_path / "_static").mkdir()
    titles = {name: SimpleNamespace(astext=lambda name=name: f"Page {name}") for name in ("a", "b")}
    env = SimpleNamespace(titles=titles, collect_relations=lambda: {"b": [], "a": []})
    builder = SimpleNamespace(name="html", get_target_uri=lambda name: f"{name}.html")
    app = SimpleNamespace(env=env, builder=builder, outdir=tmp_path)
    text_index.write(app, None)
    made = (tmp_path / "_static" / "text_index.js").read_text(encoding="utf-8")
    pages = json.loads(made.partition(".text = ")[2].removesuffix(";\n"))
    assert [(title, address) for title, address, _ in pages] == [("Page b", "b.html"), ("Page a", "a.html")]
    assert pages[0][2][0] == ["", "", "One two three. a = b"]
