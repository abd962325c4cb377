"""COCO results: a JSON list of `{"image_id", "caption"}`, as the caption servers take it. Write one, or score one.

Source: Chen et al. 2015, "Microsoft COCO Captions", https://cocodataset.org/#format-results.
"""

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from companion import metrics
from companion.datasets import Dataset, Example, get_split, load_readable_images
from companion.datasets.examples import split_name
from companion.datasets.parsing import Log, load_json, read_json, read_records, shorten
from companion.files import atomic_write
from companion.tokenizer import find_tokenizer

Id = int | str


def write_coco_results(path: Path, captions: Mapping[str, str]) -> None:
    """Write the captions of named pictures, all at once.

    The id of a picture is the number that ends its name, as in COCO_val2014_000000391895.jpg, if all names end in
    twelve digits and no two in the same; otherwise the name.
    """
    numbers = [re.fullmatch(r"(?:.*\D)?(\d{12})", PurePosixPath(name).stem, re.DOTALL) for name in captions]
    ids: Sequence[Id] = list(captions)
    if all(numbers) and len({int(match[1]) for match in numbers if match}) == len(ids):
        ids = [int(match[1]) for match in numbers if match]
    results = [{"image_id": i, "caption": text} for i, text in zip(ids, captions.values(), strict=True)]
    atomic_write(path, json.dumps(results).encode() + b"\n")


def score_coco_results(
    results: Iterable[tuple[Id, str]],
    dataset: Dataset,
    split: str = "dev",
    *,
    folder: Path,
    language: str = "en",
    report: Callable[[str], None] | None = None,
) -> dict[str, float | int]:
    """Return the scores of captions with ids against those of a split of the data set, which was read from `folder`.

    All are in one language, a code in `tokenizer.TOKENIZERS`.
    An id is that of the picture in the data set's own JSON, the picture's name with or without folder and suffix, or
    the number that ends it. Captions of pictures in other splits are left out. With `report`, so are pictures without
    a caption that cannot be decoded, for which nobody can make one; it is called with a line for each, and their number
    is added to the scores as in `tasks.photos.evaluate`.

    Raises:
        ValueError: there is no such split, a picture of it has no caption or several, or an id is of no picture. The
            message names the first of each.
    """
    examples = get_split(dataset, split)
    others = [example for name, each in dataset.splits.items() if name != split_name(split) for example in each]
    texts, unknown = _assign(results, examples, others, declared=_declared_ids(folder))
    damaged: dict[str, str] = {}
    if report is not None:
        damaged = _damaged([example for example in examples if example.name not in texts])
        if len(damaged) < len(examples):
            examples = [example for example in examples if example.name not in damaged]
            for reason in damaged.values():
                report(f"{reason}; left out")
    missing = [example.name for example in examples if example.name not in texts]
    double = [name for name, captions in texts.items() if len(captions) > 1]
    faults: dict[str, Sequence[Id]] = {
        "pictures of the split without a caption": missing,
        "pictures with more than one": double,
        "ids that name no picture of the data set, or several": unknown,
    }
    problems = [f"{what}: {len(ids):,} (the first is {shorten(ids[0])})" for what, ids in faults.items() if ids]
    if problems:
        raise ValueError(f"the results do not fit the split {split!r} of {folder}: {'; '.join(problems)}")
    counts = {"photographs": len(examples), "left_out": len(damaged)} if damaged else {}
    references = metrics.References([list(each.captions) for each in examples], find_tokenizer(language))
    lines = [texts[each.name][0] for each in examples]
    return metrics.score(lines, references) | metrics.nouns.noun_scores(lines, references) | counts


def _assign(
    results: Iterable[tuple[Id, str]],
    examples: Sequence[Example],
    others: Sequence[Example],
    *,
    declared: Mapping[str, set[int]],
) -> tuple[dict[str, list[str]], list[Id]]:
    """Return the captions of each example by its name, and the ids that are of no example and of none of the others."""
    own, foreign = _index(examples, declared), _index(others, declared)
    texts: dict[str, list[str]] = defaultdict(list)
    unknown: list[Id] = []
    for image_id, caption in results:
        names = _find(image_id, own)
        if len(names) == 1:
            texts[names.pop()].append(caption)
        elif names or not _find(image_id, foreign):
            unknown.append(image_id)
    return texts, unknown


