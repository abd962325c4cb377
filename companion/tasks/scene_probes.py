"""Probes of a captioner of drawn scenes: what it knows, apart from the captions that a search finds.

`forced_choice` asks which of two captions is more probable, `reference_loss` how probable the references are, and
`sample_scores` what the model generates when it samples. Explained in the chapters on the attention
decoder and on learning.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from companion import datasets, decoding, scenes
from companion.models import Captioner
from companion.scenes import Scene
from companion.tasks.scene_batches import to_examples
from companion.training import caption_loss, token_log_probs

OPPOSITES = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}
SAMPLES = 5  # captions of a scene, in `sample_scores`


def forced_choice(captioner: Captioner, world: Sequence[Scene], *, batch_size: int = 100) -> float:
    """Return how often the model finds the true direction more probable than its opposite, 0 to 1; chance is 0.5.

    For every scene of two objects that differ in colour or shape, in either order and for every direction that holds,
    it compares "a red circle is left of a blue star" with "a red circle is right of a blue star".
    """
    pairs: list[tuple[int, str, str]] = []
    for i, scene in enumerate(world):
        if len(scene.objects) != 2 or scene.objects[0][:2] == scene.objects[1][:2]:
            continue
        for a, b in (scene.objects, scene.objects[::-1]):
            pairs += [
                (i, f"{_noun(a)} is {relation} {_noun(b)}", f"{_noun(a)} is {opposite} {_noun(b)}")
                for relation, opposite in OPPOSITES.items()
                if scenes.holds(relation, a, b)
            ]
    right = 0
    for start in range(0, len(pairs), batch_size):
        part = pairs[start : start + batch_size]
        tokens = datasets.collate_captions([[captioner.vocabulary.encode(line) for line in two] for _, *two in part])
        true, false = caption_log_probs(captioner, [world[i] for i, *_ in part], tokens).unbind(1)
        right += int((true > false).sum())
    return right / len(pairs) if pairs else 0.0


def _noun(scene_object: scenes.SceneObject) -> str:
    article = "an" if scene_object.colour[0] in "aeiou" else "a"
    return f"{article} {scene_object.colour} {scene_object.shape}"


@torch.inference_mode()
def caption_log_probs(
    captioner: Captioner, world: Sequence[Scene], tokens: Int[Tensor, "batch beam word"]
) -> Float[Tensor, "batch beam"]:
    """Return the log-probability of each caption of each scene under teacher forcing, in nats."""
    logits = captioner.eval()(scenes.image_tensor(world), tokens[..., :-1]).logits
    return token_log_probs(logits, tokens[..., 1:]).sum(-1)


@torch.inference_mode()
def reference_loss(captioner: Captioner, world: Sequence[Scene], *, batch_size: int = 100) -> float:
    """Return the cross-entropy of the scenes' reference captions under teacher forcing, in nats per word."""
    tokens = datasets.caption_tensor(to_examples(world), captioner.vocabulary)
    total = words = 0.0
    for start in range(0, len(world), batch_size):
        part = datasets.trim_padding(tokens[start : start + batch_size])
        logits = captioner.eval()(scenes.image_tensor(world[start : start + batch_size]), part[..., :-1]).logits
        count = int((part[..., 1:] != captioner.vocabulary.pad).sum())
        total, words = total + float(caption_loss(logits, part[..., 1:])) * count, words + count
    return total / words


def sample_captions(
    captioner: Captioner,
    world: Sequence[Scene],
    *,
    count: int = SAMPLES,
    temperature: float = 1.0,
    seed: int = 0,
    batch_size: int = 100,
) -> list[list[str]]:
    """Return `count` captions of every scene, sampled with this seed."""
    generator = torch.Generator().manual_seed(seed)
    images = scenes.image_tensor(world)
    return [
        [c.text for c in picture]
        for part in images.split(batch_size)
        for picture in decoding.sample(
            captioner.eval(), part, captioner.vocabulary, count=count, temperature=temperature, generator=generator
        )
    ]


def sample_scores(captioner: Captioner, world: Sequence[Scene]) -> dict[str, float]:
    """Return, of five samples at temperature 1 for each scene, how many differ and which share of all is true."""
    sampled = sample_captions(captioner, world)
    true = [scenes.is_true(line, scene) for lines, scene in zip(sampled, world, strict=True) for line in lines]
    distinct = [len(set(lines)) for lines in sampled]
    return {"distinct_of_five": sum(distinct) / len(distinct), "true_of_five": sum(true) / len(true)}
