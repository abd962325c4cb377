"""Decoding: greedy search, sampling and beam search, all batched. Explained in the chapter on decoding.

The model is anything with `start(source)` and `step(tokens, state)`: a decoder with a grid, a captioner with images, a
look-up table in a test. No search generates `<pad>`, `<start>` or `<unk>`, and after `max_words` words only `<end>` is
allowed. So a log-probability is always that of a complete caption, and those of two captions can be compared.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from companion.attention import at_least_single
from companion.decoders import State, Step
from companion.tokenizer import ENGLISH, Tokenizer
from companion.vocabulary import Vocabulary


@runtime_checkable
class Model(Protocol):
    """What a search needs of a model."""

    def start(self, source: Any) -> State:
        """Return the state before the first word, one hypothesis per picture."""

    def step(self, tokens: Tensor, state: State) -> Step:
        """Read one token per hypothesis (batch beam) and return the logits of the next."""


class Tag(NamedTuple):
    """A tag of a captioned picture."""

    word: str
    confidence: float  # calibrated log-odds that a caption mentions the word
    detected: bool  # whether a detector named it; otherwise it is an ImageNet class
    box: tuple[float, float, float, float]  # left, top, right, bottom, as fractions of the picture


class Caption(NamedTuple):
    """A generated caption: its words, its log-probability and the attention weights of every word.

    If the decoder attends to tags, too, it also has the weights of these and the tags themselves.
    """

    words: tuple[str, ...]
    log_probability: float  # natural logarithm, summed over the words and `<end>`
    weights: Float[Tensor, "word *place"]  # one axis of places; rows and columns after `models.unflatten_weights`
    tokenizer: Tokenizer = ENGLISH  # of its language
    tag_weights: Float[Tensor, "word tag"] | None = None
    tags: tuple[Tag, ...] = ()  # set by `Captioner.caption`

    @property
    def text(self) -> str:
        """The caption as one line."""
        return self.tokenizer.detokenize(self.words)


class Hypotheses(NamedTuple):
    """Partial captions and their log-probabilities, natural logarithms; the axis `word` is as long as the longest.

    Without tags, `tag_weights` has no columns.
    """

    tokens: Int[Tensor, "batch beam word"]
    weights: Float[Tensor, "batch beam word place"]
    tag_weights: Float[Tensor, "batch beam word tag"]
    log_probability: Float[Tensor, "batch beam"]


def next_log_probs(step: Step, *, last: bool) -> Float[Tensor, "batch beam vocab"]:
    """Return the log-probabilities of the next token, minus infinity for tokens that may not be generated.

    With `last`, only `<end>` is left. Logits in half precision give log-probabilities in single precision.
    """
    scores = at_least_single(step.logits).log_softmax(-1)
    scores[..., [Vocabulary.pad, Vocabulary.start, Vocabulary.unk]] = -torch.inf
    if last:
        scores[..., [i for i in range(scores.shape[-1]) if i != Vocabulary.end]] = -torch.inf
    return scores


def first_tokens(state: State) -> Int[Tensor, "batch beam"]:
    """Return `<start>` for every hypothesis."""
    batch, beam = state.carry[0].shape[:2]
    return torch.full((batch, beam), Vocabulary.start, device=state.carry[0].device)


def tag_weights_of(step: Step) -> Float[Tensor, "batch beam tag"]:
    """Return the attention weights of a step over the tags; a tensor without columns if the decoder has none."""
    return step.weights[..., :0] if step.tag_weights is None else step.tag_weights


def check_limits(**at_least_one: int) -> None:
    """Raise ValueError, naming the argument, for a value below one."""
    for name, value in at_least_one.items():
        if value < 1:
            raise ValueError(f"{name} must be at least 1; it is {value}")


def longest(max_words: int | None, vocabulary: Vocabulary) -> int:
    """Return `max_words`, by default that of the vocabulary's tokenizer. Raises ValueError if it is below one."""
    max_words = vocabulary.tokenizer.max_words if max_words is None else max_words
    check_limits(max_words=max_words)
    return max_words


def check_finite(scores: Float[Tensor, "batch *beam"], pictures: Int[Tensor, "batch"] | None = None) -> None:
    """Raise ValueError, naming the picture, where a score is not finite: no word has a probability there.

    The index of a picture is its place in the batch, or that which `pictures` has for it.
    """
    bad = ~scores.flatten(1).isfinite().all(1)
    if bad.any():
        index = (bad.nonzero()[0, 0] if pictures is None else pictures[bad][0]).item()
        raise ValueError(
            f"picture {index} of the batch cannot be captioned: the scores of its words are not finite; "
            "look for NaN or infinity in its pixels or features, and in the model's weights"
        )


def to_captions(hypotheses: Hypotheses, vocabulary: Vocabulary) -> list[list[Caption]]:
    """Return the hypotheses as captions: a list per picture, in the order of the beam axis."""
    return [
        [
            Caption(
                tuple(words := vocabulary.decode(ids.tolist())),
                float(score),
                weights[: len(words)],
                vocabulary.tokenizer,
                tag_weights[: len(words)] if tag_weights.shape[-1] else None,
            )
            for ids, weights, tag_weights, score in zip(*picture, strict=True)
        ]
        for picture in zip(*hypotheses, strict=True)
    ]


