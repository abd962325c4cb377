"""Pack examples into a few large tar files and read them back: on a shared disk, that is faster than many small files.

A shard is a WebDataset: for every picture a PNG, squashed to a square once, and a JSON file with its name and captions.
Needs the extra `shards`. Shards may come from anybody, so nothing in them is run, unpickled or unpacked to disk.
Explained in the chapter on several devices.
"""

import io
import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from PIL import Image

from companion.datasets.collate import load_images
from companion.datasets.examples import Example
from companion.datasets.images import IMAGE_SIZE
from companion.files import atomic_write

IMAGES_PER_SHARD = 1000  # about 100 MB


def webdataset() -> ModuleType:
    """Return the package of that name, set to refuse pickles and commands. Raises RuntimeError if it is missing."""
    os.environ["WDS_SECURE"] = "1"  # read at its import; it then opens no file by itself, so this module opens them
    try:
        import webdataset
    except ImportError:
        raise RuntimeError("shards need the package webdataset: pip install 'attention-companion[shards]'") from None
    webdataset.utils.enforce_security = True  # it may have been imported before
    return webdataset


def write(
    examples: Sequence[Example],
    folder: Path | str,
    split: str,
    *,
    images_per_shard: int = IMAGES_PER_SHARD,
    seed: int = 0,
    report: Callable[[str], None] | None = None,
) -> int:
    """Write a split as `folder/split-000000.tar` and so on, and return the number of shards.

    An index, `folder/split.json`, is written last: without it there are no shards.

    Args:
        examples: the split. They are shuffled first: a reader shuffles the shards, and the pictures of each shard, but
            not all pictures.
        folder: where the shards go.
        split: name of the split.
        images_per_shard: size of all shards but the last.
        seed: of the shuffling.
        report: called with one line for each picture that cannot be read, which is then left out.

    Raises:
        ValueError: the folder has such a split already, no picture can be read, or without `report`, one cannot.
    """
    folder, package = Path(folder), webdataset()
    index = folder / f"{split}.json"
    if index.exists():
        raise ValueError(f"{index}: is there already; choose another folder")
    folder.mkdir(parents=True, exist_ok=True)
    shuffled = torch.randperm(len(examples), generator=torch.Generator().manual_seed(seed))
    counts: list[int] = []
    for part in shuffled.split(images_per_shard):
        data, count = io.BytesIO(), 0
        with package.TarWriter(data, encoder=False, mtime=0) as shard:
            for i in part.tolist():
                try:
                    sample = encode_sample(examples[i])
                except ValueError as error:
                    if report is None:
                        raise
                    report(f"{error}; left out")
                    continue
                shard.write({"__key__": f"{i:09}", **sample})
                count += 1
        if count:
            atomic_write(folder / shard_name(split, len(counts)), data.getvalue())
            counts.append(count)
    if not counts:
        raise ValueError(f"{folder}: no shards were written, since none of the {len(examples):,} pictures can be read")
    atomic_write(index, json.dumps({"pictures": counts}).encode())
    return len(counts)


def encode_sample(example: Example) -> dict[str, bytes]:
    """Return the two files of an example by their suffixes."""
    png = io.BytesIO()
    pixels = load_images([example])[0].permute(1, 2, 0).contiguous().numpy()
    Image.fromarray(pixels).save(png, "PNG", compress_level=1)
    facts = {"name": example.name, "captions": example.captions}
    return {"png": png.getvalue(), "json": json.dumps(facts, ensure_ascii=False).encode()}


def shard_name(split: str, number: int) -> str:
    """Return the file name of a shard."""
    return f"{split}-{number:06}.tar"


def shard_counts(folder: Path | str, split: str) -> list[int]:
    """Return the number of pictures in each shard of a split. Raises ValueError if there is no such split."""
    path = Path(folder) / f"{split}.json"
    try:
        counts = json.loads(path.read_bytes())["pictures"]
        if not all(isinstance(count, int) and count > 0 for count in counts):
            raise ValueError
    except (OSError, ValueError, KeyError, TypeError):
        raise ValueError(f"{path}: no index of shards; `companion.datasets.shards.write` makes one") from None
    return counts


