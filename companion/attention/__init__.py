"""Attention mechanisms: `pooling` turns scores into weights and a context, `mechanisms` and `multi_head` have the score
functions and the modules, `stateful` the two modules that need more than a query, `efficient` what needs no table of
all scores. To add a mechanism, write its class in a file here and add one line to `MECHANISMS`.
"""

from companion.attention.efficient import blockwise, linear, windowed
from companion.attention.mechanisms import (
    AdditiveAttention,
    Attention,
    DotProductAttention,
    HardAttention,
    MeanPooling,
    ProjectedAttention,
    ScaledDotProductAttention,
    additive,
    additive_scores,
    dot_product,
    dot_scores,
    scaled_dot_product,
    scaled_dot_scores,
)
from companion.attention.multi_head import MultiHeadAttention, SelfAttentionBlock, per_head_mask
from companion.attention.pooling import (
    at_least_single,
    attention_pooling,
    hard_attention,
    masked_softmax,
    sentinel_attention,
    weighted_sum,
)
from companion.attention.stateful import AdaptiveAttention, CoverageAttention

__all__ = [
    "MECHANISMS",
    "AdaptiveAttention",
    "AdditiveAttention",
    "Attention",
    "CoverageAttention",
    "DotProductAttention",
    "HardAttention",
    "MeanPooling",
    "MultiHeadAttention",
    "ProjectedAttention",
    "ScaledDotProductAttention",
    "SelfAttentionBlock",
    "additive",
    "additive_scores",
    "at_least_single",
    "attention_pooling",
    "blockwise",
    "build",
    "dot_product",
    "dot_scores",
    "hard_attention",
    "linear",
    "masked_softmax",
    "per_head_mask",
    "scaled_dot_product",
    "scaled_dot_scores",
    "sentinel_attention",
    "weighted_sum",
    "windowed",
]

MECHANISMS: dict[str, type[Attention]] = {
    "mean_pooling": MeanPooling,
    "dot": DotProductAttention,
    "scaled_dot": ScaledDotProductAttention,
    "additive": AdditiveAttention,
    "multi_head": MultiHeadAttention,
    "hard": HardAttention,
    "adaptive": AdaptiveAttention,
    "coverage": CoverageAttention,
}


def build(name: str, query_dim: int, key_dim: int, hidden_dim: int) -> Attention:
    """Return a new mechanism by its name in `MECHANISMS`. Raises ValueError, listing the names, for an unknown one."""
    if name not in MECHANISMS:
        raise ValueError(f"there is no attention called {name!r}; choose from {', '.join(MECHANISMS)}")
    return MECHANISMS[name](query_dim, key_dim, hidden_dim)
