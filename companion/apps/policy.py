"""A moderation policy: which words, tags and relations of a caption a person should look at, read from a TOML file.

    [[rule]]
    name = "animals"
    reason = "Pictures of animals are checked by the zoo."
    words = ["dog", "striped cat"]          # in the caption, singular or plural
    relations = ["dog near child"]          # "anything" stands for every word
    unless = ["toy"]                        # words of the caption that hold the rule back
    least_probability = 0.3                 # of the caption
    tags = {dog = 0.6}                      # word and least confidence, for a captioner with tags
    least_objects = 3                       # that the caption names, for captions of drawn scenes

A rule has a name and a reason and at least one of words, tags, relations and least_objects. Rules that stand earlier
are more urgent. Entry points: `read_policy`, `check_policy` and `blind_words`. Explained in the chapter on moderation.
"""

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from companion.apps.word_forms import forms_of
from companion.scenes.words import RELATION_PHRASES
from companion.tags.words import TAG_WORDS
from companion.tokenizer import ENGLISH, Tokenizer
from companion.vocabulary import Vocabulary

ANYTHING = "anything"
KEYS = ("name", "reason", "words", "tags", "relations", "least_objects", "unless", "least_probability")
CONDITIONS = ("words", "tags", "relations", "least_objects")

# The words for each relation: those of drawn scenes, and others of photographs.
RELATIONS = {
    **RELATION_PHRASES,
    "inside": (*RELATION_PHRASES["inside"], "in"),
    "near": ("near", "next to", "beside", "close to", "by"),
    "on": ("on", "on top of"),
    "behind": ("behind",),
    "in front of": ("in front of",),
}
PHRASES = sorted(
    ((tuple(phrase.split()), name) for name, phrases in RELATIONS.items() for phrase in phrases),
    key=lambda pair: -len(pair[0]),  # "on the left of" before "on"
)


class Relation(NamedTuple):
    """A relation of a rule, such as "a red star inside anything"; an empty side stands for anything."""

    subject: tuple[str, ...]
    name: str  # a key of `RELATIONS`
    other: tuple[str, ...]

    def __str__(self) -> str:
        """Return the relation as it is written in a policy."""
        return f"{' '.join(self.subject) or ANYTHING} {self.name} {' '.join(self.other) or ANYTHING}"


class Rule(NamedTuple):
    """One rule of a policy. A rule that has no such condition has an empty tuple, an empty dict, or None."""

    name: str
    reason: str
    words: tuple[tuple[str, ...], ...]  # each a word or several that belong together
    tags: Mapping[str, float]  # least confidence, as a probability, by word
    relations: tuple[Relation, ...]
    least_objects: int | None
    unless: tuple[tuple[str, ...], ...]
    least_probability: float

    def phrases(self) -> Iterator[tuple[str, ...]]:
        """Yield everything that the rule looks for in a caption, each as its words; `unless` is not among it."""
        yield from self.words
        for relation in self.relations:
            yield from filter(None, (relation.subject, relation.other))


def read_policy(path: Path, tokenizer: Tokenizer = ENGLISH) -> tuple[Rule, ...]:
    """Return the rules of a policy file, whose words are split by the tokenizer of the captions' language.

    Raises:
        ValueError: it cannot be read, has no rule, or a rule has a key that is unknown, missing or of a wrong value;
            the message names file, rule and key.
    """
    try:
        contents = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"{path}: the policy cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not a policy in TOML: {error}") from None
    if unknown := contents.keys() - {"rule"}:
        raise ValueError(f"{path}: unknown key {min(unknown)!r}; a policy consists of tables [[rule]]")
    tables = contents.get("rule", [])
    if not (isinstance(tables, list) and tables and all(isinstance(table, dict) for table in tables)):
        raise ValueError(f"{path}: there is no rule; begin each with a line [[rule]]")
    rules: list[Rule] = []
    for number, table in enumerate(tables, start=1):
        name = table.get("name")
        label = repr(name) if isinstance(name, str) and name.strip() else f"number {number}"
        reader = _TableReader(f"{path}: rule {label}", table, tokenizer)
        rules.append(reader.rule())
        if any(rule.name == rules[-1].name for rule in rules[:-1]):
            raise reader.error("name", "another rule has the same; give each its own")
    return tuple(rules)


