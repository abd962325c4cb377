"""Scores in; a context and the weights that made it out. Explained in chapters 2, 6 and 15.

Three ways to read values by scores: all places by their weight, one place alone, all places beside a sentinel.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

Values = Float[Tensor, "*batch place value"]
Mask = Bool[Tensor, "..."] | None
Scores = Float[Tensor, "*batch query place"]
Attended = tuple[Float[Tensor, "*batch query value"], Scores]


def masked_softmax(scores: Float[Tensor, "... place"], mask: Mask = None) -> Float[Tensor, "... place"]:
    """Weights that are positive where `mask` is True, exactly 0 where it is False, and sum to one over the places.

    A row in which every place is masked has nothing to attend to: its weights are all 0, and so is its context.
    The mask is boolean and broadcasts against the scores; anything else is a ValueError.
    """
    if mask is None:
        return scores.softmax(-1)
    if mask.dtype != torch.bool:
        raise ValueError(f"a mask is boolean, True where one may look; this one is {mask.dtype}: try mask.bool()")
    lowest = torch.finfo(scores.dtype).min  # finite: minus infinity would make an all-masked row NaN
    return scores.masked_fill(~mask, lowest).softmax(-1).masked_fill(~mask, 0.0)


def weighted_average(scores: Scores, values: Values, mask: Mask = None) -> Attended:
    """What most mechanisms share: `weights = softmax(scores)`, `context = weights @ values`."""
    weights = masked_softmax(scores, mask)
    return weights @ values, weights


def one_place(scores: Scores, values: Values, mask: Mask = None, draw: bool = False) -> Attended:
    """Hard attention: one place's value, and weights that are 1 there and 0 elsewhere (Xu et al. 2015, section 4.1).

    It is the likeliest place, or with `draw` one drawn with `p = softmax(scores)`: the first to arrive if arrivals are
    exponential with rates p. Which place wins has no gradient. The drawn weights borrow that of the Gumbel softmax of
    temperature 1 (Jang et al. 2017, section 2.2, "straight-through"), which is `p / arrival` made to sum to one.

    The paper learns by REINFORCE: the gradient of log p of the place drawn, times the log-likelihood of the caption
    minus its running mean, plus an entropy term. That is right on average but noisy, and needs a loss of its own. The
    borrowed gradient is a little wrong, much less noisy, and comes with the loss that there is.
    """
    weights = masked_softmax(scores, mask)
    race = weights / torch.empty_like(weights).exponential_() if draw else weights
    winner = F.one_hot(race.argmax(-1), race.shape[-1]).to(race) * (race > 0)  # nobody wins where all is masked
    if draw:
        soft = race / race.sum(-1, keepdim=True).clamp_min(torch.finfo(race.dtype).tiny)
        winner = winner + (soft - soft.detach())  # in brackets it is exactly 0, and the weights are exactly 1 and 0
    return winner @ values, winner


def beside_sentinel(
    scores: Scores,
    values: Values,
    sentinel_scores: Float[Tensor, "*batch query"],
    sentinels: Float[Tensor, "*batch query value"],
    mask: Mask = None,
) -> Attended:
    """A weighted average in which each query's own sentinel takes part, as one more place does.

    `[w, b] = softmax([scores, sentinel score])`, `context = w @ values + b s` (Lu et al. 2017, equations 11 and 12).
    The weights returned are w, those of the places: what is missing from a sum of one went to the sentinel. A query
    with every place masked gets its sentinel.
    """
    if mask is not None:
        mask = F.pad(mask.broadcast_to(scores.shape), (0, 1), value=True)
    shares = masked_softmax(torch.cat([scores, sentinel_scores.unsqueeze(-1)], dim=-1), mask)
    weights = shares[..., :-1]
    return weights @ values + shares[..., -1:] * sentinels, weights
