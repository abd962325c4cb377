"""Caption thousands of photographs, one in twenty damaged, with one call of `companion caption`, and report.

    python -m benchmarks.soak [--count 10000] [--beam 1] [--folder] [--out soak.json]

Every good photograph must be captioned and every bad one reported, memory must stay flat, and nothing must be left
behind. With `--folder` the command is `companion caption FOLDER --csv FILE`, killed once at a random moment and started
again; then no photograph may be captioned twice either.
"""

import argparse
import csv
import io
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import ExifTags, Image

from companion import datasets, scenes

BAD_EVERY = 20
SIDE = 224
# Bytes by which the memory may grow after the first quarter. Short runs grow by up to 100 MB while the allocator warms
# up; in ten thousand photographs, a leak of 34 kB each is found.
GROWTH = 250e6


def encode(image: Image.Image, kind: str, **options: Any) -> bytes:
    """Return the image as the bytes of a file."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def upside_down(image: Image.Image) -> bytes:
    """Return a JPEG that is to be shown upside down, by its EXIF orientation."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 3
    return encode(image, "JPEG", exif=exif)


def sixteen_bit(image: Image.Image) -> bytes:
    """Return a grey PNG with 16 bits a pixel."""
    return encode(Image.fromarray(np.asarray(image.convert("L"), dtype=np.uint16) * 257), "PNG")


def pixel_bomb(_: Image.Image) -> bytes:
    """Return a JPEG of 256 pixels whose header says 12,000 x 10,000."""
    data = encode(Image.new("L", (16, 16)), "JPEG")
    place = data.index(b"\xff\xc0") + 5
    return data[:place] + (10_000).to_bytes(2, "big") + (12_000).to_bytes(2, "big") + data[place + 4 :]


