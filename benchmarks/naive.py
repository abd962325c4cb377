"""What a straightforward implementer would write: the partners against which the package is measured.

Each computes the same numbers as its partner in `companion`, formula by formula, and does nothing to be fast or slow.
"""

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

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


class Hypothesis(NamedTuple):
    """A beginning of a caption: its words, its log-probability, and what the decoder remembers of it."""

    tokens: list[int]
    score: float
    carry: tuple[Tensor, ...]


@torch.inference_mode()
def beam(
    model: Model, grid: Grid, vocabulary: Vocabulary, length_power: float, width: int = 5, max_words: int = 20
) -> list[tuple[str, ...]]:
    """Beam search as tutorials write it: one picture, a list of hypotheses, its keys at every word, until all ended."""
    captions = []
    for features in grid.features:
        one = Grid(features.unsqueeze(0), grid.rows, grid.cols)
        hypotheses = [Hypothesis([Vocabulary.start], 0.0, model.start(one).carry)]
        for word in range(max_words + 1):
            live = [h for h in hypotheses if h.tokens[-1] != Vocabulary.end]
            if not live:
                break
            carry = tuple(torch.cat(parts, 1) for parts in zip(*(h.carry for h in live), strict=True))
            step = model.step(torch.tensor([[h.tokens[-1] for h in live]]), model.start(one)._replace(carry=carry))
            scores = decoding.next_words(step, last=word == max_words)[0]
            found = [h for h in hypotheses if h.tokens[-1] == Vocabulary.end]
            for i, h in enumerate(live):
                remembered = tuple(x[:, i : i + 1] for x in step.state.carry)
                for score, token in zip(*(x.tolist() for x in scores[i].topk(width)), strict=True):
                    found.append(Hypothesis([*h.tokens, token], h.score + score, remembered))
            found.sort(key=lambda h: h.score / (len(h.tokens) - 1) ** length_power, reverse=True)
            hypotheses = found[:width]
        captions.append(tuple(vocabulary.decode(hypotheses[0].tokens[1:])))
    return captions


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
