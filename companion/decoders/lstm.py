"""The LSTM decoder of Show, Attend and Tell, with any attention mechanism.

Explained in the chapter on the attention decoder.
"""

from typing import Any

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn

from companion.attention import MECHANISMS
from companion.attention import build as build_mechanism
from companion.decoders.base import InputProjection, Reading, State, Step, expand_beams, tied_output_proj
from companion.encoders import Grid


class LSTMDecoder(nn.Module):
    """The decoder of Show, Attend and Tell (Xu et al. 2015, section 3.1.2), with any attention mechanism.

    With E y the embedding of the previous word times a learned scale, h and c the hidden and cell state, and z the
    context vector:

        query = h + W_a E y                             the paper's query is h alone, which has not read y yet
        z' = sigmoid(W h + b) * z                       the gate (section 4.2.1); here one value per channel
        h, c = LSTM([E y, z'], h, c)                    equations 1 to 3
        logits = E tanh(E y + L_h h + L_z z') + b       the deep output layer (equation 7); its last matrix is tied to E

    A mechanism that needs the cell state or a history of its weights (`Attention.needs`) gets it as it is before the
    word is read. Lu et al. (2017) attend after the LSTM has read the word; here every mechanism attends before.

    Args:
        vocab: number of words.
        channels: channels of the encoder's grid.
        hidden: width of all layers inside.
        attention: a name in `attention.MECHANISMS`.
        dropout: on embeddings and on the deep output layer; half of it on the projected grid.
        positions: whether the values hold a positional encoding of their places.

    Raises:
        ValueError: an unknown mechanism, or one that needs something this decoder does not have.
    """

    mechanisms = MECHANISMS  # all that are registered
    default_attention = "additive"
    supports_alignment = True
    memories = 1  # whose contexts, each of width `hidden`, the LSTM reads

    def __init__(
        self,
        vocab: int,
        channels: int,
        hidden: int = 512,
        *,
        attention: str = "additive",
        dropout: float = 0.5,
        positions: bool = False,
    ):
        super().__init__()
        self.input_proj = InputProjection(channels, hidden, dropout, positions=positions)
        self.attention = build_mechanism(attention, hidden, hidden, hidden // 2)
        if unknown := self.attention.needs - {"cell_state", "history"}:
            raise ValueError(f"the attention {attention!r} needs {', '.join(sorted(unknown))}; an LSTM has none")
        self.word_to_query = nn.Linear(hidden, hidden, bias=False)
        self.gate = nn.Linear(hidden, hidden)
        self.init_state = nn.Linear(self.memories * hidden, 2 * hidden)
        self.embed = nn.Embedding(vocab, hidden)
        # The scale of the word relative to the context. The embedding matrix is also the output matrix, and training on
        # scenes takes three times as many steps if the scale is large from the start.
        self.embed_scale = nn.Parameter(torch.ones(()))
        self.cell = nn.LSTMCell((1 + self.memories) * hidden, hidden)
        self.from_hidden = nn.Linear(hidden, hidden)
        self.from_context = nn.Linear(self.memories * hidden, hidden, bias=False)
        self.dropout = nn.Dropout(dropout)
        self.output_proj = tied_output_proj(self.embed)

    def start(self, grid: Grid) -> State:
        """Return the state before the first word: prepared keys and values, and h and c from the mean feature."""
        values = self.input_proj(grid)
        return self.first_state(values, values.mean(1, keepdim=True))

    def first_state(
        self, values: Float[Tensor, "batch place hidden"], summary: Float[Tensor, "batch 1 channel"]
    ) -> State:
        """Return the state whose memory is the grid's values, and whose h and c are made of a summary."""
        carry = torch.tanh(self.init_state(summary)).chunk(2, dim=-1)
        if "history" in self.attention.needs:
            carry = (*carry, self.attention.init_history(values))
        return State(self.attention.prepare(values, values), carry)

    def embed_tokens(self, tokens: Int[Tensor, "batch beam *word"]) -> Float[Tensor, "batch beam *word hidden"]:
        """Return the scaled embeddings of the tokens."""
        return self.dropout(self.embed(tokens) * self.embed_scale)

    def attend(self, query: Float[Tensor, "batch beam hidden"], state: State) -> Reading:
        """Return the gated context and the attention weights for a query."""
        hidden, cell, *history = state.carry  # a history only where the mechanism needs one
        available = {"cell_state": cell, "history": history[0] if history else None}
        needed: dict[str, Any] = {name: available[name] for name in self.attention.needs}
        context, weights = self.attention.attend(query, *state.memory[:2], **needed)
        return Reading(torch.sigmoid(self.gate(hidden)) * context, weights)

    def attend_and_update(
        self, embedded: Float[Tensor, "batch beam hidden"], state: State
    ) -> tuple[Float[Tensor, "batch beam hidden"], Reading, State]:
        """Read one word: return the input of the deep output layer, what was attended to and the next state."""
        hidden, cell, *history = state.carry
        reading = self.attend(hidden + self.word_to_query(embedded), state)
        history = [self.attention.update_history(past, reading.weights) for past in history]
        flat = [
            rearrange(x, "batch beam channel -> (batch beam) channel")
            for x in (embedded, reading.context, hidden, cell)
        ]
        hidden, cell = (x.view_as(hidden) for x in self.cell(torch.cat(flat[:2], dim=-1), (flat[2], flat[3])))
        output = embedded + self.from_hidden(hidden) + self.from_context(reading.context)
        return output, reading, state._replace(carry=(hidden, cell, *history))

    def project_to_vocab(
        self, output: Float[Tensor, "batch beam *word hidden"]
    ) -> Float[Tensor, "batch beam *word vocab"]:
        """Return logits over the vocabulary (the deep output layer)."""
        return self.output_proj(self.dropout(torch.tanh(output)))

    def next_logits(
        self, output: Float[Tensor, "batch beam *word hidden"], state: State
    ) -> Float[Tensor, "batch beam *word vocab"]:
        """Return the logits of the next word; in a subclass, what the memory of `state` adds to them, too."""
        return self.project_to_vocab(output)

    def context_logits(self, context: Float[Tensor, "word hidden"]) -> Float[Tensor, "word vocab"]:
        """Return the logits that a context alone gives, without a word or a hidden state."""
        return self.project_to_vocab(self.from_context(context.unsqueeze(0)))[0]

    def step(self, tokens: Int[Tensor, "batch beam"], state: State) -> Step:
        """Read one token per hypothesis and return the logits of the next."""
        output, reading, state = self.attend_and_update(self.embed_tokens(tokens), state)
        return Step(self.next_logits(output, state), reading.weights, state, reading.tag_weights)

    def forward(self, grid: Grid, tokens: Int[Tensor, "batch beam word"]) -> Step:
        """Run known captions (teacher forcing): logits after every prefix; the output layer runs once, at the end."""
        state = expand_beams(self.start(grid), tokens.shape[1])
        outputs, weights, tag_weights = [], [], []
        for embedded in self.embed_tokens(tokens).unbind(2):
            output, reading, state = self.attend_and_update(embedded, state)
            outputs.append(output)
            weights.append(reading.weights)
            tag_weights += [] if reading.tag_weights is None else [reading.tag_weights]
        logits = self.next_logits(torch.stack(outputs, 2), state)
        return Step(logits, torch.stack(weights, 2), state, torch.stack(tag_weights, 2) if tag_weights else None)
