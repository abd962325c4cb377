"""A query, keys and values in; a context and the weights that made it out. Chapters 2 to 6 and 15 derive every line.

Functions first, then modules that learn projections. None of them knows that its keys came from a picture.
"""

import math

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from companion.averages import Attended, Mask, Scores, Values, one_place, weighted_average
from companion.averages import masked_softmax as masked_softmax  # the book calls it by this module's name

Query = Float[Tensor, "*batch query channel"]
Keys = Float[Tensor, "*batch place channel"]


def dot_product(query: Query, keys: Keys, values: Values, mask: Mask = None) -> Attended:
    """Dot-product attention: `score(q, k) = q . k` (Luong et al. 2015, section 3.1, "dot").

    Returns the context (batch query value) and the weights (batch query place). `mask` is True where one may look.
    """
    return weighted_average(query @ keys.mT, values, mask)


def scaled_dot_product(query: Query, keys: Keys, values: Values, mask: Mask = None) -> Attended:
    """Scaled dot-product attention: `score(q, k) = q . k / sqrt(channel)` (Vaswani et al. 2017, equation 1).

    The division keeps the variance of a score at one when the entries of q and k have variance one.
    """
    return weighted_average(query @ keys.mT / math.sqrt(query.shape[-1]), values, mask)


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
    """Additive attention: `score(q, k) = v . tanh(W_q q + W_k k)` (Bahdanau et al. 2015, appendix A.1.2).

    `W_q` is `query_weight`, `W_k` is `key_weight`, `v` is `vector`. Left out, a matrix is the identity and the vector
    is all ones; so keys that were projected before come in without their matrix.
    """
    query = query if query_weight is None else query @ query_weight.T
    keys = keys if key_weight is None else keys @ key_weight.T
    return weighted_average(additive_scores(query, keys, vector), values, mask)


def additive_scores(
    query: Float[Tensor, "*batch query hidden"],
    keys: Float[Tensor, "*batch place hidden"],
    vector: Float[Tensor, "hidden"] | None,
    also: Float[Tensor, "*batch query place hidden"] | None = None,
) -> Scores:
    """`v . tanh(q + k + also)` of queries and keys that were projected before; `also` broadcasts against both.

    The sum over batch, query, place and hidden is the largest array of a decoder's step, so it is made once and changed
    in place: a second one costs more time than its arithmetic.
    """
    energy = query.unsqueeze(-2) + keys.unsqueeze(-3)
    if also is not None:
        energy += also
    energy.tanh_()
    return energy.sum(-1) if vector is None else energy @ vector


