"""The right functions of A3 with knobs, and the sentence of each mistake that a knob makes."""

import math

import torch

REFERENCES = {}
MISTAKES = {}


def reference(function):
    """Register the right function of a question under its name."""
    REFERENCES[function.__name__] = function
    return function


def scores_of(query, picture, scale):
    factor = {"root": query.shape[-1] ** -0.5, "none": 1.0, "channels": 1 / query.shape[-1]}[scale]
    return (picture @ query[..., None]).squeeze(-1) * factor


@reference
def inhibited_step(words, hidden, inhibition, picture, model, *, ask="both", scale="root", inhibit="minus", axis=-1,
                   update="fade", average="weights", state="all", speak="new", give="all"):  # fmt: skip
    # In double precision, so that no rounded number of a print depends on the machine.
    embed, mix, hidden, inhibition, picture = (
        x.double() for x in (model["embed"], model["mix"], hidden, inhibition, picture)
    )
    fade, strength = model["fade"], model["strength"]
    word = embed[words]
    if ask == "updated":
        hidden = (hidden @ mix + word).tanh()
    query = {"word": lambda: word, "hidden": lambda: hidden, "product": lambda: hidden * word}.get(
        ask, lambda: hidden + word
    )()
    dots = scores_of(query, picture, scale)
    if inhibit == "updated":
        inhibition = fade * inhibition + strength * dots.softmax(-1)
    scores = {
        "minus": lambda: dots - inhibition,
        "updated": lambda: dots - inhibition,
        "plus": lambda: dots + inhibition,
        "not": lambda: dots,
        "late": lambda: dots,
        "scaled": lambda: dots - inhibition / query.shape[-1] ** 0.5,
        "times": lambda: dots * inhibition,
        "faded": lambda: dots - fade * inhibition,
        "strength": lambda: dots - strength * inhibition,
    }[inhibit]()
    weights = scores.softmax(axis)
    if inhibit == "late":
        weights = weights - inhibition
    context = picture.mean(1) if average == "places" else (weights[..., None] * picture).sum(1)
    before = {
        "no mix": lambda: hidden + word + context,
        "transposed": lambda: hidden @ mix.T + word + context,
        "no context": lambda: hidden @ mix + word,
        "no word": lambda: hidden @ mix + context,
    }.get(state, lambda: hidden @ mix + word + context)()
    new = before if state == "no tanh" else before.tanh()
    logits = (hidden if speak == "old" else new) @ embed.T
    after = {
        "fade": lambda: fade * inhibition + strength * weights,
        "no fade": lambda: inhibition + strength * weights,
        "no strength": lambda: fade * inhibition + weights,
        "exchanged": lambda: strength * inhibition + fade * weights,
        "both fade": lambda: fade * (inhibition + strength * weights),
        "mean": lambda: fade * inhibition + (1 - fade) * weights,
        "newest": lambda: strength * weights,
        "none": lambda: inhibition.clone(),
    }[update]()
    if inhibit == "updated":
        after = inhibition
    return {
        "probabilities": (logits.softmax(-1), weights, new, after),
        "scores": (logits, scores, new, after),
        "weights first": (weights, logits, new, after),
        "states exchanged": (logits, weights, after, new),
        "old hidden": (logits, weights, hidden, after),
        "two": (logits, weights),
    }.get(give, (logits, weights, new, after))


