"""The words that tags can have, and the words of captions that mention them.

`TAG_WORDS` merges the words of the COCO classes, in the detector's order, with those of the ImageNet classes. The
tables `coco_words.tsv` and `imagenet_words.tsv` say how they were made.
"""

from collections import defaultdict
from collections.abc import Sequence, Set
from functools import cache
from pathlib import Path

import torch
from jaxtyping import Bool, Float
from torch import Tensor

IRREGULAR_PLURALS = {
    "bison": "bison", "calf": "calves", "child": "children", "deer": "deer", "fish": "fish", "knife": "knives",
    "man": "men", "mouse": "mice", "ox": "oxen", "person": "people", "potato": "potatoes", "sheep": "sheep",
    "volcano": "volcanoes", "wolf": "wolves", "woman": "women",
}  # fmt: skip


def read_table(name: str) -> list[list[str]]:
    """Return the fields of each line of a table of this folder, without the comment at its head."""
    lines = (Path(__file__).parent / name).read_text(encoding="utf-8").splitlines()
    return [line.split("\t") for line in lines if not line.startswith("#")]


def plural(word: str) -> str:
    """Return the plural of an English noun of the tables."""
    if word in IRREGULAR_PLURALS:
        return IRREGULAR_PLURALS[word]
    if word.endswith(("s", "x", "ch", "sh")):
        return word + "es"
    return word[:-1] + "ies" if word.endswith("y") and word[-2] not in "aeiou" else word + "s"


COCO_TABLE = read_table("coco_words.tsv")  # index, class, word, other words that mention it
IMAGENET_TABLE = [(index, name, words.split()) for index, name, words in read_table("imagenet_words.tsv")]
COCO_WORDS = tuple(word for _, _, word, _ in COCO_TABLE)
TAG_WORDS = (*COCO_WORDS, *sorted({word for *_, words in IMAGENET_TABLE for word in words} - {*COCO_WORDS}))


@cache
def imagenet_membership() -> Float[Tensor, "1000 word"]:
    """Return 1 where an ImageNet class has a word of `TAG_WORDS`, otherwise 0."""
    number = {word: i for i, word in enumerate(TAG_WORDS)}
    membership = torch.zeros(len(IMAGENET_TABLE), len(TAG_WORDS))
    for i, (_, _, words) in enumerate(IMAGENET_TABLE):
        membership[i, [number[word] for word in words]] = 1
    return membership


def _tags_by_form() -> dict[str, list[int]]:
    """Return the indices of the tags that a word of a caption mentions, singular or plural, by that word."""
    others = {word: synonyms.split() for _, _, word, synonyms in COCO_TABLE}
    tags: dict[str, list[int]] = defaultdict(list)
    for i, tag in enumerate(TAG_WORDS):
        for form in {form for word in (tag, *others.get(tag, [])) for form in (word, plural(word))}:
            tags[form].append(i)
    return tags


_TAGS_BY_FORM = _tags_by_form()


def mentions(captions_words: Sequence[Set[str]]) -> Bool[Tensor, "image word"]:
    """Return which of `TAG_WORDS` the captions of each image mention.

    Args:
        captions_words: for each image the words of its captions, in lower case, as they stand there: plurals count, and
            so do the other words of coco_words.tsv ("sofa" mentions "couch").
    """
    mentioned = torch.zeros(len(captions_words), len(TAG_WORDS), dtype=torch.bool)
    for row, words in zip(mentioned, captions_words, strict=True):
        row[[tag for word in words for tag in _TAGS_BY_FORM.get(word, ())]] = True
    return mentioned
