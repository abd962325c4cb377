"""Attention pooling: turn scores into attention weights, and average the values by them into a context vector.

Three ways to pool values by their scores: a softmax over all places (soft attention), a single place (hard attention),
and a softmax over the places and a sentinel (adaptive attention). Explained in the chapters on attention pooling, on
masks, and on the comparison of mechanisms.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

Values = Float[Tensor, "*batch place value"]
Mask = Bool[Tensor, "..."] | None
Scores = Float[Tensor, "*batch query place"]
Attended = tuple[Float[Tensor, "*batch query value"], Scores]


def at_least_single(x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """Return a tensor in single precision if it is in half precision, and unchanged otherwise.

    Sums of products leave the range of float16 (65504) and lose digits in bfloat16, so scores and contexts are computed
    in single precision, as PyTorch's fused kernels do.
    """
    return x.to(torch.promote_types(x.dtype, torch.float32))


def masked_softmax(scores: Float[Tensor, "... place"], mask: Mask = None) -> Float[Tensor, "... place"]:
    """Return softmax weights that are exactly 0 where `mask` is False and sum to one over the remaining places.

    If every place of a row is masked, all its weights are 0, and so is its context.

    Args:
        scores: any real numbers.
        mask: boolean, True where attention is allowed; broadcasts against the scores.

    Raises:
        ValueError: the mask is not boolean.
    """
    if mask is None:
        return scores.softmax(-1)
    if mask.dtype != torch.bool:
        raise ValueError(f"a mask must be boolean, True where attention is allowed, not {mask.dtype}: try mask.bool()")
    lowest = torch.finfo(scores.dtype).min  # finite: minus infinity would make a fully masked row NaN
    return scores.masked_fill(~mask, lowest).softmax(-1).masked_fill(~mask, 0.0)


def attention_pooling(scores: Scores, values: Values, mask: Mask = None) -> Attended:
    """Return the context `softmax(scores) @ values` and the weights `softmax(scores)`.

    This is the step that all soft mechanisms share; they differ in the score function alone. Both results have the
    dtype of the values.
    """
    return weighted_sum(masked_softmax(at_least_single(scores), mask), values)


def weighted_sum(weights: Scores, values: Values) -> Attended:
    """Return `weights @ values`, and the weights, both with the dtype of the values."""
    return (weights @ at_least_single(values)).to(values.dtype), weights.to(values.dtype)


def hard_attention(scores: Scores, values: Values, mask: Mask = None, *, sample: bool = False) -> Attended:
    """Return the value of a single place, and weights that are 1 there and 0 elsewhere (Xu et al. 2015, section 4.1).

    Without `sample` the place is the argmax. With `sample` it is drawn from `p = softmax(scores)`: for independent
    exponential variables E, the argmax of `p / E` has the distribution p (the Gumbel-max trick, since -log E has a
    Gumbel distribution). The argmax has no gradient, so the sampled weights use the straight-through estimator: their
    gradient is that of the Gumbel softmax at temperature 1, `p / E` divided by its sum (Jang et al. 2017, section 2.2).

    The paper trains with REINFORCE: the gradient of log p of the sampled place, times the log-likelihood of the caption
    minus a running baseline, plus an entropy bonus. That estimator is unbiased, has a high variance and needs a loss of
    its own. The straight-through estimator is biased, has a low variance and works with the ordinary loss.
    """
    weights = masked_softmax(at_least_single(scores), mask)
    perturbed = weights / torch.empty_like(weights).exponential_() if sample else weights
    hard = F.one_hot(perturbed.argmax(-1), perturbed.shape[-1]).to(perturbed) * (perturbed > 0)  # 0 where all is masked
    if sample:
        soft = perturbed / perturbed.sum(-1, keepdim=True).clamp_min(torch.finfo(perturbed.dtype).tiny)
        hard = hard + (soft - soft.detach())  # the bracket is exactly 0, so the weights stay exactly 1 and 0
    return weighted_sum(hard, values)


def sentinel_attention(
    scores: Scores,
    values: Values,
    sentinel_scores: Float[Tensor, "*batch query"],
    sentinels: Float[Tensor, "*batch query value"],
    mask: Mask = None,
) -> Attended:
    """Pool values and one sentinel per query with a joint softmax (Lu et al. 2017, equations 11 and 12).

    `[w, b] = softmax([scores, sentinel score])`, `context = w @ values + b * sentinel`. The weights returned are w,
    those of the places; they sum to `1 - b`. If every place of a query is masked, its context is its sentinel.
    """
    if mask is not None:
        mask = F.pad(mask.broadcast_to(scores.shape), (0, 1), value=True)
    joint = masked_softmax(at_least_single(torch.cat([scores, sentinel_scores.unsqueeze(-1)], dim=-1)), mask)
    context, weights = weighted_sum(joint[..., :-1], values)
    return context + joint[..., -1:].to(values.dtype) * sentinels, weights
