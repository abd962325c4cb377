"""Measure what the captioner of photographs learns from a few captioned pictures, and what it forgets.

    python -m benchmarks.own_photographs FLICKR8K EVERYDAY OUT

There are two kinds of pictures that it does not know: everyday photographs (EVERYDAY, a data set with a split dev, of
which each half is learnt from and the other measured), and drawn scenes. Every run is that of `companion train photos
--init-from photos`, whose minutes include the encoding of its pictures. What it forgets is measured on photographs of
the dev split of FLICKR8K that chose no epoch. Every run is a line of OUT/rows.jsonl when it is done, and none is
repeated for the same weights. At the end own_photographs.json is written, which the chapter on your own photographs
shows.
"""

import csv
import io
import json
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import numpy as np

from companion import checkpoints, datasets, metrics, scenes, tasks
from companion.datasets import Example
from companion.files import atomic_write
from companion.metrics import nouns
from companion.model_card import bootstrap_interval
from companion.models import Captioner
from companion.scenes import Scene
from companion.scenes.exporting import png
from companion.training import feature_cache

RESULTS = Path(__file__).with_name("own_photographs.json")
SEEDS = (0, 1)  # of weights and batches, and of which pictures are learnt from where that are not all
EVERYDAY_COUNTS = (30, 84)  # pictures that are learnt from
SCENE_COUNTS = (30, 100, 300)
MORE_SEEDS = (2, 3, 4)  # of the smallest number of scenes, where it matters most which ones they are
FIXED_COUNT = 100  # scenes that are also learnt from without new words
TESTED = 300  # scenes, and photographs of Flickr8k
LOGGED = 10  # pictures that the log of a run is about; they decide nothing

Values = dict[str, list[float]]  # a number for each picture, by the name of the score


class Album(NamedTuple):
    """Pictures that may be learnt from and others that are measured; the scenes of these, if they are drawn."""

    learn: list[Example]
    test: list[Example]
    world: list[Scene]


class Run(NamedTuple):
    """One fine-tuning: the name of an album, pictures and seed; whether words are added; "0 pictures" is none."""

    album: str
    pictures: int
    seed: int = 0
    new_words: bool = True


def draw(split: str, count: int, folder: Path) -> tuple[list[Example], list[Scene]]:
    """Return scenes of a split as examples, whose pictures are written into a folder, and the scenes themselves."""
    world = scenes.make_dataset(split, count)
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{i:04d}.png" for i in range(count)]
    for path, scene in zip(paths, world, strict=True):
        atomic_write(path, png(scene.image))
    drawn = zip(tasks.scene_batches.to_examples(world), paths, strict=True)
    return [example._replace(image=path) for example, path in drawn], world


def make_albums(everyday: Path, out: Path) -> dict[str, Album]:
    """Return the albums by their names: the halves of the everyday photographs, both ways, and scenes in `out`."""
    dev = datasets.get_split(datasets.read(everyday), "dev")
    halves = dev[0::2], dev[1::2]
    learn, _ = draw("train", max(SCENE_COUNTS), out / "train")
    test, world = draw("test", TESTED, out / "test")
    return {
        "everyday, first half": Album(halves[1], halves[0], []),
        "everyday, second half": Album(halves[0], halves[1], []),
        "scenes": Album(learn, test, world),
    }


def runs_of(albums: dict[str, Album]) -> list[Run]:
    """Return all runs, those without a fine-tuning first."""
    counts = {name: SCENE_COUNTS if album.world else EVERYDAY_COUNTS for name, album in albums.items()}
    before = [Run(name, 0) for name in albums]
    tuned = [Run(name, count, seed) for seed in SEEDS for name in albums for count in counts[name]]
    more = [Run("scenes", SCENE_COUNTS[0], seed) for seed in MORE_SEEDS]
    return [*before, *tuned, *(Run("scenes", FIXED_COUNT, seed, new_words=False) for seed in SEEDS), *more]


def write_data(folder: Path, splits: dict[str, Sequence[Example]]) -> None:
    """Write a table image,caption,split into a new folder, with links to the pictures."""
    folder.mkdir(parents=True)
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["image", "caption", "split"])
    for split, examples in splits.items():
        for i, example in enumerate(examples):
            assert isinstance(example.image, Path)
            picture = example.image.resolve()
            name = f"{split}{i:04d}{picture.suffix}"
            (folder / name).symlink_to(picture)
            writer.writerows([name, caption, split] for caption in example.captions)
    atomic_write(folder / "captions.csv", table.getvalue().encode())


def tune(run: Run, album: Album, out: Path) -> tuple[Captioner, float]:
    """Return the captioner that ships after fine-tuning, and the minutes that it took."""
    if not run.pictures:
        return checkpoints.load("photos"), 0.0
    shutil.rmtree(out, ignore_errors=True)  # of a run that was stopped
    order = np.random.default_rng(run.seed).permutation(len(album.learn))[: run.pictures]
    write_data(out / "data", {"train": [album.learn[i] for i in order], "dev": album.test[:LOGGED]})
    enough = tasks.photos.MIN_COUNT if run.new_words else sys.maxsize  # no word occurs so often
    began = time.perf_counter()
    with mock.patch.object(tasks.photos, "MIN_COUNT", enough):
        tuned = tasks.photos.train(out / "data", out / "run", init_from="photos", seed=run.seed)
    minutes = (time.perf_counter() - began) / 60
    shutil.rmtree(out)
    return tuned, minutes