class _TableReader:
    """Reads the table of one rule; `where` begins the messages of its errors."""

    def __init__(self, where: str, table: Mapping[str, Any], tokenizer: Tokenizer):
        self.where, self.table, self.tokenizer = where, table, tokenizer

    def error(self, key: str, message: str) -> ValueError:
        """Return the error of one key."""
        return ValueError(f"{self.where}, key {key}: {message}")

    def rule(self) -> Rule:
        """Return the rule."""
        for key in self.table:
            if key not in KEYS:
                raise self.error(key, f"there is no such key; choose from {', '.join(KEYS)}")
        if not any(key in self.table for key in CONDITIONS):
            raise ValueError(f"{self.where}: looks for nothing; give it one of {', '.join(CONDITIONS)}")
        return Rule(
            self.text("name"),
            self.text("reason"),
            tuple(self.split("words", text) for text in self.texts("words")),
            self.tags(),
            tuple(self.relation(text) for text in self.texts("relations")),
            self.least_objects(),
            tuple(self.split("unless", text) for text in self.texts("unless")),
            self.probability("least_probability", self.table.get("least_probability", 0.0)),
        )

    def text(self, key: str) -> str:
        """Return a text that must be there, on one line."""
        value = self.table.get(key)
        if not (isinstance(value, str) and value.strip()):
            raise self.error(key, "a rule needs this text")
        return " ".join(value.split())

    def texts(self, key: str) -> list[str]:
        """Return a list of texts, empty if the key is missing."""
        values = self.table.get(key)
        if values is None:
            return []
        if not (isinstance(values, list) and values and all(isinstance(value, str) for value in values)):
            raise self.error(key, f"{values!r} is not a list of texts, at least one")
        return values

    def split(self, key: str, text: str) -> tuple[str, ...]:
        """Return the words of a text."""
        if not (words := tuple(self.tokenizer.tokenize(text))):
            raise self.error(key, f"{text!r} has no word in it")
        return words

    def probability(self, key: str, value: Any) -> float:
        """Return a number from 0 to 1."""
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
            raise self.error(key, f"{value!r} is not a number from 0 to 1")
        return float(value)

    def tags(self) -> dict[str, float]:
        """Return the least confidence of each tag."""
        tags = self.table.get("tags", {})
        if not isinstance(tags, dict) or ("tags" in self.table and not tags):
            raise self.error("tags", f"{tags!r} is not a table such as {{dog = 0.6}}")
        for word in tags:
            if word not in TAG_WORDS:
                raise self.error("tags", f"no tag is called {word!r}; companion.tags.TAG_WORDS lists them")
        return {word: self.probability(f"tags.{word}", value) for word, value in tags.items()}

    def relation(self, text: str) -> Relation:
        """Return the relation that a text names: the words before its name, and those behind it."""
        words = self.split("relations", text)
        for phrase, name in PHRASES:
            for start in range(1, len(words) - len(phrase)):
                if words[start : start + len(phrase)] == phrase:
                    sides = (words[:start], words[start + len(phrase) :])
                    subject, other = (() if side == (ANYTHING,) else without_articles(side) for side in sides)
                    return Relation(subject, name, other)
        raise self.error("relations", f"{text!r} is not two things with one of {', '.join(RELATIONS)} between them")

    def least_objects(self) -> int | None:
        """Return the least number of objects, or None."""
        value = self.table.get("least_objects")
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
            raise self.error("least_objects", f"{value!r} is not a whole number from 1")
        return value


def without_articles(words: Sequence[str]) -> tuple[str, ...]:
    """Return the words of a phrase without "a", "an" and "the", unless nothing would be left."""
    return tuple(word for word in words if word not in ("a", "an", "the")) or tuple(words)


def check_policy(rules: Sequence[Rule], config: Mapping[str, Any]) -> None:
    """Raise ValueError, with rule and key, for a condition that captions of this captioner can never fulfil.

    Args:
        rules: the policy.
        config: of the captioner's card.
    """
    for rule in rules:
        if rule.tags and not config.get("tags"):
            raise ValueError(f"rule {rule.name!r}, key tags: this captioner names no tags; remove the key")
        if rule.least_objects and config["task"] != "scenes":
            raise ValueError(
                f"rule {rule.name!r}, key least_objects: objects are counted in captions of drawn scenes alone; "
                "remove the key"
            )


def blind_words(rules: Sequence[Rule], vocabulary: Vocabulary) -> dict[str, list[str]]:
    """Return, by the name of the rule, its words that the captioner can never say, and so never find.

    A word is known if the vocabulary has one of its `forms`.
    """
    known = forms_of(vocabulary.tokenizer)
    words = {rule.name: sorted({word for phrase in rule.phrases() for word in phrase}) for rule in rules}
    blind = {
        name: [w for w in each if not any(form in vocabulary for form in known(w))] for name, each in words.items()
    }
    return {name: each for name, each in blind.items() if each}
