"""Search by words: the rank of a picture when a person's caption of it is the query.

    python -m benchmarks.search FLICKR8K EVERYDAY [COUNT]

FLICKR8K and EVERYDAY are data sets with a split dev. Of the first, the photographs that chose the epoch of the training
are left out, and used to compare weights of the tags; up to COUNT (500) others are searched. Of the second, all of dev,
on which the tags are calibrated. The third set are COUNT drawn scenes of the test split. In each, the first caption of
every picture is the query. Writes search.json, without any caption.

The tags are those of the tagger; a captioner without tags captions without them all the same.
"""

import functools
import json
import sqlite3
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np

from benchmarks.moderation import read_photographs
from companion import checkpoints, datasets, scenes, tasks
from companion.apps.index_rows import MIN_LOG_ODDS
from companion.apps.word_index import TAG_WEIGHT, Match, WordIndex
from companion.datasets import Example
from companion.files import atomic_write
from companion.model_card import RESAMPLES, bootstrap_interval
from companion.tasks.photos import VALIDATION_SIZE
from companion.tokenizer import ENGLISH

RESULTS = Path(__file__).with_name("search.json")
COUNT = 500
CUTOFFS = (1, 5, 10)
WEIGHTS = (0.0, 0.25, 0.5, 1.0, 2.0)
WORDS_SHOWN = 12
Words = Sequence[Sequence[str]]


class Picture(NamedTuple):
    """What is known of a picture: words of its generated caption, its tags, and the captions that people wrote."""

    words: Sequence[str]
    tags: Sequence[str]
    references: Sequence[str]


class Ranks(NamedTuple):
    """For each query: pictures with a higher score than the one that is looked for, and those with an equal score."""

    better: np.ndarray
    equal: np.ndarray  # the picture itself included

    def recall(self, k: int) -> np.ndarray:
        """Return the probability of each picture to be among the first k, where equal scores come in random order."""
        return np.clip((k - self.better) / self.equal, 0, 1)

    def expected(self) -> np.ndarray:
        """Return the expected rank of each picture, from 1."""
        return self.better + (self.equal + 1) / 2


def photographs(examples: Sequence[Example]) -> list[Picture]:
    """Return the photographs with captions of the captioner that ships, and with their tags."""
    read = read_photographs(examples)
    least = 1 / (1 + np.exp(-MIN_LOG_ODDS))
    return [
        Picture(caption.words, [word for word, p in tags.items() if p >= least], references)
        for caption, tags, references in zip(read.captions, read.tags, read.references, strict=True)
    ]


def drawn_scenes(count: int) -> list[Picture]:
    """Return scenes of the test split with captions of the scenes model that ships."""
    world = scenes.make_dataset("test", count)
    captions = tasks.scenes.caption(checkpoints.load("scenes"), world)
    return [
        Picture(caption.words, (), [each.text for each in scene.captions])
        for caption, scene in zip(captions, world, strict=True)
    ]


def search(captions: Words, tags: Words, queries: Sequence[str], weight: float) -> list[list[Match]]:
    """Return all matches of each query in pictures, given by the words of their captions and tags."""
    words = WordIndex(sqlite3.connect(":memory:"))
    words.create()
    for number, (caption, each) in enumerate(zip(captions, tags, strict=True)):
        words.add(number, caption, each)
    return [words.search(query, len(captions), tag_weight=weight) for query in queries]


def ranks(found: Sequence[Sequence[Match]]) -> Ranks:
    """Return the ranks of picture i among the matches of query i; those that do not match are equal, and last."""
    better, equal = [], []
    for number, matches in enumerate(found):
        scores = {match.number: match.score for match in matches}
        own = scores.get(number)
        better.append(sum(score > (own or 0) for score in scores.values()))
        equal.append(sum(score == own for score in scores.values()) if own else len(found) - len(scores))
    return Ranks(np.array(better), np.array(equal))


def describe(each: Ranks) -> dict[str, Any]:
    """Return recall and median rank with 95 % bootstrap intervals."""
    facts: dict[str, Any] = {}
    for k in CUTOFFS:
        values = each.recall(k)
        facts[f"recall@{k}"] = [round(float(values.mean()), 4), *bootstrap_interval(values.tolist())]
    expected = each.expected()
    chosen = np.random.default_rng(0).integers(len(expected), size=(RESAMPLES, len(expected)))
    low, high = np.percentile(np.median(expected[chosen], axis=1), [2.5, 97.5])
    facts["median rank"] = [median(expected.tolist()), float(low), float(high)]
    return facts


