"""Simulated tags for captions without a picture, so that a decoder can learn from text alone."""

from collections.abc import Sequence, Set

import torch
from torch import Generator

from companion.encoders import Tags
from companion.tags.calibration import Source, load_calibration
from companion.tags.tagger import best_tags
from companion.tags.words import COCO_WORDS, imagenet_membership, mentions


def simulate_tags(captions_words: Sequence[Set[str]], generator: Generator) -> Tags:
    """Return tags such as the tagger might give to pictures of which only captions are known.

    For each source and word, log-odds are drawn from those of the calibration's photographs whose captions mention the
    word, if these captions do, and otherwise from those of the photographs whose captions do not. Words are drawn
    independently of each other, which real tags are not. Boxes are drawn from those of real tags.

    Args:
        captions_words: for each picture the words of its captions, as `words.mentions` wants them.
        generator: the source of randomness, on the CPU.
    """
    mentioned = mentions(captions_words)
    calibration = load_calibration()

    def draw(source: Source, count: int) -> torch.Tensor:
        level = torch.rand(len(mentioned), count, generator=generator)
        return torch.where(mentioned[:, :count], source.mentioned(level), source.absent(level))

    no_class = imagenet_membership().sum(0) == 0
    imagenet = draw(calibration.imagenet, mentioned.shape[1]).masked_fill(no_class, -torch.inf)
    detections = draw(calibration.detector, len(COCO_WORDS))
    chosen = torch.randint(len(calibration.boxes), (len(mentioned), len(COCO_WORDS)), generator=generator)
    return best_tags(imagenet, detections, calibration.boxes[chosen])