def _generate(model: Model, state: State, choose: Callable[[Tensor], Tensor], max_words: int) -> Hypotheses:
    """Generate word by word, each chosen from the log-probabilities by `choose`, until all captions have ended."""
    token = first_tokens(state)
    total, ended = torch.zeros(token.shape, device=token.device), torch.zeros_like(token, dtype=torch.bool)
    tokens, weights, tag_weights = [], [], []
    for word in range(max_words + 1):
        step = model.step(token, state)
        scores = next_log_probs(step, last=word == max_words)
        check_finite(scores.amax(-1).masked_fill(ended, 0.0))
        token = choose(scores).masked_fill(ended, Vocabulary.pad)
        total += scores.gather(-1, token.unsqueeze(-1)).squeeze(-1).masked_fill(ended, 0.0)
        tokens.append(token)
        weights.append(step.weights)
        tag_weights.append(tag_weights_of(step))
        state, ended = step.state, ended | (token == Vocabulary.end)
        if ended.all():
            break
    return Hypotheses(torch.stack(tokens, -1), torch.stack(weights, -2), torch.stack(tag_weights, -2), total)


@torch.inference_mode()
def greedy(model: Model, source: Any, vocabulary: Vocabulary, *, max_words: int | None = None) -> list[Caption]:
    """Return one caption per picture, of at most `max_words` words: at each step the most probable word.

    By default `max_words` is that of the vocabulary's tokenizer: 20 words.
    """
    max_words = longest(max_words, vocabulary)
    hypotheses = _generate(model, model.start(source), lambda scores: scores.argmax(-1), max_words)
    return [picture[0] for picture in to_captions(hypotheses, vocabulary)]


@torch.inference_mode()
def sample(
    model: Model,
    source: Any,
    vocabulary: Vocabulary,
    *,
    count: int = 1,
    max_words: int | None = None,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float = 1.0,
    generator: torch.Generator | None = None,
) -> list[list[Caption]]:
    """Return `count` captions per picture, each word drawn from the model's distribution.

    The log-probability of a caption is the model's own, before temperature and truncation.

    Args:
        model, source, vocabulary: what generates, from what, and its words.
        count: captions per picture.
        max_words: longest caption; by default that of the vocabulary's tokenizer.
        temperature: divides the logits first; below 1 it favours probable words.
        top_k: keep only the k most probable words.
        top_p: keep the smallest set of words with this share of the probability (Holtzman et al. 2020, section 3.1).
        generator: source of randomness.

    Raises:
        ValueError: an argument outside its range.
    """
    max_words = longest(max_words, vocabulary)
    check_limits(count=count, top_k=1 if top_k is None else top_k)
    if not (0 < temperature < torch.inf and 0 < top_p <= 1):
        raise ValueError(f"temperature must be finite and above 0, top_p in (0, 1]; they are {temperature} and {top_p}")

    def choose(scores: Tensor) -> Tensor:
        scores = scores / temperature
        if top_k or top_p < 1:  # skipped otherwise: sorting the vocabulary costs more than the model's own step
            scores = nucleus(scores, top_k or scores.shape[-1], top_p)
        return torch.multinomial(scores.softmax(-1).flatten(0, 1), 1, generator=generator).view(scores.shape[:2])

    state = model.start(source)
    pictures = len(state.carry[0])
    state = state.reorder(torch.zeros(pictures, count, dtype=torch.long, device=state.carry[0].device))
    return to_captions(_generate(model, state, choose, max_words), vocabulary)


def nucleus(scores: Float[Tensor, "*batch vocab"], top_k: int, top_p: float) -> Float[Tensor, "*batch vocab"]:
    """Return the scores with minus infinity outside the `top_k` most probable words and outside the nucleus.

    The nucleus is the smallest set of most probable words whose probabilities sum to `top_p` or more.
    """
    ordered, order = scores.sort(-1, descending=True)
    probability = ordered.softmax(-1)
    before = probability.cumsum(-1) - probability  # of more probable words: 0 for the first, which therefore stays
    rank = torch.arange(scores.shape[-1], device=scores.device)
    limit = top_p if top_p < 1 else torch.inf  # a rounded sum may reach 1 long before the last word
    ordered = ordered.masked_fill((before >= limit) | (rank >= top_k), -torch.inf)
    return torch.empty_like(scores).scatter_(-1, order, ordered)


