"""The printable sheet of the chapter on the article's example is current, and its key has the chapter's numbers."""

import re
from pathlib import Path

import torch

from tools import pencil_sheet

TEXT = Path(__file__).resolve().parents[1] / "book" / "text" / "07_the_article.md"


def test_the_sheet_is_the_one_that_the_tool_writes():
    assert pencil_sheet.PATH.read_text(encoding="utf-8") == pencil_sheet.sheet()


def test_the_blanks_have_no_numbers_and_the_key_has_as_many_cells():
    sections = pencil_sheet.sheet().split("<section>")[1:]
    for blank, key in zip(sections[:2], sections[2:], strict=True):
        empty = re.findall(r'<table class="blank">(.*?)</table>', blank)
        assert empty
        assert "".join(empty) == re.sub(r"[^<>]+(?=</td>)", "", "".join(empty))
        assert blank.count("<td>") == key.count("<td>")


def test_the_key_has_the_matrices_that_the_chapter_prints():
    text = TEXT.read_text(encoding="utf-8")
    steps = pencil_sheet.projections() | pencil_sheet.one_head() | pencil_sheet.two_heads()
    rows = {
        " & ".join(f"{x:.{digits}f}" for x in row)
        for name, (values, digits) in steps.items()
        for row in values.tolist()
        if not name.startswith(("exp", "sum", "output"))
    }
    assert {row for row in rows if row not in text} == set()


def test_the_gap_of_the_first_head_gives_the_weights_beside_it():
    steps = pencil_sheet.article()
    gap, weights = steps["difference in each row"][0], steps["weights of head 1"][0]
    assert torch.allclose(weights[:, 0], 1 / (1 + gap[:, 0].exp()))
    assert [round(x, 4) for x in weights[0].tolist()] == [0.0017, 0.9983]
