"""The command `companion search`."""

import argparse
import json
from pathlib import Path
from typing import Any

from companion.cli.arguments import positive_int, printable, report_error, report_note

USE = (
    "The captions are kept in FOLDER, in the file .companion-index.sqlite; only new and changed pictures are "
    "captioned. Captions leave out most of a picture and can be wrong: a search that finds nothing proves nothing. Not "
    "for finding, following or identifying persons, nor for decisions about them."
)


def add_search(group: Any) -> None:
    """Add the command."""
    about = "Search the pictures of a folder by words of their captions and tags."
    parser = group.add_parser("search", help=about, description=about, epilog=USE)
    parser.set_defaults(run=search)
    parser.add_argument("words", metavar="WORDS", help='words to look for, such as "a dog running"')
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="pictures, also in its subfolders")
    parser.add_argument("--limit", type=positive_int, default=10, metavar="N", help="most hits to show (default 10)")
    parser.add_argument(
        "--html", type=html_file, metavar="FILE", help="write a contact sheet: the hits, and where each word comes from"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object a line")
    parser.add_argument(
        "--checkpoint", default="photos", metavar="DIR", help="folder of the model (default: photos, which ships)"
    )


def html_file(text: str) -> Path:
    """Return the path. Raises ArgumentTypeError for a name that could be that of a picture."""
    if Path(text).suffix.lower() not in (".html", ".htm"):
        raise argparse.ArgumentTypeError(f"{text!r} does not end in .html")
    return Path(text)


def search(options: argparse.Namespace) -> int:
    """Update the index of the folder and show the hits."""
    from companion import apps
    from companion.apps.search import contact_sheet, hit_record
    from companion.files import atomic_write

    if options.html and (options.html.is_dir() or not options.html.parent.is_dir()):
        raise ValueError(f"{options.html}: it is a folder, or its own folder does not exist; choose another name")
    with apps.PictureIndex(options.folder) as index:
        index.search(options.words, 1)  # a query without a word is refused before anything is captioned
        update = index.update(options.checkpoint, report=report_note)
        hits = index.search(options.words, options.limit)
    if not update.captioned + update.kept + update.failed:
        return report_error(f"{options.folder}: there is no picture in this folder")
    if update.captioned or update.removed:
        report_note(f"captioned {update.captioned:,}, kept {update.kept:,}, removed {update.removed:,}")
    for hit in hits:
        print(json.dumps(hit_record(options.folder, hit)) if options.json else hit_line(options.folder, hit))
    if not hits:
        report_note("no caption and no tag has one of the words")
    if options.html:
        atomic_write(options.html, contact_sheet(options.words, options.folder, hits))
        report_note(f"wrote {options.html}")
    return 1 if update.failed else 0


def hit_line(folder: Path, hit: Any) -> str:
    """Return a hit in one line: its file, its caption, its score and the words that match."""
    from companion.apps.search import matched_tags, matched_words

    unsure = " (unsure)" if hit.entry.sure is False else ""
    words, tags = matched_words(hit), matched_tags(hit)
    why = [f"caption: {' '.join(words)}"] * bool(words) + [f"tags: {' '.join(tags)}"] * bool(tags)
    return printable(f"{folder / hit.entry.path}: {hit.entry.caption}{unsure} [{hit.score:.2f}; {'; '.join(why)}]")
