"""Mechanisms that need more than the query: adaptive attention (the cell state) and coverage attention (the history).

Explained in the chapter that compares the mechanisms.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from companion.attention.mechanisms import AdditiveAttention, additive_scores
from companion.attention.pooling import (
    Attended,
    Mask,
    Scores,
    Values,
    at_least_single,
    attention_pooling,
    sentinel_attention,
)


class AdaptiveAttention(AdditiveAttention):
    """Additive attention with a visual sentinel (Lu et al. 2017, "Knowing When to Look", equations 9 to 12).

    The sentinel lets a word attend to what the LSTM remembers instead of the picture. With the query q and the cell
    state m it is `s = sigmoid(W q + b) * tanh(m)`, a value like those of the places. Its score
    `v . tanh(W_q q + W_s s)` enters the same softmax as theirs.
    """

    needs = frozenset({"cell_state"})

    def __init__(self, query_dim: int, key_dim: int, hidden_dim: int):
        super().__init__(query_dim, key_dim, hidden_dim)
        self.gate = nn.Linear(query_dim, key_dim)
        self.sentinel_proj = nn.Linear(key_dim, hidden_dim, bias=False)

    def attend(
        self, query: Float[Tensor, "*batch query a"], keys: Float[Tensor, "*batch place hidden"], values: Values,
        mask: Mask = None, *, cell_state: Float[Tensor, "*batch query value"] | None = None,
    ) -> Attended:  # fmt: skip
        """Return the context and the weights of the places, which sum to one minus the sentinel's weight.

        Without a `cell_state` there is no sentinel, and this is additive attention.
        """
        if cell_state is None:
            return super().attend(query, keys, values, mask)
        sentinels = torch.sigmoid(self.gate(query)) * torch.tanh(cell_state)
        projected = self.query_proj(query)
        energy = torch.tanh(projected + self.sentinel_proj(sentinels))
        sentinel_scores = at_least_single(energy) @ at_least_single(self.score_vector)
        return sentinel_attention(self.scores(projected, keys), values, sentinel_scores, sentinels, mask)


class CoverageAttention(AdditiveAttention):
    """Additive attention that reads its own earlier weights: `score = v . tanh(W_q q + W_k k + W_c c)`.

    The coverage c has two features per place: its weight for the previous word, with which attention can stay on one
    object for "red circle" (Chorowski et al. 2015, equation 9, without the convolution), and the sum of its weights for
    all words so far, with which it can move on to an object that has had none (See et al. 2017, equation 11).
    """

    needs = frozenset({"history"})

    def __init__(self, query_dim: int, key_dim: int, hidden_dim: int):
        super().__init__(query_dim, key_dim, hidden_dim)
        self.coverage_proj = nn.Linear(2, hidden_dim, bias=False)

    def init_history(self, keys: Float[Tensor, "*batch place key"]) -> Float[Tensor, "*batch 1 place 2"]:
        """Return zeros: no place has had any weight yet."""
        return keys.new_zeros(*keys.shape[:-2], 1, keys.shape[-2], 2)

    def update_history(
        self, history: Float[Tensor, "*batch query place 2"], weights: Scores
    ) -> Float[Tensor, "*batch query place 2"]:
        """Return the latest weights, and the sum of all weights so far."""
        return torch.stack([weights, history[..., 1] + weights], dim=-1)

    def attend(
        self, query: Float[Tensor, "*batch query a"], keys: Float[Tensor, "*batch place hidden"], values: Values,
        mask: Mask = None, *, history: Float[Tensor, "*batch query place 2"] | None = None,
    ) -> Attended:  # fmt: skip
        """Return the context (batch query value) and the weights (batch query place).

        Without a `history` this is additive attention.
        """
        if history is None:
            return super().attend(query, keys, values, mask)
        scores = additive_scores(self.query_proj(query), keys, self.score_vector, self.coverage_proj(history))
        return attention_pooling(scores, values, mask)
