"""Which attention? Nine captioners that differ in nothing else, three seeds each; the numbers of chapter 15.

    python benchmarks/mechanisms.py [--part 0/2]

Every run is added to mechanisms.json as soon as it is done, and a run that is there is not made again: stop whenever
you like, start again later. For two cores start `--part 0/2` and `--part 1/2` side by side. Then the mechanisms take
turns, so that their times can be compared whatever the machine was when each was trained, and the table is printed.
All learn from captions alone, by cross-entropy; nobody is shown where to look.
"""

import argparse
import fcntl
import json
import os
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from companion import batches, distribution, evaluation, mechanisms, recipes, scenes
from companion.captioner import Captioner, build
from companion.files import write_whole
from companion.training import Batch, Plan, cross_entropy, fit, parameter_groups, rounded, train_step

DRAWN = 12_000  # scenes to learn from, the same for all
PLAN = Plan(epochs=4, rate=3e-3, batch=32, captions=2)  # 1,500 steps
SEEDS = (0, 1, 2)
SIZE = "tiny"
MEASURED = 1000  # scenes of the test split
MECHANISMS = (*mechanisms.MECHANISMS, "transformer")
FOLDER = Path(__file__).parent
COLUMNS = ("truth", "exact", "cider_d", "pointing", "compositional_truth", "parameters")
TURNS = 8  # of five steps, for the time


class Lesson:
    """What all learn from: drawn once, since it depends on no seed of theirs."""

    def __init__(self, drawn: int):
        world = scenes.make("train", drawn)
        self.examples = evaluation.scene_examples(world)
        self.vocabulary = recipes.vocabulary_of(self.examples, min_count=1)
        self.images = evaluation.scene_images(world)
        self.tokens = batches.caption_tensor(self.examples, self.vocabulary)

    def batches(self, generator: torch.Generator) -> Iterator[Batch]:
        """One epoch: every picture once, with some of its captions."""
        for chosen, told in batches.similar(self.tokens, PLAN.batch, PLAN.captions, generator):
            yield Batch(self.images[chosen], recipes.trimmed(self.tokens[chosen[:, None], told]))


def new(lesson: Lesson, mechanism: str, seed: int) -> Captioner:
    """A captioner that has learnt nothing."""
    torch.manual_seed(seed)
    how = {"decoder": mechanism} if mechanism == "transformer" else {"attention": mechanism}
    return build("scenes", lesson.vocabulary, SIZE, **how)


def train(lesson: Lesson, mechanism: str, seed: int) -> Captioner:
    """A captioner that has learnt the lesson."""
    captioner = new(lesson, mechanism, seed)
    with tempfile.TemporaryDirectory() as out:
        steps = recipes.steps(lesson.examples, PLAN)
        fit(captioner, lesson.batches, steps, PLAN._replace(seed=seed), out, validate=lambda _: {})
    return captioner.eval()


def run(lesson: Lesson, mechanism: str, seed: int) -> dict[str, Any]:
    """One captioner, trained and measured as `companion evaluate scenes` does."""
    captioner = train(lesson, mechanism, seed)
    found = rounded(evaluation.evaluate_scenes(captioner, count=MEASURED))
    found["parameters"] = sum(p.numel() for p in captioner.parameters())
    return {"mechanism": mechanism, "seed": seed, **{column: found[column] for column in COLUMNS}}


def pace(lesson: Lesson) -> dict[str, float]:
    """Processor seconds that the plan's steps take with each mechanism, from forty that all took in turn."""
    captioners = {mechanism: new(lesson, mechanism, 0).train() for mechanism in MECHANISMS}
    learners = {
        mechanism: torch.optim.AdamW(parameter_groups(captioner, PLAN.decay))
        for mechanism, captioner in captioners.items()
    }
    fabric, generator = distribution.start(), torch.Generator().manual_seed(0)
    few = list(islice(lesson.batches(generator), 5))
    spent = dict.fromkeys(MECHANISMS, 0.0)
    for turn in range(TURNS + 1):
        for mechanism, captioner in captioners.items():
            began = time.process_time()
            for batch in few:
                loss = cross_entropy(captioner, captioner, batch, PLAN)
                train_step(fabric, captioner, learners[mechanism], loss, PLAN.clip, PLAN.rate / 100)
            spent[mechanism] += (time.process_time() - began) * (turn > 0)  # the first turn warms up
    whole = PLAN.epochs * DRAWN / PLAN.batch / (TURNS * len(few))
    return {mechanism: round(seconds * whole, 1) for mechanism, seconds in spent.items()}