def measure(captioner: Captioner, examples: Sequence[Example], grids: np.ndarray, world: Sequence[Scene]) -> Values:
    """Return the scores of each picture's caption: of a scene its truth, of a photograph whether a noun is right."""
    captions = tasks.photos.caption_cached(captioner, grids)
    lines, references = [c.text for c in captions], tasks.languages.make_references(captions, examples)
    values: Values = {"cider_d": [float(each) for each in metrics.cider_d_each(lines, references)]}
    if not world:
        return values | {"right_noun": [float(each.right > 0) for each in nouns.noun_counts(lines, references)]}
    pairs = list(zip(lines, world, strict=True))
    return values | {
        "true": [float(scenes.is_true(*pair)) for pair in pairs],
        "exact": [float(scenes.is_exact(*pair)) for pair in pairs],
    }


def summarize(before: Sequence[Values], after: Sequence[Sequence[Values]], score: str) -> dict[str, Any]:
    """Return the mean of a score, that of each seed, and how much it has changed, with 95 % bootstrap intervals.

    Args:
        before: the values of the captioner that ships; one for each album that is measured.
        after: the same for each seed.
        score: its name.
    """
    old, *new = (np.concatenate([values[score] for values in each]) for each in (before, *after))
    mean = np.mean(new, axis=0)
    return {
        "mean": round(float(mean.mean()), 4),
        "interval": bootstrap_interval(mean.tolist()),
        "seeds": [round(float(each.mean()), 4) for each in new],
        "gain": round(float((mean - old).mean()), 4),
        "gain_interval": bootstrap_interval((mean - old).tolist()),
    }


def results(rows: dict[Run, dict[str, Any]], sha256: str) -> dict[str, Any]:
    """Return what own_photographs.json holds, of all runs."""
    table = []
    for group in ("everyday", "scenes"):
        names = sorted({run.album for run in rows if run.album.startswith(group)})
        zero = [rows[Run(name, 0)] for name in names]
        kinds = {(run.pictures, run.new_words) for run in rows if run.album in names}
        for pictures, new_words in sorted(kinds):
            seeds = sorted({run.seed for run in rows if run[:2] == (names[0], pictures) and run.new_words == new_words})
            runs = [[rows[Run(name, pictures, seed, new_words)] for name in names] for seed in seeds]
            every = [row for each in runs for row in each]
            old, new = [row["own"] for row in zero], [[row["own"] for row in each] for each in runs]
            forgotten = [[{"cider_d": np.mean([row["flickr8k"] for row in each], axis=0)}] for each in runs]
            table.append(
                {
                    "album": group,
                    "pictures": pictures,
                    "new_words": new_words,
                    "words_added": round(float(np.mean([row["words_added"] for row in every])), 1),
                    "measured": sum(len(values["cider_d"]) for values in old),
                    "seeds": len(seeds),
                    "minutes": round(float(np.mean([row["minutes"] for row in every])), 2),
                    "scores": {score: summarize(old, new, score) for score in old[0]},
                    "flickr8k": summarize([{"cider_d": zero[0]["flickr8k"]}], forgotten, "cider_d"),
                }
            )
    return {"sha256": sha256, "flickr8k": len(next(iter(rows.values()))["flickr8k"]), "table": table}


def main(flickr8k: Path, everyday: Path, out: Path) -> None:
    """Do the runs that are not done, and write own_photographs.json."""
    shipped, sha256 = checkpoints.load("photos"), checkpoints.card("photos")["sha256"]
    out.mkdir(parents=True, exist_ok=True)
    first = tasks.photos.VALIDATION_SIZE
    known = datasets.get_split(datasets.read(flickr8k), "dev")[first : first + TESTED]
    albums = make_albums(everyday, out)
    path = out / "rows.jsonl"
    rows: dict[Run, dict[str, Any]] = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        row = json.loads(line)
        if row["sha256"] == sha256:
            rows[Run(*row["run"])] = row

    def grids(name: str, examples: list[Example]) -> np.ndarray:
        return feature_cache.cache_features(shipped.encoder, examples, out / f"{name}.npy").grids

    for run in runs_of(albums):
        if run in rows:
            continue
        album = albums[run.album]
        tuned, minutes = tune(run, album, out / "run")
        rows[run] = {
            "run": run,
            "sha256": sha256,
            "minutes": round(minutes, 3),
            "words_added": len(tuned.vocabulary) - len(shipped.vocabulary),
            "own": measure(tuned, album.test, grids(run.album, album.test), album.world),
            "flickr8k": measure(tuned, known, grids("flickr8k", known), [])["cider_d"],
        }
        lines = [json.dumps(row) for row in rows.values()]
        atomic_write(path, "".join(f"{line}\n" for line in lines).encode())
        means = {name: round(float(np.mean(values)), 3) for name, values in rows[run]["own"].items()}
        forgotten = round(float(np.mean(rows[run]["flickr8k"])), 3)
        print(*run, means, f"Flickr8k {forgotten}, {minutes:.1f} minutes", flush=True)
    atomic_write(RESULTS, json.dumps(results(rows, sha256), indent=1).encode() + b"\n")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
