"""Measure what captions make up, and which signal tells those that do from the others.

    python -m benchmarks.belief FLICKR8K EVERYDAY

FLICKR8K and EVERYDAY are data sets with a split dev; of the first, the photographs that chose the epoch are left out.
A caption of a scene is right if it is true (`scenes.is_true`), one of a photograph if every noun in it, persons aside,
is in a reference. Captions are those that the package gives: of scenes a sample at temperature 0.7, of photographs by
beam search. Beside each, eight samples at temperature 1 are drawn.

Writes belief.json: for each part the mistakes by kind, CHAIR, the AUC of every signal with 95 % bootstrap intervals,
the same among captions that say equally much, what the attention of right and of made-up words was, and abstention.
Its signal and threshold are chosen on validation scenes, and on every other photograph of Flickr8k; test scenes, the
remaining photographs and the everyday ones are measured with them. Each part is written when it is done, and not
measured again with the same weights. The chapter on hallucination and confidence shows the tables.
"""

import argparse
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence, Set
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from benchmarks import photographs, record
from companion import checkpoints, datasets, decoding, scenes, tasks
from companion.decoding import Caption
from companion.encoders import Grid
from companion.metrics import calibration, consistency, detection, grounding, hallucination, nouns
from companion.metrics.calibration import auc
from companion.metrics.grounding import covered
from companion.model_card import RESAMPLES, bootstrap_interval
from companion.models import Captioner
from companion.scenes import Phrase, Scene
from companion.tokenizer import ENGLISH

RESULTS = Path(__file__).with_name("belief.json")
SAMPLES = 8
SCENES = {"validation": 2500, "compositional": 2000, "test": 2000}
BATCHES = {"scenes": 250, "photos": 50}
TARGET = 0.5  # abstention: the risk that is wanted, as a share of that of all captions
COVERAGES = tuple(range(5, 101, 5))  # per cent, of the curves


class Case(NamedTuple):
    """A caption with the log-probability of each of its words (and of `<end>`), and samples for the same picture."""

    caption: Caption
    word_log_probs: list[float]
    samples: list[tuple[str, ...]]


class Word(NamedTuple):
    """A word that names an object, and what the model did when it generated it."""

    picture: int
    right: bool  # there is such an object, or a reference names it
    signals: dict[str, float]


def word_log_probs(captioner: Captioner, grid: Grid, captions: Sequence[Caption]) -> list[list[float]]:
    """Return the log-probability of every word of the captions, and of `<end>`."""
    tokens = datasets.collate_captions([[captioner.vocabulary.encode(c.text)] for c in captions])
    with torch.no_grad():
        log_probs: Float[Tensor, "batch beam word vocab"] = captioner(grid, tokens[..., :-1]).logits.log_softmax(-1)
    own = log_probs.gather(-1, tokens[..., 1:, None])[:, 0, :, 0]
    return [row[: len(c.words) + 1].tolist() for row, c in zip(own, captions, strict=True)]


def observe(captioner: Captioner, grids: Sequence[Grid], captions: Sequence[Caption]) -> list[Case]:
    """Return the captions of batches of pictures with their samples; these are the same in every call."""
    generator, cases = torch.Generator().manual_seed(1), list[Case]()
    for grid in grids:
        own = captions[len(cases) : len(cases) + len(grid.features)]
        drawn = decoding.sample(captioner, grid, captioner.vocabulary, count=SAMPLES, generator=generator)
        rows = zip(own, word_log_probs(captioner, grid, own), drawn, strict=True)
        cases += [
            Case(caption, log_probs, [each.words for each in each_drawn]) for caption, log_probs, each_drawn in rows
        ]
    return cases


def signals(case: Case, content: Callable[[Sequence[str]], Set[Any]]) -> dict[str, float]:
    """Return every signal of a caption; the higher, the more the caption is to be believed.

    `content` returns what a caption states: its facts or its nouns.
    """
    caption, own = case.caption, content(case.caption.words)
    meanings = [frozenset(content(words)) for words in case.samples]
    return {
        "short": -float(len(caption.words)),
        "attention": float(grounding.peakedness(caption.weights).mean()) if caption.words else 0.0,
        "log-probability": caption.log_probability,
        "log-probability a word": caption.log_probability / (len(caption.words) + 1),
        "least probable word": min(case.word_log_probs),
        "agreement in words": consistency.agreement(set(caption.words), [set(words) for words in case.samples]),
        "agreement in content": consistency.agreement(own, meanings),
        "least support": consistency.least_support(own, meanings),
        "semantic entropy": -consistency.semantic_entropy(meanings),
    }


