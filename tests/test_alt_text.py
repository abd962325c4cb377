"""Alternative texts: nothing of a person's is replaced, nothing else of a page changes, and nobody is told apart."""

import html
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from urllib.parse import urlencode

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from benchmarks import alt_text as benchmark
from companion import checkpoints, cli
from companion.apps import alt_html, alt_images, alt_markdown, alt_pages, alt_review, alt_text, alt_wording
from companion.apps.alt_text import Assistant, Decision
from companion.decoding import Caption
from companion.metrics.calibration import Confidence
from companion.models import build
from companion.vocabulary import SPECIALS, Vocabulary
from tests.captioners import untrained

ATTACK = "<img src=x onerror=alert(1)>.jpg"

# --- wording ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("a man and a woman are walking", "two people are walking"),
        ("a young man in an orange shirt is riding his bike", "a person in an orange shirt is riding their bike"),
        ("an old woman with her dog", "a person with their dog"),
        ("a little girl in a pink dress", "a person in a pink dress"),
        ("two young boys and a girl play", "three people play"),
        ("a man a woman and a boy", "three people"),
        ("a group of men and women", "a group of people"),
        ("a mother and her child", "two people"),
        ("a man and another man", "two people"),
        ("two smiling men and a woman", "two smiling people and a person"),
        ("a man is smiling as he holds a fish", "a person is smiling as they hold a fish"),
        ("a boy holds her", "a person holds them"),
        ("the man's hat", "the person's hat"),
        ("an elderly asian man", "a person"),
        ("a black dog and a black man", "a black dog and a person"),
        ("a male athlete runs", "an athlete runs"),
        ("a female in a red coat", "a person in a red coat"),
        ("a policeman on a horse", "a police officer on a horse"),
        ("a baby sleeping on a bed", "a person sleeping on a bed"),
        ("a baby elephant", "a baby elephant"),
        ("a person in a cowboy hat", "a person in a cowboy hat"),
        ("a dog chasing his ball", "a dog chasing his ball"),
        ("an old car", "an old car"),
        ("a group of people in the snow", "a group of people in the snow"),
        ("", ""),
    ],
)
def test_a_neutral_caption_tells_no_gender_age_or_origin_and_is_grammatical(caption, expected):
    assert alt_wording.neutral(caption) == expected


@pytest.mark.parametrize(
    ("nearby", "expected"),
    [
        ("", "A person holds their dog."),
        ("A WOMAN and her dog, 2024.", "A woman holds her dog."),
        ("Women of the club.", "A woman holds her dog."),
        ("A man and his dog.", "A person holds their dog."),
        ("The girl next door.", "A person holds their dog."),
    ],
)
def test_what_the_page_says_may_be_said(nearby, expected):
    assert alt_wording.alt_text("a picture of a woman holds her dog", nearby) == expected


@settings(deadline=None)
@given(st.lists(st.sampled_from(sorted(alt_wording.PERSONS) + "a an the and of in red dog he his is runs".split())))
def test_whatever_the_order_of_the_words_no_word_for_a_person_is_left(words):
    left = set(alt_wording.neutral(" ".join(words)).split()) & set(alt_wording.PERSONS)
    assert left <= {"baby", "child", "cowboy", "cowgirl"}  # the dog's: a baby dog
    assert "dog" in words or not left


