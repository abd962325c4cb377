"""Write what is made from the sources of the assignments: `make course`.

For every assignment in `course/assignments`: the student's notebook, without the solutions, in `course/student`; and
its description in `companion/classroom/public`, with the prints of the public checks that lie there, so that both are
installed with the package. A second run changes no byte.
"""

import json
import re
import sys
import tomllib
from pathlib import Path
from typing import Any

import jupytext

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from companion.classroom import assignments, checking  # noqa: E402
from companion.classroom.expectations import Recorder  # noqa: E402
from companion.files import atomic_write  # noqa: E402

SOURCES = ROOT / "course" / "assignments"
SOLUTION = re.compile(r"^# BEGIN SOLUTION\n.*?^# END SOLUTION$", re.DOTALL | re.MULTILINE)
HEADER = re.compile(r'^def \w+\(.*?\):\n(?:    """.*?"""\n)?', re.DOTALL | re.MULTILINE)


def source_notebook(folder: Path) -> Any:
    """Return the notebook in `source.md`, solutions included."""
    return jupytext.reads((folder / "source.md").read_text(encoding="utf-8"), fmt="md:myst")


def without_solution(source: str, functions: list[str]) -> str:
    """Return the source of an answer cell with the head of each asked function and dots for what stands between."""
    solution = SOLUTION.search(source)
    assert solution, "an answer cell has no solution"
    heads = [head for head in HEADER.findall(solution[0]) if re.match(r"def (\w+)", head)[1] in functions]
    return SOLUTION.sub(lambda _: "\n\n\n".join(f"{head}    ..." for head in heads), source)


def student_notebook(folder: Path, functions: list[str]) -> str:
    """Return the student's notebook as it stands in its file."""
    cells = []
    for number, cell in enumerate(source_notebook(folder).cells):
        tags = cell.metadata.get("tags", [])
        source = without_solution(cell.source, functions) if "answer" in tags else cell.source
        entry = {
            "cell_type": cell.cell_type,
            "id": f"{folder.name}-{number:02}",
            "metadata": {"tags": tags} if tags else {},
            "source": source.splitlines(keepends=True),
        }
        if cell.cell_type == "code":
            entry |= {"execution_count": None, "outputs": []}
        cells.append(entry)
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    return to_json({"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}, indent=1)


def set_up(folder: Path) -> str:
    """Return the cell that is run before the student's."""
    (cell,) = (cell for cell in source_notebook(folder).cells if "setup" in cell.metadata.get("tags", []))
    return cell.source


def public_file(folder: Path) -> str:
    """Return the description of an assignment with the prints of its public checks, as it stands in its file."""
    about = tomllib.loads((folder / "about.toml").read_text(encoding="utf-8"))
    name = about["name"]
    fields = {key: about[key] for key in ("name", "title", "by_teacher", "questions", "functions")}
    fields["questions"] = {question: float(points) for question, points in about["questions"].items()}
    assignment = assignments.Assignment(**fields, set_up=set_up(folder), prints={})
    prints = {}
    for check_name, check in assignments.public_checks(name).items():
        function = assignments.function_of(check, assignment.functions)
        prints[check_name] = []
        if "expect" in checking.parameters(check):
            mistakes = assignments.course_module(name, "mistakes")
            recorder = Recorder(mistakes.REFERENCES[function], mistakes.MISTAKES[function])
            checking.run_check(check, {function: None, "expect": recorder})
            prints[check_name] = recorder.calls
    return to_json(vars(assignment) | {"prints": prints})


def to_json(value: Any, indent: int | None = None) -> str:
    """Return JSON that depends on the value alone; without `indent`, a line for each key of the first two levels."""
    if indent:
        return json.dumps(value, indent=indent, ensure_ascii=False, sort_keys=True) + "\n"
    lines = []
    for key, part in sorted(value.items()):
        if isinstance(part, dict):
            inner = ",\n  ".join(f"{json.dumps(k)}: {json.dumps(v, ensure_ascii=False)}" for k, v in part.items())
            lines.append(f"{json.dumps(key)}: {{\n  {inner}\n}}")
        else:
            lines.append(f"{json.dumps(key)}: {json.dumps(part, ensure_ascii=False)}")
    return "{" + ",\n".join(lines) + "}\n"


def outputs() -> dict[Path, str]:
    """Return the text of every file that is made, by its path."""
    made = {}
    public = ROOT / "companion" / "classroom" / "public"
    for folder in sorted(path.parent for path in SOURCES.glob("*/about.toml")):
        functions = tomllib.loads((folder / "about.toml").read_text(encoding="utf-8"))["functions"]
        made[ROOT / "course" / "student" / f"{folder.name}.ipynb"] = student_notebook(folder, list(functions))
        made[public / f"{folder.name}.json"] = public_file(folder)
    return made


def main() -> None:
    """Write every file whose text has changed, and name it."""
    for path, text in outputs().items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(exist_ok=True)
            atomic_write(path, text.encode())
            print(f"wrote {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
