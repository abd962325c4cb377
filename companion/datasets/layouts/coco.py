"""The layouts of COCO and VizWiz: one JSON file per split, with a list of pictures and a list of captions.

Sources: Chen et al. 2015, "Microsoft COCO Captions"; Gurari et al. 2020, "Captioning Images Taken by People Who Are
Blind".
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from companion.datasets.examples import Dataset, split_name
from companion.datasets.layouts.base import Layout, by_split, find_image_folders, json_files, split_folders
from companion.datasets.parsing import read_json, read_records, shorten
from companion.datasets.validation import DatasetBuilder, ImageFolders


def coco(caption_files: Mapping[str, Path | str], image_folder: ImageFolders) -> Dataset:
    """Read `{"images": [{"id", "file_name"}], "annotations": [{"image_id", "caption"}]}`, one file per split.

    A caption that VizWiz marks as `is_rejected` or `is_precanned` describes no picture, and is left out.

    Args:
        caption_files: the files, by name of the split. A record of `images` may name another split under "split".
        image_folder: holds a folder of pictures named after each file (train2017/ for captions_train2017.json), or
            the pictures themselves. Of several folders the first that holds a picture has it.

    Raises:
        ValueError: a file cannot be read, or a picture is in two splits.
    """
    return _read_files(DatasetBuilder(image_folder), caption_files, {})


def _read_files(
    builder: DatasetBuilder, caption_files: Mapping[str, Path | str], folders: Mapping[str, str]
) -> Dataset:
    """Read the files; `folders` has by split a subfolder in which its pictures may be."""
    for split, path in caption_files.items():
        content = read_json(path, builder)
        if content.get("images") and "annotations" not in content:
            builder.note(path, "it has pictures, but no captions", "not used")
            continue
        subfolders = Path(path).stem.removeprefix("captions").lstrip("_"), folders.get(split_name(split), "")
        names = _read_images(path, content, builder, split=split, subfolders=subfolders)
        unfit = []
        for location, record in read_records(path, content, "annotations", builder):
            image_id, text = record.get("image_id"), record.get("caption")
            if record.get("is_rejected") or record.get("is_precanned"):
                unfit.append(location)
            elif not (isinstance(image_id, int | str) and isinstance(text, str)):
                builder.issue(location, "image_id or caption is missing or of another kind")
            elif image_id not in names:
                builder.issue(location, f"no picture has the id {shorten(image_id)}")
            else:
                builder.add_caption(names[image_id], text, location)
        if unfit:
            others = f"it and {len(unfit) - 1:,} more are" if len(unfit) > 1 else "it is"
            builder.issue(unfit[0], f"{others} marked is_rejected or is_precanned")
    return builder.build()


def _read_images(
    path: Path | str, content: dict[str, Any], builder: DatasetBuilder, *, split: str, subfolders: Iterable[str]
) -> dict[int | str, str]:
    """Assign the pictures of a file to their splits, and return their names by id."""
    names: dict[int | str, str] = {}
    for location, record in read_records(path, content, "images", builder):
        image_id, name, own_split = record.get("id"), record.get("file_name"), record.get("split") or split
        if not (isinstance(image_id, int | str) and name and isinstance(name, str) and isinstance(own_split, str)):
            builder.issue(location, "id or file_name is missing or of another kind")
        elif image_id in names:
            builder.issue(location, f"the id {shorten(image_id)} was there before, for {names[image_id]!r}")
        else:
            names[image_id] = builder.prefer_folder(name, *subfolders)
            builder.assign_split(names[image_id], own_split, location, once=True)
    return names


def _read_coco(folder: Path) -> Dataset | None:
    files: dict[str, Path] = {}
    for path in sorted([*folder.glob("annotations/captions*.json"), *folder.glob("captions*.json")]):
        match = re.fullmatch(r"captions_?([a-zA-Z]*)\d*", path.stem)
        split = split_name(match[1] if match else path.stem.removeprefix("captions").strip("_")) or "train"
        if split in files:
            raise ValueError(f"{folder}: {files[split].name} and {path.name} are both for {split}; keep one of them")
        files[split] = path
    return _read_files(DatasetBuilder(find_image_folders(folder)), files, split_folders(folder)) if files else None


def _read_vizwiz(folder: Path) -> Dataset | None:
    """Read files in the form of COCO whose names are others."""
    if any(folder.glob("captions*.json")) or any(folder.glob("annotations/captions*.json")):
        return None
    files = [path for place in (folder / "annotations", folder) for path in json_files(place) if _is_coco(path)]
    builder = DatasetBuilder(find_image_folders(folder))
    return _read_files(builder, by_split(folder, files), split_folders(folder)) if files else None


def _is_coco(path: Path) -> bool:
    """Return whether a file has pictures, and captions of them, as COCO; or pictures alone, as VizWiz's test.json."""
    data = path.read_bytes()
    return b'"images"' in data and b'"file_name"' in data and (b'"annotations"' not in data or b'"caption"' in data)


COCO = Layout(
    "annotations/captions_train2017.json (val...) with train2017/ (val...), or captions*.json with images/", _read_coco
)
VIZWIZ = Layout("annotations/train.json (val, test) in the form of COCO, with train/ (val, test)", _read_vizwiz)
