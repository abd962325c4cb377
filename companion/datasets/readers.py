"""Read a folder of photographs and captions in the layout in which it was published, and return examples by split.

Files of others hold surprises. What cost an example or a caption is an issue, what cost nothing is a note, each in one
line: "file:line: what was found; what was done". One thing stops everything: the same picture in two splits. Explained
in the chapter on real photographs.
"""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from companion.datasets.copies import MAX_COMPARED, find_near_copies
from companion.datasets.examples import Dataset, Example, split_name
from companion.datasets.layouts import LAYOUTS, describe_layouts
from companion.datasets.layouts.base import subfolders
from companion.datasets.splits import hold_out


def read(
    folder: Path | str,
    *,
    report: Callable[[str], None] | None = None,
    split_ratio: Sequence[float] | None = None,
    strict: bool = False,
) -> Dataset:
    """Return the data set in `folder`, in the first of the `LAYOUTS` that finds pictures with captions in it.

    Args:
        folder: a data set as it was published. One that holds nothing but a subfolder with a data set will do.
        report: called with every issue and every note, one line each.
        split_ratio: shares of train and dev (and test). If no picture is in a split dev, so many of those in train are
            put there; see `splits.hold_out`. None leaves the splits as they are.
        strict: the first issue is an error.

    Raises:
        ValueError: the folder has none of the layouts, no picture in it can be used, or one is in two splits; or with
            `strict`, there is an issue.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(f"{folder}: {'is a file; name the folder it is in' if folder.exists() else 'no such folder'}")
    dataset = _find_dataset(folder)
    if not dataset.splits:
        raise ValueError(f"{folder}: no picture with a caption could be read; {_cause(dataset.issues)}")
    if strict and dataset.issues:
        raise ValueError(dataset.issues[0].rpartition(";")[0])
    if split_ratio is not None:
        dataset = hold_out(dataset, split_ratio, folder)
    dataset = _note_near_copies(dataset, folder)
    for line in (*dataset.issues, *dataset.notes):
        if report is not None:
            report(line)
    return dataset


def _find_dataset(folder: Path) -> Dataset:
    """Return the data set of a folder, or of the only subfolder that has one; one without examples if none has any.

    Raises ValueError if neither has a known layout.
    """
    dataset = _read_layouts(folder)
    if dataset is None:
        inner = [found for each in subfolders(folder) if (found := _read_layouts(each)) is not None]
        if len(inner) != 1:
            raise ValueError(f"{folder}: no known layout; the folder should hold one of\n{describe_layouts()}")
        dataset = inner[0]
    return dataset


def _read_layouts(folder: Path) -> Dataset | None:
    """Return the data set of the first layout that finds examples; else of the first that knows the folder, if any."""
    first: Dataset | None = None
    passed_over: list[str] = []
    for name, layout in LAYOUTS.items():
        if (dataset := layout.read(folder)) is not None:
            if dataset.splits:
                return dataset._replace(notes=[*passed_over, *dataset.notes])
            passed_over.append(f"{folder}: read in another layout than {name}, in which {_cause(dataset.issues)}")
            first = first or dataset
    return first


def _note_near_copies(dataset: Dataset, folder: Path) -> Dataset:
    """Return the data set with a note if pictures of one split look like pictures of another."""
    if len(dataset.splits) < 2:
        return dataset
    count = sum(map(len, dataset.splits.values()))
    if count > MAX_COMPARED:
        finding = f"{count:,} pictures are too many to look for similar ones in different splits"
    elif copies := find_near_copies(dataset.splits):
        split, example, other_split, other = copies[0]
        pictures = f"{len(copies):,} pictures look" if len(copies) > 1 else "1 picture looks"
        finding = (
            f"{pictures} like one of another split (the first is {example.name!r} in {split!r}, like {other.name!r} in "
            f"{other_split!r}), and may flatter a score; kept"
        )
    else:
        return dataset
    return dataset._replace(notes=[*dataset.notes, f"{folder}: {finding}"])


def _cause(issues: list[str]) -> str:
    """Return the first issue, for a data set that has no example."""
    return f"the first issue is {issues[0]}" if issues else "its files are empty"


def print_issue(issue: str) -> None:
    """Print an issue or a note on standard error: the usual `report` of `read`."""
    print(issue, file=sys.stderr)


def get_split(dataset: Dataset, name: str) -> list[Example]:
    """Return the examples of one split. Raises ValueError, naming the splits that there are, for any other."""
    examples = dataset.splits.get(split_name(name))
    if examples is None:
        there = ", ".join(dataset.splits) or "none"
        hint = "; it takes two different pictures in train to hold one out" if split_name(name) == "dev" else ""
        raise ValueError(f"there is no split {name!r}; this data set has {there}{hint if 'train' in there else ''}")
    return examples
