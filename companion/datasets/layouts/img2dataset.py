"""The layout of img2dataset: beside each picture a text file of the same name, in folders or in tar files (WebDataset).

Source: Beaumont 2021, "img2dataset". Many other tools write captions beside pictures, too.
"""

import itertools
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

from companion.datasets import archives
from companion.datasets.examples import Dataset
from companion.datasets.image_folder import IMAGE_SUFFIXES
from companion.datasets.layouts.base import Layout, split_in, subfolders
from companion.datasets.parsing import Log, read_json, read_lines
from companion.datasets.validation import DatasetBuilder

_UNPACKED: list[tempfile.TemporaryDirectory[str]] = []  # removed when the process ends
_MEMBERS = 100  # of a tar file that are looked at


def _read(folder: Path) -> Dataset | None:
    if not any(images.keys() & texts.keys() for images, texts in map(_pictures_and_texts, _folders(folder))):
        shards = [path for path in sorted(folder.glob("*.tar")) if _is_shard(path)]
        if not shards:
            return None
        folder = _unpack(shards)
    builder = DatasetBuilder(folder)
    for directory in _folders(folder):
        _read_folder(builder, directory, directory.relative_to(folder).as_posix())
    return builder.build()


def _folders(folder: Path) -> Iterator[Path]:
    """Yield a folder, its subfolders and theirs."""
    yield folder
    for outer in subfolders(folder):
        yield from (outer, *subfolders(outer))


def _pictures_and_texts(folder: Path) -> tuple[dict[str, str], dict[str, Path]]:
    """Return by their names without suffix the pictures in a folder, and the text files, or else the JSON files.

    JSON files without a caption are about something else.
    """
    files = sorted(folder.iterdir())
    images = {path.stem: path.name for path in files if path.suffix.lower() in IMAGE_SUFFIXES}
    texts = {path.stem: path for path in files if path.suffix.lower() == ".txt"}
    if not texts:
        facts = {path.stem: path for path in files if path.suffix == ".json" and path.stem in images}
        first = next(iter(facts.values()), None)
        texts = facts if first and "caption" in read_json(first, Log()) else {}
    return images, texts


def _is_shard(path: Path) -> bool:
    """Return whether there is a picture and a text file of the same name at the beginning of a tar file."""
    try:
        with tarfile.open(path, "r:") as archive:
            names = [member.name.lower() for member in itertools.islice(archive, _MEMBERS)]
    except (tarfile.TarError, OSError):
        return False
    images = {Path(name).stem for name in names if name.endswith(IMAGE_SUFFIXES)}
    return any(Path(name).stem in images for name in names if name.endswith((".txt", ".json")))


def _unpack(shards: list[Path]) -> Path:
    """Unpack tar files into a temporary folder, each into a folder of its own name, and return it."""
    _UNPACKED.append(tempfile.TemporaryDirectory(prefix="companion-"))
    folder = Path(_UNPACKED[-1].name)
    for shard in shards:
        (folder / shard.stem).mkdir()
        archives.unpack(shard, folder / shard.stem)
    return folder


def _read_folder(builder: DatasetBuilder, directory: Path, relative: str) -> None:
    """Add the pictures of one folder, each with the captions beside it."""
    images, texts = _pictures_and_texts(directory)
    split, prefix = split_in(relative) or "train", "" if relative == "." else f"{relative}/"
    without_picture = [text for stem, text in texts.items() if stem not in images]
    for stem, text in texts.items():
        if stem in images:
            for caption in _captions(builder, text):
                builder.add_caption(prefix + images[stem], caption, str(text))
            builder.assign_split(prefix + images[stem], split, str(text))
    if without_picture and (images or prefix):  # above all pictures, a text is about something else
        first = without_picture[0]
        others = f" (nor for {len(without_picture) - 1:,} more texts)" if len(without_picture) > 1 else ""
        builder.issue(first, f"there is no picture '{first.stem}.jpg', .png or the like beside it{others}")


def _captions(builder: DatasetBuilder, path: Path) -> list[str]:
    """Return the captions in a JSON file, or in a text file.

    Every line of a text is a caption, unless a JSON file beside it has all of them as one.
    """
    lines = [line for _, line in read_lines(path, builder)] if path.suffix.lower() == ".txt" else []
    facts = path.with_suffix(".json")
    if len(lines) == 1 or not facts.is_file():
        return lines
    caption = read_json(facts, builder).get("caption")
    return [caption] if isinstance(caption, str) else lines


IMG2DATASET = Layout(
    "00000/000000000.jpg with 000000000.txt beside it, in any folders, or in tar files 00000.tar (img2dataset)", _read
)
