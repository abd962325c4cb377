"""Data in, a trained checkpoint with its card out: the two runs that made the weights that ship.

The numbers stand at the top; each recipe reads from top to bottom. Explained in chapters 11 and 16.
"""

import platform
import shlex
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor

from companion import cards, checkpoints, datasets, evaluation, features, grounding, plots, rewards, scenes
from companion.augment import flip_falsifies
from companion.batches import caption_tensor, similar
from companion.captioner import Captioner, build
from companion.datasets import Example
from companion.distribution import first, in_turn, share, start
from companion.files import write_whole
from companion.training import Batch, Plan, fit, rounded
from companion.vocabulary import Vocabulary

TINY = Plan(epochs=4, rate=6e-3, captions=2, shown=2.0, judged=2, judged_rate=1e-3)
BASE = Plan(epochs=4, rate=4e-3, captions=2, shown=2.0, forget=0.3, judged=3, judged_rate=6e-4, least=0.005)
SCENES = {"tiny": (TINY, 12_500), "base": (BASE, 33_000)}  # the plan, and how many scenes are drawn
MEASURED = 1000  # scenes, for the card
PHOTOS = Plan(
    epochs=9, rate=1.5e-3, batch=32, captions=3, decay=0.05, smoothing=0.1, judged=1, judged_rate=3e-5, temperature=0.5
)
PHOTOS_ON = PHOTOS._replace(epochs=1, rate=3e-4)  # from weights that have learnt before
WITHHELD = 5  # one photograph in so many is kept for the judge, if so wished: of others the model knows what was said
PHOTOS_WITHHELD = PHOTOS._replace(judged=5, judged_rate=1e-4)  # the epochs with the judge are then a fifth as long
PHOTOS_WATCHED = 300  # of the dev split, after every epoch
PHOTOS_MIN_COUNT = 4  # rarer words become <unk>

FILES = (  # all that a run writes
    *("train.npy", "train.sha256", "dev.npy", "dev.sha256"),  # features of photographs
    *("training.safetensors", "log.jsonl"),  # what resuming needs
    *("weights.safetensors", "vocabulary.json", "card.json", "learning.png"),
)


def train_scenes(
    out: Path,
    seed: int = 0,
    size: str = "base",
    resume: bool = False,
    fabric: Fabric | None = None,
    attention: str = "coverage",
    decoder: str = "lstm",
    plan: Plan | None = None,
    drawn: int | None = None,
) -> Captioner:
    """Draw scenes, train a captioner on them from nothing, measure it on scenes it has not seen, save it in `out`."""
    fabric = fabric or start()
    usual, many = SCENES[size]
    plan, drawn = plan or usual, drawn or many
    plan = plan._replace(seed=seed, shown=plan.shown if decoder == "lstm" else 0.0)  # the transformer cannot be shown
    world, unseen = scenes.make("train", drawn), scenes.make("validation", 300)
    train = evaluation.scene_examples(world)
    vocabulary = vocabulary_of(train, min_count=1)
    torch.manual_seed(seed)
    captioner = build("scenes", vocabulary, size, attention, decoder)
    images, tokens, where = evaluation.scene_images(world), caption_tensor(train, vocabulary), shown(world)

    def feed(generator: torch.Generator) -> Iterator[Batch]:
        for chosen, told in similar(tokens, plan.batch, plan.captions, generator):
            chosen, told = chosen[share(len(chosen))], told[share(len(chosen))]
            words = trimmed(tokens[chosen[:, None], told])
            places = where[chosen[:, None], told, : words.shape[-1] - 1] if plan.shown else None
            yield Batch(images[chosen], words, chosen, places)

    def validate(captioner: Captioner) -> dict[str, float]:
        return evaluation.score_scenes(evaluation.caption_scenes(captioner, unseen), unseen)

    judge = rewards.judge_of_scenes(world, train)
    log = fit(captioner, feed, steps(train, plan), plan, out, validate, resume, fabric, judge)
    facts = {
        "name": "scenes",
        "examples": drawn,
        "sha256": features.fingerprint(train),
        "validation": "300 other scenes",
        "measured": f"{MEASURED} scenes of the test split, and of the compositional one",
    }
    made = f"--size {size} --attention {attention} --decoder {decoder}"
    command = f"companion train scenes --out {shlex.quote(out.name)} {made}"

    def measure(captioner: Captioner) -> dict[str, Any]:
        drawn, new = scenes.make("test", MEASURED), scenes.make("compositional", MEASURED)
        about = cards.of_scenes(evaluation.caption_scenes(captioner, drawn, beam=5), drawn)
        found = evaluation.caption_scenes(captioner, new, beam=5)
        about["metrics"]["compositional_truth"] = evaluation.truth(found, new)
        return about

    first(fabric, lambda: finish(captioner, out, command, plan, fabric, log, facts, measure))
    return captioner


