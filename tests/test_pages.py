"""What every chapter offers a learner: the bounds on the counts of tools/page_report.py, and that it counts rightly."""

import io
import re

import numpy as np
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell
from PIL import Image

from tools import page_report
from tools.authoring.contents import chapter_numbers, figure_of, labels
from tools.authoring.paired import read_paired_text

TEXTS = page_report.chapters()
FRAME = 200  # pixels: the least that the longer side of a picture or a heat map may have
SMALL = {
    "02_weighted_averages": 60,  # patches of one plain colour, beside bars of more than 300 pixels
    "05b_self_attention": 160,  # eight maps of 8 by 8 places in two rows, to be compared
}


@pytest.mark.parametrize("text", TEXTS, ids=lambda path: path.stem)
def test_a_chapter_keeps_the_bounds(text):
    counts = page_report.count(text)
    assert counts.captions == counts.figures, "a figure without a caption"
    named = [name for name in labels(text, 1) if name.startswith("fig-")]
    assert len(named) == counts.figures, "a caption of no figure, or of two"
    assert counts.frame is None or counts.frame >= SMALL.get(text.stem, FRAME), "a picture that is too small"
    assert counts.folded == counts.predictions >= 2, "a prediction whose answer is not folded"
    assert counts.questions >= 5
    assert counts.misconceptions >= 2
    assert 3 <= counts.exercises <= 6


def test_the_list_of_small_pictures_is_short_and_in_use():
    smallest = {text.stem: page_report.count(text).frame for text in TEXTS if text.stem in SMALL}
    assert smallest.keys() == SMALL.keys()
    assert all(SMALL[name] <= frame < FRAME for name, frame in smallest.items() if frame is not None)
    assert len(SMALL) <= 3


def test_figures_and_exercises_stand_in_numbered_chapters_and_have_a_name_of_their_own():
    names = [label for text in TEXTS for label in labels(text, 1)]
    assert sorted(set(names)) == sorted(names)
    assert all(name.startswith(("ex-", "fig-")) for name in names)
    for text in set((page_report.ROOT / "book" / "text").glob("*.md")) - set(TEXTS):
        assert "{exercise}" not in text.read_text(encoding="utf-8"), f"{text.name}: an exercise of no chapter"
        assert not any(map(figure_of, read_paired_text(text).cells)), f"{text.name}: a numbered figure of no chapter"


@pytest.mark.parametrize("text", TEXTS, ids=lambda path: path.stem)
def test_a_title_carries_no_number_and_prose_names_a_chapter_by_a_link(text):
    source = text.read_text(encoding="utf-8")
    assert not re.search(r"^# \d", source, re.MULTILINE)
    own = re.sub(r"\{cite:\w\}`[^`]+`[^.;]*", "", source)  # a chapter of another book
    assert not re.search(r"\b[Cc]hapters? \d", own)


def test_chapters_are_numbered_over_the_parts_without_a_gap():
    assert list(chapter_numbers().values()) == list(range(1, len(TEXTS) + 1))
    assert chapter_numbers()["01_first_look"] == 1


def test_the_frames_of_a_figure_are_measured_and_its_lines_are_not():
    pixels = np.zeros((300, 520, 4), dtype=np.uint8)
    pixels[10:130, 10:250, 3] = 255  # a picture of 240 by 120
    pixels[150:290, 300:400, 3] = 255  # one of 100 by 140
    pixels[:, 500:502, 3] = 255  # a line
    pixels[200:280, 20:100, 3] = 100  # what is not opaque is no picture
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png")
    assert page_report.frame_sides(file.getvalue()) == [240, 140]


PREDICT = new_markdown_cell("## Part\n\n:::{admonition} Predict, then run\nWhich?\n:::")
VISIBLE = new_code_cell("1")
FOLDED = new_code_cell("2", metadata={"tags": ["hide-output"]})


@pytest.mark.parametrize(
    ("cells", "folded"),
    [
        ([FOLDED], True),
        ([VISIBLE, FOLDED], True),
        ([VISIBLE], False),
        ([VISIBLE, PREDICT, FOLDED], False),
        ([VISIBLE, new_markdown_cell("Text.\n\n## Next"), FOLDED], False),
    ],
)
def test_an_answer_is_folded_only_if_it_belongs_to_its_prediction(cells, folded):
    assert page_report.is_folded(cells) is folded
