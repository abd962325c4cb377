"""A table of captions, the layout for photographs of one's own; Kaggle has Flickr8k and Flickr30k in it, too."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from companion.datasets.examples import Dataset
from companion.datasets.layouts.base import Layout, by_split, find_image_folders, split_folders
from companion.datasets.layouts.records import add_record, find_fields
from companion.datasets.parsing import Log, shorten
from companion.datasets.tables import read_header, read_rows
from companion.datasets.validation import DatasetBuilder

NAMES = ("captions.csv", "captions.tsv", "captions.txt")
EXPECTED = "image,caption or image,caption,split"


def csv_file(path: Path | str, image_folder: Path | str | None = None) -> Dataset:
    """Read a table with a header such as `image,caption` or `image,caption,split`, and one caption per row.

    Args:
        path: the table. Its columns may come in any order and be separated by commas, semicolons, tabs or bars; without
            a split column every picture is in `train`.
        image_folder: the pictures, by default beside the table.

    Raises:
        ValueError: the file cannot be read, its header is another, or a picture is in two splits.
    """
    builder = DatasetBuilder(image_folder or Path(path).parent)
    read_table(builder, path)
    return builder.build()


def read_table(
    builder: DatasetBuilder,
    path: Path | str,
    *,
    split: str = "train",
    folders: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Add the captions of a table to a data set.

    `split` is for tables without a column for it; `folders` are subfolders in which the pictures of splits may be.
    Raises ValueError if the file cannot be read or its header names no picture or no caption.
    """
    table = read_header(path, builder)
    fields = find_fields(table.header)
    if fields is None:
        if table.header:
            found = shorten(table.dialect["delimiter"].join(table.header))
            raise ValueError(f"{table.location}: {EXPECTED} was expected, not {found}")
        return
    for location, row in read_rows(path, table, builder):
        add_record(builder, row, fields, location, split=split, folders=folders)


def _read(folder: Path) -> Dataset | None:
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in (".csv", ".tsv", ".txt"))
    named = [path for name in NAMES for path in files if path.name.lower() == name]
    tables = {"train": named[0]} if named else by_split(folder, filter(_has_captions, files))
    if not tables:
        return None
    builder = DatasetBuilder(find_image_folders(folder))
    for split, path in tables.items():
        read_table(builder, path, split=split, folders=split_folders(folder))
    return builder.build()


def _has_captions(path: Path) -> bool:
    """Return whether a file is a table whose header names a picture and a caption, and of no other layout."""
    if not path.is_file() or path.suffix.lower() == ".txt" or path.stem.lower() == "metadata":
        return False
    try:
        return find_fields(read_header(path, Log()).header) is not None
    except ValueError:
        return False


CSV = Layout(
    "captions.csv (.tsv, .txt, or any table) with a first line image,caption or image,caption,split; pictures in "
    "images/ or beside it",
    _read,
)
