"""The words of the scene captions: the values they stand for (`SIZE_OF`, `RELATION_OF`, ...) and their classes.

Explained in the chapter on pictures as grids.
"""

from companion.scenes.world import COLOURS, SHAPES, TEXTURES

PLURALS = {shape: shape + ("es" if shape.endswith("s") else "s") for shape in SHAPES}
COUNTS = {"one": 1, "two": 2, "three": 3, "four": 4}
COUNT_WORDS = {number: word for word, number in COUNTS.items()}

# the words for each size; the first is the usual one
SIZE_WORDS = {"small": ("small", "little"), "large": ("large", "big")}
SIZE_OF = {word: size for size, words in SIZE_WORDS.items() for word in words}

# the phrases for each relation; the first is the usual one
RELATION_PHRASES = {
    "left of": ("left of", "to the left of", "on the left of"),
    "right of": ("right of", "to the right of", "on the right of"),
    "above": ("above", "over"),
    "below": ("below", "under"),
    "inside": ("inside", "within"),
}
RELATION_OF = {tuple(phrase.split()): name for name, phrases in RELATION_PHRASES.items() for phrase in phrases}
VERBS = ("is", "are")
OPENINGS = (("a", "picture", "of"), ("you", "can", "see"))  # besides "there is" and "here are"

_CLASSES = {
    "shape": {*SHAPES, *PLURALS.values()},
    "colour": set(COLOURS),
    "size": set(SIZE_OF),
    "texture": set(TEXTURES),
    "relation": {"left", "right", "above", "over", "below", "under", "inside", "within", "contains", "contain"},
    "count": set(COUNTS),
}
_CLASS_OF = {word: name for name, words in _CLASSES.items() for word in words}

# every word that a caption can hold
WORDS = frozenset(_CLASS_OF) | {"a", "an", "and", "with", "there", "here", *VERBS}
WORDS |= {word for phrase in (*RELATION_OF, *OPENINGS) for word in phrase}


def word_class(word: str) -> str:
    """Return the class of a word: "shape", "colour", "size", "texture", "relation", "count", or "other".

    Articles are "other". Of a phrase for a relation, one word has the class "relation": "left" in "to the left of".
    """
    return _CLASS_OF.get(word, "other")
