"""Make an alternative text of a caption: one sentence that tells nobody's gender, age or origin unless the page does.

The rules are for English captions. Explained in the chapter on alternative text.
"""

import re
from collections.abc import Collection, Sequence

from companion.metrics.nouns import noun_forms, regular_plural
from companion.tokenizer import ENGLISH

FEMALE = frozenset("woman girl lady female mother mom daughter sister bride cowgirl".split())
MALE = frozenset("man boy guy gentleman male father dad son brother groom cowboy".split())
_AGES = frozenset("child kid toddler baby infant teenager teen youth adult elder".split())
_IRREGULAR = {"men": "man", "women": "woman", "gentlemen": "gentleman", "children": "child", "groomsmen": "groom"}
PERSONS = {word: word for word in FEMALE | MALE | _AGES}  # every form, with its singular
PERSONS |= {regular_plural(word): word for word in PERSONS} | _IRREGULAR
ROLES = {
    "policeman": "police officer",
    "fireman": "firefighter",
    "fisherman": "angler",
    "cameraman": "camera operator",
    "batsman": "batter",
    "baseman": "base player",
}
ROLES |= {one.replace("man", "men"): f"{other}s" for one, other in ROLES.items()}
# Before a word for a person they tell its age or origin. The last two are also colours, so nothing may stand between.
MODIFIERS = frozenset("young younger old older elderly little small teenage middle-aged asian african".split())
MODIFIERS |= {"african-american"}
_COLOURS = frozenset(("black", "white"))
_ADJECTIVES = frozenset("male female adult teen youth".split())  # where a noun follows
_PARTS_OF_NAMES = frozenset("baby child cowboy cowgirl".split())  # a baby elephant, a cowboy hat
PRONOUNS = {"he": "they", "him": "them", "his": "their", "himself": "themselves"}
PRONOUNS |= {"she": "they", "her": "their", "hers": "theirs", "herself": "themselves"}
_FUNCTION_WORDS = frozenset(
    "a an the and or of in on at with to by from for through over under near into behind beside next while as is are "
    "was were has have who that it its up down off out along across against around after before".split()
)
_NUMBERS = "zero one two three four five six seven eight nine ten".split()
_VERBS = {"is": "are", "was": "were", "has": "have", "does": "do"}
_PICTURE_OF = re.compile(r"^(?:there is |this is )?(?:an? |the )?(?:picture|photo|photograph|image) of ")


def alt_text(caption: str, nearby: str = "") -> str:
    """Return an English caption as an alternative text: neutral, without "a picture of", and a sentence.

    Args:
        caption: as a captioner generates it, in lower case and without punctuation.
        nearby: what the page says beside the picture.
    """
    return sentence(neutral(caption, ENGLISH.tokenize(nearby)))


def sentence(text: str) -> str:
    """Return a caption with a capital and a full stop, without "a picture of" (W3C WAI, Images Tutorial, tips)."""
    text = _PICTURE_OF.sub("", text).strip()
    return f"{text[0].upper()}{text[1:]}." if text else ""


def neutral(caption: str, given: Collection[str] = ()) -> str:
    """Return an English caption in which "a person" or "people" stand for words that tell gender or age.

    Words for a person's age or origin before them are left out, and pronouns agree. What the page gives stays as it is.

    >>> neutral("a young woman and a man walk her dog")
    'two people walk their dog'

    Args:
        caption: words in lower case.
        given: the words that the page says itself; "girls" gives "girl", too.
    """
    words = ENGLISH.tokenize(caption)
    known = set(given) | {PERSONS[word] for word in given if word in PERSONS}
    has_person = any(word in PERSONS or word in ROLES or word in ("person", "people") for word in words)
    new: list[str] = []
    changed = False
    for i, word in enumerate(words):
        replaced = _replace(words, i, known, has_person=has_person)
        changed |= replaced != [word]
        if new[-1:] == ["they"] and replaced == [word] and (word in _VERBS or word not in _FUNCTION_WORDS):
            replaced = [_plural_verb(word)]
        new += replaced
    if not changed:
        return caption
    return ENGLISH.detokenize(_join_persons(_mend_articles(new)))


