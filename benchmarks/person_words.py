"""Count the words for persons in the captions of Flickr8k, and in those of the captioner that ships.

    python -m benchmarks.person_words FLICKR8K

FLICKR8K is the data set with its splits train and dev. Of train it counts captions and pictures with each kind of word,
how often two people choose different words for the one person of a picture, and which words go with men and boys and
which with women and girls, as log-odds ratios with intervals. Of the photographs of dev that chose no epoch it counts
whom people name and whom the captioner names. Writes person_words.json, which holds counts and single words, and no
caption. The chapter on data shows it.
"""

import argparse
import json
import math
from collections import Counter
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np

from benchmarks.photographs import PERSONS
from companion import checkpoints, datasets, tasks
from companion.datasets import Example
from companion.files import atomic_write
from companion.model_card import RESAMPLES, bootstrap_interval
from companion.tokenizer import ENGLISH

RESULTS = Path(__file__).with_name("person_words.json")
GENDERS = {"male": ("man", "boy"), "female": ("woman", "girl"), "neutral": ("person",)}
ONE = {"man": "man", "guy": "man", "woman": "woman", "lady": "woman", "boy": "boy", "girl": "girl"} | dict.fromkeys(
    ("person", "child", "kid", "adult"), "person"
)
DIFFERENCES = {
    "gender": ({"man", "boy"}, {"woman", "girl"}),
    "age": ({"man", "woman"}, {"boy", "girl"}),
    "whether to name it": ({"person"}, {"man", "woman", "boy", "girl"}),
}
FREQUENT = 50  # pictures that a word is in, to be counted
LISTED = 8  # words with the highest log-odds ratio of either side


def kinds(caption: str) -> set[str]:
    """Return the kinds of `PERSONS` that a caption names."""
    words = set(ENGLISH.tokenize(caption))
    return {kind for kind, forms in PERSONS.items() if words & forms}


def gender(caption: str) -> str:
    """Return "male", "female" or "both"; "neutral" if persons are named by other words alone; or "none"."""
    named = kinds(caption)
    male, female = (bool(named & set(GENDERS[each])) for each in ("male", "female"))
    if male or female:
        return "both" if male and female else "male" if male else "female"
    return "neutral" if named else "none"


def one_person(caption: str) -> str | None:
    """Return the kind of person if the caption names one person by one noun, else None."""
    words = ENGLISH.tokenize(caption)
    nouns = {form for forms in PERSONS.values() for form in forms} - {"he", "his", "him", "she", "her"}
    named = [word for word in words if word in nouns]
    return ONE.get(named[0]) if len(named) == 1 else None


def count_words(examples: Sequence[Example]) -> dict[str, dict[str, int]]:
    """Return, for each kind, how many captions name it, and how many pictures have one, three or five such captions."""
    named = [[kinds(caption) for caption in example.captions] for example in examples]
    table = {}
    for kind in PERSONS:
        votes = [sum(kind in each for each in of_picture) for of_picture in named]
        table[kind] = {"captions": sum(votes)} | {
            f"pictures with {least}": sum(count >= least for count in votes) for least in (1, 3, 5)
        }
    return table


def disagreement(examples: Sequence[Example]) -> dict[str, Any]:
    """Return how often two captions of a picture name its one person differently.

    Counts the pictures all of whose captions name one person by one noun. Each of `DIFFERENCES` gets the number of such
    pictures in which two captions differ in it, and the share of the pairs of captions that do, with its interval over
    the pictures. Pairs in which one of the two says neither, such as "person" for gender, count as agreeing.
    """
    labels = [[one_person(caption) for caption in example.captions] for example in examples]
    clear = [each for each in labels if None not in each]
    result: dict[str, Any] = {"pictures": len(clear)}
    for name, (one, other) in DIFFERENCES.items():
        shares = []
        for each in clear:
            pairs = list(combinations(each, 2))
            shares.append(sum((a in one and b in other) or (a in other and b in one) for a, b in pairs) / len(pairs))
        result[name] = {
            "pictures": sum(share > 0 for share in shares),
            "pairs": round(float(np.mean(shares)), 4),
            "interval": bootstrap_interval(shares),
        }
    return result


def majority(example: Example) -> str:
    """Return the gender that most captions of a picture name, if none names the other; else "other"."""
    votes = Counter(gender(caption) for caption in example.captions)
    for own, other in (("male", "female"), ("female", "male")):
        if 2 * votes[own] > len(example.captions) and not votes[other] + votes["both"]:
            return own
    return "other"