# --- pages --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        ("<p>x<IMG SRC=a.png>", [("a.png", "")]),
        ("<img src='a b.png' width=100>", [("a b.png", "")]),
        ('<img src="a.png" alt="">', [("a.png", alt_html.DECORATIVE)]),
        ("<img src=a.png alt>", [("a.png", alt_html.DECORATIVE)]),
        ('<img src="a.png" ALT="A dog.">', [("a.png", alt_html.HAS_TEXT)]),
        ('<img src="a.png"alt="A dog.">', [("a.png", alt_html.HAS_TEXT)]),
        ('<img src="a.png" aria-labelledby="x">', [("a.png", alt_html.HAS_TEXT)]),
        ('<img src="a.png" role="presentation">', [("a.png", alt_html.DECORATIVE)]),
        ('<div aria-hidden="true"><img src="a.png"></div>', [("a.png", alt_html.HIDDEN)]),
        ('<img src="t.gif" width="1" height="1px">', [("t.gif", alt_html.A_PIXEL)]),
        ("<template><img src=a.png></template>", [("a.png", alt_html.TEMPLATE)]),
        ('<a href="x"><b><img src="a.png"></b></a>', [("a.png", alt_html.IN_LINK)]),
        ('<a name="x"><img src="a.png"></a>', [("a.png", "")]),
        ("<button><img src=a.png></button>", [("a.png", alt_html.IN_LINK)]),
        ('<img src="a.png" :alt="name">', [("a.png", alt_html.UNCLEAR)]),
        ("<img>", [("", alt_html.NO_ADDRESS)]),
        ('<img srcset="a.png 1x, b.png 2x">', [("a.png", "")]),
        ('<picture><source srcset="a.webp"><source srcset="b.webp"><img></picture>', [("a.webp", "")]),
        ('<img src="data:image/gif;base64,R0" data-src="a.png">', [("a.png", "")]),
        ("<!-- <img src=a.png> --><script>'<img src=a.png>'</script><style>/*<img>*/</style>", []),
        ("<title><img src=a.png></title><textarea><img src=a.png></textarea>", []),
        ("a < b <3 <img src=a.png", []),
    ],
)
def test_the_images_of_html(page, expected):
    images = alt_html.find_html_images(page).images
    assert [(image.address, image.left_alone or image.for_human) for image in images] == expected
    assert all(page[: image.offset].lower().endswith("<img") for image in images)


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        (
            "![](a.png) ![ ](b.png 'title') ![A dog](c.png)",
            [("a.png", ""), ("b.png", ""), ("c.png", alt_html.HAS_TEXT)],
        ),
        ("![](<a b.png>) ![](a%20b_(1).png)", [("a b.png", ""), ("a%20b_(1).png", "")]),
        ("![][Ref] ![][none]\n\n[ref]: a.png 'title'", [("a.png", "")]),
        ("[![](a.png)](x.html) [see ![](b.png) here][x]", [("a.png", alt_html.IN_LINK), ("b.png", alt_html.IN_LINK)]),
        ("[1] ![](a.png) [2](x)", [("a.png", "")]),
        ("`![](a.png)` ``a ` ![](b.png)`` \\![](c.png) \\\\![](d.png)", [("d.png", "")]),
        ("```\n![](a.png)\n```\n![](b.png)\n~~~~ md\n![](c.png)\n~~~\n![](d.png)", [("b.png", "")]),
        ("text\n\n    ![](code.png)\n\n- item\n\n    ![](a.png)", [("a.png", "")]),
        ("<!-- ![](a.png) -->\n<pre>![](b.png)</pre>", []),
        ("![](a.png) <img src=b.png> `<img src=c.png>`", [("a.png", ""), ("b.png", "")]),
        ("![not\n\nclosed](a.png)", []),
    ],
)
def test_the_images_of_markdown(tmp_path, page, expected):
    (tmp_path / "page.md").write_text(page)
    images = alt_pages.read_page(tmp_path / "page.md").images
    assert [(image.address, image.left_alone or image.for_human) for image in images] == expected


def test_what_is_near_an_image_is_its_paragraph_figure_and_title(tmp_path):
    page = (
        "<p>one <img src=a.png> two<p>three<figure><img src=b.png title='T'><figcaption>four</figcaption></figure>five"
    )
    page += "<ul><li>six<img src=c.png><li>seven</ul><div>eight<img src=d.png></div>"
    near = [" ".join(image.nearby.split()) for image in alt_html.find_html_images(page).images]
    assert near == ["one two", "T four", "six", ""]
    (tmp_path / "page.md").write_text("one\n\ntwo ![](a.png 'T') three\n\nfour")
    [image] = alt_pages.read_page(tmp_path / "page.md").images
    assert image.nearby.split() == ["two", "three", "'T'"]


