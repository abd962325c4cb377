"""Whether attention explains a word: attention beside other maps of importance, on scenes whose objects are known.

    python -m benchmarks.explanation

The words are shape words of true greedy captions of validation scenes, one of each scene, that refer to one object.
Every map has a value for each place of the grid. Measured are, with the captioner of scenes that ships:

- maps: for each of `METHODS`, the pointing score and the mass on the object, and the areas under the curves of deletion
  and insertion;
- other weights: the word after the same words, with uniform and permuted attention, and with weights that a search made
  as different as possible at an equal output;
- random weights: each map before and after a part of the captioner is replaced by an untrained one.

All values are stored scene by scene, so that differences can be paired. Every part is added to explanation.json when it
is done, and none is repeated; with other weights the file begins anew. The chapter "Is attention an explanation?" shows
the tables. It takes about five minutes of one core.
"""

import copy
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from benchmarks import record
from companion import checkpoints, models, scenes, tasks
from companion.decoders import State
from companion.metrics import grounding, redirection
from companion.models import Captioner

RESULTS = Path(__file__).with_name("explanation.json")
POOL, SCENES = 400, 300  # validation scenes that are captioned, and those of them that are used
SIDE, CELL = 8, 8  # places along a side of the grid, pixels along a side of a place
PLACES = SIDE**2
COUNTS = (0, 1, 2, 4, 8, 12, 16, 24, 32, 48, 64)  # of places that are removed, or put in
PERMUTATIONS = 100
TOLERANCE, SEARCH_STEPS, PENALTY = 0.01, 300, 50.0  # of the search for other weights
RANDOM_SCENES, SEEDS = 100, (0, 1, 2)  # for random weights

Images = Float[Tensor, "batch 3 row col"]
Map = Float[Tensor, "row col"]


class Word(NamedTuple):
    """A word of a caption: the picture, the tokens before the word, its own token and the object that it refers to.

    It is repeated if another object of the scene has the same shape.
    """

    image: Float[Tensor, "3 row col"]
    read: Int[Tensor, "word"]
    token: int
    mask: Bool[np.ndarray, "row col"]
    repeated: bool


def find_words(captioner: Captioner, pool: int = POOL, count: int = SCENES) -> list[Word]:
    """Return a shape word of each of the first `count` scenes that have one, of `pool` scenes of validation.

    Its caption is true, and it refers to one object. Of several such words, scene i has number i modulo their number.
    """
    world = scenes.make_dataset("validation", pool)
    words = []
    for i, (caption, scene) in enumerate(zip(tasks.scenes.caption(captioner, world, beam=1), world, strict=True)):
        aligned = scenes.align(" ".join(caption.words), scene) or ()
        shapes = [t for t, o in enumerate(aligned) if len(o) == 1 and scenes.word_class(caption.words[t]) == "shape"]
        if shapes:
            t = shapes[i % len(shapes)]
            tokens = torch.tensor(captioner.vocabulary.encode(caption.text))
            image = scenes.image_tensor([scene])[0].float()
            (item,) = aligned[t]
            repeated = [each.shape for each in scene.objects].count(scene.objects[item].shape) > 1
            words.append(Word(image, tokens[: t + 1], int(tokens[t + 1]), scene.masks[item], repeated))
    return words[:count]


def score(captioner: Captioner, word: Word, images: Images) -> Float[Tensor, "batch"]:
    """Return the log-probability of the word in each of the images, after the same tokens."""
    read = word.read.expand(len(images), 1, -1)
    return captioner(images, read).logits[:, 0, -1].log_softmax(-1)[:, word.token]


def ground(word: Word) -> Float[Tensor, "3 row col"]:
    """Return a picture of the scene's ground alone: everywhere the median of each channel."""
    return word.image.flatten(1).median(-1).values[:, None, None].expand_as(word.image)


def to_pixels(places: Tensor) -> Tensor:
    """Return values of places (... row col), or booleans, as values of their pixels."""
    return places.repeat_interleave(CELL, -2).repeat_interleave(CELL, -1)


def to_places(pixels: Float[Tensor, "3 height width"]) -> Map:
    """Return the sums of values of pixels over the channels and over each place."""
    return pixels.unflatten(2, (SIDE, CELL)).unflatten(1, (SIDE, CELL)).sum((0, 2, 4))


# -- maps -------------------------------------------------------------------------------------------------------------


@torch.no_grad()
def attention(captioner: Captioner, word: Word) -> Map:
    """Return the attention weights with which the word is predicted."""
    return captioner(word.image[None], word.read[None, None]).weights[0, 0, -1].view(SIDE, SIDE)


