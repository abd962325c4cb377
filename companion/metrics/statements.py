"""Statements: what captions of scenes state, how much of it is true, and what they no longer state.

A truth rate alone can be raised by stating less: a list of objects is easier to get right than a relation. So every
rate here stands beside that of the reference captions. Explained in the chapter on learning.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from companion import scenes
from companion.scenes import RELATIONS, Claim, Scene
from companion.scenes.grammar import group_objects
from companion.scenes.semantics import assignments
from companion.scenes.words import word_class
from companion.scenes.world import clearly_holds
from companion.vocabulary import tokenize

DIRECTIONS = ("left of", "right of", "above", "below")
STATED_CLASSES = ("relation", "size", "count", "texture")  # what a caption may leave out and still be true
VANISHED = 0.5  # a word is said to have vanished if its rate is below this share of the references'


class Fact(NamedTuple):
    """One thing that a caption states: its kind ("object", "number", a relation, ...), and whether it holds."""

    kind: str
    is_true: bool


class Truth(NamedTuple):
    """Of some captions or facts: how many there are, and how many are true."""

    total: int
    true: int

    @property
    def rate(self) -> float:
        """The share that is true, 0 to 1; 0 where there is none."""
        return self.true / self.total if self.total else 0.0


def relations(line: str) -> set[str]:
    """Return the relations that a caption states; none for one that cannot be parsed."""
    statement = scenes.parse(line)
    return {claim.relation for claim in statement.claims} if statement else set()


def states(line: str, kind: str) -> bool:
    """Return whether a word of the caption has the class `kind` of `scenes.word_class`."""
    return any(word_class(word) == kind for word in tokenize(line))


def has_clear_relation(scene: Scene) -> bool:
    """Return whether a reference caption of the scene may state a relation: between two groups, one clearly holds."""
    groups = group_objects(scene.objects)
    return any(
        all(clearly_holds(relation, scene.objects[i], scene.objects[j]) for i in one for j in other)
        for one in groups
        for other in groups
        if one != other
        for relation in RELATIONS
    )


def has_alike_objects(scene: Scene) -> bool:
    """Return whether two or more objects of the scene share colour and shape, so that their number can be stated."""
    return len(group_objects(scene.objects)) < len(scene.objects)


def facts(line: str, scene: Scene) -> Iterator[Fact]:
    """Yield every fact that a caption states, each checked alone against the scene.

    A noun phrase states that such objects exist ("object": colour and shape), how many ("number", from two on), their
    size and their texture; a claim states a relation between objects of its phrases' colours and shapes. A fact may
    hold where the caption is false for another reason. A caption that cannot be parsed states nothing.
    """
    statement = scenes.parse(line)
    if statement is None:
        return
    bare = tuple(phrase._replace(size=None, texture=None) for phrase in statement.phrases)
    for phrase, simple in zip(statement.phrases, bare, strict=True):
        matching = [o for o in scene.objects if simple.matches(o)]
        yield Fact("object", bool(matching))
        if phrase.number > 1:
            yield Fact("number", len(matching) == phrase.number)
        for kind in ("size", "texture"):
            if (value := getattr(phrase, kind)) is not None:
                yield Fact(kind, sum(getattr(o, kind) == value for o in matching) >= phrase.number)
    for claim in statement.claims:
        pair = (bare[claim.subject], bare[claim.other])
        alone = statement._replace(phrases=pair, claims=(Claim(0, claim.relation, 1),))
        yield Fact(claim.relation, next(assignments(alone, scene.objects), None) is not None)


def truth_by_fact(lines: Sequence[str], world: Sequence[Scene]) -> dict[str, Truth]:
    """Return, for each kind of fact, how many the captions state and how many hold, the most frequent first."""
    stated = Counter[str]()
    true = Counter[str]()
    for line, scene in zip(lines, world, strict=True):
        for fact in facts(line, scene):
            stated[fact.kind] += 1
            true[fact.kind] += fact.is_true
    return {kind: Truth(count, true[kind]) for kind, count in stated.most_common()}


def truth_by_form(lines: Sequence[str], world: Sequence[Scene]) -> dict[str, Truth]:
    """Return the truth of captions by form: "list", or those that state each relation, a size, a count, a texture.

    A caption may have several forms, but "list" has only those without a relation.
    """
    forms: dict[str, list[bool]] = {}
    for line, scene in zip(lines, world, strict=True):
        stated = relations(line)
        own = [*(r for r in RELATIONS if r in stated), *(k for k in STATED_CLASSES[1:] if states(line, k))]
        for form in own if stated else ["list", *own]:
            forms.setdefault(form, []).append(scenes.is_true(line, scene))
    return {form: Truth(len(each), sum(each)) for form, each in sorted(forms.items())}


def score_statements(lines: Sequence[str], world: Sequence[Scene]) -> dict[str, float]:
    """Return what captions state, as shares from 0 to 1, and how varied they are.

    `truth_directional` is the truth of captions that state left, right, above or below, and `truth_left_of` and so on
    that of each; `states_relation` is the share among scenes in which a relation clearly holds, `states_number` among
    scenes with objects alike, `states_size` among all. `distinct_openings` counts different first two words,
    `words_used` different words.
    """
    pairs = list(zip(lines, world, strict=True))
    directional = {r: [scenes.is_true(line, s) for line, s in pairs if r in relations(line)] for r in DIRECTIONS}
    either = [scenes.is_true(line, s) for line, s in pairs if relations(line) & set(DIRECTIONS)]
    words = [tokenize(line) for line in lines]
    return {
        "truth_directional": _share(either),
        **{f"truth_{relation.replace(' ', '_')}": _share(true) for relation, true in directional.items()},
        "states_relation": _share([bool(relations(line)) for line, s in pairs if has_clear_relation(s)]),
        "states_size": _share([states(line, "size") for line in lines]),
        "states_number": _share([states(line, "count") for line, s in pairs if has_alike_objects(s)]),
        "distinct_openings": float(len({tuple(each[:2]) for each in words})),
        "words_used": float(len({word for each in words for word in each})),
    }


def _share(values: Sequence[bool]) -> float:
    return float(np.mean(values)) if values else 0.0


def word_rates(lines: Sequence[str]) -> dict[str, float]:
    """Return, for each word, the share of the captions in which it occurs."""
    occurs = Counter(word for line in lines for word in set(tokenize(line)))
    return {word: count / len(lines) for word, count in occurs.items()}


class Rate(NamedTuple):
    """How often a word occurs in captions, and how often in the references: shares of the captions, 0 to 1."""

    word: str
    captions: float
    references: float


def stated_rates(lines: Sequence[str], world: Sequence[Scene]) -> dict[str, list[Rate]]:
    """Return, for each of `STATED_CLASSES`, the rate of its words in the captions and in all references of the scenes.

    Words that the references do not use are left out. The most frequent come first.
    """
    own, wanted = word_rates(lines), word_rates([reference.text for scene in world for reference in scene.captions])
    ordered = sorted(wanted, key=lambda word: (-wanted[word], word))
    return {
        kind: [Rate(word, own.get(word, 0.0), wanted[word]) for word in ordered if word_class(word) == kind]
        for kind in STATED_CLASSES
    }


def vanished(lines: Sequence[str], world: Sequence[Scene]) -> list[str]:
    """Return the words of `stated_rates` whose rate is below `VANISHED` times that of the references."""
    rates = stated_rates(lines, world)
    return [r.word for kind in rates.values() for r in kind if r.captions < VANISHED * r.references]
