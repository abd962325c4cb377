"""Small captioners that have learnt nothing, for tests that need some model but not a good one."""

import functools

import torch

from companion.models import Captioner, build
from companion.vocabulary import SPECIALS, Vocabulary


@functools.cache
def untrained(seed: int = 0) -> Captioner:
    """Return a captioner of scenes with three words, the same object for the same seed; do not train it."""
    torch.manual_seed(seed)
    return build("scenes", Vocabulary([*SPECIALS, "a", "red", "circle"]), "tiny")
