"""Self-attention with less memory, or less arithmetic, than the table of all scores takes.

`blockwise` computes scaled dot-product attention and never stores the table. `windowed` and `linear` compute something
else for less: places attend to their neighbours alone, or by another score. All three return only the context: there
is no table of weights to return. Explained in the chapter on what attention costs.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from companion.attention.mechanisms import Keys, Query, scaled_dot_scores
from companion.attention.pooling import Values, at_least_single, masked_softmax

Context = Float[Tensor, "*batch query value"]


def blockwise(query: Query, keys: Keys, values: Values, block: int = 64) -> Context:
    """Return the context of `scaled_dot_product`, from the scores of `block` places at a time.

    For each query, a running maximum m, total t and weighted sum s stand for the places so far. With the scores e of
    the next block and the new maximum M, `t = exp(m - M) t + sum exp(e - M)`, and likewise s with the values; at the
    end the context is `s / t` (Rabe and Staats 2021, sections 2 and 3).

    Raises:
        ValueError: a block has less than one place.
    """
    if block < 1:
        raise ValueError(f"a block has at least one place, not {block}")
    maximum = query.new_full((*query.shape[:-1], 1), -math.inf, dtype=at_least_single(query).dtype)
    total, summed = torch.zeros_like(maximum), torch.zeros_like(maximum)
    for some_keys, some_values in zip(keys.split(block, -2), values.split(block, -2), strict=True):
        scores = scaled_dot_scores(query, some_keys)
        highest = torch.maximum(maximum, scores.amax(-1, keepdim=True))
        rescale, exponentials = (maximum - highest).exp(), (scores - highest).exp()
        total = rescale * total + exponentials.sum(-1, keepdim=True)
        summed = rescale * summed + exponentials @ at_least_single(some_values)
        maximum = highest
    return (summed / total).to(values.dtype)


def windowed(
    query: Float[Tensor, "*batch place channel"], keys: Keys, values: Values, radius: int
) -> Float[Tensor, "*batch place value"]:
    """Return the context of scaled dot-product attention in which each place attends to those at most `radius` away.

    This is the sliding window of Beltagy et al. (2020, section 3.1). The keys of each window are a view of the keys,
    so without a batch axis nothing is copied; beyond the ends there are no places.

    Raises:
        ValueError: the radius is negative.
    """
    if radius < 0:
        raise ValueError(f"a window reaches 0 places or more to each side, not {radius}")
    near_keys, near_values = (_windows(x, radius) for x in (keys, values))  # batch place channel window
    inside = _windows(torch.ones_like(keys[..., :1]), radius).bool()  # batch place 1 window
    scores = at_least_single(query / math.sqrt(query.shape[-1])).unsqueeze(-2) @ at_least_single(near_keys)
    weights = masked_softmax(scores, inside)
    return (weights @ at_least_single(near_values).mT).squeeze(-2).to(values.dtype)


def _windows(x: Float[Tensor, "*batch place channel"], radius: int) -> Float[Tensor, "*batch place channel window"]:
    """Return, for each place, the vectors of the places around it, with zeros beyond the ends."""
    return F.pad(x, (0, 0, radius, radius)).unfold(-2, 2 * radius + 1, 1)


def linear(query: Query, keys: Keys, values: Values) -> Context:
    """Compute linear attention: the weights are in proportion to `f(q) . f(k)`, with `f(x) = elu(x) + 1`.

    The sums of `f(k) v` and of `f(k)` over the places are the same for all queries, so they are computed once, and no
    query meets a single key (Katharopoulos et al. 2020, section 3.2). Both results have no axis of places.
    """
    query, keys = (F.elu(at_least_single(x)) + 1 for x in (query, keys))
    summed = keys.mT @ at_least_single(values)  # batch channel value
    total = keys.sum(-2, keepdim=True).mT  # batch channel 1
    return ((query @ summed) / (query @ total)).to(values.dtype)
