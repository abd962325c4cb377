"""Measure a captioner of photographs on photographs of two kinds, and write the result into its card.

    python -m benchmarks.photographs CHECKPOINT FLICKR8K EVERYDAY

CHECKPOINT is the folder of the captioner, FLICKR8K and EVERYDAY data sets with a split dev: photographs of the kind it
was trained on, and everyday ones, none of which it was trained on. For each the card gets, under "domains": scores with
95 % bootstrap intervals; of a captioner with tags, the same with the grid or the tags withheld, and what is lost by
that, as the mean difference of each photograph's score with its interval; the scores of each decoder of an ensemble;
how many captions name something that no reference names; the captioner and a person, whose caption is the first
reference, against the same other references; how reliable the confidence is, which was fitted on dev of Flickr8k; which
words for persons it uses where people use which; and right and wrong captions drawn at random, each with the name of
its photograph.
"""

import json
import random
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from companion import checkpoints, datasets, metrics, tasks
from companion.datasets import Example
from companion.decoders import Ensemble
from companion.decoding import Caption
from companion.encoders import Grid, Tags
from companion.files import atomic_write
from companion.metrics import calibration, nouns
from companion.metrics.calibration import Confidence
from companion.model_card import bootstrap_interval, metric_intervals, round_scores
from companion.models import Captioner
from companion.tasks.photo_scores import sure_scores
from companion.tokenizer import ENGLISH

BATCH = 50
SHOWN = 20  # right captions, and as many wrong ones, drawn with the seed 0
PERSONS = {
    "man": {"man", "men", "guy", "guys", "he", "his", "him"},
    "woman": {"woman", "women", "lady", "ladies", "she", "her"},
    "boy": {"boy", "boys"},
    "girl": {"girl", "girls"},
    "person": {"person", "persons", "people", "child", "children", "kid", "kids", "adult", "adults"},
}
WITHHELD: dict[str, Callable[[Grid], Grid]] = {
    "without grid": Grid.without_places,
    "without tags": lambda grid: grid._replace(tags=None),
}


def encode(captioner: Captioner, examples: Sequence[Example]) -> Grid:
    """Return the grids of the photographs with their tags."""
    parts = []
    for start in range(0, len(examples), BATCH):
        images, damaged = datasets.load_readable_images(examples[start : start + BATCH])
        if damaged:
            raise ValueError(next(iter(damaged.values())))
        with torch.no_grad():
            parts.append(captioner.encode(images))
    tags = [part.tags for part in parts if part.tags is not None]
    together = Tags(*(torch.cat(columns) for columns in zip(*tags, strict=True))) if tags else None
    return parts[0]._replace(features=torch.cat([part.features for part in parts]), tags=together)


def caption(captioner: Captioner, grid: Grid) -> list[Caption]:
    """Return a caption for each picture of the grid, by the search that the package uses."""
    return [c for part in torch.arange(len(grid.features)).split(BATCH) for c in captioner.caption(grid.select(part))]


def score(lines: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, Any]:
    """Return the scores of captions and of their nouns, with intervals."""
    counts = nouns.noun_counts(lines, references)
    scores = metrics.score(lines, references) | {
        "right_noun": nouns.right_noun(counts),
        "noun_precision": nouns.noun_precision(counts),
        "hallucination_rate": nouns.hallucination_rate(counts),
    }
    wrong = [float(each.right < each.named) for each in counts]
    intervals = metric_intervals(lines, references) | {
        "right_noun": bootstrap_interval([float(each.right > 0) for each in counts]),
        "hallucination_rate": bootstrap_interval(wrong),
    }
    return {"scores": round_scores(scores), "intervals": intervals}


def each_photograph(lines: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, np.ndarray]:
    """Return the CIDEr-D of each photograph, and whether one of its nouns is right."""
    right = [float(each.right > 0) for each in nouns.noun_counts(lines, references)]
    return {"cider_d": np.array(metrics.cider_d_each(lines, references)), "right_noun": np.array(right)}


def losses(
    captioner: Captioner, grid: Grid, lines: Sequence[str], references: Sequence[Sequence[str]]
) -> dict[str, Any]:
    """Return the scores with each memory withheld, and the mean loss of each photograph's scores, with its interval."""
    complete, rows = each_photograph(lines, references), {}
    for name, without in WITHHELD.items():
        poorer = [c.text for c in caption(captioner, without(grid))]
        each = each_photograph(poorer, references)
        lost = {key: bootstrap_interval((complete[key] - each[key]).tolist()) for key in complete}
        rows[name] = score(poorer, references) | {"loss": lost}
    return rows


