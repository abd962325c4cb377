"""The layouts of Flickr8k, Flickr30k and Flickr8k-CN: one line per caption, and one list of names per split.

Sources: Hodosh et al. 2013 (Flickr8k), Young et al. 2014 (Flickr30k), Li et al. 2016 (Flickr8k-CN).
"""

import re
from collections.abc import Mapping
from pathlib import Path

from companion.datasets.examples import Dataset
from companion.datasets.layouts.base import Layout, find_image_folders, subfolders
from companion.datasets.parsing import read_lines, shorten
from companion.datasets.validation import DatasetBuilder

_WITH_LANGUAGE = re.compile(r"((\S+)#[a-z]+#\d+)#?\s+(.*)")  # Flickr8k-CN: name.jpg#zhc#0, a blank, the caption


def flickr(
    token_file: Path | str, image_folder: Path | str, split_files: Mapping[str, Path | str] | None = None
) -> Dataset:
    """Read a file with lines `name.jpg#i<TAB>caption`, and one list of names per split.

    Args:
        token_file: the captions.
        image_folder: the pictures.
        split_files: the lists, by name of the split. Without them every picture is in `train`.

    Raises:
        ValueError: a file cannot be read, or a picture is in two splits.
    """
    return _read_flickr(DatasetBuilder(image_folder), token_file, split_files or {})


def _read_flickr(builder: DatasetBuilder, token_file: Path | str, split_files: Mapping[str, Path | str]) -> Dataset:
    for split, path in split_files.items():
        for number, name in read_lines(path, builder):
            name = name.strip()  # Flickr30k's lists omit the .jpg
            name = name if Path(name).suffix else name + ".jpg"
            builder.assign_split(name, split, f"{path}:{number}", once=True)
    _read_tokens(Path(token_file), builder, default_split=None if split_files else "train")
    return builder.build()


def _read_tokens(path: Path, builder: DatasetBuilder, default_split: str | None) -> None:
    """Read the captions. Every picture goes into `default_split`, if there is one."""
    labels = set()
    for number, line in read_lines(path, builder):
        location = f"{path}:{number}"
        if match := _WITH_LANGUAGE.fullmatch(line):
            label, name, caption = match.groups()
        else:
            label, *captions = line.split("\t")
            name, hash_sign, caption_number = label.strip().rpartition("#")
            if len(captions) != 1:
                tabs = f"{len(captions) or 'no'} tab{'s' * (len(captions) > 1)}"
                builder.issue(location, f"{tabs} in {shorten(line)}, one expected")
                continue
            if not hash_sign or caption_number not in ("0", "1", "2", "3", "4"):
                builder.issue(location, f"{shorten(label)} should end in a caption number, #0 to #4")
                continue
            caption = captions[0]
        if label in labels:
            builder.issue(location, f"{shorten(label)} was there before")
            continue
        labels.add(label)
        builder.add_caption(name, caption, location)
        if default_split is not None:
            builder.assign_split(name, default_split, location)


def _find_file(folder: Path, name: str) -> Path | None:
    """Return the file of this name in a folder or in one of its subfolders, as archives of captions have one."""
    return next((each / name for each in (folder, *subfolders(folder)) if (each / name).is_file()), None)


def _read_flickr8k(folder: Path) -> Dataset | None:
    tokens = _find_file(folder, "Flickr8k.token.txt")
    if tokens is None:
        return None
    lists = {}
    for path in sorted(tokens.parent.glob("Flickr_8k.*Images.txt")):
        if match := re.fullmatch(r"Flickr_8k\.(\w+)Images\.txt", path.name):
            lists[match[1]] = path
    return _read_flickr(DatasetBuilder(find_image_folders(folder)), tokens, lists)


def _read_flickr30k(folder: Path) -> Dataset | None:
    tokens = folder / "results_20130124.token"
    if not tokens.exists():
        return None
    lists = {name: folder / f"{name}.txt" for name in ("train", "val", "test") if (folder / f"{name}.txt").exists()}
    return _read_flickr(DatasetBuilder(find_image_folders(folder)), tokens, lists)


def _read_flickr8k_cn(folder: Path) -> Dataset | None:
    """Read the captions that were written in Chinese, or, where these are not there, the only ones that are."""
    tokens = _find_file(folder, "flickr8kzhc.caption.txt")
    if tokens is None:
        found = sorted(folder.glob("flickr8k*.caption*.txt"))
        if len(found) > 1:
            raise ValueError(f"{folder}: {found[0].name} and {found[1].name} are both there; keep the one meant")
        if not found:
            return None
        tokens = found[0]
    lists = {split: tokens.parent / f"flickr8k{split}.txt" for split in ("train", "val", "test")}
    lists = {split: path for split, path in lists.items() if path.exists()}
    return _read_flickr(DatasetBuilder(find_image_folders(folder)), tokens, lists)


FLICKR8K = Layout("Flickr8k.token.txt, Flickr_8k.trainImages.txt (dev, test), Flicker8k_Dataset/", _read_flickr8k)
FLICKR30K = Layout(
    "results_20130124.token, flickr30k_images/, and lists train.txt, val.txt, test.txt if there are any",
    _read_flickr30k,
)
FLICKR8K_CN = Layout(
    "flickr8kzhc.caption.txt, flickr8ktrain.txt (val, test) if there are any, Flicker8k_Dataset/", _read_flickr8k_cn
)
