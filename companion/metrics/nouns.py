"""Which things captions name: how often a noun is right, and how often it is hallucinated.

A noun counts if it names something physical other than a person; `nouns.txt` lists them, from WordNet. It is right if a
reference of the image has it, in the singular or in the plural. Synonyms do not count, so the figures are too low. The
captions are English. Explained in the chapter on real photographs.
"""

import re
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from companion.metrics.references import References, ReferenceSets, tokenized_pairs
from companion.tokenizer import ENGLISH

FILE = Path(__file__).with_name("nouns.txt")
PERSONS = frozenset("person man woman boy girl child lady guy people kid player baby adult".split())


class NounCounts(NamedTuple):
    """The different nouns of one caption, persons aside."""

    named: int
    right: int  # of these, the ones that a reference has


@cache
def noun_forms() -> dict[str, str]:
    """Return the singular of every noun of the list by its forms, singular and plural."""
    nouns = [line.split() for line in FILE.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    forms = {noun: noun for noun, *_ in nouns}
    for noun, *irregular in nouns:
        forms |= dict.fromkeys([regular_plural(noun), *irregular], noun)
    return forms


def regular_plural(noun: str) -> str:
    """Return a noun with the ending of the plural."""
    if noun.endswith(("s", "x", "z", "ch", "sh")):
        return noun + "es"
    return noun[:-1] + "ies" if noun.endswith("y") and noun[-2] not in "aeiou" else noun + "s"


def nouns_in(words: Iterable[str]) -> set[str]:
    """Return the nouns among the words of a caption, in the singular, without those for persons.

    The parts of a word with a hyphen count as words.
    """
    forms = noun_forms()
    parts = (part for word in words for part in re.findall("[a-z]+", word))
    return {forms[part] for part in parts if part in forms} - PERSONS


def noun_counts(candidates: Sequence[str], references: ReferenceSets) -> list[NounCounts]:
    """Return the counts of each caption; for references see `companion.metrics.references`."""
    words, references = tokenized_pairs(candidates, references)
    counts = []
    for candidate, others in zip(words, references.words, strict=True):
        named = nouns_in(candidate)
        counts.append(NounCounts(len(named), len(named & nouns_in(word for other in others for word in other))))
    return counts


def right_noun(counts: Sequence[NounCounts]) -> float:
    """Return the share of captions in which at least one noun is right."""
    return sum(each.right > 0 for each in counts) / len(counts)


def noun_precision(counts: Sequence[NounCounts]) -> float:
    """Return the share of nouns that are right, over all captions together; 0 if none has a noun."""
    return sum(each.right for each in counts) / max(sum(each.named for each in counts), 1)


def noun_scores(lines: Sequence[str], references: References) -> dict[str, float]:
    """Return the `right_noun` and `noun_precision` of English captions; nothing for others."""
    if references.tokenizer != ENGLISH:
        return {}
    counts = noun_counts(lines, references)
    return {"right_noun": right_noun(counts), "noun_precision": noun_precision(counts)}


def hallucination_rate(counts: Sequence[NounCounts]) -> float:
    """Return the share of captions with a noun that no reference has.

    This is CHAIR-s (Rohrbach et al. 2018, "Object Hallucination in Image Captioning", section 3), with the references
    in place of annotated objects, and any noun in place of 80 classes. `1 - noun_precision` is the like of CHAIR-i.
    """
    return sum(each.right < each.named for each in counts) / len(counts)
