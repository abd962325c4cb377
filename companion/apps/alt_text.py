"""Propose alternative texts for the images of pages, and write them into copies.

`propose` captions the images of a page that have no text and decides what becomes of each; `write_copy` writes the page
with the texts that were chosen. The wording is that of `alt_wording`. Explained in the chapter on alternative text.
"""

import os
from collections.abc import Collection, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

from companion.apps.alt_html import A_PIXEL, PageImage
from companion.apps.alt_images import OutsideError, image_file, is_pixel, shorten_address
from companion.apps.alt_pages import SUFFIXES, Page, insert_texts
from companion.apps.alt_wording import alt_text, sentence
from companion.apps.captioning import caption_files
from companion.decoding import Caption
from companion.files import atomic_write
from companion.metrics.calibration import Confidence
from companion.models import Captioner
from companion.tokenizer import ENGLISH

COPY = ".alt"  # before the suffix of a copy: page.alt.html


class Decision(StrEnum):
    """What becomes of an image."""

    PROPOSED = "proposed"  # its text goes into the copy
    NOT_SURE = "not sure"  # there is a text, for a person to accept
    FOR_HUMAN = "for a human"  # only a person can write it
    UNREADABLE = "unreadable"  # the image cannot be read
    LEFT_ALONE = "left alone"  # nothing is missing


class Proposal(NamedTuple):
    """An image of a page with the text proposed for it, "" for none, and the reason if none was or it is not sure."""

    image: PageImage
    decision: Decision
    text: str = ""
    confidence: float | None = None
    reason: str = ""
    file: Path | None = None  # the image, if it was captioned

    def record(self, page: Path) -> dict[str, Any]:
        """Return the proposal as JSON."""
        confidence = self.confidence
        return {
            "page": str(page),
            "line": self.image.line,
            "image": shorten_address(self.image.address),
            "decision": str(self.decision),
            "text": self.text,
            "confidence": None if confidence is None else round(confidence, 4),
            "reason": self.reason,
        }


class Assistant:
    """A captioner that proposes texts, one page after the other. An image on several pages is captioned once.

    Args:
        captioner: of photographs.
        confidence: in its captions. None, as of a card without it, makes every text "not sure".
        root: the folder outside which no image is opened.
        scratch: an empty folder for images that stand in a page itself.
        beam: width of the beam search.
    """

    def __init__(
        self, captioner: Captioner, confidence: Confidence | None, *, root: Path, scratch: Path, beam: int = 5
    ) -> None:
        self.captioner, self.confidence, self.root, self.scratch, self.beam = captioner, confidence, root, scratch, beam
        self._captions: dict[str, Caption | ValueError] = {}  # by the real path of the image

    def propose(self, page: Page) -> list[Proposal]:
        """Return a proposal for every image of the page, in its order."""
        files = [self._find(image, page) for image in page.images]
        waiting = {os.path.realpath(file): file for file in files if isinstance(file, Path)}
        new = [file for real, file in waiting.items() if real not in self._captions]
        for file, caption in caption_files(self.captioner, new, self.beam) if new else ():
            self._captions[os.path.realpath(file)] = caption
        return [
            self._propose(image, file) if isinstance(file, Path) else file
            for image, file in zip(page.images, files, strict=True)
        ]

    def _find(self, image: PageImage, page: Page) -> Path | Proposal:
        """Return the file of an image that is to be captioned, or the decision about one that is not."""
        if image.left_alone:
            return Proposal(image, Decision.LEFT_ALONE, reason=image.left_alone)
        if image.for_human:
            return Proposal(image, Decision.FOR_HUMAN, reason=image.for_human)
        try:
            file = image_file(image.address, page, root=self.root, scratch=self.scratch)
        except OutsideError as error:
            return Proposal(image, Decision.FOR_HUMAN, reason=str(error))
        except ValueError as error:
            return Proposal(image, Decision.UNREADABLE, reason=str(error))
        return Proposal(image, Decision.LEFT_ALONE, reason=A_PIXEL) if is_pixel(file) else file

    def _propose(self, image: PageImage, file: Path) -> Proposal:
        """Return the proposal for an image that was captioned."""
        caption = self._captions[os.path.realpath(file)]
        if isinstance(caption, ValueError):
            return Proposal(image, Decision.UNREADABLE, reason=str(caption))
        is_english = caption.tokenizer == ENGLISH
        text = alt_text(caption.text, image.nearby) if is_english else sentence(caption.text)
        if not text:  # which would mean: decorative
            return Proposal(image, Decision.FOR_HUMAN, reason="the model generated no words", file=file)
        if self.confidence is None:
            return Proposal(image, Decision.NOT_SURE, text, reason="the model's confidence is unknown", file=file)
        (probability,) = self.confidence.probabilities([caption])
        if self.confidence.are_sure([caption]) == [True]:
            return Proposal(image, Decision.PROPOSED, text, probability, file=file)
        reason = f"the confidence is below {self.confidence.threshold:.2f}"
        return Proposal(image, Decision.NOT_SURE, text, probability, reason, file)


def find_pages(folder: Path, exclude: Collection[Path] = ()) -> list[Path]:
    """Return the pages in a folder and its subfolders, sorted, except copies and what lies in the folders of `exclude`.

    Hidden files and folders are passed over, and links to folders are not followed.
    """
    pages, excluded = [], {path.resolve() for path in exclude}
    for parent, folders, names in os.walk(folder):
        folders[:] = [
            name for name in folders if not name.startswith(".") and Path(parent, name).resolve() not in excluded
        ]
        paths = [Path(parent, name) for name in names if not name.startswith(".")]
        pages += [path for path in paths if path.suffix.lower() in SUFFIXES and Path(path.stem).suffix != COPY]
    return sorted(pages, key=lambda path: path.parts)


def copy_path(page: Path, source: Path, out: Path | None = None) -> Path:
    """Return where the copy of a page goes: beside it as page.alt.html, or `out`; for a folder, into the folder `out`.

    Args:
        page: the page.
        source: what the command was called with: the page itself or a folder that holds it.
        out: where copies are to go.
    """
    if out is None:
        return page.with_name(f"{page.stem}{COPY}{page.suffix}")
    return out / page.relative_to(source) if source.is_dir() else out


def check_copy(copy: Path) -> None:
    """Raise ValueError if there is something already where a copy goes: it may hold a person's corrections."""
    if os.path.lexists(copy):
        raise ValueError(f"{copy}: is there already, and may hold corrections; remove it, or choose another --out")


def chosen_texts(proposals: Sequence[Proposal]) -> dict[int, str]:
    """Return the texts that go into a copy when nobody reviews them: those that are sure, by the image's index."""
    return {i: each.text for i, each in enumerate(proposals) if each.decision is Decision.PROPOSED}


def write_copy(page: Page, texts: Mapping[int, str], copy: Path) -> None:
    """Write the page with these texts, by the index of their images, as a new file. Raises ValueError if it exists."""
    check_copy(copy)
    copy.parent.mkdir(parents=True, exist_ok=True)
    atomic_write(copy, insert_texts(page, texts))
