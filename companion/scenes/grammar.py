"""Things in, reference captions out, each with its alignment. Explained in chapter 8, "Pictures into grids".

    caption  = list | related
    list     = [opening] phrase {("and" | "with") phrase}
    related  = A [is] relation B | opening A relation B | relation B is A | B contains A
    more     = related and there is list | there is list and related | related and related | related and relation C
    phrase   = ("a" | number) [size] [texture] colour shape

Things alike in colour and shape are one phrase, with their number. Size and texture are said now and then, and only
where all things of the phrase share them.
"""

from collections.abc import Sequence
from itertools import permutations

from companion.scenes.words import COUNT_WORDS, OPENINGS, PLURALS, RELATION_PHRASES, SIZE_WORDS
from companion.scenes.world import RELATIONS, Dice, Reference, Thing, clear

REFERENCES = 5  # captions of a scene
LONGEST = 20  # words of a caption

# how often a size, and a texture, is said when a caption has 1, 2, 3, 4 phrases: more phrases, fewer words on each
_SIZE_SAID = (0.6, 0.4, 0.2, 0.1)
_STRIPED_SAID = (0.7, 0.5, 0.3, 0.1)
_PLAIN_SAID = (0.25, 0.12, 0.05, 0.0)

Said = list[tuple[str, tuple[int, ...]]]  # words, each with the things that it speaks of
Group = tuple[int, ...]  # indices of the things that one phrase names


def _plain(text: str) -> Said:
    """Words that speak of no thing."""
    return [(word, ()) for word in text.split()]


def group(things: Sequence[Thing]) -> list[Group]:
    """Indices of the things, those alike in colour and shape together, from left to right."""
    alike: dict[tuple[str, str], list[int]] = {}
    for i in sorted(range(len(things)), key=lambda i: (things[i].col, things[i].row)):
        alike.setdefault((things[i].colour, things[i].shape), []).append(i)
    return [tuple(sorted(members)) for members in alike.values()]


class Writer:
    """Writes about one list of things, as the dice fall."""

    def __init__(self, things: Sequence[Thing], dice: Dice):
        self.things, self.dice = things, dice
        self.groups = group(things)
        self.facts = [
            (a, relation, b)
            for a, b in permutations(self.groups, 2)
            for relation in RELATIONS
            if all(clear(relation, things[i], things[j]) for i in a for j in b)
        ]

    def phrase(self, members: Group) -> Said:
        """A description of one group: "a small red circle", "two striped stars"."""
        dice, first = self.dice, self.things[members[0]]
        level = len(self.groups) - 1
        words = []
        if len({self.things[i].size for i in members}) == 1 and dice.chance(_SIZE_SAID[level]):
            usual, rarer = SIZE_WORDS[first.size]
            words.append(rarer if dice.chance(0.25) else usual)
        often = _STRIPED_SAID if first.texture == "striped" else _PLAIN_SAID
        if len({self.things[i].texture for i in members}) == 1 and dice.chance(often[level]):
            words.append(first.texture)
        words.append(first.colour)
        words.append(first.shape if len(members) == 1 else PLURALS[first.shape])
        said: Said = [(word, members) for word in words]
        if len(members) > 1:
            return [(COUNT_WORDS[len(members)], members), *said]
        return [("an" if words[0][0] in "aeiou" else "a", ()), *said]

    def verb(self, members: Group) -> Said:
        """Is, or are."""
        return _plain("is" if len(members) == 1 else "are")

    def opening(self, members: Group) -> Said:
        """What may stand before a list: mostly nothing, or "there is"."""
        roll = self.dice.random()
        if roll < 0.35:
            return []
        if roll < 0.8:
            return [*_plain("there" if roll < 0.7 else "here"), *self.verb(members)]
        return _plain(" ".join(OPENINGS[0 if roll < 0.9 else 1]))

    def link(self, relation: str) -> Said:
        """A phrase for the relation, the usual one every other time."""
        usual, *rarer = RELATION_PHRASES[relation]
        return _plain(usual if self.dice.chance(0.5) else self.dice.pick(rarer))

    def enumerate(self, groups: Sequence[Group]) -> Said:
        """Phrases joined by "and", from left to right more often than not; two may be joined by "with"."""
        ordered = list(groups) if self.dice.chance(0.6) else self.dice.shuffled(groups)
        said = self.opening(ordered[0])
        for i, members in enumerate(ordered):
            if i:
                said += _plain("with" if len(ordered) == 2 and self.dice.chance(0.25) else "and")
            said += self.phrase(members)
        return said

    def relate(self, subject: Group, relation: str, other: Group, whole: bool) -> Said:
        """One relation in one of its forms; as the whole caption it may do without a verb and begin with an opening."""
        dice = self.dice
        link = self.link(relation)
        roll = dice.random()
        if relation == "inside" and roll < 0.3:
            return [*self.phrase(other), *_plain("contains"), *self.phrase(subject)]
        if whole and roll > 0.9:
            return [*link, *self.phrase(other), *self.verb(subject), *self.phrase(subject)]
        if whole and roll > 0.5:
            return [*self.opening(subject), *self.phrase(subject), *link, *self.phrase(other)]
        return [*self.phrase(subject), *self.verb(subject), *link, *self.phrase(other)]

    def related(self) -> Said:
        """A caption around one relation, or two; what takes no part in it is added by "there is"."""
        dice = self.dice
        subject, relation, other = fact = dice.pick(self.facts)
        rest = [members for members in self.groups if members not in (subject, other)]
        if not rest:
            return self.relate(*fact, whole=True)
        apart = [f for f in self.facts if {f[0], f[2]} == set(rest)]
        seconds = apart or [f for f in self.facts if f[0] == subject and [f[2]] == rest]
        if seconds and dice.chance(0.6):
            second, relation, last = dice.pick(seconds)
            if second != subject:
                return [
                    *self.relate(*fact, whole=False),
                    *_plain("and"),
                    *self.relate(second, relation, last, whole=False),
                ]
            first = [*self.phrase(subject), *self.verb(subject), *self.link(fact[1]), *self.phrase(other)]
            return [*first, *_plain("and"), *self.link(relation), *self.phrase(last)]
        also = [*_plain("there"), *self.verb(rest[0]), *self.phrase(rest[0])]
        for members in rest[1:]:
            also += [*_plain("and"), *self.phrase(members)]
        core = self.relate(*fact, whole=False)
        return [*core, *_plain("and"), *also] if dice.chance(0.6) else [*also, *_plain("and"), *core]

    def caption(self) -> Said:
        """One caption that names every thing."""
        if self.facts and self.dice.chance(0.8):
            return self.related()
        return self.enumerate(self.groups)


def references(things: Sequence[Thing], dice: Dice) -> tuple[Reference, ...]:
    """Five captions, all different, each true of the things and naming every one of them."""
    writer = Writer(things, dice)
    captions: dict[str, Reference] = {}
    while len(captions) < REFERENCES:
        said = writer.caption()
        if len(said) <= LONGEST:
            words, mentions = zip(*said, strict=True)
            text = " ".join(words)
            captions.setdefault(text, Reference(text, words, mentions))
    return tuple(captions.values())
