"""A recursive-descent parser for captions of scenes. Explained in the chapter on pictures as grids.

It reads the grammar of `grammar.py` and is a little more tolerant: adjectives come in any order, all attributes but
the shape may be missing, and "a" and "an", "is" and "are" count as the same. "and" begins a new clause: "a red circle
is left of a blue star and a heart" does not say where the heart is.
"""

from collections.abc import Container
from functools import lru_cache
from typing import NamedTuple

from companion.scenes.words import COUNTS, OPENINGS, PLURALS, RELATION_OF, SIZE_OF, VERBS, word_class
from companion.scenes.world import SHAPES, SceneObject
from companion.vocabulary import tokenize


class Phrase(NamedTuple):
    """A noun phrase, such as "two small red circles". An attribute that it does not mention is None."""

    number: int
    shape: str
    colour: str | None
    size: str | None
    texture: str | None
    positions: tuple[int, ...]  # in the caption, of all its words but the article

    def matches(self, scene_object: SceneObject) -> bool:
        """Return whether the object has every attribute that the phrase mentions."""
        attributes = (scene_object.shape, scene_object.colour, scene_object.size, scene_object.texture)
        return all(mentioned is None or mentioned == a for mentioned, a in zip(self[1:5], attributes, strict=True))

    def __str__(self) -> str:
        """Return the description without article or number, in the plural if the number is not one."""
        noun = self.shape if self.number == 1 else PLURALS[self.shape]
        return " ".join(word for word in (self.size, self.texture, self.colour, noun) if word)


class Claim(NamedTuple):
    """A caption's claim that `subject` stands in `relation` to `other`; both are indices of phrases."""

    subject: int
    relation: str
    other: int


class Statement(NamedTuple):
    """The content of a caption: objects of all its phrases exist, no object serves two phrases, the claims hold."""

    words: tuple[str, ...]
    phrases: tuple[Phrase, ...]
    claims: tuple[Claim, ...]


class _ParseError(Exception):
    """The words do not follow the grammar."""


# singular and plural nouns: their shape, and whether they are plural
_NOUNS = {**{shape: (shape, False) for shape in SHAPES}, **{plural: (shape, True) for shape, plural in PLURALS.items()}}
_RELATION_STARTS = {phrase[:1] for phrase in RELATION_OF}


class _Parser:
    """Parses words from left to right; `position` is that of the next word.

    Each `accept` consumes words and returns True if they come next; otherwise it consumes nothing.
    """

    def __init__(self, words: tuple[str, ...]):
        self.words, self.position = words, 0
        self.phrases: list[Phrase] = []
        self.claims: list[Claim] = []

    def accept(self, *expected: str) -> bool:
        """Accept a sequence of words."""
        accepted = self.words[self.position : self.position + len(expected)] == expected
        self.position += len(expected) if accepted else 0
        return accepted

    def accept_any(self, words: Container[str]) -> bool:
        """Accept one word that is among `words`."""
        accepted = self.position < len(self.words) and self.words[self.position] in words
        self.position += accepted
        return accepted

    def accept_verb(self) -> bool:
        """Accept "is" or "are"."""
        return self.accept_any(VERBS)

    def accept_opening(self) -> bool:
        """Accept "there is" or another opening."""
        start = self.position
        if self.accept_any(("there", "here")) and self.accept_verb():
            return True
        self.position = start
        return any(self.accept(*opening) for opening in OPENINGS)

    def accept_relation(self) -> str | None:
        """Accept a phrase for a relation and return the relation's name, or return None if there is no such phrase."""
        if self.words[self.position : self.position + 1] not in _RELATION_STARTS:
            return None
        return next((name for phrase, name in RELATION_OF.items() if self.accept(*phrase)), None)

    def phrase(self) -> int:
        """Parse a noun phrase and return its index. Raises _ParseError if none comes next."""
        words, start = self.words, self.position
        head = next(iter(words[start:]), "")
        number = 1 if head in ("a", "an") else COUNTS.get(head, 0)
        if not number:
            raise _ParseError
        first = start + (head not in COUNTS)  # an article is not among the phrase's positions
        attributes: dict[str, str] = {}
        for i in range(start + 1, len(words)):
            word = words[i]
            if word in _NOUNS:
                shape, plural = _NOUNS[word]
                if plural != (number > 1):
                    break
                self.position = i + 1
                mentioned = (attributes.get("colour"), attributes.get("size"), attributes.get("texture"))
                self.phrases.append(Phrase(number, shape, *mentioned, positions=tuple(range(first, i + 1))))
                return len(self.phrases) - 1
            kind = word_class(word)
            if kind not in ("size", "colour", "texture") or kind in attributes:
                break
            attributes[kind] = SIZE_OF.get(word, word)
        raise _ParseError

    def clause(self, previous: int | None) -> int:
        """Parse a clause and return the index of its subject; `previous` is the subject of the clause before it."""
        relation = self.accept_relation()
        if relation is not None:
            other = self.phrase()
            if self.accept_verb() or (self.accept("there") and self.accept_verb()):  # "inside a blue square is a star"
                subject = self.phrase()
            elif previous is not None:  # "... and above a blue square"
                subject = previous
            else:
                raise _ParseError
            self.claims.append(Claim(subject, relation, other))
            return subject
        opened = self.accept_opening()
        subject = self.phrase()
        if self.accept_any(("contains", "contain")):
            self.claims.append(Claim(self.phrase(), "inside", subject))
            return subject
        verb = not opened and self.accept_verb()
        relation = self.accept_relation()
        if relation is not None:
            self.claims.append(Claim(subject, relation, self.phrase()))
        elif verb:
            raise _ParseError
        return subject

    def statement(self) -> Statement:
        """Parse all words as clauses joined by "and" or "with"."""
        subject = self.clause(None)
        while self.position < len(self.words):
            if not self.accept_any(("and", "with")):
                raise _ParseError
            subject = self.clause(subject)
        return Statement(self.words, tuple(self.phrases), tuple(self.claims))


@lru_cache(maxsize=1 << 14)  # the same caption is checked, explained and aligned in turn
def parse(caption: str) -> Statement | None:
    """Return the content of a caption, or None if it is not a caption of the scene grammar.

    >>> [str(phrase) for phrase in parse("a red circle is left of two striped stars").phrases]
    ['red circle', 'striped stars']
    """
    try:
        return _Parser(tuple(tokenize(caption))).statement()
    except _ParseError:
        return None


def scene_object(
    description: str, row: float | int, col: float | int, *, radius: float | int | None = None
) -> SceneObject:
    """Return an object from its description, for scenes made by hand; plain and large unless it says otherwise.

    `row`, `col` and `radius` are in pixels; by default the radius of a small object is 7 and that of a large one 12.
    Raises ValueError if the description is not that of one object with its colour and shape.

    >>> scene_object("a small red circle", row=20, col=40)
    SceneObject(shape='circle', colour='red', size='small', texture='plain', row=20.0, col=40.0, radius=7.0)
    """
    statement = parse(description) or parse(f"a {description}")
    phrases = statement.phrases if statement else ()
    if len(phrases) != 1 or phrases[0].number != 1 or phrases[0].colour is None:
        raise ValueError(f"{description!r} is not one object; write colour and shape, like 'a small red circle'")
    phrase, colour = phrases[0], phrases[0].colour
    size = phrase.size or "large"
    extent = (7 if size == "small" else 12) if radius is None else radius
    return SceneObject(phrase.shape, colour, size, phrase.texture or "plain", float(row), float(col), float(extent))
