"""Reinforcement learning from the reward of whole captions: policy gradient with a leave-one-out baseline.

Cross-entropy teaches the next word of a human caption. Here the model samples its own captions, a reward function
scores each, and captions that score better than the other samples of the same picture become more probable. Explained
in the chapter on learning.
"""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from companion import decoding, metrics
from companion.datasets import Example, collate_captions
from companion.models import Captioner, Source
from companion.tokenizer import ENGLISH, Tokenizer
from companion.training.distributed import global_mean
from companion.vocabulary import Vocabulary

# From the indices of some pictures in the training set and the captions sampled for each to a reward per caption.
RewardFn = Callable[[Sequence[int], Sequence[Sequence[str]]], Sequence[Sequence[float]]]


def rloo_loss(
    model: nn.Module,
    captioner: Captioner,
    source: Source,
    *,
    image_ids: Int[Tensor, "batch"],
    reward_fn: RewardFn,
    temperature: float = 1.0,
    min_advantage: float = 0.0,
    samples: int = 5,
    reference: Captioner | None = None,
    kl_weight: float = 0.0,
) -> Float[Tensor, ""]:
    """Return the REINFORCE loss `-(r - b) log p` per word, over captions sampled from the model.

    `r` is the reward of a caption and the baseline `b` the mean reward of the other samples of its picture
    (REINFORCE leave-one-out; Kool et al. 2019, section 3.1). Self-critical training (Rennie et al. 2017, equation 7)
    takes the reward of the greedy caption instead, which costs one more decoding. Pictures without a signal
    (`has_signal`) count in the number of words and nowhere else.

    Captions are sampled, and `p` is taken, at the same `temperature`. A model trained with label smoothing gives much
    probability to words that fit nothing; at temperature 1 it would spend its updates on those.

    Args:
        model: the captioner, or the captioner as Fabric wraps it.
        captioner: the captioner itself, in eval mode.
        source: the pictures.
        image_ids: their indices in the training set.
        reward_fn: scores the samples.
        temperature: of the distribution.
        min_advantage: see `has_signal`.
        samples: captions per picture.
        reference: the reference model, as it was before reinforcement. With it, the reward is less
            `kl_weight (log p - log p_reference)` of the whole caption, an estimate of the Kullback-Leibler divergence
            between the two (Ouyang et al. 2022, section 3.4). Among captions of equal reward the model then keeps the
            proportions in which the reference wrote them.
        kl_weight: of that penalty.
    """
    vocabulary = captioner.vocabulary
    grid = captioner.encode(source)
    detached = grid._replace(features=grid.features.detach())
    sampled = decoding.sample(captioner, detached, vocabulary, count=samples, temperature=temperature)
    rewards = reward_fn(image_ids.tolist(), [[caption.text for caption in captions] for captions in sampled])
    reward = torch.tensor(rewards, dtype=torch.float32, device=grid.features.device)
    tokens = collate_captions([[caption_ids(vocabulary, c.words) for c in captions] for captions in sampled])
    tokens = tokens.to(reward.device)
    if reference is not None:
        own = torch.tensor([[c.log_probability for c in captions] for captions in sampled], device=reward.device)
        with torch.no_grad():
            prior = token_log_probs(reference(source, tokens[..., :-1]).logits, tokens[..., 1:]).sum(-1)
        reward = reward - kl_weight * (own - prior)
    advantage = reward - (reward.sum(1, keepdim=True) - reward) / (samples - 1)
    words = (tokens[..., 1:] != Vocabulary.pad).sum()
    kept = has_signal(advantage, min_advantage)
    inputs, targets = tokens[kept, :, :-1], tokens[kept, :, 1:]
    logits = model(grid.select(kept), inputs).logits / temperature
    loss = -(advantage[kept].unsqueeze(-1) * token_log_probs(logits, targets)).sum() / words
    return global_mean(loss, words)


def token_log_probs(
    logits: Float[Tensor, "*batch word vocab"], targets: Int[Tensor, "*batch word"]
) -> Float[Tensor, "*batch word"]:
    """Return the log-probability of each target, in nats; 0 for `<pad>`."""
    log_probs = logits.log_softmax(-1).gather(-1, targets.unsqueeze(-1)).squeeze(-1)
    return log_probs * (targets != Vocabulary.pad)


def has_signal(advantage: Float[Tensor, "batch sample"], min_advantage: float) -> Int[Tensor, "kept"]:
    """Return the indices of pictures with an advantage beyond `min_advantage` either way, or [0] if there is none.

    The others contribute next to no gradient and cost as much; towards the end of training they are the majority.
    """
    kept = (advantage.abs().amax(1) > min_advantage).nonzero().squeeze(-1)
    return kept if len(kept) else kept.new_zeros(1)


def caption_ids(vocabulary: Vocabulary, words: Sequence[str]) -> list[int]:
    """Return the ids of words that are already tokenised, between `<start>` and `<end>`."""
    return [vocabulary.start, *map(vocabulary.id, words), vocabulary.end]


def cider_reward(train: Sequence[Example], tokenizer: Tokenizer = ENGLISH) -> RewardFn:
    """Return a reward function: CIDEr-D against the picture's own references (Rennie et al. 2017, section 5)."""
    references = metrics.References([example.captions for example in train], tokenizer)

    def reward(image_ids: Sequence[int], captions: Sequence[Sequence[str]]) -> list[list[float]]:
        image_of_each = [i for i, lines in zip(image_ids, captions, strict=True) for _ in lines]
        flat = [line for lines in captions for line in lines]
        scores = iter(metrics.cider_d_each(flat, references.take(image_of_each)))
        return [[next(scores) for _ in lines] for lines in captions]

    return reward
