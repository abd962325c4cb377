"""Compare attention mechanisms: nine captioners that differ in nothing else, three seeds each.

    python -m benchmarks.mechanisms [--part 0/2]

Every run is added to mechanisms.json when it is done, and a run that is there is not repeated: stop whenever you like,
start again later. On two cores start `--part 0/2` and `--part 1/2` side by side. Then the mechanisms take turns for
some steps, so that their times can be compared whatever the machine did while each was trained, and the table is
printed. All learn from captions alone, by cross-entropy, without alignment supervision and without a positional
encoding. The chapter "Which attention?" shows the table.
"""

import argparse
import fcntl
import json
import os
import tempfile
import time
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from companion import datasets, scenes, tasks, training
from companion.attention import MECHANISMS
from companion.files import atomic_write
from companion.model_card import round_scores
from companion.models import Captioner, build
from companion.training import CaptionBatches, TrainConfig, distributed
from companion.vocabulary import Vocabulary

SCENES = 12_000  # to train on, the same for all
CONFIG = TrainConfig(epochs=4, lr=3e-3, batch_size=32, captions_per_image=2)  # 1,500 steps
SEEDS = (0, 1, 2)
SIZE = "tiny"
TEST_SCENES = 1000
COMPARED = (*MECHANISMS, "transformer")
RESULTS = Path(__file__).with_name("mechanisms.json")
COLUMNS = ("truth", "exact", "cider_d", "pointing", "compositional_truth", "parameters")
TURNS = 8  # of five steps, for the time


def training_data(count: int) -> tuple[CaptionBatches, Vocabulary]:
    """Return batches of `count` scenes and their vocabulary; they depend on no seed of a run."""
    world = scenes.make_dataset("train", count)
    examples = tasks.scene_batches.to_examples(world)
    vocabulary = tasks.run.build_vocabulary(examples, min_count=1)
    images, tokens = scenes.image_tensor(world), datasets.caption_tensor(examples, vocabulary)
    batches = CaptionBatches(
        tokens, lambda chosen, _: images[chosen],
        batch_size=CONFIG.batch_size, captions_per_image=CONFIG.captions_per_image,
    )  # fmt: skip
    return batches, vocabulary


def untrained(vocabulary: Vocabulary, mechanism: str, seed: int) -> Captioner:
    """Return an untrained captioner."""
    torch.manual_seed(seed)
    options: dict[str, Any] = {"decoder" if mechanism == "transformer" else "attention": mechanism}
    return build("scenes", vocabulary, SIZE, positions=False, **options)


def run(batches: CaptionBatches, vocabulary: Vocabulary, *, mechanism: str, seed: int) -> dict[str, Any]:
    """Train one captioner and return its scores, measured as `companion evaluate scenes` does."""
    captioner = untrained(vocabulary, mechanism, seed)
    with tempfile.TemporaryDirectory() as out:
        training.fit(captioner, batches, CONFIG._replace(seed=seed), out=out, validate=lambda _: {})
    scores = round_scores(tasks.scenes.evaluate(captioner.eval(), beam=5, count=TEST_SCENES))
    scores["parameters"] = sum(p.numel() for p in captioner.parameters())
    return {"mechanism": mechanism, "seed": seed, **{column: scores[column] for column in COLUMNS}}


def training_seconds(batches: CaptionBatches, vocabulary: Vocabulary) -> dict[str, float]:
    """Return the processor seconds of a run with each mechanism, from forty steps that all took in turn."""
    captioners = {mechanism: untrained(vocabulary, mechanism, 0).train() for mechanism in COMPARED}
    optimizers = {
        mechanism: torch.optim.AdamW(training.parameter_groups(captioner, CONFIG.weight_decay))
        for mechanism, captioner in captioners.items()
    }
    fabric = distributed.launch()
    few = list(islice(batches.epoch(torch.Generator().manual_seed(0)), 5))
    spent = dict.fromkeys(COMPARED, 0.0)
    for turn in range(TURNS + 1):
        for mechanism, captioner in captioners.items():
            start = time.process_time()
            for batch in few:
                loss = training.cross_entropy(captioner, captioner, batch, CONFIG)
                training.train_step(
                    fabric, captioner, optimizers[mechanism],
                    loss=loss, grad_clip=CONFIG.grad_clip, lr=CONFIG.lr / 100,
                )  # fmt: skip
            spent[mechanism] += (time.process_time() - start) * (turn > 0)  # the first turn warms up
    steps = CONFIG.epochs * SCENES / CONFIG.batch_size / (TURNS * len(few))
    return {mechanism: round(seconds * steps, 1) for mechanism, seconds in spent.items()}


