"""The right functions of A2 with knobs, and the sentence of each mistake that a knob makes."""

import math

import torch

REFERENCES = {}
MISTAKES = {}


def reference(function):
    """Register the right function of a question under its name."""
    REFERENCES[function.__name__] = function
    return function


def scaled_scores(query, keys, scale):
    channels = query.shape[-1]
    factor = {"root": channels**-0.5, "none": 1.0, "channels": 1 / channels, "times": channels**0.5}[scale]
    return query @ keys.mT * factor


SCALES = {
    "The scores are not divided by the square root of the number of channels.": {"scale": "none"},
    "The scores are divided by the number of channels, not by its square root.": {"scale": "channels"},
    "The scores are multiplied by the square root of the number of channels.": {"scale": "times"},
}
ORDER = "Context and weights are returned in the wrong order."
RETURNED = {  # mistakes of every function that returns context and weights
    ORDER: {"give": "swapped"},
    "The context alone is returned, without the weights.": {"give": "context"},
    "The weights alone are returned, without the context.": {"give": "weights"},
}
AXIS = "The weights of each place sum to 1, not those of each query: the softmax runs along the wrong axis."


@reference
def nearby(query, keys, values, rows, cols, reach, *, scale="root", see="square", axis=-1, mask="before",
           fill=-math.inf, columns=False, give="both"):  # fmt: skip
    place = torch.arange(rows * cols)
    row, col = (place % rows, place // rows) if columns else (place // cols, place % cols)
    down, right = row[:, None] - row, col[:, None] - col
    far, line = torch.maximum(down.abs(), right.abs()), place[:, None] - place
    visible = {
        "square": lambda: far <= reach,
        "strict": lambda: far < reach,
        "wider": lambda: far <= reach + 1,
        "half": lambda: far <= reach // 2,
        "line": lambda: line.abs() <= reach,
        "diamond": lambda: down.abs() + right.abs() <= reach,
        "circle": lambda: down**2 + right**2 <= reach**2,
        "or": lambda: (down.abs() <= reach) | (right.abs() <= reach),
        "rows": lambda: down.abs() <= reach,
        "cols": lambda: right.abs() <= reach,
        "signed": lambda: (down <= reach) & (right <= reach),
        "causal": lambda: (far <= reach) & (line >= 0),
        "others": lambda: (far <= reach) & (far > 0),
        "wraps": lambda: (
            (torch.minimum(down.abs(), rows - down.abs()) <= reach)
            & (torch.minimum(right.abs(), cols - right.abs()) <= reach)
        ),
        "outside": lambda: far > reach,
    }[see]()
    scores = scaled_scores(query, keys, scale)
    if give == "transposed":
        scores = scores.mT
    masked = scores.masked_fill(~visible, fill) if mask == "before" else scores
    weights = masked.softmax(axis)
    if mask == "after":
        weights = weights * visible
    if mask == "renormalised":
        weights = weights * visible
        weights = weights / weights.sum(-1, keepdim=True)
    context = (scores.softmax(-1) if give == "context of all" else weights) @ values
    if give == "exponentials":
        powers = scores.exp() * visible
        weights = powers / powers.sum(axis, keepdim=True)
        context = weights @ values
    return {
        "swapped": (weights, context),
        "scores": (context, scores),
        "masked scores": (context, masked),
        "context": context,
        "weights": weights,
    }.get(give, (context, weights))


MISTAKES["nearby"] = SCALES | {
    AXIS: {"axis": -2},
    "Every place sees every place: the mask has no effect.": {"mask": "never"},
    "The mask is applied after the softmax, so the weights no longer sum to 1.": {"mask": "after"},
    "The mask is applied after the softmax: a high score outside the neighbourhood makes the weights inside it 0.": {
        "mask": "renormalised"
    },
    "The mask is the wrong way round: the neighbours are hidden and the others are seen.": {"see": "outside"},
    "Hidden places have the score 0, which is an ordinary score.": {"fill": 0.0},
    "The neighbourhood is too small by one: places at the distance `reach` are hidden.": {"see": "strict"},
    "The neighbourhood is too large by one: places at the distance `reach` + 1 are seen.": {"see": "wider"},
    "The reach is taken for the width of the whole neighbourhood.": {"see": "half"},
    "The places are numbered along one line: the neighbourhood does not know rows and columns.": {"see": "line"},
    "The distances of row and column are added: the corners of the square are hidden.": {"see": "diamond"},
    "The neighbourhood is a circle: the corners of the square are hidden.": {"see": "circle"},
    "A place is seen if its row or its column is near, not both.": {"see": "or"},
    "Only the rows decide; the columns have no effect.": {"see": "rows"},
    "Only the columns decide; the rows have no effect.": {"see": "cols"},
    "The differences are compared with their signs: on one side every place is seen.": {"see": "signed"},
    "Later places are hidden, as by a causal mask.": {"see": "causal"},
    "A place does not see itself.": {"see": "others"},
    "The neighbourhood goes on at the opposite border of the picture.": {"see": "wraps"},
    "Rows and columns are mixed up in the numbers of the places.": {"columns": True},
    "Queries and keys have changed places: the scores are transposed.": {"give": "transposed"},
    "The context is made of weights without the mask.": {"give": "context of all"},
    "Scores are returned in place of the weights.": {"give": "scores"},
    "Masked scores are returned in place of the weights.": {"give": "masked scores"},
    "The exponential of a large score overflows.": {"give": "exponentials"},
    **RETURNED,
}


@reference
def prune(query, keys, values, share, mask, *, scale="root", axis=-1, hide="before", empty="zero", limit="largest",
          keep="at least", again="sum", give="both"):  # fmt: skip
    scores = scaled_scores(query, keys, scale)
    allowed = ~mask if hide == "inverted" else torch.ones_like(mask) if hide == "never" else mask
    lowest = 0.0 if hide == "zero score" else torch.finfo(scores.dtype).min
    weights = (scores if hide == "late" else scores.masked_fill(~allowed, lowest)).softmax(axis)
    if hide not in ("late", "zero score") and empty == "zero":
        weights = weights * allowed
    if empty == "nan":
        weights = scores.masked_fill(~allowed, -math.inf).softmax(-1)
    before = weights
    bound = {
        "largest": lambda: share * weights.amax(-1, keepdim=True),
        "alone": lambda: torch.tensor(share),
        "table": lambda: share * weights.max(),
        "column": lambda: share * weights.amax(0),
        "mean": lambda: share * weights.mean(-1, keepdim=True),
        "rest": lambda: (1 - share) * weights.amax(-1, keepdim=True),
        "count": lambda: weights.topk(max(1, round(share * weights.shape[-1]))).values[..., -1:],
    }
    if limit == "scores":
        kept = scores >= share * scores.amax(-1, keepdim=True)
    elif limit == "nothing":
        kept = torch.ones_like(mask)
    else:
        edge = bound[limit]()
        kept = {"at least": weights >= edge, "more": weights > edge, "small": weights <= edge}[keep]
    weights = weights * kept
    if hide == "late":
        weights = weights * mask
    if again == "softmax":
        weights = weights.masked_fill(weights == 0, lowest).softmax(-1) * mask
    elif again != "nothing":
        sums = weights.sum() if again == "table" else weights.sum(-1, keepdim=True)
        weights = weights / sums.masked_fill(sums == 0, 1.0)
    context = (before if give == "context of before" else weights) @ values
    return {
        "swapped": (weights, context),
        "scores": (context, scores),
        "context": context,
        "weights": weights,
    }.get(give, (context, weights))


MISTAKES["prune"] = SCALES | {
    AXIS: {"axis": 0},
    "Nothing is dropped: these are the weights of all visible places.": {"limit": "nothing"},
    "The weights that are left were not divided by their sum.": {"again": "nothing"},
    "The limit is `share` itself, not `share` times the largest weight.": {"limit": "alone"},
    "The limit comes from the largest weight of the whole table, not of the row.": {"limit": "table"},
    "The limit comes from the largest weight of each place, not of each query.": {"limit": "column"},
    "The limit comes from the mean of the weights, not from the largest.": {"limit": "mean"},
    "The limit is computed from 1 - `share`.": {"limit": "rest"},
    "`share` is taken for the part of the places that is kept.": {"limit": "count"},
    "The scores, not the weights, are compared with the limit.": {"limit": "scores"},
    "A weight that equals the limit is dropped.": {"keep": "more"},
    "The large weights are dropped and the small ones are kept.": {"keep": "small"},
    "Small weights are dropped before the mask is applied: a masked place has set the limit.": {"hide": "late"},
    "The mask has no effect.": {"hide": "never"},
    "The mask is the wrong way round: allowed places are hidden and the others are seen.": {"hide": "inverted"},
    "Masked places have the score 0, which is an ordinary score.": {"hide": "zero score"},
    "A row in which all places are masked gets weights that are not numbers (nan).": {"empty": "nan"},
    "A row in which all places are masked gets uniform weights.": {"empty": "uniform"},
    "A second softmax is taken of the weights that are left.": {"again": "softmax"},
    "The weights are divided by the sum of the whole table.": {"again": "table"},
    "The context is made of the weights before the small ones are dropped.": {"give": "context of before"},
    "Scores are returned in place of the weights.": {"give": "scores"},
    **RETURNED,
}


@reference
def heads(query, keys, values, temperatures, *, scale="head", by="divide", axis=-1, cut="channels", join="channels",
          give="both"):  # fmt: skip
    count = len(temperatures)
    split = {
        "channels": lambda x: x.unflatten(-1, (count, -1)).movedim(-2, 0),
        "every other": lambda x: x.unflatten(-1, (-1, count)).movedim(-1, 0),
        "places": lambda x: x.reshape(count, len(x), -1),
        "first": lambda x: x.unflatten(-1, (count, -1)).movedim(-2, 0)[:1].expand(count, -1, -1),
        "not": lambda x: x.expand(count, -1, -1),
    }[cut]
    q, k, v = split(query), split(keys), split(values)
    if give == "values not split":
        v = values.expand(count, -1, -1)
    t = temperatures[:, None, None]
    scores = q @ k.mT * {"head": q.shape[-1] ** -0.5, "all": query.shape[-1] ** -0.5, "none": 1.0}[scale]
    scores = {
        "divide": lambda: scores / t,
        "multiply": lambda: scores * t,
        "nothing": lambda: scores,
        "first": lambda: scores / temperatures[0],
        "mean": lambda: scores / temperatures.mean(),
        "root": lambda: scores / t.sqrt(),
        "reversed": lambda: scores / t.flip(0),
    }[by]()
    weights = scores.softmax(axis)
    if give == "after":
        weights = weights / t
    context = {
        "channels": lambda x: x.movedim(0, -2).flatten(-2),
        "every other": lambda x: x.movedim(0, -1).flatten(-2),
        "reshaped": lambda x: x.reshape(len(query), -1),
        "sum": lambda x: x.sum(0),
        "mean": lambda x: x.mean(0),
        "stack": lambda x: x,
        "reversed": lambda x: x.flip(0).movedim(0, -2).flatten(-2),
    }[join](weights @ v)
    return {
        "swapped": (weights, context),
        "scores": (context, scores),
        "mean weights": (context, weights.mean(0)),
        "heads last": (context, weights.movedim(0, -1)),
        "heads second": (context, weights.movedim(0, 1)),
        "context": context,
        "weights": weights,
        "one head": (context[:, : values.shape[-1]], weights[0]),
    }.get(give, (context, weights))


MISTAKES["heads"] = {
    "The scale is that of all channels, not of the channels of a head.": {"scale": "all"},
    "The scores are not divided by the square root of the number of channels.": {"scale": "none"},
    "The scores are multiplied by the temperatures.": {"by": "multiply"},
    "The temperatures have no effect.": {"by": "nothing"},
    "The first temperature is applied to all heads.": {"by": "first"},
    "The mean of the temperatures is applied to all heads.": {"by": "mean"},
    "The scores are divided by the square root of the temperature.": {"by": "root"},
    "The temperatures are applied in the reverse order.": {"by": "reversed"},
    "The places are cut into heads, not the channels.": {"cut": "places"},
    "A head gets every so-many-th channel, not consecutive channels.": {"cut": "every other"},
    "All heads get the first channels.": {"cut": "first"},
    "The places and heads are mixed up where the contexts are concatenated.": {"join": "reshaped"},
    "The contexts are joined channel by channel, not head by head.": {"join": "every other"},
    "The contexts of the heads are joined in the reverse order.": {"join": "reversed"},
    "The contexts of the heads are added, not concatenated.": {"join": "sum"},
    "The mean is taken of the contexts of the heads; they are not concatenated.": {"join": "mean"},
    "The contexts of the heads are not concatenated.": {"join": "stack"},
    "The mean of the weights over the heads is returned, not the weights of each head.": {"give": "mean weights"},
    "The axis of the heads comes last in the weights, not first.": {"give": "heads last"},
    "The axis of the heads comes second in the weights, not first.": {"give": "heads second"},
    AXIS: {"axis": -2},
    "The softmax runs along the heads.": {"axis": 0},
    "The weights are divided by the temperatures after the softmax, so they no longer sum to 1.": {
        "by": "nothing",
        "give": "after",
    },
    "There is only one head: the channels are not split.": {
        "cut": "not",
        "by": "nothing",
        "give": "one head",
    },
    "Each head averages all channels of the values, not its own.": {"give": "values not split"},
    "Scores are returned in place of the weights.": {"give": "scores"},
    **RETURNED,
}
