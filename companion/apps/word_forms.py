"""The forms of a word that count as the same word when a caption is compared with a policy. Entry point: `forms_of`."""

from collections.abc import Callable
from functools import cache

from companion.metrics.nouns import noun_forms
from companion.tags.words import IRREGULAR_PLURALS, plural
from companion.tokenizer import ENGLISH, Tokenizer

VOWELS = "aeiou"
SINGULARS = {form: word for word, form in IRREGULAR_PLURALS.items()}


def forms_of(tokenizer: Tokenizer) -> Callable[[str], frozenset[str]]:
    """Return the function from a word of a policy to its forms: those of English, or the word alone."""
    return english_forms if tokenizer == ENGLISH else lambda word: frozenset([word])


@cache
def english_forms(word: str) -> frozenset[str]:
    """Return a word, singular and plural, and with the regular endings of verbs.

    Irregular plurals are known of the nouns of `metrics.nouns` and of the tags. Irregular verbs and synonyms are not
    forms. Some forms are no words of English, which does no harm.

    >>> sorted(english_forms("ride"))
    ['ride', 'rided', 'rides', 'riding']
    """
    singular = SINGULARS.get(word) or noun_forms().get(word, word)
    nouns = {singular, *(form for form, noun in noun_forms().items() if noun == singular)}
    if len(singular) > 1:
        nouns.add(plural(singular))
    stem = word[:-1] if word.endswith("e") else word + word[-1] if doubles_its_end(word) else word
    past = word[:-1] + "ied" if word.endswith("y") and word[-2:-1] not in VOWELS else f"{stem}ed"
    return frozenset({word, *nouns, past, f"{word if word.endswith('ee') else stem}ing"})


def doubles_its_end(word: str) -> bool:
    """Return whether an English verb doubles its last letter before "ed" and "ing": one vowel between consonants."""
    vowels = [i for i, letter in enumerate(word) if letter in VOWELS]
    return len(word) > 2 and vowels == [len(word) - 2] and word[-1] not in "wxy"
