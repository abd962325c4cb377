"""What tests of pages share: a small site, built by Sphinx as the book is, and what must hold of a page."""

import subprocess
import sys
from pathlib import Path
from typing import Any

from axe_playwright_python.sync_playwright import Axe

ROOT = Path(__file__).resolve().parents[2]


def build(folder: Path) -> Path:
    """Build the site whose sources and conf.py are in `folder`, without a warning, and return its first page."""
    command = [sys.executable, "-m", "sphinx", "-q", "-W", str(folder), str(folder / "built")]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stderr
    return folder / "built" / "index.html"


def small_targets(controls: Any) -> list[str]:
    """Return those of the controls in sight that are narrower or lower than 24 pixels (WCAG 2.5.8)."""
    boxes = controls.evaluate_all("all => all.map(e => [e.outerHTML, e.getBoundingClientRect().toJSON()])")
    return [html for html, box in boxes if box["width"] and min(box["width"], box["height"]) < 24]


def faults(page: Any, *selectors: str) -> list[tuple[str, list[str]]]:
    """Return the rules of WCAG 2.2 AA and of good practice that elements of these selectors break, and the elements."""
    options = {"runOnly": ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa", "best-practice"]}
    found = Axe().run(page, context={"include": [[selector] for selector in selectors]}, options=options).response
    assert len(found["passes"]) > 10
    return [(fault["id"], [node["html"] for node in fault["nodes"]]) for fault in found["violations"]]
