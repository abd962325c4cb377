"""Andrej Karpathy's layout: one JSON file with the captions and the splits of Flickr8k, Flickr30k or COCO.

Source: Karpathy and Fei-Fei 2015; these are the splits on which papers report their scores.
"""

from pathlib import Path

from companion.datasets.examples import Dataset
from companion.datasets.layouts.base import Layout, find_image_folders
from companion.datasets.parsing import read_json, read_records
from companion.datasets.validation import DatasetBuilder, ImageFolders


def karpathy(json_file: Path | str, image_folder: ImageFolders) -> Dataset:
    """Read `{"images": [{"filename", "split", "sentences": [{"raw"}], "filepath" (COCO's alone)}]}`.

    Args:
        json_file: captions and splits.
        image_folder: the pictures; `filepath`, where there is one, is a folder inside it. Of several folders the first
            that holds a picture has it.

    Raises:
        ValueError: the file cannot be read, or a picture is in two splits.
    """
    builder = DatasetBuilder(image_folder)
    content = read_json(json_file, builder)
    for location, record in read_records(json_file, content, "images", builder):
        name, split, sentences = record.get("filename"), record.get("split"), record.get("sentences")
        if not (isinstance(name, str) and isinstance(split, str) and split.strip() and isinstance(sentences, list)):
            builder.issue(location, "filename, split or sentences are missing or of another kind")
            continue
        subfolder = record.get("filepath")
        name = f"{subfolder}/{name}" if isinstance(subfolder, str) and subfolder else name
        if not builder.assign_split(name, split, location, once=True):
            continue
        for i, sentence in enumerate(sentences):
            if isinstance(sentence, dict) and isinstance(sentence.get("raw"), str):
                builder.add_caption(name, sentence["raw"], f"{location}.sentences[{i}]")
            else:
                builder.issue(f"{location}.sentences[{i}]", "no text under raw")
    return builder.build()


def _read(folder: Path) -> Dataset | None:
    files = sorted(folder.glob("dataset*.json"))
    if len(files) > 1:
        raise ValueError(f"{folder}: {files[0].name} and {files[1].name} are both there; keep the one that is meant")
    return karpathy(files[0], find_image_folders(folder)) if files else None


KARPATHY = Layout("dataset*.json, pictures in Flicker8k_Dataset/, flickr30k_images/, images/ or beside it", _read)
