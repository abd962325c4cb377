"""Captions in records with named fields, whatever the names: the rows of a table, the objects of a JSON list."""

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from companion.datasets.examples import split_name
from companion.datasets.validation import DatasetBuilder

_IMAGE_FIELDS = (
    *("image", "image_name", "image_file", "image_path", "file_name", "filename", "file_path", "filepath", "file"),
    *("path", "img", "img_name", "img_path", "image_id", "img_id", "name"),
)
_CAPTION_FIELDS = ("caption", "captions", "comment", "text", "description", "sentence", "prompt", "raw")
_SPLIT_FIELDS = ("split", "subset", "partition", "set")


class Fields(NamedTuple):
    """Which fields of a record hold what: the names that they have in the file."""

    image: str
    captions: list[str]
    split: str | None


def find_fields(names: Iterable[str]) -> Fields | None:
    """Return the fields of a record with these names; None if none is for the picture or none for the caption.

    There may be several for captions, as in `caption_1`, `caption_2`.
    """
    known = {re.sub(r"[\s-]+", "_", name.strip().lower()): name for name in names}
    image = next((known[name] for name in _IMAGE_FIELDS if name in known), None)
    caption = next((known[name] for name in _CAPTION_FIELDS if name in known), None)
    split = next((known[name] for name in _SPLIT_FIELDS if name in known), None)
    numbered = [known[name] for name in known if re.fullmatch(r"(caption|comment|sentence)s?_?\d+", name)]
    captions = [caption] if caption is not None else numbered
    return Fields(image, captions, split) if image is not None and captions else None


def add_record(
    builder: DatasetBuilder,
    record: Mapping[str, Any],
    fields: Fields,
    location: str,
    *,
    split: str = "train",
    folders: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Add the captions of a record to a data set, and put its picture into a split.

    Args:
        builder: the data set.
        record: the fields by name. A caption may be a list of captions.
        fields: which is which.
        location: of the record.
        split: for a record without a field for it.
        folders: by split a subfolder in which its pictures may be.
    """
    name, own_split = record.get(fields.image), split if fields.split is None else record.get(fields.split)
    captions: list[Any] = [record.get(field) for field in fields.captions]
    if len(captions) == 1 and isinstance(captions[0], list):
        captions = captions[0]
    elif len(captions) > 1:
        captions = [caption for caption in captions if caption]
    if not (isinstance(name, str) and isinstance(own_split, str)):
        builder.issue(location, f"{fields.image} is missing or of another kind")
        return
    if not own_split.strip():
        builder.issue(location, "no split is named")
        return
    name = name.strip(" \t")  # of no other blank: a no-break space may well belong to the name
    name = builder.prefer_folder(name, folders.get(split_name(own_split), ""))
    for i, caption in enumerate(captions):
        place = location if len(captions) == 1 else f"{location}.{fields.captions[0]}[{i}]"
        if isinstance(caption, str):
            builder.add_caption(name, caption, place)
        else:
            builder.issue(place, f"{fields.captions[0]} is missing or of another kind")
    builder.assign_split(name, own_split, location)
