"""Training: `loop` with its `config`, `batches`, `losses` and `reinforce` (rewards of whole captions); `resume` after
an interruption, `distributed` over processes, `feature_cache` of grids on disk.
"""

from companion.training import distributed, feature_cache
from companion.training.batches import Batch, BatchSource, CaptionBatches
from companion.training.config import TrainConfig, lr_at
from companion.training.loop import LossFn, cross_entropy, fit, parameter_groups, train_step
from companion.training.losses import alignment_loss, caption_loss, doubly_stochastic_loss, word_dropout
from companion.training.reinforce import RewardFn, caption_ids, cider_reward, has_signal, rloo_loss, token_log_probs
from companion.training.resume import load_state, restore, save_state

__all__ = [
    "Batch",
    "BatchSource",
    "CaptionBatches",
    "LossFn",
    "RewardFn",
    "TrainConfig",
    "alignment_loss",
    "caption_ids",
    "caption_loss",
    "cider_reward",
    "cross_entropy",
    "distributed",
    "doubly_stochastic_loss",
    "feature_cache",
    "fit",
    "has_signal",
    "load_state",
    "lr_at",
    "parameter_groups",
    "restore",
    "rloo_loss",
    "save_state",
    "token_log_probs",
    "train_step",
    "word_dropout",
]
