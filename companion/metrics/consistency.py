"""Consistency: how far several captions that a model samples for one picture agree, in words or in what they state.

What is compared are sets, one for each caption: of its words, of its nouns (`nouns.nouns_in`) or, for scenes, of the
facts that it states (`stated_facts`). Explained in the chapter on hallucination and confidence.
"""

import math
from collections import Counter
from collections.abc import Hashable, Sequence, Set
from typing import Any

from companion import scenes

# A relation with its two sides exchanged: "a is right of b" states what "b is left of a" states.
_MIRRORED = {"right of": "left of", "below": "above"}


def jaccard(own: Set[Any], other: Set[Any]) -> float:
    """Return the shared elements by all elements of two sets, 0 to 1 (Jaccard 1912); two empty sets have 1."""
    return len(own & other) / len(own | other) if own or other else 1.0


def agreement(own: Set[Any], samples: Sequence[Set[Any]]) -> float:
    """Return the mean Jaccard index, 0 to 1, of what one caption says with what each of the samples says."""
    return sum(jaccard(own, sample) for sample in samples) / len(samples)


def least_support(own: Set[Any], samples: Sequence[Set[Any]]) -> float:
    """Return the share of the samples that also say what the fewest of them say, among what a caption says.

    It lies from 0 to 1; a caption that says nothing has 1, since nothing in it lacks support.
    """
    return min((sum(each in sample for sample in samples) / len(samples) for each in own), default=1.0)


def semantic_entropy(meanings: Sequence[Hashable]) -> float:
    """Return the entropy, in nats, of the meanings of several samples: 0 if all have the same, log(n) if all differ.

    `-sum of p log p` over the different meanings, with p the share of the samples that have one (Farquhar et al. 2024,
    the discrete variant). There a language model decides which answers mean the same; here they are equal.
    """
    counts = Counter(meanings)
    return sum(count / len(meanings) * math.log(len(meanings) / count) for count in counts.values())


def stated_facts(line: str) -> frozenset[tuple[str | int, ...]]:
    """Return the facts that a caption of a scene states, in a form that does not depend on its wording.

    There is one for each group of objects with its number, colour and shape, one for each size and texture, and one for
    each relation; "right of" and "below" are turned into "left of" and "above". A caption that cannot be parsed states
    itself, and so nothing that another caption states.

    >>> sorted(stated_facts("a red circle is right of two stars"))
    [('group', 1, 'red', 'circle'), ('group', 2, '', 'star'), ('left of', '', 'star', 'red', 'circle')]
    """
    statement = scenes.parse(line)
    if statement is None:
        return frozenset({("not understood", line)})
    facts: set[tuple[str | int, ...]] = set()
    for phrase in statement.phrases:
        pair = (phrase.colour or "", phrase.shape)
        facts.add(("group", phrase.number, *pair))
        facts |= {(kind, value, *pair) for kind, value in (("size", phrase.size), ("texture", phrase.texture)) if value}
    for claim in statement.claims:
        one, other = (statement.phrases[i] for i in (claim.subject, claim.other))
        if claim.relation in _MIRRORED:
            one, other = other, one
        relation = _MIRRORED.get(claim.relation, claim.relation)
        facts.add((relation, one.colour or "", one.shape, other.colour or "", other.shape))
    return frozenset(facts)
