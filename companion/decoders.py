"""A grid and the words so far in, the next word and where it looked out. Explained in chapter 10.

`start(grid)` gives a State with one hypothesis per picture, `step(tokens, state)` moves every hypothesis on by a word,
`forward(grid, tokens)` runs known captions through at once (teacher forcing). The axis `beam` holds what shares a
picture: the hypotheses of a beam search, or the five captions of a photograph in training. Keys are made once for all.
"""

from typing import NamedTuple, cast

import torch
from einops import rearrange, reduce
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from companion import mechanisms
from companion.attention import MultiHeadAttention
from companion.encoders import Grid
from companion.mechanisms import AdaptiveAttention, CoverageAttention


class State(NamedTuple):
    """What a decoder knows between two words. Nothing else is remembered anywhere."""

    memory: tuple[Tensor, ...]  # of the picture: leading axis batch
    carry: tuple[Tensor, ...]  # of the words so far: leading axes batch, beam

    def reorder(self, parents: Int[Tensor, "batch beam"]) -> "State":
        """The state in which hypothesis i continues the old hypothesis `parents[:, i]`; the width may change."""
        rows = torch.arange(len(parents), device=parents.device)[:, None]
        return self._replace(carry=tuple(x[rows, parents] for x in self.carry))

    def keep(self, pictures: Int[Tensor, "kept"]) -> "State":
        """The state of some of the pictures."""
        return State(tuple(x[pictures] for x in self.memory), tuple(x[pictures] for x in self.carry))


class Step(NamedTuple):
    """The answer to a word: what may come next, and where the model looked. `forward` adds an axis `word`."""

    logits: Float[Tensor, "batch beam *word vocab"]
    weights: Float[Tensor, "batch beam *word place"]
    state: State


def widen(state: State, beams: int) -> State:
    """A one-hypothesis state, copied to `beams` hypotheses."""
    pictures = len(state.carry[0])
    return state.reorder(torch.zeros(pictures, beams, dtype=torch.long, device=state.carry[0].device))


def adapter(channels: int, hidden: int, dropout: float) -> nn.Sequential:
    """From the encoder's channels to the decoder's width, so that all widths inside are `hidden`."""
    return nn.Sequential(nn.LayerNorm(channels), nn.Linear(channels, hidden), nn.ReLU(), nn.Dropout(dropout / 2))


def tied(embed: nn.Embedding) -> nn.Linear:
    """A layer from hidden to vocab that shares its matrix with the embedding (Press and Wolf 2017, section 3)."""
    nn.init.normal_(embed.weight, std=embed.embedding_dim**-0.5)  # logits of variance one
    words = nn.Linear(embed.embedding_dim, embed.num_embeddings)
    words.weight = embed.weight
    return words


