"""A model and a source in, captions out: greedy, sampling, beam search; all batched. Explained in chapter 12.

The model is anything with `start(source)` and `step(tokens, state)`: a decoder with a grid, a captioner with images,
a look-up table in a test. No search says `<pad>`, `<start>` or `<unk>`, and every caption ends: at `max_words` the only
word left is `<end>`. So a log-probability is that of a whole sentence, and two of them can be compared.
"""

from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from companion.decoders import State, Step
from companion.vocabulary import Vocabulary


@runtime_checkable
class Model(Protocol):
    """What a search asks of a model."""

    def start(self, source: Any) -> State:
        """One hypothesis a picture, before its first word."""

    def step(self, tokens: Tensor, state: State) -> Step:
        """What may come after `tokens` (batch beam)."""


class Caption(NamedTuple):
    """A sentence, how sure the model was of it, and where it looked for each word."""

    words: tuple[str, ...]
    log_probability: float  # natural logarithm, summed over the words and the end
    weights: Float[Tensor, "word *place"]  # one axis of places, or rows and columns once the captioner laid them out


class Found(NamedTuple):
    """Captions in the making: every tensor has the leading axes batch and beam."""

    tokens: Int[Tensor, "batch beam word"]
    weights: Float[Tensor, "batch beam word place"]
    log_probability: Float[Tensor, "batch beam"]


def next_words(step: Step, last: bool) -> Float[Tensor, "batch beam vocab"]:
    """Log-probabilities of the next word, minus infinity for what may not be said."""
    scores = step.logits.log_softmax(-1)
    scores[..., [Vocabulary.pad, Vocabulary.start, Vocabulary.unk]] = -torch.inf
    if last:
        scores[..., [i for i in range(scores.shape[-1]) if i != Vocabulary.end]] = -torch.inf
    return scores


def first_tokens(state: State) -> Int[Tensor, "batch beam"]:
    """`<start>` for every hypothesis."""
    batch, beam = state.carry[0].shape[:2]
    return torch.full((batch, beam), Vocabulary.start, device=state.carry[0].device)


def check(max_words: int, **at_least_one: int) -> None:
    """ValueError for a length or a width below one."""
    for name, value in {"max_words": max_words, **at_least_one}.items():
        if value < 1:
            raise ValueError(f"{name} must be at least 1; it is {value}")


def captions(found: Found, vocabulary: Vocabulary) -> list[list[Caption]]:
    """The hypotheses as captions: a list a picture, in the order of the beam axis."""
    return [
        [
            Caption(tuple(words := vocabulary.decode(ids.tolist())), float(score), looked[: len(words)])
            for ids, looked, score in zip(*picture, strict=True)
        ]
        for picture in zip(*found, strict=True)
    ]


def _walk(model: Model, state: State, choose, max_words: int) -> Found:
    """Say one word at a time, each chosen from the log-probabilities by `choose`, until all have ended."""
    token = first_tokens(state)
    total, ended = torch.zeros(token.shape, device=token.device), torch.zeros_like(token, dtype=torch.bool)
    tokens, weights = [], []
    for word in range(max_words + 1):
        step = model.step(token, state)
        scores = next_words(step, last=word == max_words)
        token = choose(scores).masked_fill(ended, Vocabulary.pad)
        total += scores.gather(-1, token.unsqueeze(-1)).squeeze(-1).masked_fill(ended, 0.0)
        tokens.append(token)
        weights.append(step.weights)
        state, ended = step.state, ended | (token == Vocabulary.end)
        if ended.all():
            break
    return Found(torch.stack(tokens, -1), torch.stack(weights, -2), total)


@torch.inference_mode()
def greedy(model: Model, source: Any, vocabulary: Vocabulary, max_words: int = 20) -> list[Caption]:
    """The likeliest word at each step: one caption a picture, of at most `max_words` words."""
    check(max_words)
    found = _walk(model, model.start(source), lambda scores: scores.argmax(-1), max_words)
    return [picture[0] for picture in captions(found, vocabulary)]


@torch.inference_mode()
def sample(
    model: Model,
    source: Any,
    vocabulary: Vocabulary,
    count: int = 1,
    max_words: int = 20,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float = 1.0,
    generator: torch.Generator | None = None,
) -> list[list[Caption]]:
    """`count` captions a picture, each word drawn at random in proportion to its probability.

    `temperature` divides the logits first: below 1 the likely words win more often. `top_k` keeps only the k likeliest
    words, `top_p` only the likeliest words that together hold that share (Holtzman et al. 2020, section 3.1). The
    log-probability returned is the model's own, before any of this. ValueError for values outside their range.
    """
    check(max_words, count=count, top_k=1 if top_k is None else top_k)
    if not (0 < temperature < torch.inf and 0 < top_p <= 1):
        raise ValueError(f"temperature must be finite and above 0, top_p in (0, 1]; they are {temperature} and {top_p}")

    def choose(scores: Tensor) -> Tensor:
        scores = scores / temperature
        if top_k or top_p < 1:  # sorting the vocabulary costs more than the model's own step
            scores = nucleus(scores, top_k or scores.shape[-1], top_p)
        return torch.multinomial(scores.softmax(-1).flatten(0, 1), 1, generator=generator).view(scores.shape[:2])

    state = model.start(source)
    pictures = len(state.carry[0])
    state = state.reorder(torch.zeros(pictures, count, dtype=torch.long, device=state.carry[0].device))
    return captions(_walk(model, state, choose, max_words), vocabulary)


