"""Compare captioners that differ in one thing: an attention mechanism, an encoder, the captions that they learn from.

    python -m benchmarks.mechanisms [STUDY] [--part 0/2]

A study is a table, and a row of it is a line of `STUDIES`: the arguments of `models.build`, what is done to the
captions of the training scenes, and the loss. Everything else is equal: scenes, steps, batches, measurement. All learn
from captions alone, without alignment supervision, and by cross-entropy where the row names no other loss. A study has
one learning rate for all rows, or several: then every row is trained with each of them under the first seed, and under
the other seeds with the one that gave it the most truth.

Every run is added to STUDY.json when it is done, and a run that is there is not repeated: stop whenever you like, start
again later. On two cores start `--part 0/2` and `--part 1/2` side by side. Then the rows take turns for some steps, so
that their times can be compared whatever the machine did while each was trained, and the table is printed.
"""

import argparse
import fcntl
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import torch

from benchmarks import corruption, hard, on_picture, sinks
from companion import datasets, scenes, tasks, training
from companion.attention import MECHANISMS
from companion.datasets import Example
from companion.files import atomic_write
from companion.model_card import round_scores
from companion.models import Captioner, build
from companion.scenes import Scene
from companion.tasks.scene_batches import to_examples
from companion.training import CaptionBatches, TrainConfig, distributed
from companion.vocabulary import Vocabulary

SCENES = 12_000  # to train on, the same for all
CONFIG = TrainConfig(epochs=4, lr=3e-3, batch_size=32, captions_per_image=2)  # 1,500 steps
SIZE = "tiny"
MEASURED_SCENES = 1000
COLUMNS = ("truth", "exact", "cider_d", "pointing", "compositional_truth", "parameters")
CURVE_SCENES = 200  # captioned greedily after every epoch
TURNS = 8  # of five steps, for the time


class Row(NamedTuple):
    """A line of a table: the arguments of `models.build`, the captions that the scenes are learnt with, the loss."""

    options: dict[str, Any]
    captions: Callable[[Sequence[Scene]], list[Example]] = to_examples
    loss: training.LossFn = training.cross_entropy


class Study(NamedTuple):
    """Rows that share a table, and so everything that is not in a row."""

    rows: dict[str, Row]
    split: str = "validation"  # that they are measured on
    seeds: tuple[int, ...] = (0, 1, 2)
    rates: tuple[float, ...] = (CONFIG.lr,)  # learning rates, tried under the first seed
    columns: tuple[str, ...] = COLUMNS  # of its table
    # what it measures beside `tasks.scenes.evaluate`, from the captioner, the captions of its row, split and scenes
    measure: Callable[[Captioner, Callable[[Sequence[Scene]], list[Example]], str, int], dict[str, float]] | None = None


STUDIES = {
    # The chapter "Which attention?".
    "mechanisms": Study(
        {
            **{name: Row({"attention": name, "positions": True}) for name in MECHANISMS},
            "transformer": Row({"decoder": "transformer", "positions": True}),
        },
        seeds=(0, 1, 2, 3, 4),
        rates=(1e-3, 3e-3, 1e-2),
    ),
    # The chapter "From here to a vision-language model".
    "bridges": Study(
        {
            "cross_attention": Row({"decoder": "transformer", "positions": True}),
            "prefix": Row({"decoder": "prefix", "positions": True}),
            "four_queries": Row({"decoder": "queries", "positions": True}),
        },
        columns=(*COLUMNS, *on_picture.COLUMNS),
        measure=on_picture.measure,
    ),
    # The chapter "Places without convolution".
    "encoders": Study(
        {
            "convolution": Row({"encoder": "convolution", "positions": True}),
            "patches": Row({"encoder": "patches", "positions": True}),
            "patches_and_registers": Row({"encoder": "patches", "registers": 4, "positions": True}),
        },
        columns=(*COLUMNS, *sinks.COLUMNS),
        measure=sinks.measure,
    ),
    # The chapter "The data makes the model".
    # The chapter "Hard and adaptive attention".
    "hard_attention": Study(
        {
            "hard": Row({"attention": "hard", "positions": True}),
            "hard_reinforce": Row({"attention": "hard", "positions": True}, loss=hard.reinforce),
        },
        rates=(3e-3, 1e-2),
    ),
    "captions": Study(
        {
            "clean": Row({}),
            **{name: Row({}, captions=corruption.with_mistake(name)) for name in corruption.MISTAKES},
            "cleaned": Row({}, captions=corruption.cleaned),
            "same_mistake": Row({}, captions=corruption.same_mistake),
            "one_reference": Row({}, captions=corruption.one_reference),
            "one_annotator": Row({}, captions=corruption.one_annotator),
        },
        seeds=(0, 1),
        columns=("truth", "exact", "true_of_five", "cider_d", "own_cider_d", *corruption.STATED, *corruption.FOUND),
        measure=corruption.measure,
    ),
}


