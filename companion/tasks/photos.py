"""The task of photographs: training recipe, captioning, scoring and model card. Its reward is `training.cider_reward`.

The recipe of the weights that ship stands at the top. Explained in the chapter on real photographs.
"""

import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor
from tqdm import tqdm

from companion import checkpoints, datasets, metrics
from companion.datasets import Example
from companion.decoding import Caption
from companion.metrics.calibration import Confidence
from companion.model_card import EXAMPLES_SHOWN, attention_stats, metric_intervals, round_scores
from companion.models import Captioner, build
from companion.tasks import languages, streams
from companion.tasks.data import format_ratio, leave_out, picture_reporter, read_data
from companion.tasks.photo_scores import confidence_facts, sure_scores
from companion.tasks.run import RunFacts, build_vocabulary, extend_vocabulary, finalize_run
from companion.tokenizer import ENGLISH
from companion.training import TrainConfig, cider_reward, distributed, feature_cache, fit
from companion.vocabulary import SPECIALS, Vocabulary

PHOTOS = TrainConfig(
    epochs=9, lr=1.5e-3, batch_size=32, captions_per_image=3, weight_decay=0.05, label_smoothing=0.1,
    rl_epochs=1, rl_lr=3e-5, temperature=0.5,
)  # fmt: skip
PHOTOS_FINETUNE = PHOTOS._replace(epochs=1, lr=3e-4)  # from trained weights
PHOTOS_FINETUNE_FEW = PHOTOS_FINETUNE._replace(epochs=10, batch_size=8, rl_epochs=0)  # else a few steps in all
FEW = 1000  # photographs to train on, below which that is the default
HOLDOUT_EVERY = 5  # one photograph in so many is held out for the reward: the model has not been taught its captions
PHOTOS_REWARD_HOLDOUT = PHOTOS._replace(rl_epochs=5, rl_lr=1e-4)  # epochs with the reward are then a fifth as long
FEW_MEASURED = 40  # photographs of dev, below which a note says that the scores are rough
STREAMS_EPOCHS = 6  # of cross-entropy where other streams make an epoch longer
VALIDATION_SIZE = 300  # photographs of the dev split, scored after every epoch
MIN_COUNT = 4  # rarer words become <unk>

# Words of captions of photographs by what they name; a word in none of the lists mostly names an object.
WORD_CLASSES = {
    "article": "a an the",
    "colour": "black white red blue green yellow brown orange pink purple gray grey tan blond",
    "number": "one two three four five several group many",
    "person": "man woman boy girl child person people men women boys girls children player players",
    "animal": "dog dogs bird horse",
    "verb": "is are has holding",
    "place or join": "in on of with at to through and by over near into behind from down up for while his her its",
}
_CLASS_OF = {word: name for name, words in WORD_CLASSES.items() for word in words.split()}


