"""A folder of photographs and captions goes in, in the layout in which it was published; examples by split come out.

Files of other people hold surprises. Each is reported as "file:line: what was found; what was done", the line is left
out and the rest is read. One thing stops everything: the same picture in two splits. Explained in chapter 16.
"""

import csv
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from companion.collecting import Collector, Dataset, Example, document, lines, records, short, split_name

__all__ = ["Dataset", "Example", "coco", "csv_file", "flickr", "karpathy", "pick", "read"]

LAYOUTS = """\
  Flickr8k     Flickr8k.token.txt, Flickr_8k.trainImages.txt (dev, test), Flicker8k_Dataset/
  Karpathy     dataset*.json, pictures in Flicker8k_Dataset/, flickr30k_images/, images/ or beside it
  Flickr30k    results_20130124.token, flickr30k_images/, and lists train.txt, val.txt, test.txt if there are any
  COCO         annotations/captions_train2017.json (val...) with train2017/ (val...), or captions*.json with images/
  CSV          captions.csv with a first line image,caption or image,caption,split; pictures in images/ or beside it"""

PICTURE_FOLDERS = ("Flicker8k_Dataset", "Flickr8k_Dataset", "flickr30k_images", "flickr30k-images", "images", "Images")


def read(folder: Path | str) -> Dataset:
    """The data set in `folder`, whichever of the `LAYOUTS` it has. ValueError if none, or if no picture can be used."""
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(f"{folder}: there is no such folder")
    for reader in (_read_flickr8k, _read_karpathy, _read_flickr30k, _read_coco, _read_csv):
        if (dataset := reader(folder)) is not None:
            if not dataset.splits:
                first = dataset.faults[0] if dataset.faults else "its files are empty"
                raise ValueError(f"{folder}: no picture with a caption could be read; the first fault is {first}")
            return dataset
    raise ValueError(f"{folder}: no known layout; the folder should hold one of\n{LAYOUTS}")


def pick(dataset: Dataset, name: str) -> list[Example]:
    """The examples of one split. ValueError, naming those there are, if it is not among them."""
    examples = dataset.splits.get(split_name(name))
    if examples is None:
        raise ValueError(f"there is no split {name!r}; this data set has {', '.join(dataset.splits) or 'none'}")
    return examples


def flickr(
    token_file: Path | str, image_folder: Path | str, split_files: Mapping[str, Path | str] | None = None
) -> Dataset:
    """Flickr8k's and Flickr30k's form: lines `name.jpg#i<TAB>caption`, and one list of names a split.

    Without `split_files` every picture is in `train`.
    """
    found = Collector(image_folder, [])
    for split, path in (split_files or {}).items():
        for line, name in lines(path, found.faults):
            if name := name.strip():  # Flickr30k's lists leave the .jpg away
                found.assign(name if Path(name).suffix else name + ".jpg", split, f"{path}:{line}", once=True)
    _read_tokens(Path(token_file), found, everything="" if split_files else "train")
    return found.dataset()


def _read_tokens(path: Path, found: Collector, everything: str) -> None:
    seen = set()
    for line, text in lines(path, found.faults):
        where = f"{path}:{line}"
        label, *captions = text.split("\t")
        name, mark, number = label.strip().rpartition("#")
        if not text.strip():
            found.fault(where, "an empty line", "passed over")
        elif len(captions) != 1:
            found.fault(where, f"{len(captions) or 'no'} tab{'s' * (len(captions) > 1)} in {short(text)}, one expected")
        elif not mark or number not in ("0", "1", "2", "3", "4"):
            found.fault(where, f"{short(label)} should end in a caption number, #0 to #4")
        elif label in seen:
            found.fault(where, f"{short(label)} was there before")
        else:
            seen.add(label)
            found.caption(name, captions[0], where)
            if everything:
                found.assign(name, everything, where)


def karpathy(json_file: Path | str, image_folder: Path | str) -> Dataset:
    """Andrej Karpathy's form: {"images": [{"filename", "split", "sentences": [{"raw"}], "filepath" (COCO's)}]}."""
    found = Collector(image_folder, [])
    for where, record in records(json_file, document(json_file, found.faults), "images", found.faults):
        name, split, sentences = record.get("filename"), record.get("split"), record.get("sentences")
        if not (isinstance(name, str) and isinstance(split, str) and split.strip() and isinstance(sentences, list)):
            found.fault(where, "filename, split or sentences are missing or of another kind")
            continue
        place = record.get("filepath")
        name = f"{place}/{name}" if isinstance(place, str) and place else name
        if not found.assign(name, split, where, once=True):
            continue
        for i, sentence in enumerate(sentences):
            if isinstance(sentence, dict) and isinstance(sentence.get("raw"), str):
                found.caption(name, sentence["raw"], f"{where}.sentences[{i}]")
            else:
                found.fault(f"{where}.sentences[{i}]", "no text under raw")
    return found.dataset()