PIECES = [
    "<p>", "</p>", "text é 漢 < & ", "\r\n", "\n", "<img src=a.png>", "<IMG\n  src='b.png'\n>",
    "<img src=c.png alt='>'>", "<!-- <img src=d.png> -->", "<script>'<img>'</script>", "<a href=x>", "</a>",
    "<img src=e.png/>", '<div x="<img>">',
]  # fmt: skip


@settings(deadline=None)
@given(st.lists(st.sampled_from(PIECES)), st.text(max_size=30))
def test_a_text_goes_into_its_image_and_the_rest_of_the_page_stays(pieces, text):
    source = "".join(pieces)
    page = alt_pages.Page(Path("x.html"), source, "utf-8", *alt_html.find_html_images(source))
    texts = {i: text for i, image in enumerate(page.images) if not image.left_alone}
    text = text.encode("utf-8", "ignore").decode()
    texts = dict.fromkeys(texts, text)
    copy = alt_pages.insert_texts(page, texts).decode()
    assert copy.replace(f' alt="{html.escape(text)}"', "") == source.replace(f' alt="{html.escape(text)}"', "")
    again = alt_html.find_html_images(copy).images
    assert [image.address for image in again] == [image.address for image in page.images]
    assert {image.left_alone for image in again} <= {alt_html.HAS_TEXT, alt_html.DECORATIVE}


@settings(deadline=None)
@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1).filter(lambda text: text.split()))
def test_whatever_a_text_is_it_stays_a_text_in_markdown(text):
    source = "before ![](a.png) [x](y) after"
    page = alt_pages.Page(Path("x.md"), source, "utf-8", alt_markdown.find_markdown_images(source), "")
    copy = alt_pages.insert_texts(page, {0: text}).decode()
    assert re.fullmatch(r"before !\[(?:[^\[\]\\\n<>*_`]|\\.)+\]\(a\.png\) \[x\]\(y\) after", copy)


@pytest.mark.parametrize(
    ("encoding", "head"),
    [
        ("utf-8", ""), ("utf-8-sig", ""), ("utf-16", ""), ("cp1252", ""), ("cp1252", "<meta charset=ISO-8859-1>"),
        ("gb18030", '<meta http-equiv=Content-Type content="text/html; charset=gb18030">'),
        ("shift_jis", "<meta charset='shift_jis'>"), ("iso2022_jp", "<meta charset=iso-2022-jp>"),
        ("koi8_r", '<?xml version="1.0" encoding="koi8-r"?>'),
    ],
)  # fmt: skip
def test_every_byte_outside_the_new_text_stays_in_every_encoding(tmp_path, encoding, head):
    words = {"cp1252": "Größe", "koi8_r": "Привет"}.get(encoding, "漢字表示ソ")
    data = f"{head}\r\n<p>{words}</p><img src='a.png'>{words}\r".encode(encoding)
    (tmp_path / "page.html").write_bytes(data)
    page = alt_pages.read_page(tmp_path / "page.html")
    assert words in page.text
    copy = alt_pages.insert_texts(page, {0: "A café 猫."})
    begin = data.index("<img".encode(encoding.replace("utf-16", "utf-16-le").removesuffix("-sig"))) + len(
        "<img".encode(encoding.replace("utf-16", "utf-16-le").removesuffix("-sig"))
    )
    assert copy[:begin] == data[:begin]
    assert copy.endswith(data[begin:])
    (tmp_path / "copy.html").write_bytes(copy)
    again = alt_pages.read_page(tmp_path / "copy.html").text
    assert "A café 猫." in html.unescape(again)


def test_bytes_that_are_not_of_the_encoding_stay_too(tmp_path):
    data = b"<meta charset=utf-8>\xff\xfe\x80<img src=a.png>\xc3"
    (tmp_path / "page.html").write_bytes(data)
    copy = alt_pages.insert_texts(alt_pages.read_page(tmp_path / "page.html"), {0: "x"})
    assert copy == data.replace(b"<img", b'<img alt="x"')


