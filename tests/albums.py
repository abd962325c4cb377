"""Small albums: captioned images in a folder or an archive, as people publish them, for every test that needs one."""

import io
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image


def write_album(
    folder: Path,
    *,
    splits: Sequence[str],
    captions: Callable[[int], Sequence[str]] = lambda i: ["a dog runs on the grass"],
) -> Path:
    """Write coloured photographs 0.png, 1.png, ... and their captions, in the CSV layout, into a new folder.

    Args:
        folder: it must not exist.
        splits: the split of each photograph.
        captions: the captions of each, by its number.
    """
    folder.mkdir(parents=True)
    rng, lines = np.random.default_rng(0), ["image,caption,split"]
    for i, split in enumerate(splits):
        pixels = rng.integers(0, 256, (4, 6, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((60, 40)).save(folder / f"{i}.png")
        lines += [f"{i}.png,{caption},{split}" for caption in captions(i)]
    (folder / "captions.csv").write_text("\n".join(lines), encoding="utf-8")
    return folder


def zip_entry(name: str) -> zipfile.ZipInfo:
    """Return a compressed member without the time of day, so that an archive is the same whenever it is written."""
    entry = zipfile.ZipInfo(name)
    entry.compress_type = zipfile.ZIP_DEFLATED
    return entry


def write_zip(path: Path, *members: tuple[str | zipfile.ZipInfo, bytes]) -> Path:
    """Write a zip archive with these members and return its path."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members:
            archive.writestr(name if isinstance(name, zipfile.ZipInfo) else zip_entry(name), data)
    return path


def write_album_zip(path: Path) -> bytes:
    """Write a zip archive with one image and its caption, in the CSV layout, and return its bytes."""
    image = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(image, "JPEG")
    write_zip(path, ("set/images/a.jpg", image.getvalue()), ("set/captions.csv", b"image,caption\na.jpg,a dog\n"))
    return path.read_bytes()
