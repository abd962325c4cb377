"""Measure when captioners look at a picture, and which of two memories a word comes from.

    python -m benchmarks.looking FLICKR8K EVERYDAY

FLICKR8K and EVERYDAY are data sets with a split dev; of the first, the photographs that chose the epoch are left out.

Of drawn scenes: new decoders with soft, hard and adaptive attention learn on the grids of the encoder that ships, with
several seeds each, and are measured on validation scenes. For every word of a reference, the sentinel's weight is
recorded, and what it costs to predict the word without a look at the picture, by the class of the word; the same for
the gate of the captioner that ships. Of photographs: for every word of a caption, the share of the context that came
from tags, and what it costs to predict the word without one part of either memory.

Writes looking.json, each part when it is done; none is measured again with the same weights. The chapter on hard and
adaptive attention shows the tables.
"""

import argparse
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from benchmarks import hard, photographs, record
from companion import checkpoints, datasets, scenes, tasks, training
from companion.decoders import Ensemble, LSTMDecoder, State, TwoMemoryDecoder
from companion.decoding import Caption
from companion.encoders import ConvEncoder, Grid
from companion.metrics import grounding, nouns
from companion.model_card import bootstrap_interval
from companion.models import Captioner
from companion.scenes import Scene
from companion.tasks.scene_batches import to_examples
from companion.training import CaptionBatches, LossFn, TrainConfig

RESULTS = Path(__file__).with_name("looking.json")
CONFIG = TrainConfig(epochs=10, lr=4e-3, batch_size=32, captions_per_image=1)
SCENES, HIDDEN = 1600, 128  # to learn from, and the width of the new decoders
MEASURED = 500  # validation scenes
PHOTOGRAPHS = 150  # of Flickr8k
SEEDS = (0, 1, 2)
ROWS: dict[str, tuple[str, LossFn]] = {  # attention and loss
    "additive": ("additive", training.cross_entropy),
    "hard": ("hard", training.cross_entropy),
    "hard_reinforce": ("hard", hard.reinforce),
    "adaptive": ("adaptive", training.cross_entropy),
}
WITHHELD = ("grid", "tags", "tags' context", "pointer")


class Observation(NamedTuple):
    """One word of a caption: its picture and class, how much the model used of what, and costs in nats."""

    picture: int
    word_class: str
    values: dict[str, float]


def word_class(word: str) -> str:
    """Return the class of a word of a scene; of the other words, articles are a class of their own."""
    return "article" if word in ("a", "an") else scenes.word_class(word)


def summary(observations: Iterable[Observation]) -> dict[str, dict[str, Any]]:
    """Return, for every class, its number of words, and the mean of each value over pictures with its interval.

    A picture counts once, with the mean of its words of the class: words of one picture are not independent.
    """
    of_class: dict[str, list[Observation]] = defaultdict(list)
    for each in observations:
        of_class[each.word_class].append(each)
    table: dict[str, dict[str, Any]] = {}
    for name, own in sorted(of_class.items()):
        table[name] = {"words": len(own), "pictures": len({each.picture for each in own})}
        for key in own[0].values:
            of_picture: dict[int, list[float]] = defaultdict(list)
            for each in own:
                of_picture[each.picture].append(each.values[key])
            means = [float(np.mean(values)) for values in of_picture.values()]
            table[name][key] = [round(float(np.mean(means)), 4), *bootstrap_interval(means)]
    return table


# -- scenes -----------------------------------------------------------------------------------------------------------


@torch.no_grad()
def encode(captioner: Captioner, world: Sequence[Scene]) -> Grid:
    """Return the grids of scenes."""
    parts = [captioner.encode(part) for part in scenes.image_tensor(world).split(250)]
    return parts[0]._replace(features=torch.cat([part.features for part in parts]))


def new_captioner(shipped: Captioner, attention: str, seed: int) -> Captioner:
    """Return the encoder that ships with an untrained decoder."""
    torch.manual_seed(seed)
    channels = cast(ConvEncoder, shipped.encoder).channels
    decoder = LSTMDecoder(len(shipped.vocabulary), channels, HIDDEN, attention=attention, dropout=0.1, positions=True)
    return Captioner(shipped.encoder, decoder, shipped.vocabulary, image_size=shipped.image_size)


