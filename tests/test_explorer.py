"""The attention explorer: its numbers are the caption's, its texts are data, and it is the same on every machine."""

import base64
import io
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from companion import plots
from companion.decoding import Tag
from companion.metrics import grounding
from companion.plots.explorer import edges
from tools.authoring.checks import ADDRESS, NAMESPACE

WORDS = ("a", "red", "kite")
HOSTILE = (
    "</script><script>alert(1)</script>",
    "<!--<script>",
    "\"'><img src=x onerror=alert(1)>",
    "&lt;b&amp;",
    "\u202eevil\u2066\u2069\u200f",
    "👩‍👩‍👧 🪁",
    "\ud800",
    "k" * 100_000,
    "a\n\tb\x00c",
)


class Page(HTMLParser):
    """The elements of a page with their attributes, and the text outside of scripts."""

    def __init__(self, page: str):
        super().__init__()
        self.elements: list[tuple[str, tuple[str, ...]]] = []
        self.data: dict = {}
        self._inside = ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, tuple(name for name, _ in attrs)))
        self._inside = dict(attrs).get("type", tag)

    def handle_endtag(self, tag):
        self._inside = ""

    def handle_data(self, data):
        if self._inside == "application/json":
            self.data = json.loads(data)


def tag(word: str, confidence: float = 0.0) -> Tag:
    return Tag(word, confidence, True, (0.1, 0.2, 0.5, 0.9))


@pytest.fixture
def picture():
    return np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)


@pytest.fixture
def maps():
    weights = np.random.default_rng(1).random((3, 2, 4)) ** 4
    return weights / weights.sum((1, 2), keepdims=True)


def data_of(figure: plots.Explorer) -> dict:
    return Page(figure.html).data


def test_each_place_has_the_rounded_share_of_the_largest_weight_of_its_word(picture, maps):
    data = data_of(plots.explorer(picture, WORDS, torch.from_numpy(maps), alt="Noise."))
    assert (data["rows"], data["cols"], tuple(data["words"])) == (2, 4, WORDS)
    for word in range(3):
        for row in range(2):
            for col in range(4):
                level = int(data["levels"][word][4 * row + col], 32)
                assert level == round(31 * maps[word, row, col] / maps[word].max())
        assert data["peaks"][word] == np.argmax(maps[word])


def test_the_filmstrip_has_a_frame_for_each_word_as_opaque_as_its_levels(picture, maps):
    figure = plots.explorer(picture, WORDS, maps, alt="Noise.").html
    frames = re.findall(r"<svg.*?</svg>", figure)
    assert len(frames) == 1 + len(WORDS)
    for weights, frame in zip(maps, frames[1:], strict=True):
        drawn = np.zeros((2, 4))
        for squares, opacity in re.findall(r'class="cells" d="([^"]+)" fill-opacity="([\d.]+)"', frame):
            for col, row in re.findall(r"M(\d+) (\d+)h1v1h-1z", squares):
                drawn[int(row), int(col)] += float(opacity)
        np.testing.assert_allclose(drawn, 0.8 * weights / weights.max(), atol=0.8 / 62 + 0.005)
    for word in WORDS:
        assert f"<bdi>{word}</bdi>" in figure


def test_the_last_digits_of_the_weights_do_not_change_a_byte(picture, maps):
    noise = 1 + 1e-7 * np.random.default_rng(2).standard_normal(maps.shape)
    figures = [plots.explorer(picture, WORDS, weights, alt="Noise.") for weights in (maps, maps * noise, 7 * maps)]
    assert len({figure.html for figure in figures}) == 1


def stored_picture(figure: plots.Explorer) -> Image.Image:
    (encoded,) = re.findall(r"data:image/\w+;base64,([\w+/=]+)", figure.html)
    return Image.open(io.BytesIO(base64.b64decode(encoded)))


def test_a_drawn_picture_is_stored_without_loss(picture, maps):
    stored = stored_picture(plots.explorer(picture, WORDS, maps, alt="Noise."))
    assert np.array_equal(np.asarray(stored), picture)


