"""Declare the commands and their options, and run the one that was asked for.

    companion caption PHOTO|FOLDER... [--beam 5] [--json] [--csv|--jsonl FILE] [--coco FILE] [--attention OUT]
    companion train scenes --out DIR [--size tiny] [--attention NAME] [--decoder NAME] [--encoder NAME]
    companion train photos --data DIR --out DIR [--init-from DIR] [--reward-holdout] [--language zh] [--tags]
    companion ensemble DIR DIR... --data DIR --out DIR
    companion evaluate scenes [--checkpoint DIR] [--split NAME] [--json]
    companion evaluate photos --data DIR [--checkpoint DIR | --results FILE] [--split NAME] [--json]
    companion data flickr8k --url URL... --out DIR [--size BYTES...] [--sha256 HEX...]
    companion scenes --out DIR --count N
    companion check A1 [FILE]
    companion grade A1 FOLDER --out FILE [--key FILE] [--feedback DIR] [--gradebook FILE] [--gradescope]
    companion sheet A1 --roster FILE [--salt FILE]
    companion alt FILE|FOLDER [--out PATH] [--review] [--json]
    companion search WORDS FOLDER [--limit N] [--html FILE] [--json]
    companion moderate --policy FILE FOLDER [--queue FILE] [--json]
    companion edit PHOTO --word WORD --do blur|grey|crop|highlight|inpaint --out FILE
    companion export WEIGHTS --out DIR
    companion info

Each command has its own parser, so it refuses the options of the others.
"""

import argparse
import io
import os
import sys
from collections.abc import Callable
from pathlib import Path

from companion.cli import alt_text, captioning, classroom, commands, editing, exporting, moderation, search
from companion.cli.arguments import (
    Parser,
    attention_name,
    byte_count,
    check_attention,
    check_results,
    check_streams,
    decoder_name,
    encoder_name,
    int_in_range,
    language_code,
    positive_int,
    report_error,
    sha256_digest,
    split_ratio,
)

