"""What a straightforward implementer would write: the partners against which the package is measured.

Each computes the same numbers as its partner in `companion`, formula by formula, and does nothing to be fast or slow.
"""

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from companion import decoding, photos
from companion.attention import MultiHeadAttention
from companion.captioner import Captioner
from companion.decoders import LSTMDecoder
from companion.decoding import Caption, Model
from companion.encoders import Grid
from companion.vocabulary import Vocabulary, tokenize


def logits(decoder: LSTMDecoder, grid: Grid, tokens: Tensor) -> Tensor:
    """Teacher forcing word by word: each word projects the keys from the features, and its state to the vocabulary."""
    carry, found = decoder.start(grid).carry, []
    for word in tokens.unbind(2):
        step = decoder.step(word, decoder.start(grid)._replace(carry=carry))
        carry = step.state.carry
        found.append(step.logits)
    return torch.stack(found, 2)


def beam(model: Model, grid: Grid, vocabulary: Vocabulary, length_power: float) -> list[Caption]:
    """Beam search of width 5 for one picture at a time."""
    pictures = [Grid(features.unsqueeze(0), grid.rows, grid.cols) for features in grid.features]
    return [decoding.beam(model, one, vocabulary, 5, length_power=length_power)[0] for one in pictures]


def multi_head(module: MultiHeadAttention, query: Tensor, places: Tensor) -> Tensor:
    """Multi-head attention written by hand around PyTorch's fused kernel, with the matrices of `module`."""

    def heads(layer: nn.Linear, x: Tensor) -> Tensor:
        return layer(x).view(*x.shape[:-1], module.heads, -1).transpose(1, 2)

    keys, values = heads(module.key, places), heads(module.value, places)
    found = F.scaled_dot_product_attention(heads(module.query, query), keys, values)
    return module.out(found.transpose(1, 2).flatten(2))


def caption_files(captioner: Captioner, paths: Sequence[Path]) -> list[Caption]:
    """Photographs captioned one after the other."""
    return [captioner.caption(photos.load(path, captioner.side).unsqueeze(0))[0] for path in paths]


def ngrams(words: Sequence[str], order: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(words[start : start + order]) for start in range(len(words) - order + 1))


def bleu(candidates: Sequence[str], references: Sequence[Sequence[str]]) -> list[float]:
    """BLEU-1 to BLEU-4 (Papineni et al. 2002, section 2.3)."""
    matches, totals, length, closest = [0] * 4, [0] * 4, 0, 0
    for candidate, answers in zip(candidates, references, strict=True):
        words, others = tokenize(candidate), [tokenize(answer) for answer in answers]
        length += len(words)
        closest += min((len(other) for other in others), key=lambda n: (abs(n - len(words)), n))
        for order in range(1, 5):
            counts = [ngrams(other, order) for other in others]
            for ngram, count in ngrams(words, order).items():
                matches[order - 1] += min(count, max(found[ngram] for found in counts))
                totals[order - 1] += count
    brevity = min(1.0, math.exp(1 - closest / length))
    precisions = [match / total for match, total in zip(matches, totals, strict=True)]
    return [brevity * math.prod(precisions[:order]) ** (1 / order) for order in range(1, 5)]


def cider_d(candidates: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """CIDEr-D (Vedantam et al. 2015, equations 1 to 3 and section 8)."""
    images = len(references)
    frequency: Counter[tuple[str, ...]] = Counter()
    for answers in references:
        frequency.update({n for answer in answers for order in range(1, 5) for n in ngrams(tokenize(answer), order)})

    def vector(words: Sequence[str], order: int) -> dict[tuple[str, ...], float]:
        return {n: count * math.log(images / max(1, frequency[n])) for n, count in ngrams(words, order).items()}

    def norm(vector: dict[tuple[str, ...], float]) -> float:
        return math.sqrt(sum(value**2 for value in vector.values()))

    total = 0.0
    for candidate, answers in zip(candidates, references, strict=True):
        words = tokenize(candidate)
        mine = [vector(words, order) for order in range(1, 5)]
        for answer in answers:
            other = tokenize(answer)
            similarity = 0.0
            for order in range(1, 5):
                c, s = mine[order - 1], vector(other, order)
                shared = sum(min(value, s[ngram]) * s[ngram] for ngram, value in c.items() if ngram in s)
                if shared:
                    similarity += shared / (norm(c) * norm(s))
            penalty = math.exp(-((len(words) - len(other)) ** 2) / (2 * 6.0**2))
            total += 10 * similarity / 4 * penalty / len(answers)
    return total / images