def coco(caption_files: Mapping[str, Path | str], image_folder: Path | str) -> Dataset:
    """COCO's form, one file a split: {"images": [{"id", "file_name"}], "annotations": [{"image_id", "caption"}]}.

    Pictures are looked for in a folder named after the file (captions_train2017.json: train2017/), else in
    `image_folder` itself. A record of `images` may name its own "split".
    """
    found = Collector(image_folder, [])
    for split, path in caption_files.items():
        place = Path(path).stem.removeprefix("captions").lstrip("_")
        prefix = f"{place}/" if place and (Path(image_folder) / place).is_dir() else ""
        whole = document(path, found.faults)
        names = _coco_names(path, whole, split, prefix, found)
        for where, record in records(path, whole, "annotations", found.faults):
            number, text = record.get("image_id"), record.get("caption")
            if not (isinstance(number, int | str) and isinstance(text, str)):
                found.fault(where, "image_id or caption is missing or of another kind")
            elif number not in names:
                found.fault(where, f"no picture has the id {short(number)}")
            else:
                found.caption(names[number], text, where)
    return found.dataset()


def _coco_names(
    path: Path | str, whole: dict[str, Any], split: str, prefix: str, found: Collector
) -> dict[int | str, str]:
    names: dict[int | str, str] = {}
    for where, record in records(path, whole, "images", found.faults):
        number, name, own = record.get("id"), record.get("file_name"), record.get("split") or split
        if not (isinstance(number, int | str) and name and isinstance(name, str) and isinstance(own, str)):
            found.fault(where, "id or file_name is missing or of another kind")
        elif number in names:
            found.fault(where, f"the id {short(number)} was there before, for {names[number]!r}")
        else:
            names[number] = prefix + name
            found.assign(names[number], own, where, once=True)
    return names


def csv_file(path: Path | str, image_folder: Path | str | None = None) -> Dataset:
    """A table with a first line `image,caption` or `image,caption,split`, one caption a line, in the order you like.

    Pictures are looked for beside the file unless `image_folder` says otherwise; without a split, all are in `train`.
    """
    found = Collector(image_folder or Path(path).parent, [])
    for where, row in _rows(path, found.faults):
        name, split = row["image"].strip(), row.get("split", "train")
        if split.strip():
            found.caption(name, row["caption"], where)
            found.assign(name, split, where)
        else:
            found.fault(where, "no split is named")
    return found.dataset()


def _rows(path: Path | str, faults: list[str]) -> Iterator[tuple[str, dict[str, str]]]:
    header: list[str] = []
    for line, text in lines(path, faults):
        where = f"{path}:{line}"
        try:
            # Each line by itself: a forgotten quotation mark then costs one caption, and not the rest of the file.
            fields = next(csv.reader([text], strict=True), [])
        except csv.Error as error:
            faults.append(f"{where}: {short(text)}: {error}; left out")
            continue
        if not header:
            header = [field.strip().lower() for field in fields]
            if not {"image", "caption"} <= set(header):
                raise ValueError(f"{where}: image,caption or image,caption,split was expected, not {short(text)}")
        elif not fields:
            faults.append(f"{where}: an empty line; passed over")
        elif len(fields) != len(header):
            faults.append(f"{where}: {len(fields)} fields, not {len(header)} (quote a caption with commas); left out")
        else:
            yield where, dict(zip(header, fields, strict=True))


def _read_flickr8k(folder: Path) -> Dataset | None:
    tokens = folder / "Flickr8k.token.txt"
    lists = {match[1]: path for path in sorted(folder.glob("Flickr_8k.*Images.txt")) if (match := _list_name(path))}
    return flickr(tokens, _pictures(folder), lists) if tokens.exists() else None


def _list_name(path: Path) -> re.Match[str] | None:
    return re.fullmatch(r"Flickr_8k\.(\w+)Images\.txt", path.name)


def _read_flickr30k(folder: Path) -> Dataset | None:
    tokens = folder / "results_20130124.token"
    lists = {name: folder / f"{name}.txt" for name in ("train", "val", "test") if (folder / f"{name}.txt").exists()}
    return flickr(tokens, _pictures(folder), lists) if tokens.exists() else None


def _read_karpathy(folder: Path) -> Dataset | None:
    files = sorted(folder.glob("dataset*.json"))
    if len(files) > 1:
        raise ValueError(f"{folder}: {files[0].name} and {files[1].name} are both there; keep the one that is meant")
    return karpathy(files[0], _pictures(folder)) if files else None


def _read_coco(folder: Path) -> Dataset | None:
    files: dict[str, Path] = {}
    for path in sorted([*folder.glob("annotations/captions*.json"), *folder.glob("captions*.json")]):
        match = re.fullmatch(r"captions_?([a-zA-Z]*)\d*", path.stem)
        split = split_name(match[1] if match else path.stem.removeprefix("captions").strip("_")) or "train"
        if split in files:
            raise ValueError(f"{folder}: {files[split].name} and {path.name} are both for {split}; keep one of them")
        files[split] = path
    return coco(files, _pictures(folder)) if files else None


def _read_csv(folder: Path) -> Dataset | None:
    path = next((folder / name for name in ("captions.csv", "captions.txt") if (folder / name).exists()), None)
    return csv_file(path, _pictures(folder)) if path else None


def _pictures(folder: Path) -> Path:
    return next((folder / name for name in PICTURE_FOLDERS if (folder / name).is_dir()), folder)