def nucleus(scores: Float[Tensor, "*batch vocab"], top_k: int, top_p: float) -> Float[Tensor, "*batch vocab"]:
    """Scores with minus infinity outside the `top_k` likeliest words and outside the likeliest share `top_p`."""
    ordered, order = scores.sort(-1, descending=True)
    probability = ordered.softmax(-1)
    before = probability.cumsum(-1) - probability  # the share held by likelier words: the first word always stays
    rank = torch.arange(scores.shape[-1], device=scores.device)
    share = top_p if top_p < 1 else torch.inf  # rounded, a sum may reach 1 long before the last word
    ordered = ordered.masked_fill((before >= share) | (rank >= top_k), -torch.inf)
    return torch.empty_like(scores).scatter_(-1, order, ordered)


@torch.inference_mode()
def beam(
    model: Model, source: Any, vocabulary: Vocabulary, width: int = 5, max_words: int = 20, length_power: float = 0.0
) -> list[Caption]:
    """The best caption found by keeping the `width` best beginnings at every step, one a picture.

    Hypotheses are ranked by `log_probability / words ** length_power`, the end counted as a word. Log-probabilities are
    negative, so a power above 0 favours long captions; 0 ranks by probability alone. A finished hypothesis keeps its
    place in the beam until better ones push it out; a picture is done when its best hypothesis can no longer be beaten.
    ValueError for a width or a length below one, or a power below zero.
    """
    check(max_words, width=width)
    if not 0 <= length_power < torch.inf:
        raise ValueError(f"length_power must be finite and not negative; it is {length_power}")
    state = model.start(source)
    token = first_tokens(state)
    pictures = torch.arange(len(token), device=token.device)
    found: Found | None = None
    best: dict[int, Caption] = {}
    for word in range(max_words + 1):
        step = model.step(token, state)
        found = found or nothing_said(step)
        found, parents = extend(found, step, width, length_power, last=word == max_words)
        done = settled(found, max_words, length_power)
        winners = captions(Found(*(x[done][:, :1] for x in found)), vocabulary)
        best |= {i: picture[0] for i, picture in zip(pictures[done].tolist(), winners, strict=True)}
        if done.all():
            break
        state = step.state
        if done.any():  # finished pictures cost nothing more
            left = (~done).nonzero().squeeze(-1)
            pictures, parents, found = pictures[left], parents[left], Found(*(x[left] for x in found))
            state = state.keep(left)
        token, state = found.tokens[..., -1], state.reorder(parents)
    return [best[i] for i in sorted(best)]


def nothing_said(step: Step) -> Found:
    """The empty sentence, one hypothesis a picture."""
    empty = step.logits.new_zeros(*step.logits.shape[:2], 0)
    return Found(empty.long(), step.weights.unsqueeze(2)[:, :, :0], step.logits.new_zeros(step.logits.shape[:2]))


def extend(
    found: Found, step: Step, width: int, length_power: float, last: bool
) -> tuple[Found, Int[Tensor, "batch width"]]:
    """The best `width` of all one-word continuations, best first, and which hypothesis each of them continues."""
    scores, tokens = next_words(step, last).topk(min(width, step.logits.shape[-1]))  # none of the others can be chosen
    ended = has_ended(found).unsqueeze(-1)
    at_no_cost = torch.full_like(scores, -torch.inf)
    at_no_cost[..., 0] = 0.0
    scores = torch.where(ended, at_no_cost, scores)  # a finished hypothesis goes on in one way, by a <pad>
    tokens = tokens.masked_fill(ended, Vocabulary.pad)
    total = found.log_probability.unsqueeze(-1) + scores
    ranking = (total / (lengths(found).unsqueeze(-1) + ~ended) ** length_power).flatten(1)
    chosen = ranking.topk(min(width, ranking.shape[1]), dim=-1).indices
    parents, rows = chosen // scores.shape[-1], torch.arange(len(chosen), device=chosen.device)[:, None]
    said = torch.cat([found.tokens[rows, parents], tokens.flatten(1)[rows, chosen].unsqueeze(-1)], dim=-1)
    weights = torch.cat([found.weights[rows, parents], step.weights[rows, parents].unsqueeze(2)], dim=2)
    return Found(said, weights, total.flatten(1)[rows, chosen]), parents


def lengths(found: Found) -> Int[Tensor, "batch beam"]:
    """Words said, the end counted."""
    return (found.tokens != Vocabulary.pad).sum(-1)


def has_ended(found: Found) -> Bool[Tensor, "batch beam"]:
    """Hypotheses that are whole sentences."""
    return (found.tokens == Vocabulary.end).any(-1)


def settled(found: Found, max_words: int, length_power: float) -> Bool[Tensor, "batch"]:
    """Pictures whose best hypothesis has ended and cannot be overtaken: going on only lowers a log-probability."""
    ended = has_ended(found)
    reachable = (found.log_probability / (max_words + 1) ** length_power).masked_fill(ended, -torch.inf).amax(-1)
    ranking = found.log_probability / lengths(found) ** length_power
    return ended[:, 0] & (ranking[:, 0] >= reachable)
