"""Compare the caption metrics with human judgements: Kendall's tau of each metric on the judgements of Flickr8k.

    python -m benchmarks.human_judgements FOLDER

FOLDER holds `Flickr8k.token.txt`, `ExpertAnnotations.txt` and `CrowdFlowerAnnotations.txt` of the text archive of
Flickr8k (Hodosh et al. 2013, section 4). They do not come with this repository. Every judgement is of one caption of
the data set beside one of its photographs, mostly another one's. As in Hessel et al. (2021, appendix A), each expert
counts on its own, and captions that are among the photograph's own references are left out. The table stands beside
published values. The chapter on scoring explains it.
"""

import argparse
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from companion import metrics
from companion.datasets.parsing import Log, read_lines, shorten
from companion.metrics import References

CAPTIONS = "Flickr8k.token.txt"
# tau-c on the experts' judgements, times 100: Hessel et al. 2021, "CLIPScore", table 1. Their CIDEr is CIDEr-D.
PUBLISHED = {"bleu1": 32.3, "rouge_l": 32.3, "cider_d": 43.9}


class Judgement(NamedTuple):
    """A caption beside a photograph, and what people think of it: one rating or several, higher is better."""

    image: str
    caption: str
    ratings: tuple[float, ...]


class Taus(NamedTuple):
    """Kendall's rank correlations, -1 to 1; NaN where all scores or all ratings are equal."""

    tau_b: float
    tau_c: float


class _StrictLog(Log):
    """Stops at the first thing that would cost a judgement: a correlation over the rest would be another one."""

    def issue(self, location: Path | str, problem: str, action: str = "") -> None:
        raise ValueError(f"{location}: {problem}")


def kendall(scores: Float[np.ndarray, "judgement"], ratings: Float[np.ndarray, "judgement"]) -> Taus:
    """Return Kendall's tau-b and tau-c of scores and ratings.

    A pair of judgements is concordant if the higher rating has the higher score, discordant if it has the lower one.
    With C and D of these, P pairs in all, of which X have equal scores and Y equal ratings, n judgements and m the
    smaller of the numbers of different scores and of different ratings:

        tau-b = (C - D) / sqrt((P - X) (P - Y))         Kendall 1945
        tau-c = (C - D) / (n^2 (m - 1) / (2 m))         Stuart 1953

    Ratings have few different values, so C - D is summed over the pairs of values, with sorted scores.
    """
    groups = [np.sort(scores[ratings == value]) for value in np.unique(ratings)]
    balance = 0
    for low, high in combinations(groups, 2):
        lower = np.searchsorted(low, high, side="left").sum()
        higher = (len(low) - np.searchsorted(low, high, side="right")).sum()
        balance += int(lower - higher)
    n, counts = len(scores), [np.unique(x, return_counts=True)[1] for x in (scores, ratings)]
    m = min(map(len, counts))
    if m < 2:
        return Taus(math.nan, math.nan)
    pairs = n * (n - 1) / 2
    untied = [pairs - float((count * (count - 1)).sum()) / 2 for count in counts]
    return Taus(balance / math.sqrt(untied[0] * untied[1]), balance / (n**2 * (m - 1) / (2 * m)))