@pytest.mark.parametrize("declared", ["hex", "nonsense", "utf-16"])
def test_a_page_that_declares_what_is_no_encoding_is_read_as_utf_8(tmp_path, declared):
    data = f"<meta charset={declared}><img src=a.png>é".encode()
    (tmp_path / "page.html").write_bytes(data)
    page = alt_pages.read_page(tmp_path / "page.html")
    assert page.text.endswith("é")
    assert alt_pages.insert_texts(page, {}) == data


def test_a_page_that_could_not_be_written_back_is_refused(tmp_path):
    (tmp_path / "page.html").write_bytes(b"<meta charset=utf-7>+AGE-<img src=a.png>")  # "a" by a longer way
    with pytest.raises(ValueError, match="does not fit its bytes"):
        alt_pages.read_page(tmp_path / "page.html")


# --- addresses ----------------------------------------------------------------------------------------------------


def find(folder, address, base=""):
    page = alt_pages.Page(folder / "site" / "sub" / "page.html", "", "utf-8", [], base)
    return alt_images.image_file(address, page, root=folder / "site", scratch=folder / "scratch")


@pytest.fixture
def site(tmp_path):
    for name in ("site/sub", "scratch"):
        (tmp_path / name).mkdir(parents=True)
    return tmp_path


@pytest.mark.parametrize(
    ("address", "base", "file"),
    [
        ("a.png", "", "sub/a.png"),
        ("./a%20b.png?v=2#top", "", "sub/a b.png"),
        ("../a.png", "", "a.png"),
        ("/a.png", "", "a.png"),
        ("a.png", "images/", "sub/images/a.png"),
        ("猫 %F0%9F%90%88.png", "", "sub/猫 🐈.png"),
    ],
)
def test_an_address_leads_to_a_file(site, address, base, file):
    assert os.path.realpath(find(site, address, base)) == os.path.realpath(site / "site" / file)


@pytest.mark.parametrize(
    ("address", "base"),
    [
        ("https://example.org/a.png", ""), ("//example.org/a.png", ""), ("a.png", "https://example.org/"),
        ("file:///etc/passwd", ""), ("../../etc/a.png", ""), ("..%2f..%2f..%2fetc/a.png", ""), ("/../../a.png", ""),
        ("link/a.png", ""), ("blob:x", ""),
    ],
)  # fmt: skip
def test_nothing_remote_and_nothing_outside_the_folder_is_opened(site, address, base):
    (site / "site" / "sub" / "link").symlink_to(site)
    with pytest.raises(alt_images.OutsideError):
        find(site, address, base)


@pytest.mark.parametrize("address", ["a%00.png", "data:,", "data:image/png;base64,A", "http://[x", "data:image/png"])
def test_an_address_that_cannot_be_read_is_an_error_of_one_line(site, address):
    with pytest.raises(ValueError, match=r"^[^\n]+$"):
        find(site, address)


def test_a_data_address_is_the_file_that_it_holds(site):
    file = find(site, "data:text/plain;base64,aGV s\nbG8")
    assert file.read_bytes() == b"hello"
    assert find(site, "DATA:,hello") == file
    assert file.parent == site / "scratch"


# --- proposals ----------------------------------------------------------------------------------------------------


class Stub:
    """Stands for a captioner whose caption of a file is its name: `a_cat.png` is "a cat", surer the more words."""

    image_size = 8

    def caption_files(self, captioner, paths, beam):
        for path in paths:
            words = tuple(re.sub(r"\W+|_", " ", path.stem).split())
            known = path.exists() and path.stat().st_size
            yield path, Caption(words, -6.0, torch.zeros(len(words), 1)) if known else ValueError(f"{path}: damaged")


@pytest.fixture
def assistant(tmp_path, monkeypatch):
    """An assistant for pages in `tmp_path`, sure of captions of three words and more."""
    monkeypatch.setattr(alt_text, "caption_files", Stub().caption_files)
    (tmp_path / ".scratch").mkdir()
    sure = Confidence(bias=2.0, word_log_prob=1.0, agreement=0.0, threshold=0.5)  # log-odds 2 - 6 / (words + 1)
    return Assistant(untrained(), sure, root=tmp_path, scratch=tmp_path / ".scratch")