UPDATES = {  # mistakes of the inhibition, which a step alone shows in what it returns
    "The inhibition does not fade.": {"update": "no fade"},
    "New inhibition is not multiplied by the strength.": {"update": "no strength"},
    "Fade and strength are exchanged.": {"update": "exchanged"},
    "New inhibition is multiplied by the fade, too, as if it had faded already.": {"update": "both fade"},
    "New inhibition is multiplied by 1 - fade, not by the strength.": {"update": "mean"},
    "The inhibition of earlier words is lost: only the newest weights are in it.": {"update": "newest"},
    "The inhibition stays as it was before the word.": {"update": "none"},
}
STEPS = {
    "The scores are not divided by the square root of the number of channels.": {"scale": "none"},
    "The scores are divided by the number of channels, not by its square root.": {"scale": "channels"},
    "The inhibition is added to the scores: a place that has had weight gets more.": {"inhibit": "plus"},
    "The inhibition has no effect on the weights.": {"inhibit": "not"},
    "The inhibition is subtracted from the weights, after the softmax, so they no longer sum to 1.": {
        "inhibit": "late"
    },
    "The inhibition is divided by the square root of the number of channels.": {"inhibit": "scaled"},
    "The scores are multiplied by the inhibition.": {"inhibit": "times"},
    "The inhibition is updated before it is used: the word inhibits the places that it is about to look at.": {
        "inhibit": "updated"
    },
    "The inhibition fades before it is used.": {"inhibit": "faded"},
    "The inhibition is multiplied by the strength a second time when it is used.": {"inhibit": "strength"},
    "The inhibition is multiplied by the strength when it is used, not when it arises.": {
        "inhibit": "strength",
        "update": "no strength",
    },
    **UPDATES,
    "The weights of each place sum to 1 over the batch: the softmax runs along the wrong axis.": {"axis": 0},
    "The word that is read is not in the query.": {"ask": "hidden"},
    "The hidden state is not in the query.": {"ask": "word"},
    "In the query, the hidden state is multiplied by the word.": {"ask": "product"},
    "The hidden state is updated before the attention.": {"ask": "updated"},
    "The context is the mean of the places: the weights have no effect on it.": {"average": "places"},
    "The matrix M is missing: the old hidden state enters as it is.": {"state": "no mix"},
    "The matrix M is transposed.": {"state": "transposed"},
    "The tanh is missing.": {"state": "no tanh"},
    "The context is not in the new hidden state.": {"state": "no context"},
    "The word that is read is not in the new hidden state.": {"state": "no word"},
    "The logits are computed from the old hidden state.": {"speak": "old"},
    "Probabilities are returned in place of the logits.": {"give": "probabilities"},
}
MISTAKES["inhibited_step"] = STEPS | {
    "Scores are returned in place of the weights.": {"give": "scores"},
    "Weights and logits are returned in the wrong order.": {"give": "weights first"},
    "Inhibition and hidden state are returned in the wrong order.": {"give": "states exchanged"},
    "The old hidden state is returned, not the new one.": {"give": "old hidden"},
    "Logits and weights alone are returned, without what the next step needs.": {"give": "two"},
}


def own_words(logits, weights, own):
    """Return the word of each caption that is read next, if none is given."""
    return {
        "map": lambda: weights.argmax(-1),
        "least": lambda: logits.argmin(-1),
        "batch": lambda: logits.mean(0).argmax().expand(len(logits)),
        "ordinary": lambda: logits[:, 3:].argmax(-1) + 3,
    }.get(own, lambda: logits.argmax(-1))()


