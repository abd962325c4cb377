"""How much of its attention a decoder with a prefix puts on the picture, and how much on the words before.

`python -m benchmarks.mechanisms bridges` records these numbers beside the scores of its captioners.
"""

from collections.abc import Callable, Sequence

import torch

from companion import datasets, scenes
from companion.datasets import Example
from companion.decoders import PrefixDecoder
from companion.models import Captioner
from companion.scenes import Scene
from companion.scenes.words import word_class

PICTURES = 300
COLUMNS = ("on_picture_objects", "on_picture_others")
OBJECT_CLASSES = ("shape", "colour", "size", "texture")


@torch.no_grad()
def measure(
    captioner: Captioner, captions: Callable[[Sequence[Scene]], list[Example]], split: str, count: int
) -> dict[str, float]:
    """Return the share of the last block's attention that is on the prefix; nothing for a decoder without one.

    It is the mean over the heads and over the words of one reference of each of the first `PICTURES` scenes of the
    split, each read at the step that predicts it. `on_picture_objects`: at words for a shape, a colour, a size or a
    texture; `on_picture_others`: at all others, without `<end>`.
    """
    decoder, vocabulary = captioner.decoder, captioner.vocabulary
    if not isinstance(decoder, PrefixDecoder):
        return {}
    world = scenes.make_dataset(split, min(count, PICTURES))
    tokens = datasets.caption_tensor(captions(world), vocabulary, per_image=1)  # image 1 word
    state = captioner.start(scenes.image_tensor(world))
    weights = decoder.read_words(tokens, state).weights
    on_picture = weights[:, 0, :, : state.memory[0].shape[-2]].sum(-1)  # image word
    shares: dict[str, list[float]] = {column: [] for column in COLUMNS}
    for image, row in enumerate(tokens[:, 0, 1:].tolist()):
        for word, token in enumerate(row):
            if token not in (vocabulary.pad, vocabulary.end):
                is_object = word_class(vocabulary.words[token]) in OBJECT_CLASSES
                shares[COLUMNS[not is_object]].append(on_picture[image, word].item())
    return {column: sum(values) / len(values) for column, values in shares.items()}
