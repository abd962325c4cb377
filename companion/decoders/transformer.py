"""The transformer decoder: self-attention over the words, cross-attention to the picture, feed-forward.

Explained in the chapter that compares the mechanisms.
"""

from collections.abc import Callable
from typing import ClassVar, cast

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from companion.attention import MultiHeadAttention
from companion.decoders.base import InputProjection, State, Step, expand_beams, tied_output_proj
from companion.encoders import Grid


class TransformerBlock(nn.Module):
    """Causal self-attention, cross-attention and a feed-forward network, each with pre-norm and a residual."""

    def __init__(self, hidden: int, heads: int, dropout: float):
        super().__init__()
        self.self_attention = MultiHeadAttention(hidden, hidden, hidden, heads)
        self.cross_attention = MultiHeadAttention(hidden, hidden, hidden, heads)
        self.feed_forward = nn.Sequential(nn.Linear(hidden, 4 * hidden), nn.GELU(), nn.Linear(4 * hidden, hidden))
        self.norms = nn.ModuleList(nn.LayerNorm(hidden) for _ in range(3))
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, x: Float[Tensor, "batch beam word hidden"], past: tuple[Tensor, ...], picture: tuple[Tensor, ...]
    ) -> tuple[Float[Tensor, "batch beam word hidden"], Float[Tensor, "batch beam word place"], tuple[Tensor, ...]]:
        """Return the transformed words, the cross-attention weights, and the extended KV cache.

        Args:
            x: the words, embedded or transformed by the blocks before.
            past: the KV cache: self-attention's keys and values (batch beam head word channel) of earlier words.
            picture: cross-attention's keys and values (batch head place channel).
        """
        normed = self.norms[0](x)
        now = self.self_attention.prepare(normed, normed)
        keys, values = (torch.cat([before, new], dim=-2) for before, new in zip(past, now, strict=True))
        mask = causal_mask(x.shape[2], keys.shape[-2], x.device)
        x = x + self.dropout(self.self_attention.attend_fused(normed, keys, values, mask))
        query = rearrange(self.norms[1](x), "batch beam word hidden -> batch (beam word) hidden")
        context, weights = self.cross_attention.attend(query, *picture)
        x = x + self.dropout(context.view_as(x))
        weights = rearrange(weights, "batch (beam word) place -> batch beam word place", beam=x.shape[1])
        return x + self.dropout(self.feed_forward(self.norms[2](x))), weights, (keys, values)


def causal_mask(words: int, seen: int, device: torch.device) -> Bool[Tensor, "words seen"]:
    """Return the mask under which each of the last `words` of `seen` words attends to itself and to earlier ones."""
    return torch.ones(words, seen, dtype=torch.bool, device=device).tril(seen - words)


def sinusoidal_positions(first: int, count: int, hidden: int, device: torch.device) -> Float[Tensor, "count hidden"]:
    """Return the sinusoidal positional encoding of the positions from `first` on (Vaswani et al. 2017, section 3.5)."""
    word = torch.arange(first, first + count, device=device)[:, None]
    angle = word / 10_000 ** (torch.arange(0, hidden, 2, device=device) / hidden)
    return torch.cat([angle.sin(), angle.cos()], dim=-1)


class TransformerDecoder(nn.Module):
    """The decoder of Vaswani et al. (2017, section 3.1) with pre-norm blocks.

    The weights that it returns are the cross-attention weights of its last block, averaged over the heads. The carry
    is the KV cache: each block's keys and values of the words so far. With it, a step computes one word and not the
    whole caption again.

    Args:
        vocab: number of words.
        channels: channels of the encoder's grid.
        hidden: width of all layers inside.
        attention: "multi_head", the only mechanism that it supports.
        dropout: after every sub-layer.
        positions: whether the picture's keys and values hold a positional encoding of their places.
        blocks: number of blocks.
        heads: number of heads.

    Raises:
        ValueError: another `attention`.
    """

    mechanisms = ("multi_head",)
    block_class: ClassVar[Callable[..., nn.Module]] = TransformerBlock  # `PrefixDecoder` has another
    default_attention = "multi_head"
    supports_alignment = False

    def __init__(
        self,
        vocab: int,
        channels: int,
        hidden: int = 512,
        *,
        attention: str = "multi_head",
        dropout: float = 0.3,
        positions: bool = False,
        blocks: int = 2,
        heads: int = 8,
    ):
        super().__init__()
        if attention not in self.mechanisms:
            raise ValueError(f"the transformer decoder supports the attention 'multi_head' alone, not {attention!r}")
        self.input_proj = InputProjection(channels, hidden, dropout, positions=positions)
        self.embed = nn.Embedding(vocab, hidden)
        self.blocks = nn.ModuleList(self.block_class(hidden, heads, dropout) for _ in range(blocks))
        self.norm = nn.LayerNorm(hidden)
        self.dropout = nn.Dropout(dropout)
        self.output_proj = tied_output_proj(self.embed)

    def start(self, grid: Grid) -> State:
        """Return the state before the first word: the picture's keys and values for each block, and an empty past."""
        values = self.input_proj(grid)
        attentions = [cast(TransformerBlock, block).cross_attention for block in self.blocks]
        memory = [x for attention in attentions for x in attention.prepare(values, values)]
        batch, heads, _, channels = memory[0].shape
        past = values.new_zeros(batch, 1, heads, 0, channels)
        return State(tuple(memory), (past,) * len(memory))

    def step(self, tokens: Int[Tensor, "batch beam"], state: State) -> Step:
        """Read one token per hypothesis and return the logits of the next."""
        step = self.decode_chunk(tokens.unsqueeze(2), state)
        return step._replace(logits=step.logits.squeeze(2), weights=step.weights.squeeze(2))

    def forward(self, grid: Grid, tokens: Int[Tensor, "batch beam word"]) -> Step:
        """Run known captions (teacher forcing): logits after every prefix, all words at once under a causal mask."""
        return self.decode_chunk(tokens, expand_beams(self.start(grid), tokens.shape[1]))

    def decode_chunk(self, tokens: Int[Tensor, "batch beam word"], state: State) -> Step:
        """Read any number of tokens after a state: `step` passes one, `forward` all."""
        hidden = self.embed.embedding_dim
        seen = state.carry[0].shape[-2]
        x = self.embed(tokens) * hidden**0.5
        x = x + sinusoidal_positions(seen, tokens.shape[2], hidden, tokens.device).to(x.dtype)
        x, carry = self.dropout(x), []
        for i, block in enumerate(self.blocks):
            x, weights, past = block(x, state.carry[2 * i : 2 * i + 2], state.memory[2 * i : 2 * i + 2])
            carry += past
        return Step(self.output_proj(self.norm(x)), weights, state._replace(carry=tuple(carry)))