@reference
def unroll(tokens, given, picture, model, *, read="given", own="logits", carry="all", first="tanh", maps="same",
            result="both", **step):  # fmt: skip
    count, picture = tokens.shape[1], picture.double()
    if read == "targets":
        tokens = tokens.roll(-1, 1)
    if maps == "first picture":
        picture = picture[:1].expand_as(picture)
    places = picture[:1].expand_as(picture) if maps == "first places" else picture
    hidden = {
        "tanh": lambda: picture.mean(1).tanh(),
        "zero": lambda: torch.zeros_like(picture[:, 0]),
        "mean": lambda: picture.mean(1),
        "tanh first": lambda: picture.tanh().mean(1),
        "batch": lambda: picture.mean((0, 1)).tanh().expand(len(picture), -1),
        "sum": lambda: picture.sum(1).tanh(),
    }[first]()
    inhibition = torch.zeros_like(picture[..., 0])
    start = hidden, inhibition
    logits, weights, chosen = [], [], tokens[:, :1]  # chosen: own words, of which the first stands for none
    ended = torch.zeros(len(tokens), dtype=torch.bool)
    for t in range(count):
        known = {
            "all": lambda t: torch.ones(len(tokens), dtype=torch.bool),
            "one": lambda t: torch.full((len(tokens),), t == 0),
            "more": lambda t: t <= given,
            "fewer": lambda t: t < (given - 1).clamp(min=1),
            "inverted": lambda t: (t >= given) | (t == 0),
            "first": lambda t: t < given[:1].expand_as(given),
            "most": lambda t: t < given.max().expand_as(given),
            "least": lambda t: t < given.min().expand_as(given),
        }.get(read, lambda t: t < given)(t)
        words = torch.where(known, tokens[:, t], chosen[:, -2 if own == "late" and t > 0 else -1])
        now, map_, *new = inhibited_step(words, hidden, inhibition, places, model, **step)
        hidden, inhibition = {
            "nothing": start,
            "inhibition": (start[0], new[1]),
            "hidden": (new[0], start[1]),
        }.get(carry, new)
        ended = ended | (words == 2)
        logits.append(now.masked_fill(ended[:, None], 0.0) if maps == "stop" else now)
        weights.append(map_)
        chosen = torch.cat([chosen, own_words(now, map_, own)[:, None]], 1)
    if maps == "previous":
        weights = [torch.full_like(weights[0], 1 / picture.shape[1]), *weights[:-1]]
    axis = 0 if result == "position first" else 1
    logits, weights = torch.stack(logits, axis), torch.stack(weights, axis)
    return {
        "weights first": (weights, logits),
        "no last": (logits[:, :-1], weights[:, :-1]),
        "no first": (logits[:, 1:], weights[:, 1:]),
        "last": (logits[:, -1], weights[:, -1]),
        "logits": logits,
    }.get(result, (logits, weights))


MISTAKES["unroll"] = {
    "The true words are read at all positions, also behind those that are given.": {"read": "all"},
    "The model's own words are read from the second position on, whatever is given.": {"read": "one"},
    "One true word too many is read.": {"read": "more"},
    "One true word too few is read.": {"read": "fewer"},
    "The model's own words come first, and the true ones behind.": {"read": "inverted"},
    "The number of given words of the first caption is applied to all.": {"read": "first"},
    "The largest number of given words is applied to all captions.": {"read": "most"},
    "The smallest number of given words is applied to all captions.": {"read": "least"},
    "The first word that is read is not <start>: the captions are shifted by one.": {"read": "targets"},
    "The model's own words are read one position late.": {"own": "late"},
    "The model's own word is the place with the largest weight, not the word with the largest logit.": {"own": "map"},
    "The model's own word is the one with the smallest logit.": {"own": "least"},
    "All captions of the batch read the same own word.": {"own": "batch"},
    "Special words are never read as the model's own.": {"own": "ordinary"},
    "Each step begins with the first state: hidden state and inhibition are dropped.": {"carry": "nothing"},
    "Each step begins with the first hidden state: only the inhibition is carried on.": {"carry": "inhibition"},
    "The inhibition has no effect, or each step begins without it.": {"carry": "hidden"},
    "The first hidden state is 0.": {"first": "zero"},
    "The first hidden state is the mean of the places without the tanh.": {"first": "mean"},
    "The first hidden state is the mean of the tanh, not the tanh of the mean.": {"first": "tanh first"},
    "The first hidden state is the mean over all pictures of the batch: pictures leak into each other.": {
        "first": "batch"
    },
    "The first hidden state comes from the sum of the places, not from their mean.": {"first": "sum"},
    "The weights are those of the step before.": {"maps": "previous"},
    "All captions attend to the first picture.": {"maps": "first places"},
    "All captions attend to the first picture, and begin with its first state.": {"maps": "first picture"},
    "Behind <end> the logits are 0.": {"maps": "stop"},
    "Positions and batch are exchanged.": {"result": "position first"},
    "Weights and logits are returned in the wrong order.": {"result": "weights first"},
    "The last position is missing.": {"result": "no last"},
    "The first position, that of <start>, is missing.": {"result": "no first"},
    "Only the last position is returned.": {"result": "last"},
    "The logits alone are returned, without the weights.": {"result": "logits"},
    **{sentence: knobs for sentence, knobs in STEPS.items() if knobs not in ({"inhibit": "not"}, {"update": "none"})},
}


