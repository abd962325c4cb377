"""Apply a moderation policy to captioned pictures: a queue for a person, sorted by urgency, with reasons.

Nothing is decided here. A picture is in one of three bins: a rule fired ("review"), none did ("nothing found", which
does not mean that nothing is there), or it could not be read. Entry points: `find` for one caption, `make_queue` for a
folder. Explained in the chapter on moderation.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from companion import scenes
from companion.apps.index import Entry
from companion.apps.policy import PHRASES, Relation, Rule
from companion.apps.word_forms import forms_of
from companion.decoding import Tag
from companion.tokenizer import ENGLISH, Tokenizer

REVIEW, NOTHING, UNREADABLE = BINS = ("review", "nothing found", "could not be read")
WINDOW = 6  # words before and behind a relation among which its two sides are looked for, in free text
SIDES = ("left of", "right of", "above", "below")
INVERSE = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}


class Finding(NamedTuple):
    """What a rule found in a caption or among the tags of a picture."""

    rule: str
    reason: str
    source: str  # "word", "relation", "objects" or "tag"
    found: str  # as the policy writes it
    confidence: float  # 0 to 1; of a caption as in `caption_confidence`, of a tag the probability of the word

    def __str__(self) -> str:
        """Return the finding in words."""
        return f"{self.source} {self.found!r} ({self.confidence:.2f})"


class Findings(NamedTuple):
    """What a policy found in a picture: findings, the most urgent first, and those held back, each with the reason."""

    reported: tuple[Finding, ...]
    held_back: tuple[str, ...]


class Item(NamedTuple):
    """A picture in the queue. Without a caption it could not be read, and `error` says why."""

    bin: str  # one of `BINS`
    path: str
    caption: str
    findings: Findings
    error: str = ""


def caption_confidence(log_probability: float, words: Sequence[str], probability: float | None = None) -> float:
    """Return the calibrated probability of a caption where there is one, else the mean probability of its words.

    The mean is the geometric one, with `<end>` among the words: exp(log p / (n + 1)). Only the first says how often
    such a caption is right.
    """
    return math.exp(log_probability / (len(words) + 1)) if probability is None else probability


def _probability(log_odds: float) -> float:
    """Return the probability of log-odds."""
    return 1 / (1 + math.exp(-log_odds)) if log_odds > -700 else 0.0


def find(
    rules: Sequence[Rule],
    words: Sequence[str],
    tags: Sequence[Tag] = (),
    *,
    confidence: float = 1.0,
    tokenizer: Tokenizer = ENGLISH,
) -> Findings:
    """Return what a policy finds in one caption and its tags, by the order of the rules, then by confidence.

    Args:
        rules: the policy.
        words: of the caption.
        tags: of the picture, those that the captioner names.
        confidence: of the caption, 0 to 1.
        tokenizer: of the caption's language.
    """
    caption = _CaptionWords(words, tokenizer)
    reported: list[Finding] = []
    held_back: list[str] = []
    for rule in rules:
        said = [Finding(rule.name, rule.reason, *each, confidence) for each in _said(rule, caption)]
        odds = [(tag.word, _probability(tag.confidence)) for tag in tags if tag.word in rule.tags]
        named = [Finding(rule.name, rule.reason, "tag", word, p) for word, p in odds if p >= rule.tags[word]]
        excuse = next((phrase for phrase in rule.unless if caption.mentions(phrase)), None)
        if excuse is not None:
            held_back += [f"{each.rule}: {each}: the caption has {' '.join(excuse)!r}" for each in said + named]
        elif confidence < rule.least_probability:
            held_back += [f"{each.rule}: {each}: below {rule.least_probability:g}" for each in said]
            reported += named
        else:
            reported += sorted(said + named, key=lambda finding: -finding.confidence)
    return Findings(tuple(reported), tuple(held_back))


def _said(rule: Rule, caption: "_CaptionWords") -> Iterator[tuple[str, str]]:
    """Yield the source and the text of each condition of a rule that a caption fulfils."""
    yield from (("word", " ".join(phrase)) for phrase in rule.words if caption.mentions(phrase))
    yield from (("relation", str(relation)) for relation in rule.relations if caption.states(relation))
    if rule.least_objects is not None and caption.objects >= rule.least_objects:
        yield "objects", f"{caption.objects} objects"


class _CaptionWords:
    """The words of a caption, and, if it is a caption of the scene grammar, what it states."""

    def __init__(self, words: Sequence[str], tokenizer: Tokenizer):
        self.words, self.forms = words, forms_of(tokenizer)
        self.statement = scenes.parse(tokenizer.detokenize(words)) if tokenizer == ENGLISH else None
        self.phrases = []
        if self.statement is not None:
            self.phrases = [
                [*str(p._replace(number=1)).split(), *self._at(p.positions)] for p in self.statement.phrases
            ]

    def _at(self, positions: Sequence[int]) -> list[str]:
        return [self.words[i] for i in positions]

    @property
    def objects(self) -> int:
        """The number of objects that a caption of a scene names; 0 for free text."""
        return sum(phrase.number for phrase in self.statement.phrases) if self.statement else 0

    def mentions(self, wanted: Sequence[str]) -> bool:
        """Return whether the words follow each other in the caption, or are all in one noun phrase of a scene's."""
        forms = [self.forms(word) for word in wanted]
        size = len(wanted)
        runs = (self.words[i : i + size] for i in range(len(self.words) - size + 1))
        in_order = any(all(word in form for word, form in zip(run, forms, strict=True)) for run in runs)
        return in_order or any(self._has_all(phrase, wanted) for phrase in self.phrases)

    def _has_all(self, words: Sequence[str], wanted: Sequence[str]) -> bool:
        """Return whether all the wanted words are among the words, in any order; of none, whether there is a word."""
        return bool(words) and all(not self.forms(each).isdisjoint(words) for each in wanted)

    def states(self, relation: Relation) -> bool:
        """Return whether the caption states a relation: by its parse if it is one of a scene, else by its words."""
        pairs = self._claims(relation.name) if self.statement else self._neighbours(relation.name)
        return any(self._has_all(a, relation.subject) and self._has_all(b, relation.other) for a, b in pairs)

    def _claims(self, name: str) -> Iterator[tuple[list[str], list[str]]]:
        """Yield the words of both sides of every claim of the relation, or of its inverse with the sides exchanged.

        "near" is each of the four directions.
        """
        assert self.statement is not None
        for claim in self.statement.claims:
            subject, other = self.phrases[claim.subject], self.phrases[claim.other]
            if claim.relation == name or (name == "near" and claim.relation in SIDES):
                yield subject, other
            if INVERSE.get(claim.relation) == name or (name == "near" and claim.relation in SIDES):
                yield other, subject

    def _neighbours(self, name: str) -> Iterator[tuple[Sequence[str], Sequence[str]]]:
        """Yield the `WINDOW` words before and behind each phrase for the relation; of "near", also exchanged."""
        position = 0
        while position < len(self.words):
            here = self.words[position:]
            phrase, found = next((each for each in PHRASES if tuple(here[: len(each[0])]) == each[0]), (("",), ""))
            if found == name:
                before = self.words[max(position - WINDOW, 0) : position]
                behind = here[len(phrase) : len(phrase) + WINDOW]
                yield before, behind
                if name == "near":
                    yield behind, before
            position += len(phrase)


