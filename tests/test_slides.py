"""The slides: what their cells draw and print is on them, their notes are apart, and they open without a network."""

import re
from pathlib import Path

import pytest
import torch

from tools.authoring import checks, slides

ROOT = Path(__file__).parents[1]
LECTURES = sorted(path.stem for path in slides.SOURCES.glob("*.md"))
MAX_WORDS = 75  # on a slide, its code and its output left out
MAX_COLUMNS = 66  # of code and output: more do not fit
MAX_LINES = 14

HEAD = "---\njupytext:\n  text_representation: {extension: .md, format_name: myst}\n---\n\n"
TOY = (
    HEAD
    + """# A toy & its title

By nobody

```{notes}
Say *hello*.
```

## First

```{code-cell} ipython3
:tags: [code]

x = 2 < 3
print(x, "<b>")
```

Some <i>text</i>.

## Second

```{code-cell} ipython3
---
mystnb:
  image:
    alt: A line "upwards".
---
from companion import plots

plots.curves([0, 1], {"a": [0, 1]})
print(x)
```

```{notes}
Only here.
```
"""
)


def build(folder: Path, text: str) -> tuple[str, str]:
    """Return the two pages of a lecture with this text."""
    source = folder / "toy.md"
    source.write_text(text)
    paths = slides.build(source, folder / "made")
    assert [path.name for path in paths] == ["toy.html", "toy_notes.html"]
    projected, with_notes = (path.read_text() for path in paths)
    return projected, with_notes


def parts(page: str) -> list[str]:
    """Return the slides of a page, in HTML."""
    return re.findall(r'<div class="slide".*?(?=</section>)', page, re.DOTALL)


def test_a_heading_begins_a_slide_and_a_cell_shows_what_it_prints_and_draws(tmp_path):
    first, second, third = parts(build(tmp_path, TOY)[0])
    assert "<h1>A toy &amp; its title</h1>" in first
    assert "x = 2 &lt; 3" in second
    assert '<pre class="output">True &lt;b&gt;</pre>' in second
    assert "Some &lt;i&gt;text&lt;/i&gt;." in second
    assert "plots.curves" not in third
    assert re.search(r'<img src="data:image/png;base64,[\w+/=]{1000,}" alt="A line &quot;upwards&quot;.">', third)
    assert "3 of 3" in third


def test_notes_are_on_the_speakers_page_alone(tmp_path):
    projected, with_notes = build(tmp_path, TOY)
    assert "Only here." not in projected
    assert "{notes}" not in with_notes
    assert [re.sub("<.*?>", "", part).strip().endswith("Only here.") for part in parts(with_notes)] == [0, 0, 1]


WRONG = {
    "text before": ("Hello.\n\n# A\n", "text before the first heading"),
    "cell before": ("```{code-cell} ipython3\nx = 1\n```\n\n# A\n", "stands before the first heading"),
    "failing": ("# A\n\n```{code-cell} ipython3\n1 / 0\n```\n", "cell 2: ZeroDivisionError: division by zero"),
    "no alt": (
        "# A\n\n```{code-cell} ipython3\nimport matplotlib.pyplot as plt\nplt.plot([1])\n```\n",
        "alternative text",
    ),
}


@pytest.mark.parametrize("label", WRONG)
def test_what_is_wrong_is_said_with_its_file_and_nothing_is_written(tmp_path, label):
    text, reason = WRONG[label]
    with pytest.raises(ValueError, match=reason) as error:
        build(tmp_path, HEAD + text)
    assert str(tmp_path / "toy.md") in str(error.value)
    assert not (tmp_path / "made").exists()


# -- the three lectures ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=LECTURES)
def lecture(request, tmp_path_factory):
    """The two pages of a lecture; what its cells set in PyTorch does not stay."""
    threads = torch.get_num_threads()
    paths = slides.build(slides.SOURCES / f"{request.param}.md", tmp_path_factory.mktemp(request.param))
    torch.set_num_threads(threads)
    torch.set_printoptions(profile="default")
    return [path.read_text() for path in paths]


def words(part: str) -> list[str]:
    text = re.sub(r"<pre.*?</pre>|<span.*?</span>|<.*?>", " ", part, flags=re.DOTALL)
    return text.split()


@pytest.mark.slow
def test_a_lecture_needs_no_network_no_script_and_no_other_file(lecture):
    for page in lecture:
        assert checks.network_requests(page) == []
        assert re.search(r"<script|<link|https?://", page) is None
        assert all(source.startswith("data:image/png;base64,") for source in re.findall(r'src="(.*?)"', page))
        for link in re.findall(r'href="(.*?)"', page):
            chapter = re.fullmatch(r"\.\./html/(book/\w+)\.html", link)
            assert chapter, link
            assert (ROOT / f"{chapter[1]}.ipynb").exists()


@pytest.mark.slow
def test_a_lecture_opens_with_a_forecast_and_closes_with_likely_mistakes(lecture):
    headings = re.findall(r"<h[12]>(.*?)</h[12]>", lecture[0])
    assert headings[1] == "Write down a forecast"
    assert any(heading.startswith("Your forecast:") for heading in headings[2:])
    assert re.fullmatch(r"Likely mistakes of A\d", headings[-2])
    assert headings[-1] == "Read, and do"


@pytest.mark.slow
def test_every_slide_has_notes_and_room(lecture):
    projected, with_notes = map(parts, lecture)
    assert len(projected) == len(with_notes) > 10
    for slide, noted in zip(projected, with_notes, strict=True):
        assert re.search(r'<div class="notes"><p>.{40}', noted, re.DOTALL)
        assert len(words(slide)) <= MAX_WORDS
        lines = [line for block in re.findall(r"<pre.*?</pre>", slide, re.DOTALL) for line in block.splitlines()]
        plain = [re.sub(r"<.*?>", "", line).replace("&quot;", '"').replace("&#x27;", "'") for line in lines]
        assert max(map(len, plain), default=0) <= MAX_COLUMNS
        assert len(lines) <= MAX_LINES