def add_image(file, size=(4, 4)):
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, "red").save(file, "PNG")


def read(folder, text, name="page.html"):
    (folder / name).write_text(text, encoding="utf-8")
    return alt_pages.read_page(folder / name)


def test_every_image_has_its_decision(tmp_path, assistant):
    for name in ("a_young_man_runs.png", "cat.png"):
        add_image(tmp_path / name)
    add_image(tmp_path / "spacer.png", (1, 9))
    (tmp_path / "broken.png").touch()
    page = read(
        tmp_path,
        "<img src=a_young_man_runs.png><p>A man.<img src=a_young_man_runs.png></p><img src=cat.png><img src=spacer.png>"
        "<img src=broken.png><img src=//x/y.png><img src=../z.png><img src=cat.png alt=''>"
        "<a href=x><img src=cat.png></a>",
    )
    proposals = assistant.propose(page)
    assert [(each.decision, each.text) for each in proposals] == [
        (Decision.PROPOSED, "A person runs."),
        (Decision.PROPOSED, "A man runs."),
        (Decision.NOT_SURE, "Cat."),
        (Decision.LEFT_ALONE, ""),
        (Decision.UNREADABLE, ""),
        (Decision.FOR_HUMAN, ""),
        (Decision.FOR_HUMAN, ""),
        (Decision.LEFT_ALONE, ""),
        (Decision.FOR_HUMAN, ""),
    ]
    assert proposals[0].confidence == pytest.approx(1 / (1 + 2.718281828 ** -(2 - 6 / 5)))
    assert [bool(each.reason) for each in proposals] == [False, False] + [True] * 7
    assert list(alt_text.chosen_texts(proposals)) == [0, 1]


def test_without_a_known_confidence_no_text_is_sure(tmp_path, assistant):
    add_image(tmp_path / "a_red_square_and_more.png")
    assistant.confidence = None
    [proposal] = assistant.propose(read(tmp_path, "<img src=a_red_square_and_more.png>"))
    assert (proposal.decision, proposal.confidence) == (Decision.NOT_SURE, None)


def test_a_caption_without_words_does_not_make_an_image_decorative(tmp_path, assistant):
    add_image(tmp_path / "_.png")
    [proposal] = assistant.propose(read(tmp_path, "<img src=_.png>"))
    assert proposal.decision is Decision.FOR_HUMAN


def test_an_image_is_captioned_once_for_all_pages(tmp_path, assistant, monkeypatch):
    asked = []
    monkeypatch.setattr(
        alt_text, "caption_files", lambda *given: asked.extend(given[1]) or Stub().caption_files(*given)
    )
    add_image(tmp_path / "a_b_c.png")
    for name in ("one.html", "two.html"):
        page = read(tmp_path, "<img src=a_b_c.png><img src=./a_b_c.png>", name)
        assert [each.text for each in assistant.propose(page)] == ["A b c."] * 2
    assert len(asked) == 1


def test_a_copy_is_new_and_the_page_stays(tmp_path, assistant):
    page = read(tmp_path, "<img src=a.png>")
    copy = alt_text.copy_path(page.path, page.path)
    assert copy == tmp_path / "page.alt.html"
    alt_text.write_copy(page, {0: "x"}, copy)
    assert (tmp_path / "page.html").read_text() == "<img src=a.png>"
    with pytest.raises(ValueError, match="is there already"):
        alt_text.write_copy(page, {0: "y"}, copy)
    assert copy.read_text() == '<img alt="x" src=a.png>'
    dangling = tmp_path / "dangling.html"
    dangling.symlink_to(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="is there already"):
        alt_text.write_copy(page, {0: "y"}, dangling)


def test_pages_are_found_and_copies_and_hidden_ones_are_not(tmp_path):
    names = ("b.html", "a.MD", "sub/c.htm", "b.alt.html", ".hidden/d.html", ".e.html", "f.txt", "copies/g.html")
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = alt_text.find_pages(tmp_path, [tmp_path / "copies"])
    assert [path.relative_to(tmp_path).as_posix() for path in found] == ["a.MD", "b.html", "sub/c.htm"]


