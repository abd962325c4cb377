"""Straightforward implementations: the partners against which the package is measured.

Each computes the same numbers as its partner in `companion`, formula by formula, and is made neither fast nor slow.
"""

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from companion import datasets, decoding
from companion.attention import MultiHeadAttention
from companion.decoders import LSTMDecoder
from companion.decoding import Caption, Model
from companion.encoders import Grid
from companion.models import Captioner
from companion.vocabulary import Vocabulary, tokenize


def logits(decoder: LSTMDecoder, grid: Grid, tokens: Tensor) -> Tensor:
    """Return the logits under teacher forcing, projecting keys and vocabulary anew at every word."""
    carry, outputs = decoder.start(grid).carry, []
    for word in tokens.unbind(2):
        step = decoder.step(word, decoder.start(grid)._replace(carry=carry))
        carry = step.state.carry
        outputs.append(step.logits)
    return torch.stack(outputs, 2)


def beam(model: Model, grid: Grid, vocabulary: Vocabulary, length_power: float) -> list[Caption]:
    """Return the captions of beam search with width 5, one picture at a time."""
    pictures = [Grid(features.unsqueeze(0), grid.rows, grid.cols) for features in grid.features]
    return [decoding.beam_search(model, one, vocabulary, 5, length_power=length_power)[0] for one in pictures]


def multi_head(module: MultiHeadAttention, query: Tensor, places: Tensor) -> Tensor:
    """Return multi-head attention, written by hand around PyTorch's fused kernel, with the matrices of `module`."""

    def heads(layer: nn.Linear, x: Tensor) -> Tensor:
        return layer(x).view(*x.shape[:-1], module.heads, -1).transpose(1, 2)

    keys, values = heads(module.key_proj, places), heads(module.value_proj, places)
    context = F.scaled_dot_product_attention(heads(module.query_proj, query), keys, values)
    return module.out_proj(context.transpose(1, 2).flatten(2))


def caption_files(captioner: Captioner, paths: Sequence[Path]) -> list[Caption]:
    """Return the captions of photographs, one after the other."""
    return [captioner.caption(datasets.load_image(path, captioner.image_size).unsqueeze(0))[0] for path in paths]


def ngrams(words: Sequence[str], order: int) -> Counter[tuple[str, ...]]:
    """Return the n-grams of a caption with their counts."""
    return Counter(tuple(words[start : start + order]) for start in range(len(words) - order + 1))


def bleu(candidates: Sequence[str], references: Sequence[Sequence[str]]) -> list[float]:
    """Return BLEU-1 to BLEU-4 (Papineni et al. 2002, section 2.3)."""
    matches, totals, length, closest = [0] * 4, [0] * 4, 0, 0
    for candidate, own in zip(candidates, references, strict=True):
        words, others = tokenize(candidate), [tokenize(reference) for reference in own]
        length += len(words)
        closest += min((len(other) for other in others), key=lambda n: (abs(n - len(words)), n))
        for order in range(1, 5):
            counts = [ngrams(other, order) for other in others]
            for ngram, count in ngrams(words, order).items():
                matches[order - 1] += min(count, max(reference[ngram] for reference in counts))
                totals[order - 1] += count
    brevity = min(1.0, math.exp(1 - closest / length))
    precisions = [match / total for match, total in zip(matches, totals, strict=True)]
    return [brevity * math.prod(precisions[:order]) ** (1 / order) for order in range(1, 5)]


def cider_d(candidates: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """Return CIDEr-D (Vedantam et al. 2015, equations 1 to 3 and section 8)."""
    images = len(references)
    frequency: Counter[tuple[str, ...]] = Counter()
    for own in references:
        frequency.update({n for line in own for order in range(1, 5) for n in ngrams(tokenize(line), order)})

    def vector(words: Sequence[str], order: int) -> dict[tuple[str, ...], float]:
        return {n: count * math.log(images / max(1, frequency[n])) for n, count in ngrams(words, order).items()}

    def norm(vector: dict[tuple[str, ...], float]) -> float:
        return math.sqrt(sum(value**2 for value in vector.values()))

    total = 0.0
    for candidate, own in zip(candidates, references, strict=True):
        words = tokenize(candidate)
        vectors = [vector(words, order) for order in range(1, 5)]
        for reference in own:
            other = tokenize(reference)
            similarity = 0.0
            for order in range(1, 5):
                c, s = vectors[order - 1], vector(other, order)
                shared = sum(min(value, s[ngram]) * s[ngram] for ngram, value in c.items() if ngram in s)
                if shared:
                    similarity += shared / (norm(c) * norm(s))
            penalty = math.exp(-((len(words) - len(other)) ** 2) / (2 * 6.0**2))
            total += 10 * similarity / 4 * penalty / len(own)
    return total / images
