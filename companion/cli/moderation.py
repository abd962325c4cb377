"""The command `companion moderate`: read the policy, caption what is new, print the queue or write it to a file."""

import argparse
import json
from pathlib import Path
from typing import Any

from companion.cli.arguments import Parser, printable, report_note

ABOUT = "List the pictures of a folder that a person should look at, by the rules of a policy. It decides nothing."
NOT_FOR = (
    "A caption says a part of what is in a picture, and may be wrong or deceived. Not for decisions: delete, block, "
    "report or release nothing by this list alone. Not for judging people, nor for crime, abuse or the protection of "
    "children, which need trained people and tools made for them."
)
SUFFIXES = (".csv", ".html")


def add_moderate(group: Any) -> None:
    """Add the command to the group of all commands."""
    parser: Parser = group.add_parser("moderate", help=ABOUT, description=ABOUT, epilog=NOT_FOR)
    parser.set_defaults(run=moderate)
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="pictures; their captions are kept in a file there")
    parser.add_argument("--policy", type=Path, required=True, metavar="FILE", help="rules, in TOML")
    parser.add_argument("--queue", type=Path, metavar="FILE", help="new file for the queue: FILE.csv or FILE.html")
    parser.add_argument("--json", action="store_true", help="print one JSON object a line for every picture")
    parser.add_argument(
        "--checkpoint", default="photos", metavar="DIR", help='checkpoint, or "scenes" or "photos" (default photos)'
    )


def moderate(options: argparse.Namespace) -> int:
    """Print or write the queue. Returns 1 if something could not be read, else 0."""
    if options.queue:
        check_queue_file(options.queue)
    from companion import checkpoints
    from companion.apps import find_pictures, moderation, policy, review_pages
    from companion.apps.index import PictureIndex
    from companion.files import atomic_write
    from companion.tokenizer import find_tokenizer
    from companion.vocabulary import Vocabulary

    card = checkpoints.card(options.checkpoint)
    vocabulary_file = checkpoints.resolve(options.checkpoint) / "vocabulary.json"
    vocabulary = Vocabulary.load(vocabulary_file, find_tokenizer(card["language"]))
    rules = policy.read_policy(options.policy, vocabulary.tokenizer)
    policy.check_policy(rules, card["config"])
    notes = [
        f"rule {name!r} can never find {', '.join(map(repr, blind))}: the captioner does not know the word"
        for name, blind in policy.blind_words(rules, vocabulary).items()
    ]
    for note in notes:
        report_note(note)
    reported: list[str] = []

    def report(line: str) -> None:
        reported.append(line)
        report_note(line)

    with PictureIndex(options.folder) as index:
        index.update(options.checkpoint, report=report)
        entries = index.entries()
    found = find_pictures(options.folder)
    if not found.paths:
        raise ValueError(f"{options.folder}: there is no picture in this folder")
    missing = set(found.paths) - {options.folder / entry.path for entry in entries}
    unreadable = {str(path.relative_to(options.folder)): reason(path, reported) for path in sorted(missing)}
    unreadable |= {line.partition(": ")[0]: line.partition(": ")[2] for line in found.unreadable}
    items = moderation.make_queue(rules, entries, unreadable, tokenizer=vocabulary.tokenizer)
    if options.queue:
        is_table = options.queue.suffix.lower() == ".csv"
        contents = (
            review_pages.to_csv(items) if is_table else review_pages.to_html(items, options.folder, [NOT_FOR, *notes])
        )
        atomic_write(options.queue, contents)
    if options.json:
        for item in items:
            print(json.dumps(moderation.to_record(item)))
    else:
        print_queue(items, is_listed=not options.queue)
    return int(bool(unreadable))


def check_queue_file(path: Path) -> None:
    """Raise ValueError if a queue cannot be written there, or would overwrite what a person has decided."""
    for wrong, reason in (
        (path.suffix.lower() not in SUFFIXES, f"a queue ends in {' or '.join(SUFFIXES)}"),
        (path.exists() or path.is_symlink(), "is there already, and may hold decisions of a person"),
        (not path.parent.is_dir(), f"there is no folder {path.parent}"),
    ):
        if wrong:
            raise ValueError(f"{path}: {reason}; choose another name")


def reason(path: Path, reported: list[str]) -> str:
    """Return why a picture has no caption, from the lines that were reported of it."""
    start = f"{path}: "
    return next((line.removeprefix(start) for line in reported if line.startswith(start)), "it was changed meanwhile")


def print_queue(items: list[Any], *, is_listed: bool) -> None:
    """Print how many pictures are in each bin; if it is to be listed, also each one to be reviewed or not readable."""
    from companion.apps import moderation

    for name, count in moderation.counts(items).items():
        print(f"{name}: {count:,}")
        for item in items if is_listed and name != moderation.NOTHING else []:
            if item.bin == name:
                print(printable(f"  {item.path}: {item.error or item.caption}"))
                for finding in item.findings.reported:
                    print(printable(f"    {finding.rule}: {finding}. {finding.reason}"))
    if held_back := sum(bool(item.findings.held_back) for item in items):
        print(f"held back by `unless` or `least_probability` in {held_back:,}; --json and --queue show where")