@torch.no_grad()
def occlusion(captioner: Captioner, word: Word) -> Map:
    """Return by how much the score falls when a place is painted over (Zeiler and Fergus 2014, section 4.2)."""
    hidden = to_pixels(torch.eye(PLACES, dtype=torch.bool).view(PLACES, 1, SIDE, SIDE))
    painted = torch.where(hidden, ground(word), word.image)
    return (score(captioner, word, word.image[None]) - score(captioner, word, painted)).view(SIDE, SIDE)


def gradients(captioner: Captioner, word: Word, images: Images) -> Images:
    """Return the gradient of the score with respect to each of the images."""
    images = images.detach().requires_grad_()
    with torch.enable_grad():
        (gradient,) = torch.autograd.grad(score(captioner, word, images).sum(), images)
    return gradient


def gradient(captioner: Captioner, word: Word) -> Map:
    """Return the sums of the gradient's absolute values (Simonyan et al. 2014, section 3; there the largest value)."""
    return to_places(gradients(captioner, word, word.image[None])[0].abs())


def gradient_times_difference(captioner: Captioner, word: Word) -> Map:
    """Return the gradient times the difference to the ground: to first order, the effect of occlusion."""
    difference = word.image - ground(word)
    return to_places(gradients(captioner, word, word.image[None])[0] * difference)


def edges(_: Captioner, word: Word) -> Map:
    """Return the sums of the absolute differences of neighbouring pixels: a map that no model has a part in."""
    down, across = (torch.diff(word.image, dim=axis, append=word.image.narrow(axis, -1, 1)) for axis in (1, 2))
    return to_places(down.abs() + across.abs())


def centre(_: Captioner, word: Word) -> Map:
    """Return a map that is largest in the middle, and falls with the distance from it."""
    from_middle = torch.arange(SIDE) - (SIDE - 1) / 2
    return 1 / (1 + from_middle[:, None] ** 2 + from_middle**2)


def at_random(_: Captioner, word: Word) -> Map:
    """Return random values, the same in every call for a picture."""
    return torch.rand(SIDE, SIDE, generator=torch.Generator().manual_seed(int(word.image.sum())))


def object_mask(_: Captioner, word: Word) -> Map:
    """Return the share of each place that the object covers: the map that a person might draw."""
    return torch.from_numpy(grounding.covered(word.mask, SIDE, SIDE)).float()


METHODS: dict[str, Callable[[Captioner, Word], Map]] = {
    "attention": attention,
    "occlusion": occlusion,
    "gradient": gradient,
    "gradient x difference": gradient_times_difference,
    "edges": edges,
    "centre": centre,
    "random": at_random,
    "object mask": object_mask,
}
OF_THE_MODEL = ("attention", "occlusion", "gradient", "gradient x difference")  # for random weights


def evidence(values: Map) -> Map:
    """Return the positive part of a map, with the sum one; a map without one is uniform."""
    positive = values.clamp(min=0) + 1e-12
    return positive / positive.sum()


@torch.no_grad()
def curves(captioner: Captioner, word: Word, values: Map) -> Float[Tensor, "2 point"]:
    """Return the word's probability as places are deleted, and as they are inserted, those with large values first.

    They are deleted from the picture, and inserted into its ground, until there are each of `COUNTS` (Petsiuk et al.
    2018, RISE; there one inserts into a blurred picture).
    """
    rank = values.flatten().argsort(descending=True, stable=True).argsort().view(1, 1, SIDE, SIDE)
    first = to_pixels(rank < torch.tensor(COUNTS).view(-1, 1, 1, 1))
    pictures = (
        torch.where(first, ground(word), word.image),
        torch.where(first, word.image, ground(word)),
    )
    return torch.stack([score(captioner, word, each).exp() for each in pictures])


def area(curve: Float[Tensor, "*batch point"]) -> Float[Tensor, "*batch"]:
    """Return the area under a curve over the share of the places, from 0 to 1, by the trapezoidal rule."""
    return torch.trapezoid(curve, torch.tensor(COUNTS) / PLACES, dim=-1)


def measure_maps(captioner: Captioner, words: Sequence[Word], method: str) -> dict[str, list[float]]:
    """Return the scores of a method, one for each word, and its mean curves."""
    maps = [METHODS[method](captioner, word) for word in words]
    pairs = list(zip(maps, words, strict=True))
    both = torch.stack([curves(captioner, word, values) for values, word in pairs])
    return {
        "pointing": [float(grounding.pointing(values, word.mask)) for values, word in pairs],
        "mass": rounded([grounding.attention_mass(evidence(values), word.mask) for values, word in pairs]),
        "deletion": rounded(area(both[:, 0])),
        "insertion": rounded(area(both[:, 1])),
        "deletion_curve": rounded(both[:, 0].mean(0)),
        "insertion_curve": rounded(both[:, 1].mean(0)),
    }


