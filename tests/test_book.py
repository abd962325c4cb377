"""The book as committed: every notebook keeps the rules, every page is linked, and the pages open offline."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import yaml

import companion
from tools.authoring import checks
from tools.authoring.paired import notebook_path, text_path

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "book").glob("*.ipynb"))
TEXTS = sorted((ROOT / "book").glob("**/*.md"))
BUILT = ROOT / "_build" / "html"

NOT_IMPORTED = {"cli", "files", "py", "weights"}  # what programs that use the package have no use for

CONFIG = yaml.safe_load((ROOT / "_config.yml").read_text())


def name(path: Path) -> str:
    return path.stem


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name)
@pytest.mark.parametrize("check", checks.NOTEBOOK_CHECKS, ids=lambda check: check.__name__)
def test_every_notebook_keeps_the_rules(path, check):
    assert not check(nbformat.read(path, as_version=4))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name)
def test_every_notebook_agrees_with_its_text(path):
    assert not checks.out_of_sync(nbformat.read(path, as_version=4), text_path(path))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name)
def test_every_notebook_is_small(path):
    assert not checks.too_large(path)


@pytest.mark.parametrize("path", TEXTS, ids=name)
def test_no_text_shows_an_image_from_the_network(path):
    assert not checks.network_images(path.read_text())


def test_nearly_all_outputs_of_the_book_are_compared():
    assert not checks.too_many_ignored(nbformat.read(path, as_version=4) for path in NOTEBOOKS)


def test_every_text_has_been_made_into_a_notebook():
    texts = (ROOT / "book" / "text").glob("*.md")
    assert sorted(text.stem for text in texts if not notebook_path(text).exists()) == []


def test_the_table_of_contents_lists_every_page_once():
    toc = (ROOT / "_toc.yml").read_text()
    listed = re.findall(r"^\s*(?:- )?(?:file|root):\s*(\S+)", toc, re.MULTILINE)
    pages = [*NOTEBOOKS, *(path for path in TEXTS if path.parent.name != "text")]
    assert sorted(listed) == sorted(str(path.relative_to(ROOT).with_suffix("")) for path in pages)


def test_the_page_of_functions_has_every_package():
    listed = set(re.findall(r"automodule:: companion\.(\w+)", (ROOT / "book" / "api.md").read_text()))
    assert listed == {path.stem for path in (ROOT / "companion").glob("[a-z]*") if path.stem not in NOT_IMPORTED}


def test_the_citation_file_names_the_book():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["title"] == CONFIG["title"]
    assert citation["authors"] == [{"name": CONFIG["author"]}]
    assert citation["version"] == companion.__version__


def test_a_broken_reference_stops_the_build(tmp_path):
    """With the book's own settings and the Makefile's own flags, since without -W Sphinx exits 0."""
    for folder in ("_static", "_templates"):
        shutil.copytree(ROOT / "book" / folder, tmp_path / "book" / folder)
    shutil.copy(ROOT / "_config.yml", tmp_path)
    shutil.copytree(ROOT / "tools", tmp_path / "tools")  # an extension of Sphinx
    shutil.copy(ROOT / "book" / "references.bib", tmp_path / "book")
    (tmp_path / "_toc.yml").write_text("format: jb-book\nroot: book/index\n")
    flags = re.search(r"jupyter-book build \.(.*?)\|\|", (ROOT / "Makefile").read_text())[1].split()
    build = [sys.executable, Path(sys.executable).with_name("jupyter-book"), "build", str(tmp_path), *flags]

    def status(page: str) -> tuple[int, str]:
        (tmp_path / "book" / "index.md").write_text(page)
        ran = subprocess.run(build, capture_output=True, text=True, timeout=120, check=False)
        return ran.returncode, ran.stdout + ran.stderr

    sound, output = status("# A page\n\n{cite:t}`xu2015show`\n\n```{bibliography}\n```\n")
    assert sound == 0, output
    broken, output = status("# A page\n\nSee {ref}`nowhere`.\n")
    assert broken != 0
    assert "nowhere" in output


needs_pages = pytest.mark.skipif(not BUILT.exists(), reason="the pages are not built: run `make book` first")


@needs_pages
def test_no_built_page_asks_the_network():
    pages = {str(page.relative_to(BUILT)): page.read_text() for page in BUILT.rglob("*.html")}
    requests = {page: checks.network_requests(text) for page, text in pages.items()}
    assert {page: addresses for page, addresses in requests.items() if addresses} == {}


@needs_pages
def test_no_built_style_sheet_asks_the_network():
    request = re.compile(r"""(?:url\(|@import)\s*["']?(?:https?:)?//""")
    assert [str(sheet) for sheet in BUILT.rglob("*.css") if request.search(sheet.read_text(errors="replace"))] == []


@needs_pages
def test_a_built_page_with_formulas_brings_its_own_mathematics():
    page = (BUILT / "book" / "03_dot_product.html").read_text()
    script = re.search(r'src="\.\./(_static/mathjax/[^"?]+)', page)
    assert script, "the page loads no local MathJax"
    assert (BUILT / script[1]).exists()
