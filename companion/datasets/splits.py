"""Hold a dev split out of the training pictures of a data set that has none.

Explained in the chapter on real photographs.
"""

from bisect import bisect_left
from collections.abc import Sequence
from pathlib import Path

from companion.datasets.copies import content_hash, file_of
from companion.datasets.examples import Dataset, Example
from companion.datasets.images import can_decode

DEFAULT_SPLIT_RATIO = (0.9, 0.1)  # train, dev; a third number is for test
SMALL = 50  # pictures; in fewer, a damaged one may be all that a split would get


def hold_out(dataset: Dataset, ratio: Sequence[float], folder: Path | str) -> Dataset:
    """Return the data set with a split dev taken out of its training pictures, if it has none and they are enough.

    Where a picture goes is decided by the SHA-256 of its file. So the choice is the same on every machine, two copies
    of a picture go the same way, and no picture changes its split when it is renamed or when others are added. The
    smallest data sets are an exception, because every split gets one picture at least; there, those that cannot be
    decoded stay in train.

    Args:
        dataset: it gets a note that says what was done.
        ratio: the shares of train and dev, in any unit; a third number is the share of test, if there is none either.
        folder: where the data set is, for the note.
    """
    examples = dataset.splits.get("train")
    if not examples or "dev" in dataset.splits:
        return dataset
    shares = {
        name: share / sum(ratio)
        for name, share in zip(("dev", "test"), ratio[1:], strict=False)
        if share > 0 and name not in dataset.splits
    }
    positions = [_position(example) for example in examples]
    small = len(examples) < SMALL
    readable = {p for p, example in zip(positions, examples, strict=True) if not small or can_decode(file_of(example))}
    split_at = _assign(sorted(readable or set(positions)), shares, keep_some=ratio[0] > 0)
    if split_at is None:
        return dataset
    splits: dict[str, list[Example]] = {"train": [], **{name: [] for name in shares}}
    for example, position in zip(examples, positions, strict=True):
        splits[split_at.get(position, "train")].append(example)
    counts = " and ".join(f"{len(splits[name]):,} as {name!r}" for name in shares)
    note = (
        f"{folder}: there is no split 'dev'; of {len(examples):,} pictures {counts} were held out from training, "
        f"chosen by their content (--split-ratio {'/'.join(f'{share:g}' for share in ratio)})"
    )
    others = {name: some for name, some in dataset.splits.items() if name != "train"}
    return dataset._replace(
        splits={name: some for name, some in (splits | others).items() if some},
        notes=[*dataset.notes, note],
        split_ratio=tuple(ratio),
    )


def _position(example: Example) -> float:
    """Return a number from 0 to 1, as good as random, but always the same for the same file."""
    return int.from_bytes(content_hash(file_of(example))[:6], "big") / 256**6


def _assign(positions: list[float], shares: dict[str, float], *, keep_some: bool) -> dict[float, str] | None:
    """Return the split of each position, or None if there are too few for one in each.

    The shares lie one after the other from 0 upwards, and the rest is for training. So what a smaller share holds out
    of training, a larger one holds out, too.
    """
    if len(positions) < len(shares) + keep_some:
        return None
    split_at, start, limit = dict.fromkeys(positions, "train"), 0, 0.0
    for left, (name, share) in zip(reversed(range(len(shares))), shares.items(), strict=True):
        limit += share
        most = len(positions) - keep_some - left  # so that one remains for each split that follows, and for training
        end = min(max(bisect_left(positions, limit), start + 1), most)
        split_at |= dict.fromkeys(positions[start:end], name)
        start = end
    return split_at