def measure_chance(words: Sequence[Word]) -> dict[str, float]:
    """Return the pointing score of a random place and the mass of a uniform map."""
    covered = np.stack([grounding.covered(word.mask, SIDE, SIDE) for word in words])
    pointing, mass = rounded([(covered > 0).mean(), covered.mean()])
    return {"pointing": pointing, "mass": mass}


# -- other weights ----------------------------------------------------------------------------------------------------


@torch.no_grad()
def state_before(captioner: Captioner, word: Word) -> State:
    """Return the state in which the word's last token before it has not been read."""
    state = captioner.start(word.image[None])
    for token in word.read[:-1]:
        state = captioner.step(token.view(1, 1), state).state
    return state


def predict(
    captioner: Captioner, state: State, last: Int[Tensor, "batch 1"], weights: Float[Tensor, "batch place"]
) -> Float[Tensor, "batch vocab"]:
    """Return the probabilities of the next word with these attention weights, everything else being the same."""
    return captioner.step(last, redirection.redirect(state, weights)).logits[:, 0].softmax(-1)


def total_variation(one: Tensor, other: Tensor) -> Float[Tensor, "*batch"]:
    """Return half the sum of the absolute differences, from 0 to 1."""
    return (one - other).abs().sum(-1) / 2


def jensen_shannon(one: Tensor, other: Tensor) -> Float[Tensor, "*batch"]:
    """Return the Jensen-Shannon divergence in nats, from 0 to ln 2."""

    def entropy(p: Tensor) -> Tensor:
        return torch.special.entr(p.clamp(min=1e-9)).sum(-1)  # whose gradient is infinite at zero

    return entropy((one + other) / 2) - (entropy(one) + entropy(other)) / 2


@torch.no_grad()
def measure_permuted(captioner: Captioner, words: Sequence[Word]) -> dict[str, list[float]]:
    """Return how often each word stays with its own, uniform and permuted weights, and the change of the output.

    The change is the median over the permutations of the total variation (Jain and Wallace 2019, section 4.2.1).
    """
    generator = torch.Generator().manual_seed(0)
    rows: dict[str, list[float]] = {"own": [], "uniform": [], "permuted": [], "change": [], "largest_weight": []}
    for word in words:
        state, last = state_before(captioner, word), word.read[-1:, None]
        step = captioner.step(last, state)
        own, output = step.weights[0, 0], step.logits[0, 0].softmax(-1)
        order = torch.rand(PERMUTATIONS, PLACES, generator=generator).argsort(1)
        given = torch.cat([own[None], torch.full((1, PLACES), 1 / PLACES), own[order]])
        many = State(*(tuple(x.expand(len(given), *x.shape[1:]) for x in part) for part in state))
        probability = predict(captioner, many, last.expand(len(given), 1), given)
        same = (probability.argmax(-1) == word.token).float()
        change = total_variation(probability[2:], output).median()
        values = (same[0], same[1], same[2:].mean(), change, own.max())
        for name, value in zip(rows, rounded(values), strict=True):
            rows[name].append(value)
    return rows


def search_weights(
    captioner: Captioner, words: Sequence[Word], *, off_object: bool
) -> tuple[Float[Tensor, "word place"], Float[Tensor, "word place"], Bool[Tensor, "word"]]:
    """Return the words' own weights, the most different ones found at an equal output, and whether any were found.

    The Jensen-Shannon divergence is made large by Adam, with a penalty on a total variation of the output above
    `TOLERANCE` (Jain and Wallace 2019, section 4.2.2). With `off_object`, no place that the object touches has weight.
    """
    states = [state_before(captioner, word) for word in words]
    state = State(*(tuple(torch.cat(parts) for parts in zip(*each, strict=True)) for each in zip(*states, strict=True)))
    last = torch.stack([word.read[-1:] for word in words])
    with torch.no_grad():
        step = captioner.step(last, state)
    own, output = step.weights[:, 0], step.logits[:, 0].softmax(-1)
    touched = torch.stack([object_mask(captioner, word).flatten() > 0 for word in words])
    logits = torch.randn(own.shape, generator=torch.Generator().manual_seed(0)).requires_grad_()
    optimizer = torch.optim.Adam([logits], lr=0.3)
    best, largest = own.clone(), torch.full((len(words),), -torch.inf)
    for _ in range(SEARCH_STEPS):
        weights = (logits.masked_fill(touched, -torch.inf) if off_object else logits).softmax(-1)
        change = total_variation(predict(captioner, state, last, weights), output)
        divergence = jensen_shannon(weights, own)
        with torch.no_grad():
            better = (change <= TOLERANCE) & (divergence > largest)
            best[better], largest[better] = weights[better], divergence[better]
        optimizer.zero_grad()
        (PENALTY * (change - TOLERANCE).clamp(min=0) - divergence).sum().backward()
        optimizer.step()
    return own, best, largest.isfinite()


