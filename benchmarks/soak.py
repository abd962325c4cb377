"""Thousands of photographs, one in twenty damaged, go through `companion caption`; what became of them comes out.

    python benchmarks/soak.py [--count 10000] [--beam 1] [--out soak.json]

Every good one must be captioned, every bad one named, memory must stay flat, and nothing must be left behind.
"""

import argparse
import io
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from companion import photos, scenes

BAD_EVERY = 20
SIDE = 224
# Bytes by which the memory may grow after the first quarter. Short runs grow by up to 100 MB while the allocator warms
# up; of ten thousand photographs, a leak of 34 kB each is found.
GROWTH = 250e6


def saved(image: Image.Image, kind: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def upside_down(image: Image.Image) -> bytes:
    exif = Image.Exif()
    exif[photos.ORIENTATION] = 3
    return saved(image, "JPEG", exif=exif)


def deep(image: Image.Image) -> bytes:
    return saved(Image.fromarray(np.asarray(image.convert("L"), dtype=np.uint16) * 257), "PNG")


def pixel_bomb(_: Image.Image) -> bytes:
    """A JPEG of 256 pixels whose header says 12,000 x 10,000."""
    data = saved(Image.new("L", (16, 16)), "JPEG")
    place = data.index(b"\xff\xc0") + 5
    return data[:place] + (10_000).to_bytes(2, "big") + (12_000).to_bytes(2, "big") + data[place + 4 :]


GOOD: list[Callable[[Image.Image], bytes]] = [
    *[lambda image: saved(image, "JPEG", quality=80)] * 10,
    lambda image: saved(image, "PNG"),
    lambda image: saved(image, "GIF"),
    lambda image: saved(image.convert("CMYK"), "JPEG"),
    lambda image: saved(image.convert("P"), "PNG"),
    lambda image: saved(image.convert("RGBA"), "PNG"),
    upside_down,
    deep,
]
BAD: dict[str, Callable[[Image.Image], bytes]] = {
    "truncated JPEG": lambda image: saved(image, "JPEG")[: 3 * len(saved(image, "JPEG")) // 4],
    "truncated PNG": lambda image: saved(image, "PNG")[:-3000],
    "empty": lambda _: b"",
    "web page": lambda _: b"<!DOCTYPE html><html><body>404</body></html>",
    "text": lambda _: b"this is no picture\n" * 50,
    "pixel bomb": pixel_bomb,
    "beginning lost": lambda image: saved(image, "JPEG")[100:],
}
BAD_KINDS = (*BAD, "folder", "link to nothing", "link to itself", "pipe", "missing")


def sources() -> list[Image.Image]:
    """Photographs that may be shown anywhere, and drawn scenes."""
    drawn = [Image.fromarray(scene.image) for scene in scenes.make("train", 20)]
    return [photos.original(photos.example(name)) for name in photos.EXAMPLES] + drawn


def cropped(image: Image.Image, chance: random.Random) -> Image.Image:
    """A part of the picture, another one each time."""
    side = chance.uniform(0.5, 0.9) * min(image.size)
    left, top = chance.uniform(0, image.width - side), chance.uniform(0, image.height - side)
    return image.resize((SIDE, SIDE), Image.Resampling.BILINEAR, (left, top, left + side, top + side))


def prepare(folder: Path, count: int, seed: int = 0) -> dict[str, str]:
    """Fill the folder; the name of each file with its kind of damage, or "" for a good one."""
    chance, images, kinds = random.Random(seed), sources(), {}
    for i in range(count):
        name = f"{i:05d}.jpg"
        path, image = folder / name, cropped(chance.choice(images), chance)
        if i % BAD_EVERY != BAD_EVERY // 2:
            kinds[name] = ""
            path.write_bytes(chance.choice(GOOD)(image))
            continue
        kinds[name] = kind = BAD_KINDS[i // BAD_EVERY % len(BAD_KINDS)]
        if kind in BAD:
            path.write_bytes(BAD[kind](image))
        elif kind == "folder":
            path.mkdir()
        elif kind == "pipe":
            os.mkfifo(path)
        elif kind.startswith("link"):
            path.symlink_to("nothing" if kind == "link to nothing" else name)
    return kinds


def memory(pid: int) -> int:
    """Bytes of a process in memory (Linux)."""
    pages = Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def soak(count: int, beam: int = 1, seed: int = 0) -> dict:
    """Prepare, caption all in one call of the command, and count."""
    with tempfile.TemporaryDirectory() as place:
        folder, home, temporary = (Path(place) / name for name in ("photographs", "home", "temporary"))
        for made in (folder, home, temporary):
            made.mkdir()
        kinds = prepare(folder, count, seed)
        before = {path.name: path.lstat().st_mtime_ns for path in folder.iterdir()}
        own = {"HOME": str(home), "TMPDIR": str(temporary)}
        command = [sys.executable, "-m", "companion.cli", "caption", "--beam", str(beam), *kinds]
        out, err = Path(place) / "out", Path(place) / "err"
        began, samples = time.perf_counter(), []
        with open(out, "wb") as output, open(err, "wb") as errors:
            running = subprocess.Popen(command, cwd=folder, env={**os.environ, **own}, stdout=output, stderr=errors)
            try:
                while running.poll() is None:
                    samples.append((out.stat().st_size, memory(running.pid)))
                    time.sleep(0.2)
            finally:
                running.kill()
                running.wait()
        seconds = time.perf_counter() - began
        said = dict(line.split(": ", 1) for line in out.read_text(encoding="utf-8").splitlines())
        named = dict(line.split(": ", 2)[1:] for line in err.read_text(encoding="utf-8").splitlines())
        good, bad = ({name for name, kind in kinds.items() if bool(kind) == damaged} for damaged in (False, True))
        after = {path.name: path.lstat().st_mtime_ns for path in folder.iterdir()}
        left = [str(path) for kept in (home, temporary) for path in kept.rglob("*")]
        written = out.stat().st_size
        quarter = max((used for size, used in samples if 0 < size <= written / 4), default=0)
        return {
            "images": count,
            "bad": len(bad),
            "captioned": len(said),
            "named": len(named),
            "good without a caption": sorted(good - said.keys()),
            "good that were named": sorted(good & named.keys()),
            "bad with a caption": sorted(f"{name} ({kinds[name]})" for name in bad & said.keys()),
            "bad that were not named": sorted(f"{name} ({kinds[name]})" for name in bad - named.keys()),
            "left behind": left + sorted(before.keys() ^ after.keys()),
            "changed": sorted(name for name in before if before[name] != after.get(name)),
            "exit": running.returncode,
            "memory after a quarter": quarter,
            "memory at most": max((used for _, used in samples), default=0),
            "memory at the end": next((used for _, used in reversed(samples) if used), 0),
            "seconds": round(seconds, 1),
            "photographs a second": round(len(said) / seconds, 2),
            "reasons": {kinds[name]: named[name] for name in sorted(named)},
        }


def verdict(report: dict) -> list[str]:
    """What went wrong: nothing, if all is well."""
    wrong = [key for key, value in report.items() if isinstance(value, list) and value]
    wrong += ["exit"] if report["exit"] != 1 else []  # 1: some could not be read, and were named
    grown = report["memory at most"] - report["memory after a quarter"]
    return wrong + ([f"memory grew by {grown / 1e6:.0f} MB"] if grown > GROWTH else [])


def main() -> int:
    parser = argparse.ArgumentParser(description="Caption very many photographs, one in twenty damaged.")
    parser.add_argument("--count", type=int, default=10_000, help="photographs (default 10000)")
    parser.add_argument("--beam", type=int, default=1, help="width of the beam search (default 1: greedy)")
    parser.add_argument("--out", type=Path, help="write the report there as JSON")
    options = parser.parse_args()
    report = soak(options.count, options.beam)
    text = json.dumps(report, indent=1)
    print(text)
    if options.out:
        options.out.write_text(text + "\n", encoding="utf-8")
    wrong = verdict(report)
    print("not well: " + "; ".join(wrong) if wrong else "all is well")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