def read_columns(path: Path, columns: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """Yield the lines of a table, each with its location. Raises ValueError where a line has other columns."""
    for number, line in read_lines(path, _StrictLog()):
        fields = [field.strip() for field in line.split("\t")]
        if len(fields) != len(columns):
            raise ValueError(
                f"{path}:{number}: {len(fields)} columns in {shorten(line)}, expected {len(columns)} between tabs: "
                f"{', '.join(columns)}"
            )
        yield f"{path}:{number}", fields


def read_captions(path: Path) -> dict[str, str]:
    """Return the captions of Flickr8k by their id, such as "name.jpg#0"."""
    captions: dict[str, str] = {}
    for location, (label, caption) in read_columns(path, ("caption id", "caption")):
        if "#" not in label:
            raise ValueError(f"{location}: {shorten(label)} is no caption id; expected name.jpg#0 to name.jpg#4")
        captions[label] = caption
    return captions


def image_name(label: str) -> str:
    """Return the name of the image of a file or of a caption id, without ".jpg".

    The data set's own file of captions has "2258277193_586949ec62.jpg.1#0".
    """
    return label.partition("#")[0].partition(".")[0]


def expert_ratings(fields: Sequence[str]) -> tuple[float, ...]:
    """Return three scores from 1, "the caption does not describe the image", to 4, "it does"."""
    if any(field not in ("1", "2", "3", "4") for field in fields):
        raise ValueError(f"{shorten(', '.join(fields))} are not three scores, each 1, 2, 3 or 4")
    return tuple(map(float, fields))


def crowd_ratings(fields: Sequence[str]) -> tuple[float, ...]:
    """Return the share of the people, 0 to 1, who say that the caption describes the image."""
    share, yes, no = (float(field) if field.replace(".", "", 1).isdecimal() else math.nan for field in fields)
    if not yes + no > 0 or abs(share - yes / (yes + no)) > 0.01:
        raise ValueError(f"{shorten(', '.join(fields))} is not the share of yes, and how many said yes and no")
    return (yes / (yes + no),)


class Study(NamedTuple):
    """A file of judgements: the last three of its five columns, and how ratings are read from them."""

    file: str
    columns: tuple[str, str, str]
    ratings: Callable[[Sequence[str]], tuple[float, ...]]


STUDIES = {
    "Flickr8k-Expert": Study("ExpertAnnotations.txt", ("score", "score", "score"), expert_ratings),
    "Flickr8k-CrowdFlower": Study("CrowdFlowerAnnotations.txt", ("share of yes", "yes", "no"), crowd_ratings),
}


def read_judgements(path: Path, study: Study, captions: dict[str, str]) -> list[Judgement]:
    """Return the judgements of a study. Raises ValueError, with file and line, for one that cannot be read."""
    images = set(map(image_name, captions))
    judgements = []
    for location, (file, label, *fields) in read_columns(path, ("image", "caption id", *study.columns)):
        image = image_name(file)
        if image not in images:
            raise ValueError(f"{location}: {CAPTIONS} has no caption of {shorten(file)}; take both files from one copy")
        if label not in captions:
            raise ValueError(f"{location}: {CAPTIONS} has no {shorten(label)}; take both files from one copy")
        try:
            judgements.append(Judgement(image, captions[label], study.ratings(fields)))
        except ValueError as error:
            raise ValueError(f"{location}: {error}; restore the line") from None
    return judgements


def references_by_image(captions: dict[str, str]) -> dict[str, list[str]]:
    """Return the captions of each image."""
    references: dict[str, list[str]] = {}
    for label, caption in captions.items():
        references.setdefault(image_name(label), []).append(caption)
    return references


def score_each(judgements: Sequence[Judgement], references: dict[str, list[str]]) -> dict[str, np.ndarray]:
    """Return the scores of every caption on its own, by the names of `metrics.score`.

    The document frequencies of CIDEr-D are those of the references of these images.
    """
    index = {image: i for i, image in enumerate(dict.fromkeys(judgement.image for judgement in judgements))}
    corpus = References([references[image] for image in index])
    rows = [metrics.score([judgement.caption], corpus.take([index[judgement.image]])) for judgement in judgements]
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def correlate(judgements: Sequence[Judgement], references: dict[str, list[str]]) -> dict[str, Taus]:
    """Return the correlations of every metric with the ratings, by the names of `metrics.score`."""
    ratings = np.array([rating for judgement in judgements for rating in judgement.ratings])
    repeats = [len(judgement.ratings) for judgement in judgements]
    scores = score_each(judgements, references)
    return {name: kendall(np.repeat(values, repeats), ratings) for name, values in scores.items()}


def report(folder: Path) -> str:
    """Return the tables of both studies. Raises ValueError, in one line, where a file is missing or damaged."""
    captions = read_captions(folder / CAPTIONS)
    references = references_by_image(captions)
    lines: list[str] = []
    for name, study in STUDIES.items():
        path = folder / study.file
        judgements = read_judgements(path, study, captions)
        kept = [judgement for judgement in judgements if judgement.caption not in references[judgement.image]]
        if len({rating for judgement in kept for rating in judgement.ratings}) < 2:
            raise ValueError(f"{path}: {len(kept)} captions to correlate, all rated alike; expected different ratings")
        published = PUBLISHED if name == "Flickr8k-Expert" else {}
        lines += [
            f"{name}: {sum(len(judgement.ratings) for judgement in kept):,} ratings of {len(kept):,} captions; "
            f"{len(judgements) - len(kept):,} captions of the image itself left out",
            f"{'100 x':10} {'tau-c':>6} {'tau-b':>6}" + " published tau-c" * bool(published),
        ]
        for metric, taus in correlate(kept, references).items():
            row = f"{metric:10} {100 * taus.tau_c:6.1f} {100 * taus.tau_b:6.1f}"
            lines.append(row + (f" {published[metric]:15.1f}" if metric in published else ""))
        lines.append("")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the tables and return 0, or one line that says what is wrong with the files, and return 1."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.human_judgements", description="Correlate the metrics with human judgements."
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER", help=f"has {CAPTIONS} and the two files of judgements")
    try:
        print(report(parser.parse_args(arguments).folder))
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
