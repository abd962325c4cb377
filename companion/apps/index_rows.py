"""The captions of an index as its database holds them: JSON, and the bytes of the attention weights.

`PictureIndex` uses it. Explained in the chapter on searching pictures.
"""

import json
import os
import sqlite3
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from companion.decoding import Caption, Tag
from companion.metrics import calibration

MIN_LOG_ODDS = -1.0  # of a tag that is searched for; captions mention one with these odds in one case of four


class Entry(NamedTuple):
    """A picture with its caption."""

    path: str  # below the folder, with slashes
    caption: str
    words: tuple[str, ...]
    log_probability: float
    probability: float | None  # that the caption is right; None if the model's card has no `Confidence`
    sure: bool | None
    tags: tuple[Tag, ...]  # empty if the model has none
    word_maps: Float[Tensor, "word row col"]  # attention weights, rounded to half precision


def searched_tags(tags: Sequence[Tag]) -> list[int]:
    """Return the indices of the tags that are probable enough to be searched for."""
    return [i for i, tag in enumerate(tags) if tag.confidence >= MIN_LOG_ODDS]


def pack(caption: Caption, confidence: calibration.Confidence | None) -> tuple[str, bytes]:
    """Return a caption as JSON, and its attention weights in half precision as bytes."""
    maps = caption.weights.half().numpy()
    record = {
        "caption": caption.text,
        "words": caption.words,
        "log_probability": caption.log_probability,
        "probability": confidence.probabilities([caption])[0] if confidence else None,
        "sure": confidence.are_sure([caption])[0] if confidence else None,
        "tags": caption.tags,
        "shape": maps.shape,
    }
    return json.dumps(record), maps.tobytes()


def unpack(path: bytes, record: str, maps: bytes) -> Entry:
    """Return the entry of a file with what `pack` returned. Raises sqlite3.DatabaseError if it is something else."""
    try:
        content = json.loads(record)
        weights = np.frombuffer(maps, np.float16).reshape(content.pop("shape")).astype(np.float32)
        tags = tuple(Tag(word, odds, detected, tuple(box)) for word, odds, detected, box in content.pop("tags"))
        words = tuple(content.pop("words"))
        return Entry(os.fsdecode(path), words=words, tags=tags, word_maps=torch.from_numpy(weights), **content)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise sqlite3.DatabaseError("a row holds no caption") from None
