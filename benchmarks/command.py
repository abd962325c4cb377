"""The command as a person meets it, by the clock on the wall: how soon it answers, how many photographs a second."""

import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import measure
import naive
import pairs
import torch
from PIL import Image

from companion import checkpoints, photos, pipeline

HELP = ("-m", "companion.cli", "--help")
SIZE = (500, 375)  # pixels of a photograph, as in Flickr8k


class Photographs(NamedTuple):
    """What was measured of some photographs."""

    count: int
    times: measure.Times
    stages: dict[str, float]  # seconds of each stage alone
    unequal: int  # captions that differ from those made one at a time


def python(*arguments: str) -> None:
    """Run Python to its end."""
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)


def help_answers(turns: int = 5) -> measure.Times:
    """`companion --help` beside Python that does nothing."""
    return measure.in_turn(lambda: python(*HELP), lambda: python("-c", "pass"), turns, time.perf_counter)


def first_caption(turns: int = 5) -> measure.Times:
    """`companion caption` for one photograph beside Python that imports PyTorch."""
    ours = ("-m", "companion.cli", "caption", str(photos.example("astronaut")))
    return measure.in_turn(lambda: python(*ours), lambda: python("-c", "import torch"), turns, time.perf_counter)


def write_photographs(folder: Path, count: int) -> list[Path]:
    """Pieces of the example photographs as JPEG files."""
    paths = [folder / f"{i:04}.jpg" for i in range(count)]
    for path, pixels in zip(paths, pairs.pieces(count, 384), strict=True):
        Image.fromarray(pixels.permute(1, 2, 0).numpy()).resize(SIZE).save(path, quality=90)
    return paths


def photographs(folder: Path, count: int = 200, turns: int = 3) -> Photographs:
    """Seconds for all photographs: as the command does it, one after the other, and each stage on its own."""
    captioner, paths = checkpoints.load("photos"), write_photographs(folder, count)

    def ours() -> list[Any]:
        return list(pipeline.caption_files(captioner, paths))

    def theirs() -> list[Any]:
        return naive.caption_files(captioner, paths)

    unequal = sum(a[1].words != b.words for a, b in zip(ours(), theirs(), strict=True))
    times = measure.in_turn(ours, theirs, turns, time.perf_counter)
    images = torch.stack([image for image in pipeline.read(paths, captioner.side) if isinstance(image, torch.Tensor)])
    batches = images.split(pipeline.BATCH)
    with torch.inference_mode():
        grids = [captioner.look(batch) for batch in batches]
        stages = {
            "read": lambda: pipeline.read(paths, captioner.side),
            "encode": lambda: [captioner.look(batch) for batch in batches],
            "search": lambda: [captioner.caption(grid) for grid in grids],
        }
        alone = {
            name: min(measure.seconds(run, time.perf_counter) for _ in range(turns)) for name, run in stages.items()
        }
    return Photographs(count, times, alone, unequal)
