"""The command `companion edit`: find where the captioner looked for a word, edit the photograph there, write a copy."""

import argparse
import os
from pathlib import Path
from typing import Any

from companion.cli.arguments import Parser, printable, report_note

EDITS = ("blur", "grey", "crop", "highlight", "inpaint")  # the keys of `apps.editing.EDITS`, which is slow to import
ABOUT = "Edit a photograph where the captioner looked for a word of its caption, and write the result as a copy."
LIMITS = (
    "blur, grey and inpaint change where the word was looked for; highlight and crop keep it. The copy has the "
    "photograph's size (but for crop): RGB in 8 bits, upright, white where the photograph is transparent. Metadata, "
    "such as the place in EXIF, and colour profiles are not copied. NOT for evidence: an edited picture proves "
    "nothing, nor does the place where a captioner looked. NOT for hiding persons or secrets: the mask is rough, it "
    "often leaves parts uncovered, and what is blurred can be recognised. Look at every result."
)


def add_edit(group: Any) -> None:
    """Add the command."""
    parser: Parser = group.add_parser("edit", help=ABOUT, description=ABOUT, epilog=LIMITS)
    parser.set_defaults(run=edit)
    parser.add_argument("photo", type=Path, metavar="PHOTO", help="image file; it is never changed")
    parser.add_argument("--word", required=True, metavar="WORD", help="word that the caption says, such as dog")
    parser.add_argument("--do", required=True, choices=EDITS, help="what is done")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FILE", help="new picture: .png, .jpg, .webp or .tif; must not exist"
    )
    parser.add_argument(
        "--threshold",
        type=share,
        metavar="T",
        help="share of the largest attention from which on a pixel belongs to the word, 0 to 1 (default 0.15); the "
        "higher, the smaller the part",
    )
    parser.add_argument(
        "--checkpoint", default="photos", metavar="DIR", help="folder of the model (default: photos, which ships)"
    )


def share(text: str) -> float:
    """Return the number from 0 to 1. Raises ArgumentTypeError for anything else."""
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to 1")
    return number


def edit(options: argparse.Namespace) -> int:
    """Write the edited copy, and print what was edited in it."""
    check_out(options.out, options.photo)
    from companion import apps, checkpoints, datasets
    from companion.apps import editing
    from companion.files import atomic_write
    from companion.metrics import masks

    editing.file_format(options.out)  # refused before the captioner is loaded
    image = datasets.load_original(options.photo)
    ((_, caption),) = apps.caption_files(checkpoints.load(options.checkpoint), [options.photo])
    if isinstance(caption, ValueError):
        raise caption
    threshold = masks.THRESHOLD if options.threshold is None else options.threshold
    try:
        place = editing.find_word(caption, options.word)
        mask, tag = editing.word_mask(caption, place, image.size, threshold=threshold)
        edited = editing.EDITS[options.do](image, mask)
    except ValueError as error:
        raise ValueError(f"{options.photo}: {error}") from None
    if place.times > 1:
        report_note(f"the caption says {options.word!r} {place.times} times; the first is taken")
    atomic_write(options.out, editing.encode(edited, options.out))
    box = f', within the box of the tag "{tag.word}"' if tag else ""
    line = f'{options.out}: {options.do}, {mask.mean():.0%} of the picture{box}; the caption is "{caption.text}"'
    print(printable(line))
    return 0


def check_out(out: Path, photo: Path) -> None:
    """Raise ValueError if a new file of that name cannot be written."""
    for wrong, reason in (
        (os.path.realpath(out) == os.path.realpath(photo), "is the photograph itself, which is not overwritten"),
        (os.path.lexists(out), "is there already"),
        (not out.parent.is_dir(), f"there is no folder {out.parent}"),
    ):
        if wrong:
            raise ValueError(f"{out}: {reason}; choose another name for --out")
