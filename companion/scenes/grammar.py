"""Reference captions of a scene, each with its alignment. Explained in the chapter on pictures as grids.

The grammar, with A and B phrases for groups of objects:

    caption  = list | related
    list     = [opening] phrase {("and" | "with") phrase}
    related  = A [is] relation B | opening A relation B | relation B is A | B contains A
    more     = related and there is list | there is list and related | related and related | related and relation C
    phrase   = ("a" | number) [size] [texture] colour shape

Objects alike in colour and shape are named by one phrase, with their number. Size and texture are mentioned in some
captions, and only where all objects of the phrase share them.
"""

from collections.abc import Callable, Sequence
from itertools import permutations
from typing import NamedTuple

from companion.scenes.words import COUNT_WORDS, OPENINGS, PLURALS, RELATION_PHRASES, SIZE_WORDS
from companion.scenes.world import RELATIONS, Reference, SceneObject, SeededRandom, clearly_holds

REFERENCES = 5  # captions per scene
MAX_WORDS = 20  # in a caption

# The probability that a phrase mentions the size, or the texture, in a caption of 1, 2, 3 or 4 phrases. The more
# phrases, the fewer words each has, so that captions stay short.
_SIZE_PROBABILITY = (0.6, 0.4, 0.2, 0.1)
_STRIPED_PROBABILITY = (0.7, 0.5, 0.3, 0.1)
_PLAIN_PROBABILITY = (0.25, 0.12, 0.05, 0.0)

Relates = Callable[[str, SceneObject, SceneObject], bool]  # whether a relation may be stated of two objects
Group = tuple[int, ...]  # the indices of the objects that one phrase names
AlignedWords = list[tuple[str, Group]]  # words, each with the indices of the objects that it refers to


class Fact(NamedTuple):
    """`subject` stands in `relation` to `other`: every object of one group to every object of the other."""

    subject: Group
    relation: str
    other: Group


def _unaligned(text: str) -> AlignedWords:
    """Return words that refer to no object."""
    return [(word, ()) for word in text.split()]


def group_objects(objects: Sequence[SceneObject]) -> list[Group]:
    """Return the indices of the objects, grouped by colour and shape, the groups from left to right."""
    groups: dict[tuple[str, str], list[int]] = {}
    for i in sorted(range(len(objects)), key=lambda i: (objects[i].col, objects[i].row)):
        groups.setdefault((objects[i].colour, objects[i].shape), []).append(i)
    return [tuple(sorted(members)) for members in groups.values()]


