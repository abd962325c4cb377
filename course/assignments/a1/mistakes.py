"""The right functions of A1 with knobs, and the sentence of each mistake that a knob makes."""

import torch

REFERENCES = {}
MISTAKES = {}


def reference(function):
    """Register the right function of a question under its name."""
    REFERENCES[function.__name__] = function
    return function


@reference
def temper(scores, temperatures, *, by="divide", axis=-1, give="weights"):
    t = temperatures[:, None]
    scaled = {
        "divide": lambda: scores / t,
        "multiply": lambda: scores * t,
        "nothing": lambda: scores,
        "place": lambda: scores / temperatures,
        "first": lambda: scores / temperatures[0],
        "mean": lambda: scores / temperatures.mean(),
        "root": lambda: scores / t.sqrt(),
        "square": lambda: scores / t**2,
        "clamp": lambda: (scores / t).clamp(-80, 80),
    }[by]()
    if give == "scores":
        return scaled
    if give == "log":
        return scaled.log_softmax(axis)
    if give == "quotients":
        return scaled / scaled.sum(axis, keepdim=True)
    powers = (scaled - scaled.amax(axis, keepdim=True)).exp()
    if give == "naive":
        powers = scaled.exp()
    if give == "table maximum":
        powers = (scaled - scaled.max()).exp()
    if give == "early table maximum":
        powers = ((scores - scores.max()) / t).exp()
    if give == "powers":
        return scaled.exp()
    if give == "shifted powers":
        return powers
    if give == "table sum":
        return scaled.exp() / scaled.exp().sum()
    weights = powers / powers.sum(axis, keepdim=True)
    return weights / t if give == "after" else weights


MISTAKES["temper"] = {
    "The scores are multiplied by the temperatures.": {"by": "multiply"},
    "The temperatures have no effect.": {"by": "nothing"},
    "The weights of each place sum to 1, not those of each query: the softmax runs along the wrong axis.": {"axis": 0},
    "Each temperature is applied to a place, not to a query.": {"by": "place"},
    "The first temperature is applied to all queries.": {"by": "first"},
    "The mean of the temperatures is applied to all queries.": {"by": "mean"},
    "The scores are divided by the square root of the temperature.": {"by": "root"},
    "The scores are divided by the square of the temperature.": {"by": "square"},
    "These are scores, not weights: the softmax is missing.": {"give": "scores"},
    "These are logarithms of weights, not weights.": {"give": "log"},
    "The scores themselves are divided by their sum, not their exponentials.": {"give": "quotients"},
    "These are exponentials that were not divided by their sum.": {"give": "powers"},
    "These are exponentials that were not divided by their sum, after the largest score was subtracted.": {
        "give": "shifted powers"
    },
    "All weights of the table together sum to 1, not those of each query.": {"give": "table sum"},
    "The weights are divided by the temperatures after the softmax, so they no longer sum to 1.": {
        "by": "nothing",
        "give": "after",
    },
    "The exponential of a large score overflows.": {"give": "naive"},
    "The largest number of the whole table is subtracted from each row, so the exponentials of a row with low scores "
    "are all 0.": {"give": "table maximum"},
    "The largest score of the whole table is subtracted from each row before the division, so the exponentials of a "
    "row with low scores are all 0.": {"give": "early table maximum"},
    "Scores beyond a limit are cut off, so very different scores get the same weight.": {"by": "clamp"},
}


@reference
def manhattan(query, keys, values, *, distance="manhattan", sign=-1.0, axis=-1, give="both"):
    differences = query[:, None, :] - keys
    scores = (
        sign
        * {
            "manhattan": lambda: differences.abs().sum(-1),
            "squared": lambda: differences.square().sum(-1),
            "euclid": lambda: differences.square().sum(-1).sqrt(),
            "signed": lambda: differences.sum(-1),
            "late": lambda: differences.sum(-1).abs(),
            "mean": lambda: differences.abs().mean(-1),
            "largest": lambda: differences.abs().amax(-1),
            "scaled": lambda: differences.abs().sum(-1) / query.shape[-1] ** 0.5,
            "dot": lambda: -(query @ keys.T),
            "transposed": lambda: differences.abs().sum(-1).T,
        }[distance]()
    )
    weights = scores.softmax(axis)
    if give == "nearest":
        weights = torch.nn.functional.one_hot(scores.argmax(-1), len(keys)).to(values)
    if give == "inverse":
        weights = 1 / (1 - scores)
        weights = weights / weights.sum(-1, keepdim=True)
    context = (scores if give in ("scores", "context of scores") else weights) @ values
    return {
        "swapped": (weights, weights @ values),
        "context": context,
        "weights": weights,
        "scores": (context, scores),
        "scores as weights": (weights @ values, scores),
    }.get(give, (context, weights))


