"""The hyperparameters of a training run, and the learning-rate schedule. Explained in the chapter on learning."""

import math
from typing import NamedTuple


class TrainConfig(NamedTuple):
    """The hyperparameters of one training run: epochs of cross-entropy, then epochs of reinforcement learning."""

    epochs: int  # of cross-entropy
    lr: float  # peak learning rate
    batch_size: int = 32  # pictures a step
    captions_per_image: int = 5
    weight_decay: float = 0.01  # of the matrices (AdamW)
    warm_up: float = 0.1  # share of the steps in which the learning rate rises; of the reinforcement epochs, too
    label_smoothing: float = 0.0  # share of the target probability spread evenly over the vocabulary
    doubly_stochastic_weight: float = 0.0  # of the doubly stochastic term of the loss
    alignment_weight: float = 0.0  # of the alignment loss
    word_dropout: float = 0.0  # share of the input words that are replaced by <unk>
    grad_clip: float = 5.0  # largest norm of the gradient
    seed: int = 0
    rl_epochs: int = 0  # of reinforcement learning, after the others
    rl_lr: float = 1e-4  # its peak learning rate
    kl_weight: float = 0.0  # in reinforcement, of the divergence from the model at its beginning
    rl_ce_weight: float = 0.0  # in reinforcement, of the cross-entropy (and its other terms) of the batch's captions
    temperature: float = 1.0  # at which captions are sampled for the reward
    min_advantage: float = 0.1  # pictures whose samples all lie closer than this to their baseline are skipped
    split_ratio: str = ""  # shares of train and dev, as "0.9/0.1", if the data set named no dev split


def lr_at(step: int, steps: int, peak: float, *, warm_up: float) -> float:
    """Return the learning rate at a step: linear warm-up, then cosine decay to zero.

    Args:
        step: from 0 to `steps - 1`.
        steps: of the whole phase.
        peak: the highest learning rate.
        warm_up: share of the steps in which it rises.
    """
    rise = max(1, round(warm_up * steps))
    if step < rise:
        return peak * (step + 1) / rise
    return peak * 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, steps - rise)))
