"""Each check refuses a small bad notebook made here and accepts the same notebook when it is mended."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from tools.authoring import checks, notebooks
from tools.authoring.colab import CELL_ID, colab_cell
from tools.authoring.notebooks import choose, is_current, main
from tools.authoring.paired import notebook_path, place, read_paired_text

HEADER = """---
kernelspec:
  display_name: Python 3
  language: python
  name: python3
---

"""


def chapter(*cells: str) -> str:
    """A MyST text with a title and the given code cells, each under a heading of its own."""
    fenced = [f"```{{code-cell}} ipython3\n{cell}\n```\n" for cell in cells]
    return HEADER + "# Title\n\n" + "\n".join(f"## Part {n}\n\n{cell}" for n, cell in enumerate(fenced, start=1))


@pytest.fixture
def book(tmp_path) -> Path:
    """An empty book folder with its text/ beside the notebooks."""
    (tmp_path / "book" / "text").mkdir(parents=True)
    return tmp_path / "book"


def write(book: Path, *cells: str) -> Path:
    text_file = book / "text" / "01_toy.md"
    text_file.write_text(chapter(*cells))
    return text_file


def cell(source="1", count: int | None = 1, outputs=(), **metadata):
    return new_code_cell(source, execution_count=count, outputs=list(outputs), metadata=metadata)


def notebook(*cells):
    return new_notebook(cells=[new_markdown_cell("# Title\n\n```\n# no heading\n```"), *cells])


FIGURE = new_output("display_data", {"image/png": "iVBORw0KGgo=", "text/plain": "<Figure>"})
ERROR = new_output("error", ename="NameError", evalue="name 'x' is not defined", traceback=[])
WARNING = new_output("stream", name="stderr", text="UserWarning: beware")


def drawing(alt: str):
    return cell(outputs=[FIGURE], mystnb={"image": {"alt": alt}})


def html(source: str):
    return cell(outputs=[new_output("display_data", {"text/html": source})])


@pytest.mark.parametrize(
    ("check", "bad", "good"),
    [
        (checks.not_executed, cell(count=None), cell(count=1)),
        (checks.not_executed, cell(count=7), cell("", count=None)),
        (checks.long_cells, cell("a\n" * 16), cell("a\n" * 15)),
        (checks.wide_lines, cell("a" * 73), cell("a" * 72)),
        (checks.long_cells, cell("class A:\n" + "a\n" * 30), cell("class A(nn.Module):\n" + "a\n" * 29)),
        (checks.figures_without_alt_text, cell(outputs=[FIGURE]), drawing("A bar.")),
        (checks.figures_without_alt_text, drawing(" "), cell()),
        (checks.error_outputs, cell(outputs=[ERROR]), cell(outputs=[ERROR], tags=["raises-exception"])),
        (
            checks.stderr_outputs,
            cell(outputs=[WARNING]),
            cell(outputs=[new_output("stream", name="stdout", text="fine")]),
        ),
        (checks.network_outputs, html("<script src='https://cdn.example.org/x.js'>"), html("<b>one // two</b>")),
        (
            checks.network_outputs,
            html("<img src='//example.org/x.png'>"),
            html("<svg xmlns='http://www.w3.org/2000/svg'/>"),
        ),
    ],
)
def test_a_check_refuses_the_bad_cell_and_accepts_the_good_one(check, bad, good):
    (complaint,) = check(notebook(bad))
    assert complaint.startswith("cell 2, under 'Title': ")
    assert check(notebook(good)) == []


def test_too_many_ignored_outputs_are_refused_over_the_whole_book():
    compared, ignored = (
        notebook(*(cell(tags=tags) for _ in range(count))) for count, tags in ((17, []), (3, ["nbval-ignore-output"]))
    )
    assert checks.too_many_ignored([compared, ignored]) == []
    assert checks.too_many_ignored([compared, ignored, ignored]) == ["6 of 23 cells ignore their output; at most 15%"]


def test_a_large_notebook_is_refused(tmp_path):
    path = tmp_path / "large.ipynb"
    path.write_bytes(b" " * 1_000_000)
    assert checks.too_large(path) == []
    path.write_bytes(b" " * 1_000_001)
    assert checks.too_large(path)


@pytest.mark.parametrize(
    "line",
    ["![a](https://example.org/a.png)", "text <img alt='a' src=\"http://example.org/a.png\">", "```{figure} https://a.org/a.png",
     ":::{image} //a.org/a.png"],
)  # fmt: skip
def test_an_image_from_the_network_is_refused(line):
    assert checks.network_images(f"fine\n{line}")[0].startswith("line 2: ")


def test_a_link_and_an_image_beside_the_page_are_accepted():
    assert checks.network_images("[a](https://example.org/a.png) ![b](b.png)\n```{figure} b.png") == []


@pytest.mark.parametrize(
    "tag",
    ["<script src='https://a.org/a.js'></script>", "<link rel=stylesheet href=http://a.org/a.css>",
     "<img src='//a.org/a.png'>", "<iframe src='https://a.org'></iframe>", "<link rel='preload' href='https://a.org/font'>"],
)  # fmt: skip
def test_a_page_that_asks_the_network_is_refused(tag):
    assert len(checks.network_requests(f"<html><body>{tag}</body></html>")) == 1


def test_a_page_may_link_outside():
    links = "<link rel='canonical' href='https://a.org'><a href='https://a.org'>a</a>"
    assert checks.network_requests(f"{links}<img src='a.png'><script src='../a.js'></script>") == []


def test_the_nearest_heading_is_found_past_comments_in_fenced_code():
    fenced = new_markdown_cell("# One\n\n````md\n```\n# not this\n```\n# nor this\n````")
    made = new_notebook(cells=[fenced, cell(), new_markdown_cell("## Two"), cell()])
    assert [place(made, index) for index in (1, 3)] == ["cell 2, under 'One'", "cell 4, under 'Two'"]


def test_a_text_becomes_an_executed_notebook_that_is_the_same_every_time(book):
    text_file = write(book, "import sys\nprint(sys.executable)", "sys.executable")
    assert main(["--book", str(book)]) == 0
    first = notebook_path(text_file).read_bytes()
    made = nbformat.reads(first.decode(), as_version=4)
    assert made.cells[2].outputs[0].text.strip() == sys.executable, "not the Python that made the notebook"
    assert checks.check_notebook(notebook_path(text_file)) == []
    notebook_path(text_file).unlink()
    assert main(["--book", str(book)]) == 0
    assert notebook_path(text_file).read_bytes() == first


def test_a_notebook_is_made_again_only_if_its_text_changed_or_it_is_asked_for(book, capsys):
    text_file = write(book, "print(1)")
    for arguments, report in (([], "made"), ([], "unchanged"), (["01"], "made"), (["--all"], "made")):
        assert main([*arguments, "--book", str(book)]) == 0
        assert capsys.readouterr().out == f"01_toy.ipynb: {report}\n"
    write(book, "print(2)")
    assert not is_current(text_file)


def test_outputs_stay_where_prose_alone_has_changed_and_are_made_again_where_code_has(book, monkeypatch):
    text = write(book, "import time", "print(time.perf_counter_ns())")
    path = notebook_path(text)

    def output_after(old: str, new: str) -> str:
        text.write_text(text.read_text().replace(old, new))
        assert main(["--book", str(book)]) == 0
        assert is_current(text)
        return nbformat.read(path, as_version=4).cells[-1].outputs[0].text

    first = output_after("", "")
    assert output_after("# Title", "# Another title") == first
    for module in (checks, notebooks):
        monkeypatch.setattr(module, "colab_cell", lambda: new_code_cell("1", id=CELL_ID))
    assert output_after("# Another title", "# Title") == first
    assert output_after("print(", "print(1 + ") != first


@pytest.mark.parametrize(("on_colab", "installed"), [(True, False), (True, True), (False, False)])
def test_the_first_cell_fetches_the_package_on_colab_once_and_does_nothing_elsewhere(monkeypatch, on_colab, installed):
    calls = []

    class Shell:
        kernel = SimpleNamespace(do_shutdown=lambda restart: calls.append(("restart", restart)))

        def run_line_magic(self, name, line):
            calls.append((name, line))

    if on_colab:
        monkeypatch.setitem(sys.modules, "google.colab", SimpleNamespace())
    monkeypatch.setattr("importlib.util.find_spec", lambda name: "there" if installed else None)
    monkeypatch.setattr("tools.addresses.repository_url", lambda: "https://a.org/b/book")
    exec(colab_cell().source, {"get_ipython": Shell})
    install = [("pip", "install --quiet git+https://a.org/b/book scikit-image")]
    assert calls == ([*install, ("restart", True)] if on_colab and not installed else [])


@pytest.mark.parametrize(("on_colab", "installed"), [(True, False), (True, True), (False, False)])
def test_without_an_address_the_first_cell_says_on_colab_how_to_install_the_package(
    monkeypatch, capsys, on_colab, installed
):
    if on_colab:
        monkeypatch.setitem(sys.modules, "google.colab", SimpleNamespace())
    monkeypatch.setattr("importlib.util.find_spec", lambda name: "there" if installed else None)
    monkeypatch.setattr("tools.addresses.repository_url", lambda: "")
    exec(colab_cell().source, {})
    assert ("%pip install FOLDER" in capsys.readouterr().out) == (on_colab and not installed)


def test_a_notebook_without_the_cell_for_colab_is_refused_and_made_again(book):
    text_file = write(book, "print(1)")
    assert main(["--book", str(book)]) == 0
    made = nbformat.read(notebook_path(text_file), as_version=4)
    assert checks.no_colab_cell(made) == []
    made.cells[0].source = made.cells[0].source.replace("Colab", "example.org")
    assert checks.no_colab_cell(made) != []
    nbformat.write(made, notebook_path(text_file))
    assert not is_current(text_file)


def test_a_new_cell_leaves_the_ids_of_the_others_alone(book):
    before = read_paired_text(write(book, "a = 1", "b = 2", "b = 2")).cells
    after = read_paired_text(write(book, "new = 0", "a = 1", "b = 2", "b = 2")).cells
    ids = [[cell.id for cell in cells if cell.cell_type == "code"] for cells in (before, after)]
    assert ids[1][1:] == ids[0]
    assert len(set(ids[1])) == 4


@pytest.mark.parametrize(
    ("cells", "complaint"),
    [
        (("a = 1", "print('x')\n1 / 0", "a"), "under 'Part 2': ZeroDivisionError: division by zero"),
        (("a = 1", "import os\nos._exit(1)"), "under 'Part 2': the kernel died"),
    ],
)
def test_a_failing_cell_gives_one_line_and_leaves_the_old_notebook(book, capsys, cells, complaint):
    text_file = write(book, *cells)
    notebook_path(text_file).write_text("old")
    assert main(["01", "--book", str(book)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{text_file}: cell ")
    assert line.endswith(complaint)
    assert notebook_path(text_file).read_text() == "old"
    assert [path.name for path in book.iterdir() if path.is_file()] == ["01_toy.ipynb"], "something was left lying"


def test_a_text_that_is_no_notebook_is_named(book, capsys):
    text_file = write(book, ":tags: [unclosed\n1")
    assert main(["--book", str(book)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{text_file}: not a MyST notebook")


def test_an_output_that_is_folded_on_the_page_is_folded_in_jupyter(book):
    text_file = write(book, ":tags: [hide-output]\na = 1", "b = 2")
    folded, visible = (cell.metadata for cell in read_paired_text(text_file).cells if cell.cell_type == "code")
    assert folded == {"tags": ["hide-output"], "jupyter": {"outputs_hidden": True}}
    assert visible == {}


def test_an_unknown_chapter_is_named_beside_those_there_are(book):
    write(book, "1")
    with pytest.raises(ValueError, match=r"02: no such chapter .* there are 01_toy"):
        choose(book, ["02"])


def test_a_notebook_that_is_out_of_sync_with_its_text_is_refused(book):
    text_file = write(book, "a = 1", "b = 2")
    same = read_paired_text(text_file)
    assert checks.out_of_sync(same, text_file) == []
    text_file.write_text(text_file.read_text().replace("b = 2", ":tags: [hide-input]\nb = 2"))
    (complaint,) = checks.out_of_sync(same, text_file)
    assert complaint.startswith("cell 4, under 'Part 2': its metadata differs from the text; edit 01_toy.md")
    write(book, "a = 1")
    assert any("the text has 2" in line for line in checks.out_of_sync(same, text_file))
    text_file.unlink()
    assert "is missing" in checks.out_of_sync(same, text_file)[0]


@pytest.mark.parametrize("workers", [[], ["-n", "2", "--dist", "loadscope"]], ids=["one process", "two"])
def test_nbval_stops_at_the_first_failing_cell_and_names_its_heading(tmp_path, workers):
    printed = new_output("stream", text="1\n")
    breaks = notebook(cell("x = 1"), new_markdown_cell("## It breaks"), cell("x / 0", 2), cell("x", 3), cell("x", 4))
    cold = notebook(new_markdown_cell("## Cold"), cell("x = 1", None))
    differs = notebook(new_markdown_cell("## It differs"), cell("print(2)", outputs=[printed]), cell("y", 2))
    for number, made in enumerate((breaks, cold, differs)):
        nbformat.write(made, tmp_path / f"{number}.ipynb")
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "0.md").write_text("````{solution} ex-x\n```python\nx\n```\n````\n")
    nbval = ["--nbval", "--nbval-current-env", "-p", "tools.authoring.nbval_plugin", "-o", "addopts="]
    command = [sys.executable, "-m", "pytest", *nbval, "-p", "no:cacheprovider", "-rs", *workers, str(tmp_path)]
    root = Path(__file__).resolve().parents[1]
    ran = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=180, check=False, env=os.environ)
    assert ran.returncode == 1, ran.stderr
    assert "3 failed, 1 passed, 4 skipped" in ran.stdout
    assert "0.ipynb, cell 4, under 'It breaks'" in ran.stdout
    assert "1.ipynb, cell 3, under 'Cold'\n" in ran.stdout
    assert "committed without having been executed" in ran.stdout
    assert "2.ipynb, cell 3, under 'It differs'" in ran.stdout
    assert "not run: cell 4, under 'It breaks' failed before it" in ran.stdout