@torch.inference_mode()
def beam_search(
    model: Model,
    source: Any,
    vocabulary: Vocabulary,
    width: int = 5,
    *,
    max_words: int | None = None,
    length_power: float = 0.0,
) -> list[Caption]:
    """Return one caption per picture, found by keeping the `width` best hypotheses at every step.

    Hypotheses are ranked by `log_probability / words ** length_power`, with `<end>` counted as a word.
    Log-probabilities are negative, so a power above 0 favours long captions; 0 ranks by log-probability alone. A
    complete hypothesis keeps its place in the beam until better ones displace it. The search for a picture stops when
    its best hypothesis is complete and no other can overtake it (`finished`). By default `max_words` is that of the
    vocabulary's tokenizer.

    Raises:
        ValueError: a width or a length below one, or a power that is negative or infinite.
    """
    max_words = longest(max_words, vocabulary)
    check_limits(width=width)
    if not 0 <= length_power < torch.inf:
        raise ValueError(f"length_power must be finite and not negative; it is {length_power}")
    state = model.start(source)
    token = first_tokens(state)
    pictures = torch.arange(len(token), device=token.device)
    hypotheses: Hypotheses | None = None
    best: dict[int, Caption] = {}
    for word in range(max_words + 1):
        step = model.step(token, state)
        hypotheses = hypotheses or empty_hypotheses(step)
        hypotheses, parents = advance_beams(hypotheses, step, width, length_power=length_power, last=word == max_words)
        check_finite(hypotheses.log_probability[:, :1], pictures)  # NaN ranks first
        done = finished(hypotheses, max_words, length_power)
        winners = to_captions(Hypotheses(*(x[done][:, :1] for x in hypotheses)), vocabulary)
        best |= {i: picture[0] for i, picture in zip(pictures[done].tolist(), winners, strict=True)}
        if done.all():
            break
        state = step.state
        if done.any():  # finished pictures cost nothing more
            left = (~done).nonzero().squeeze(-1)
            pictures, parents = pictures[left], parents[left]
            hypotheses, state = Hypotheses(*(x[left] for x in hypotheses)), state.select(left)
        token, state = hypotheses.tokens[..., -1], state.reorder(parents)
    return [best[i] for i in range(len(best))]


def empty_hypotheses(step: Step) -> Hypotheses:
    """Return the empty caption, one hypothesis per picture, with the dtypes and devices of `step`."""
    zeros = at_least_single(step.logits.new_zeros(step.logits.shape[:2]))
    weights, tag_weights = (each.unsqueeze(2)[:, :, :0] for each in (step.weights, tag_weights_of(step)))
    return Hypotheses(zeros.unsqueeze(-1)[..., :0].long(), weights, tag_weights, zeros)


def advance_beams(
    hypotheses: Hypotheses, step: Step, width: int, *, length_power: float, last: bool
) -> tuple[Hypotheses, Int[Tensor, "batch width"]]:
    """Return the best `width` continuations by one word, best first, and the index of the hypothesis each continues."""
    # Of one hypothesis, only its best `width` continuations can be among the best `width` of all hypotheses.
    scores, tokens = next_log_probs(step, last=last).topk(min(width, step.logits.shape[-1]))
    ended = has_ended(hypotheses).unsqueeze(-1)
    padding = torch.full_like(scores, -torch.inf)
    padding[..., 0] = 0.0
    scores = torch.where(ended, padding, scores)  # a complete hypothesis is continued by <pad> alone, at no cost
    tokens = tokens.masked_fill(ended, Vocabulary.pad)
    total = hypotheses.log_probability.unsqueeze(-1) + scores
    ranking = (total / (lengths(hypotheses).unsqueeze(-1) + ~ended) ** length_power).flatten(1)
    chosen = ranking.topk(min(width, ranking.shape[1]), dim=-1).indices
    parents, rows = chosen // scores.shape[-1], torch.arange(len(chosen), device=chosen.device)[:, None]
    new_tokens = torch.cat([hypotheses.tokens[rows, parents], tokens.flatten(1)[rows, chosen].unsqueeze(-1)], dim=-1)
    weights, tag_weights = (
        torch.cat([earlier[rows, parents], new[rows, parents].unsqueeze(2)], dim=2)
        for earlier, new in (
            (hypotheses.weights, step.weights),
            (hypotheses.tag_weights, tag_weights_of(step)),
        )
    )
    return Hypotheses(new_tokens, weights, tag_weights, total.flatten(1)[rows, chosen]), parents


def lengths(hypotheses: Hypotheses) -> Int[Tensor, "batch beam"]:
    """Return the number of words, `<end>` included."""
    return (hypotheses.tokens != Vocabulary.pad).sum(-1)


def has_ended(hypotheses: Hypotheses) -> Bool[Tensor, "batch beam"]:
    """Return True for complete captions, those with `<end>`."""
    return (hypotheses.tokens == Vocabulary.end).any(-1)


def finished(hypotheses: Hypotheses, max_words: int, length_power: float) -> Bool[Tensor, "batch"]:
    """Return True for pictures whose best hypothesis is complete and can no longer be overtaken.

    An incomplete hypothesis can only lose log-probability, so the best rank that it can still reach is its present
    log-probability divided by the largest possible length to the power.
    """
    ended = has_ended(hypotheses)
    reachable = (hypotheses.log_probability / (max_words + 1) ** length_power).masked_fill(ended, -torch.inf).amax(-1)
    ranking = hypotheses.log_probability / lengths(hypotheses) ** length_power
    return ended[:, 0] & (ranking[:, 0] >= reachable)
