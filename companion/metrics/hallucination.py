"""Hallucination in captions of scenes: what a caption makes up, by kind, and what it leaves out.

For photographs see `nouns.hallucination_rate`. Explained in the chapter on hallucination and confidence.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from companion import scenes
from companion.scenes import Claim, Phrase, Scene, Statement
from companion.scenes.semantics import assignments

MADE_UP = ("object", "colour", "size", "texture", "number", "relation", "combination", "grammar")
KINDS = (*MADE_UP, "omission")


class Chair(NamedTuple):
    """CHAIR (Rohrbach et al. 2018): shares from 0 to 1; the lower, the better."""

    instances: float  # CHAIR-i: of the named objects, those that are not in the picture; 0 if none is named
    sentences: float  # CHAIR-s: of the captions, those with such an object


def chair(named: Sequence[set[str]], present: Sequence[set[str]]) -> Chair:
    """Return CHAIR of captions: `named[i]` are the different objects that a caption names, `present[i]` those there."""
    made_up = [len(ours - theirs) for ours, theirs in zip(named, present, strict=True)]
    return Chair(sum(made_up) / max(sum(map(len, named)), 1), sum(count > 0 for count in made_up) / len(made_up))


def named_objects(line: str) -> set[str]:
    """Return the different objects that a caption of a scene names, by colour and shape: "red circle"."""
    statement = scenes.parse(line)
    return {f"{phrase.colour} {phrase.shape}" for phrase in statement.phrases} if statement else set()


def present_objects(scene: Scene) -> set[str]:
    """Return the different objects of a scene, by colour and shape: "red circle"."""
    return {f"{each.colour} {each.shape}" for each in scene.objects}


def mistakes(line: str, scene: Scene) -> Counter[str]:
    """Return how many mistakes of each of `KINDS` a caption of a scene makes; a true and complete one makes none.

    A phrase without such an object is a mistake of "colour" if the scene has its shape in another colour, and otherwise
    of "object"; nothing else that is said of it is counted. Of other phrases, those that are alike in colour and shape
    make a mistake of "number" if together they claim more objects than there are; "size", "texture" and "relation" are
    counted where they do not hold. If each of these holds alone, but of different objects, the caption is false by a
    "combination". A caption that cannot be parsed is a mistake of "grammar". Every object that no phrase names by
    colour and shape is an "omission"; a caption with omissions may be true.
    """
    statement = scenes.parse(line)
    if statement is None:
        return Counter(grammar=1, omission=len(scene.objects))
    there = Counter((each.colour, each.shape) for each in scene.objects)
    claimed = Counter[tuple[str, str]]()
    found = Counter[str]()
    for phrase in statement.phrases:
        if _matching(phrase, scene):
            claimed[phrase.colour or "", phrase.shape] += phrase.number
            found.update(_false_attributes(phrase, scene))
        else:
            found["colour" if any(each.shape == phrase.shape for each in scene.objects) else "object"] += 1
    found["number"] = sum(number > there[pair] for pair, number in claimed.items() if pair in there)
    found["relation"] = sum(_is_false(claim, statement, scene) for claim in statement.claims)
    if not +found and not scenes.is_true(line, scene):
        found["combination"] = 1
    found["omission"] = (there - claimed).total()
    return +found


def _matching(phrase: Phrase, scene: Scene) -> int:
    """Return how many objects have the colour and the shape of the phrase."""
    return sum(_bare(phrase).matches(each) for each in scene.objects)


def _bare(phrase: Phrase) -> Phrase:
    """Return the phrase with its colour and shape alone."""
    return phrase._replace(size=None, texture=None)


def _false_attributes(phrase: Phrase, scene: Scene) -> Iterator[str]:
    """Yield "size" and "texture" where too few of the objects of the phrase's colour and shape have the phrase's."""
    wanted = min(phrase.number, _matching(phrase, scene))
    for kind in ("size", "texture"):
        value = getattr(phrase, kind)
        alike = sum(_bare(phrase).matches(each) and getattr(each, kind) == value for each in scene.objects)
        if value is not None and alike < wanted:
            yield kind


def _is_false(claim: Claim, statement: Statement, scene: Scene) -> bool:
    """Return whether the objects of both phrases exist and the relation between them does not hold."""
    subject, other = (_bare(statement.phrases[i]) for i in (claim.subject, claim.other))
    subjects, others = _matching(subject, scene), _matching(other, scene)
    same_pair = subject[1:3] == other[1:3]
    if not (subjects and others) or (same_pair and subjects < subject.number + other.number):
        return False  # a mistake of another kind
    pair = (
        subject._replace(number=min(subject.number, subjects)),
        other._replace(number=min(other.number, others)),
    )
    alone = statement._replace(phrases=pair, claims=(Claim(0, claim.relation, 1),))
    return next(assignments(alone, scene.objects), None) is None