# --- review -------------------------------------------------------------------------------------------------------


@contextmanager
def serving(*reviewed):
    """Run the review in a thread; yield the server."""
    with alt_review.ReviewServer(list(reviewed)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join(10)


def ask(server, method="GET", path=None, *, form=None, **headers):
    """Send a request as it is and return status, headers and body."""
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    body = urlencode(form) if form is not None else None
    connection.putrequest(method, f"/{server.secret}/" if path is None else path, skip_host=True)
    for name, value in ({"Host": server.host, "Content-Length": str(len(body or ""))} | headers).items():
        if value is not None:
            connection.putheader(name, value)
    connection.endheaders(body.encode() if body else None)
    response = connection.getresponse()
    return response.status, response.headers, response.read()


@pytest.fixture
def reviewed(tmp_path, assistant, monkeypatch):
    """A page with a picture that is an attack by its name and by its caption, and one on another machine."""
    add_image(tmp_path / ATTACK)
    caption = Caption((ATTACK,), -1.0, torch.zeros(1, 1))
    monkeypatch.setattr(alt_text, "caption_files", lambda _, paths, beam: [(path, caption) for path in paths])
    source = f'<img src="{html.escape(ATTACK)}"><img src=//example.org/x.png>'
    page = read(tmp_path, source, "page <b>.html")
    return alt_review.Reviewed(page, assistant.propose(page), tmp_path / "copy.html")


def test_the_review_shows_names_and_captions_as_text(reviewed):
    with serving(reviewed) as server:
        status, headers, body = ask(server)
        assert status == 200
        assert server.server_address[0] == "127.0.0.1"
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        text = body.decode()
        assert "onerror" in text
        assert re.findall(r"<img[^>]*>", text) == ['<img src="image/0/0" alt="the image in question">']
        assert "<b>" not in text
        assert html.escape(ATTACK) in text
        status, headers, body = ask(server, path=f"/{server.secret}/image/0/0")
        assert (status, headers["Content-Type"], body[:2]) == (200, "image/jpeg", b"\xff\xd8")


@pytest.mark.parametrize(
    "path", ["image/0/1", "image/0/9", "image/9/0", "image/../0", "image/-1/0", "image", "x", "save"]
)
def test_there_is_nothing_else_to_be_had(reviewed, path):
    with serving(reviewed) as server:
        assert ask(server, path=f"/{server.secret}/{path}")[0] == 404


@pytest.mark.parametrize(
    "wrong",
    [
        {"Host": "evil.example"}, {"Host": "localhost"}, {"Host": None}, {"Host": "evil.example:80"},
        {"Origin": "http://evil.example"}, {"Origin": "null"}, {"Origin": "http://127.0.0.1:1"},
        {"path": "/save"}, {"path": "/wrong/save"}, {"path": "save"}, {"path": "/é/save"},
    ],
    ids=str,
)  # fmt: skip
def test_foreign_requests_are_refused_and_change_nothing(reviewed, wrong):
    with serving(reviewed) as server:
        path = wrong.get("path", f"/{server.secret}/save").encode("utf-8").decode("latin-1").replace("Ã©", "%C3%A9")
        headers = {name: value for name, value in wrong.items() if name != "path"}
        form = {"choice-0-0": "text", "text-0-0": "x"}
        assert ask(server, "POST", path, form=form, **headers)[0] == 403
        if "path" not in wrong:
            assert ask(server, **headers)[0] == 403
        assert not reviewed.copy.exists()
        assert ask(server)[0] == 200


def test_a_review_writes_what_was_chosen_and_corrected(reviewed):
    with serving(reviewed) as server:

        def save(**form):
            fields = {name.replace("_", "-"): value for name, value in form.items()}
            own = f"http://{server.host}"
            return ask(server, "POST", f"/{server.secret}/save", form=fields, Origin=own)[2].decode()

        proposed = reviewed.proposals[0].text
        assert "nothing was chosen" in save(choice_0_0="leave", text_0_0=proposed, choice_0_1="leave", text_0_1="")
        assert not reviewed.copy.exists()
        assert "wrote" in save(choice_0_0="text", text_0_0='A "dog" <b> & \n cat.', choice_0_1="decorative")
        before = reviewed.page.path.read_text()
        escaped = "A &quot;dog&quot; &lt;b&gt; &amp; cat."
        assert reviewed.copy.read_text() == before.replace("<img", f'<img alt="{escaped}"', 1).replace(
            "><img", '><img alt=""'
        )
        assert "wrote" in save(choice_0_0="leave", text_0_0="Corrected.")
        assert reviewed.copy.read_text() == before.replace("<img", '<img alt="Corrected."', 1)
        reviewed.copy.write_text("changed by hand")
        assert "is there already" in save(choice_0_0="text", text_0_0="Again.")
        assert reviewed.copy.read_text() == "changed by hand"


def test_a_form_without_a_length_or_too_long_is_refused(reviewed):
    with serving(reviewed) as server:
        for length in (None, "-1", str(10**9), "x"):
            assert ask(server, "POST", f"/{server.secret}/save", **{"Content-Length": length})[0] == 400


def test_the_button_ends_the_review(reviewed):
    with alt_review.ReviewServer([reviewed]) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        assert b"has ended" in ask(server, "POST", f"/{server.secret}/end", form={})[2]
        thread.join(10)
        assert not thread.is_alive()


# --- the command --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A checkpoint of a small captioner that has learnt nothing, with a card that is sure of everything."""
    folder = tmp_path_factory.mktemp("model")
    torch.manual_seed(1)
    captioner = build("photos", Vocabulary([*SPECIALS, *"a man dog runs on the grass".split()]), "tiny")
    with torch.no_grad():
        captioner.decoder.output_proj.bias[Vocabulary.end] = -1.0
    sure = Confidence(bias=9.0, word_log_prob=0.0, agreement=0.0, threshold=0.5)._asdict()
    checkpoints.save(captioner, folder, {"minutes": 0, "confidence": sure})
    return str(folder)


NAMES = ["plain.png", "two words.png", "quo\"te's.png", "猫🐈.png", "new\nline.png", ATTACK]


@pytest.fixture
def folder(tmp_path):
    """A folder with a page of pictures with difficult names, a damaged one and one that is no picture."""
    for name in NAMES:
        add_image(tmp_path / "pages" / "img" / name)
    (tmp_path / "pages" / "img" / "bad.png").write_bytes(b"no picture")
    escaped = [f"img/{name}".replace("%", "%25").replace("\n", "%0A").replace("?", "%3F") for name in NAMES]
    tags = "".join(f'<img src="{html.escape(name)}">\n' for name in escaped)
    (tmp_path / "pages" / "a b.html").write_text(
        f"{tags}<img src=img/bad.png><img src=x alt='Mine.'>", encoding="utf-8"
    )
    (tmp_path / "pages" / "b.md").write_text("![](img/plain.png)")
    return tmp_path / "pages"


def test_the_command_writes_copies_and_lists_the_rest(folder, model, capsys):
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert cli.main(["alt", str(folder), "--checkpoint", model]) == 1  # one picture cannot be read
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == len(NAMES) + 2
    assert "unreadable" in out
    assert "bad.png" in out
    assert "6 proposed, 1 unreadable, 1 left alone" in err
    copy = (folder / "a b.alt.html").read_text(encoding="utf-8")
    assert len(re.findall(r'<img alt="[A-Z][^"<>]*\."', copy)) == len(NAMES)
    assert not re.search(r"\bman\b", copy.lower().replace("human", ""))
    assert re.fullmatch(r"!\[[A-Z].*\.\]\(img/plain.png\)", (folder / "b.alt.md").read_text())
    assert {path: path.read_bytes() for path in before} == before
    assert sorted(set(folder.rglob("*")) - set(before)) == sorted(
        [folder / "a b.alt.html", folder / "b.alt.md", folder / "img"]
    )
    assert cli.main(["alt", str(folder), "--checkpoint", model]) == 1
    assert capsys.readouterr().err.count("is there already") == 2


def test_the_command_prints_json_and_writes_where_it_is_told(folder, model, tmp_path, capsys):
    out = tmp_path / "copies"
    assert cli.main(["alt", str(folder), "--out", str(out), "--json", "--checkpoint", model]) == 1
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(records) == len(NAMES) + 3
    assert {record["decision"] for record in records} == {"proposed", "unreadable", "left alone"}
    assert sorted(path.name for path in out.iterdir()) == ["a b.html", "b.md"]
    one = tmp_path / "one.md"
    assert cli.main(["alt", str(folder / "b.md"), "--out", str(one), "--checkpoint", model]) == 0
    assert one.read_text() == (out / "b.md").read_text()


@pytest.mark.parametrize(
    "rest", [["none.html"], ["x.txt"], ["empty"], ["empty", "--out", "empty"], ["p.md", "--out", "no/x"]]
)
def test_a_call_that_cannot_be_done_is_one_line(tmp_path, monkeypatch, capsys, rest):
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    Path("p.md").write_text("![](x.png)")
    assert cli.main(["alt", *rest]) == 1
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)


