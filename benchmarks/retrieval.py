"""A baseline without a decoder: caption photographs by retrieval, from their tags, among captions of other photographs.

    python -m benchmarks.retrieval DATA

DATA is a data set with a split dev and `captions_val2017.json` in COCO's format. The captions of the photographs in
dev are left out of the text. Writes retrieval.json: the scores on dev with 95 % bootstrap intervals, beside those of
the captioner that ships and of people, the first caption of each photograph against the others.

The number that is added to the log-odds, their lower bound and the number of candidates were looked at with a few
values on the same photographs, on which the tags are calibrated, too. So one row has tags that are calibrated on the
other half of them.
"""

import json
import re
import sys
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks import calibrate_tags
from benchmarks.photographs import score
from companion import checkpoints, datasets, metrics, tasks
from companion.datasets import Example
from companion.files import atomic_write
from companion.model_card import bootstrap_interval
from companion.tags import COCO_WORDS, Tagger, mentions
from companion.tags.tagger import at_all_words
from companion.tokenizer import ENGLISH

RESULTS = Path(__file__).with_name("retrieval.json")
GAIN, FLOOR = 2.0, -2.0  # a mention gains its log-odds + GAIN, and loses no more than -FLOOR
WORDS, LENGTH_PENALTY = 10, 0.05  # the length that is wanted, and the loss for each word more or less
CANDIDATES = 60  # captions from which the consensus is chosen
UNIGRAM_WEIGHT, BIGRAM_WEIGHT = 1.0, 4.0  # of the consensus: the least of a unigram's, and that of every bigram


class CaptionIndex:
    """Captions with what retrieval needs to know of them.

    Args:
        texts: the captions; one without a word is left out.
    """

    def __init__(self, texts: Sequence[str]):
        pairs = [(text, words) for text in texts if (words := ENGLISH.tokenize(text))]
        self.texts, self.words = map(list, zip(*pairs, strict=True))
        self.mentions = mentions([set(words) for words in self.words]).float()
        counts = Counter(word for words in self.words for word in words)
        self.log_prob = {word: float(np.log(count / counts.total())) for word, count in counts.items()}
        fluency = torch.tensor([np.mean([self.log_prob[word] for word in words]) for words in self.words])
        length = torch.tensor([len(words) for words in self.words])
        self.prior = (fluency - LENGTH_PENALTY * (length - WORDS).abs()).float()

    def scores(self, log_odds: Tensor) -> Tensor:
        """Return how well each caption fits each row of log-odds (image word)."""
        return (log_odds + GAIN).clamp(min=FLOOR) @ self.mentions.T + self.prior

    def retrieve(self, log_odds: Tensor, candidates: int = CANDIDATES) -> list[str]:
        """Return a caption for each row of log-odds (image word): the consensus of those that fit it best."""
        best = self.scores(log_odds).topk(candidates).indices.tolist()
        return [self.texts[self.consensus(row)] for row in best]

    def consensus(self, candidates: Sequence[int]) -> int:
        """Return the candidate with the highest mean cosine to all, over weighted unigrams and bigrams.

        Source: Devlin et al. 2015, "Exploring Nearest Neighbor Approaches for Image Captioning".
        """
        column: dict[Any, int] = {}
        vectors = np.zeros((len(candidates), sum(2 * len(self.words[i]) for i in candidates)))
        for row, i in zip(vectors, candidates, strict=True):
            words = self.words[i]
            for term in [*words, *pairwise(words)]:
                weight = max(-self.log_prob[term], UNIGRAM_WEIGHT) if isinstance(term, str) else BIGRAM_WEIGHT
                row[column.setdefault(term, len(column))] += weight
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return candidates[int((vectors @ vectors.T).mean(1).argmax())]


def other_captions(data: Path, examples: Sequence[Example]) -> list[str]:
    """Return the captions of the photographs in captions_val2017.json that are not among the examples."""
    own = {int(re.sub(r"\D", "", example.name.rpartition("_")[2])) for example in examples}
    annotations = json.loads((data / "captions_val2017.json").read_text(encoding="utf-8"))["annotations"]
    others = [each["caption"] for each in annotations if each["image_id"] not in own]
    if len(others) + sum(len(example.captions) for example in examples) != len(annotations):
        raise ValueError(f"{data}: the captions of dev are not all those that its photographs have in the text")
    return others


def recalibrated(logits: Tensor, scores: Tensor, mentioned: Tensor) -> Tensor:
    """Return the log-odds of the words (image word), those of each half calibrated on the other."""
    tagger = Tagger()
    words = logits.softmax(1) @ tagger.membership
    known = tagger.membership.sum(0) > 0
    log_odds = torch.full(words.shape, -torch.inf)
    first = torch.arange(len(words)) < len(words) // 2
    for half in (first, ~first):
        imagenet = calibrate_tags.fit(words[~half][:, known], mentioned[~half][:, known])
        detector = calibrate_tags.fit(scores[~half], mentioned[~half, : len(COCO_WORDS)])
        by_class = imagenet(words[half]).masked_fill(~known, -torch.inf)
        log_odds[half] = torch.maximum(by_class, at_all_words(detector(scores[half])))
    return log_odds


def measure(lines: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, Any]:
    """Return the scores of captions with their intervals, and the number of references."""
    return score(lines, references) | {"references": min(map(len, references))}


def main(data: Path) -> None:
    """Measure all rows and write retrieval.json."""
    dev = datasets.get_split(datasets.read(data), "dev")
    references = [list(example.captions) for example in dev]
    others = [captions[1:] for captions in references]
    index = CaptionIndex(other_captions(data, dev))
    logits, scores, _ = calibrate_tags.predict(dev)
    tagger = Tagger()
    by_class, by_detector = tagger.imagenet_log_odds(logits), at_all_words(tagger.detector_curve(scores))
    mentioned = mentions(calibrate_tags.captions_words(dev))
    retrieved = index.retrieve(torch.maximum(by_class, by_detector))
    captions, _ = tasks.photos.caption(checkpoints.load("photos"), dev)
    shipped = [caption.text for caption in captions]
    first = [captions[0] for captions in references]
    rows = {
        "captioner that ships": measure(shipped, references),
        "retrieval": measure(retrieved, references),
        "retrieval, detector alone": measure(index.retrieve(by_detector), references),
        "retrieval, ImageNet alone": measure(index.retrieve(by_class), references),
        "retrieval, calibrated on the other half": measure(
            index.retrieve(recalibrated(logits, scores, mentioned)), references
        ),
        "captioner that ships, without the first reference": measure(shipped, others),
        "retrieval, without the first reference": measure(retrieved, others),
        "the first reference, against the others": measure(first, others),
    }
    gain = np.subtract(metrics.cider_d_each(retrieved, references), metrics.cider_d_each(shipped, references))
    facts = {
        "photographs": len(dev),
        "captions": len(index.texts),
        "rows": rows,
        "cider_d of retrieval minus that of the captioner": bootstrap_interval(gain.tolist()),
    }
    atomic_write(RESULTS, json.dumps(facts, indent=1).encode() + b"\n")
    for name, row in rows.items():
        parts = (
            f"{key} {row['scores'][key]:.3f} {row['intervals'][key]}" for key in ("cider_d", "bleu4", "right_noun")
        )
        print(f"{name:50} {'  '.join(parts)}")
    print("retrieval minus captioner, CIDEr-D:", facts["cider_d of retrieval minus that of the captioner"])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
