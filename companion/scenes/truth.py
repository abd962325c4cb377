"""A caption and a scene in; whether it is true, and which thing each word speaks of, out. Explained in chapter 2.

A caption is true if its phrases can be given things of the scene, no thing twice, such that everything said is so. "a
red circle" says that there is one, not that there is only one: in a scene with two it is true, but not exact.
"""

from collections.abc import Iterator
from itertools import combinations

from companion.scenes.parsing import Claim, Statement, parse
from companion.scenes.words import COUNT_WORDS, WORDS
from companion.scenes.world import Scene, Thing, holds
from companion.vocabulary import tokenize

Assignment = tuple[tuple[int, ...], ...]  # for every phrase, the indices of its things


def _holds(claim: Claim, given: Assignment, things: tuple[Thing, ...]) -> bool:
    """A claim about several things is true if it is true of each: every subject against every other."""
    return all(holds(claim.relation, things[i], things[j]) for i in given[claim.subject] for j in given[claim.other])


def assignments(statement: Statement, things: tuple[Thing, ...], given: Assignment = ()) -> Iterator[Assignment]:
    """All ways to give each phrase its things, no thing twice, so that all attributes and relations said are so.

    `given`: what the first phrases have got already.
    """
    if len(given) == len(statement.phrases):
        if all(_holds(claim, given, things) for claim in statement.claims):
            yield given
        return
    phrase = statement.phrases[len(given)]
    taken = {i for group in given for i in group}
    free = [i for i, thing in enumerate(things) if i not in taken and phrase.fits(thing)]
    for group in combinations(free, phrase.number):
        yield from assignments(statement, things, (*given, group))


def is_true(caption: str, scene: Scene) -> bool:
    """The caption parses, and everything that it says is so. It may leave things out; see `is_exact`."""
    statement = parse(caption)
    return statement is not None and next(assignments(statement, scene.things), None) is not None


def is_exact(caption: str, scene: Scene) -> bool:
    """The caption is true and names every thing: the numbers of its phrases add up to the number of things."""
    statement = parse(caption)
    if statement is None or sum(phrase.number for phrase in statement.phrases) != len(scene.things):
        return False
    return next(assignments(statement, scene.things), None) is not None


def align(caption: str, scene: Scene) -> tuple[tuple[int, ...], ...] | None:
    """For each word of a true caption (`tokenize`d), the things that it speaks of; None if the caption is not true.

    Words for shape, colour, size, texture and count speak of the things of their phrase, all others of none. Where
    several things fit ("a red circle", and there are two), the word may mean any of them: it gets all that it means in
    at least one reading that makes the caption true. Looking at any of them is looking at the right place.
    """
    statement = parse(caption)
    if statement is None:
        return None
    readings = list(assignments(statement, scene.things))
    if not readings:
        return None
    aligned: list[tuple[int, ...]] = [()] * len(statement.words)
    for i, phrase in enumerate(statement.phrases):
        meant = tuple(sorted({member for reading in readings for member in reading[i]}))
        for position in phrase.at:
            aligned[position] = meant
    return tuple(aligned)


def explain(caption: str, scene: Scene) -> str:
    """One line on why a caption is false; of a true one, what it leaves out, if anything.

    >>> explain("a green star", scene)  # doctest: +SKIP
    'there is no green star'
    """
    statement = parse(caption)
    if statement is None:
        unknown = next((word for word in tokenize(caption) if word not in WORDS), None)
        return f"not understood: {f'the word {unknown!r} is unknown' if unknown else 'not built like a caption'}"
    reading = next(assignments(statement, scene.things), None)
    if reading is None:
        return _missing(statement, scene.things) or _unrelated(statement, scene.things)
    named = {i for group in reading for i in group}
    left = [f"the {t.size} {t.texture} {t.colour} {t.shape}" for i, t in enumerate(scene.things) if i not in named]
    return f"true, but it leaves out {' and '.join(left)}" if left else "true, and it names everything"


def _missing(statement: Statement, things: tuple[Thing, ...]) -> str | None:
    """The first phrase that too few things fit, in words."""
    for phrase in statement.phrases:
        fitting = sum(phrase.fits(thing) for thing in things)
        one = phrase._replace(number=1)
        if not fitting:
            return f"there is no {one}"
        if fitting < phrase.number:
            only = f"is only one {one}" if fitting == 1 else f"are only {COUNT_WORDS[fitting]} {phrase}"
            return f"there {only}, not {COUNT_WORDS[phrase.number]}"
    if next(assignments(statement._replace(claims=()), things), None) is None:
        return "it speaks of more things than there are: no thing is named twice"
    return None


def _unrelated(statement: Statement, things: tuple[Thing, ...]) -> str:
    """The first claim that does not hold, in words."""
    for subject, relation, other in statement.claims:
        if next(assignments(statement._replace(claims=(Claim(subject, relation, other),)), things), None) is None:
            a, b = statement.phrases[subject], statement.phrases[other]
            return f"the {a} {'is' if a.number == 1 else 'are'} not {relation} the {b}"
    return "each relation holds of some things, but not all of them at once"
