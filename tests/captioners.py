"""Captioners that have learnt nothing, and captions without a captioner, for tests that need some but no good ones."""

import functools
from collections.abc import Iterable, Iterator
from pathlib import Path

import torch

from companion.decoding import Caption, Tag
from companion.models import Captioner, build
from companion.tokenizer import ENGLISH
from companion.vocabulary import SPECIALS, Vocabulary


@functools.cache
def untrained(seed: int = 0) -> Captioner:
    """Return a captioner of scenes with three words, the same object for the same seed; do not train it."""
    torch.manual_seed(seed)
    return build("scenes", Vocabulary([*SPECIALS, "a", "red", "circle"]), "tiny")


WHOLE_PICTURE = (0.0, 0.0, 1.0, 1.0)
TAGS = (
    Tag("horse", 2.0, True, (0.1, 0.2, 0.5, 0.9)),
    Tag("boat", -3.0, False, WHOLE_PICTURE),
    Tag("person", 0.5, True, WHOLE_PICTURE),
)


def captions_of_names(captioner: object, paths: Iterable[Path]) -> Iterator[tuple[Path, Caption | ValueError]]:
    """Yield captions of the words of the files' names, with `TAGS`; files that begin with "bad" have none."""
    for path in paths:
        if path.name.startswith("bad"):
            yield path, ValueError(f"{path}: it is not a picture")
            continue
        words = tuple(ENGLISH.tokenize(path.stem)) or ("nothing",)
        maps = torch.rand(len(words), 2, 3, generator=torch.Generator().manual_seed(0))
        yield path, Caption(words, -2.0, maps, tag_weights=torch.ones(len(words), len(TAGS)), tags=TAGS)
