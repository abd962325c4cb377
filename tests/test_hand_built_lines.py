"""The chapters build the captioner by hand: what tools/hand_built_lines.py counts, and that it would notice a gap."""

import shutil

import pytest

from tools import hand_built_lines
from tools.hand_built_lines import LEAST, PARTS, TEXTS, changed_copies, count_lines, page_lines, share_on_pages


def test_nine_tenths_of_the_essential_code_are_on_the_pages():
    assert share_on_pages() >= LEAST


def test_every_part_that_claims_a_page_is_defined_there_once_and_in_view():
    assert all(page_lines(part) for part in PARTS if part.pages)


def test_a_later_chapter_repeats_the_code_unchanged():
    assert changed_copies() == []


def test_blank_lines_comments_and_docstrings_are_no_code():
    source = '@cache\ndef f(x):\n    """One.\n\n    Two.\n    """\n\n    # why\n    return x  # what\n'
    assert count_lines(source) == 3


@pytest.fixture
def texts(tmp_path):
    """Copies of the chapters, to be damaged."""
    for chapter in {part.chapter for part in PARTS if part.chapter}:
        shutil.copy(TEXTS / f"{chapter}.md", tmp_path)
    return tmp_path


def replace(texts, chapter, old, new):
    path = texts / f"{chapter}.md"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_a_folded_definition_does_not_count(texts):
    cell = "```{code-cell} ipython3\n"
    replace(texts, hand_built_lines.DECODER, f"{cell}class LSTMCell", f"{cell}:tags: [hide-input]\n\nclass LSTMCell")
    part = next(part for part in PARTS if part.name == "LSTM cell")
    with pytest.raises(ValueError, match="10_attention_decoder: LSTMCell must be defined once"):
        page_lines(part, texts)


def test_a_changed_copy_is_named(texts):
    replace(texts, hand_built_lines.LEARNING, "i.sigmoid() * g.tanh()", "i.sigmoid() * g.relu()")
    assert changed_copies(texts) == ["LSTMCell: 10_attention_decoder and 11_learning"]


def test_a_part_without_a_page_lowers_the_share():
    without = tuple(part._replace(pages=()) if part.name == "decoder" else part for part in PARTS)
    assert share_on_pages(without) < LEAST
