"""The part for teachers: plans give out what has been taught, the rubric is the project's, and links lead somewhere."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEXTS = ROOT / "book" / "text"
PLANS = (TEXTS / "teaching_plans.md").read_text()
PAGES = {path.stem: path.read_text() for path in sorted(TEXTS.glob("teaching*.md"))}
ABOUTS = {
    about["name"]: about
    for about in (tomllib.loads(path.read_text()) for path in (ROOT / "course" / "assignments").glob("*/about.toml"))
}
WEEKS = {"Six weeks": 6, "Ten weeks": 10, "Fourteen weeks": 14}


def chapter_file(title: str) -> str:
    """Return the file of a chapter by the beginning of its title, as `about.toml` has it."""
    texts = ((path, path.read_text()) for path in TEXTS.glob("*.md"))
    (path,) = (path for path, text in texts if re.search(rf"^# {re.escape(title)}", text, re.MULTILINE))
    return path.stem


def lectures() -> dict[str, list[str]]:
    """Return the chapters of each lecture by its number."""
    found = re.findall(r"^### (\d+) · .*\n\n\*\*Read\*\* (.*)$", PLANS, re.MULTILINE)
    return {number: re.findall(r"\((\w+)\.ipynb\)", links) for number, links in found}


def weeks_of(heading: str) -> list[list[str]]:
    """Return the rows of a plan: week, lectures, what is given out, what is due."""
    section = PLANS.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in section.splitlines() if re.match(r"\| \d", line)
    ]


@pytest.mark.parametrize("heading", WEEKS)
def test_a_plan_gives_out_what_has_been_taught_and_collects_it_later(heading):
    rows = weeks_of(heading)
    assert [int(row[0]) for row in rows] == list(range(1, WEEKS[heading] + 1))
    numbers = [int(number) for row in rows for number in re.findall(r"\d+", row[1])]
    assert numbers == sorted(set(numbers))
    taught: set[str] = set()
    given: dict[str, int] = {}
    for week, names, out, due in rows:
        taught |= {chapter for number in re.findall(r"\d+", names) for chapter in lectures()[number]}
        for name in re.findall(r"A\d", out):
            given[name] = int(week)
            if name != "A6":  # a project begins before its last chapter
                assert {chapter_file(chapter) for chapter in ABOUTS[name]["chapters"]} <= taught
        for name in re.findall(r"A\d", due):
            assert given.pop(name) < int(week)
    assert given == {}


def test_every_lecture_asks_warns_and_has_something_to_do():
    sections = re.split(r"^### ", PLANS.split("## How long the reading takes")[0], flags=re.MULTILINE)[1:]
    assert len(sections) == len(lectures()) == 18
    for section in sections:
        assert re.findall(r"^\*\*(.*?)\*\*", section, re.MULTILINE) == ["Read", "Ask", "What goes wrong", "In the room"]


def test_the_rubric_has_the_parts_of_the_project():
    rows = re.findall(r"^\| .*?\*\*(\w+)\*\*", PAGES["teaching_project"], re.MULTILINE)
    about = ABOUTS["A6"]
    parts = [name for name in about["questions"] if not name.endswith("_judged")]
    assert [{"rebuilds": "rebuild"}.get(row, row) for row in rows] == parts


@pytest.mark.parametrize("name", PAGES)
def test_a_link_leads_to_a_page(name):
    for link in re.findall(r"\]\(([^)\s]+)\)", PAGES[name]):
        assert (ROOT / "book" / link).exists(), link
