"""Read the data set of a task of photographs, with a dev split that no checkpoint in use was trained on.

Pictures that cannot be decoded are found when they are encoded. They are reported and left out, with their captions.

Explained in the chapter on real photographs.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from companion import checkpoints, datasets
from companion.datasets import Dataset, Example


def read_data(
    folder: Path | str,
    *,
    trained: Sequence[str] = (),
    split_ratio: Sequence[float] | None = None,
    report: Callable[[str], None] | None = datasets.print_issue,
    strict: bool = False,
) -> Dataset:
    """Return the data set in a folder; if it names no split dev, some of its training pictures are held out as dev.

    Args:
        folder: a data set that `datasets.read` reads.
        trained: the checkpoints that will be trained further or measured.
        split_ratio: the shares of train and dev (and test); by default those with which the checkpoints were trained,
            or `datasets.DEFAULT_SPLIT_RATIO`.
        report: called with every issue and note.
        strict: the first issue is an error.

    Raises:
        ValueError: the data cannot be used, `split_ratio` is not that of a checkpoint, or it has no effect; or with
            `strict`, there is an issue.
    """
    ratio = split_ratio and tuple(split_ratio)
    for checkpoint, used in ((each, used) for each in trained for used in _trained_with(each)):
        ratio = ratio or tuple(map(float, used.split("/")))
        if format_ratio(ratio) != used:
            raise ValueError(
                f"{checkpoint}: was trained with --split-ratio {used}; with {format_ratio(ratio)} it might be measured "
                "on pictures that it was trained on"
            )
    ratio = ratio or datasets.DEFAULT_SPLIT_RATIO
    dataset = datasets.read(folder, report=report, split_ratio=ratio, strict=strict)
    if split_ratio and not dataset.split_ratio and "dev" in dataset.splits:
        raise ValueError(f"{folder}: has a split dev of its own; leave --split-ratio away")
    return dataset


def picture_reporter(report: Callable[[str], None] | None, *, strict: bool) -> Callable[[str], None]:
    """Return a function that is given the reason for each picture that cannot be read.

    It reports the picture as left out, or raises ValueError with `strict`.
    """

    def handle(reason: str) -> None:
        if strict:
            raise ValueError(reason)
        if report is not None:
            report(f"{reason}; left out")

    return handle


def leave_out(
    examples: Sequence[Example], reasons: Mapping[int, str], *, place: str, report: Callable[[str], None] | None
) -> list[Example]:
    """Return the examples without those that cannot be read, and report how many these are.

    Args:
        examples: a split.
        reasons: why a picture cannot be read, by its index.
        place: the data set and the split, for the messages.
        report: called with one line if there are any.

    Raises:
        ValueError: there is no other example.
    """
    if reasons and len(reasons) == len(examples):
        first = next(iter(reasons.values()))
        raise ValueError(f"{place}: none of its {len(examples):,} photographs can be read; the first is {first}")
    if reasons and report is not None:
        report(f"{place}: {len(reasons):,} of {len(examples):,} photographs cannot be read; left out")
    return [example for i, example in enumerate(examples) if i not in reasons]


def format_ratio(ratio: Sequence[float] | None) -> str:
    """Return the shares as the command line takes them, such as "0.9/0.1"; "" for None."""
    return "/".join(f"{share:.9g}" for share in ratio or ())


def _trained_with(checkpoint: str) -> set[str]:
    """Return the split ratio with which a checkpoint was trained, or its members were, if any."""
    card = checkpoints.card(checkpoint)
    configs = [one.get("train_config") or {} for one in (card, *card.get("members", []))]
    return {config["split_ratio"] for config in configs if config.get("split_ratio")}