def resamples(pictures: Sequence[int]) -> list[np.ndarray]:
    """Return the rows of each bootstrap sample of pictures; `pictures` has the picture of each row."""
    rows: dict[int, list[int]] = defaultdict(list)
    for row, picture in enumerate(pictures):
        rows[picture].append(row)
    groups, rng = [np.array(each) for each in rows.values()], np.random.default_rng(0)
    return [np.concatenate([groups[i] for i in rng.integers(len(groups), size=len(groups))]) for _ in range(RESAMPLES)]


def percentiles(values: Sequence[float]) -> list[float]:
    """Return the 95 % percentile interval; values that a resample did not have (NaN) are left out."""
    return [round(float(x), 4) for x in np.nanpercentile(values, [2.5, 97.5])]


def auc_among_equals(scores: np.ndarray, right: np.ndarray, amounts: np.ndarray) -> float:
    """Return the AUC over the pairs of a right and a wrong caption that say equally much; NaN if there are none."""
    won, pairs = 0.0, 0
    for amount in np.unique(amounts):
        chosen = amounts == amount
        count = int(right[chosen].sum()) * int((~right[chosen]).sum())
        if count:
            won, pairs = won + count * auc(scores[chosen], right[chosen]), pairs + count
    return won / pairs if pairs else float("nan")


def compare(rows: Sequence[dict[str, float]], right: Sequence[bool], amounts: Sequence[int]) -> dict[str, Any]:
    """Return the AUC of every signal, the same among captions that say equally much, and how far each is from the best.

    `amounts` are how much the captions say: facts or nouns. The last is the interval of the difference of the AUC from
    that of the signal with the largest.
    """
    target, amount = np.array(right), np.array(amounts)
    columns = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    chosen = resamples(range(len(target)))
    values = {name: [auc(x[i], target[i]) for i in chosen] for name, x in columns.items()}
    table = {
        name: {"auc": round(auc(x, target), 4), "interval": percentiles(values[name])} for name, x in columns.items()
    }
    best = max(columns, key=lambda name: auc(columns[name], target))
    for name, x in columns.items():
        difference = np.array(values[name]) - np.array(values[best])
        table[name] |= {
            "minus_best": percentiles(difference.tolist()),
            "among_equals": round(auc_among_equals(x, target, amount), 4),
            "among_equals_interval": percentiles([auc_among_equals(x[i], target[i], amount[i]) for i in chosen]),
        }
    return {"best": best, "signals": table, "curves": {name: curve(x, target) for name, x in columns.items()}}


def curve(scores: np.ndarray, right: np.ndarray) -> list[float]:
    """Return the risk at each of `COVERAGES`; captions of equal scores are kept together."""
    coverage, risk = calibration.risk_coverage(scores, right)
    rows = np.searchsorted(coverage, np.array(COVERAGES) / 100 - 1e-9)
    return [round(float(x), 4) for x in risk[rows]]


def choose(rows: Sequence[dict[str, float]], right: Sequence[bool]) -> dict[str, Any]:
    """Return the signal with the largest AUC, and the lowest threshold at which the risk is `TARGET` times that of all.

    If no threshold reaches that, it is the one with the smallest risk.
    """
    target = np.array(right)
    name = max(rows[0], key=lambda each: auc([row[each] for row in rows], target))
    scores = np.array([row[name] for row in rows])
    risk = calibration.risk_coverage(scores, target)[1]
    thresholds = np.unique(scores)[::-1]
    wanted = np.flatnonzero(risk <= TARGET * risk[-1])
    index = wanted[-1] if len(wanted) else int(risk.argmin())
    return {"signal": name, "threshold": float(thresholds[index])} | abstain(scores, target, float(thresholds[index]))


def abstain(
    scores: Sequence[float] | np.ndarray, right: Sequence[bool] | np.ndarray, threshold: float
) -> dict[str, Any]:
    """Return what is kept at a threshold, and how much of it is wrong, with 95 % intervals."""
    kept, wrong = np.asarray(scores) >= threshold, 1.0 - np.asarray(right, dtype=float)
    return {
        "captions": len(kept),
        "risk_of_all": round(float(wrong.mean()), 4),
        "risk_of_all_interval": bootstrap_interval(wrong.tolist()),
        "coverage": round(float(kept.mean()), 4),
        "coverage_interval": bootstrap_interval(kept.astype(float).tolist()),
        "risk": round(float(wrong[kept].mean()), 4),
        "risk_interval": bootstrap_interval(wrong[kept].tolist()),
        "risk_at_most": round(detection.highest_rate(int(wrong[kept].sum()), int(kept.sum())), 4),
        "risk_of_the_others": round(float(wrong[~kept].mean()), 4) if (~kept).any() else None,
    }


