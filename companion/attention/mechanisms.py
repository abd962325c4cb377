"""Attention functions, and the modules that apply them to learned projections.

Each function takes queries, keys and values and returns the context and the attention weights. Each module combines
learned projections, a score function and a way of pooling. Nothing here knows that the keys come from a picture.
Explained in the chapters on dot-product and additive attention; multi-head attention is in `multi_head`.
"""

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from companion.attention.pooling import (
    Attended,
    Mask,
    Scores,
    Values,
    at_least_single,
    attention_pooling,
    hard_attention,
)

Query = Float[Tensor, "*batch query channel"]
Keys = Float[Tensor, "*batch place channel"]


def dot_product(query: Query, keys: Keys, values: Values, mask: Mask = None) -> Attended:
    """Compute dot-product attention, `score(q, k) = q . k` (Luong et al. 2015, section 3.1, "dot").

    Returns the context (batch query value) and the weights (batch query place). `mask` is True where attention is
    allowed and broadcasts against batch query place.
    """
    return attention_pooling(dot_scores(query, keys), values, mask)


def scaled_dot_product(query: Query, keys: Keys, values: Values, mask: Mask = None) -> Attended:
    """Compute scaled dot-product attention, `score(q, k) = q . k / sqrt(channel)` (Vaswani et al. 2017, equation 1).

    The division keeps the variance of a score at one when the entries of q and k are independent, with mean zero and
    variance one. Here it divides the query, before the product: then the product, too, stays in the range of a small
    floating-point type. Arguments and results are those of `dot_product`.
    """
    return attention_pooling(scaled_dot_scores(query, keys), values, mask)


def dot_scores(query: Query, keys: Keys) -> Scores:
    """Return `q . k`, in single precision at least."""
    return at_least_single(query) @ at_least_single(keys).mT


def scaled_dot_scores(query: Query, keys: Keys) -> Scores:
    """Return `(q / sqrt(channel)) . k`, in single precision at least."""
    return dot_scores(at_least_single(query) / math.sqrt(query.shape[-1]), keys)


def additive(
    query: Float[Tensor, "*batch query a"],
    keys: Float[Tensor, "*batch place b"],
    values: Values,
    mask: Mask = None,
    *,
    query_weight: Float[Tensor, "hidden a"] | None = None,
    key_weight: Float[Tensor, "hidden b"] | None = None,
    vector: Float[Tensor, "hidden"] | None = None,
) -> Attended:
    """Compute additive attention, `score(q, k) = v . tanh(W_q q + W_k k)` (Bahdanau et al. 2015, appendix A.1.2).

    `W_q` is `query_weight`, `W_k` is `key_weight`, `v` is `vector`. An omitted matrix is the identity and an omitted
    vector is all ones, so keys that have been projected already are passed without their matrix. The other arguments
    and the results are those of `dot_product`.
    """
    query = query if query_weight is None else query @ query_weight.T
    keys = keys if key_weight is None else keys @ key_weight.T
    return attention_pooling(additive_scores(query, keys, vector), values, mask)


def additive_scores(
    query: Float[Tensor, "*batch query hidden"],
    keys: Float[Tensor, "*batch place hidden"],
    vector: Float[Tensor, "hidden"] | None,
    bias: Float[Tensor, "*batch query place hidden"] | None = None,
) -> Scores:
    """Return `v . tanh(q + k + bias)`, in single precision at least; `bias` broadcasts against queries and keys.

    Queries and keys are projected. The sum over batch, query, place and hidden is the largest tensor of a decoding
    step. It is allocated once and updated in place, because a second allocation would take longer than the arithmetic.
    """
    energy = query.unsqueeze(-2) + keys.unsqueeze(-3)
    if bias is not None:
        energy += bias
    energy = at_least_single(energy.tanh_())
    return energy.sum(-1) if vector is None else energy @ at_least_single(vector)


class Attention(nn.Module):
    """Base class of the mechanisms, built as `mechanism(query_dim, key_dim, hidden_dim)`.

    `prepare` runs once per picture, `attend` once per word. `forward(query, keys, values, mask)` runs both and returns
    the context and the weights as the functions above do. The context has as many channels as the values.

    A mechanism that needs more than the query lists it in `needs`, and the decoder then passes it to `attend` as a
    keyword argument of that name: `"cell_state"`, the LSTM's cell state (batch query value), or `"history"`, a summary
    of the weights of earlier words, which `init_history` creates and `update_history` extends.
    """

    needs: frozenset[str] = frozenset()

    def prepare(
        self, keys: Float[Tensor, "*batch place key"], values: Values
    ) -> tuple[Float[Tensor, "..."], Float[Tensor, "..."]]:
        """Return the keys and values in the form that `attend` expects; in this base class, unchanged."""
        return keys, values

    def attend(
        self,
        query: Float[Tensor, "*batch query a"],
        keys: Float[Tensor, "..."],
        values: Float[Tensor, "..."],
        mask: Mask = None,
        *args: Any,  # never passed: for a type checker, a subclass may then choose its keyword arguments
        **state: Any,
    ) -> Attended:
        """Return the context (batch query value) and the weights (batch query place) over prepared keys and values.

        A subclass takes the keyword arguments that its `needs` names, and no others. Raises NotImplementedError in this
        base class.
        """
        raise NotImplementedError("Attention is an abstract base class; choose one of attention.MECHANISMS")

    def forward(
        self, query: Float[Tensor, "*batch query a"], keys: Float[Tensor, "*batch place key"], values: Values,
        mask: Mask = None,
    ) -> Attended:  # fmt: skip
        """Prepare the keys and values, then attend to them."""
        return self.attend(query, *self.prepare(keys, values), mask)

    def init_history(self, keys: Float[Tensor, "*batch place key"]) -> Float[Tensor, "*batch 1 place feature"]:
        """Return the history before the first word. Raises NotImplementedError in mechanisms that do not need one."""
        raise NotImplementedError(f"{type(self).__name__} keeps no history")

    def update_history(
        self, history: Float[Tensor, "*batch query place feature"], weights: Scores
    ) -> Float[Tensor, "*batch query place feature"]:
        """Return the history after a word for which attention had these weights."""
        raise NotImplementedError(f"{type(self).__name__} keeps no history")


