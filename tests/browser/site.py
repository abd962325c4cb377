"""A small site of a few pages, built by Sphinx as the book is."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def build(folder: Path) -> Path:
    """Build the site whose sources and conf.py are in `folder`, without a warning, and return its first page."""
    command = [sys.executable, "-m", "sphinx", "-q", "-W", str(folder), str(folder / "built")]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stderr
    return folder / "built" / "index.html"
