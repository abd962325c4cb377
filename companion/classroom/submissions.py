"""Find what was handed in: a file a student, or a folder as Canvas, Moodle or Gradescope exports it.

Nothing is unpacked or followed: a zip file is read in memory, and a link is refused. Of a project the digest is kept in
place of its bytes. Entry point: `find_submissions`.
"""

import io
import re
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

from companion.classroom import assignments
from companion.classroom.notebooks import SIZE_LIMIT
from companion.classroom.projects import unpacking
from companion.classroom.roster import Row, find_row

SUFFIXES = (".ipynb", ".py", ".zip")
IGNORED = (".csv", ".html", ".json", ".yml", ".yaml")  # what teachers and systems put beside the submissions
CANVAS = re.compile(r"(?P<name>[^_]+)(?:_LATE)?_(?P<id>\d+)_\d+_.+", re.IGNORECASE)
MOODLE = re.compile(r"(?P<name>.+)_(?P<id>\d+)_assignsubmission_file_?.*", re.IGNORECASE)


@dataclass(frozen=True)
class Submission:
    """What one student handed in: its bytes and its name, or the reason why there are none."""

    student: str
    path: Path
    name: str = ""
    data: bytes = b""
    fault: str = ""
    ids: dict[str, str] = field(default_factory=dict)  # by which the student may stand in a gradebook


def find_submissions(folder: Path, assignment: str, roster: list[Row] | None = None) -> list[Submission]:
    """Return all submissions in a folder, by the name of the student.

    Without a roster a student is called as the file is; with one, as there, where the student is found.

    Raises:
        ValueError: the folder is none, holds no submission, or two of the same student.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder}: is not a folder of submissions")
    submissions = []
    for entry in sorted(folder.iterdir()):
        if entry.name.startswith(".") or entry.suffix.lower() in IGNORED:
            continue
        ids = ids_of(entry, assignment)
        row = find_row(roster or [], ids)
        student = row.student if row else next(iter(ids.values()))
        submissions.append(read_submission(student, entry, assignment, ids))
    if not submissions:
        raise ValueError(f"{folder}: holds no notebook (.ipynb), Python file, zip file or folder")
    names = [submission.student for submission in submissions]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        paths = [submission.path.name for submission in submissions if submission.student == twice]
        raise ValueError(f"{folder}: {' and '.join(paths)} are of the same student, {twice}; leave one of them")
    return sorted(submissions, key=lambda submission: submission.student)


def ids_of(entry: Path, assignment: str) -> dict[str, str]:
    """Return by what the name of a file or folder may name its student, the best first."""
    stem = entry.name if entry.is_dir() else entry.stem
    if match := MOODLE.fullmatch(stem):
        return {"name": match["name"], "participant": f"participant {match['id']}", "id": match["id"]}
    if (match := CANVAS.fullmatch(stem)) and not entry.is_dir():
        return {"label": f"{match['name']}_{match['id']}", "id": match["id"], "name": match["name"]}
    plain = re.sub(rf"[_-]?{re.escape(assignment)}$", "", stem, flags=re.IGNORECASE)
    return {"name": plain or stem}


def read_submission(student: str, entry: Path, assignment: str, ids: dict[str, str]) -> Submission:
    """Return a submission with the bytes of its notebook, or with what is wrong with it."""
    try:
        if entry.is_symlink():
            raise ValueError("it is a link, which is not followed")
        if assignments.load(assignment).is_project:
            return Submission(student, entry, entry.name, unpacking.digest(entry), ids=ids)
        name, data = read_folder(entry, assignment) if entry.is_dir() else (entry.name, read_file(entry))
        if name.lower().endswith(".zip"):
            name, data = read_zip(data, assignment)
        if not name.lower().endswith(SUFFIXES):
            raise ValueError(f"{name} is no notebook (.ipynb)")
    except (ValueError, OSError) as error:
        return Submission(student, entry, fault=str(error), ids=ids)
    return Submission(student, entry, name, data, ids=ids)


def read_file(path: Path) -> bytes:
    """Return the bytes of a file. Raises ValueError if it is too large, or no file."""
    if not path.is_file():
        raise ValueError("it is no ordinary file")
    if path.stat().st_size > SIZE_LIMIT:
        raise ValueError(f"the file has more than {SIZE_LIMIT // 2**20} MB")
    return path.read_bytes()


def read_folder(folder: Path, assignment: str) -> tuple[str, bytes]:
    """Return name and bytes of the notebook in the folder of a student."""
    paths = [path for path in sorted(folder.iterdir()) if path.suffix.lower() in SUFFIXES and not path.is_symlink()]
    name = choose([path.name for path in paths], assignment)
    return name, read_file(folder / name)


def read_zip(data: bytes, assignment: str) -> tuple[str, bytes]:
    """Return name and bytes of the notebook in a zip file; nothing is written, so no name in it can do harm."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            is_link = 0o120000
            members = [
                member
                for member in archive.infolist()
                if not member.is_dir() and (member.external_attr >> 16) & 0o170000 != is_link
            ]
            by_name = {member.filename: member for member in members if "__MACOSX" not in member.filename}
            name = choose(list(by_name), assignment, suffixes=SUFFIXES[:2])
            if by_name[name].file_size > SIZE_LIMIT:
                raise ValueError(f"the notebook in the zip file has more than {SIZE_LIMIT // 2**20} MB")
            with archive.open(by_name[name]) as file:
                return name, file.read(SIZE_LIMIT + 1)
    except ValueError:
        raise
    except Exception as error:  # a damaged archive, an unknown compression, a password, ...
        raise ValueError(f"the zip file cannot be read ({type(error).__name__})") from None


def choose(names: list[str], assignment: str, suffixes: tuple[str, ...] = SUFFIXES) -> str:
    """Return the name that is the submission: the only one, or the only one that names the assignment.

    Raises:
        ValueError: there is none, or it cannot be told which.
    """
    for fits in (r"\.ipynb$", "|".join(re.escape(suffix) + "$" for suffix in suffixes)):
        candidates = [name for name in names if re.search(fits, name, re.IGNORECASE)]
        named = [name for name in candidates if assignment.lower() in Path(name).name.lower()]
        for chosen in (named, candidates):
            if len(chosen) == 1:
                return chosen[0]
        if candidates:
            raise ValueError(f"it holds {len(candidates)} files that could be the notebook")
    raise ValueError("it holds no notebook")
