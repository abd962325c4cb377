"""The layout of Hugging Face's `imagefolder`: a file metadata.csv or metadata.jsonl beside the pictures it describes.

Every split has such a file in a folder of its own, or one file above them names pictures such as train/0001.png.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from companion.datasets.examples import Dataset
from companion.datasets.layouts.base import Layout, find_image_folders, split_in, subfolders
from companion.datasets.layouts.records import add_record, find_fields
from companion.datasets.parsing import Log, read_json_lines
from companion.datasets.tables import read_header, read_rows
from companion.datasets.validation import DatasetBuilder


def _read(folder: Path) -> Dataset | None:
    builder = None
    for each in [folder, *(inner for outer in subfolders(folder) for inner in (outer, *subfolders(outer)))]:
        files = [path for suffix in ("csv", "jsonl", "parquet") if (path := each / f"metadata.{suffix}").is_file()]
        if len(files) > 1:
            raise ValueError(f"{each}: {files[0].name} and {files[1].name} are both there; keep the one that is meant")
        if files:
            builder = builder or DatasetBuilder(find_image_folders(folder))
            _read_metadata(builder, files[0], each.relative_to(folder).as_posix().removeprefix("."))
    return builder.build() if builder else None


def _read_metadata(builder: DatasetBuilder, path: Path, subfolder: str) -> None:
    """Add the captions of one file. Names are relative to its folder, and a folder's name may be that of a split."""
    for location, record in _records(path, builder):
        fields = find_fields(record)
        if fields is None:
            builder.issue(location, "there is no file_name, or no text or caption")
            continue
        name = record[fields.image]
        if isinstance(name, str) and name.strip() and subfolder:
            name = f"{subfolder}/{name.strip()}"
        split = split_in(str(name).rpartition("/")[0]) or "train"
        add_record(builder, {**record, fields.image: name}, fields, location, split=split)


def _records(path: Path, log: Log) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if path.suffix == ".jsonl":
        yield from read_json_lines(path, log)
    elif path.suffix == ".csv":
        yield from read_rows(path, read_header(path, log), log)
    else:
        raise ValueError(f"{path}: Parquet is not read here; save it as metadata.csv or metadata.jsonl")


IMAGEFOLDER = Layout(
    "metadata.csv or metadata.jsonl with file_name and text or caption, beside its pictures or in train/ (validation, "
    "test)",
    _read,
)