def results_file(study: str) -> Path:
    """Return the file that holds the runs of a study."""
    return Path(__file__).with_name(f"{study}.json")


def vocabulary_of(world: Sequence[Scene]) -> Vocabulary:
    """Return the vocabulary of the scenes' own captions, which all rows share."""
    return tasks.run.build_vocabulary(to_examples(world), min_count=1)


def training_data(world: Sequence[Scene], row: Row) -> CaptionBatches:
    """Return the batches of a row; they depend on no seed of a run."""
    images = scenes.image_tensor(world)
    return CaptionBatches(
        datasets.caption_tensor(row.captions(world), vocabulary_of(world)),
        lambda chosen, _: images[chosen],
        batch_size=CONFIG.batch_size, captions_per_image=CONFIG.captions_per_image,
    )  # fmt: skip


def untrained(vocabulary: Vocabulary, row: Row, seed: int) -> Captioner:
    """Return an untrained captioner."""
    torch.manual_seed(seed)
    return build("scenes", vocabulary, SIZE, **row.options)


def run(world: Sequence[Scene], study: Study, *, name: str, rate: float, seed: int) -> dict[str, Any]:
    """Train one captioner; return its scores, measured as `companion evaluate scenes` does, and its learning curves."""
    row = study.rows[name]
    captioner = untrained(vocabulary_of(world), row, seed)

    few = scenes.make_dataset("validation", CURVE_SCENES)

    def validate(captioner: Captioner) -> dict[str, float]:
        return {"truth": tasks.scenes.truth_rate(tasks.scenes.caption(captioner, few, beam=1), few)}

    with tempfile.TemporaryDirectory() as out:
        config = CONFIG._replace(lr=rate, seed=seed)
        log = training.fit(captioner, training_data(world, row), config, out=out, validate=validate, loss_fn=row.loss)
    scores = tasks.scenes.evaluate(captioner.eval(), study.split, beam=5, count=MEASURED_SCENES)
    scores["parameters"] = sum(p.numel() for p in captioner.parameters())
    if study.measure:
        scores |= study.measure(captioner, row.captions, study.split, MEASURED_SCENES)
    scores = round_scores(scores)
    return {
        "mechanism": name, "lr": rate, "seed": seed,
        **{column: scores[column] for column in study.columns if column in scores},
        "loss_curve": [epoch["loss"] for epoch in log], "truth_curve": [epoch["truth"] for epoch in log],
    }  # fmt: skip


def best_rate(study: Study, runs: Sequence[dict[str, Any]], name: str) -> float:
    """Return the learning rate that gave a row the most truth under the first seed."""
    tried = [run for run in runs if (run["mechanism"], run["seed"]) == (name, study.seeds[0])]
    rate: float = max(tried, key=lambda run: run["truth"])["lr"]
    return rate


def missing(name: str, part: int, parts: int) -> Iterator[tuple[str, float, int]]:
    """Yield row, learning rate and seed of the runs that a study lacks, of every Nth row from the Ith."""
    study = STUDIES[name]
    rows = list(study.rows)[part::parts]
    first, *others = study.seeds
    pairs = [(seed, rate) for seed in (first,) for rate in study.rates] + [(seed, None) for seed in others]
    for seed, rate in pairs:
        for row in rows:
            runs = read_results(name)["runs"]
            wanted = (row, rate or best_rate(study, runs, row), seed)
            if wanted not in {(r["mechanism"], r["lr"], r["seed"]) for r in runs}:
                yield wanted


def training_seconds(world: Sequence[Scene], study: Study) -> dict[str, float]:
    """Return the processor seconds of a run of each row, from forty steps that all took in turn."""
    vocabulary = vocabulary_of(world)
    captioners = {name: untrained(vocabulary, row, 0).train() for name, row in study.rows.items()}
    optimizers = {
        name: torch.optim.AdamW(training.parameter_groups(captioner, CONFIG.weight_decay))
        for name, captioner in captioners.items()
    }
    fabric = distributed.launch()
    epoch = training_data(world, Row({})).epoch(torch.Generator().manual_seed(0))
    few = list(islice(epoch, 5))
    spent = dict.fromkeys(study.rows, 0.0)
    for turn in range(TURNS + 1):
        for name, captioner in captioners.items():
            start = time.process_time()
            for batch in few:
                loss = study.rows[name].loss(captioner, captioner, batch, CONFIG)
                training.train_step(
                    fabric, captioner, optimizers[name],
                    loss=loss, grad_clip=CONFIG.grad_clip, lr=CONFIG.lr / 100,
                )  # fmt: skip
            spent[name] += (time.process_time() - start) * (turn > 0)  # the first turn warms up
    steps = CONFIG.epochs * SCENES / CONFIG.batch_size / (TURNS * len(few))
    return {name: round(seconds * steps, 1) for name, seconds in spent.items()}


