"""Batches of drawn scenes: scenes as examples, the places of what a word names, and scenes drawn while training.

Explained in the chapter on learning.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from companion import datasets, scenes
from companion.datasets import Example
from companion.metrics import grounding
from companion.scenes import Scene, holds, word_class
from companion.scenes.grammar import references
from companion.scenes.world import SeededRandom
from companion.training import Batch, CaptionBatches, TrainConfig
from companion.vocabulary import Vocabulary

ARTICLES = ("a", "an")
MAX_SEED = 2**40  # of a scene drawn for training


class SceneBatches:
    """Batches of scenes that are drawn while they are trained on, so that no scene is seen twice.

    Args:
        count: scenes in an epoch.
        vocabulary: the words of their captions.
        config: hyperparameters.
        weak_relations: whether the captions also state relations that hold and are not evident, which references never
            do (`scenes.world.clearly_holds`): a circle is left of a star that lies far below and a little to the right.
    """

    pool = 20  # batches that are drawn at a time, and cut from captions sorted by length

    def __init__(self, count: int, vocabulary: Vocabulary, config: TrainConfig, *, weak_relations: bool = False):
        self.count, self.vocabulary, self.config, self.weak_relations = count, vocabulary, config, weak_relations
        self.world: list[Scene] = []  # the scenes that the last batch was cut from; its `image_ids` are indices of them

    def __len__(self) -> int:
        return -(-self.count // self.config.batch_size)

    def epoch(self, generator: torch.Generator) -> Iterator[Batch]:
        """Yield the batches of an epoch; `generator` decides its scenes and their order."""
        size = self.pool * self.config.batch_size
        for start in range(0, self.count, size):
            first = int(torch.randint(MAX_SEED, (), generator=generator))
            self.world = [scenes.sample_scene(first + i) for i in range(min(size, self.count - start))]
            if self.weak_relations:
                self.world = list(map(state_weak_relations, self.world))
            images = scenes.image_tensor(self.world)

            def load(chosen: Tensor, _: Tensor | None, images: Tensor = images) -> Tensor:
                return images[chosen]

            yield from CaptionBatches(
                datasets.caption_tensor(to_examples(self.world), self.vocabulary),
                load,
                batch_size=self.config.batch_size, captions_per_image=self.config.captions_per_image,
                alignment=alignment_targets(self.world) if self.config.alignment_weight else None,
            ).epoch(generator)  # fmt: skip


def state_weak_relations(scene: Scene) -> Scene:
    """Return the scene with other captions, which state any relation that holds."""
    return scene._replace(captions=references(scene.objects, SeededRandom(scene.seed), holds))


def to_examples(world: Sequence[Scene]) -> list[Example]:
    """Return the scenes as examples of a data set, each named by its seed."""
    return [Example(str(s.seed), s.image, tuple(reference.text for reference in s.captions)) for s in world]


def alignment_targets(world: Sequence[Scene], rows: int = 8, cols: int = 8) -> Bool[Tensor, "image beam word place"]:
    """Return, for each word of each reference, the places of a grid where the objects lie that the word names.

    A place belongs to an object that covers a quarter of it. The word of a relation ("left" in "to the left of a star")
    has the places of the phrase that follows: to choose the word, a model must know where that object lies. So has an
    article, which commits the caption to a single object. Other words that name no object have no place.
    """
    longest = max(len(reference.words) for scene in world for reference in scene.captions)
    targets = np.zeros((len(world), len(world[0].captions), longest + 1, rows * cols), dtype=bool)
    for scene_targets, scene in zip(targets, world, strict=True):
        places = np.stack([grounding.covered(mask, rows, cols).ravel() > 0.25 for mask in scene.masks])
        for caption_targets, reference in zip(scene_targets, scene.captions, strict=True):
            mentioned: tuple[int, ...] = ()
            for position in reversed(range(len(reference.words))):
                mentioned = reference.mentions[position] or mentioned  # relations and articles have the next phrase's
                word = reference.words[position]
                if reference.mentions[position] or word_class(word) == "relation" or word in ARTICLES:
                    caption_targets[position, np.any(places[list(mentioned)], axis=0)] = True
    return torch.from_numpy(targets)
