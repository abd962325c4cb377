"""Lists of records in JSON, as AI Challenger, neuraltalk2 and many scripts have them.

Sources: Wu et al. 2017, "AI Challenger" (`[{"image_id": "x.jpg", "caption": [...]}]`); neuraltalk2, Karpathy 2015
(`[{"file_path": "val2014/x.jpg", "captions": [...]}]`). Other names of fields, one object in each line, and an object
of captions by file name are read as well.
"""

from pathlib import Path
from typing import Any

from companion.datasets.examples import Dataset
from companion.datasets.image_folder import IMAGE_SUFFIXES
from companion.datasets.layouts.base import Layout, by_split, find_image_folders, json_files, split_folders, subfolders
from companion.datasets.layouts.records import add_record, find_fields
from companion.datasets.parsing import Log, load_json, read_json_lines, shorten
from companion.datasets.validation import DatasetBuilder

Records = list[tuple[str, dict[str, Any]]]  # each with its location


def _read(folder: Path) -> Dataset | None:
    found: dict[Path, tuple[Records, Log]] = {}
    for places in ([folder, folder / "annotations"], subfolders(folder)):
        for path in (path for place in places for path in json_files(place)):
            if records_and_log := _records(path):
                found[path] = records_and_log
        if found:
            break
    else:
        return None
    parents = sorted({path.parent for path in found} - {folder})
    builder = DatasetBuilder([each for place in (folder, *parents) for each in find_image_folders(place)])
    folders = {split: name for place in (folder, *parents) for split, name in split_folders(place).items()}
    for split, path in by_split(folder, found).items():
        records, log = found[path]
        builder.issues += log.issues
        builder.notes += log.notes
        for location, record in records:
            if fields := find_fields(record):
                add_record(builder, record, fields, location, split=split, folders=folders)
            else:
                builder.issue(location, f"no picture or no caption is named in {shorten(record)}")
    return builder.build()


def _records(path: Path) -> tuple[Records, Log] | None:
    """Return the records in a file, with what is wrong in it; None if these are not captions of pictures by name."""
    log = Log()
    content = load_json(path, log) if path.suffix == ".json" else None
    if content is None:  # perhaps one object in each line
        lines = Log()
        records = list(read_json_lines(path, lines))
        if records:
            log = lines
        elif not path.read_bytes().lstrip().startswith(b"["):
            return None
        else:
            return [], log  # a list that is not complete
    else:
        records = _records_of(path, content, log)
    fields = find_fields(records[0][1]) if records else None
    return (records, log) if fields and isinstance(records[0][1][fields.image], str) else None


def _records_of(path: Path, content: Any, log: Log) -> Records:
    """Return the records of a list, of the first list of records in an object, or of captions by file name."""
    if isinstance(content, dict):
        name = next(iter(content), "")
        if name.lower().endswith(IMAGE_SUFFIXES):
            return [(f"{path}:{shorten(key)}", {"image": key, "caption": value}) for key, value in content.items()]
        lists = [each for each in content.values() if isinstance(each, list) and each and isinstance(each[0], dict)]
        content = next((each for each in lists if find_fields(each[0])), [])
    if not isinstance(content, list):
        return []
    for i, record in enumerate(content):
        if not isinstance(record, dict):
            log.issue(f"{path}[{i}]", f"{shorten(record)} is not a record")
    return [(f"{path}[{i}]", record) for i, record in enumerate(content) if isinstance(record, dict)]


JSON_LIST = Layout(
    'a JSON list, or one object in each line, of {"image": name, "captions": [...]} (file_path, image_id, caption..., '
    "split); pictures in images/, photographs/ or beside it",
    _read,
)