def describe_words(words: Sequence[Word]) -> dict[str, Any]:
    """Return the mean of every signal over right and over made-up words, the AUC, and its interval over pictures."""
    right = np.array([word.right for word in words])
    chosen = [rows for rows in resamples([word.picture for word in words]) if 0 < right[rows].sum() < len(rows)]
    table: dict[str, Any] = {}
    for name in words[0].signals:
        x = np.array([word.signals[name] for word in words])
        difference = [float(x[i][right[i]].mean() - x[i][~right[i]].mean()) for i in chosen]
        table[name] = {
            "right": round(float(x[right].mean()), 4),
            "made_up": round(float(x[~right].mean()), 4),
            "difference_interval": percentiles(difference),
            "auc": round(auc(x, right), 4),
            "interval": percentiles([auc(x[i], right[i]) for i in chosen]),
        }
    return {"right": int(right.sum()), "made_up": int((~right).sum()), "signals": table}


# --- scenes -----------------------------------------------------------------------------------------------------------


def observe_scenes(split: str) -> list[Case]:
    """Return the captions of the scenes of a split, with samples."""
    captioner, world = checkpoints.load("scenes").eval(), scenes.make_dataset(split, SCENES[split])
    captions = tasks.scenes.caption(captioner, world)
    with torch.no_grad():
        grids = [captioner.encode(part) for part in scenes.image_tensor(world).split(BATCHES["scenes"])]
    return observe(captioner, grids, captions)


def scene_facts(words: Sequence[str]) -> Set[Any]:
    """Return the facts that a caption of a scene states."""
    return consistency.stated_facts(" ".join(words))


def scene_words(cases: Sequence[Case], world: Sequence[Scene]) -> list[Word]:
    """Return the shape word of every phrase: right if the scene has an object of the phrase's colour and shape."""
    words = []
    for i, (case, scene) in enumerate(zip(cases, world, strict=True)):
        statement = scenes.parse(" ".join(case.caption.words))
        for phrase in statement.phrases if statement else ():
            right = any((each.colour, each.shape) == (phrase.colour, phrase.shape) for each in scene.objects)
            words.append(Word(i, right, phrase_signals(case, phrase, scene)))
    return words


def phrase_signals(case: Case, phrase: Phrase, scene: Scene) -> dict[str, float]:
    """Return where the attention of a phrase's shape word was, how peaked, how probable it was, and who agrees."""
    position = phrase.positions[-1]
    weights = case.caption.weights[position]
    peak = int(weights.argmax())
    cells = [covered(mask, *weights.shape) for mask in scene.masks]
    at_peak = [each for each, cell in zip(scene.objects, cells, strict=True) if cell.flat[peak] > 0]
    on_objects = covered(np.any(scene.masks, axis=0), *weights.shape)
    drawn = [hallucination.named_objects(" ".join(words)) for words in case.samples]
    return {
        "peak on an object": float(bool(at_peak)),
        "peak on one that shares colour or shape": float(
            any(each.colour == phrase.colour or each.shape == phrase.shape for each in at_peak)
        ),
        "attention on objects": float((weights.numpy() * on_objects).sum()),
        "peakedness": float(grounding.peakedness(weights)),
        "log-probability": case.word_log_probs[position],
        "share of samples": float(np.mean([f"{phrase.colour} {phrase.shape}" in each for each in drawn])),
    }


def measure_scenes(split: str, chosen: dict[str, Any] | None) -> dict[str, Any]:
    """Return the measurements of a split; `chosen` is the abstention that validation chose, None if this is it."""
    cases, world = observe_scenes(split), scenes.make_dataset(split, SCENES[split])
    lines = [" ".join(case.caption.words) for case in cases]
    right = [scenes.is_true(line, scene) for line, scene in zip(lines, world, strict=True)]
    made = [hallucination.mistakes(line, scene) for line, scene in zip(lines, world, strict=True)]
    named, present = map(hallucination.named_objects, lines), map(hallucination.present_objects, world)
    rows = [signals(case, scene_facts) for case in cases]
    scores = [row[chosen["signal"]] for row in rows] if chosen else []
    return {
        "captions": len(lines),
        "right": round(float(np.mean(right)), 4),
        "right_interval": bootstrap_interval([float(x) for x in right]),
        "with_mistake": dict(Counter(kind for each in made for kind in each)),
        "false_or_with_omission": sum(bool(each) for each in made),
        "chair": hallucination.chair(list(named), list(present))._asdict(),
        **compare(rows, right, [len(scene_facts(case.caption.words)) for case in cases]),
        "words": describe_words(scene_words(cases, world)),
        "abstention": abstain(scores, right, chosen["threshold"]) if chosen else choose(rows, right),
    }


# --- photographs ------------------------------------------------------------------------------------------------------