GOOD: list[Callable[[Image.Image], bytes]] = [
    *[lambda image: encode(image, "JPEG", quality=80)] * 10,
    lambda image: encode(image, "PNG"),
    lambda image: encode(image, "GIF"),
    lambda image: encode(image.convert("CMYK"), "JPEG"),
    lambda image: encode(image.convert("P"), "PNG"),
    lambda image: encode(image.convert("RGBA"), "PNG"),
    upside_down,
    sixteen_bit,
]
BAD: dict[str, Callable[[Image.Image], bytes]] = {
    "truncated JPEG": lambda image: encode(image, "JPEG")[: 3 * len(encode(image, "JPEG")) // 4],
    "truncated PNG": lambda image: encode(image, "PNG")[:-3000],
    "empty": lambda _: b"",
    "web page": lambda _: b"<!DOCTYPE html><html><body>404</body></html>",
    "text": lambda _: b"this is no picture\n" * 50,
    "pixel bomb": pixel_bomb,
    "beginning lost": lambda image: encode(image, "JPEG")[100:],
}
BAD_KINDS = (*BAD, "folder", "link to nothing", "link to itself", "pipe", "missing")
NO_FILES = ("folder", "pipe", "missing")  # passed over when a folder is searched for photographs


def sources() -> list[Image.Image]:
    """Return the example photographs and some drawn scenes: pictures that may be shown anywhere."""
    drawn = [Image.fromarray(scene.image) for scene in scenes.make_dataset("train", 20)]
    return [datasets.load_original(datasets.example_image(name)) for name in datasets.EXAMPLE_IMAGES] + drawn


def crop(image: Image.Image, rng: random.Random) -> Image.Image:
    """Return a random part of the image, at a size of `SIDE` pixels."""
    side = rng.uniform(0.5, 0.9) * min(image.size)
    left, top = rng.uniform(0, image.width - side), rng.uniform(0, image.height - side)
    return image.resize((SIDE, SIDE), Image.Resampling.BILINEAR, (left, top, left + side, top + side))


def damage_of(count: int, bad_every: int = BAD_EVERY) -> dict[str, str]:
    """Return the kind of damage of each file name, or "" for a good file."""
    return {
        f"{i:05d}.jpg": BAD_KINDS[i // bad_every % len(BAD_KINDS)] if i % bad_every == bad_every // 2 else ""
        for i in range(count)
    }


def write_files(folder: Path, damage: dict[str, str], seed: int = 0) -> None:
    """Write the files, good and damaged, into the folder."""
    rng, images = random.Random(seed), sources()
    for name, kind in damage.items():
        path, image = folder / name, crop(rng.choice(images), rng)
        if not kind:
            path.write_bytes(rng.choice(GOOD)(image))
        elif kind in BAD:
            path.write_bytes(BAD[kind](image))
        elif kind == "folder":
            path.mkdir()
        elif kind == "pipe":
            os.mkfifo(path)
        elif kind.startswith("link"):
            path.symlink_to("nothing" if kind == "link to nothing" else name)


def resident_bytes(pid: int) -> int:
    """Return the bytes of a process in memory (Linux)."""
    pages = Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


class Process(NamedTuple):
    """A command that has ended: its exit status, and while it ran the size of its result and its bytes in memory."""

    exit: int
    seconds: float
    samples: list[tuple[int, int]]


def watch(command: list[str], place: Path, result: Path, *, kill_at: int | None = None) -> Process:
    """Run a command until it ends, or kill it when its result has this many bytes.

    Args:
        command: it runs in `place / "photographs"`; its output is appended to the files "out" and "err".
        place: a folder that also has the folders "home" and "temporary".
        result: the file in which its captions arrive.
        kill_at: a size of that file.
    """
    own = {"HOME": str(place / "home"), "TMPDIR": str(place / "temporary")}
    start, samples = time.perf_counter(), []
    with open(place / "out", "ab") as output, open(place / "err", "ab") as errors:
        folder = place / "photographs"
        running = subprocess.Popen(command, cwd=folder, env={**os.environ, **own}, stdout=output, stderr=errors)
        try:
            while running.poll() is None:
                samples.append((result.stat().st_size if result.exists() else 0, resident_bytes(running.pid)))
                if kill_at is not None and samples[-1][0] >= kill_at:
                    break
                time.sleep(0.2)
        finally:
            running.kill()
            running.wait()
    return Process(running.returncode, time.perf_counter() - start, samples)


def soak(
    count: int, beam: int = 1, seed: int = 0, *, bad_every: int = BAD_EVERY, folder: bool = False
) -> dict[str, Any]:
    """Write the files, caption all in one call of the command, and return the report.

    With `folder` the command searches the folder itself, is killed at a random moment and started again.
    """
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        photographs, home, temporary = (place / each for each in ("photographs", "home", "temporary"))
        for directory in (photographs, home, temporary):
            directory.mkdir()
        damage = damage_of(count, bad_every)
        write_files(photographs, damage, seed)
        before = {path.name: path.lstat().st_mtime_ns for path in photographs.iterdir()}
        command = [sys.executable, "-m", "companion.cli", "caption", "--beam", str(beam)]
        facts: dict[str, Any] = {}
        if folder:
            table = place / "captions.csv"
            command += [".", "--csv", str(table)]
            goods = sum(not kind for kind in damage.values())
            kill_at = random.Random(seed).randint(1, 20 * goods)  # a caption has twice as many bytes, or more
            killed = watch(command, place, table, kill_at=kill_at)
            lines = table.read_bytes().splitlines(keepends=True)
            whole = [line for line in lines if line.endswith(b"\n")]
            (place / "err").unlink()
            run = watch(command, place, table)
            with open(table, encoding="utf-8", newline="") as file:
                rows = list(csv.reader(file))[1:]
            captions = dict(rows)
            facts = {
                "killed": killed.exit,
                "captioned when killed": len(whole) - 1,
                "captioned after that": len(rows) - len(whole) + 1,
                "captioned twice": [each for each, times in Counter(each for each, _ in rows).items() if times > 1],
                "lost when killed": [] if table.read_bytes().startswith(b"".join(whole)) else ["captions"],
                "seconds until killed": round(killed.seconds, 1),
            }
            first_size, result = sum(map(len, whole)), table
        else:
            run = watch([*command, *damage], place, place / "out")
            captions = dict(line.split(": ", 1) for line in (place / "out").read_text(encoding="utf-8").splitlines())
            first_size, result = 0, place / "out"
        messages = [line.split(": ", 2)[1:] for line in (place / "err").read_text(encoding="utf-8").splitlines()]
        reasons = {each[0]: each[1] for each in messages if len(each) == 2 and each[0] in damage}  # not the progress
        good, bad = ({name for name, kind in damage.items() if bool(kind) == damaged} for damaged in (False, True))
        reported = {name for name in bad if not (folder and damage[name] in NO_FILES)}
        after = {path.name: path.lstat().st_mtime_ns for path in photographs.iterdir()}
        left = [str(path) for kept in (home, temporary) for path in kept.rglob("*")]
        written = result.stat().st_size - first_size
        at_first = [used for size, used in run.samples if 0 < size - first_size <= written / 4]
        return {
            "images": count,
            "bad": len(bad),
            "captioned": len(captions),
            "reported": len(reasons),
            "good without a caption": sorted(good - captions.keys()),
            "good that were reported": sorted(good & reasons.keys()),
            "bad with a caption": sorted(f"{name} ({damage[name]})" for name in bad & captions.keys()),
            "bad that were not reported": sorted(f"{name} ({damage[name]})" for name in reported - reasons.keys()),
            "left behind": left + sorted(before.keys() ^ after.keys()),
            "changed": sorted(name for name in before if before[name] != after.get(name)),
            **facts,
            "exit": run.exit,
            "memory after a quarter": max(at_first, default=0),
            "memory at most": max((used for _, used in run.samples), default=0),
            "memory at the end": next((used for _, used in reversed(run.samples) if used), 0),
            "seconds": round(run.seconds, 1),
            "photographs a second": round(facts.get("captioned after that", len(captions)) / run.seconds, 2),
            "reasons": {damage[name]: reasons[name] for name in sorted(reasons)},
        }


def failures(report: dict[str, Any]) -> list[str]:
    """Return what went wrong: the non-empty lists of the report, a wrong exit status, growing memory."""
    wrong = [key for key, value in report.items() if isinstance(value, list) and value]
    wrong += ["exit"] if report["exit"] != 1 else []  # 1: some could not be read, and were reported
    wrong += ["killed"] if report.get("killed", -signal.SIGKILL) != -signal.SIGKILL else []  # ended before
    grown = report["memory at most"] - report["memory after a quarter"]
    return wrong + ([f"memory grew by {grown / 1e6:.0f} MB"] if grown > GROWTH else [])


def main() -> int:
    """Run the soak that the command line asks for, and return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.soak", description="Caption very many photographs, one in twenty damaged."
    )
    parser.add_argument("--count", type=int, default=10_000, help="photographs (default 10000)")
    parser.add_argument("--beam", type=int, default=1, help="width of the beam search (default 1: greedy)")
    parser.add_argument(
        "--folder", action="store_true", help="caption the folder; kill the command, and start it again"
    )
    parser.add_argument("--out", type=Path, help="write the report there as JSON")
    options = parser.parse_args()
    report = soak(options.count, options.beam, folder=options.folder)
    text = json.dumps(report, indent=1)
    print(text)
    if options.out:
        options.out.write_text(text + "\n", encoding="utf-8")
    wrong = failures(report)
    print("failed: " + "; ".join(wrong) if wrong else "passed")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