class LSTMDecoder(nn.Module):
    """The decoder of Show, Attend and Tell (Xu et al. 2015, section 3.1.2), with any attention.

    With E y the embedded last word times a learnt scale, h the hidden state before it is read, z the context:

        query = h + W_a E y                             the paper's query is h, which has not read the last word yet
        z' = sigmoid(W h + b) * z                       the gate (section 4.2.1); here one value per channel
        h, c = LSTM([E y, z'], h, c)                    equations 1 to 3
        logits = E tanh(E y + L_h h + L_z z') + b       the deep output (equation 7), its last matrix shared with E

    Adaptive attention gets c beside the query, for its sentinel. Lu et al. (2017) attend after the LSTM has read the
    word, with its new h and c; here, as for the other mechanisms, before. Coverage gets its own earlier weights, which
    the carry holds for it.
    """

    def __init__(self, vocab: int, channels: int, hidden: int = 512, attention: str = "additive", dropout: float = 0.5):
        super().__init__()
        self.adapt = adapter(channels, hidden, dropout)
        self.attention = mechanisms.build(attention, hidden, hidden, hidden // 2)
        self.ask = nn.Linear(hidden, hidden, bias=False)
        self.gate = nn.Linear(hidden, hidden)
        self.first = nn.Linear(hidden, 2 * hidden)
        self.embed = nn.Embedding(vocab, hidden)
        # How loud a word is beside what attention brings. Large from the start, it would drown, in the matrix that both
        # share, what the output has to learn: scenes then take three times as many steps.
        self.scale = nn.Parameter(torch.ones(()))
        self.cell = nn.LSTMCell(2 * hidden, hidden)
        self.from_hidden = nn.Linear(hidden, hidden)
        self.from_context = nn.Linear(hidden, hidden, bias=False)
        self.dropout = nn.Dropout(dropout)
        self.words = tied(self.embed)

    def start(self, grid: Grid) -> State:
        """Prepared keys and values in the memory; in the carry, hidden and cell state made from the mean feature."""
        values = self.adapt(grid.features)
        carry = torch.tanh(self.first(values.mean(1, keepdim=True))).chunk(2, dim=-1)
        if isinstance(self.attention, CoverageAttention):  # nobody has looked anywhere yet
            carry = (*carry, values.new_zeros(len(values), 1, values.shape[1], 2))
        return State(self.attention.prepare(values, values), carry)

    def look_up(self, tokens: Int[Tensor, "batch beam *word"]) -> Float[Tensor, "batch beam *word hidden"]:
        """Embedded words, times a learnt scale."""
        return self.dropout(self.embed(tokens) * self.scale)

    def advance(self, embedded: Float[Tensor, "batch beam hidden"], state: State) -> tuple[Tensor, Tensor, State]:
        """One word: what the deep output layer needs, the weights, the next state."""
        hidden, cell, *looked = state.carry
        own = {"memory": cell} if isinstance(self.attention, AdaptiveAttention) else {}
        if looked:
            own["looked"] = looked[0]
        context, weights = self.attention.attend(hidden + self.ask(embedded), *state.memory, **own)
        if weights.ndim == 4:
            weights = reduce(weights, "batch head beam place -> batch beam place", "mean")
        if looked:  # just now, and so far
            looked = [torch.stack([weights, looked[0][..., 1] + weights], dim=-1)]
        context = torch.sigmoid(self.gate(hidden)) * context
        flat = [rearrange(x, "batch beam hidden -> (batch beam) hidden") for x in (embedded, context, hidden, cell)]
        hidden, cell = (x.view_as(hidden) for x in self.cell(torch.cat(flat[:2], dim=-1), (flat[2], flat[3])))
        output = embedded + self.from_hidden(hidden) + self.from_context(context)
        return output, weights, state._replace(carry=(hidden, cell, *looked))

    def read_out(self, output: Float[Tensor, "batch beam *word hidden"]) -> Float[Tensor, "batch beam *word vocab"]:
        """Logits over the vocabulary."""
        return self.words(self.dropout(torch.tanh(output)))

    def step(self, tokens: Int[Tensor, "batch beam"], state: State) -> Step:
        """The next word's logits, after `tokens`."""
        output, weights, state = self.advance(self.look_up(tokens), state)
        return Step(self.read_out(output), weights, state)

    def forward(self, grid: Grid, tokens: Int[Tensor, "batch beam word"]) -> Step:
        """Teacher forcing: the logits after every prefix of `tokens`. The vocabulary is multiplied once, at the end."""
        state = widen(self.start(grid), tokens.shape[1])
        outputs, weights = [], []
        for embedded in self.look_up(tokens).unbind(2):
            output, looked, state = self.advance(embedded, state)
            outputs.append(output)
            weights.append(looked)
        return Step(self.read_out(torch.stack(outputs, 2)), torch.stack(weights, 2), state)


class TransformerBlock(nn.Module):
    """Words look at earlier words, then at the picture, then think; each part normalised before, with a residual."""

    def __init__(self, hidden: int, heads: int, dropout: float):
        super().__init__()
        self.among_words = MultiHeadAttention(hidden, hidden, hidden, heads)
        self.at_picture = MultiHeadAttention(hidden, hidden, hidden, heads)
        self.think = nn.Sequential(nn.Linear(hidden, 4 * hidden), nn.GELU(), nn.Linear(4 * hidden, hidden))
        self.norms = nn.ModuleList(nn.LayerNorm(hidden) for _ in range(3))
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, x: Float[Tensor, "batch beam word hidden"], past: tuple[Tensor, ...], picture: tuple[Tensor, ...]
    ) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
        """The words moved on, the weights over the picture, and the past with these words' keys and values added."""
        normed = self.norms[0](x)
        now = self.among_words.prepare(normed, normed)
        keys, values = (torch.cat([before, new], dim=-2) for before, new in zip(past, now, strict=True))
        seen = causal(x.shape[2], keys.shape[-2], x.device)
        x = x + self.dropout(self.among_words.fused(normed, keys, values, seen))
        query = rearrange(self.norms[1](x), "batch beam word hidden -> batch (beam word) hidden")
        context, weights = self.at_picture.attend(query, *picture)
        x = x + self.dropout(context.view_as(x))
        weights = reduce(weights, "batch head (beam word) place -> batch beam word place", "mean", beam=x.shape[1])
        return x + self.dropout(self.think(self.norms[2](x))), weights, (keys, values)