class MeanPooling(Attention):
    """No attention: every place has the same weight. The baseline that the mechanisms have to beat.

    The constructor takes the same sizes as the other mechanisms and ignores them.
    """

    def __init__(self, query_dim: int, key_dim: int, hidden_dim: int):
        super().__init__()

    def attend(
        self, query: Float[Tensor, "*batch query a"], keys: Float[Tensor, "*batch place b"], values: Values,
        mask: Mask = None,
    ) -> Attended:  # fmt: skip
        """Return the mean of the unmasked values, and uniform weights over them, whatever the query."""
        scores = query.new_zeros(*query.shape[:-1], values.shape[-2])
        return attention_pooling(scores, values, mask)


class ProjectedAttention(Attention):
    """Soft attention with learned query and key projections; a subclass supplies the score function.

    `context = softmax(scores(W_q q, W_k k)) @ values`. The values are not projected.

    Args:
        query_dim: channels of the query.
        key_dim: channels of the keys.
        hidden_dim: channels of the space in which projected queries and keys are compared.
    """

    def __init__(self, query_dim: int, key_dim: int, hidden_dim: int):
        super().__init__()
        self.query_proj = nn.Linear(query_dim, hidden_dim, bias=False)
        self.key_proj = nn.Linear(key_dim, hidden_dim, bias=False)

    def scores(self, query: Float[Tensor, "*batch query hidden"], keys: Float[Tensor, "*batch place hidden"]) -> Scores:
        """Return the score of every projected query for every projected key. Abstract in this base class."""
        raise NotImplementedError("ProjectedAttention has no score function; use one of its subclasses")

    def prepare(
        self, keys: Float[Tensor, "*batch place key"], values: Values
    ) -> tuple[Float[Tensor, "*batch place hidden"], Values]:
        """Return the projected keys (batch place hidden) and the values unchanged."""
        return self.key_proj(keys), values

    def attend(
        self, query: Float[Tensor, "*batch query a"], keys: Float[Tensor, "*batch place hidden"], values: Values,
        mask: Mask = None,
    ) -> Attended:  # fmt: skip
        """Return the context (batch query value) and the weights (batch query place)."""
        return attention_pooling(self.scores(self.query_proj(query), keys), values, mask)


class DotProductAttention(ProjectedAttention):
    """`dot_product` of a projected query and projected keys: `score = (W_q q) . (W_k k)`."""

    def scores(self, query: Float[Tensor, "*batch query hidden"], keys: Float[Tensor, "*batch place hidden"]) -> Scores:
        """Return `q . k`."""
        return dot_scores(query, keys)


class ScaledDotProductAttention(ProjectedAttention):
    """`scaled_dot_product` of a projected query and projected keys: `score = (W_q q) . (W_k k) / sqrt(hidden)`."""

    def scores(self, query: Float[Tensor, "*batch query hidden"], keys: Float[Tensor, "*batch place hidden"]) -> Scores:
        """Return `(q / sqrt(hidden)) . k`."""
        return scaled_dot_scores(query, keys)


class AdditiveAttention(ProjectedAttention):
    """`additive` with learned `W_q`, `W_k` and `v`, as in Show, Attend and Tell (Xu et al. 2015, section 4.2).

    The entries of `v` start with standard deviation `1 / sqrt(hidden)`. Like the scale in scaled dot-product attention,
    this keeps the variance of the initial scores independent of the number of channels.
    """

    def __init__(self, query_dim: int, key_dim: int, hidden_dim: int):
        super().__init__(query_dim, key_dim, hidden_dim)
        self.score_vector = nn.Parameter(torch.randn(hidden_dim) / math.sqrt(hidden_dim))

    def scores(self, query: Float[Tensor, "*batch query hidden"], keys: Float[Tensor, "*batch place hidden"]) -> Scores:
        """Return `v . tanh(q + k)`."""
        return additive_scores(query, keys, self.score_vector)


class HardAttention(AdditiveAttention):
    """Additive scores with `hard_attention` (Xu et al. 2015, section 4.1).

    The place is sampled in training mode and is the argmax in eval mode. In eval mode the scores get no gradient: a
    small change of a score does not change the argmax.
    """

    def attend(
        self, query: Float[Tensor, "*batch query a"], keys: Float[Tensor, "*batch place hidden"], values: Values,
        mask: Mask = None,
    ) -> Attended:  # fmt: skip
        """Return the context (batch query value) and one-hot weights (batch query place)."""
        return hard_attention(self.scores(self.query_proj(query), keys), values, mask, sample=self.training)
