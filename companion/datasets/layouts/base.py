"""What a layout is, and where data sets keep their pictures."""

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from companion.datasets.examples import SPLITS, Dataset, split_name

IMAGE_FOLDERS = (
    *("Flicker8k_Dataset", "Flickr8k_Dataset", "flickr30k_images", "flickr30k-images", "images", "Images"),
    *("photographs", "photos", "pictures"),
)
MAX_JSON_FILES = 20  # in a folder of data; one with more is a folder of pictures, with a file about each


class Layout(NamedTuple):
    """A way in which captioned photographs are published, and its reader.

    `read` returns None, and reads nothing, for a folder without the files that mark this layout. Where the files are
    there and contradict each other it raises ValueError; everything else that is wrong becomes an issue of the data
    set.
    """

    description: str  # its files, on one line; shown where a folder has no known layout
    read: Callable[[Path], Dataset | None]


def find_image_folders(folder: Path) -> list[Path]:
    """Return where the pictures of a data set may be, likely folders first.

    These are the `IMAGE_FOLDERS` that it holds (archives of Kaggle have one in another), the folder itself, and then
    every other subfolder that is not one split's alone.
    """
    likely = [folder / name for name in IMAGE_FOLDERS if (folder / name).is_dir()]
    nested = [each / name for each in likely for name in IMAGE_FOLDERS if (each / name).is_dir()]
    others = [each for each in subfolders(folder) if each not in likely and not split_in(each.name)]
    return [*likely, *nested, folder, *others]


def subfolders(folder: Path) -> list[Path]:
    """Return the folders in a folder that are not hidden, in the order of their names."""
    return sorted(each for each in folder.iterdir() if each.is_dir() and not each.name.startswith((".", "__MACOSX")))


def split_in(text: str) -> str | None:
    """Return the split that a file or folder name speaks of ("train2017", "caption_validation_images"), if any."""
    words = re.findall("[a-z]+", text.lower())
    return next((split_name(word) for word in words if split_name(word) in SPLITS), None)


def split_folders(folder: Path) -> dict[str, str]:
    """Return by split the name of the subfolder that has its pictures, as far as names tell."""
    names = [each.name for root in find_image_folders(folder) for each in subfolders(root)]
    return {split: name for name in reversed(names) if (split := split_in(name))}


def json_files(folder: Path) -> list[Path]:
    """Return the JSON files in a folder that may hold captions and are not of a layout that knows them by name.

    There are none in a folder with a JSON file for every picture.
    """
    others = ("metadata", "dataset", "result", "prediction")  # the last two: a captioner's output looks like captions
    files = [path for suffix in ("json", "jsonl") for path in sorted(folder.glob(f"*.{suffix}"))]
    files = [path for path in files if path.is_file() and not any(word in path.stem.lower() for word in others)]
    return files if len(files) <= MAX_JSON_FILES else []


def by_split(folder: Path, files: Iterable[Path]) -> dict[str, Path]:
    """Return caption files by the split that their names speak of; one that speaks of none is for `train`.

    Raises ValueError if two files are for the same split.
    """
    chosen: dict[str, Path] = {}
    for path in files:
        split = split_in(path.stem) or "train"
        if split in chosen:
            raise ValueError(f"{folder}: {chosen[split].name} and {path.name} are both for {split}; keep one of them")
        chosen[split] = path
    return chosen
