"""Sampled captions and a judge in, a loss out: learning from what a whole caption is worth. Explained in chapter 11.

Cross-entropy teaches the next word of somebody else's sentence. Here the model says its own sentences, a judge gives
each a number, and what was better than the model's other sentences of the same picture becomes likelier.
"""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from companion import decoding, metrics, scenes
from companion.batches import collate
from companion.captioner import Captioner, Source
from companion.datasets import Example
from companion.distribution import weighed
from companion.vocabulary import Vocabulary, detokenize

# Which pictures (their numbers), and the captions of each, to a number for every caption.
Judge = Callable[[Sequence[int], Sequence[Sequence[str]]], Sequence[Sequence[float]]]
STYLE = 0.02  # of CIDEr-D; paid five times as much, a model says what reads best of any two things of one colour


def self_critical_loss(
    model: nn.Module,
    captioner: Captioner,
    source: Source,
    pictures: Tensor,
    judge: Judge,
    temperature: float = 1.0,
    least: float = 0.0,
    samples: int = 5,
) -> Tensor:
    """`-(r - b) log p` a word, over `samples` captions a picture drawn from the model itself.

    `r` is the judge's number of a caption and `b` the mean of the other captions of its picture (Rennie et al. 2017,
    equation 7, whose baseline is the greedy caption; this one is from Kool et al. 2019, section 3.1, and needs no
    further decoding). Of pictures that are not `instructive` by `least`, only the words are counted.
    Captions are drawn, and `p` is taken, at a `temperature`: a model that learnt with smoothing gives much of its
    probability to words that fit nothing, and would first of all learn to leave those. `model` is the captioner, or
    the captioner as Fabric wraps it. Call it in eval mode.
    """
    vocabulary = captioner.vocabulary
    grid = captioner.look(source)
    seen = grid._replace(features=grid.features.detach())
    said = decoding.sample(captioner, seen, vocabulary, samples, temperature=temperature)
    marks = judge(pictures.tolist(), [[detokenize(caption.words) for caption in several] for several in said])
    reward = torch.tensor(marks, dtype=torch.float32, device=grid.features.device)
    advantage = reward - (reward.sum(1, keepdim=True) - reward) / (samples - 1)
    tokens = collate([[caption_ids(vocabulary, c.words) for c in several] for several in said]).to(reward.device)
    words = (tokens[..., 1:] != Vocabulary.pad).sum()
    kept = instructive(advantage, least)
    inputs, targets = tokens[kept, :, :-1], tokens[kept, :, 1:]
    logits = model(grid._replace(features=grid.features[kept]), inputs).logits / temperature
    scores = logits.log_softmax(-1).gather(-1, targets.unsqueeze(-1)).squeeze(-1)
    loss = -(advantage[kept].unsqueeze(-1) * scores * (targets != Vocabulary.pad)).sum() / words
    return weighed(loss, words)


def instructive(advantage: Float[Tensor, "batch sample"], least: float) -> Int[Tensor, "kept"]:
    """The pictures with a caption that is better or worse than its others by more than `least`; of none, the first.

    Towards the end of training they are few, and the others would cost as much.
    """
    kept = (advantage.abs().amax(1) > least).nonzero().squeeze(-1)
    return kept if len(kept) else kept.new_zeros(1)


def caption_ids(vocabulary: Vocabulary, words: Sequence[str]) -> list[int]:
    """The ids of words that are known, between start and end."""
    return [vocabulary.start, *map(vocabulary.id, words), vocabulary.end]


def judge_of_likeness(train: Sequence[Example]) -> Judge:
    """A judge that gives a caption its CIDEr-D against those of its picture (Rennie et al. 2017, section 5)."""
    references = metrics.References([example.captions for example in train])

    def judge(pictures: Sequence[int], captions: Sequence[Sequence[str]]) -> list[list[float]]:
        whose = [i for i, several in zip(pictures, captions, strict=True) for _ in several]
        scores = iter(metrics.cider_d_each([line for several in captions for line in several], references.take(whose)))
        return [[next(scores) for _ in several] for several in captions]

    return judge


def judge_of_scenes(world: Sequence[scenes.Scene], train: Sequence[Example]) -> Judge:
    """A judge that gives a caption what it is worth, and `STYLE` of its CIDEr-D if it is true."""
    likeness = judge_of_likeness(train)

    def judge(pictures: Sequence[int], captions: Sequence[Sequence[str]]) -> list[list[float]]:
        rows = zip(pictures, captions, likeness(pictures, captions), strict=True)
        return [
            [worth(line, world[i], STYLE * alike) for line, alike in zip(several, row, strict=True)]
            for i, several, row in rows
        ]

    return judge


def worth(line: str, scene: scenes.Scene, style: float = 0.0) -> float:
    """1 for a caption that is true and names everything, a quarter as much again if it also states a relation; else 0.

    The quarter pays for a risk: what is not said cannot be false. `style` is paid beside it, to true captions alone:
    where all that a model says of a scene is false, style would choose the falsehood.
    """
    statement = scenes.parse(line) if scenes.is_exact(line, scene) else None
    return 0.0 if statement is None else style + (1.25 if statement.claims else 1.0)
