"""Run each command: parsed options to lines on standard output, and the exit status.

Every command imports what it needs, and no more, when it runs.
"""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from companion.cli.arguments import printable
from companion.cli.figures import import_matplotlib


def train_scenes(options: argparse.Namespace) -> int:
    """Train a captioner of scenes in an empty folder, or resume the run in it."""
    import_matplotlib()
    from companion import tasks

    architecture = {"attention": options.attention, "decoder": options.decoder, "encoder": options.encoder}
    chosen = {name: value for name, value in architecture.items() if value}  # the task has defaults for the others
    fabric = start_run(options)
    tasks.scenes.train(
        options.out, seed=options.seed, size=options.size, resume=options.resume, fabric=fabric, **chosen
    )
    return report_saved(options.out, fabric)


def train_photos(options: argparse.Namespace) -> int:
    """Train a captioner of photographs in an empty folder, or resume the run in it."""
    import_matplotlib()
    from companion import tasks

    fabric = start_run(options)
    tasks.photos.train(
        options.data,
        options.out,
        seed=options.seed,
        resume=options.resume,
        init_from=options.init_from,
        reward_holdout=options.reward_holdout,
        split_ratio=options.split_ratio,
        language=options.language,
        strict=options.strict,
        tags=options.tags,
        text=options.text,
        pseudo=options.pseudo,
        fabric=fabric,
    )
    return report_saved(options.out, fabric)


def start_run(options: argparse.Namespace) -> Any:
    """Return the Fabric of a training run, launched, after claiming the output folder."""
    from companion.training import distributed

    fabric = distributed.launch(
        devices=options.devices, nodes=options.nodes, strategy=options.strategy, precision=options.precision
    )
    distributed.on_rank_zero(fabric, lambda: claim_output_dir(options.out, resume=options.resume))
    return fabric


def report_saved(out: Path, fabric: Any) -> int:
    """Print, once for all processes, where the checkpoint is, and return the exit status 0."""
    from companion.training import distributed

    distributed.on_rank_zero(fabric, lambda: print(f"saved in {out}"))
    return 0


def claim_output_dir(folder: Path, resume: bool | None = None) -> None:
    """Make the folder, or take it if it is empty; with `resume` it may hold the files of a run.

    `resume` is None for a command that cannot resume, and False for one that was not asked to.

    Raises:
        ValueError: it is a file, or holds anything else.
    """
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder}: is not a folder; choose another --out")
    foreign = {file.name for file in folder.iterdir()} if folder.exists() else set()
    if resume:
        from companion.tasks.run import RUN_FILES

        unfinished = tuple(f".{name}." for name in RUN_FILES)  # temporary files of a run that was killed
        # A file that is written in its turn under a temporary name has two dots in front.
        foreign = {name for name in foreign - set(RUN_FILES) if not name.replace("..", ".", 1).startswith(unfinished)}
    if foreign:
        hint = "" if resume is None else " (--resume continues a run)"
        raise ValueError(f"{folder}: holds {min(foreign)} already; choose another --out{hint}")
    folder.mkdir(parents=True, exist_ok=True)


def ensemble(options: argparse.Namespace) -> int:
    """Join several captioners into one, in an empty folder."""
    import_matplotlib()
    from companion import tasks

    if len(options.folders) < 2:
        raise ValueError("an ensemble takes two checkpoints or more")
    claim_output_dir(options.out)
    tasks.ensembling.ensemble(options.folders, options.data, options.out, strict=options.strict)
    print(f"saved in {options.out}")
    return 0


def evaluate_scenes(options: argparse.Namespace) -> int:
    """Print the scores of a captioner of scenes."""
    import_matplotlib()
    from companion import tasks

    captioner = load_for(options)
    return print_scores(tasks.scenes.evaluate(captioner, options.split, beam=options.beam), as_json=options.json)