def learn(captioner: Captioner, grid: Grid, tokens: Int[Tensor, "image beam word"], *, loss: LossFn, seed: int) -> None:
    """Train the decoder of a captioner in place, on the grids of a frozen encoder."""
    batches = CaptionBatches(
        tokens, lambda chosen, _: grid.select(chosen),
        batch_size=CONFIG.batch_size, captions_per_image=CONFIG.captions_per_image,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as out:
        training.fit(captioner, batches, CONFIG._replace(seed=seed), out=out, validate=lambda _: {}, loss_fn=loss)


@torch.no_grad()
def observe(captioner: Captioner, grid: Grid, captions: Sequence[str]) -> list[Observation]:
    """Return an observation of each word of a caption of every scene, predicted after the true words before it.

    Its values: the weight of the sentinel (0 without one), the mean of the gate over its channels, and the cost: the
    word's log-probability less the one without a look, that is, with all places' values 0; with a sentinel, without
    any places. Only the one word is predicted so; what was read for the words before it stays.
    """
    captioner.eval()
    decoder = cast(LSTMDecoder, captioner.decoder)
    tokens = datasets.collate_captions([[captioner.vocabulary.encode(line)] for line in captions])[:, 0]
    state, found = captioner.start(grid), []
    for previous, target in zip(tokens[:, :-1].unbind(1), tokens[:, 1:].unbind(1), strict=True):
        step = captioner.step(previous[:, None], state)
        without = captioner.step(previous[:, None], blind(state, decoder))
        log_p, other = (s.logits[:, 0].log_softmax(-1).gather(1, target[:, None])[:, 0] for s in (step, without))
        gate = torch.sigmoid(decoder.gate(state.carry[0]))[:, 0].mean(-1)
        sentinel = (1 - step.weights[:, 0].sum(-1)).clamp(min=0)
        for i in (target > captioner.vocabulary.unk).nonzero().flatten().tolist():
            word = captioner.vocabulary.words[int(target[i])]
            values = {"sentinel": float(sentinel[i]), "gate": float(gate[i]), "cost": float(log_p[i] - other[i])}
            found.append(Observation(i, word_class(word), values))
        state = step.state
    return found


def blind(state: State, decoder: LSTMDecoder) -> State:
    """Return the state in which attention finds no places, or, where there is no sentinel, places with the value 0."""
    keys, values = state.memory[:2]
    if "cell_state" in decoder.attention.needs:
        return state._replace(memory=(keys[:, :0], values[:, :0]))
    return state._replace(memory=(keys, torch.zeros_like(values)))


def measure_scenes(row: str, seed: int) -> dict[str, Any]:
    """Train a decoder of a row and return what it does on validation scenes."""
    attention, loss = ROWS[row]
    shipped = checkpoints.load("scenes").eval().requires_grad_(False)
    learnt, world = scenes.make_dataset("train", SCENES), scenes.make_dataset("validation", MEASURED)
    captioner = new_captioner(shipped, attention, seed)
    grid, tokens = encode(shipped, learnt), datasets.caption_tensor(to_examples(learnt), shipped.vocabulary)
    began = time.process_time()
    learn(captioner, grid, tokens, loss=loss, seed=seed)
    seconds = time.process_time() - began
    unseen = encode(shipped, world)
    captions = captioner.caption(unseen, beam=1)
    true = [float(scenes.is_true(c.text, scene)) for c, scene in zip(captions, world, strict=True)]
    return {
        "truth": [round(float(np.mean(true)), 4), *bootstrap_interval(true)],
        "pointing": round(float(np.nan_to_num(grounding.grade(captions, world).pointing)), 4),
        "forced_choice": round(tasks.scene_probes.forced_choice(captioner, world), 4),
        "seconds": round(seconds, 1),
        "words": summary(observe(captioner, unseen, [scene.captions[0].text for scene in world])),
    }


def measure_shipped() -> dict[str, Any]:
    """Return what is observed of the captioner of scenes that ships."""
    captioner, world = checkpoints.load("scenes").eval(), scenes.make_dataset("validation", MEASURED)
    return summary(observe(captioner, encode(captioner, world), [scene.captions[0].text for scene in world]))


# -- photographs ------------------------------------------------------------------------------------------------------


def kind(word: str, caption: Caption) -> str:
    """Return what a word of a caption of a photograph is: one of its tags, another noun, or another word."""
    if word in {tag.word for tag in caption.tags}:
        return "tag"
    return "other noun" if word in nouns.noun_forms() or word in nouns.PERSONS else "other word"


def take_away(state: State, what: str) -> State:
    """Return the state of a decoder with two memories without the "grid" (its values are 0), or without "tags"."""
    keys, values, tag_keys, tokens, known, *rest = state.memory
    if what == "grid":
        return state._replace(memory=(keys, torch.zeros_like(values), tag_keys, tokens, known, *rest))
    return state._replace(memory=(keys, values, tag_keys, tokens, torch.zeros_like(known), *rest))


class Prediction(NamedTuple):
    """What the next word is predicted from: log-probabilities, the tags' share of the context, the next states."""

    log_probs: Float[Tensor, "batch vocab"]
    share: Float[Tensor, "batch"]
    states: list[State]


@torch.no_grad()
def predict(
    decoders: Sequence[TwoMemoryDecoder], states: Sequence[State], token: Int[Tensor, "batch"], without: str = ""
) -> Prediction:
    """Predict the next word, with all of both memories or `without` one of `WITHHELD`.

    Tags have two ways to a word: their context, and the pointer. The share is that of the tags in what the two contexts
    add to the input of the output layer, by the norms of the two.
    """
    logits, shares, after = [], [], []
    for decoder, state in zip(decoders, states, strict=True):
        read = pointed = state
        if without == "grid":
            read = take_away(state, "grid")
        if without in ("tags", "tags' context"):
            read = take_away(state, "tags")
        if without in ("tags", "pointer"):
            pointed = take_away(state, "tags")
        output, reading, following = decoder.attend_and_update(decoder.embed_tokens(token[:, None]), read)
        logits.append(decoder.next_logits(output, pointed).log_softmax(-1)[:, 0])
        weight = decoder.from_context.weight
        grid, tags = (
            (half @ part.T).norm(dim=-1)[:, 0]
            for half, part in zip(reading.context.chunk(2, -1), weight.chunk(2, -1), strict=True)
        )
        shares.append(tags / (tags + grid).clamp_min(1e-9))
        after.append(following)
    return Prediction(torch.stack(logits).mean(0).log_softmax(-1), torch.stack(shares).mean(0), after)


def observe_photographs(captioner: Captioner, grid: Grid, captions: Sequence[Caption]) -> list[Observation]:
    """Return an observation of each word: the share of the tags, and the cost of withholding parts of the memories."""
    decoders = [cast(TwoMemoryDecoder, decoder) for decoder in cast(Ensemble, captioner.decoder).decoders]
    tokens = datasets.collate_captions([[captioner.vocabulary.encode(c.text)] for c in captions])[:, 0]
    states, found = [decoder.start(grid) for decoder in decoders], []
    for t, (previous, target) in enumerate(zip(tokens[:, :-1].unbind(1), tokens[:, 1:].unbind(1), strict=True)):
        own = predict(decoders, states, previous)
        log_p = own.log_probs.gather(1, target[:, None])[:, 0]
        cost = {
            what: log_p - predict(decoders, states, previous, what).log_probs.gather(1, target[:, None])[:, 0]
            for what in WITHHELD
        }
        for i, caption in enumerate(captions):
            if t < len(caption.words):
                values = {"share": float(own.share[i]), **{what: float(x[i]) for what, x in cost.items()}}
                found.append(Observation(i, kind(caption.words[t], caption), values))
        states = own.states
    return found


def measure_photographs(folder: Path, skip: int, count: int | None) -> dict[str, Any]:
    """Return where the words of the captions of photographs come from: of a split dev without its first `skip`."""
    captioner = checkpoints.load("photos").eval()
    examples = datasets.get_split(datasets.read(folder), "dev")[skip:][:count]
    grid, found = photographs.encode(captioner, examples), list[Observation]()
    for part in torch.arange(len(examples)).split(50):
        own = grid.select(part)
        found += [
            each._replace(picture=each.picture + int(part[0]))
            for each in observe_photographs(captioner, own, captioner.caption(own))
        ]
    return {"photographs": len(examples), **summary(found)}


def main() -> None:
    """Measure what is missing in looking.json for the weights that ship, and print it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.looking", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("flickr8k", type=Path, metavar="FLICKR8K")
    parser.add_argument("everyday", type=Path, metavar="EVERYDAY")
    options = parser.parse_args()
    torch.set_num_threads(1)
    facts = {
        "weights": {name: checkpoints.card(name)["sha256"] for name in ("scenes", "photos")},
        "train_config": CONFIG._asdict(),
        "scenes": SCENES,
        "measured": MEASURED,
    }
    results = record.read(RESULTS, facts)
    work: dict[str, Callable[[], dict[str, Any]]] = {
        "shipped": measure_shipped,
        "everyday": lambda: measure_photographs(options.everyday, 0, None),
        "flickr8k": lambda: measure_photographs(options.flickr8k, tasks.photos.VALIDATION_SIZE, PHOTOGRAPHS),
    }
    for seed in SEEDS:
        work |= {f"{row}, seed {seed}": partial(measure_scenes, row, seed) for row in ROWS}
    record.complete(RESULTS, results, work)
    for name in work:
        print(name, results[name])


if __name__ == "__main__":
    main()
