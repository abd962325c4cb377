"""Open pictures and weights that others made: the functions that the box of a project calls, in its own process.

They return plain values. What cannot be read is `{"fault": sentence}`. No code of the project is run.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from PIL import ExifTags, Image

from companion import checkpoints, datasets, scenes, tasks
from companion.datasets import Dataset
from companion.decoding import Caption
from companion.models import Captioner

SET_UP = f"from {__name__} import caption, read_checkpoint, read_data, score_photos, measure_scenes"
BEAM = 5


@lru_cache(maxsize=1)
def _dataset(data: str) -> Dataset:
    return datasets.read(Path(data))


@lru_cache(maxsize=1)
def _captioner(checkpoint: str) -> Captioner:
    return checkpoints.load(Path(checkpoint))


def read_data(data: str) -> dict[str, Any]:
    """Return the captions of a data set by split and picture, its issues and notes, and pictures with a GPS place."""
    try:
        dataset = _dataset(data)
    except (ValueError, OSError) as error:
        return {"fault": _without(data, str(error)).partition("\n")[0].removesuffix("; the folder should hold one of")}
    examples = [example for split in dataset.splits.values() for example in split]
    return {
        "splits": {split: {e.name: list(e.captions) for e in some} for split, some in dataset.splits.items()},
        "issues": [_without(data, issue) for issue in dataset.issues],
        "notes": [_without(data, note) for note in dataset.notes],
        "places": [e.name for e in examples if _has_place(Path(str(e.image)))],
    }


def _without(folder: str, message: str) -> str:
    """Return a message that names files from the project's folder."""
    return message.replace(f"{Path(folder).parent}/", "")


def _has_place(path: Path) -> bool:
    """Return whether the metadata of a picture say where it was taken; metadata that cannot be read do not."""
    try:
        with Image.open(path) as image:
            return bool(image.getexif().get_ifd(ExifTags.IFD.GPSInfo))
    except Exception:  # the EXIF reader raises whatever the damage leads it to
        return False


def read_checkpoint(checkpoint: str) -> dict[str, Any]:
    """Return the task of a checkpoint, and by which share its parameters differ from those that ship for it.

    The difference is the norm of all differences over that of the parameters that ship; None if the shapes differ.
    """
    try:
        captioner = _captioner(checkpoint)
        task = captioner.config["task"]
        own, shipped = _parameters(captioner), _parameters(checkpoints.load(task))
    except (ValueError, OSError) as error:
        return {"fault": _without(checkpoint, str(error))}
    if {name: x.shape for name, x in own.items()} != {name: x.shape for name, x in shipped.items()}:
        return {"task": task, "difference": None}
    changed = sum(float((own[name].double() - x.double()).square().sum()) for name, x in shipped.items())
    total = sum(float(x.double().square().sum()) for x in shipped.values())
    return {"task": task, "difference": (changed / total) ** 0.5}


def _parameters(captioner: Captioner) -> dict[str, torch.Tensor]:
    """Return the parameters that training changes, without buffers: counts of batches would outweigh all else."""
    return {name: x.detach() for name, x in captioner.named_parameters() if x.requires_grad}


def caption(checkpoint: str, data: str, names: Sequence[str]) -> list[dict[str, Any]]:
    """Return, for pictures of the data set by their names, the words by beam search and the peak of each word's map.

    A peak is the cell with the largest weight: left, top, right and bottom as shares of the picture.
    """
    captioner = _captioner(checkpoint)
    images = {e.name: e.image for split in _dataset(data).splits.values() for e in split}
    pictures = [datasets.load_image(Path(str(images[name])), captioner.image_size) for name in names]
    found = [c for part in torch.stack(pictures).split(50) for c in captioner.caption(part, BEAM)]
    return [{"text": c.text, "words": list(c.words), "peaks": [_peak(weights) for weights in c.weights]} for c in found]


def _peak(weights: torch.Tensor) -> list[float]:
    """Return the cell of a map (row col) with the largest weight."""
    rows, cols = weights.shape
    row, col = divmod(int(weights.argmax()), cols)
    return [col / cols, row / rows, (col + 1) / cols, (row + 1) / rows]


def score_photos(checkpoint: str, data: str, shifts: Sequence[int]) -> dict[str, Any]:
    """Return CIDEr-D on the test split, and that of the same captions dealt to pictures so many places further on."""
    examples = datasets.get_split(_dataset(data), "test")
    captions, left_out = tasks.photos.caption(_captioner(checkpoint), examples, beam=BEAM)
    kept = [e for i, e in enumerate(examples) if i not in left_out]
    return _scores(captions, shifts, lambda some: tasks.photos.score(some, kept)["cider_d"])


def measure_scenes(checkpoint: str, seed: int, count: int, shifts: Sequence[int]) -> dict[str, Any]:
    """Return the truth rate on scenes that are drawn from a seed, and that of the same captions dealt to others."""
    world = scenes.make_dataset("test", count, seed)
    captions = tasks.scenes.caption(_captioner(checkpoint), world)
    return _scores(captions, shifts, lambda some: tasks.scenes.truth_rate(some, world))


def _scores(captions: list[Caption], shifts: Sequence[int], score: Callable[[list[Caption]], float]) -> dict[str, Any]:
    """Return the score of captions, and those of the captions dealt to others; no shift leaves them where they are."""
    places = [1 + shift % max(1, len(captions) - 1) for shift in shifts]
    dealt = [score(captions[k:] + captions[:k]) for k in places]
    return {"score": float(score(captions)), "dealt": [float(x) for x in dealt]}
