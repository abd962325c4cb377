"""Decoders that put the picture before the words, as vision-language models do: `PrefixDecoder` and `QueryDecoder`.

Explained in the chapter on vision-language models.
"""

from typing import Any, cast

import torch
from einops import rearrange, repeat
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from companion.attention import MultiHeadAttention
from companion.decoders.base import State, Step
from companion.decoders.transformer import TransformerDecoder, causal_mask
from companion.encoders import Grid

QUERIES, QUERY_HEADS = 4, 8  # of `QueryDecoder`


class PrefixBlock(nn.Module):
    """Self-attention over a prefix and the words after it, and a feed-forward network, with pre-norm and residuals.

    The prefix attends to all of itself and to no word, so it is the same for every caption of a picture. A word attends
    to the prefix, to itself and to earlier words, in one softmax.
    """

    def __init__(self, hidden: int, heads: int, dropout: float):
        super().__init__()
        self.self_attention = MultiHeadAttention(hidden, hidden, hidden, heads)
        self.feed_forward = nn.Sequential(nn.Linear(hidden, 4 * hidden), nn.GELU(), nn.Linear(4 * hidden, hidden))
        self.norms = nn.ModuleList(nn.LayerNorm(hidden) for _ in range(2))
        self.dropout = nn.Dropout(dropout)

    def read_prefix(
        self, x: Float[Tensor, "batch prefix hidden"]
    ) -> tuple[Float[Tensor, "batch prefix hidden"], tuple[Tensor, ...]]:
        """Return the transformed prefix, and its keys and values (batch head prefix channel) for the words."""
        normed = self.norms[0](x)
        picture = self.self_attention.prepare(normed, normed)
        return self._add(x, self.self_attention.attend_fused(normed, *picture)), picture

    def forward(
        self, x: Float[Tensor, "batch beam word hidden"], past: tuple[Tensor, ...], picture: tuple[Tensor, ...]
    ) -> tuple[Float[Tensor, "batch beam word hidden"], Float[Tensor, "batch beam word seen"], tuple[Tensor, ...]]:
        """Return the transformed words, their weights over prefix and words, and the extended KV cache.

        Args:
            x: the words, embedded or transformed by the blocks before.
            past: the KV cache: keys and values (batch beam head word channel) of earlier words.
            picture: keys and values of the prefix, from `read_prefix`.
        """
        normed = self.norms[0](x)
        now = self.self_attention.prepare(normed, normed)
        cache = tuple(torch.cat([before, new], dim=-2) for before, new in zip(past, now, strict=True))
        prefix = (repeat(x, "batch ... -> batch beam ...", beam=normed.shape[1]) for x in picture)
        keys, values = (torch.cat([before, words], dim=-2) for before, words in zip(prefix, cache, strict=True))
        mask = F.pad(causal_mask(x.shape[2], cache[0].shape[-2], x.device), (picture[0].shape[-2], 0), value=True)
        context, weights = self.self_attention.attend(normed, keys, values, mask)
        return self._add(x, context), weights, cache

    def _add(
        self, x: Float[Tensor, "*batch position hidden"], context: Float[Tensor, "*batch position hidden"]
    ) -> Float[Tensor, "*batch position hidden"]:
        """Return what the block makes of its input and of the context that attention has read."""
        x = x + self.dropout(context)
        return x + self.dropout(self.feed_forward(self.norms[1](x)))


class PrefixDecoder(TransformerDecoder):
    """A transformer without cross-attention, which reads the picture's places as if they were words before the caption.

    The values of the places pass a linear layer, the second of a projector of two, and stand before the words in one
    stack of self-attention. That is the bridge of LLaVA (Liu et al. 2023, section 4.1; two layers in its version 1.5),
    with the mask of PaliGemma (Beyer et al. 2024, section 3.1): the places attend to all places, the words only to what
    is before them. The places have the positional encoding of `InputProjection`, the words that of their place in the
    caption.

    `start` runs the prefix once through all blocks; its keys and values are the memory. The weights of a word are those
    of the last block: the mean over the heads, of which what is on words is left out and the rest divided by its sum.
    So they say where in the picture the word attends, and not how much; `read_words` has both.

    Arguments and errors are those of `TransformerDecoder`.
    """

    block_class = PrefixBlock

    def __init__(self, vocab: int, channels: int, hidden: int = 512, **options: Any):
        super().__init__(vocab, channels, hidden, **options)
        self.projector = nn.Linear(hidden, hidden)

    def start(self, grid: Grid) -> State:
        """Return the state before the first word: the prefix's keys and values for each block, and an empty past."""
        return self.read_prefix(self.projector(self.input_proj(grid)))

    def read_prefix(self, x: Float[Tensor, "batch prefix hidden"]) -> State:
        """Return the state before the first word after a prefix."""
        memory: list[Tensor] = []
        for block in self.blocks:
            x, picture = cast(PrefixBlock, block).read_prefix(x)
            memory += picture
        batch, heads, _, channels = memory[0].shape
        past = x.new_zeros(batch, 1, heads, 0, channels)
        return State(tuple(memory), (past,) * len(memory))

    def read_words(self, tokens: Int[Tensor, "batch beam word"], state: State) -> Step:
        """Read any number of tokens after a state; the weights are over the prefix and, after it, all words so far."""
        return super().decode_chunk(tokens, state)

    def decode_chunk(self, tokens: Int[Tensor, "batch beam word"], state: State) -> Step:
        """Read any number of tokens after a state, with weights over the prefix alone, which sum to one."""
        step = self.read_words(tokens, state)
        weights = step.weights[..., : state.memory[0].shape[-2]]
        total = weights.sum(-1, keepdim=True).clamp_min(torch.finfo(weights.dtype).tiny)
        return step._replace(weights=weights / total)


class QueryDecoder(PrefixDecoder):
    """A `PrefixDecoder` whose prefix is four vectors, which four learned queries have read from the places.

    The queries attend to the places by multi-head cross-attention, once for each picture and before any word. That is
    the bridge of BLIP-2 (Li et al. 2023, section 3.1), whose Q-Former is a transformer with 32 queries, cut down to a
    single cross-attention. Whatever the caption will need must pass through the four.

    A word attends to the four, and each of them has attended to the places: the weights of a word are the product of
    the two, `sum_j (weight of query j for the word) (weight of the place for query j)`.

    Arguments and errors are those of `TransformerDecoder`.
    """

    def __init__(self, vocab: int, channels: int, hidden: int = 512, **options: Any):
        super().__init__(vocab, channels, hidden, **options)
        self.queries = nn.Parameter(torch.randn(QUERIES, hidden))
        self.query_attention = MultiHeadAttention(hidden, hidden, hidden, QUERY_HEADS)

    def start(self, grid: Grid) -> State:
        """Return the state before the first word; the last entry of its memory is the queries' attention."""
        values = self.input_proj(grid)
        queries = repeat(self.queries, "query hidden -> batch query hidden", batch=len(values))
        context, weights = self.query_attention(queries, values, values)
        state = self.read_prefix(self.projector(queries + self.dropout(context)))
        return state._replace(memory=(*state.memory, weights))

    def decode_chunk(self, tokens: Int[Tensor, "batch beam word"], state: State) -> Step:
        """Read any number of tokens after a state, and trace their attention to the four back to the places."""
        step = super().decode_chunk(tokens, state)
        of_queries = rearrange(step.weights, "batch beam word query -> batch (beam word) query")
        weights = (of_queries @ state.memory[-1]).unflatten(1, step.weights.shape[1:3])
        return step._replace(weights=weights)