def train(
    data: Path,
    out: Path,
    *,
    seed: int = 0,
    resume: bool = False,
    init_from: str | None = None,
    reward_holdout: bool = False,
    split_ratio: Sequence[float] | None = None,
    language: str | None = None,
    strict: bool = False,
    tags: bool = False,
    text: Path | None = None,
    pseudo: Path | None = None,
    fabric: Fabric | None = None,
    config: TrainConfig | None = None,
) -> Captioner:
    """Train a decoder on the photographs and captions in `data`, over a frozen encoder, and save it in `out`.

    Every photograph is also seen mirrored, unless one of its captions says left or right, or may do so in a language
    of which these words are not known.

    Args:
        data: a data set that `datasets.read` reads. If it names no split dev, some of its pictures are held out as dev.
        out: folder of the run.
        seed: of weights and batches.
        resume: continue the run in `out`.
        init_from: a checkpoint of photographs whose weights are the start; `default_config` is then another. Words
            that occur `MIN_COUNT` times in the training captions are added to its vocabulary.
        reward_holdout: keep one photograph in `HOLDOUT_EVERY`, the same for every seed, out of the cross-entropy epochs
            and use only those with the reward; `PHOTOS_REWARD_HOLDOUT` is then the default config.
        split_ratio: the shares of train and dev (and test) for a data set without dev; see `read_data`.
        language: of the captions, a code in `tokenizer.TOKENIZERS`. The checkpoint keeps its tokenizer. None is that of
            `init_from`, or English.
        strict: the first caption or picture that cannot be used is an error; otherwise they are reported and left out.
        tags: train a decoder that also attends to tags. With `init_from`, the checkpoint decides, and only one with
            tags can be asked for them.
        text: with `tags`, a file of captions without photographs (`streams.read_text`), which it learns from, too.
        pseudo: with `tags`, a data set of photographs with captions that were made for them by retrieval; those of its
            split train are learnt from, too.
        fabric: devices and precision.
        config: hyperparameters.

    Raises:
        ValueError: the data or the checkpoint cannot be used; the message says why.
    """
    if (text or pseudo) and not tags:
        raise ValueError("captions without photographs, and captions made by retrieval, are for a decoder with tags")
    fabric = fabric or distributed.launch()
    report = datasets.print_issue if fabric.is_global_zero else None
    trained = [init_from] if init_from else []
    dataset = distributed.rank_zero_first(
        fabric, lambda: read_data(data, trained=trained, split_ratio=split_ratio, report=report, strict=strict)
    )
    splits = {name: datasets.get_split(dataset, name) for name in ("train", "dev")}
    config = config or default_config(
        len(splits["train"]), init_from=init_from is not None, reward_holdout=reward_holdout,
        streams=bool(text or pseudo),
    )  # fmt: skip
    config = config._replace(seed=seed, split_ratio=format_ratio(dataset.split_ratio))
    if pseudo:
        retrieved = distributed.rank_zero_first(fabric, lambda: datasets.read(pseudo, report=report, strict=strict))
        splits["pseudo"] = datasets.get_split(retrieved, "train")
    texts = streams.read_text(text, report=report, strict=strict) if text else []
    initial = checkpoints.load(init_from) if init_from else None
    if initial and initial.config["task"] != "photos":
        raise ValueError(f"{init_from}: was trained on {initial.config['task']}, not on photographs")
    if initial and tags > initial.config.get("tags", False):
        raise ValueError(f"{init_from}: was trained without tags; leave --tags away")
    tags = tags or bool(initial and initial.config.get("tags"))
    tokenizer = languages.choose_tokenizer(language, initial, init_from)
    sides = languages.side_language(language, tokenizer)
    if report is not None:
        for note in languages.language_notes(splits["train"], tokenizer, sides):
            report(f"{data}: {note}")
        if init_from and len(splits["dev"]) < FEW_MEASURED:
            report(f"{data}: dev has {len(splits['dev']):,} pictures; scores on so few are rough, see their intervals")
    out.mkdir(parents=True, exist_ok=True)
    # The photographs first: the captions of those that cannot be read are in no vocabulary and in no reference.
    encoder = (initial or build("photos", Vocabulary(list(SPECIALS)), tags=tags)).encoder

    def encode(name: str) -> tuple[list[Example], np.ndarray]:
        reporter = picture_reporter(report, strict=strict)
        grids, left_out = feature_cache.cache_features(encoder, splits[name], out / f"{name}.npy", report=reporter)
        place = f"{data}, split {name!r}" if name != "pseudo" else str(pseudo)
        return leave_out(splits[name], left_out, place=place, report=report), grids

    cached = distributed.rank_zero_first(fabric, lambda: {name: encode(name) for name in splits})
    (examples, cache), (dev, dev_cache) = cached["train"], cached["dev"]
    torch.manual_seed(seed)
    every = [*examples, *texts, *(streams.new_captions(cached["pseudo"][0], texts) if pseudo else [])]
    if initial is None:
        initial = build("photos", build_vocabulary(every, MIN_COUNT, tokenizer), tags=tags)
        captioner = initial
    else:
        captioner = extend_vocabulary(initial, every, MIN_COUNT)
        if report is not None and len(captioner.vocabulary) > len(initial.vocabulary):
            report(f"{data}: {languages.new_words_note(initial.vocabulary, captioner.vocabulary)}")
    known_words = captioner.vocabulary.known_share(caption for example in dev for caption in example.captions)
    if report is not None and known_words < languages.FEW_KNOWN:
        report(f"{data}: {languages.known_words_note(captioner.vocabulary, known_words)}")

    def holdout(count: int) -> tuple[Tensor, Tensor]:
        return holdout_split(count, count // HOLDOUT_EVERY if reward_holdout else 0)

    learnt = [streams.photograph_stream(examples, cache, sides)]
    if texts:
        learnt.append(streams.text_stream(texts, tokenizer, cast(Any, encoder).channels))
    if pseudo:
        learnt.append(streams.photograph_stream(*cached["pseudo"], sides))
    if len(learnt) > 1:
        learnt[0] = learnt[0]._replace(passes=streams.STREAMS.photo_passes)
    taught, rewarded = streams.mix(learnt, captioner.vocabulary, config, holdout=holdout, tags=tags)
    few = dev[:VALIDATION_SIZE]

    def validate(captioner: Captioner) -> dict[str, float]:
        return score(caption_cached(captioner, dev_cache[: len(few)], beam=1), few)

    log = fit(
        captioner, taught, config,
        out=out, validate=validate, resume=resume, fabric=fabric,
        reward_fn=cider_reward(examples, tokenizer),
        rl_batches=rewarded,
    )  # fmt: skip
    facts = data_facts(data, examples, dev, len(few)) | {"known_words": round(known_words, 4)}
    left_out = {"train": len(splits["train"]) - len(examples), "dev": len(splits["dev"]) - len(dev)}
    if any(left_out.values()):
        facts |= {"left_out": left_out, "measured": f"dev, {len(dev)} of {len(splits['dev'])} photographs"}
    command = f"companion train photos --data {shlex.quote(data.name)} --out {shlex.quote(out.name)}"
    command += " --reward-holdout" * reward_holdout
    command += f" --language {language}" * (language is not None)
    command += f" --split-ratio {config.split_ratio}" * (split_ratio is not None)
    command += " --tags" * tags
    command += f" --text {shlex.quote(text.name)}" if text else ""
    command += f" --pseudo {shlex.quote(pseudo.name)}" if pseudo else ""
    if tags:
        facts["streams"] = streams.facts(learnt)
    if init_from:
        start = checkpoints.card(init_from)
        command += f" --init-from {shlex.quote(init_from)}"
        kept = ("sha256", "command", "minutes", "metrics", "train_config")
        facts["init_from"] = {key: start.get(key) for key in kept}

    def measure(captioner: Captioner) -> dict[str, Any]:
        return photo_card(caption_cached(captioner, dev_cache), dev)

    run = RunFacts(command, config, log, facts)
    distributed.on_rank_zero(fabric, lambda: finalize_run(captioner, run, out=out, fabric=fabric, measure=measure))
    if any(left_out.values()) and report is not None:
        counts = (f"{len(some):,} of {len(splits[name]):,}" for some, name in ((examples, "train"), (dev, "dev")))
        report("{}: trained on {} photographs and measured on {}; the others cannot be read".format(data, *counts))
    return captioner


def default_config(photographs: int, *, init_from: bool, reward_holdout: bool, streams: bool) -> TrainConfig:
    """Return the hyperparameters for a number of photographs to train on, alone or among several streams."""
    if init_from:
        return PHOTOS_FINETUNE if reward_holdout or photographs >= FEW else PHOTOS_FINETUNE_FEW
    config = PHOTOS_REWARD_HOLDOUT if reward_holdout else PHOTOS
    return config._replace(epochs=STREAMS_EPOCHS) if streams else config


def data_facts(data: Path, examples: Sequence[Example], dev: Sequence[Example], validated: int) -> dict[str, Any]:
    """Return what the card says of the data set."""
    return {
        "name": data.name,
        "examples": len(examples),
        "sha256": feature_cache.fingerprint([*examples, *dev]),
        "validation": f"the first {validated} photographs of dev",
        "measured": f"dev, {len(dev)} photographs",
    }


def holdout_split(count: int, held_out: int) -> tuple[Tensor, Tensor]:
    """Return the indices for cross-entropy and those for the reward; with `held_out=0` both are all of them."""
    if not held_out:
        return torch.arange(count), torch.arange(count)
    order = torch.randperm(count, generator=torch.Generator().manual_seed(HOLDOUT_EVERY))
    return order[:-held_out], order[-held_out:]


def caption(
    captioner: Captioner,
    examples: Sequence[Example],
    *,
    beam: int = 5,
    report: Callable[[str], None] | None = None,
) -> tuple[list[Caption], dict[int, str]]:
    """Return a caption for every photograph whose file can be read; of the others the reason, by the index.

    `report` is called with each reason; an exception of it ends the work.
    """
    report = report or (lambda reason: None)
    captions: list[Caption] = []
    left_out: dict[int, str] = {}
    for first in tqdm(range(0, len(examples), 50), desc="captioning", unit="batch", leave=False, disable=None):
        images, reasons = datasets.load_readable_images(examples[first : first + 50])
        left_out |= {first + i: reason for i, reason in reasons.items()}
        for reason in reasons.values():
            with tqdm.external_write_mode():  # above the bar
                report(reason)
        captions += captioner.caption(images, beam) if len(images) else []
    return captions, left_out


def caption_cached(captioner: Captioner, cache: np.ndarray, *, beam: int = 5, batch_size: int = 100) -> list[Caption]:
    """Return a caption for every photograph whose grid is cached."""
    return [
        c
        for part in torch.arange(len(cache)).split(batch_size)
        for c in captioner.caption(feature_cache.cached_grid(cache, part), beam)
    ]


def score(captions: Sequence[Caption], examples: Sequence[Example]) -> dict[str, float]:
    """Return `metrics.score` against the photographs' own captions."""
    return metrics.score([c.text for c in captions], languages.make_references(captions, examples))


def evaluate(
    captioner: Captioner,
    data: Path | str,
    split: str = "dev",
    *,
    beam: int = 5,
    trained: Sequence[str] = (),
    split_ratio: Sequence[float] | None = None,
    strict: bool = False,
    confidence: Confidence | None = None,
) -> dict[str, float | int]:
    """Return the scores on a split of the data set in the folder `data`; its issues go to standard error.

    To those of `metrics.score`, the nouns of English captions are added, and with `confidence`, how many captions are
    sure and how they score. If there are photographs that cannot be read, their number is added as "left_out", and that
    of the others as "photographs".

    Args:
        captioner: what is scored.
        data: the folder.
        split: name of the split.
        beam: width of the beam search.
        trained: the checkpoint of the captioner, so that a dev split that is made here is one that it has not seen.
        split_ratio: the shares of the splits; see `read_data`.
        strict: the first caption or picture that cannot be used is an error.
        confidence: that of the captioner's card.
    """
    dataset = read_data(data, trained=trained, split_ratio=split_ratio, strict=strict)
    examples = datasets.get_split(dataset, split)
    reporter = picture_reporter(datasets.print_issue, strict=strict)
    captions, left_out = caption(captioner, examples, beam=beam, report=reporter)
    examples = leave_out(examples, left_out, place=f"{data}, split {split!r}", report=datasets.print_issue)
    counts = {"photographs": len(examples), "left_out": len(left_out)} if left_out else {}
    references = languages.make_references(captions, examples)
    scores = score(captions, examples) | metrics.nouns.noun_scores([c.text for c in captions], references)
    return scores | (sure_scores(captions, references, confidence) if confidence else {}) | counts


def word_class(word: str) -> str:
    """Return the class of a word of a caption: one of `WORD_CLASSES`, "verb" for any "-ing", or "other"."""
    return _CLASS_OF.get(word) or ("verb" if word.endswith("ing") else "other")


def photo_card(captions: Sequence[Caption], examples: Sequence[Example]) -> dict[str, Any]:
    """Return what a card says of captions of photographs, which it names and does not show.

    Of English captions of a captioner with tags it has the confidence, where a caption counts as right if one of its
    nouns is (`metrics.nouns`).
    """
    lines = [c.text for c in captions]
    references = languages.make_references(captions, examples)
    is_english = references.tokenizer == ENGLISH
    each = metrics.cider_d_each(lines, references)
    order = np.argsort(each, kind="stable").tolist()

    def show(chosen: Sequence[int]) -> list[dict[str, Any]]:
        return [{"image": examples[i].name, "caption": lines[i], "cider_d": round(each[i], 2)} for i in chosen]

    return {
        "metrics": metrics.score(lines, references),
        "nouns": round_scores(metrics.nouns.noun_scores(lines, references)),
        **confidence_facts(captions, references),
        "intervals": metric_intervals(lines, references),
        "successes": show(order[::-1][:EXAMPLES_SHOWN]),
        "failures": show(order[:EXAMPLES_SHOWN]),
        "attention_stats": attention_stats(captions, word_class if is_english else lambda word: "word"),
    }