def causal(words: int, seen: int, device: torch.device) -> Bool[Tensor, "words seen"]:
    """The mask under which each of the last `words` words looks at itself and at what came before."""
    return torch.ones(words, seen, dtype=torch.bool, device=device).tril(seen - words)


def positions(first: int, count: int, hidden: int, device: torch.device) -> Float[Tensor, "count hidden"]:
    """Sines and cosines of the words' places in the caption (Vaswani et al. 2017, section 3.5)."""
    word = torch.arange(first, first + count, device=device)[:, None]
    angle = word / 10_000 ** (torch.arange(0, hidden, 2, device=device) / hidden)
    return torch.cat([angle.sin(), angle.cos()], dim=-1)


class TransformerDecoder(nn.Module):
    """The decoder of Vaswani et al. (2017, section 3.1), normalised before each part, with the same `start` and `step`.

    The weights that it returns are those of its last block, averaged over the heads. The carry holds, for each block,
    the keys and the values of the words so far, so that a step costs one word and not the whole caption again.
    """

    def __init__(
        self, vocab: int, channels: int, hidden: int = 512, blocks: int = 2, heads: int = 8, dropout: float = 0.3
    ):
        super().__init__()
        self.adapt = adapter(channels, hidden, dropout)
        self.embed = nn.Embedding(vocab, hidden)
        self.blocks = nn.ModuleList(TransformerBlock(hidden, heads, dropout) for _ in range(blocks))
        self.norm = nn.LayerNorm(hidden)
        self.dropout = nn.Dropout(dropout)
        self.words = tied(self.embed)

    def start(self, grid: Grid) -> State:
        """The picture's keys and values for each block in the memory; an empty past in the carry."""
        values = self.adapt(grid.features)
        attentions = [cast(TransformerBlock, block).at_picture for block in self.blocks]
        memory = [x for attention in attentions for x in attention.prepare(values, values)]
        batch, heads, _, channels = memory[0].shape
        past = values.new_zeros(batch, 1, heads, 0, channels)
        return State(tuple(memory), (past,) * len(memory))

    def step(self, tokens: Int[Tensor, "batch beam"], state: State) -> Step:
        """The next word's logits, after `tokens`."""
        logits, weights, state = self.extend(tokens.unsqueeze(2), state)
        return Step(logits.squeeze(2), weights.squeeze(2), state)

    def forward(self, grid: Grid, tokens: Int[Tensor, "batch beam word"]) -> Step:
        """Teacher forcing: the logits after every prefix of `tokens`, all words at once under a causal mask."""
        return self.extend(tokens, widen(self.start(grid), tokens.shape[1]))

    def extend(self, tokens: Int[Tensor, "batch beam word"], state: State) -> Step:
        """Any number of words on from a state: `step` gives one, `forward` all."""
        hidden = self.embed.embedding_dim
        said = state.carry[0].shape[-2]
        x = self.embed(tokens) * hidden**0.5 + positions(said, tokens.shape[2], hidden, tokens.device)
        x, carry = self.dropout(x), []
        for i, block in enumerate(self.blocks):
            x, weights, past = block(x, state.carry[2 * i : 2 * i + 2], state.memory[2 * i : 2 * i + 2])
            carry += past
        return Step(self.words(self.norm(x)), weights, state._replace(carry=tuple(carry)))