def measure(pictures: Sequence[Picture]) -> dict[str, Any]:
    """Return the facts of a set: a row for each way to index it, and the differences to that of the command."""
    queries = [each.references[0] for each in pictures]
    own, tags = [each.words for each in pictures], [each.tags for each in pictures]
    nothing: Words = [()] * len(pictures)
    people = [ENGLISH.tokenize(each.references[1]) for each in pictures]
    columns = {
        "captions and tags": (own, tags),
        "captions": (own, nothing),
        "tags": (nothing, tags),
        "people": (people, nothing),
    }
    found = {name: search(*both, queries, 1.0 if name == "tags" else TAG_WEIGHT) for name, both in columns.items()}
    ranked = {name: ranks(each) for name, each in found.items()}
    count = len(pictures)
    chance = Ranks(np.zeros(count, dtype=int), np.full(count, count))
    command = ranked["captions and tags"].recall(10)
    return {
        "pictures": count,
        "rows": {name: describe(each) for name, each in (ranked | {"chance": chance}).items()},
        "recall@10 of the command minus that of": {
            name: [
                round(float((command - each.recall(10)).mean()), 4),
                *bootstrap_interval((command - each.recall(10)).tolist()),
            ]
            for name, each in ranked.items()
            if name != "captions and tags"
        },
        "matches that no person mentions": unmentioned(pictures, found["captions and tags"]),
        "words": word_facts(pictures, queries),
    }


def unmentioned(pictures: Sequence[Picture], found: Sequence[Sequence[Match]]) -> dict[str, Any]:
    """Return, of the words that match in the first ten hits, how many are in no reference of the hit's picture."""
    mentioned = [stems(" ".join(picture.references)) for picture in pictures]
    captions, tags = [], []
    for match in (match for matches in found for match in matches[:10]):
        picture = pictures[match.number]
        captions += [stems(picture.words[i]) <= mentioned[match.number] for i in match.caption_words]
        tags += [stems(picture.tags[i]) <= mentioned[match.number] for i in match.tag_words]
    return {
        name: {"words": len(each), "in no reference": each.count(False)}
        for name, each in (("captions", captions), ("tags", tags))
    }


@functools.cache
def stem_table() -> WordIndex:
    """Return a table, and beside it one of its stems, which FTS5 makes."""
    words = WordIndex(sqlite3.connect(":memory:"))
    words.create()
    words.connection.execute("CREATE VIRTUAL TABLE terms USING fts5vocab(words, row)")
    return words


def stems(text: str) -> frozenset[str]:
    """Return the stems of the words of a text."""
    words = stem_table()
    words.add(1, ENGLISH.tokenize(text))
    terms = frozenset(term for (term,) in words.connection.execute("SELECT term FROM terms"))
    words.remove([1])
    return terms


def word_facts(pictures: Sequence[Picture], queries: Sequence[str]) -> dict[str, Any]:
    """Return, for the most frequent words of the queries, in how many of their pictures caption or tags have them."""
    counts: dict[str, list[int]] = {}
    for picture, query in zip(pictures, queries, strict=True):
        captions, tags = (stems(" ".join(words)) for words in (picture.words, picture.tags))
        for word in stem_table().query_words(query):
            own = stems(word)
            facts = (1, own <= captions, own <= tags)
            counts[word] = [a + b for a, b in zip(counts.get(word, (0, 0, 0)), facts, strict=True)]
    frequent = sorted(counts, key=lambda word: (-counts[word][0], word))[:WORDS_SHOWN]
    return {word: dict(zip(("queries", "in captions", "in tags"), counts[word], strict=True)) for word in frequent}


def weigh(pictures: Sequence[Picture]) -> dict[str, Any]:
    """Return recall@10 for weights of the tags."""
    queries = [each.references[0] for each in pictures]
    captions, tags = [each.words for each in pictures], [each.tags for each in pictures]
    values = {weight: ranks(search(captions, tags, queries, weight)).recall(10) for weight in WEIGHTS}
    return {
        "pictures": len(pictures),
        "recall@10": {
            str(weight): [round(float(each.mean()), 4), *bootstrap_interval(each.tolist())]
            for weight, each in values.items()
        },
    }


def main(flickr8k: Path, everyday: Path, count: int = COUNT) -> None:
    """Measure all sets and write search.json."""
    dev, others = (datasets.get_split(datasets.read(folder), "dev") for folder in (flickr8k, everyday))
    sets = {
        "flickr8k": photographs(dev[VALIDATION_SIZE:][:count]),
        "everyday": photographs(others[:count]),
        "scenes": drawn_scenes(count),
    }
    facts: dict[str, Any] = {
        "made by": "python -m benchmarks.search FLICKR8K EVERYDAY",
        "sets": {name: measure(pictures) for name, pictures in sets.items()},
        "weights of tags": weigh(photographs(dev[:VALIDATION_SIZE][:count])),
    }
    atomic_write(RESULTS, json.dumps(facts, indent=1).encode() + b"\n")
    for name, each in facts["sets"].items():
        print(f"{name}: {each['pictures']} pictures")
        for row, scores in each["rows"].items():
            print(f"  {row:18}", "  ".join(f"{key} {value[0]:.3f} {value[1:]}" for key, value in scores.items()))
    print(facts["weights of tags"])


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), *map(int, sys.argv[3:4]))
