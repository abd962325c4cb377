"""Write the results of one submission as Gradescope's autograder reads them. Entry point: `write_results`.

The fields are those of gradescope-autograders.readthedocs.io, "Output format". Hidden checks are shown by their names
and sentences, like the public ones.
"""

import json
from pathlib import Path
from typing import Any

from companion.classroom.assignments import Assignment, readable
from companion.files import atomic_write

RESULTS = "results.json"


def write_results(folder: Path, assignment: Assignment, marks: list[dict[str, Any]]) -> None:
    """Write `results.json` into a folder."""
    tests = [
        {
            "name": f"{mark['question']}: {readable(mark['check'])}",
            "score": mark["points"],
            "max_score": mark["of"],
            "status": "failed" if mark["text"] else "passed",
            "output": mark["text"] or "",
            "output_format": "text",
            "visibility": "visible",
        }
        for mark in marks
    ]
    results = {"output": f"{assignment.name}: {assignment.title}", "output_format": "text", "tests": tests}
    atomic_write(folder / RESULTS, (json.dumps(results, indent=1, ensure_ascii=False) + "\n").encode())
