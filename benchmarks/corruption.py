"""Captions with mistakes that are made on purpose, and two ways to find them again.

Functions for `mechanisms.Row.captions`: scenes in, the captions that are learnt from them out, the same in every call.
`MISTAKES` are made in a share of the captions; `same_mistake`, `one_reference` and `one_annotator` concern all of them;
`cleaned` leaves out what `stranger` finds. `measure` is what their study records beside its columns.
Explained in the chapter on data.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Float

from companion import datasets, metrics, scenes, tasks
from companion.datasets import Example
from companion.models import Captioner
from companion.scenes import COLOURS, Scene
from companion.scenes.grammar import group_objects
from companion.scenes.words import COUNT_WORDS, PLURALS
from companion.scenes.world import SeededRandom
from companion.training import token_log_probs

SHARE = 0.3  # of the captions that can have a mistake
OPPOSITES = {
    "left": "right", "right": "left", "above": "below", "below": "above", "over": "under", "under": "over",
}  # fmt: skip
MISNAMED, NAME = "orange", "red"  # in the captions of `same_mistake`
MEASURED = 1000  # training scenes whose captions `measure` sorts by their loss
STATED = ("truth_directional", "forced_choice", "states_relation", "states_size", "words_used")  # columns: what is said
FOUND = ("wrong", "found_by_caption", "found_by_word")  # columns: mistakes, and the share that is found

Words = Sequence[str]


def wrong_colour(words: Words, rng: SeededRandom) -> list[str]:
    """Return the words with one colour replaced by another."""
    place = rng.choice([i for i, word in enumerate(words) if word in COLOURS])
    return replaced(words, place, rng.choice([colour for colour in COLOURS if colour != words[place]]))


def wrong_side(words: Words, rng: SeededRandom) -> list[str]:
    """Return the words with one side replaced by its opposite; the same words if they name none."""
    sides = [i for i, word in enumerate(words) if word in OPPOSITES]
    if not sides:
        return list(words)
    place = rng.choice(sides)
    return replaced(words, place, OPPOSITES[words[place]])


def shuffled(words: Words, rng: SeededRandom) -> list[str]:
    """Return the words in random order."""
    return rng.shuffled(words)


MISTAKES = {"wrong_colour": wrong_colour, "wrong_side": wrong_side, "shuffled": shuffled}


def replaced(words: Words, place: int, word: str) -> list[str]:
    """Return the words with another one at a place, after the article that goes with it."""
    new = list(words)
    new[place] = word
    if place and new[place - 1] in ("a", "an"):
        new[place - 1] = "an" if word[0] in "aeiou" else "a"
    return new


def make_mistakes(scene: Scene, mistake: Callable[[Words, SeededRandom], list[str]]) -> tuple[str, ...]:
    """Return the captions of a scene, each with the mistake with probability `SHARE`.

    Which captions are chosen depends on the scene alone, and not on the mistake.
    """
    rng = SeededRandom(scene.seed)
    chosen = [rng.bernoulli(SHARE) for _ in scene.captions]
    lines = zip(scene.captions, chosen, strict=True)
    return tuple(" ".join(mistake(caption.words, rng)) if bad else caption.text for caption, bad in lines)


def with_captions(write: Callable[[Scene], Sequence[str]]) -> Callable[[Sequence[Scene]], list[Example]]:
    """Return a function for `Row.captions`, from one that writes the captions of a scene."""
    return lambda world: [Example(str(scene.seed), scene.image, tuple(write(scene))) for scene in world]


def with_mistake(name: str) -> Callable[[Sequence[Scene]], list[Example]]:
    """Return a function for `Row.captions` that makes one of `MISTAKES`."""
    return with_captions(lambda scene: make_mistakes(scene, MISTAKES[name]))


def misname(scene: Scene) -> list[str]:
    """Return the captions of a scene with one colour called by the name of another, everywhere."""
    captions = []
    for caption in scene.captions:
        words = list(caption.words)
        for i, word in enumerate(words):
            words = replaced(words, i, NAME) if word == MISNAMED else words
        captions.append(" ".join(words))
    return captions


def list_objects(scene: Scene) -> list[str]:
    """Return the one caption of an annotator who lists colours and shapes from left to right, and nothing else."""
    phrases = []
    for members in group_objects(scene.objects):
        first, number = scene.objects[members[0]], len(members)
        article = "an" if first.colour[0] in "aeiou" else "a"
        noun = first.shape if number == 1 else PLURALS[first.shape]
        phrases.append(f"{article if number == 1 else COUNT_WORDS[number]} {first.colour} {noun}")
    verb = "is" if phrases[0].startswith("a") else "are"
    return [f"there {verb} {' and '.join(phrases)}"]


def named_objects(caption: str) -> set[tuple[str, str]]:
    """Return the colours of a caption, each with the word that follows it, in the singular."""
    words, singular = caption.split(), {plural: shape for shape, plural in PLURALS.items()}
    return {(word, singular.get(after, after)) for word, after in pairwise(words) if word in COLOURS}


def stranger(captions: Sequence[str], index: int) -> bool:
    """Return whether a caption names an object that no other caption of the picture names, or none at all."""
    others = {named for i, caption in enumerate(captions) if i != index for named in named_objects(caption)}
    own = named_objects(captions[index])
    return not own or not own <= others


def without_strangers(captions: Sequence[str]) -> list[str]:
    """Return the captions that are no strangers to the others; all of them if none is left."""
    return [caption for i, caption in enumerate(captions) if not stranger(captions, i)] or list(captions)


same_mistake = with_captions(misname)
one_reference = with_captions(lambda scene: [scene.captions[0].text])
one_annotator = with_captions(list_objects)
cleaned = with_captions(lambda scene: without_strangers(make_mistakes(scene, wrong_colour)))


def measure(
    captioner: Captioner, captions: Callable[[Sequence[Scene]], list[Example]], split: str, count: int
) -> dict[str, float]:
    """Return what a team would see that has no captions but its own.

    `own_cider_d`: CIDEr-D of captions by a beam of five, against references of the same making as those learnt from.
    `wrong`: the share of the captions of `MEASURED` training scenes that are not among the true ones of the scene.
    `found_by_caption`, `found_by_word`: of as many captions as are wrong, those with the highest mean loss per word,
    or with the word of the highest loss, the share that is wrong. Both are 0 where no caption is wrong.
    """
    world = scenes.make_dataset(split, count)
    lines = [caption.text for caption in tasks.scenes.caption(captioner, world, beam=5)]
    seen = scenes.make_dataset("train", MEASURED)
    examples = captions(seen)
    wrong = [
        not scenes.is_true(line, scene) for scene, each in zip(seen, examples, strict=True) for line in each.captions
    ]
    mean, worst = losses(captioner, examples).T
    return {
        "own_cider_d": metrics.cider_d(lines, [each.captions for each in captions(world)]),
        "wrong": float(np.mean(wrong)),
        "found_by_caption": share_found(mean, wrong),
        "found_by_word": share_found(worst, wrong),
    }


@torch.inference_mode()
def losses(captioner: Captioner, examples: Sequence[Example]) -> Float[np.ndarray, "caption 2"]:
    """Return the mean and the highest loss of a word for every caption, in nats, under teacher forcing."""
    rows = []
    for example in examples:
        tokens = datasets.collate_captions([[captioner.vocabulary.encode(caption) for caption in example.captions]])
        logits = captioner.eval()(datasets.load_images([example]), tokens[..., :-1]).logits
        targets = tokens[..., 1:]
        loss = -token_log_probs(logits, targets)[0]  # 0 at padding
        words = (targets[0] != captioner.vocabulary.pad).sum(-1)
        rows.append(torch.stack([loss.sum(-1) / words, loss.amax(-1)], dim=-1))
    return torch.cat(rows).numpy()


def share_found(scores: Float[np.ndarray, "caption"], wrong: Sequence[bool]) -> float:
    """Return the share of wrong captions among the highest scores, if as many are taken as are wrong."""
    count = sum(wrong)
    highest = np.argsort(-scores, kind="stable")[:count]
    return float(np.mean(np.asarray(wrong)[highest])) if count else 0.0
