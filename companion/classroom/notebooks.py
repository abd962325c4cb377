"""Read what a student handed in: the code cells of a notebook in whatever state, or of a Python file.

Nothing is needed but the cells' code: no metadata, no tags, no cell ids, no kernel. Entry point: `read_cells`.
"""

import json
import re
from typing import Any

SIZE_LIMIT = 20 * 2**20  # bytes
CELL_LIMIT = 500
CHECK_CALL = re.compile(r"^check\(.*\)[ \t]*(#.*)?$", re.MULTILINE)  # runs the public checks: left out in grading


def read_cells(data: bytes, name: str) -> list[str]:
    """Return the code cells of a notebook, or of a Python file as one cell.

    Raises:
        ValueError: it is neither, or has no code. The message is a part of a sentence: "the file is empty".
    """
    if not data.strip():
        raise ValueError("the file is empty")
    if len(data) > SIZE_LIMIT:
        raise ValueError(f"the file has more than {SIZE_LIMIT // 2**20} MB")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError("the file is no text in UTF-8, so it is no notebook") from None
    if name.lower().endswith(".py"):
        return [CHECK_CALL.sub("", text)]
    try:
        notebook = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError("the file is no notebook: it is not JSON") from None
    cells = [source for source in map(code, raw_cells(notebook)) if source.strip()]
    if not cells:
        raise ValueError("the notebook has no code cell")
    if len(cells) > CELL_LIMIT:
        raise ValueError(f"the notebook has more than {CELL_LIMIT} code cells")
    return [CHECK_CALL.sub("", source) for source in cells]


def raw_cells(notebook: Any) -> list[Any]:
    """Return the cells of a notebook of format 4, or 3 with its worksheets. Raises ValueError if it is none."""
    if isinstance(notebook, dict):
        sheets = notebook.get("worksheets")
        holders = sheets if isinstance(sheets, list) else [notebook]
        lists: list[Any] = [holder.get("cells") for holder in holders if isinstance(holder, dict)]
        if lists and all(isinstance(cells, list) for cells in lists):
            return [cell for cells in lists for cell in cells]
    raise ValueError("the file is JSON, but no notebook: it has no list of cells")


def code(cell: Any) -> str:
    """Return the source of a code cell, and nothing of any other cell."""
    return source_of(cell, "code")


def source_of(cell: Any, kind: str) -> str:
    """Return the source of a cell of this kind, "code" or "markdown", and nothing of any other cell."""
    if not isinstance(cell, dict) or cell.get("cell_type") != kind:
        return ""
    source = cell.get("source", cell.get("input", ""))
    if isinstance(source, list):
        source = "".join(line for line in source if isinstance(line, str))
    return source if isinstance(source, str) else ""
