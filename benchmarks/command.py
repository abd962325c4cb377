"""The command line as a person meets it, by wall clock: how soon it answers, how many photographs a second."""

import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import torch
from PIL import Image

from benchmarks import measure, naive, pairs
from companion import apps, checkpoints, datasets

HELP = ("-m", "companion.cli", "--help")
SIZE = (500, 375)  # pixels of a photograph, as in Flickr8k


class Photographs(NamedTuple):
    """What was measured of captioning some photographs."""

    images: int
    times: measure.Times
    stages: dict[str, float]  # seconds of each stage alone
    unequal: int  # captions that differ from those made one at a time


def run_python(*arguments: str) -> None:
    """Run Python to its end."""
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)


def time_help(turns: int = 5) -> measure.Times:
    """Measure `companion --help` against Python that does nothing."""
    return measure.alternate(
        lambda: run_python(*HELP), lambda: run_python("-c", "pass"), turns, clock=time.perf_counter
    )


def time_first_caption(turns: int = 5) -> measure.Times:
    """Measure `companion caption` for one photograph against Python that imports PyTorch."""
    ours = ("-m", "companion.cli", "caption", str(datasets.example_image("astronaut")))
    return measure.alternate(
        lambda: run_python(*ours), lambda: run_python("-c", "import torch"), turns, clock=time.perf_counter
    )


def write_photographs(folder: Path, count: int) -> list[Path]:
    """Write crops of the example photographs as JPEG files and return their paths."""
    paths = [folder / f"{i:04}.jpg" for i in range(count)]
    for path, pixels in zip(paths, pairs.crops(count, 384), strict=True):
        Image.fromarray(pixels.permute(1, 2, 0).numpy()).resize(SIZE).save(path, quality=90)
    return paths


def time_photographs(folder: Path, count: int = 200, turns: int = 3) -> Photographs:
    """Measure the seconds for all photographs: as the command does it, one by one, and each stage alone."""
    captioner, paths = checkpoints.load("photos"), write_photographs(folder, count)

    def ours() -> list[Any]:
        return list(apps.caption_files(captioner, paths))

    def partner() -> list[Any]:
        return naive.caption_files(captioner, paths)

    unequal = sum(a[1].words != b.words for a, b in zip(ours(), partner(), strict=True))
    times = measure.alternate(ours, partner, turns, clock=time.perf_counter)
    images = torch.stack(
        [image for image in apps.read_images(paths, captioner.image_size) if isinstance(image, torch.Tensor)]
    )
    batches = images.split(apps.BATCH_SIZE)
    with torch.inference_mode():
        grids = [captioner.encode(batch) for batch in batches]
        stages = {
            "read": lambda: apps.read_images(paths, captioner.image_size),
            "encode": lambda: [captioner.encode(batch) for batch in batches],
            "search": lambda: [captioner.caption(grid) for grid in grids],
        }
        alone = {
            name: min(measure.seconds(run, clock=time.perf_counter) for _ in range(turns))
            for name, run in stages.items()
        }
    return Photographs(count, times, alone, unequal)