def measure_search(captioner: Captioner, words: Sequence[Word], *, off_object: bool) -> dict[str, list[float]]:
    """Return for each word whether other weights were found, their divergence, and the scores of both maps."""
    own, other, found = search_weights(captioner, words, off_object=off_object)
    rows: dict[str, list[float]] = {"found": found.float().tolist(), "divergence": rounded(jensen_shannon(other, own))}
    for name, group in (("own", own), ("other", other)):
        pairs = [(each.view(SIDE, SIDE), word.mask) for each, word in zip(group, words, strict=True)]
        rows[f"{name}_pointing"] = [float(grounding.pointing(*pair)) for pair in pairs]
        rows[f"{name}_mass"] = rounded([grounding.attention_mass(*pair) for pair in pairs])
    return rows


# -- random weights ---------------------------------------------------------------------------------------------------

PARTS = {  # of a captioner, outermost layers first
    "output layer": ("decoder.from_hidden", "decoder.from_context"),
    "decoder": ("decoder",),
    "encoder": ("encoder",),
}


def randomize(captioner: Captioner, part: str, seed: int) -> Captioner:
    """Return a copy in which a part is that of an untrained captioner (Adebayo et al. 2018, Sanity checks).

    The matrix of the output layer that is tied to the embedding stays: without it no word would be read either.
    """
    torch.manual_seed(seed)
    config = captioner.config
    untrained = models.build(vocabulary=captioner.vocabulary, **config).eval().requires_grad_(False)
    captioner = copy.deepcopy(captioner)
    for name in PARTS[part]:
        captioner.get_submodule(name).load_state_dict(untrained.get_submodule(name).state_dict())
    return captioner


def rank_correlation(one: Map, other: Map) -> float:
    """Return Spearman's rank correlation of two maps without equal values."""
    ranks = [values.flatten().argsort().argsort().double() for values in (one, other)]
    return float(torch.corrcoef(torch.stack(ranks))[0, 1])


def compare(some: Sequence[Map], others: Sequence[Map]) -> dict[str, list[float]]:
    """Return the rank correlations of pairs of maps, as they are and of their absolute values."""
    pairs = list(zip(some, others, strict=True))
    return {
        "correlation": rounded([rank_correlation(a, b) for a, b in pairs]),
        "absolute": rounded([rank_correlation(a.abs(), b.abs()) for a, b in pairs]),
    }


def measure_random(captioner: Captioner, words: Sequence[Word], part: str) -> dict[str, dict[str, list[float]]]:
    """Return for each method its correlation with itself before, signed and absolute, and its pointing score after.

    The words take the untrained captioners of `SEEDS` in turn.
    """
    changed = [randomize(captioner, part, seed) for seed in SEEDS]
    results = {}
    for method in OF_THE_MODEL:
        make = METHODS[method]
        before = [make(captioner, word) for word in words]
        after = [make(changed[i % len(SEEDS)], word) for i, word in enumerate(words)]
        results[method] = compare(before, after) | {
            "pointing": [float(grounding.pointing(each, word.mask)) for each, word in zip(after, words, strict=True)]
        }
    return results


def measure_unrelated(captioner: Captioner, words: Sequence[Word]) -> dict[str, dict[str, list[float]]]:
    """Return for each method the correlation of each word's map with that of the next picture: the baseline."""
    results = {}
    for method in OF_THE_MODEL:
        maps = [METHODS[method](captioner, word) for word in words]
        results[method] = compare(maps, [*maps[1:], maps[0]])
    return results


# -- the file ---------------------------------------------------------------------------------------------------------


def rounded(values: Any) -> list[float]:
    """Return numbers as a list, to four places."""
    return [round(float(value), 4) for value in values]


def parts(captioner: Captioner, words: Sequence[Word]) -> dict[str, Callable[[], Any]]:
    """Return everything that explanation.json has, by name, as functions that measure it."""
    few = words[:RANDOM_SCENES]
    return {
        "chance": partial(measure_chance, words),
        "repeated": lambda: [word.repeated for word in words],
        "permuted": partial(measure_permuted, captioner, words),
        "search": partial(measure_search, captioner, words, off_object=False),
        "search off the object": partial(measure_search, captioner, words, off_object=True),
        **{f"map: {name}": partial(measure_maps, captioner, words, name) for name in METHODS},
        "random: another picture": partial(measure_unrelated, captioner, few),
        **{f"random: {part}": partial(measure_random, captioner, few, part) for part in PARTS},
    }


def main() -> None:
    """Measure what is missing in explanation.json."""
    weights = checkpoints.card("scenes")["sha256"]
    facts = {"weights": weights, "split": "validation", "scenes": SCENES, "counts": COUNTS}
    results = record.read(RESULTS, facts)
    captioner = checkpoints.load("scenes").eval().requires_grad_(False)
    record.complete(RESULTS, results, parts(captioner, find_words(captioner)))


if __name__ == "__main__":
    main()