class Attention(nn.Module):
    """What the modules share. `prepare` is the work done once per picture, `attend` the work done once per word.

    `forward(query, keys, values, mask)` does both and returns the context and the weights, as the functions do.
    """

    def prepare(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Keys (batch place channel) and values (batch place value) as `attend` wants them."""
        return keys, values

    def attend(self, query: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Context (batch query value) and weights (batch query place) of queries over prepared keys and values."""
        raise TypeError("Attention is what the mechanisms share; choose one of them")

    def forward(self, query: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Prepare, then attend."""
        return self.attend(query, *self.prepare(keys, values), mask)


class MeanPooling(Attention):
    """No attention: every place weighs the same. The baseline that the mechanisms have to beat.

    The sizes are taken, like by the others, and not needed.
    """

    def __init__(self, query_dim: int, key_dim: int, hidden_dim: int):
        super().__init__()

    def attend(self, query: Query, keys: Tensor, values: Values, mask: Mask = None) -> Attended:
        """The mean of the values that the mask leaves, whatever the query."""
        scores = query.new_zeros(*query.shape[:-1], values.shape[-2])
        return weighted_average(scores, values, mask)


class DotProductAttention(Attention):
    """`dot_product` between a projected query and projected keys: `score = (W_q q) . (W_k k)`.

    `query_dim` and `key_dim` are the channels of what comes in, `hidden_dim` those that are compared. Values pass
    unchanged.
    """

    function = staticmethod(dot_product)

    def __init__(self, query_dim: int, key_dim: int, hidden_dim: int):
        super().__init__()
        self.query = nn.Linear(query_dim, hidden_dim, bias=False)
        self.key = nn.Linear(key_dim, hidden_dim, bias=False)

    def prepare(self, keys: Keys, values: Values) -> tuple[Tensor, Tensor]:
        """Projected keys (batch place hidden); the values as they are."""
        return self.key(keys), values

    def attend(self, query: Tensor, keys: Tensor, values: Tensor, mask: Mask = None) -> tuple[Tensor, Tensor]:
        """Context (batch query value) and weights (batch query place)."""
        return self.function(self.query(query), keys, values, mask)


class ScaledDotProductAttention(DotProductAttention):
    """`scaled_dot_product` between a projected query and projected keys."""

    function = staticmethod(scaled_dot_product)


class AdditiveAttention(DotProductAttention):
    """`additive` with learnt `W_q`, `W_k`, `v`, as in Show, Attend and Tell (Xu et al. 2015, section 4.2)."""

    def __init__(self, query_dim: int, key_dim: int, hidden_dim: int):
        super().__init__(query_dim, key_dim, hidden_dim)
        self.vector = nn.Parameter(torch.randn(hidden_dim) / math.sqrt(hidden_dim))

    def attend(self, query: Tensor, keys: Tensor, values: Tensor, mask: Mask = None) -> tuple[Tensor, Tensor]:
        """Context (batch query value) and weights (batch query place)."""
        return additive(self.query(query), keys, values, mask, vector=self.vector)


class HardAttention(AdditiveAttention):
    """`one_place` by additive scores: drawn while training, the likeliest in eval mode (Xu et al. 2015, section 4.1).

    In eval mode the scores get no gradient, since moving them a little moves nothing.
    """

    def attend(self, query: Tensor, keys: Tensor, values: Tensor, mask: Mask = None) -> tuple[Tensor, Tensor]:
        """Context (batch query value) and weights (batch query place), which are 1 at one place."""
        scores = additive_scores(self.query(query), keys, self.vector)
        return one_place(scores, values, mask, draw=self.training)


def for_every_head(mask: Mask) -> Mask:
    """A mask over batch query place with an axis of one head before the queries; a mask without batches needs none."""
    return mask if mask is None or mask.ndim < 3 else mask.unsqueeze(-3)


class MultiHeadAttention(Attention):
    """Several scaled dot-product attentions side by side, joined by a projection (Vaswani et al. 2017, section 3.2.2).

    `head_i = Attention(W_q,i q, W_k,i k, W_v,i v)`, `context = W_o [head_1, ..., head_h] + b`. Weights come per head:
    batch head query place. `hidden_dim` is shared among the heads; ValueError if it does not divide. A mask has no axis
    of heads: it broadcasts against batch query place, as everywhere, and holds for every head.
    """

    def __init__(self, query_dim: int, key_dim: int, hidden_dim: int, heads: int = 4):
        super().__init__()
        if hidden_dim % heads:
            raise ValueError(f"{hidden_dim} hidden units do not divide among {heads} heads; take a multiple")
        self.heads = heads
        self.query = nn.Linear(query_dim, hidden_dim)
        self.key = nn.Linear(key_dim, hidden_dim)
        self.value = nn.Linear(key_dim, hidden_dim)
        self.out = nn.Linear(hidden_dim, key_dim)

    def split(self, x: Float[Tensor, "... place hidden"]) -> Float[Tensor, "... head place channel"]:
        """Cut the hidden axis into heads."""
        return rearrange(x, "... place (head channel) -> ... head place channel", head=self.heads)

    def prepare(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of every head: batch head place channel."""
        return self.split(self.key(keys)), self.split(self.value(values))

    def attend(self, query: Tensor, keys: Tensor, values: Tensor, mask: Mask = None) -> tuple[Tensor, Tensor]:
        """Context (batch query key_dim) and weights (batch head query place)."""
        heads, weights = scaled_dot_product(self.split(self.query(query)), keys, values, for_every_head(mask))
        return self.join(heads), weights

    def fused(self, query: Tensor, keys: Tensor, values: Tensor, mask: Mask = None) -> Tensor:
        """The context alone, by PyTorch's fused kernel: for when nobody will look at the weights."""
        query = self.split(self.query(query))
        return self.join(nn.functional.scaled_dot_product_attention(query, keys, values, for_every_head(mask)))

    def join(self, heads: Float[Tensor, "... head query channel"]) -> Float[Tensor, "... query key_dim"]:
        """Concatenate the heads and project."""
        return self.out(rearrange(heads, "... head query channel -> ... query (head channel)"))