@reference
def loss_by_caption(logits, tokens, *, targets="next", counted="targets", axis=-1, p="log", mean="captions", unit="nat",
                    give="number"):  # fmt: skip
    wanted = tokens[:, :-1] if targets == "inputs" else tokens[:, 1:]
    counts = {
        "targets": lambda: wanted != 0,
        "all": lambda: torch.ones_like(wanted).bool(),
        "zeroed": lambda: torch.ones_like(wanted).bool(),
        "inputs": lambda: tokens[:, :-1] != 0,
        "no end": lambda: (wanted != 0) & (wanted != 2),
    }[counted]()
    if counted == "zeroed":
        logits = logits * (wanted != 0)[..., None]
    log_p = {
        "log": lambda: logits.log_softmax(axis),
        "probability": lambda: logits.softmax(axis),
        "twice": lambda: logits.softmax(axis).log_softmax(axis),
        "logits": lambda: logits,
        "exponentials": lambda: (logits.exp() / logits.exp().sum(axis, keepdim=True)).log(),
        "logarithm": lambda: logits.softmax(axis).log(),
    }[p]()
    chosen = log_p.amax(-1) if targets == "best" else log_p.gather(-1, wanted[..., None])[..., 0]
    losses = (-chosen * {"nat": 1.0, "bit": 1 / math.log(2), "sign": -1.0}[unit]).masked_fill(~counts, 0.0)
    sums, numbers = losses.sum(1), counts.sum(1)
    by_caption = {
        "longest": lambda: sums / wanted.shape[1],
        "sums": lambda: sums,
    }.get(mean, lambda: sums / numbers)()
    value = {
        "words": lambda: sums.sum() / numbers.sum(),
        "total": lambda: by_caption.sum(),
        "probabilities": lambda: -(-by_caption).exp().mean().log(),
        "positions": lambda: (losses.sum(0) / counts.sum(0).clamp(min=1)).mean(),
    }.get(mean, by_caption.mean)()
    return {"perplexity": value.exp(), "each": by_caption}.get(give, value)


MISTAKES["loss_by_caption"] = {
    "Every word counts the same, not every caption.": {"mean": "words"},
    "Padding is counted.": {"counted": "all"},
    "The logits at padding are set to 0, and counted.": {"counted": "zeroed"},
    "Which words count is taken from the inputs, not from the targets.": {"counted": "inputs"},
    "The targets are the inputs: they are not shifted by one.": {"targets": "inputs"},
    "<end> is not counted.": {"counted": "no end"},
    "Each caption is divided by the length of the longest, not by the number of its own words.": {"mean": "longest"},
    "The losses of the words of a caption are summed, not averaged.": {"mean": "sums"},
    "The losses of the captions are summed, not averaged.": {"mean": "total"},
    "The captions are averaged as probabilities, not as losses.": {"mean": "probabilities"},
    "The mean is taken of each position, over the captions, and not of each caption.": {"mean": "positions"},
    "The sign is wrong: a better model has a larger loss.": {"unit": "sign"},
    "The loss is in bits.": {"unit": "bit"},
    "The probabilities themselves are averaged, not their logarithms.": {"p": "probability"},
    "The softmax is taken twice.": {"p": "twice"},
    "The logits are taken for log-probabilities: the softmax is missing.": {"p": "logits"},
    "The softmax runs along the positions.": {"axis": 1},
    "The loss is that of the most probable words, not that of the targets.": {"targets": "best"},
    "This is the exponential of the loss, the perplexity.": {"give": "perplexity"},
    "The losses of the captions are returned, not their mean.": {"give": "each"},
    "The exponential of a large logit overflows.": {"p": "exponentials"},
    "A small probability becomes 0, and its logarithm minus infinity.": {"p": "logarithm"},
}
