"""The search, from a page on the disk: by keyboard and by mouse, with excerpts, and with text that would do harm."""

from pathlib import Path

import pytest

from tools import page_browser
from tools.text_index import Section, script

STATIC = Path(__file__).resolve().parents[2] / "book" / "_static"
HOSTILE = "<script>document.title='entered'</script><img src=x onerror=\"document.title='entered'\"> \u202e 🐈 "
PLACE = "#pst-search-dialog { left: 50%; margin: 0; max-width: 800px; position: fixed; width: 90% }"  # as in the theme
PAGES = [
    ("Masks", "masks.html", [
        Section("", "", "A mask hides what must not be attended to."),
        Section("A causal mask", "causal", f"{'Words ' * 40}later words are hidden by the causal mask. {'More ' * 40}"),
    ]),
    ("Decoding", "decoding.html", [
        Section("", "", "Greedy decoding, sampling, beam search."),
        Section("Café", "cafe", "The words naïve and Zürich, with and without their signs; softmax.1d and a*b."),
        Section("Harm", "harm", HOSTILE + "x" * 2000),
    ]),
]  # fmt: skip


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Return a page of a small site that has the theme's dialog and the field of its search page."""
    (tmp_path / "_static").mkdir()
    (tmp_path / "_static" / "text_index.js").write_text(script(PAGES), encoding="utf-8")
    form = '<form class="bd-search" action="search.html"><input type="search" name="q" aria-label="Search"></form>'
    head = f"<title>Page</title><style>{PLACE}{(STATIC / 'custom.css').read_text()}</style>"
    code = f"<script>{(STATIC / 'text_search.js').read_text()}</script>"
    for name, body in {
        "index": f"<dialog id='pst-search-dialog'>{form}</dialog><main><h1>Page</h1></main>",
        "search": f"<main><h1>Search</h1>{form}</main>",
        "masks": "<main><h1>Masks</h1><h2 id='causal'>A causal mask</h2></main>",
        "decoding": "<main><h1>Decoding</h1><h2 id='harm'>Harm</h2></main>",
    }.items():
        page = f'<!DOCTYPE html><html lang="en" data-content_root="./"><meta charset="utf-8">{head}{body}{code}</html>'
        (tmp_path / f"{name}.html").write_text(page, encoding="utf-8")
    return tmp_path


def opened_dialog(open_page, site, **how):
    page, errors, requests = open_page(site / "index.html", **how)
    page.evaluate("document.querySelector('dialog').showModal()")
    return page, errors, requests


def results(page) -> list[str]:
    return page.locator(".text-search__results a").all_text_contents()


def typed(page, query: str) -> list[str]:
    """Return the titles of the results of a query, once they are there."""
    page.fill("input", query)
    page.wait_for_function("document.querySelector('[role=status]').textContent !== ''")
    return results(page)


def test_results_come_while_one_types_and_one_enter_opens_the_first(open_page, site):
    page, errors, requests = opened_dialog(open_page, site)
    page.keyboard.type("causal mask")
    page.wait_for_selector(".text-search__results li")
    assert results(page)[0] == "Masks › A causal mask"
    page.keyboard.press("Enter")
    page.wait_for_url("**/masks.html#causal")
    assert (errors, requests) == ([], [])


def test_the_arrow_keys_go_through_the_results_and_back_to_the_field(open_page, site):
    page, _, _ = opened_dialog(open_page, site)
    assert len(typed(page, "mask")) == 2
    focused = []
    for key in ("ArrowDown", "ArrowDown", "ArrowDown", "ArrowUp", "ArrowUp"):
        page.keyboard.press(key)
        focused.append(page.evaluate("document.activeElement.textContent || document.activeElement.tagName"))
    assert focused == ["Masks › A causal mask", "Masks", "Masks", "Masks › A causal mask", "INPUT"]
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Escape")
    assert not page.evaluate("document.querySelector('dialog').open")


@pytest.mark.parametrize("width", [390, 768, 1280])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_result_is_opened_by_touch_or_mouse_and_nothing_is_too_wide(open_page, site, width, theme):
    page, errors, _ = opened_dialog(open_page, site, width=width, theme=theme)
    assert len(typed(page, "x")) >= 1
    assert page.evaluate(page_browser.OVERFLOW) == 0
    assert page_browser.violations(page) == []
    page.locator(".text-search__results a", has_text="Harm").click()
    page.wait_for_url("**/decoding.html#harm")
    assert errors == []


@pytest.mark.parametrize(
    ("query", "titles"),
    [
        ("cafe", ["Decoding › Café"]),
        ("NAIVE zurich", ["Decoding › Café"]),
        ("softmax.1d", ["Decoding › Café"]),
        ("a*b signs", ["Decoding › Café"]),
        ("greedy nowhere", []),
        ("beam search", ["Decoding"]),
        ("(", []),
    ],
)
def test_all_words_must_occur_with_or_without_accents(open_page, site, query, titles):
    page, errors, _ = open_page(site / "index.html")
    found = page.evaluate(
        """async (query) => {
          await new Promise((ready) => {
            const script = document.createElement('script');
            script.src = '_static/text_index.js';
            script.onload = ready;
            document.head.append(script);
          });
          return attentionBook.search(attentionBook.prepared(attentionBook.text), query)
            .map(({section}) => section.title + (section.heading && ' › ' + section.heading));
        }""",
        query,
    )
    assert sorted(found) == sorted(titles)
    assert errors == []


def test_an_excerpt_has_the_words_marked_and_is_short(open_page, site):
    page, _, _ = opened_dialog(open_page, site)
    typed(page, "causal hidden")
    excerpt = page.locator(".text-search__results p").first
    assert [text.lower() for text in excerpt.locator("mark").all_text_contents()] == ["hidden", "causal"]
    text = excerpt.text_content()
    assert text.startswith("… ")
    assert text.endswith(" …")
    assert "later words are hidden by the causal mask" in text
    assert len(text) < 200


def test_text_stays_text(open_page, site):
    page, errors, requests = opened_dialog(open_page, site)
    typed(page, "document title entered")
    assert "<script>" in page.locator(".text-search__results p").first.text_content()
    assert page.locator(".text-search__results :is(script, img)").count() == 0
    for query in (HOSTILE, "🐈" * 500, "\u202e\"'\\[](){}^$|?+*"):
        page.fill("input", query)
        page.wait_for_timeout(100)
    assert page.title() == "Page"
    assert (errors, requests) == ([], [])


def test_how_many_there_are_is_announced(open_page, site):
    page, _, _ = opened_dialog(open_page, site)
    for query, announced in {
        "mask": "2 sections.", "greedy": "One section.", "nowhere": "No section has all these words."
    }.items():  # fmt: skip
        page.fill("input", query)
        page.wait_for_function("(text) => document.querySelector('[role=status]').textContent === text", arg=announced)
    assert page.get_by_role("status").count() == 1


def test_an_address_with_a_question_is_answered(open_page, site):
    page, errors, _ = open_page(site / "search.html")
    page.goto((site / "search.html").as_uri() + "?q=causal")
    page.wait_for_selector(".text-search__results li")
    assert results(page) == ["Masks › A causal mask"]
    assert errors == []


def test_a_missing_index_is_said(open_page, site):
    (site / "_static" / "text_index.js").unlink()
    page, _, _ = opened_dialog(open_page, site)
    page.fill("input", "mask")
    page.wait_for_function("document.querySelector('[role=status]').textContent.startsWith('No search')")
