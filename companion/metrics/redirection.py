"""Redirected attention: which word comes if a word is given the attention of another object of the scene.

A map shows where the attention of a word lies; this intervention shows whether the word depends on it. `find_probes`
chooses the words, `redirect` changes what their attention brings, and `predict` has the model predict them again. It
uses `start` and `step` alone, so the encoder and the attention mechanism may be any. Explained in the chapter on
grounding.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from companion import datasets, scenes
from companion.decoders import State
from companion.decoding import Caption
from companion.models import Captioner
from companion.scenes import Scene
from companion.scenes.words import PLURALS

_SHAPE_OF = {plural: shape for shape, plural in PLURALS.items()}


class Probe(NamedTuple):
    """A word for a shape in a caption, and another such word there, for an object of another shape."""

    caption: int  # the index of the caption
    word: int  # the position of the word that is predicted again
    other: int  # the position of the word whose attention it is given


def find_probes(captions: Sequence[Caption], world: Sequence[Scene]) -> list[Probe]:
    """Return a probe for every shape word of the true captions that name a second shape; `world[i]` has caption i.

    Of several other shapes, the first in the caption is taken.
    """
    probes = []
    for index, (caption, scene) in enumerate(zip(captions, world, strict=True)):
        if not scenes.is_true(caption.text, scene):
            continue
        shapes = {t: shape_name(w) for t, w in enumerate(caption.words) if scenes.word_class(w) == "shape"}
        for word, shape in shapes.items():
            others = [position for position, other in shapes.items() if other != shape]
            probes += [Probe(index, word, others[0])] if others else []
    return probes


def shape_name(word: str) -> str:
    """Return the shape that a noun names, "star" for "stars"; any other word unchanged."""
    return _SHAPE_OF.get(word, word)


def redirect(state: State, weights: Float[Tensor, "batch place"]) -> State:
    """Return the state in which attention brings the average of the values under `weights`, whatever the query.

    Every place gets this average as its value, and the average of equal vectors is the vector itself. Keys, and with
    them the model's own weights, stay; so do the previous words. With several heads, each gets the same weights; a
    sentinel keeps the weight that it has. `State.memory` holds keys and values in turn.
    """
    memory = list(state.memory)
    for i in range(1, len(memory), 2):
        values = memory[i]  # batch (head) place channel
        given = weights.to(values).view(len(weights), *[1] * (values.ndim - 2), -1)
        memory[i] = (given @ values).expand_as(values)
    return state._replace(memory=tuple(memory))


@torch.no_grad()
def predict(
    captioner: Captioner,
    captions: Sequence[Caption],
    world: Sequence[Scene],
    probes: Sequence[Probe],
    weights: Float[Tensor, "probe place"],
    *,
    batch_size: int = 100,
) -> list[str]:
    """Return the most probable word for each probe, after the same previous words, with its attention redirected.

    Only the step that predicts the word is changed; the words before it are read with the model's own attention.
    """
    vocabulary, words = captioner.eval().vocabulary, []
    for first in range(0, len(probes), batch_size):
        part = probes[first : first + batch_size]
        tokens = datasets.collate_captions([[vocabulary.encode(captions[p.caption].text)] for p in part])[:, 0]
        state = captioner.start(scenes.image_tensor([world[p.caption] for p in part]))
        given, logits = weights[first : first + batch_size], []
        for previous in tokens[:, :-1].unbind(1):
            logits.append(captioner.step(previous[:, None], redirect(state, given)).logits[:, 0])
            state = captioner.step(previous[:, None], state).state
        chosen = [logits[p.word][row].argmax().item() for row, p in enumerate(part)]
        words += [vocabulary.words[int(i)] for i in chosen]
    return words


def outcomes(words: Sequence[str], captions: Sequence[Caption], probes: Sequence[Probe]) -> list[str]:
    """Return, for each predicted word, whether it names its "own" shape, that of the "other" object, or "neither"."""
    results = []
    for word, probe in zip(words, probes, strict=True):
        own, other = (shape_name(captions[probe.caption].words[t]) for t in (probe.word, probe.other))
        results.append({own: "own", other: "other"}.get(shape_name(word), "neither"))
    return results