Group = argparse._SubParsersAction  # what `add_subparsers` returns; argparse has no public name for it


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit status: 0 for success, 1 if something could not be done.

    Results go to standard output, and every error is one line on standard error. A wrong call raises SystemExit with
    status 2 before anything is started.
    """
    options = build_parser().parse_args(arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a file name that the terminal cannot show must not end the command
            stream.reconfigure(errors="backslashreplace")
    try:
        status = options.run(options)
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # the reader of the output, such as `head`, has closed it; silence Python's own message
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (ValueError, OSError) as error:
        return report_error(error)
    except KeyboardInterrupt:
        return report_error("interrupted")


def build_parser() -> Parser:
    """Return the parser of all commands."""
    top = Parser(prog="companion", description="Image captioning with attention.")
    group = top.add_subparsers(title="commands", required=True, metavar="COMMAND")
    add_caption(group)
    add_train(group)
    add_ensemble(group)
    add_evaluate(group)
    add_data(group)
    add_scenes(group)
    alt_text.add_alt(group)
    search.add_search(group)
    moderation.add_moderate(group)
    editing.add_edit(group)
    exporting.add_export(group)
    classroom.add_classroom(group)
    add_command(group, "info", "Print versions, weights, mechanisms, decoders, encoders and devices.", commands.info)
    return top


def add_command(
    group: Group, name: str, about: str, run: Callable[[argparse.Namespace], int] | None = None, **defaults: object
) -> Parser:
    """Add a command to a group and return its parser; without `run` it is a group of commands itself."""
    parser = group.add_parser(name, help=about, description=about)
    parser.set_defaults(**({"run": run} if run else {}), **defaults)
    return parser


def add_caption(group: Group) -> None:
    """Add `companion caption`."""
    parser = add_command(group, "caption", "Print a caption for each photograph.", captioning.caption)
    parser.add_argument("photos", nargs="+", type=Path, metavar="PHOTO", help="image files, and folders of them")
    add_beam(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object a line, with attention weights")
    file = parser.add_mutually_exclusive_group()
    again = "what is there already is not done again"
    file.add_argument("--csv", type=Path, metavar="FILE", help=f"append to a table of image,caption; {again}")
    file.add_argument("--jsonl", type=Path, metavar="FILE", help=f"append what --json prints to a file; {again}")
    parser.add_argument("--coco", type=Path, metavar="FILE", help="write all captions as COCO results at the end")
    parser.add_argument(
        "--attention",
        type=Path,
        metavar="OUT",
        help="draw the attention weights of every word: OUT.png for up to five photographs, or a folder with a figure "
        "for each",
    )
    add_checkpoint(parser, "photos")


def add_train(group: Group) -> None:
    """Add `companion train scenes` and `companion train photos`."""
    tasks = add_command(group, "train", "Train a captioner.").add_subparsers(title="tasks", required=True)
    add_train_scenes(tasks)
    add_train_photos(tasks)


def add_train_scenes(tasks: Group) -> None:
    """Add `companion train scenes`."""
    about = "Train a captioner of drawn scenes from scratch."
    parser = add_command(tasks, "scenes", about, commands.train_scenes, check=check_attention)
    parser.epilog = "`companion info` lists the attention mechanisms, the decoders and the encoders."
    parser.add_argument("--size", choices=("tiny", "base"), default="base", help="size of the model (default base)")
    parser.add_argument(
        "--attention", type=attention_name, metavar="NAME", help="attention mechanism (default: coverage for the LSTM)"
    )
    parser.add_argument("--decoder", type=decoder_name, metavar="NAME", help="decoder (default lstm)")
    parser.add_argument("--encoder", type=encoder_name, metavar="NAME", help="encoder (default convolution)")
    add_run_options(parser)


def add_train_photos(tasks: Group) -> None:
    """Add `companion train photos`."""
    about = "Train a captioner of photographs: a decoder over a frozen encoder."
    parser = add_command(tasks, "photos", about, commands.train_photos, check=check_streams)
    add_data_folder(parser, "data set, as published (Flickr8k, COCO, CSV, ...)")
    add_split_ratio(parser)
    add_strict(parser)
    add_language(parser, "of the captions (default: that of the checkpoint it begins with, or en)")
    parser.add_argument(
        "--init-from", metavar="DIR", help='checkpoint whose weights are the start ("photos": the one that ships)'
    )
    parser.add_argument(
        "--reward-holdout",
        action="store_true",
        help="hold a fifth of the photographs out of the cross-entropy epochs, for the epochs with the reward",
    )
    parser.add_argument("--tags", action="store_true", help="train a decoder that attends to tags, too")
    parser.add_argument(
        "--text", type=Path, metavar="FILE", help="with --tags: captions without photographs (COCO's JSON, or lines)"
    )
    parser.add_argument(
        "--pseudo", type=Path, metavar="DIR", help="with --tags: photographs with captions made by retrieval"
    )
    add_run_options(parser)


def add_run_options(parser: Parser) -> None:
    """Add the options of every training run."""
    add_out(parser, "folder of the run: checkpoint, log and what resuming needs")
    add_seed(parser, "weights and batches")
    parser.add_argument("--resume", action="store_true", help="continue from the last finished epoch in --out")
    parser.add_argument(
        "--precision",
        choices=("32-true", "bf16-mixed"),
        default="32-true",
        help="bf16-mixed is faster where the processor has bfloat16 (default 32-true)",
    )
    parser.add_argument("--devices", type=positive_int, default=1, metavar="N", help="processes per node (default 1)")
    parser.add_argument("--nodes", type=positive_int, default=1, metavar="N", help="machines (default 1)")
    parser.add_argument(
        "--strategy", choices=("auto", "ddp"), default="auto", help="ddp: data-parallel even with one process"
    )


def add_ensemble(group: Group) -> None:
    """Add `companion ensemble`."""
    about = "Join captioners of photographs, trained separately, into one that averages their predictions."
    parser = add_command(group, "ensemble", about, commands.ensemble)
    parser.add_argument("folders", nargs="+", metavar="DIR", help="checkpoints of `train photos`, two or more")
    add_data_folder(parser, "data set that they were trained on; the ensemble is measured on its dev split")
    add_strict(parser)
    add_out(parser, "folder of the new checkpoint")


def add_evaluate(group: Group) -> None:
    """Add `companion evaluate scenes` and `companion evaluate photos`."""
    tasks = add_command(group, "evaluate", "Score a captioner on a split.").add_subparsers(title="tasks", required=True)

    about = "Score a captioner of drawn scenes."
    parser = add_command(tasks, "scenes", about, commands.evaluate_scenes, task="scenes")
    add_scoring_options(parser, "scenes", "test")
    add_beam(parser, None, "a sample at temperature 0.7")

    about = "Score a captioner of photographs."
    parser = add_command(tasks, "photos", about, commands.evaluate_photos, task="photos", check=check_results)
    add_data_folder(parser, "data set, as published (Flickr8k, COCO, CSV, ...)")
    add_split_ratio(parser)
    add_strict(parser)
    add_scoring_options(parser, "photos", "dev")
    add_beam(parser)
    add_language(parser, "of the captions of --results (default en)")
    parser.add_argument(
        "--results", type=Path, metavar="FILE", help='score these captions instead: [{"image_id", "caption"}] of COCO'
    )


def add_scoring_options(parser: Parser, checkpoint: str, split: str) -> None:
    """Add the options of every evaluation, with these defaults."""
    parser.add_argument("--split", default=split, metavar="NAME", help=f"split to score on (default {split})")
    add_checkpoint(parser, checkpoint)
    parser.add_argument("--json", action="store_true", help="print the scores as one JSON object")


def add_data(group: Group) -> None:
    """Add `companion data flickr8k`."""
    about = "Download or unpack a data set, and check it. No address is built in: give your own."
    kinds = add_command(group, "data", about).add_subparsers(title="data sets", required=True)
    about = "Unpack the archives of Flickr8k, or of any data set in a layout that `train photos` reads, and check them."
    parser = add_command(kinds, "flickr8k", about, commands.data)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--url", nargs="+", metavar="URL", help="addresses of the archives (zip or tar)")
    source.add_argument("--archive", nargs="+", type=Path, metavar="FILE", help="archives that are here already")
    add_out(parser, "folder of the photographs and captions")
    parser.add_argument(
        "--size", nargs="+", type=byte_count, metavar="BYTES", help="expected size of each archive, in the same order"
    )
    parser.add_argument(
        "--sha256", nargs="+", type=sha256_digest, metavar="HEX", help="expected SHA-256 of each, in the same order"
    )


def add_scenes(group: Group) -> None:
    """Add `companion scenes`."""
    about = "Draw scenes and write them as a data set: images, captions and object masks."
    parser = add_command(group, "scenes", about, commands.scenes)
    add_out(parser, "folder of the data set")
    parser.add_argument("--count", type=positive_int, required=True, metavar="N", help="number of scenes")
    parser.add_argument(
        "--split", default="train", metavar="NAME", help="train (default), validation, test or compositional"
    )
    add_seed(parser, "the scenes")


def add_out(parser: Parser, about: str) -> None:
    """Add the folder that a command writes to."""
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help=about)


def add_data_folder(parser: Parser, about: str) -> None:
    """Add the folder of a data set."""
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help=about)


def add_split_ratio(parser: Parser) -> None:
    """Add the shares of the splits of a data set that has no dev split."""
    parser.add_argument(
        "--split-ratio",
        type=split_ratio,
        metavar="TRAIN/DEV",
        help="shares of train and dev (and test) if the data set names no split dev (default 0.9/0.1, or those with "
        "which the checkpoint was trained)",
    )


def add_strict(parser: Parser) -> None:
    """Add what is to be done about damaged data."""
    about = "stop at the first caption or picture that cannot be used; without it they are named and left out"
    parser.add_argument("--strict", action="store_true", help=about)


def add_language(parser: Parser, about: str) -> None:
    """Add the language of captions."""
    parser.add_argument("--language", type=language_code, metavar="CODE", help=f"language {about}: de, hi, zh, ...")


def add_seed(parser: Parser, about: str) -> None:
    """Add the seed of whatever is random."""
    parser.add_argument("--seed", type=int_in_range, default=0, metavar="N", help=f"seed of {about} (default 0)")


def add_beam(parser: Parser, default: int | None = 5, about_default: str = "5") -> None:
    """Add the width of the beam search; 1 is greedy search."""
    about = f"width of the beam search, 1 for greedy search (default {about_default})"
    parser.add_argument("--beam", type=positive_int, default=default, metavar="N", help=about)


def add_checkpoint(parser: Parser, default: str) -> None:
    """Add the model, by default a shipped one."""
    parser.add_argument(
        "--checkpoint", default=default, metavar="DIR", help=f"folder of the model (default: {default}, which ships)"
    )
