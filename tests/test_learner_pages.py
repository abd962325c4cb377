"""The pages and the learner notebooks: the same numbers, the buttons, the archive, and what Colab fetches."""

import re
import subprocess
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from tools import learner_links
from tools.authoring import colab, learner
from tools.authoring.solutions import exercise_numbers

ROOT = Path(__file__).resolve().parents[1]
BUILT = ROOT / "_build" / "html"

CONFIG = 'extensions = ["myst_parser", "sphinx_exercise", "tools.exercise_numbers"]\n'
INDEX = "# A book\n\n```{toctree}\nthird\nother\n```\n"
EXERCISE = "```{{exercise}} Title\n:label: {0}\n\nText.\n```\n\nSee {{ref}}`{0}`.\n"
PAGES = {
    "third": "# 3 · Three\n\n" + EXERCISE.format("ex-a") + "\n## Part\n\n" + EXERCISE.format("ex-b"),
    "other": "# Other\n\n" + EXERCISE.format("ex-c"),
}


def test_exercises_are_counted_by_chapter_on_the_page_and_in_the_notebook(tmp_path):
    (tmp_path / "conf.py").write_text(CONFIG)
    for name, text in {"index": INDEX, **PAGES}.items():
        (tmp_path / f"{name}.md").write_text(text)
    command = [sys.executable, "-m", "sphinx", "-q", "-W", str(tmp_path), str(tmp_path / "built")]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd=ROOT)
    assert ran.returncode == 0, ran.stderr
    displayed = {}
    for name in PAGES:
        page = (tmp_path / "built" / f"{name}.html").read_text()
        displayed |= dict(re.findall(r'id="(ex-\w)".*?Exercise ([\d.]+)', page, re.DOTALL))
        references = dict(
            re.findall(r'href="#(ex-\w)"[^>]*><span class="std std-numref">Exercise ([\d.]+)</span>', page)
        )
        assert references == exercise_numbers(PAGES[name])
    assert displayed == {"ex-a": "3.1", "ex-b": "3.2", "ex-c": "1"}
    assert displayed == {label: number for text in PAGES.values() for label, number in exercise_numbers(text).items()}


def context() -> dict:
    """The buttons of a page as the theme makes them."""
    addresses = [
        "https://colab.org/blob/main/book/06_masks.ipynb",
        "https://binder.org/?urlpath=lab/tree/book/06_masks.ipynb",
    ]
    source = {"label": "download-source-button", "url": "../_sources/book/06_masks.ipynb"}
    groups = [
        {"buttons": [{"url": address} for address in addresses]},
        {"buttons": [source, {"javascript": "print()"}]},
    ]
    return {"header_buttons": [*groups, {"label": "search"}], "pathto": lambda path, _: f"../{path}"}


def test_the_buttons_of_a_chapter_open_its_learner_notebook_and_those_of_other_pages_stay():
    app, page = SimpleNamespace(srcdir=ROOT), context()
    learner_links.link_learner_notebook(app, "book/06_masks", "", page, None)
    launch, download, _ = page["header_buttons"]
    assert [button["url"] for button in launch["buttons"]] == [
        "https://colab.org/blob/main/notebooks/06_masks.ipynb",
        "https://binder.org/?urlpath=lab/tree/notebooks/06_masks.ipynb",
    ]
    assert download["buttons"][0]["url"] == "../notebooks/06_masks.ipynb"
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
        (tmp_path / "attention-companion" / "notebooks").mkdir(parents=True)
        (tmp_path / "attention-companion" / "benchmarks").mkdir()

    monkeypatch.chdir(tmp_path)
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
    assert commands[0] in ("", "git clone --quiet --depth 1 https://github.com/attention-companion/attention-companion")
    assert Path("../benchmarks").exists()


@pytest.mark.skipif(not (BUILT / "notebooks").exists(), reason="the pages are not built: run `make book` first")
def test_the_built_pages_open_the_learner_notebooks_and_count_as_they_do():
    texts = [text for text in learner.chapter_texts() if (BUILT / "book" / f"{text.stem}.html").exists()]
    assert texts
    for text in texts:
        page = (BUILT / "book" / f"{text.stem}.html").read_text(encoding="utf-8")
        assert f"/blob/main/notebooks/{text.stem}.ipynb" in page
        displayed = re.findall(r'<span class="caption-number">Exercise ([\d.]+) *</span>', page)
        assert displayed == list(exercise_numbers(text.read_text(encoding="utf-8")).values())
    assert f'href="../notebooks/{learner_links.ARCHIVE}"' in (BUILT / "book" / "setup.html").read_text(encoding="utf-8")
