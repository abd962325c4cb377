"""False captions that differ from a true one in a word or two: foils, as in FOIL (Shekhar et al. 2017).

Each function of `FOILS` takes the words of a caption and returns those of its foil, or None where there is none. Two of
them keep all words but one; `colours_exchanged` keeps every word and changes their order alone. `foil_pairs` keeps the
foils that only the picture refutes. Explained in the chapter on pictures and words in one space.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from companion.scenes.parser import parse
from companion.scenes.semantics import is_true
from companion.scenes.world import COLOURS, HELD_OUT, Scene

Words = Sequence[str]

SIDES = {"left": "right", "right": "left"}


class FoilPair(NamedTuple):
    """A true caption of a scene, given by its index, and its foil."""

    scene: int
    true: str
    false: str


def with_words(words: Words, changes: dict[int, str]) -> list[str]:
    """Return the words with others at some places, and with the articles that go with them."""
    new = [changes.get(i, word) for i, word in enumerate(words)]
    for i in changes:
        if i and new[i - 1] in ("a", "an"):
            new[i - 1] = "an" if new[i][0] in "aeiou" else "a"
    return new


def other_colour(words: Words) -> list[str] | None:
    """Return the words with the first colour replaced by the next one in `COLOURS` that the caption does not have."""
    place = next(i for i, word in enumerate(words) if word in COLOURS)
    after = COLOURS.index(words[place]) + 1
    unused = [colour for colour in (*COLOURS[after:], *COLOURS[:after]) if colour not in words]
    return with_words(words, {place: unused[0]})


def sides_exchanged(words: Words) -> list[str] | None:
    """Return the words with right for the first left, or left for the first right."""
    place = next((i for i, word in enumerate(words) if word in SIDES), None)
    return None if place is None else with_words(words, {place: SIDES[words[place]]})


def colours_exchanged(words: Words) -> list[str] | None:
    """Return the words with the first two colours in each other's place; they must differ."""
    places = [i for i, word in enumerate(words) if word in COLOURS]
    if len(places) < 2 or words[places[0]] == words[places[1]]:
        return None
    first, second = places[:2]
    return with_words(words, {first: words[second], second: words[first]})


FOILS: dict[str, Callable[[Words], list[str] | None]] = {
    "other colour": other_colour,
    "sides exchanged": sides_exchanged,
    "colours exchanged": colours_exchanged,
}


def foil_pairs(world: Sequence[Scene], kind: str) -> list[FoilPair]:
    """Return, for each scene that has a foil of this kind, the first reference with one, and its foil."""
    pairs = []
    for i, scene in enumerate(world):
        foils = ((caption.text, false_foil(scene, caption.words, kind)) for caption in scene.captions)
        pairs += [FoilPair(i, true, false) for true, false in foils if false][:1]
    return pairs


def false_foil(scene: Scene, words: Words, kind: str) -> str | None:
    """Return the foil of a caption of the scene, or None if there is none that a picture is needed to refute.

    A foil may be true, for instance where two objects differ only in their colours; and one with a pair of colour and
    shape that training withholds (`world.HELD_OUT`) is known to be false without the picture.
    """
    foil = FOILS[kind](words)
    statement = parse(" ".join(foil)) if foil else None
    if statement is None or is_true(text := " ".join(statement.words), scene):
        return None
    return None if any((each.colour, each.shape) in HELD_OUT for each in statement.phrases) else text