MISTAKES["manhattan"] = {
    "The minus sign is missing: the farthest place gets the most.": {"sign": 1.0},
    "These are the weights of the squared distance.": {"distance": "squared"},
    "These are the weights of the straight-line (Euclidean) distance.": {"distance": "euclid"},
    "The differences are summed with their signs: the absolute value is missing.": {"distance": "signed"},
    "The absolute value is taken of the sum, not of each difference.": {"distance": "late"},
    "The distance is the mean over the channels, not their sum.": {"distance": "mean"},
    "The distance is the largest difference of a channel, not the sum over the channels.": {"distance": "largest"},
    "The distance is divided by the square root of the number of channels.": {"distance": "scaled"},
    "These are the weights of the dot product.": {"distance": "dot"},
    "The scores are those of query place with the two axes exchanged.": {"distance": "transposed"},
    "The weights of each place sum to 1, not those of each query: the softmax runs along the wrong axis.": {"axis": 0},
    "The context is the sum of the values times the scores, not times the weights.": {"give": "context of scores"},
    "Scores are returned in place of the weights.": {"give": "scores as weights"},
    "The softmax is missing: context and weights are made of the scores.": {"give": "scores"},
    "Context and weights are returned in the wrong order.": {"give": "swapped"},
    "The context alone is returned, without the weights.": {"give": "context"},
    "The weights alone are returned, without the context.": {"give": "weights"},
    "Only the nearest place gets a weight.": {"give": "nearest"},
    "The weights are made of 1 / (1 + distance), not by a softmax.": {"give": "inverse"},
}


@reference
def by_area(scores, areas, *, exponent="log", times=None, axis=-1, absent="zero", give="weights"):
    there = areas > 0
    logarithm = areas.log()
    exponents = {
        "log": lambda: scores + logarithm,
        "nothing": lambda: scores.clone(),
        "times": lambda: scores * areas,
        "times share": lambda: scores * areas / areas.sum(),
        "plus": lambda: scores + areas,
        "minus log": lambda: scores - areas.clamp_min(1e-9).log(),
        "twice": lambda: scores + 2 * logarithm,
        "half": lambda: scores + logarithm / 2,
        "query": lambda: scores + logarithm[:, None],
        "mask": lambda: scores.masked_fill(~there, -torch.inf),
        "plus one": lambda: scores + areas.log1p(),
        "little": lambda: scores + (areas + 1e-3).log(),
    }[exponent]()
    if give == "joint scores":
        return exponents
    if give == "late":
        return scores.softmax(-1) * areas
    if give == "late share":
        return scores.softmax(-1) * areas / areas.sum()
    if give == "powers":
        return areas * scores.exp()
    largest = exponents.amax(axis, keepdim=True)
    powers = (exponents - largest.masked_fill(largest.isinf(), 0.0)).exp()
    if times is not None:  # the areas are multiplied with exponentials that may be too small or too large
        powers = (
            areas
            * {
                "naive": lambda: scores.exp(),
                "late": lambda: scores.softmax(-1),
                "table maximum": lambda: (scores - scores.max()).exp(),
            }[times]()
        )
    sums = powers.sum() if give == "table sum" else powers.sum(axis, keepdim=True)
    if absent == "uniform":
        return torch.where(sums > 0, powers / sums, 1.0 / scores.shape[-1])
    if absent == "scores":
        return torch.where(sums > 0, powers / sums, scores.softmax(-1))
    return powers / (sums if absent == "nan" else sums.masked_fill(sums == 0, 1.0))


MISTAKES["by_area"] = {
    "The areas have no effect, as if all were equal.": {"exponent": "nothing"},
    "The weights are multiplied by the areas after the softmax, so they no longer sum to 1.": {"give": "late"},
    "The weights are multiplied by shares of the area after the softmax, so they no longer sum to 1.": {
        "give": "late share"
    },
    "The scores are multiplied by the areas, not the exponentials.": {"exponent": "times"},
    "The scores are multiplied by shares of the area, not the exponentials.": {"exponent": "times share"},
    "The areas themselves are added to the scores.": {"exponent": "plus"},
    "A larger area makes a weight smaller: the exponentials are divided by the areas.": {"exponent": "minus log"},
    "The areas count with their square.": {"exponent": "twice"},
    "The areas count with their square root.": {"exponent": "half"},
    "Each area is applied to a query, not to a place.": {"exponent": "query", "absent": "nan"},
    "The areas only decide which places count, not how much.": {"exponent": "mask"},
    "The areas count as if each were larger by 1.": {"exponent": "plus one"},
    "A place with the area 0 keeps a little weight.": {"exponent": "little"},
    "The weights of each place sum to 1, not those of each query: the sum runs along the wrong axis.": {"axis": 0},
    "All weights of the table together sum to 1, not those of each query.": {"give": "table sum"},
    "These are scores, not weights: the softmax is missing.": {"give": "joint scores"},
    "These are products that were not divided by their sum.": {"give": "powers"},
    "Where all areas are 0, a weight is not a number (nan).": {"absent": "nan"},
    "Where all areas are 0, the weights are uniform.": {"absent": "uniform"},
    "Where all areas are 0, the weights are those of the scores alone.": {"absent": "scores"},
    "The exponential of a large score overflows.": {"times": "naive"},
    "A place with the area 0 and a high score makes the exponentials of all others 0.": {"times": "late"},
    "The largest score of the whole table is subtracted from each row, so the exponentials of a row with low scores "
    "are all 0.": {"times": "table maximum"},
}
