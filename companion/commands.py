"""What each command does: its arguments in, its lines on standard output out, its exit status returned.

Each imports what it needs and no more, so that `companion --help` answers at once.
"""

import argparse
import json
import sys
from pathlib import Path

FRAME = 320  # pixels: a photograph in the filmstrip has no side longer than this


def complain(message: object) -> int:
    """One line on standard error, and the exit status 1."""
    print("companion:", printable(" ".join(str(message).split())), file=sys.stderr)
    return 1


def printable(text: object) -> str:
    """The text on one line, with nothing in it that would garble the screen: line breaks and the like as escapes."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in str(text))


def caption(options: argparse.Namespace) -> int:
    """Caption every photograph that can be read; name every other on standard error."""
    from companion import checkpoints, evaluation, photos, pipeline

    if options.attention:
        new_picture(options.attention, options.photos)
    captioner = checkpoints.load(options.checkpoint)
    failed, strips = False, []
    for path, found in pipeline.caption_files(captioner, options.photos, options.beam):
        if isinstance(found, ValueError):
            failed = bool(complain(found))
            continue
        line = json.dumps(record(path, found)) if options.json else evaluation.text(found)
        print(line if options.json or len(options.photos) == 1 else f"{printable(path)}: {line}", flush=True)
        if options.attention:
            shown = photos.original(path)
            shown.thumbnail((FRAME, FRAME))
            strips.append((shown, found.words, found.weights))
    if strips:
        from companion import plots
        from companion.files import write_whole

        write_whole(options.attention, plots.png(plots.filmstrips(strips)))
    return int(failed)


def new_picture(path: Path, inputs: list[Path]) -> None:
    """ValueError, before any work is done, if the filmstrip cannot be written to `path` or would cost a photograph."""
    for wrong, reason in (
        (path.suffix.lower() != ".png" or path.is_dir(), "is not the name of a PNG file"),
        (not path.parent.is_dir(), f"there is no folder {path.parent}"),
        (path.resolve() in [photo.resolve() for photo in inputs], "is one of the photographs"),
    ):
        if wrong:
            raise ValueError(f"{path}: {reason}; choose another --attention")


def record(path: Path, found) -> dict:
    """A caption for JSON: one grid of attention (rows of columns) for each word."""
    from companion.vocabulary import detokenize

    return {
        "image": str(path),
        "caption": detokenize(found.words),
        "log_probability": round(found.log_probability, 4),
        "words": list(found.words),
        "attention": [[[round(x, 5) for x in row] for row in grid] for grid in found.weights.tolist()],
    }


def train(options: argparse.Namespace) -> int:
    """Train into an empty folder, or go on in one that holds an unfinished run."""
    from companion import distribution, recipes

    data = needed(options.data) if options.what == "photos" else None
    fabric = distribution.start(options.devices, options.nodes, options.strategy, options.precision)
    distribution.first(fabric, lambda: own_folder(options.out, resume=options.resume))
    if data is None:
        how = (options.attention, options.decoder)
        recipes.train_scenes(options.out, options.seed, options.size, options.resume, fabric, *how)
    else:
        recipes.train_photos(data, options.out, options.seed, options.resume, fabric, options.begin, options.withhold)
    distribution.first(fabric, lambda: print(f"saved in {options.out}"))
    return 0


def needed(data: Path | None) -> Path:
    """The --data folder; a ValueError if it was not given."""
    if data is None:
        raise ValueError("photos need --data DIR, a folder with photographs and captions (Flickr8k, COCO, CSV, ...)")
    return data


def own_folder(folder: Path, resume: bool = False) -> None:
    """Make the folder, or take it if it is empty; with `resume` it may hold what a run writes. ValueError otherwise."""
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder}: is not a folder; choose another --out")
    foreign = {file.name for file in folder.iterdir()} if folder.exists() else set()
    if resume:
        from companion.recipes import FILES

        unfinished = tuple(f".{name}." for name in FILES)  # what a run that was killed left behind
        foreign = {name for name in foreign - set(FILES) if not name.startswith(unfinished)}
    if foreign:
        raise ValueError(f"{folder}: holds {min(foreign)} already; choose another --out (--resume goes on with a run)")
    folder.mkdir(parents=True, exist_ok=True)


def join(options: argparse.Namespace) -> int:
    """Make one captioner of several that were trained apart, in an empty folder."""
    from companion import joining

    if len(options.folders) < 2:
        raise ValueError("joining takes two checkpoints or more")
    own_folder(options.out)
    joining.join(options.folders, options.data, options.out)
    print(f"saved in {options.out}")
    return 0


def evaluate(options: argparse.Namespace) -> int:
    """Print the scores of a checkpoint on a split."""
    from companion import checkpoints, evaluation

    data = needed(options.data) if options.what == "photos" else None
    captioner = checkpoints.load(options.checkpoint or options.what)
    if captioner.settings["data"] != options.what:
        raise ValueError(f"{options.checkpoint}: was trained on {captioner.settings['data']}, not on {options.what}")
    if data is None:
        scores = evaluation.evaluate_scenes(captioner, options.split or "test", options.beam)
    else:
        scores = evaluation.evaluate_photos(captioner, data, options.split or "dev", options.beam)
    if options.json:
        print(json.dumps(scores))
    else:
        print("\n".join(f"{name:20} {value:.4f}" for name, value in scores.items()))
    return 0


def data(options: argparse.Namespace) -> int:
    """Fill a folder with a data set; print how many pictures each split has, and the SHA-256 of each archive."""
    from companion import downloads, evaluation

    places = options.url or options.archive
    sizes, digests = options.size or [None] * len(places), options.sha256 or [None] * len(places)
    if not len(places) == len(sizes) == len(digests):
        raise ValueError(f"{len(places)} archives, {len(sizes)} --size, {len(digests)} --sha256: give one to each")
    found = downloads.data_set([*map(downloads.Source, places, sizes, digests)], options.out)
    for place, sha256 in zip(places, found, strict=True):
        print(f"{sha256}  {printable(place)}")
    for name, examples in evaluation.read(options.out).splits.items():
        print(f"{name}: {len(examples)} photographs")
    return 0


def draw_scenes(options: argparse.Namespace) -> int:
    """Write scenes as COCO captions JSON with a folder of pictures and one of masks."""
    from companion.scenes import export

    own_folder(options.out)
    export(options.out, options.split, options.count, options.seed)
    print(f"{options.count} scenes in {options.out}")
    return 0


def info(options: argparse.Namespace) -> int:
    """Print what is installed and what it can run on."""
    import platform

    import torch

    from companion import __version__, checkpoints

    print(f"companion {__version__}, Python {platform.python_version()}, torch {torch.__version__}")
    for name in ("scenes", "photos"):
        facts = checkpoints.card(name)
        size = (checkpoints.SHIPPED / name / "weights.safetensors").stat().st_size / 1e6
        print(f"weights {name}: {facts['words']} words, {size:.1f} MB, sha256 {facts['sha256'][:12]}")
    accelerators = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    print(f"devices: cpu ({torch.get_num_threads()} threads)", *accelerators, sep=", ")
    return 0
