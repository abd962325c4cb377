"""Multi-head attention. Explained in the chapter on multi-head attention."""

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from companion.attention.mechanisms import Attention, scaled_dot_product
from companion.attention.pooling import Mask, Scores, Values


def per_head_mask(mask: Mask) -> Mask:
    """Return a mask over batch query place with a head axis of size one before the queries.

    A mask without a batch axis broadcasts as it is.
    """
    return mask if mask is None or mask.ndim < 3 else mask.unsqueeze(-3)


class MultiHeadAttention(Attention):
    """Scaled dot-product attention in several heads (Vaswani et al. 2017, section 3.2.2).

    `head_i = Attention(W_q,i q, W_k,i k, W_v,i v)`, `context = W_o [head_1, ..., head_h] + b`; the projections of
    query, key and value have a bias, too. `attend` returns the mean of the heads' weights, `attend_heads` the weights
    of each head. A mask has no head axis: it broadcasts against batch query place, as everywhere, and applies to every
    head.

    Args:
        query_dim: channels of the query.
        key_dim: channels of keys, values and context.
        hidden_dim: channels of all heads together.
        heads: number of heads.

    Raises:
        ValueError: `hidden_dim` is not a multiple of `heads`.
    """

    def __init__(self, query_dim: int, key_dim: int, hidden_dim: int, heads: int = 4):
        super().__init__()
        if hidden_dim % heads:
            raise ValueError(f"{hidden_dim} hidden channels do not divide into {heads} heads; choose a multiple")
        self.heads = heads
        self.query_proj = nn.Linear(query_dim, hidden_dim)
        self.key_proj = nn.Linear(key_dim, hidden_dim)
        self.value_proj = nn.Linear(key_dim, hidden_dim)
        self.out_proj = nn.Linear(hidden_dim, key_dim)

    def split_heads(self, x: Float[Tensor, "... place hidden"]) -> Float[Tensor, "... head place channel"]:
        """Cut the hidden axis into heads."""
        return rearrange(x, "... place (head channel) -> ... head place channel", head=self.heads)

    def merge_heads(self, heads: Float[Tensor, "... head query channel"]) -> Float[Tensor, "... query key_dim"]:
        """Concatenate the heads and apply the output projection."""
        return self.out_proj(rearrange(heads, "... head query channel -> ... query (head channel)"))

    def prepare(
        self, keys: Float[Tensor, "*batch place key"], values: Values
    ) -> tuple[Float[Tensor, "*batch head place channel"], Float[Tensor, "*batch head place channel"]]:
        """Return the projected keys and values of every head: batch head place channel."""
        return self.split_heads(self.key_proj(keys)), self.split_heads(self.value_proj(values))

    def attend_heads(
        self,
        query: Float[Tensor, "*batch query a"],
        keys: Float[Tensor, "*batch head place channel"],
        values: Float[Tensor, "*batch head place channel"],
        mask: Mask = None,
    ) -> tuple[Float[Tensor, "*batch query key_dim"], Float[Tensor, "*batch head query place"]]:
        """Return the context (batch query key_dim) and the weights of each head (batch head query place)."""
        heads, weights = scaled_dot_product(self.split_heads(self.query_proj(query)), keys, values, per_head_mask(mask))
        return self.merge_heads(heads), weights

    def attend(
        self,
        query: Float[Tensor, "*batch query a"],
        keys: Float[Tensor, "*batch head place channel"],
        values: Float[Tensor, "*batch head place channel"],
        mask: Mask = None,
    ) -> tuple[Float[Tensor, "*batch query key_dim"], Scores]:
        """Return the context (batch query key_dim) and the mean of the heads' weights (batch query place)."""
        context, weights = self.attend_heads(query, keys, values, mask)
        return context, weights.mean(-3)

    def attend_fused(
        self,
        query: Float[Tensor, "*batch query a"],
        keys: Float[Tensor, "*batch head place channel"],
        values: Float[Tensor, "*batch head place channel"],
        mask: Mask = None,
    ) -> Float[Tensor, "*batch query key_dim"]:
        """Return the context alone, from PyTorch's fused kernel, which is faster and does not return the weights."""
        query = self.split_heads(self.query_proj(query))
        fused = nn.functional.scaled_dot_product_attention(query, keys, values, per_head_mask(mask))
        return self.merge_heads(fused)


class SelfAttentionBlock(nn.Module):
    """Self-attention and a feed-forward network, each with pre-norm and a residual: the encoder block of a transformer.

    After Vaswani et al. (2017, section 3.1), with the norm before each part (Xiong et al. 2020). Every position can
    compare itself with all others, so that two equal objects can be told from one. At first the projection of the keys
    equals that of the queries, and the scores are those of a similarity: positions look for others like themselves.

    Args:
        channels: of the positions.
        heads: number of heads.

    Raises:
        ValueError: `channels` is not a multiple of `heads`.
    """

    def __init__(self, channels: int, heads: int = 4):
        super().__init__()
        self.self_attention = MultiHeadAttention(channels, channels, channels, heads)
        with torch.no_grad():
            self.self_attention.key_proj.weight.copy_(self.self_attention.query_proj.weight)
        self.feed_forward = nn.Sequential(
            nn.Linear(channels, 2 * channels), nn.GELU(), nn.Linear(2 * channels, channels)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(channels) for _ in range(2))

    def forward(self, x: Float[Tensor, "*batch place channel"]) -> Float[Tensor, "*batch place channel"]:
        """Return the positions, each with what it has gathered from the others."""
        normed = self.norms[0](x)
        x = x + self.self_attention.attend_fused(normed, *self.self_attention.prepare(normed, normed))
        return x + self.feed_forward(self.norms[1](x))