class CaptionWriter:
    """Generates random captions of one list of objects.

    The order in which a method takes random numbers is part of every seed: changing it changes every caption.
    """

    def __init__(self, objects: Sequence[SceneObject], rng: SeededRandom, relates: Relates = clearly_holds):
        self.objects, self.rng = objects, rng
        self.groups = group_objects(objects)
        self.facts = [
            Fact(a, relation, b)
            for a, b in permutations(self.groups, 2)
            for relation in RELATIONS
            if all(relates(relation, objects[i], objects[j]) for i in a for j in b)
        ]

    def phrase(self, members: Group) -> AlignedWords:
        """Return a noun phrase for one group: "a small red circle", "two striped stars"."""
        rng, first = self.rng, self.objects[members[0]]
        level = len(self.groups) - 1
        words = []
        if len({self.objects[i].size for i in members}) == 1 and rng.bernoulli(_SIZE_PROBABILITY[level]):
            usual, synonym = SIZE_WORDS[first.size]
            words.append(synonym if rng.bernoulli(0.25) else usual)
        probability = _STRIPED_PROBABILITY if first.texture == "striped" else _PLAIN_PROBABILITY
        if len({self.objects[i].texture for i in members}) == 1 and rng.bernoulli(probability[level]):
            words.append(first.texture)
        words.append(first.colour)
        words.append(first.shape if len(members) == 1 else PLURALS[first.shape])
        aligned: AlignedWords = [(word, members) for word in words]
        if len(members) > 1:
            return [(COUNT_WORDS[len(members)], members), *aligned]
        return [("an" if words[0][0] in "aeiou" else "a", ()), *aligned]

    def verb(self, members: Group) -> AlignedWords:
        """Return "is" for one object, "are" for several."""
        return _unaligned("is" if len(members) == 1 else "are")

    def opening(self, members: Group) -> AlignedWords:
        """Return the beginning of a list whose first group this is: often nothing, or "there is" and the like."""
        u = self.rng.random()
        if u < 0.35:
            return []
        if u < 0.8:
            return [*_unaligned("there" if u < 0.7 else "here"), *self.verb(members)]
        return _unaligned(" ".join(OPENINGS[0 if u < 0.9 else 1]))

    def relation_phrase(self, relation: str) -> AlignedWords:
        """Return a phrase for the relation; half the time the usual one."""
        usual, *synonyms = RELATION_PHRASES[relation]
        return _unaligned(usual if self.rng.bernoulli(0.5) else self.rng.choice(synonyms))

    def listing(self, groups: Sequence[Group]) -> AlignedWords:
        """Return a list of the groups, joined by "and" (two sometimes by "with"), mostly from left to right."""
        rng = self.rng
        ordered = list(groups) if rng.bernoulli(0.6) else rng.shuffled(groups)
        words = self.opening(ordered[0])
        for i, members in enumerate(ordered):
            if i:
                words += _unaligned("with" if len(ordered) == 2 and rng.bernoulli(0.25) else "and")
            words += self.phrase(members)
        return words

    def relation_clause(self, fact: Fact, *, is_caption: bool) -> AlignedWords:
        """Return a clause that states one relation.

        With `is_caption` the clause is the whole caption, and may also begin with an opening or do without a verb.
        """
        subject, relation, other = fact
        link = self.relation_phrase(relation)
        u = self.rng.random()
        if relation == "inside" and u < 0.3:
            return [*self.phrase(other), *_unaligned("contains"), *self.phrase(subject)]
        if is_caption and u > 0.9:
            return [*link, *self.phrase(other), *self.verb(subject), *self.phrase(subject)]
        if is_caption and u > 0.5:
            return [*self.opening(subject), *self.phrase(subject), *link, *self.phrase(other)]
        return [*self.phrase(subject), *self.verb(subject), *link, *self.phrase(other)]

    def relational_caption(self) -> AlignedWords:
        """Return a caption that states one relation, or two; groups in neither are added after "there is"."""
        rng = self.rng
        fact = rng.choice(self.facts)
        subject, relation, other = fact
        rest = [members for members in self.groups if members not in (subject, other)]
        if not rest:
            return self.relation_clause(fact, is_caption=True)
        disjoint = [f for f in self.facts if {f.subject, f.other} == set(rest)]
        seconds = disjoint or [f for f in self.facts if f.subject == subject and [f.other] == rest]
        if seconds and rng.bernoulli(0.6):
            second = rng.choice(seconds)
            if second.subject != subject:
                first = self.relation_clause(fact, is_caption=False)
                return [*first, *_unaligned("and"), *self.relation_clause(second, is_caption=False)]
            first = [*self.phrase(subject), *self.verb(subject), *self.relation_phrase(relation), *self.phrase(other)]
            return [*first, *_unaligned("and"), *self.relation_phrase(second.relation), *self.phrase(second.other)]
        also = [*_unaligned("there"), *self.verb(rest[0]), *self.phrase(rest[0])]
        for members in rest[1:]:
            also += [*_unaligned("and"), *self.phrase(members)]
        clause = self.relation_clause(fact, is_caption=False)
        if rng.bernoulli(0.6):
            return [*clause, *_unaligned("and"), *also]
        return [*also, *_unaligned("and"), *clause]

    def caption(self) -> AlignedWords:
        """Return a caption that names every object."""
        if self.facts and self.rng.bernoulli(0.8):
            return self.relational_caption()
        return self.listing(self.groups)


def references(
    objects: Sequence[SceneObject], rng: SeededRandom, relates: Relates = clearly_holds
) -> tuple[Reference, ...]:
    """Return `REFERENCES` different captions, each true of the objects and naming every one of them.

    They state relations that are evident; with `relates=holds`, any that hold.
    """
    writer = CaptionWriter(objects, rng, relates)
    captions: dict[str, Reference] = {}
    while len(captions) < REFERENCES:
        aligned = writer.caption()
        if len(aligned) <= MAX_WORDS:
            words, mentions = zip(*aligned, strict=True)
            text = " ".join(words)
            captions.setdefault(text, Reference(text, words, mentions))
    return tuple(captions.values())
