"""The repository's address: it stands in one place, and what needs it is on a page only if it is there."""

import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import yaml

from tools import addresses

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("book/text", "companion", "course", "tools", ".github", "benchmarks")
ADDRESS = "https://github.com/somebody/book"
NEED_IT = ("colab.research.google.com", "mybinder.org", "/issues/new", "/edit/main/", ADDRESS)


def test_no_other_file_names_the_address():
    """Notebooks do, but they are made from the configuration."""
    host = re.compile(r"(?:github|gitlab)\.(?:com|io)/[^\s)\"'`]*attention-companion")
    files = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if path.suffix in (".md", ".py", ".yml")]
    files += [*ROOT.glob("*.md"), ROOT / "pyproject.toml", ROOT / "CITATION.cff"]
    own = addresses.repository_url()
    texts = {path: path.read_text(encoding="utf-8") for path in files}
    assert [path for path, text in texts.items() if host.search(text) or (own and own in text)] == []


@pytest.mark.parametrize(
    ("text", "url"), [(f"url: {ADDRESS}/", ADDRESS), ("url: ''", ""), ("url:", ""), ("branch: main", "")]
)
def test_the_address_is_read_from_the_configuration(tmp_path, text, url):
    (tmp_path / "_config.yml").write_text(f"repository:\n  {text}\n")
    assert addresses.repository_url(tmp_path / "_config.yml") == url


@pytest.mark.slow
@pytest.mark.parametrize("url", [ADDRESS, ""])
def test_a_page_has_the_buttons_that_need_an_address_if_there_is_one(tmp_path, url):
    """Built with the book's own configuration, which is changed in nothing but the address."""
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    config["repository"]["url"] = url
    config["sphinx"]["local_extensions"] = {"addresses": str(ROOT / "tools"), "learner_links": str(ROOT / "tools")}
    config["sphinx"]["config"] |= {"html_static_path": [], "html_css_files": [], "html_js_files": []}
    config["sphinx"]["config"]["templates_path"] = [str(ROOT / "book" / "_templates")]
    del config["bibtex_bibfiles"]
    (tmp_path / "_config.yml").write_text(yaml.safe_dump(config, allow_unicode=True))
    (tmp_path / "_toc.yml").write_text("format: jb-book\nroot: book/one\n")
    for folder in ("book/text", "notebooks"):
        (tmp_path / folder).mkdir(parents=True)
    cells = [nbformat.v4.new_markdown_cell("# One"), nbformat.v4.new_code_cell("1")]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    for folder in ("book", "notebooks"):
        nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), tmp_path / folder / "one.ipynb")
    (tmp_path / "book" / "text" / "one.md").write_text("# One\n")
    program = "from jupyter_book.cli.main import main; main()"
    command = [sys.executable, "-c", program, "build", str(tmp_path)]  # warnings are about what this book lacks
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stdout[-2000:] + ran.stderr[-2000:]
    page = (tmp_path / "_build" / "html" / "book" / "one.html").read_text(encoding="utf-8")
    assert [part for part in NEED_IT if part in page] == (list(NEED_IT) if url else [])
    assert ("/blob/main/notebooks/one.ipynb" in page) == bool(url)
    assert (f"{ADDRESS}/edit/main/book/text/one.md" in page) == bool(url)
    assert re.search(r'<a href="\.\./notebooks/one\.ipynb" download', page)