def train_photos(
    data: Path,
    out: Path,
    seed: int = 0,
    resume: bool = False,
    fabric: Fabric | None = None,
    begin: str | None = None,
    withhold: bool = False,
    plan: Plan | None = None,
) -> Captioner:
    """Train a decoder on the photographs and captions in `data`, over a frozen encoder, and save it in `out`.

    Every photograph is also seen in the mirror, unless one of its captions says left or right. With `begin`, a
    checkpoint of photographs, training goes on from its weights with its words, by the shorter plan `PHOTOS_ON`. With
    `withhold`, one photograph in `WITHHELD`, the same whatever the seed, teaches no words, and the judge is asked about
    no other; the plan is `PHOTOS_WITHHELD`.
    """
    fabric = fabric or start()
    plan = (plan or (PHOTOS_ON if begin else PHOTOS_WITHHELD if withhold else PHOTOS))._replace(seed=seed)
    reader = evaluation if fabric.is_global_zero else datasets  # the first process names the faults in the data
    dataset = in_turn(fabric, lambda: reader.read(data))
    train, dev = datasets.pick(dataset, "train"), datasets.pick(dataset, "dev")
    torch.manual_seed(seed)
    captioner = checkpoints.load(begin) if begin else build("photos", vocabulary_of(train, PHOTOS_MIN_COUNT))
    if captioner.settings["data"] != "photos":
        raise ValueError(f"{begin}: was trained on {captioner.settings['data']}, not on photographs")
    vocabulary = captioner.vocabulary
    out.mkdir(parents=True, exist_ok=True)
    stored, stored_dev = in_turn(
        fabric,
        lambda: [features.store(captioner.encoder, e, out / f"{n}.npy") for e, n in ((train, "train"), (dev, "dev"))],
    )
    tokens = caption_tensor(train, vocabulary)
    mirrorable = torch.tensor([not any(map(flip_falsifies, example.captions)) for example in train])

    def feed(some: Tensor, generator: torch.Generator) -> Iterator[Batch]:
        for among, told in similar(tokens[some], plan.batch, plan.captions, generator):
            chosen = some[among]
            views = (torch.rand(len(chosen), generator=generator) < 0.5) & mirrorable[chosen]
            mine = share(len(chosen))
            words = trimmed(tokens[chosen[mine, None], told[mine]])
            yield Batch(features.grid(stored, chosen[mine], views[mine].long()), words, chosen[mine])

    few = dev[:PHOTOS_WATCHED]

    def validate(captioner: Captioner) -> dict[str, float]:
        return evaluation.score_photos(evaluation.caption_stored(captioner, stored_dev[: len(few)], beam=1), few)

    judge = rewards.judge_of_likeness(train)
    teaching, judging = parted(len(train), len(train) // WITHHELD if withhold else 0)
    lessons, unseen = ((partial(feed, some), steps(some, plan)) for some in (teaching, judging))
    log = fit(captioner, *lessons, plan, out, validate, resume, fabric, judge, unseen)
    facts = {
        "name": data.name,
        "examples": len(train),
        "sha256": features.fingerprint([*train, *dev]),
        "validation": f"the first {len(few)} photographs of dev",
        "measured": f"dev, {len(dev)} photographs",
    }
    command = f"companion train photos --data {shlex.quote(data.name)} --out {shlex.quote(out.name)}"
    command += " --withhold" * withhold
    if begin:
        before = checkpoints.card(begin)
        command += f" --begin {shlex.quote(begin)}"
        facts["began_with"] = {key: before.get(key) for key in ("sha256", "command", "minutes", "metrics", "plan")}

    def measure(captioner: Captioner) -> dict[str, Any]:
        return cards.of_photos(evaluation.caption_stored(captioner, stored_dev), dev)

    first(fabric, lambda: finish(captioner, out, command, plan, fabric, log, facts, measure))
    return captioner


def vocabulary_of(train: Sequence[Example], min_count: int) -> Vocabulary:
    """The words of the training captions."""
    return Vocabulary.build((caption for example in train for caption in example.captions), min_count)


def shown(world: Sequence[scenes.Scene], rows: int = 8, cols: int = 8) -> Tensor:
    """For each word of each caption the places, of a grid laid over the scene, where the things are that it speaks of.

    Bool, "image beam word place", False throughout for a word that speaks of nothing. A place belongs to a thing that
    covers a quarter of it.
    """
    longest = max(len(caption.words) for scene in world for caption in scene.captions)
    where = np.zeros((len(world), len(world[0].captions), longest + 1, rows * cols), dtype=bool)
    for places, scene in zip(where, world, strict=True):
        there = np.stack([grounding.covered(mask, rows, cols).ravel() > 0.25 for mask in scene.masks])
        for line, caption in zip(places, scene.captions, strict=True):
            for word, things in enumerate(caption.mentions):
                for thing in things:
                    line[word] |= there[thing]
    return torch.from_numpy(where)


def trimmed(tokens: Tensor) -> Tensor:
    """Tokens without the columns that are padding for every caption of the batch."""
    return tokens[..., : int((tokens != Vocabulary.pad).sum(-1).max())]


def parted(count: int, kept: int) -> tuple[Tensor, Tensor]:
    """Which of `count` pictures teach words, and which are kept for the judge; if none are kept, all serve for both."""
    if not kept:
        return torch.arange(count), torch.arange(count)
    order = torch.randperm(count, generator=torch.Generator().manual_seed(WITHHELD))
    return order[:-kept], order[-kept:]


def steps(train: Sequence[Example] | Tensor, plan: Plan) -> int:
    """Batches an epoch."""
    return -(-len(train) // plan.batch)


def finish(
    captioner: Captioner,
    out: Path,
    command: str,
    plan: Plan,
    fabric: Fabric,
    log: list[dict[str, Any]],
    data: dict[str, Any],
    measure: Callable[[Captioner], dict[str, Any]],
) -> Captioner:
    """Round to half precision, measure, save the checkpoint, its card and the picture of its learning."""
    checkpoints.set_weights(captioner, checkpoints.halved(checkpoints.trained_weights(captioner)))
    about = measure(captioner.eval())
    precision = fabric.strategy.precision.precision
    card = {
        "command": f"{command} --seed {plan.seed} --precision {precision}",
        "seed": plan.seed,
        **about,
        "metrics": rounded(about["metrics"]),
        "data": data,
        "plan": plan._asdict() | {"precision": precision},
        "minutes": round(sum(record["seconds"] for record in log) / 60, 1),  # of all epochs, resumed or not
        "machine": {
            "processor": platform.processor() or platform.machine(),
            "threads": torch.get_num_threads(),
            "processes": fabric.world_size,
        },
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "log": log,
    }
    checkpoints.save(captioner, out, card)
    write_whole(out / "learning.png", plots.png(plots.learning(log)))
    return captioner
