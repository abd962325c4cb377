"""Examples in, a few large tar files out, and back: what a shared disk reads fast. Explained in chapter 18.

A shard is a WebDataset: for every picture a PNG, made square once, and a JSON with its name and captions. Needs the
extra `shards`. Shards may come from anybody, so nothing in them is run, unpickled or unpacked to disk.
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

from companion import photos
from companion.batches import pictures
from companion.collecting import Example
from companion.files import write_whole

PICTURES = 1000  # a shard; 100 MB or so


def webdataset() -> ModuleType:
    """The package of that name, told to refuse pickles and commands. RuntimeError if it is missing."""
    os.environ["WDS_SECURE"] = "1"  # read when it is imported; it then opens no file by itself, so that we do
    try:
        import webdataset
    except ImportError:
        raise RuntimeError("shards need the package webdataset: pip install 'attention-companion[shards]'") from None
    webdataset.utils.enforce_security = True  # somebody may have imported it before
    return webdataset


def write(examples: Sequence[Example], folder: Path | str, split: str, each: int = PICTURES, seed: int = 0) -> int:
    """Write a split as `folder/split-000000.tar` and so on, with an index, `split.json`; return how many shards.

    The examples are shuffled first: a reader shuffles shards, and pictures within a shard, but not all pictures.
    ValueError if the folder has such a split already, or if a picture cannot be read.
    """
    folder, package = Path(folder), webdataset()
    index = folder / f"{split}.json"
    if index.exists():
        raise ValueError(f"{index}: is there already; choose another folder")
    folder.mkdir(parents=True, exist_ok=True)
    shuffled = torch.randperm(len(examples), generator=torch.Generator().manual_seed(seed))
    written = []
    for number, part in enumerate(shuffled.split(each)):
        data = io.BytesIO()
        with package.TarWriter(data, encoder=False, mtime=0) as shard:
            for i in part.tolist():
                shard.write({"__key__": f"{i:09}", **members(examples[i])})
        write_whole(folder / shard_name(split, number), data.getvalue())
        written.append(len(part))
    write_whole(index, json.dumps({"pictures": written}).encode())  # last: without it there are no shards
    return len(written)


def members(example: Example) -> dict[str, bytes]:
    """The two files of an example, by their endings."""
    picture = io.BytesIO()
    pixels = pictures([example])[0].permute(1, 2, 0).contiguous().numpy()
    Image.fromarray(pixels).save(picture, "PNG", compress_level=1)
    about = {"name": example.name, "captions": example.captions}
    return {"png": picture.getvalue(), "json": json.dumps(about, ensure_ascii=False).encode()}


def shard_name(split: str, number: int) -> str:
    """The file's name."""
    return f"{split}-{number:06}.tar"


def counts(folder: Path | str, split: str) -> list[int]:
    """How many pictures each shard of the split has. ValueError if there is no such split."""
    path = Path(folder) / f"{split}.json"
    try:
        found = json.loads(path.read_bytes())["pictures"]
        if not all(isinstance(count, int) and count > 0 for count in found):
            raise ValueError
    except (OSError, ValueError, KeyError, TypeError):
        raise ValueError(f"{path}: no index of shards; `companion.shards.write` makes one") from None
    return found


def batches(
    folder: Path | str,
    split: str,
    size: int,
    generator: torch.Generator | None = None,
    share: Callable[[int], slice] = lambda count: slice(count),
    side: int = photos.SIDE,
) -> Iterator[list[Example]]:
    """Every example once, `size` at a time, the last batch maybe smaller; pictures of `side` pixels, as arrays.

    With a `generator`, shards come in random order and so do the pictures of each shard, one shard in memory at a time.
    Of a batch only the `share(its length)` is decoded and returned: with `distribution.share` every process reads all
    shards and decodes its part, so that the batches are the same whatever the number of processes. ValueError, naming
    the shard, for one that is missing, damaged, compressed or not as it was written.
    """
    number = counts(folder, split)
    waiting: list[tuple[Path, dict[str, Any]]] = []
    for i in order(len(number), generator):
        path = Path(folder) / shard_name(split, i)
        found = read(path, number[i])
        waiting += [(path, found[j]) for j in order(number[i], generator)]
        while len(waiting) >= size:
            yield [example(*sample, side) for sample in waiting[:size][share(size)]]
            del waiting[:size]
    if waiting:
        yield [example(*sample, side) for sample in waiting[share(len(waiting))]]


def order(count: int, generator: torch.Generator | None) -> list[int]:
    """0 to count - 1, shuffled if there is a generator."""
    return list(range(count)) if generator is None else torch.randperm(count, generator=generator).tolist()


def read(path: Path, count: int) -> list[dict[str, Any]]:
    """The samples of one shard, as bytes. ValueError if they are not `count`."""
    package = webdataset()
    try:
        with open(path, "rb") as file:
            head = file.read(512)
            # A compressed tar, which the reader would open as well, may hold any number of gigabytes.
            if not (head[:1].isdigit() and head[257:262] == b"ustar"):
                raise ValueError("it is no plain tar")
            file.seek(0)
            files = package.tariterators.tar_file_expander([{"url": str(path), "stream": file}])
            found = list(package.tariterators.group_by_keys(files))
    except Exception as error:  # the reader raises whatever the damage leads it to
        why = " ".join(str(error.args[-1] if isinstance(error, OSError) else error.args[0]).split())
        raise ValueError(f"{path}: a shard that cannot be read ({why}); write it anew") from None
    if len(found) != count:
        raise ValueError(f"{path}: {len(found)} pictures, and the index says {count}; write it anew")
    return found


def example(path: Path, sample: dict[str, Any], side: int) -> Example:
    """A sample decoded. ValueError, naming the shard and the picture, if it is not what `write` writes."""
    try:
        about = json.loads(sample["json"])
        name, captions = about["name"], about["captions"]
        if not (isinstance(name, str) and captions and all(isinstance(caption, str) for caption in captions)):
            raise ValueError("no name or no captions")
        with Image.open(io.BytesIO(sample["png"]), formats=["PNG"]) as image:
            if image.size != (side, side) or image.mode != "RGB":
                raise ValueError(f"{image.size} {image.mode}, not {side} x {side} RGB")
            return Example(name, np.asarray(image), tuple(captions))
    except Exception as error:
        raise ValueError(f"{path}: the picture {sample.get('__key__')} is damaged ({error}); write it anew") from None