def _damaged(examples: Sequence[Example]) -> dict[str, str]:
    """Return the names of the pictures that cannot be decoded, with the reasons."""
    return {
        examples[first].name: reasons[0]
        for first in range(len(examples))
        if (reasons := load_readable_images(examples[first : first + 1])[1])
    }


def read_coco_results(path: Path) -> list[tuple[Id, str]]:
    """Return the ids and captions in a results file. Raises ValueError, naming the entry, for anything else."""
    log = Log()
    content = load_json(path, log)
    if log.issues:
        raise ValueError(log.issues[0].rpartition(";")[0])
    wanted = 'a list of {"image_id": ..., "caption": "..."}'
    if not isinstance(content, list) or not content:
        raise ValueError(f"{path}: {wanted} was expected, not {shorten(content)}")
    results: list[tuple[Id, str]] = []
    for i, entry in enumerate(content):
        image_id, caption = (entry.get("image_id"), entry.get("caption")) if isinstance(entry, dict) else (None, None)
        if isinstance(image_id, float) and image_id.is_integer():  # as pandas writes whole numbers
            image_id = int(image_id)
        if isinstance(image_id, bool) or not isinstance(image_id, int | str) or not isinstance(caption, str):
            raise ValueError(f"{path}[{i}]: {wanted} was expected, not {shorten(entry)}")
        results.append((image_id, caption))
    return results


def _index(examples: Iterable[Example], declared: Mapping[str, set[int]]) -> dict[str, dict[Any, set[str]]]:
    """Return the names of the examples by all that may stand for them, in the order in which it is tried."""
    index: dict[str, dict[Any, set[str]]] = {kind: defaultdict(set) for kind in ("name", "file", "stem", "number")}
    for name in (example.name for example in examples):
        path = PurePosixPath(name)
        index["name"][name].add(name)
        index["file"][path.name].add(name)
        index["stem"][path.stem].add(name)
        number = re.search(r"\d+$", path.stem, re.ASCII)
        numbers = declared.get(path.name, set()) if declared else {int(number[0])} if number else set()
        for each in numbers:
            index["number"][each].add(name)
    return index


def _find(image_id: Id, index: Mapping[str, Mapping[Any, set[str]]]) -> set[str]:
    """Return the names of the pictures with an id; more than one if it does not tell them apart."""
    if isinstance(image_id, str):
        name = image_id.replace("\\", "/")
        for kind, key in (
            ("name", name), ("file", PurePosixPath(name).name),
            ("stem", PurePosixPath(name).name), ("stem", PurePosixPath(name).stem),
        ):  # fmt: skip
            if names := index[kind].get(key):
                return set(names)
        if not re.fullmatch(r"[0-9]{1,18}", name):
            return set()
    return set(index["number"].get(int(image_id), ()))


def _declared_ids(folder: Path) -> dict[str, set[int]]:
    """Return the ids that the JSON files of a data set, as of COCO, VizWiz or Karpathy, give to each file name."""
    ids: dict[str, set[int]] = defaultdict(set)
    names = ("captions*.json", "dataset*.json", "annotations/captions*.json", "annotations/[tv]*.json")
    for path in sorted(path for name in names for root in (folder, *folder.glob("[!.]*/")) for path in root.glob(name)):
        log = Log()
        content = read_json(path, log)
        for _, record in read_records(path, content, "images", log) if "images" in content else ():
            name = record.get("file_name") or record.get("filename")
            image_id = record.get("cocoid", record.get("id", record.get("imgid")))
            if isinstance(name, str) and isinstance(image_id, int) and not isinstance(image_id, bool):
                ids[PurePosixPath(name).name].add(image_id)
    return ids