def batches(
    folder: Path | str,
    split: str,
    batch_size: int,
    *,
    generator: torch.Generator | None = None,
    rank_slice: Callable[[int], slice] = slice,
    image_size: int = IMAGE_SIZE,
) -> Iterator[list[Example]]:
    """Yield every example once, in batches; the last batch may be smaller. Pictures are arrays.

    Args:
        folder: the shards, as `write` left them.
        split: name of the split.
        batch_size: examples per batch, of all processes together.
        generator: decides the order of the shards and of the pictures in each; without one, the order is that of the
            files. One shard is in memory at a time.
        rank_slice: from the size of a batch to the part of it that is decoded and returned. With
            `distributed.rank_slice` every process reads all shards and decodes its part, so the batches do not depend
            on the number of processes.
        image_size: pixels a side that the pictures must have.

    Raises:
        ValueError: a shard is missing, damaged, compressed or not as it was written; the message begins with its name.
    """
    counts = shard_counts(folder, split)
    waiting: list[tuple[Path, dict[str, Any]]] = []
    for number in visit_order(len(counts), generator):
        path = Path(folder) / shard_name(split, number)
        samples = read_shard(path, counts[number])
        waiting += [(path, samples[i]) for i in visit_order(counts[number], generator)]
        while len(waiting) >= batch_size:
            yield [decode_sample(*sample, image_size) for sample in waiting[:batch_size][rank_slice(batch_size)]]
            del waiting[:batch_size]
    if waiting:
        yield [decode_sample(*sample, image_size) for sample in waiting[rank_slice(len(waiting))]]


def visit_order(count: int, generator: torch.Generator | None) -> list[int]:
    """Return 0 to `count - 1`, shuffled if there is a generator."""
    return list(range(count)) if generator is None else torch.randperm(count, generator=generator).tolist()


def read_shard(path: Path, count: int) -> list[dict[str, Any]]:
    """Return the samples of one shard as bytes. Raises ValueError if they cannot be read or are not `count`."""
    package = webdataset()
    try:
        with open(path, "rb") as file:
            head = file.read(512)
            # A compressed tar file, which the reader would open as well, may unpack to any number of gigabytes.
            if not (head[:1].isdigit() and head[257:262] == b"ustar"):
                raise ValueError("it is not an uncompressed tar file")
            file.seek(0)
            files = package.tariterators.tar_file_expander([{"url": str(path), "stream": file}])
            samples = list(package.tariterators.group_by_keys(files))
    except Exception as error:  # the reader raises whatever the damage leads it to
        reason = " ".join(str(error.args[-1] if isinstance(error, OSError) else error.args[0]).split())
        raise ValueError(f"{path}: a shard that cannot be read ({reason}); write it anew") from None
    if len(samples) != count:
        raise ValueError(f"{path}: {len(samples)} pictures, and the index says {count}; write it anew")
    return samples


def decode_sample(path: Path, sample: dict[str, Any], image_size: int) -> Example:
    """Return a sample as an example. Raises ValueError, naming shard and picture, if it is not what `write` writes."""
    try:
        facts = json.loads(sample["json"])
        name, captions = facts["name"], facts["captions"]
        if not (isinstance(name, str) and captions and all(isinstance(caption, str) for caption in captions)):
            raise ValueError("no name or no captions")
        with Image.open(io.BytesIO(sample["png"]), formats=["PNG"]) as image:
            if image.size != (image_size, image_size) or image.mode != "RGB":
                raise ValueError(f"{image.size} {image.mode}, not {image_size} x {image_size} RGB")
            return Example(name, np.asarray(image), tuple(captions))
    except Exception as error:
        raise ValueError(f"{path}: the picture {sample.get('__key__')} is damaged ({error}); write it anew") from None
