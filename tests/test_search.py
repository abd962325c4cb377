"""`companion search`: hits in lines, JSON and HTML, errors of one line, and nothing of a name or caption is markup.

The captions are stubs: the words of the file's name. What the index does is tested in `test_index`.
"""

import base64
import io
import itertools
import json
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks import search as benchmark
from companion import cli
from companion.apps import Entry, Hit, Match
from companion.apps import index as index_module
from companion.apps.search import contact_sheet
from companion.decoding import Tag
from tests.captioners import captions_of_names
from tests.test_index import write

SCRIPT = "<img src=x onerror=alert(1)>"
TAG = Tag("horse", 2.0, True, (0.25, 0.25, 0.75, 0.75))


@pytest.fixture
def run(untrained_checkpoint, tmp_path, capsys, monkeypatch):
    """Run `companion search` with stub captions, in the folder above the pictures; return status, lines and errors."""
    monkeypatch.setattr(index_module, "caption_files", captions_of_names)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "album" / "b").mkdir(parents=True)
    for i, name in enumerate(("a dog runs.png", "a cat sleeps.png", "b/two dogs swim.png")):
        write(tmp_path / "album" / name, i)

    def command(*arguments):
        capsys.readouterr()
        try:
            status = cli.main(["search", "--checkpoint", str(untrained_checkpoint), *map(str, arguments)])
        except SystemExit as stop:
            status = stop.code
        out, err = capsys.readouterr()
        return status, out.splitlines(), err.splitlines()

    return command


class Page(HTMLParser):
    """The elements of a page with their attributes, and its text."""

    def __init__(self, page):
        super().__init__()
        self.elements, self.text = [], ""
        self.feed(page.decode())

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data

    def images(self):
        return [attributes for tag, attributes in self.elements if tag == "img"]


def pixels(attributes):
    data = attributes["src"].removeprefix("data:image/jpeg;base64,")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))).astype(int)


def hit(path, *, words=("a", "dog"), caption_words=(1,), tags=()):
    maps = torch.zeros(len(words), 2, 2)
    maps[:, 0, 0] = 1.0  # all attention in the upper left corner
    entry = Entry(path, " ".join(words), tuple(words), -2.0, None, False, (TAG,), maps)
    return Hit(entry, 1.5, caption_words, tags)


def test_hits_are_printed_best_first_with_the_words_that_match(run):
    status, lines, err = run("a running dog", "album")
    assert status == 0
    assert [line.rpartition(" [")[0] for line in lines] == [
        "album/a dog runs.png: a dog runs",
        "album/b/two dogs swim.png: two dogs swim",
    ]
    assert lines[0].endswith("; caption: dog runs]")
    assert err == ["companion: captioned 3, kept 0, removed 0"]
    assert run("a running dog", "album") == (0, lines, [])


def test_matches_in_tags_are_printed_as_such(run):
    _, lines, _ = run("cat horse", "album", "--limit", "2")
    assert [line.partition("; ")[2] for line in lines] == ["caption: cat; tags: horse]", "tags: horse]"]


def test_json_has_one_object_a_line(run):
    _, lines, _ = run("cat horse", "album", "--json", "--limit", "1")
    [record] = map(json.loads, lines)
    assert record["image"] == "album/a cat sleeps.png"
    assert (record["caption"], record["matched"]) == ("a cat sleeps", {"caption": ["cat"], "tags": ["horse"]})
    assert record["score"] > 0
    assert (record["log_probability"], record["probability"], record["sure"]) == (-2.0, None, None)


def test_the_contact_sheet_stands_alone_and_holds_a_figure_for_the_picture_and_each_match(run, tmp_path):
    status, _, err = run("dog horse", "album", "--html", "sheet.html")
    page = Page((tmp_path / "sheet.html").read_bytes())
    assert (status, err[-1]) == (0, "companion: wrote sheet.html")
    assert len(page.images()) == 3 + 2 + 3  # each hit, the word "dog" or "dogs" in two, the tag in three
    assert all(attributes["src"].startswith("data:image/jpeg;base64,") for attributes in page.images())
    assert all(attributes["alt"] for attributes in page.images())
    assert [attributes for _, attributes in page.elements if "href" in attributes] == []
    assert "two dogs swim" in page.text


def test_the_map_of_the_word_and_the_box_of_the_tag_are_drawn(tmp_path):
    Image.new("RGB", (300, 200), "white").save(tmp_path / "a.png")
    page = Page(contact_sheet("dog horse", tmp_path, [hit("a.png", tags=(0,))]))
    plain, coloured, boxed = map(pixels, page.images())
    assert plain.shape == (200, 300, 3)
    assert plain.min() > 250
    assert coloured[5, 5].min() < 80 < 140 < coloured[5, 5].max()
    assert coloured[-5, -5].min() > 240
    assert abs(boxed[51, 150] - (255, 140, 0)).max() < 60  # the upper side of the box
    assert boxed[100, 150].min() > 240