def test_a_photograph_is_made_smaller_and_the_figure_stays_small(maps):
    y, x = np.mgrid[:900, :1200]
    photograph = np.stack([x % 256, y % 256, (x + y) // 9], axis=-1).astype(np.uint8)
    figure = plots.explorer(photograph, WORDS, maps, alt="Waves.")
    assert stored_picture(figure).size == (400, 300)
    assert "--ratio:1.3333" in figure.html
    assert len(figure.html) < 90_000


@given(arrays(bool, st.tuples(st.integers(1, 7), st.integers(1, 7))))
def test_the_edges_of_a_mask_enclose_its_pixels(mask):
    """A pixel is inside if a ray to its left crosses the vertical edges an odd number of times; so for rays upwards."""
    across, down = np.zeros((2, 9, 9), dtype=int)
    for x, y, direction, length in re.findall(r"M(\d+) (\d+)([hv])(\d+)", edges(mask)):
        for step in range(int(length)):
            if direction == "v":
                across[int(y) + step, int(x)] += 1
            else:
                down[int(y), int(x) + step] += 1
    height, width = mask.shape
    assert np.array_equal(across.cumsum(1)[:height, :width] % 2 == 1, mask)
    assert np.array_equal(down.cumsum(0)[:height, :width] % 2 == 1, mask)
    assert max(across.max(), down.max()) <= 1


def test_a_graded_word_has_the_grade_of_the_pointing_game_and_of_the_attention_mass(picture, maps):
    mask = np.zeros((6, 8), dtype=bool)
    mask[2:5, 1:7] = True
    data = data_of(plots.explorer(picture, WORDS, maps, alt="Noise.", masks=[None, mask, mask]))
    assert data["grades"][0] is None
    for word in (1, 2):
        weights = torch.from_numpy(maps[word])
        hit, mass = data["grades"][word]
        assert hit == grounding.pointing(weights, mask)
        assert mass == round(100 * grounding.attention_mass(weights, mask))


def test_the_table_says_what_the_picture_shows(picture):
    maps = np.zeros((2, 2, 4))
    maps[0, 1, 2], maps[1, 0, 3] = 1, 1
    mask = np.zeros((6, 8), dtype=bool)
    mask[:3, 6:] = True
    tags = [tag("dog"), tag("kite", 2.0)]
    page = plots.explorer(
        picture, ["the", "kite"], maps, alt="Noise.", masks=[None, mask], tags=tags, tag_weights=[[0.9, 0.1], [0, 1]]
    ).html
    rows = [re.findall(r"<t[hd][^>]*>(?:<bdi>)?(.*?)(?:</bdi>)?</t[hd]>", row) for row in page.split("<tr>")[1:]]
    assert rows == [
        ["word", "largest weight at", "peak on the object", "attention on the object", "tag read most"],
        ["the", "row 2, column 3", "not graded", "", "dog (90 %)"],
        ["kite", "row 1, column 4", "yes", "100 %", "kite (100 %)"],
    ]
    assert data_of(plots.Explorer(page))["tagShares"] == [[50, 88], [90, 10], [0, 100]]
    assert data_of(plots.Explorer(page))["first"] == 1  # which reads the tag that is the word itself


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: ascii(text[:12]))
def test_a_text_neither_adds_an_element_nor_changes_on_its_way(picture, maps, text):
    def page(text: str) -> Page:
        tags = [tag(text), tag("b")]
        figure = plots.explorer(
            picture, ["a", text, "b"], maps, alt=text, verdict=text, tags=tags, tag_weights=[[0.6, 0.4]] * 3
        )
        return Page(figure.html)

    harmless, hostile = page("word"), page(text)
    assert hostile.elements == harmless.elements
    written = text.replace("\ud800", "?")
    assert hostile.data["words"][1] == hostile.data["tags"][0] == hostile.data["alt"] == written


def test_a_figure_is_complete_in_itself_and_can_stand_on_a_page_twice(picture, maps):
    figure = plots.explorer(picture, WORDS, maps, alt="Noise.").html
    assert not ADDRESS.search(NAMESPACE.sub("", figure))
    names = {name for _, attributes in Page(figure).elements for name in attributes}
    assert not names & {"id", "src", "href", "onclick"}
    both = plots.beside(plots.Explorer(figure), plots.Explorer(figure)).html
    assert both.count(figure) == 2


def test_a_notebook_shows_the_figure_and_prints_no_address_of_an_object(picture, maps):
    figure = plots.explorer(picture, WORDS, maps, alt="Noise.")
    assert figure._repr_html_() == figure.html
    assert repr(figure) == "an attention explorer"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"words": ("a", "red")}, "2 words, but weights of shape"),
        ({"words": (), "weights": np.zeros((0, 2, 4))}, "0 words"),
        ({"weights": np.ones((3, 8))}, "give each word a map"),
        ({"weights": np.full((3, 2, 4), np.nan)}, "negative or not finite"),
        ({"weights": -np.ones((3, 2, 4))}, "negative or not finite"),
        ({"masks": [None]}, "3 words but 1 masks"),
        ({"tags": [tag("dog")]}, "give each word a weight for each tag"),
        ({"tag_weights": np.ones((3, 1))}, "3 words and 0 tags"),
        ({"image": np.zeros((6, 8, 3))}, "a picture is bytes"),
    ],
)
def test_what_cannot_be_drawn_is_refused(picture, maps, change, message):
    arguments = {"image": picture, "words": WORDS, "weights": maps, "alt": "Noise."} | change
    with pytest.raises(ValueError, match=message):
        plots.explorer(arguments.pop("image"), arguments.pop("words"), arguments.pop("weights"), **arguments)
