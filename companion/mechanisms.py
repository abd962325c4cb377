"""All mechanisms by name, and the two that know more than a query: adaptive and coverage. Explained in chapter 15."""

import torch
from torch import Tensor, nn

from companion import attention
from companion.attention import AdditiveAttention, Attention, additive_scores
from companion.averages import Mask, beside_sentinel, weighted_average


class AdaptiveAttention(AdditiveAttention):
    """Additive attention that may look away (Lu et al. 2017, "Knowing When to Look", equations 9 to 12).

    With q the query and m the memory of an LSTM, there is for each query a sentinel `s = sigmoid(W q + b) * tanh(m)`, a
    value like those of the places, and its score `v . tanh(W_q q + W_s s)` competes with theirs in one softmax.
    """

    def __init__(self, query_dim: int, key_dim: int, hidden_dim: int):
        super().__init__(query_dim, key_dim, hidden_dim)
        self.gate = nn.Linear(query_dim, key_dim)
        self.sentinel = nn.Linear(key_dim, hidden_dim, bias=False)

    def attend(
        self, query: Tensor, keys: Tensor, values: Tensor, mask: Mask = None, memory: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Context (batch query value) and weights (batch query place), which lack what the sentinel got.

        `memory` (batch query value) is the LSTM's; without one there is no sentinel.
        """
        if memory is None:
            return super().attend(query, keys, values, mask)
        sentinels, asked = torch.sigmoid(self.gate(query)) * torch.tanh(memory), self.query(query)
        rivals = torch.tanh(asked + self.sentinel(sentinels)) @ self.vector
        return beside_sentinel(additive_scores(asked, keys, self.vector), values, rivals, sentinels, mask)


class CoverageAttention(AdditiveAttention):
    """Additive attention that knows where it has looked: `score = v . tanh(W_q q + W_k k + W_l l)`.

    `l` is two numbers a place: its weight for the word before, which keeps "red circle" on one thing (Chorowski et al.
    2015, equation 9, without convolution), and the sum over all words so far, which leads on to the next (See et al.
    2017, equation 11).
    """

    def __init__(self, query_dim: int, key_dim: int, hidden_dim: int):
        super().__init__(query_dim, key_dim, hidden_dim)
        self.looked = nn.Linear(2, hidden_dim, bias=False)

    def attend(
        self, query: Tensor, keys: Tensor, values: Tensor, mask: Mask = None, looked: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Context (batch query value) and weights (batch query place). `looked` is "batch query place 2"."""
        if looked is None:
            return super().attend(query, keys, values, mask)
        scores = additive_scores(self.query(query), keys, self.vector, self.looked(looked))
        return weighted_average(scores, values, mask)


MECHANISMS: dict[str, type[Attention]] = {
    "mean": attention.MeanPooling,
    "dot": attention.DotProductAttention,
    "scaled_dot": attention.ScaledDotProductAttention,
    "additive": attention.AdditiveAttention,
    "multi_head": attention.MultiHeadAttention,
    "hard": attention.HardAttention,
    "adaptive": AdaptiveAttention,
    "coverage": CoverageAttention,
}


def build(name: str, query_dim: int, key_dim: int, hidden_dim: int) -> Attention:
    """A mechanism by name, one of `MECHANISMS`; ValueError that lists them for any other."""
    if name not in MECHANISMS:
        raise ValueError(f"there is no attention called {name!r}; choose from {', '.join(MECHANISMS)}")
    return MECHANISMS[name](query_dim, key_dim, hidden_dim)