@pytest.mark.parametrize(
    "name", [f"{SCRIPT}.png", '" onload="x.png', "'><script>x.png", "&lt;b&gt;.png", "caf\udce9.png"]
)
def test_names_captions_and_queries_are_text_in_the_page(tmp_path, name):
    write(tmp_path / name, 3)
    found = hit(name, words=(SCRIPT, "dog"), caption_words=(0, 1))
    page = Page(contact_sheet(SCRIPT, tmp_path, [found]))
    assert {tag for tag, _ in page.elements} <= set(
        "html head meta title style body h1 h2 p bdi article mark figure img figcaption".split()
    )
    names = {name for _, attributes in page.elements for name in attributes}
    assert names <= {"lang", "charset", "http-equiv", "content", "name", "src", "alt", "width", "height"}
    assert len(page.images()) == 3
    assert name.encode("utf-8", "backslashreplace").decode() in page.text
    assert page.text.count(SCRIPT) >= 4  # title, heading, caption, its figure


def test_a_picture_that_is_gone_leaves_its_reason_in_the_page(tmp_path):
    page = Page(contact_sheet("dog", tmp_path, [hit("gone.png")]))
    assert page.images() == []
    assert "there is no such file" in page.text


def test_a_damaged_picture_is_named_and_the_others_are_found(run, tmp_path):
    write(tmp_path / "album" / "bad.png", 9)
    status, lines, err = run("dog", "album")
    assert (status, len(lines)) == (1, 2)
    assert "companion: album/bad.png: it is not a picture" in err


def test_a_name_that_would_garble_the_terminal_is_printed_in_one_line(run, tmp_path):
    write(tmp_path / "album" / "a\nbird \x1b[31m.png", 9)
    _, lines, _ = run("bird", "album")
    assert [line.partition(": ")[0] for line in lines] == [r"album/a\nbird \x1b[31m.png"]


def test_what_cannot_be_found_is_said(run, tmp_path):
    assert run("zebra", "album")[0::2] == (
        0,
        ["companion: captioned 3, kept 0, removed 0", "companion: no caption and no tag has one of the words"],
    )
    (tmp_path / "empty").mkdir()
    assert run("dog", "empty") == (1, [], ["companion: empty: there is no picture in this folder"])


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["!?", "album"], 1, "there is no word in the query '!?'"),
        (["dog", "nowhere"], 1, "nowhere: there is no such folder"),
        (["dog", "album", "--html", "none/sheet.html"], 1, "choose another name"),
        (["dog", "album", "--html", "album/a dog runs.png"], 2, "does not end in .html"),
        (["dog", "album", "--limit", "0"], 2, "--limit"),
        (["dog"], 2, "FOLDER"),
        (["dog", "album", "--checkpoint", "nowhere"], 1, "no card.json here"),
    ],
)
def test_a_wrong_call_is_one_line_and_nothing_is_captioned(run, tmp_path, monkeypatch, arguments, status, message):
    monkeypatch.setattr(index_module, "caption_files", None)
    found = run(*arguments)
    assert (found[0], found[1], len(found[2])) == (status, [], 1)
    assert message in found[2][0]


def test_the_help_says_what_it_must_not_be_used_for(run):
    status, lines, _ = run("--help")
    assert status == 0
    assert "identifying persons" in " ".join(" ".join(lines).split())


def test_the_benchmark_counts_equal_scores_and_pictures_without_a_match_as_in_random_order():
    """The witness is every order of five pictures that their scores allow."""
    scores = [{0: 2.0, 1: 2.0, 2: 3.0}, {1: 1.0}, {0: 1.0, 3: 1.0}, dict.fromkeys(range(5), 1.0), {}]
    found = [[Match(number, score, (), ()) for number, score in each.items()] for each in scores]
    ranked = benchmark.ranks(found)
    for number, each in enumerate(scores):
        orders = [
            order
            for order in itertools.permutations(range(5))
            if all(each.get(a, 0) >= each.get(b, 0) for a, b in itertools.pairwise(order))
        ]
        places = [order.index(number) + 1 for order in orders]
        assert ranked.expected()[number] == pytest.approx(np.mean(places))
        for k in (1, 2, 5):
            assert ranked.recall(k)[number] == pytest.approx(np.mean([place <= k for place in places]))