def make_queue(
    rules: Sequence[Rule],
    entries: Sequence[Entry],
    unreadable: Mapping[str, str],
    *,
    tokenizer: Tokenizer = ENGLISH,
) -> list[Item]:
    """Return all pictures of a folder, bin by bin, those to be reviewed by urgency.

    A rule is more urgent than those behind it; within a rule, the finding with the highest confidence comes first.

    Args:
        rules: the policy.
        entries: the pictures with captions.
        unreadable: the reason for each picture without one, by its path.
        tokenizer: of the captions' language.
    """
    order = {rule.name: i for i, rule in enumerate(rules)}
    items = [Item(UNREADABLE, path, "", Findings((), ()), error) for path, error in unreadable.items()]
    for entry in entries:
        confidence = caption_confidence(entry.log_probability, entry.words, entry.probability)
        findings = find(rules, entry.words, entry.tags, confidence=confidence, tokenizer=tokenizer)
        items.append(Item(REVIEW if findings.reported else NOTHING, entry.path, entry.caption, findings))

    def urgency(item: Item) -> tuple[Any, ...]:
        first = item.findings.reported[:1]
        return (BINS.index(item.bin), *((order[f.rule], -f.confidence) for f in first), item.path)

    return sorted(items, key=urgency)


def counts(items: Sequence[Item]) -> dict[str, int]:
    """Return how many pictures are in each bin."""
    return {name: sum(item.bin == name for item in items) for name in BINS}


def to_record(item: Item) -> dict[str, Any]:
    """Return an item as JSON."""
    record: dict[str, Any] = {"bin": item.bin, "image": item.path}
    if item.error:
        return record | {"error": item.error}
    findings = [f._asdict() | {"confidence": round(f.confidence, 4)} for f in item.findings.reported]
    return record | {"caption": item.caption, "findings": findings, "held_back": list(item.findings.held_back)}
