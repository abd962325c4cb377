"""The pages and the learner notebooks: the same numbers, the buttons, the archive, and what Colab fetches."""

import base64
import io
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
from nbformat.v4 import new_output
from PIL import Image

from tools import learner_links
from tools.authoring import colab, contents, learner
from tools.authoring.paired import notebook_path, read_paired_text

ROOT = Path(__file__).resolve().parents[1]
BUILT = ROOT / "_build" / "html"

CONFIG = """
extensions = ["myst_nb", "sphinx_exercise", "sphinx_external_toc", "sphinx_multitoc_numbering"]
html_secnumber_suffix = " · "
numfig_format = {"figure": "Figure %s"}
nb_execution_mode = "off"
exclude_patterns = ["text"]
"""
HEADER = "---\nkernelspec:\n  display_name: Python 3\n  language: python\n  name: python3\n---\n\n"
TOC = """
format: jb-book
root: index
parts:
  - caption: A
    numbered: 1
    chapters: [{file: first}, {file: third}]
  - caption: B
    numbered: 1
    chapters: [{file: second}]
  - caption: Back
    chapters: [{file: other}]
"""
BUFFER = io.BytesIO()
Image.new("RGB", (2, 2)).save(BUFFER, "png")
PNG = base64.b64encode(BUFFER.getvalue()).decode()
EXERCISE = "```{{exercise}} Title\n:label: {0}\n\nText.\n```\n\nSee {{ref}}`{0}`.\n"
FIGURE = """
```{{code-cell}} ipython3
---
mystnb: {{figure: {{caption: Seen., name: {0}}}, image: {{alt: A dot.}}}}
---
picture
```

See {{numref}}`{0}`.
"""
PAGES = {
    "first": "# One\n\n" + EXERCISE.format("ex-a") + "\n## Part\n\n" + EXERCISE.format("ex-b"),
    "third": "# Two\n\n## Part\n\n" + FIGURE.format("fig-a") + EXERCISE.format("ex-c") + FIGURE.format("fig-b"),
    "second": "# Three\n\n" + FIGURE.format("fig-c"),
    "other": "# Back\n\nText.\n",
}


def write_page(folder: Path, name: str) -> Path:
    """Write the text of a page and its notebook, whose code cells all have a picture; return the path of the text."""
    text = folder / "text" / f"{name}.md"
    text.parent.mkdir(exist_ok=True)
    text.write_text(HEADER + PAGES[name])
    notebook = read_paired_text(text)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [new_output("display_data", {"image/png": PNG})]
    nbformat.write(notebook, notebook_path(text))
    return text


def test_chapters_figures_and_exercises_have_the_same_numbers_on_the_page_and_in_the_notebook(tmp_path):
    """The pages are counted by Sphinx, the notebooks by `tools.authoring.contents`."""
    (tmp_path / "conf.py").write_text(CONFIG)
    (tmp_path / "index.md").write_text("# A book\n")
    (tmp_path / "_toc.yml").write_text(TOC)
    texts = {name: write_page(tmp_path, name) for name in PAGES}
    command = [sys.executable, "-m", "sphinx", "-q", "-W", str(tmp_path), str(tmp_path / "built")]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd=ROOT)
    assert ran.returncode == 0, ran.stderr
    chapters = contents.chapter_numbers(tmp_path / "_toc.yml")
    assert chapters == {"first": 1, "third": 2, "second": 3}
    displayed = {}
    for name, number in chapters.items():
        page = (tmp_path / "built" / f"{name}.html").read_text()
        assert re.search(rf'<h1><span class="section-number">{number} · </span>', page)
        references = dict(re.findall(r'href="#([\w-]+)"[^>]*><span class="std std-numref">(\w+ [\d.]+)</span>', page))
        assert references == contents.labels(texts[name], number)
        for label, text in references.items():
            assert re.search(rf'id="{label}".*?<span class="caption-number">{text} *</span>', page, re.DOTALL)
        displayed |= references
    assert displayed == {
        "ex-a": "Exercise 1.1", "ex-b": "Exercise 1.2", "ex-c": "Exercise 2.1",
        "fig-a": "Figure 2.1", "fig-b": "Figure 2.2", "fig-c": "Figure 3.1",
    }  # fmt: skip
    assert "section-number" not in (tmp_path / "built" / "other.html").read_text().split("<h1>")[1].split("</h1>")[0]


def test_a_caption_without_a_name_is_refused(tmp_path):
    (tmp_path / "page.md").write_text(HEADER + FIGURE.format("fig-a").replace(", name: fig-a", ""))
    with pytest.raises(ValueError, match=r"page\.md: a caption without a name"):
        contents.labels(tmp_path / "page.md", 1)


def context() -> dict:
    """The buttons of a page as the theme makes them."""
    addresses = [
        "https://colab.org/blob/main/book/06_masks.ipynb",
        "https://binder.org/?urlpath=lab/tree/book/06_masks.ipynb",
    ]
    source = {"label": "download-source-button", "url": "../_sources/book/06_masks.ipynb"}
    edit = {"label": "source-edit-button", "url": "https://a.org/edit/main/book/06_masks.ipynb"}
    groups = [
        {"buttons": [{"url": address} for address in addresses]},
        {"buttons": [source, {"javascript": "print()"}]},
        {"buttons": [edit]},
    ]
    return {"header_buttons": [*groups, {"label": "search"}], "pathto": lambda path, _: f"../{path}"}


