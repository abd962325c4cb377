"""The command `companion alt`: propose alternative texts for the images of pages, and write them into copies."""

import argparse
import json
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from companion.cli.arguments import printable, report_error, report_note

ABOUT = "Propose alternative texts for the images of a page that have none, and write them into a copy of the page."
LIMITS = """The page itself is never changed, and no text of a person is replaced. Texts of which the model is not sure,
and images that are in links, on other machines or outside the folder, are listed for you. In Markdown, ![](x.png)
counts as without a text. NOT FOR publishing unread: some texts are wrong, and none says what the image is on the page
for. NOT FOR saying who persons are or what they are like. NOT FOR medical, legal or safety pictures."""


def add_alt(group: Any) -> None:
    """Add the command."""
    parser = group.add_parser("alt", help=ABOUT, description=ABOUT, epilog=LIMITS)
    parser.set_defaults(run=alt, check=check_options)
    parser.add_argument("source", type=Path, metavar="FILE|FOLDER", help="page (.html, .htm, .md) or folder of pages")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="PATH",
        help="copy of the page, or folder for copies (default: page.alt.html)",
    )
    parser.add_argument(
        "--review", action="store_true", help="show the proposals in a browser, and write what you accept or correct"
    )
    parser.add_argument("--json", action="store_true", help="print a JSON object a line for every image")
    parser.add_argument(
        "--checkpoint", default="photos", metavar="DIR", help="folder of the model (default: photos, which ships)"
    )


def check_options(options: argparse.Namespace) -> None:
    """Raise ValueError if two options do not go together."""
    if options.review and options.json:
        raise ValueError("--review shows the proposals in a browser; leave --json away")


def alt(options: argparse.Namespace) -> int:
    """Propose texts page by page; write each copy as soon as its page is done, or let a person review all of them."""
    from companion import checkpoints
    from companion.apps import alt_pages, alt_review, alt_text
    from companion.metrics import calibration

    source, failed = options.source, 0
    pages = []
    for path in list_pages(source, options.out):
        try:
            alt_text.check_copy(alt_text.copy_path(path, source, options.out))
            pages.append(alt_pages.read_page(path))
        except (ValueError, OSError) as error:
            failed = report_error(error)
    if not pages:
        return failed
    captioner = checkpoints.load(options.checkpoint)
    confidence = calibration.confidence_of(checkpoints.card(options.checkpoint))
    if confidence is None:
        report_note(f"{options.checkpoint}: its card has no confidence, so no text is sure; see --review")
    with tempfile.TemporaryDirectory() as scratch:
        root = source if source.is_dir() else source.parent
        assistant = alt_text.Assistant(captioner, confidence, root=root, scratch=Path(scratch))
        reviewed = []
        for page in pages:
            proposals, copy = assistant.propose(page), alt_text.copy_path(page.path, source, options.out)
            failed |= any(each.decision is alt_text.Decision.UNREADABLE for each in proposals)
            report_proposals(page.path, proposals, as_json=options.json)
            if options.review:
                reviewed.append(alt_review.Reviewed(page, proposals, copy))
            elif texts := alt_text.chosen_texts(proposals):
                alt_text.write_copy(page, texts, copy)
                report_note(f"wrote {copy}")
        if options.review:
            review(reviewed)
    return failed


def list_pages(source: Path, out: Path | None) -> list[Path]:
    """Return the pages that were named. Raises ValueError if there is none, or if copies cannot go to `out`."""
    from companion.apps import alt_pages, alt_text

    if not source.is_dir():
        if source.suffix.lower() not in alt_pages.SUFFIXES:
            raise ValueError(f"{source}: is no page; its name must end in {', '.join(alt_pages.SUFFIXES)}")
        if out and out.is_dir():
            raise ValueError(f"{out}: is a folder; name the file for the copy of {source}")
        if out and not out.parent.is_dir():
            raise ValueError(f"{out}: there is no folder {out.parent}")
        return [source]
    if out and out.exists() and (not out.is_dir() or out.resolve() == source.resolve()):
        reason = "is the folder of the pages" if out.is_dir() else "is a file"
        raise ValueError(f"{out}: {reason}; name a folder for copies")
    pages = alt_text.find_pages(source, [out] if out else [])
    if not pages:
        raise ValueError(f"{source}: there is no page ({', '.join(alt_pages.SUFFIXES)}) in this folder")
    return pages


def report_proposals(page: Path, proposals: Any, *, as_json: bool) -> None:
    """Print a line for every image to which something is to be done, or one of JSON for every image, and a summary."""
    from companion.apps.alt_text import Decision

    for proposal in proposals:
        record = proposal.record(page)
        if as_json:
            print(json.dumps(record), flush=True)
        elif proposal.decision is not Decision.LEFT_ALONE:
            place = f"{page}:{record['line']}: {record['image']}"
            known = "" if proposal.confidence is None else f" ({proposal.confidence:.2f})"
            about = f"{proposal.text}{known}" if proposal.text else proposal.reason
            label = "" if proposal.decision is Decision.PROPOSED else f"{proposal.decision}: "
            print(f"{printable(place)}: {label}{printable(about)}", flush=True)
    counts = Counter(str(proposal.decision) for proposal in proposals)
    summary = ", ".join(f"{counts[kind]} {kind}" for kind in Decision if counts[kind])
    report_note(f"{page}: {summary or 'no image'}")


def review(reviewed: Any) -> None:
    """Let a person review the proposals until the button on the page, or Ctrl-C, ends it."""
    from companion.apps import alt_review

    with alt_review.ReviewServer(reviewed) as server:
        report_note(f"open {server.address} in a browser of this machine; its button, or Ctrl-C, ends the review")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            report_note("the review ended")