def alone(captioner: Captioner) -> list[Captioner]:
    """Return a captioner for each decoder of an ensemble."""
    if not isinstance(captioner.decoder, Ensemble):
        return []
    encoder, vocabulary, size = captioner.encoder, captioner.vocabulary, captioner.image_size
    return [Captioner(encoder, decoder, vocabulary, image_size=size) for decoder in captioner.decoder.decoders]


def persons(lines: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, dict[str, int]]:
    """Return, for each kind of person that most references of a photograph name, what kinds its caption names.

    A photograph counts for a kind that more than half of its references name. A caption that names none of them counts
    as "none".
    """

    def kinds(text: str) -> set[str]:
        words = set(ENGLISH.tokenize(text))
        return {kind for kind, forms in PERSONS.items() if words & forms}

    table: dict[str, Counter[str]] = {kind: Counter() for kind in PERSONS}
    for line, own in zip(lines, references, strict=True):
        votes = Counter(kind for text in own for kind in kinds(text))
        for kind, count in votes.items():
            if 2 * count > len(own):
                table[kind].update(kinds(line) or {"none"})
    return {kind: dict(sorted(counts.items())) for kind, counts in table.items()}


def drawn(examples: Sequence[Example], lines: Sequence[str], chosen: Sequence[int]) -> list[dict[str, str]]:
    """Return captions drawn at random from those with the indices in `chosen`, each with its photograph's name."""
    indices = random.Random(0).sample(list(chosen), min(SHOWN, len(chosen)))
    return [{"image": Path(examples[i].name).name, "caption": lines[i]} for i in indices]


def measure(captioner: Captioner, data: Path, confidence: Confidence | None) -> dict[str, Any]:
    """Return what the card says of the split dev of a data set."""
    examples = datasets.get_split(datasets.read(data), "dev")
    references = [list(example.captions) for example in examples]
    grid = encode(captioner, examples)
    captions = caption(captioner, grid)
    lines = [c.text for c in captions]
    right = [each.right > 0 for each in nouns.noun_counts(lines, references)]
    first, others = [own[0] for own in references], [own[1:] for own in references]
    facts: dict[str, Any] = {
        "photographs": len(examples),
        **score(lines, references),
        "against the other references": {"captioner": score(lines, others), "first reference": score(first, others)},
    }
    if confidence:
        curve = calibration.reliability(confidence.probabilities(captions), right)
        kept = confidence.are_sure(captions)
        facts["confidence"] = {
            **round_scores(sure_scores(captions, tasks.languages.make_references(captions, examples), confidence)),
            "right_if_sure": round(float(np.mean([r for r, sure in zip(right, kept, strict=True) if sure])), 4),
            "right_if_unsure": round(float(np.mean([r for r, sure in zip(right, kept, strict=True) if not sure])), 4),
            "expected_calibration_error": round(calibration.expected_calibration_error(curve), 4),
            "reliability": [{name: round(value, 4) for name, value in row._asdict().items()} for row in curve],
        }
    if grid.tags is not None:
        facts["memories"] = losses(captioner, grid, lines, references)
    facts["decoders"] = [score([c.text for c in caption(one, grid)], references) for one in alone(captioner)]
    return facts | {
        "persons": persons(lines, references),
        "right": drawn(examples, lines, [i for i, is_right in enumerate(right) if is_right]),
        "wrong": drawn(examples, lines, [i for i, is_right in enumerate(right) if not is_right]),
    }


def report(name: str, facts: Mapping[str, Any]) -> None:
    """Print the most important of what was measured on a data set."""
    print(f"{name}, {facts['photographs']} photographs")
    decoders = {f"decoder {number}": scores for number, scores in enumerate(facts["decoders"])}
    rows = {"both memories": facts, **facts.get("memories", {}), **decoders}
    for row, one in rows.items():
        columns = ("bleu4", "cider_d", "right_noun", "noun_precision", "hallucination_rate")
        print(f"  {row:14}", *(f"{key} {one['scores'][key]:.3f}" for key in columns), one.get("loss", ""))
    print("  ", {key: value for key, value in facts.get("confidence", {}).items() if key != "reliability"})


def main(checkpoint: Path, flickr8k: Path, everyday: Path) -> None:
    """Measure the captioner on both data sets and add the result to its card."""
    captioner, path = checkpoints.load(str(checkpoint)).eval(), checkpoint / "card.json"
    card = json.loads(path.read_text(encoding="utf-8"))
    confidence = calibration.confidence_of(card)
    card["domains"] = {}
    for name, data in (("flickr8k dev", flickr8k), ("everyday dev", everyday)):
        card["domains"][name] = measure(captioner, data, confidence)
        report(name, card["domains"][name])
    atomic_write(path, json.dumps(card, indent=1).encode() + b"\n")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