def settings() -> dict[str, Any]:
    """What the numbers hang on besides mechanism and seed."""
    return {"plan": PLAN._asdict(), "drawn": DRAWN, "size": SIZE, "measured": MEASURED, "threads": 1}


def recorded() -> dict[str, Any]:
    """The runs on file, and the seconds if they were taken. ValueError if it was made with other settings."""
    path = FOLDER / "mechanisms.json"
    if not path.exists():
        return {"settings": settings(), "seconds": {}, "runs": []}
    found = json.loads(path.read_text())
    if found["settings"] != settings():
        raise ValueError(f"{path}: was made with other settings; delete it to start again")
    return found


def record(runs: list[dict[str, Any]], seconds: dict[str, float] | None = None) -> None:
    """Add runs, or the seconds, to the file, while the other part waits."""
    folder = os.open(FOLDER, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        found = recorded()
        runs = sorted([*found["runs"], *runs], key=lambda r: (MECHANISMS.index(r["mechanism"]), r["seed"]))
        lines = ",\n  ".join(json.dumps(run) for run in runs)
        about = f'"settings": {json.dumps(settings())},\n "seconds": {json.dumps(seconds or found["seconds"])}'
        write_whole(FOLDER / "mechanisms.json", f'{{\n {about},\n "runs": [\n  {lines}\n ]\n}}\n'.encode())
    finally:
        os.close(folder)  # and with it the lock


def table(found: dict[str, Any]) -> str:
    """A line a mechanism: the mean over its seeds and, in brackets, the least and the most; last, the seconds."""
    lines = ["mechanism   " + "".join(column.rjust(21) for column in (*COLUMNS, "seconds"))]
    for mechanism in MECHANISMS:
        own = [run for run in found["runs"] if run["mechanism"] == mechanism]
        cells = [summary([run[column] for run in own]) if own else "-" for column in COLUMNS]
        cells.append(str(found["seconds"].get(mechanism, "-")))
        lines.append(mechanism.ljust(12) + "".join(cell.rjust(21) for cell in cells))
    return "\n".join(lines)


def summary(values: list[float]) -> str:
    """The mean and the range, or the value that all share."""
    form = ",.0f" if max(values) > 20 else ".3f"
    least, mean, most = (f"{x:{form}}" for x in (min(values), sum(values) / len(values), max(values)))
    return mean if least == most else f"{mean} ({least}-{most})"


def main() -> None:
    """Make the runs that are missing, or this part of them; print the table of what there is."""
    options = argparse.ArgumentParser(description="Train every mechanism on the same scenes.")
    options.add_argument("--part", default="0/1", metavar="I/N", help="every Nth run, from the Ith (default: all)")
    part, parts = map(int, options.parse_args().part.split("/"))
    torch.set_num_threads(1)
    missing = [(mechanism, seed) for seed in SEEDS for mechanism in MECHANISMS][part::parts]
    done = {(r["mechanism"], r["seed"]) for r in recorded()["runs"]}
    if missing := [one for one in missing if one not in done]:
        lesson = Lesson(DRAWN)
        for mechanism, seed in missing:
            print(f"{mechanism}, seed {seed}", flush=True)
            record([run(lesson, mechanism, seed)])
    if part == 0 and set(recorded()["seconds"]) != set(MECHANISMS):
        print("the time of each", flush=True)
        record([], pace(Lesson(5 * PLAN.batch)))
    print(table(recorded()))


if __name__ == "__main__":
    main()