def associations(examples: Sequence[Example]) -> dict[str, Any]:
    """Return the words that go with pictures of men and boys, and with pictures of women and girls.

    For each word that `FREQUENT` of these pictures have in a caption, the log of the ratio of its odds in the pictures
    of either side, with one half added to each count (Haldane 1956; Anscombe 1956), and its Wald interval. The
    intervals hold together at 95 %: their level is divided by the number of words (Bonferroni). A positive log-odds
    ratio is on the side of women and girls.
    """
    sides = {name: [e for e in examples if majority(e) == name] for name in ("male", "female")}
    forms = {form for words in PERSONS.values() for form in words}
    counts = {
        name: Counter(word for e in own for word in {w for c in e.captions for w in ENGLISH.tokenize(c)} - forms)
        for name, own in sides.items()
    }
    tested = [word for word, count in (counts["male"] + counts["female"]).items() if count >= FREQUENT]
    z = NormalDist().inv_cdf(1 - 0.025 / len(tested))
    rows = []
    for word in tested:
        (a, b), (c, d) = [(counts[n][word] + 0.5, len(sides[n]) - counts[n][word] + 0.5) for n in ("female", "male")]
        ratio, error = math.log(a * d / (b * c)), math.sqrt(1 / a + 1 / b + 1 / c + 1 / d)
        rows.append((word, counts["male"][word], counts["female"][word], ratio, ratio - z * error, ratio + z * error))
    rows.sort(key=lambda row: row[3])
    clear = [row for row in rows if row[4] > 0 or row[5] < 0]
    named = ("word", "male", "female", "log_odds_ratio", "low", "high")
    return {
        "pictures": {name: len(own) for name, own in sides.items()},
        "words": len(tested),
        "clear": len(clear),
        "rows": [
            dict(zip(named, [*row[:3], *(round(x, 3) for x in row[3:])], strict=True))
            for row in [*clear[:LISTED], *clear[-LISTED:]]
        ],
    }


def compare(lines: Sequence[str], examples: Sequence[Example]) -> dict[str, Any]:
    """Return whom the captioner names, beside whom people name in the same photographs.

    `people` and `captioner`: captions by gender. `male_share`: of the captions that name one gender, the share that
    names men or boys, and the captioner's less the people's with its bootstrap interval over the photographs.
    `confusion`: for photographs of either gender by `majority`, captions of the captioner by gender.
    """
    ours = [gender(line) for line in lines]
    theirs = [Counter(gender(caption) for caption in example.captions) for example in examples]
    people: Counter[str] = sum(theirs, Counter())
    each = np.array(
        [
            [own == "male", own in ("male", "female"), c["male"], c["male"] + c["female"]]
            for own, c in zip(ours, theirs, strict=True)
        ]
    )
    chosen = np.random.default_rng(0).integers(len(each), size=(RESAMPLES, len(each)))
    sums = each[chosen].sum(1)
    low, high = np.percentile(sums[:, 0] / sums[:, 1] - sums[:, 2] / sums[:, 3], [2.5, 97.5])
    total = each.sum(0)
    confusion: dict[str, Counter[str]] = {"male": Counter(), "female": Counter()}
    for own, example in zip(ours, examples, strict=True):
        if (side := majority(example)) in confusion:
            confusion[side][own] += 1
    return {
        "photographs": len(examples),
        "people": dict(sorted(people.items())),
        "captioner": dict(sorted(Counter(ours).items())),
        "male_share": {
            "people": round(total[2] / total[3], 4),
            "captioner": round(total[0] / total[1], 4),
            "difference_interval": [round(float(low), 4), round(float(high), 4)],
        },
        "confusion": {side: dict(sorted(counts.items())) for side, counts in confusion.items()},
    }


def main() -> None:
    """Count, write person_words.json and print it."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.person_words", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("flickr8k", type=Path, metavar="FLICKR8K")
    data = datasets.read(parser.parse_args().flickr8k)
    train, dev = datasets.get_split(data, "train"), datasets.get_split(data, "dev")[tasks.photos.VALIDATION_SIZE :]
    captions, left_out = tasks.photos.caption(checkpoints.load("photos"), dev)
    dev = [example for i, example in enumerate(dev) if i not in left_out]
    results = {
        "weights": checkpoints.card("photos")["sha256"],
        "train": {
            "pictures": len(train),
            "captions": sum(len(example.captions) for example in train),
            "kinds": count_words(train),
            "disagreement": disagreement(train),
            "associations": associations(train),
        },
        "dev": compare([caption.text for caption in captions], dev),
    }
    atomic_write(RESULTS, json.dumps(results, indent=1).encode() + b"\n")
    print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