def settings(study: Study) -> dict[str, Any]:
    """Return what the numbers depend on beside row and seed."""
    return {
        "train_config": CONFIG._asdict(),
        "scenes": SCENES,
        "size": SIZE,
        f"{study.split}_scenes": MEASURED_SCENES,
        "threads": 1,
        "rates": list(study.rates),
    }


def read_results(name: str) -> dict[str, Any]:
    """Return the stored runs and seconds of a study. Raises ValueError if they were made with other settings."""
    path, wanted = results_file(name), settings(STUDIES[name])
    if not path.exists():
        return {"settings": wanted, "seconds": {}, "runs": []}
    results = json.loads(path.read_text())
    config = TrainConfig(
        **results["settings"]["train_config"]
    )  # fields that are newer than the file have their default
    if results["settings"] | {"train_config": config._asdict()} != wanted:
        raise ValueError(f"{path}: was made with other settings; delete it to start again")
    return results


def add_results(name: str, runs: list[dict[str, Any]], seconds: dict[str, float] | None = None) -> None:
    """Add runs, or the seconds, to the file of a study, while the other part waits."""
    path, study = results_file(name), STUDIES[name]
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        results, order = read_results(name), list(study.rows)
        runs = sorted([*results["runs"], *runs], key=lambda r: (order.index(r["mechanism"]), r["seed"], r["lr"]))
        lines = ",\n  ".join(json.dumps(run) for run in runs)
        head = f'"settings": {json.dumps(settings(study))},\n "seconds": {json.dumps(seconds or results["seconds"])}'
        atomic_write(path, f'{{\n {head},\n "runs": [\n  {lines}\n ]\n}}\n'.encode())
    finally:
        os.close(folder)  # and with it the lock


def table(name: str) -> str:
    """Return a line for each row at its best rate: mean over its seeds, smallest and largest in brackets, seconds."""
    results, study = read_results(name), STUDIES[name]
    width = max(map(len, study.rows)) + 2
    lines = ["".ljust(width) + "".join(column.rjust(21) for column in (*study.columns, "seconds"))]
    for row in study.rows:
        tried = [run for run in results["runs"] if run["mechanism"] == row]
        own = [run for run in tried if run["lr"] == best_rate(study, tried, row)]
        columns = [[run[column] for run in own if column in run] for column in study.columns]
        cells = [mean_and_range(values) if values else "-" for values in columns]
        cells.append(str(results["seconds"].get(row, "-")))
        lines.append(row.ljust(width) + "".join(cell.rjust(21) for cell in cells))
    return "\n".join(lines)


def mean_and_range(values: list[float]) -> str:
    """Return the mean and the range, or the value that all share."""
    form = ",.0f" if max(values) > 20 else ".3f"
    low, mean, high = (f"{x:{form}}" for x in (min(values), sum(values) / len(values), max(values)))
    return mean if low == high else f"{mean} ({low}-{high})"


def main() -> None:
    """Make the runs of a study that are missing, or one part of them, and print the table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.mechanisms", description="Train every row of a study on the same scenes."
    )
    parser.add_argument("study", nargs="?", default="mechanisms", choices=STUDIES, help="default: mechanisms")
    parser.add_argument("--part", default="0/1", metavar="I/N", help="every Nth row, from the Ith (default: all)")
    args = parser.parse_args()
    part, parts = map(int, args.part.split("/"))
    torch.set_num_threads(1)
    study = STUDIES[args.study]
    world = scenes.make_dataset("train", SCENES)
    for name, rate, seed in missing(args.study, part, parts):
        print(f"{name}, learning rate {rate}, seed {seed}", flush=True)
        add_results(args.study, [run(world, study, name=name, rate=rate, seed=seed)])
    if part == 0 and set(read_results(args.study)["seconds"]) != set(study.rows):
        print("seconds of each", flush=True)
        few = scenes.make_dataset("train", 5 * CONFIG.batch_size)
        add_results(args.study, [], training_seconds(few, study))
    print(table(args.study))


if __name__ == "__main__":
    main()
