"""The commands of the classroom: `companion check`, `companion grade`, `companion sheet` and `companion oral`."""

import argparse
from pathlib import Path
from typing import Any

from companion.cli.arguments import Parser, printable, report_note


def add_classroom(group: Any) -> None:
    """Add the four commands to the group of all commands."""
    about = "Print the public checks of an assignment for a notebook, a line for each."
    parser = _add(group, "check", about, check)
    parser.add_argument(
        "file",
        nargs="?",
        type=Path,
        metavar="FILE",
        help="notebook or .py (default: a1.ipynb for A1), or the folder of a project",
    )

    about = "Grade a folder of submissions. It can be stopped and called again."
    parser = _add(group, "grade", about, grade)
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="a file or a folder for each student")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="table of marks (CSV)")
    parser.add_argument("--key", type=Path, metavar="FILE", help="secret from which hidden inputs are drawn")
    parser.add_argument("--salt", type=Path, metavar="FILE", help="secret of `companion sheet`, if it had one")
    parser.add_argument("--extra", type=Path, metavar="FILE", help="points that you give: student and question (CSV)")
    parser.add_argument("--feedback", type=Path, metavar="DIR", help="folder for a page for each student")
    parser.add_argument(
        "--gradebook",
        type=Path,
        metavar="FILE",
        help="export of Canvas or Moodle; a filled copy is written beside --out",
    )
    parser.add_argument("--gradescope", action="store_true", help="also write results.json of the one submission")
    parser.add_argument(
        "--without-fence", action="store_true", help="run the students' code although it can read and delete your files"
    )

    about = "Write the sheets of a class, a variant for each student, and their key, beside the roster."
    parser = _add(group, "sheet", about, sheet)
    parser.add_argument("--roster", type=Path, required=True, metavar="FILE", help="CSV with a column `student`")
    parser.add_argument("--salt", type=Path, metavar="FILE", help="secret from which the variants are drawn")

    about = "Print questions about changes of a student's own code, with the answers; for an oral examination."
    parser = _add(group, "oral", about, oral)
    parser.add_argument("submission", type=Path, metavar="SUBMISSION", help="one notebook or .py, or a folder of them")
    parser.add_argument("--key", type=Path, metavar="FILE", help="secret that decides which changes are asked about")
    parser.add_argument(
        "--without-fence", action="store_true", help="run the students' code although it can read and delete your files"
    )


def _add(group: Any, name: str, about: str, run: Any) -> Parser:
    """Add one command, which begins with the name of an assignment, and return its parser."""
    parser: Parser = group.add_parser(name, help=about, description=about)
    parser.set_defaults(run=run)
    parser.add_argument("assignment", metavar="ASSIGNMENT", help="such as A1")
    return parser


def check(options: argparse.Namespace) -> int:
    """Print the public checks."""
    from companion.classroom import assignments, checking

    assignment = assignments.load(options.assignment)
    path = options.file or Path("." if assignment.is_project else f"{assignment.key}.ipynb")
    for line in checking.check_file(assignment.name, path):
        print(printable(line))
    return 0


def grade(options: argparse.Namespace) -> int:
    """Grade a folder, with its progress on standard error."""
    from companion.classroom import grading

    order = grading.Order(
        options.assignment,
        options.folder,
        options.out,
        key=options.key,
        salt=options.salt,
        extra=options.extra,
        feedback=options.feedback,
        gradebook=options.gradebook,
        gradescope=options.gradescope,
        fenced=not options.without_fence,
    )
    rows = grading.grade(order, report_note)
    print(f"{len(rows)} submissions in {options.out}")
    return 0


def sheet(options: argparse.Namespace) -> int:
    """Write the sheets of a class."""
    from companion.classroom import sheets, variants

    for path in sheets.write_sheets(options.assignment, options.roster, variants.read_secret(options.salt)):
        print(f"wrote {path}")
    return 0


def oral(options: argparse.Namespace) -> int:
    """Print the questions of each student and their answers."""
    from companion.classroom import oral, variants

    key = variants.read_secret(options.key)
    for student, found in oral.ask_all(options.assignment, options.submission, key, fenced=not options.without_fence):
        print(f"\n{printable(student)} · {options.assignment.upper()}")
        if isinstance(found, str):
            print(f"  no questions: {printable(found)}")
            continue
        for number, question in enumerate(found, start=1):
            first, *rest = question.text.splitlines()
            for line in (f"{number}. {first}", *(f"   {line}" for line in rest), "   Answer:"):
                print(printable(line))
            for line in question.answer:
                print(f"     {printable(line)}")
    return 0