def settings() -> dict[str, Any]:
    """Return what the numbers depend on beside mechanism and seed."""
    return {
        "train_config": CONFIG._asdict(),
        "scenes": SCENES,
        "size": SIZE,
        "test_scenes": TEST_SCENES,
        "threads": 1,
    }


def read_results() -> dict[str, Any]:
    """Return the stored runs and seconds. Raises ValueError if they were made with other settings."""
    if not RESULTS.exists():
        return {"settings": settings(), "seconds": {}, "runs": []}
    results = json.loads(RESULTS.read_text())
    config = TrainConfig(
        **results["settings"]["train_config"]
    )  # fields that are newer than the file have their default
    if results["settings"] | {"train_config": config._asdict()} != settings():
        raise ValueError(f"{RESULTS}: was made with other settings; delete it to start again")
    return results


def add_results(runs: list[dict[str, Any]], seconds: dict[str, float] | None = None) -> None:
    """Add runs, or the seconds, to the file, while the other part waits."""
    folder = os.open(RESULTS.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        results = read_results()
        runs = sorted([*results["runs"], *runs], key=lambda r: (COMPARED.index(r["mechanism"]), r["seed"]))
        lines = ",\n  ".join(json.dumps(run) for run in runs)
        head = f'"settings": {json.dumps(settings())},\n "seconds": {json.dumps(seconds or results["seconds"])}'
        atomic_write(RESULTS, f'{{\n {head},\n "runs": [\n  {lines}\n ]\n}}\n'.encode())
    finally:
        os.close(folder)  # and with it the lock


def table(results: dict[str, Any]) -> str:
    """Return a line for each mechanism: mean over its seeds, smallest and largest in brackets, and the seconds."""
    lines = ["mechanism    " + "".join(column.rjust(21) for column in (*COLUMNS, "seconds"))]
    for mechanism in COMPARED:
        own = [run for run in results["runs"] if run["mechanism"] == mechanism]
        cells = [mean_and_range([run[column] for run in own]) if own else "-" for column in COLUMNS]
        cells.append(str(results["seconds"].get(mechanism, "-")))
        lines.append(mechanism.ljust(13) + "".join(cell.rjust(21) for cell in cells))
    return "\n".join(lines)


def mean_and_range(values: list[float]) -> str:
    """Return the mean and the range, or the value that all share."""
    form = ",.0f" if max(values) > 20 else ".3f"
    low, mean, high = (f"{x:{form}}" for x in (min(values), sum(values) / len(values), max(values)))
    return mean if low == high else f"{mean} ({low}-{high})"


def main() -> None:
    """Make the runs that are missing, or one part of them, and print the table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.mechanisms", description="Train every mechanism on the same scenes."
    )
    parser.add_argument("--part", default="0/1", metavar="I/N", help="every Nth run, from the Ith (default: all)")
    part, parts = map(int, parser.parse_args().part.split("/"))
    torch.set_num_threads(1)
    wanted = [(mechanism, seed) for seed in SEEDS for mechanism in COMPARED][part::parts]
    done = {(r["mechanism"], r["seed"]) for r in read_results()["runs"]}
    if missing := [pair for pair in wanted if pair not in done]:
        batches, vocabulary = training_data(SCENES)
        for mechanism, seed in missing:
            print(f"{mechanism}, seed {seed}", flush=True)
            add_results([run(batches, vocabulary, mechanism=mechanism, seed=seed)])
    if part == 0 and set(read_results()["seconds"]) != set(COMPARED):
        print("seconds of each", flush=True)
        add_results([], training_seconds(*training_data(5 * CONFIG.batch_size)))
    print(table(read_results()))


if __name__ == "__main__":
    main()
