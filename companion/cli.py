"""The command `companion`: arguments in, lines on standard output out, one line on standard error for what went wrong.

    companion caption PHOTO... [--beam 5] [--json] [--attention OUT.png]
    companion train scenes|photos [--data DIR] --out DIR [--seed N] [--resume]
    companion evaluate scenes|photos [--data DIR] [--split dev] [--checkpoint DIR] [--json]
    companion data flickr8k --url URL... --out DIR [--size BYTES...] [--sha256 HEX...]
    companion scenes --out DIR --count N
    companion info

Each command imports what it needs and no more, so that `companion --help` answers at once.
"""

import argparse
import io
import json
import os
import sys
from functools import partial
from pathlib import Path

# The keys of `attention.MECHANISMS`, spelt out, since importing that takes longer than `companion --help` may.
ATTENTION = ("mean", "dot", "scaled_dot", "additive", "multi_head", "hard", "adaptive", "coverage")
FRAME = 320  # pixels: a photograph in the filmstrip has no side longer than this


def main(arguments: list[str] | None = None) -> int:
    """Run one command; the exit status is 0 if all went well, 1 if something could not be done, 2 for a wrong call."""
    options = parser().parse_args(arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a name that the terminal cannot show must not end the command
            stream.reconfigure(errors="backslashreplace")
    try:
        status = options.run(options)
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # whoever read the output, `head` for one, has enough; Python would complain once more
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (ValueError, OSError) as error:
        return complain(error)
    except KeyboardInterrupt:
        return complain("interrupted")


def complain(message: object) -> int:
    """One line on standard error, and the exit status 1."""
    print("companion:", printable(" ".join(str(message).split())), file=sys.stderr)
    return 1


def printable(text: object) -> str:
    """The text on one line, with nothing in it that would garble the screen: line breaks and the like as escapes."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in str(text))


def whole(text: str, least: int = 0, most: int = 10**9) -> int:
    """A whole number from `least` to `most`."""
    if not (text.isdecimal() and len(text) <= len(str(most)) and least <= int(text) <= most):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {least} to {most}")
    return int(text)


at_least_one = partial(whole, least=1)
some_bytes = partial(whole, most=10**12)


def digest(text: str) -> str:
    """A SHA-256 in hexadecimal digits."""
    if len(text) != 64 or set(text.lower()) - set("0123456789abcdef"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a SHA-256: 64 hexadecimal digits")
    return text.lower()


def parser() -> argparse.ArgumentParser:
    """All commands and their options."""
    top = argparse.ArgumentParser(prog="companion", description="Image captioning with attention.")
    commands = top.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def command(name: str, run, about: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=about, description=about)
        made.set_defaults(run=run)
        return made

    one = command("caption", caption, "Print a caption for each photograph.")
    one.add_argument("photos", nargs="+", type=Path, metavar="PHOTO")
    one.add_argument("--beam", type=at_least_one, default=5, metavar="N", help="width of the beam search (default 5)")
    one.add_argument("--json", action="store_true", help="print a JSON object a line, with the attention of every word")
    one.add_argument("--attention", type=Path, metavar="OUT.png", help="draw where the model looked for each word")
    one.add_argument("--checkpoint", default="photos", metavar="DIR", help="the model (default: the one that ships)")

    one = command("train", train, "Train a captioner.")
    one.add_argument("what", choices=("scenes", "photos"))
    one.add_argument("--data", type=Path, metavar="DIR", help="folder of photographs and captions (for photos)")
    one.add_argument("--out", type=Path, required=True, metavar="DIR", help="where the checkpoint goes")
    one.add_argument("--size", choices=("tiny", "small", "base"), default="base", help="of the scenes model")
    one.add_argument("--attention", choices=ATTENTION, default="additive", help="of its LSTM (default additive)")
    one.add_argument("--decoder", choices=("lstm", "transformer"), default="lstm", help="of the scenes model")
    one.add_argument("--begin", metavar="DIR", help='a checkpoint of photographs to go on from ("photos": what ships)')
    one.add_argument("--seed", type=whole, default=0, metavar="N")
    one.add_argument("--resume", action="store_true", help="go on from the last finished epoch in --out")
    one.add_argument(
        "--precision",
        choices=("32-true", "bf16-mixed"),
        default="32-true",
        help="bf16-mixed is faster where the processor has bfloat16 (default 32-true)",
    )
    one.add_argument("--devices", type=at_least_one, default=1, metavar="N", help="processes a machine (default 1)")
    one.add_argument("--nodes", type=at_least_one, default=1, metavar="N", help="machines (default 1)")
    one.add_argument("--strategy", choices=("auto", "ddp"), default="auto", help="ddp: also with one process")

    one = command("evaluate", evaluate, "Measure a captioner.")
    one.add_argument("what", choices=("scenes", "photos"))
    one.add_argument("--data", type=Path, metavar="DIR", help="folder of photographs and captions (for photos)")
    one.add_argument("--split", metavar="NAME", help="split to measure on (default: dev for photos, test for scenes)")
    one.add_argument("--checkpoint", metavar="DIR", help="the model (default: the one that ships)")
    one.add_argument("--beam", type=at_least_one, default=5, metavar="N", help="width of the beam search (default 5)")
    one.add_argument("--json", action="store_true", help="print the scores as JSON")

    one = command("data", data, "Download or unpack a data set, and check it. No address is built in: name your own.")
    one.add_argument("what", choices=("flickr8k",), help="any layout that `train photos` reads will do")
    place = one.add_mutually_exclusive_group(required=True)
    place.add_argument("--url", nargs="+", metavar="URL", help="addresses of its archives (zip, tar)")
    place.add_argument("--archive", nargs="+", type=Path, metavar="FILE", help="its archives, downloaded before")
    one.add_argument("--out", type=Path, required=True, metavar="DIR", help="where the pictures and captions go")
    one.add_argument("--size", nargs="+", type=some_bytes, metavar="BYTES", help="of each archive, in the same order")
    one.add_argument("--sha256", nargs="+", type=digest, metavar="HEX", help="of each archive, in the same order")

    one = command("scenes", draw_scenes, "Draw scenes and write them as a data set: pictures, captions, masks.")
    one.add_argument("--out", type=Path, required=True, metavar="DIR")
    one.add_argument("--count", type=at_least_one, required=True, metavar="N")
    one.add_argument("--split", default="train", metavar="NAME", help="train, validation, test or compositional")
    one.add_argument("--seed", type=whole, default=0, metavar="N")

    command("info", info, "Print versions, weights and devices.")
    return top


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
        recipes.train_photos(data, options.out, options.seed, options.resume, fabric, options.begin)
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


if __name__ == "__main__":
    sys.exit(main())