def test_the_buttons_of_a_chapter_open_its_learner_notebook_and_those_of_other_pages_stay():
    app, page = SimpleNamespace(srcdir=ROOT), context()
    learner_links.link_learner_notebook(app, "book/06_masks", "", page, None)
    launch, download, source, _ = page["header_buttons"]
    assert [button["url"] for button in launch["buttons"]] == [
        "https://colab.org/blob/main/notebooks/06_masks.ipynb",
        "https://binder.org/?urlpath=lab/tree/notebooks/06_masks.ipynb",
    ]
    assert download["buttons"][0]["url"] == "../notebooks/06_masks.ipynb"
    assert source["buttons"][0]["url"] == "https://a.org/edit/main/book/text/06_masks.md"
    other, untouched = context(), context()
    learner_links.link_learner_notebook(app, "book/faq", "", other, None)
    assert other["header_buttons"] == untouched["header_buttons"]


def test_the_archive_has_every_notebook_and_the_records_they_read_and_is_the_same_every_time(tmp_path):
    bytes_of = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        folder.mkdir()
        app = SimpleNamespace(srcdir=ROOT, outdir=folder, builder=SimpleNamespace(format="html"))
        learner_links.copy_notebooks(app, None)
        bytes_of.append((folder / "notebooks" / learner_links.ARCHIVE).read_bytes())
    assert bytes_of[0] == bytes_of[1]
    with zipfile.ZipFile(tmp_path / "a" / "notebooks" / learner_links.ARCHIVE) as archive:
        names = archive.namelist()
        archive.extractall(tmp_path / "c")
    learners = {path.relative_to(ROOT).as_posix() for path in learner.OUT.rglob("*.ipynb")}
    records = {name for name in names if name.startswith("benchmarks/")}
    assert set(names) == learners | records
    assert {path.name for path in (tmp_path / "a" / "notebooks").glob("*.ipynb")} == {
        f"{text.stem}.ipynb" for text in learner.chapter_texts()
    }
    for text in learner.chapter_texts():
        code = (tmp_path / "c" / "notebooks" / f"{text.stem}.ipynb").read_text(encoding="utf-8")
        read = re.findall(r"\.\./[\w/]+\.(?:json|csv|txt)", code)
        assert all((tmp_path / "c" / "notebooks" / name).exists() for name in read)


@pytest.mark.parametrize("restarted", [False, True])
def test_the_records_are_fetched_on_colab_once_and_nothing_happens_elsewhere(tmp_path, monkeypatch, restarted):
    commands = []

    def clone(command: str) -> None:
        commands.append(command)
        (tmp_path / "book" / "notebooks").mkdir(parents=True)
        (tmp_path / "book" / "benchmarks").mkdir()

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tools.addresses.repository_url", lambda: "https://a.org/b/book")
    code = f"import sys\n{colab.records_cell().source}"
    names = {"get_ipython": lambda: SimpleNamespace(system=clone)}
    exec(code, names)
    assert (commands, Path.cwd()) == ([], tmp_path)
    monkeypatch.setitem(sys.modules, "google.colab", SimpleNamespace())
    if restarted:
        clone("")
    exec(code, names)
    exec(code, names)
    assert len(commands) == 1
    assert commands[0] in ("", "git clone --quiet --depth 1 https://a.org/b/book")
    assert Path("../benchmarks").exists()


def test_without_an_address_the_cell_says_on_colab_where_the_records_are(tmp_path, monkeypatch, capsys):
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path / "notebooks")
    monkeypatch.setattr("tools.addresses.repository_url", lambda: "")
    monkeypatch.setitem(sys.modules, "google.colab", SimpleNamespace())
    code = f"import sys\n{colab.records_cell().source}"
    exec(code, {})
    assert "%cd FOLDER/notebooks" in capsys.readouterr().out
    (tmp_path / "benchmarks").mkdir()
    exec(code, {})
    assert capsys.readouterr().out == ""


@pytest.mark.skipif(not (BUILT / "notebooks").exists(), reason="the pages are not built: run `make book` first")
def test_the_built_pages_open_the_learner_notebooks_and_count_as_they_do():
    texts = [text for text in learner.chapter_texts() if (BUILT / "book" / f"{text.stem}.html").exists()]
    assert texts
    for text in texts:
        page = (BUILT / "book" / f"{text.stem}.html").read_text(encoding="utf-8")
        assert re.search(rf'<a href="\.\./notebooks/{text.stem}\.ipynb" download', page)
        displayed = re.findall(r'<span class="caption-number">((?:Exercise|Figure) [\d.]+) *</span>', page)
        assert sorted(displayed) == sorted(contents.labels(text, contents.chapter_numbers()[text.stem]).values())
    assert f'href="../notebooks/{learner_links.ARCHIVE}"' in (BUILT / "book" / "setup.html").read_text(encoding="utf-8")
