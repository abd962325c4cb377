"""A caption in, what it says out. Explained in chapter 8, "Pictures into grids".

The same grammar as in `grammar.py`, read the other way round and a little more freely: adjectives come in any order,
all but the shape may be left unsaid, "a" and "an", "is" and "are" are not told apart. "and" begins a new clause: in "a
red circle is left of a blue star and a heart" nothing is said about where the heart is.
"""

from collections.abc import Container
from functools import lru_cache
from typing import NamedTuple

from companion.scenes.words import COUNTS, OPENINGS, PLURALS, RELATION_OF, SIZE_OF, VERBS, word_class
from companion.scenes.world import SHAPES, Thing
from companion.vocabulary import tokenize


class Phrase(NamedTuple):
    """What is said of some things, like "two small red circles"; None is what is not said.

    `at`: the positions in the caption of all its words but the article.
    """

    number: int
    shape: str
    colour: str | None
    size: str | None
    texture: str | None
    at: tuple[int, ...]

    def fits(self, thing: Thing) -> bool:
        """Whether everything said is so of `thing`."""
        pairs = zip(self[1:5], (thing.shape, thing.colour, thing.size, thing.texture), strict=True)
        return all(said is None or said == real for said, real in pairs)

    def __str__(self) -> str:
        """The description without article or number, in the plural if it speaks of several."""
        noun = self.shape if self.number == 1 else PLURALS[self.shape]
        return " ".join(word for word in (self.size, self.texture, self.colour, noun) if word)


class Claim(NamedTuple):
    """`subject` stands in `relation` to `other`; both are indices of phrases."""

    subject: int
    relation: str
    other: int


class Statement(NamedTuple):
    """What a caption says: there are the things of these phrases, none in two of them, and the claims hold."""

    words: tuple[str, ...]
    phrases: tuple[Phrase, ...]
    claims: tuple[Claim, ...]


class _Lost(Exception):
    """The words do not go on as the grammar wants."""


_NOUNS = {**{shape: (shape, False) for shape in SHAPES}, **{plural: (shape, True) for shape, plural in PLURALS.items()}}


_RELATION_STARTS = {phrase[:1] for phrase in RELATION_OF}


class _Reader:
    """Reads words from left to right; `here` is the position of the next one."""

    def __init__(self, words: tuple[str, ...]):
        self.words, self.here = words, 0
        self.phrases: list[Phrase] = []
        self.claims: list[Claim] = []

    def take(self, *expected: str) -> bool:
        """Pass over these words, all in a row, if they stand here."""
        found = self.words[self.here : self.here + len(expected)] == expected
        self.here += len(expected) if found else 0
        return found

    def one_of(self, words: Container[str]) -> bool:
        """Pass over the next word if it is among `words`."""
        found = self.here < len(self.words) and self.words[self.here] in words
        self.here += found
        return found

    def verb(self) -> bool:
        return self.one_of(VERBS)

    def opening(self) -> bool:
        """Pass over "there is" or another opening, if one stands here."""
        start = self.here
        if self.one_of(("there", "here")) and self.verb():
            return True
        self.here = start
        return any(self.take(*opening) for opening in OPENINGS)

    def relation(self) -> str | None:
        if self.words[self.here : self.here + 1] not in _RELATION_STARTS:
            return None
        return next((name for phrase, name in RELATION_OF.items() if self.take(*phrase)), None)

    def phrase(self) -> int:
        """Read one phrase; its index."""
        words, start = self.words, self.here
        head = next(iter(words[start:]), "")
        number = 1 if head in ("a", "an") else COUNTS.get(head, 0)
        if not number:
            raise _Lost
        first = start + (head not in COUNTS)
        start += 1
        said: dict[str, str] = {}
        for i in range(start, len(words)):
            word = words[i]
            if word in _NOUNS:
                shape, several = _NOUNS[word]
                if several != (number > 1):
                    break
                self.here = i + 1
                attributes = (said.get("colour"), said.get("size"), said.get("texture"))
                self.phrases.append(Phrase(number, shape, *attributes, at=tuple(range(first, i + 1))))
                return len(self.phrases) - 1
            kind = word_class(word)
            if kind not in ("size", "colour", "texture") or kind in said:
                break
            said[kind] = SIZE_OF.get(word, word)
        raise _Lost

    def clause(self, subject: int | None) -> int:
        """Read one clause; the phrase that it is about. `subject` is what the clause before was about."""
        relation = self.relation()
        if relation is not None:
            other = self.phrase()
            if self.verb() or (self.one_of(("there",)) and self.verb()):  # "inside a blue square is a red star"
                about = self.phrase()
            elif subject is not None:  # "... and above a blue square"
                about = subject
            else:
                raise _Lost
            self.claims.append(Claim(about, relation, other))
            return about
        opened = self.opening()
        about = self.phrase()
        if self.one_of(("contains", "contain")):
            self.claims.append(Claim(self.phrase(), "inside", about))
            return about
        verb = not opened and self.verb()
        relation = self.relation()
        if relation is not None:
            self.claims.append(Claim(about, relation, self.phrase()))
        elif verb:
            raise _Lost
        return about

    def statement(self) -> Statement:
        about = self.clause(None)
        while self.here < len(self.words):
            if not self.one_of(("and", "with")):
                raise _Lost
            about = self.clause(about)
        return Statement(self.words, tuple(self.phrases), tuple(self.claims))


@lru_cache(maxsize=1 << 14)  # a statement never changes, and a caption is judged, explained and aligned in turn
def parse(caption: str) -> Statement | None:
    """What a caption says, or None if it is not a caption of the scene grammar.

    >>> [str(phrase) for phrase in parse("a red circle is left of two striped stars").phrases]
    ['red circle', 'striped stars']
    """
    try:
        return _Reader(tuple(tokenize(caption))).statement()
    except _Lost:
        return None


def thing(description: str, row: float | int, col: float | int, radius: float | int | None = None) -> Thing:
    """A thing from its description, for scenes made by hand; plain and large unless it says otherwise.

    row, col, radius in pixels; without a radius, 7 for a small thing and 12 for a large one.

    >>> thing("a small red circle", row=20, col=40)
    Thing(shape='circle', colour='red', size='small', texture='plain', row=20.0, col=40.0, radius=7.0)
    """
    statement = parse(description) or parse(f"a {description}")
    phrases = statement.phrases if statement else ()
    if len(phrases) != 1 or phrases[0].number != 1 or phrases[0].colour is None:
        raise ValueError(f"{description!r} is not one thing; write colour and shape, like 'a small red circle'")
    said, colour = phrases[0], phrases[0].colour
    size = said.size or "large"
    extent = (7 if size == "small" else 12) if radius is None else radius
    return Thing(said.shape, colour, size, said.texture or "plain", float(row), float(col), float(extent))