def evaluate_photos(options: argparse.Namespace) -> int:
    """Print the scores of a captioner of photographs, or of the captions in a file of COCO results."""
    import_matplotlib()
    from companion import apps, checkpoints, datasets, tasks
    from companion.metrics import calibration
    from companion.tasks.data import read_data

    if options.results:
        results = apps.read_coco_results(options.results)
        dataset = read_data(options.data, split_ratio=options.split_ratio, strict=options.strict)
        report = None if options.strict else datasets.print_issue
        scores = apps.score_coco_results(
            results, dataset, options.split, folder=options.data, language=options.language or "en", report=report
        )
        return print_scores(scores, as_json=options.json)
    captioner = load_for(options)
    scores = tasks.photos.evaluate(
        captioner,
        options.data,
        options.split,
        beam=options.beam,
        trained=[options.checkpoint],
        split_ratio=options.split_ratio,
        strict=options.strict,
        confidence=calibration.confidence_of(checkpoints.card(options.checkpoint)),
    )
    return print_scores(scores, as_json=options.json)


def load_for(options: argparse.Namespace) -> Any:
    """Return the captioner in the checkpoint. Raises ValueError if it was trained for another task."""
    from companion import checkpoints

    captioner = checkpoints.load(options.checkpoint)
    if (task := captioner.config["task"]) != options.task:
        raise ValueError(f"{options.checkpoint}: was trained on {task}, not on {options.task}")
    return captioner


def print_scores(scores: Mapping[str, float | int], *, as_json: bool) -> int:
    """Print the scores, and counts, one a line or as one JSON object, and return the exit status 0."""
    lines = (f"{name:20} {value if isinstance(value, int) else f'{value:.4f}'}" for name, value in scores.items())
    print(json.dumps(scores) if as_json else "\n".join(lines))
    return 0


def data(options: argparse.Namespace) -> int:
    """Fill a folder with a data set; print the SHA-256 of each archive and the size of each split."""
    from companion import datasets
    from companion.datasets import download

    places = options.url or options.archive
    sizes, digests = options.size or [None] * len(places), options.sha256 or [None] * len(places)
    if not len(places) == len(sizes) == len(digests):
        raise ValueError(f"{len(places)} archives, {len(sizes)} --size, {len(digests)} --sha256: give one to each")
    computed = download.download_dataset([*map(download.Source, places, sizes, digests)], options.out)
    for place, digest in zip(places, computed, strict=True):
        print(f"{digest}  {printable(place)}")
    for name, examples in datasets.read(options.out, report=datasets.print_issue).splits.items():
        print(f"{name}: {len(examples)} photographs")
    return 0


def scenes(options: argparse.Namespace) -> int:
    """Write scenes as COCO captions JSON, with a folder of images and one of masks."""
    from companion.scenes import export

    claim_output_dir(options.out)
    export(options.out, options.split, options.count, seed=options.seed)
    print(f"{options.count} scenes in {options.out}")
    return 0


def info(options: argparse.Namespace) -> int:
    """Print what is installed, what can be built, and what it can run on."""
    import platform

    import torch

    from companion import __version__, checkpoints
    from companion.attention import MECHANISMS
    from companion.decoders import DECODERS
    from companion.models import ENCODERS

    print(f"companion {__version__}, Python {platform.python_version()}, torch {torch.__version__}")
    for name in ("scenes", "photos"):
        facts = checkpoints.card(name)
        size = (checkpoints.resolve(name) / "weights.safetensors").stat().st_size / 1e6
        print(f"weights {name}: {facts['vocabulary_size']} words, {size:.1f} MB, sha256 {facts['sha256'][:12]}")
    print("attention:", ", ".join(MECHANISMS))
    print("decoders:", ", ".join(DECODERS))
    print("encoders:", ", ".join(ENCODERS))
    accelerators = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    print(f"devices: cpu ({torch.get_num_threads()} threads)", *accelerators, sep=", ")
    return 0