def test_review_and_json_do_not_go_together(capsys):
    with pytest.raises(SystemExit, match="2"):
        cli.main(["alt", "x.html", "--review", "--json"])


def test_the_help_says_what_it_is_not_for(capsys):
    with pytest.raises(SystemExit, match="0"):
        cli.main(["alt", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    for words in ("publishing unread", "who persons are", "medical, legal or safety"):
        assert words in text


@pytest.mark.slow
def test_ctrl_c_ends_the_review(folder, model):
    command = [sys.executable, "-m", "companion.cli", "alt", str(folder / "b.md"), "--review", "--checkpoint", model]
    # Programs in the background of a shell are deaf to Ctrl-C, and so are those that they start.
    hears = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, preexec_fn=hears
    ) as process:
        assert process.stderr is not None
        line = next(line for line in process.stderr if "http://127.0.0.1:" in line)
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
        assert process.wait(30) == 0
    assert "ends the review" in line
    assert "Traceback" not in rest
    assert not (folder / "b.alt.md").exists()


# --- the stored measurement ---------------------------------------------------------------------------------------


def test_the_stored_measurement_is_complete_and_its_counts_agree():
    stored = json.loads(benchmark.RESULTS.read_text())
    sets = [stored["scenes"][split] for split in ("validation", "test", "compositional")]
    for each in [*sets, stored["flickr8k"], stored["everyday"]]:
        assert len(each["word_log_prob"]) == len(each["agreement"]) == len(each["is_right"]) == each["captions"]
        assert each["right"] == pytest.approx(sum(each["is_right"]) / each["captions"], abs=1e-4)
        curve = each["probability a word"]["reliability"]
        assert sum(row[2] for row in curve) == each["captions"]
        raw = [2.718281828**x for x in each["word_log_prob"]]
        assert sum(row[2] * row[3] for row in curve) == pytest.approx(sum(raw), rel=1e-3)
    for name in ("flickr8k", "everyday"):  # a few may be left, such as in "a baby elephant"
        assert stored[name]["wording"]["still_with_a_word_for_a_person"] <= stored[name]["captions"] / 20
    assert stored["weights"] == {name: checkpoints.card(name)["sha256"] for name in stored["weights"]}


def test_what_is_fitted_on_one_half_is_measured_on_the_other():
    """Captions in the even places are right and those in the odd ones wrong, so each half teaches the other wrongly."""
    captions = [Caption(("a",), -1.0, torch.zeros(1, 1)) for _ in range(40)]
    right = [i % 2 == 0 for i in range(40)]
    crossed = benchmark.measure_crossed(captions, right)
    assert crossed["expected_calibration_error"] > 0.9
    whole = benchmark.measure_with(benchmark.calibration.fit(captions, right), captions, right)
    assert whole["expected_calibration_error"] < 0.01
    assert whole["sure"] == 1
    assert whole["right_of_sure"] == 0.5
