"""The command `companion`: arguments in, lines on standard output out, one line on standard error for what went wrong.

    companion caption PHOTO... [--beam 5] [--json] [--attention OUT.png]
    companion train scenes|photos [--data DIR] --out DIR [--seed N] [--resume]
    companion join DIR DIR... --data DIR --out DIR
    companion evaluate scenes|photos [--data DIR] [--split dev] [--checkpoint DIR] [--json]
    companion data flickr8k --url URL... --out DIR [--size BYTES...] [--sha256 HEX...]
    companion scenes --out DIR --count N
    companion info

What each command does stands in `commands`.
"""

import argparse
import io
import os
import sys
from functools import partial
from pathlib import Path

from companion import commands

# The keys of `mechanisms.MECHANISMS`, spelt out, since importing that takes longer than `companion --help` may.
ATTENTION = ("mean", "dot", "scaled_dot", "additive", "multi_head", "hard", "adaptive", "coverage")


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
        return commands.complain(error)
    except KeyboardInterrupt:
        return commands.complain("interrupted")


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
    several = top.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def command(name: str, run, about: str) -> argparse.ArgumentParser:
        made = several.add_parser(name, help=about, description=about)
        made.set_defaults(run=run)
        return made

    one = command("caption", commands.caption, "Print a caption for each photograph.")
    one.add_argument("photos", nargs="+", type=Path, metavar="PHOTO")
    one.add_argument("--beam", type=at_least_one, default=5, metavar="N", help="width of the beam search (default 5)")
    one.add_argument("--json", action="store_true", help="print a JSON object a line, with the attention of every word")
    one.add_argument("--attention", type=Path, metavar="OUT.png", help="draw where the model looked for each word")
    one.add_argument("--checkpoint", default="photos", metavar="DIR", help="the model (default: the one that ships)")

    one = command("train", commands.train, "Train a captioner.")
    one.add_argument("what", choices=("scenes", "photos"))
    one.add_argument("--data", type=Path, metavar="DIR", help="folder of photographs and captions (for photos)")
    one.add_argument("--out", type=Path, required=True, metavar="DIR", help="where the checkpoint goes")
    one.add_argument("--size", choices=("tiny", "base"), default="base", help="of the scenes model")
    one.add_argument("--attention", choices=ATTENTION, default="coverage", help="of its LSTM (default coverage)")
    one.add_argument("--decoder", choices=("lstm", "transformer"), default="lstm", help="of the scenes model")
    one.add_argument("--begin", metavar="DIR", help='a checkpoint of photographs to go on from ("photos": what ships)')
    one.add_argument("--withhold", action="store_true", help="keep a fifth of the photographs for the judge alone")
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

    one = command("join", commands.join, "Let decoders of photographs, trained with different seeds, speak together.")
    one.add_argument("folders", nargs="+", metavar="DIR", help="checkpoints that `train photos` wrote, two or more")
    one.add_argument("--data", type=Path, required=True, metavar="DIR", help="what they were trained on; dev measures")
    one.add_argument("--out", type=Path, required=True, metavar="DIR", help="where the checkpoint goes")

    one = command("evaluate", commands.evaluate, "Measure a captioner.")
    one.add_argument("what", choices=("scenes", "photos"))
    one.add_argument("--data", type=Path, metavar="DIR", help="folder of photographs and captions (for photos)")
    one.add_argument("--split", metavar="NAME", help="split to measure on (default: dev for photos, test for scenes)")
    one.add_argument("--checkpoint", metavar="DIR", help="the model (default: the one that ships)")
    one.add_argument("--beam", type=at_least_one, default=5, metavar="N", help="width of the beam search (default 5)")
    one.add_argument("--json", action="store_true", help="print the scores as JSON")

    one = command(
        "data", commands.data, "Download or unpack a data set, and check it. No address is built in: name your own."
    )
    one.add_argument("what", choices=("flickr8k",), help="any layout that `train photos` reads will do")
    place = one.add_mutually_exclusive_group(required=True)
    place.add_argument("--url", nargs="+", metavar="URL", help="addresses of its archives (zip, tar)")
    place.add_argument("--archive", nargs="+", type=Path, metavar="FILE", help="its archives, downloaded before")
    one.add_argument("--out", type=Path, required=True, metavar="DIR", help="where the pictures and captions go")
    one.add_argument("--size", nargs="+", type=some_bytes, metavar="BYTES", help="of each archive, in the same order")
    one.add_argument("--sha256", nargs="+", type=digest, metavar="HEX", help="of each archive, in the same order")

    one = command(
        "scenes", commands.draw_scenes, "Draw scenes and write them as a data set: pictures, captions, masks."
    )
    one.add_argument("--out", type=Path, required=True, metavar="DIR")
    one.add_argument("--count", type=at_least_one, required=True, metavar="N")
    one.add_argument("--split", default="train", metavar="NAME", help="train, validation, test or compositional")
    one.add_argument("--seed", type=whole, default=0, metavar="N")

    command("info", commands.info, "Print versions, weights and devices.")
    return top


if __name__ == "__main__":
    sys.exit(main())