def _replace(words: Sequence[str], i: int, known: Collection[str], *, has_person: bool) -> list[str]:
    """Return what stands for the word at `i`: itself, another, or nothing."""
    word, following = words[i], words[i + 1 : i + 2]
    if word in known or PERSONS.get(word) in known:
        return [word]
    if word in PRONOUNS and has_person:
        gender = FEMALE if word in ("she", "her", "hers", "herself") else MALE
        if any(PERSONS.get(other) in gender and PERSONS[other] in known for other in words):
            return [word]
        is_object = word == "her" and (not following or following[0] in _FUNCTION_WORDS)
        return ["them" if is_object else PRONOUNS[word]]
    if word in MODIFIERS:
        return [] if _before_person(words[i + 1 : i + 4]) else [word]
    if word in _COLOURS:
        return [] if _before_person(following) else [word]
    if word in ROLES:
        return ROLES[word].split()
    if word not in PERSONS:
        return [word]
    if word in _PARTS_OF_NAMES and following and following[0] in noun_forms() and following[0] not in PERSONS:
        return [word]
    if word in _ADJECTIVES and following and not _ends_phrase(following[0]):
        return []
    return ["person" if PERSONS[word] == word else "people"]


def _before_person(following: Sequence[str]) -> bool:
    """Return whether the words lead to one for a person, with nothing but adjectives in between."""
    for word in following:
        if word in PERSONS or word in ROLES or word in ("person", "people"):
            rest = following[following.index(word) + 1 :]
            return not (word in _PARTS_OF_NAMES and rest and rest[0] in noun_forms())
        if word in _FUNCTION_WORDS or word in noun_forms():
            return False
    return False


def _ends_phrase(word: str) -> bool:
    """Return whether a word after a noun is no part of its phrase: "a male in a shirt", not "a male athlete"."""
    return word in _FUNCTION_WORDS or word == "'s" or word.endswith("ing") or word in ("wears", "stands", "sits")


def _plural_verb(verb: str) -> str:
    """Return the verb as it follows "they"."""
    if verb in _VERBS:
        return _VERBS[verb]
    if verb.endswith("ies"):
        return verb[:-3] + "y"
    if verb.endswith(("ches", "shes", "sses", "xes", "oes")):
        return verb[:-2]
    return verb[:-1] if verb.endswith("s") and not verb.endswith("ss") else verb


def _mend_articles(words: Sequence[str]) -> list[str]:
    """Return the words with "a" or "an" before a person as the next word begins."""
    mended = list(words)
    for i, word in enumerate(words[:-1]):
        if word in ("a", "an"):
            mended[i] = "an" if words[i + 1][0] in "aeiou" and not words[i + 1].startswith(("uni", "one")) else "a"
    return mended


def _join_persons(words: Sequence[str]) -> list[str]:
    """Return the words with "two people" for "a person and a person", and the like. Captions have no commas."""
    joined = list(words)
    i = 0
    while i < len(joined):
        first = _persons_at(joined, i)
        after = i + first[0] if first else len(joined)
        after += joined[after : after + 1] == ["and"]
        second = _persons_at(joined, after)
        if first and second:
            total = first[1] + second[1]
            is_counted = first[1] and second[1] and total < len(_NUMBERS)
            joined[i : after + second[0]] = [_NUMBERS[total], "people"] if is_counted else ["people"]
        else:
            i += 1
    return joined


def _persons_at(words: Sequence[str], i: int) -> tuple[int, int] | None:
    """Return how many words from `i` on name persons and nothing else, and how many persons; 0 for an unknown number.

    "people" counts only where no number and no adjective stands before it.
    """
    pair = list(words[i : i + 2])
    if pair[1:] == ["person"] and pair[0] in ("a", "one", "another", "their"):
        return 2, 1
    if pair[1:] == ["people"] and pair[0] in _NUMBERS:
        return 2, _NUMBERS.index(pair[0])
    is_bare = i == 0 or words[i - 1] in _FUNCTION_WORDS
    return (1, 0) if pair[:1] == ["people"] and is_bare else None
