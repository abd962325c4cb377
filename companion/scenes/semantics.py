"""Truth of captions: whether a caption is true of a scene, and which object each word refers to.

A caption is true if the objects of the scene can be assigned to its phrases, no object to two of them, so that every
attribute and every claim holds. "a red circle" claims that there is one, not that there is only one: in a scene with
two it is true, but not exact. Explained in the chapter on pictures as grids.
"""

from collections.abc import Iterator
from itertools import combinations

from companion.scenes.parser import Claim, Statement, parse
from companion.scenes.words import COUNT_WORDS, WORDS
from companion.scenes.world import Scene, SceneObject, holds
from companion.vocabulary import tokenize

Assignment = tuple[tuple[int, ...], ...]  # for each phrase, the indices of its objects


def _claim_holds(claim: Claim, assignment: Assignment, objects: tuple[SceneObject, ...]) -> bool:
    """Return whether a claim holds between every object of its subject and every object of its other phrase."""
    subjects, others = assignment[claim.subject], assignment[claim.other]
    return all(holds(claim.relation, objects[i], objects[j]) for i in subjects for j in others)


def assignments(
    statement: Statement, objects: tuple[SceneObject, ...], partial: Assignment = ()
) -> Iterator[Assignment]:
    """Yield every assignment of objects to phrases under which the statement is true, no object in two phrases.

    `partial` is the assignment of the first phrases, for the recursion.
    """
    if len(partial) == len(statement.phrases):
        if all(_claim_holds(claim, partial, objects) for claim in statement.claims):
            yield partial
        return
    phrase = statement.phrases[len(partial)]
    taken = {i for members in partial for i in members}
    free = [i for i, scene_object in enumerate(objects) if i not in taken and phrase.matches(scene_object)]
    for members in combinations(free, phrase.number):
        yield from assignments(statement, objects, (*partial, members))


def is_true(caption: str, scene: Scene) -> bool:
    """Return whether the caption can be parsed and is true. It may leave objects out; see `is_exact`."""
    statement = parse(caption)
    return statement is not None and next(assignments(statement, scene.objects), None) is not None


def is_exact(caption: str, scene: Scene) -> bool:
    """Return whether the caption is true and names every object: its numbers add up to the number of objects."""
    statement = parse(caption)
    if statement is None or sum(phrase.number for phrase in statement.phrases) != len(scene.objects):
        return False
    return next(assignments(statement, scene.objects), None) is not None


def align(caption: str, scene: Scene) -> tuple[tuple[int, ...], ...] | None:
    """Return the indices of the objects that each word refers to, or None if the caption is not true.

    The words are those of `tokenize`. Words for shape, colour, size, texture and count refer to the objects of their
    phrase, all others to none. Where the phrase is ambiguous ("a red circle", and there are two), the word refers to
    every object that the phrase has in at least one assignment that makes the caption true; attending to any of them
    is right.
    """
    statement = parse(caption)
    if statement is None:
        return None
    readings = list(assignments(statement, scene.objects))
    if not readings:
        return None
    aligned: list[tuple[int, ...]] = [()] * len(statement.words)
    for i, phrase in enumerate(statement.phrases):
        members = tuple(sorted({member for reading in readings for member in reading[i]}))
        for position in phrase.positions:
            aligned[position] = members
    return tuple(aligned)


def explain(caption: str, scene: Scene) -> str:
    """Return one line that says why a caption is false, or what a true caption leaves out, if anything.

    >>> explain("a green star", scene)  # doctest: +SKIP
    'there is no green star'
    """
    statement = parse(caption)
    if statement is None:
        unknown = next((word for word in tokenize(caption) if word not in WORDS), None)
        return f"not understood: {f'the word {unknown!r} is unknown' if unknown else 'not built like a caption'}"
    reading = next(assignments(statement, scene.objects), None)
    if reading is None:
        return _missing_object(statement, scene.objects) or _false_claim(statement, scene.objects)
    named = {i for members in reading for i in members}
    omitted = [f"the {o.size} {o.texture} {o.colour} {o.shape}" for i, o in enumerate(scene.objects) if i not in named]
    return f"true, but it leaves out {' and '.join(omitted)}" if omitted else "true, and it names everything"


def _missing_object(statement: Statement, objects: tuple[SceneObject, ...]) -> str | None:
    """Return a line on the first phrase that too few objects match, or None if the phrases alone are true."""
    for phrase in statement.phrases:
        matching = sum(phrase.matches(scene_object) for scene_object in objects)
        singular = phrase._replace(number=1)
        if not matching:
            return f"there is no {singular}"
        if matching < phrase.number:
            only = f"is only one {singular}" if matching == 1 else f"are only {COUNT_WORDS[matching]} {phrase}"
            return f"there {only}, not {COUNT_WORDS[phrase.number]}"
    if next(assignments(statement._replace(claims=()), objects), None) is None:
        return "it mentions more objects than there are: no object may be counted twice"
    return None


def _false_claim(statement: Statement, objects: tuple[SceneObject, ...]) -> str:
    """Return a line on the first claim that does not hold."""
    for claim in statement.claims:
        if next(assignments(statement._replace(claims=(claim,)), objects), None) is None:
            subject, other = statement.phrases[claim.subject], statement.phrases[claim.other]
            return f"the {subject} {'is' if subject.number == 1 else 'are'} not {claim.relation} the {other}"
    return "each relation holds for some objects, but not all of them at once"