def observe_photographs(folder: Path, skip: int) -> tuple[list[Case], list[list[str]]]:
    """Return the captions of the photographs of a split dev without its first `skip`, and the references."""
    captioner = checkpoints.load("photos").eval()
    examples = datasets.get_split(datasets.read(folder), "dev")[skip:]
    grid = photographs.encode(captioner, examples)
    grids = [grid.select(part) for part in torch.arange(len(examples)).split(BATCHES["photos"])]
    cases = observe(captioner, grids, photographs.caption(captioner, grid))
    return cases, [list(example.captions) for example in examples]


def photograph_words(cases: Sequence[Case], references: Sequence[Sequence[str]]) -> list[Word]:
    """Return the different nouns of every caption, each where it first stands: right if a reference has it."""
    words = []
    for i, (case, own) in enumerate(zip(cases, references, strict=True)):
        named = set[str]()
        there = nouns.nouns_in(word for reference in own for word in ENGLISH.tokenize(reference))
        drawn = [nouns.nouns_in(each) for each in case.samples]
        tagged = nouns.nouns_in(tag.word for tag in case.caption.tags)
        for position, word in enumerate(case.caption.words):
            for noun in nouns.nouns_in([word]) - named:
                named.add(noun)
                found = {
                    "peakedness": float(grounding.peakedness(case.caption.weights[position])),
                    "log-probability": case.word_log_probs[position],
                    "share of samples": float(np.mean([noun in each for each in drawn])),
                    "is a tag": float(noun in tagged),
                }
                words.append(Word(i, noun in there, found))
    return words


def measure_photographs(folder: Path, skip: int, chosen: dict[str, Any] | None) -> dict[str, Any]:
    """Return the measurements of photographs; without `chosen`, every other one chooses for the rest."""
    cases, references = observe_photographs(folder, skip)
    captions = [case.caption for case in cases]
    counts = nouns.noun_counts([caption.text for caption in captions], references)
    right = [each.right == each.named for each in counts]
    card = calibration.confidence_of(checkpoints.card("photos"))
    rows = [signals(case, nouns.nouns_in) for case in cases]
    for row, p in zip(rows, card.probabilities(captions) if card else (), strict=True):
        row["confidence of the card"] = p
    kept = slice(None)
    if chosen is None:
        chosen, kept = choose(rows[::2], right[::2]), slice(1, None, 2)
    scores = [row[chosen["signal"]] for row in rows]
    return {
        "captions": len(cases),
        "right": round(float(np.mean(right)), 4),
        "right_interval": bootstrap_interval([float(x) for x in right]),
        "without_a_noun": sum(each.named == 0 for each in counts),
        "chair": {"instances": 1 - nouns.noun_precision(counts), "sentences": nouns.hallucination_rate(counts)},
        **compare(rows, right, [each.named for each in counts]),
        "words": describe_words(photograph_words(cases, references)),
        "chosen": chosen,
        "abstention": abstain(scores[kept], right[kept], chosen["threshold"]),
    }


def report(name: str, part: dict[str, Any]) -> None:
    """Print what was measured in one part."""
    print(f"{name}: {part['captions']} captions, {part['right']:.3f} right {part['right_interval']}")
    print("  ", part.get("with_mistake", ""), part["chair"])
    for signal, row in part["signals"].items():
        print(f"   {signal:24} AUC {row['auc']:.3f} {row['interval']}  minus best {row['minus_best']}", end="  ")
        print(f"among equals {row['among_equals']:.3f} {row['among_equals_interval']}")
    print(f"   words: {part['words']['right']} right, {part['words']['made_up']} made up")
    for signal, row in part["words"]["signals"].items():
        print(f"   {signal:40} {row['right']:.3f} {row['made_up']:.3f} {row['difference_interval']}", end="  ")
        print(f"AUC {row['auc']:.3f} {row['interval']}")
    print("  ", part.get("chosen", ""), part["abstention"])


def main() -> None:
    """Measure what is missing in belief.json for the weights that ship, and print it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.belief", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("flickr8k", type=Path, metavar="FLICKR8K")
    parser.add_argument("everyday", type=Path, metavar="EVERYDAY")
    options = parser.parse_args()
    weights = {name: checkpoints.card(name)["sha256"] for name in ("scenes", "photos")}
    results = record.read(RESULTS, {"weights": weights, "coverages": COVERAGES})
    work: dict[str, Callable[[], dict[str, Any]]] = {
        "validation": lambda: measure_scenes("validation", None),
        "compositional": lambda: measure_scenes("compositional", results["validation"]["abstention"]),
        "flickr8k": lambda: measure_photographs(options.flickr8k, tasks.photos.VALIDATION_SIZE, None),
        "everyday": lambda: measure_photographs(options.everyday, 0, results["flickr8k"]["chosen"]),
        "test": lambda: measure_scenes("test", results["validation"]["abstention"]),
    }
    record.complete(RESULTS, results, work)
    for name in work:
        report(name, results[name])


if __name__ == "__main__":
    main()
