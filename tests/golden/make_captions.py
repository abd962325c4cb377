"""Write captions.json: captions of known pictures by the models that ship, to run again after new weights.

    python tests/golden/make_captions.py

For 200 scenes of the test split and the five example photographs it holds the captions of greedy search and of a beam
of five, each with its log-probability and with whether it is stable. Another processor or another version of a library
changes a logit in its last digits, and the caption with it if two words are nearly equally probable. A caption is
*stable* if it does not change when noise of up to `MARGIN` is added to every logit; only stable captions have to be the
same everywhere.
"""

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from companion import checkpoints, datasets, decoding, scenes
from companion.decoders import State, Step
from companion.encoders import Grid
from companion.models import LENGTH_POWER, Captioner

GOLDEN = Path(__file__).with_name("captions.json")
SEARCHES = {"greedy": 1, "beam": 5}  # and their beam width
SCENES = 200
MARGIN = 0.02  # nats; two processors differ by less than a thousandth of it
TRIALS = 10  # of the noise; one trial tips half of the captions whose two best words are equally probable


class Golden(NamedTuple):
    """A caption as the file stores it."""

    text: str
    log_probability: float  # rounded to four places
    stable: bool


class Perturbed:
    """A decoder with uniform noise of up to `MARGIN` on its logits."""

    def __init__(self, decoder: Any, seed: int):
        self.decoder, self.generator = decoder, torch.Generator().manual_seed(seed)

    def start(self, grid: Grid) -> State:
        """Return the decoder's state before the first word."""
        return self.decoder.start(grid)

    def step(self, tokens: Tensor, state: State) -> Step:
        """Return the decoder's step with perturbed logits."""
        step = self.decoder.step(tokens, state)
        noise = torch.rand(step.logits.shape, generator=self.generator) * 2 - 1
        return step._replace(logits=step.logits + MARGIN * noise)


def load_images(name: str) -> Tensor:
    """Return the images on which a model is tried (image 3 row col), byte values."""
    if name == "scenes":
        return scenes.image_tensor(scenes.make_dataset("test", SCENES))
    return torch.stack([datasets.load_image(datasets.example_image(image)) for image in datasets.EXAMPLE_IMAGES])


@torch.inference_mode()
def caption(captioner: Captioner, grid: Grid, beam: int) -> list[Golden]:
    """Return a caption for every picture of the grid, in the order of the pictures."""
    perturbed = [
        decoding.beam_search(
            Perturbed(captioner.decoder, seed), grid, captioner.vocabulary, beam, length_power=LENGTH_POWER
        )
        for seed in range(TRIALS)
    ]
    return [
        Golden(c.text, round(c.log_probability, 4), all(trial.words == c.words for trial in trials))
        for c, *trials in zip(captioner.caption(grid, beam), *perturbed, strict=True)
    ]


def read() -> dict[str, dict[str, Any]]:
    """Return, for each model, the SHA-256 of its weights and its `Golden` captions by the name of the search."""
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
    for of_model in golden.values():
        of_model |= {search: [Golden(*row) for row in of_model[search]] for search in SEARCHES}
    return golden


def main() -> None:
    """Caption all pictures and write the file, one caption per line."""
    golden: dict[str, dict[str, Any]] = {}
    for name in ("scenes", "photos"):
        captioner = checkpoints.load(name)
        with torch.inference_mode():
            grid = captioner.encode(load_images(name))
        golden[name] = {"sha256": checkpoints.card(name)["sha256"]}
        for search, beam in SEARCHES.items():
            golden[name][search] = caption(captioner, grid, beam)
            stable = sum(row.stable for row in golden[name][search])
            print(f"{name} {search}: {stable} of {len(golden[name][search])} captions are stable")
    text = re.sub(r"\[\s+(\".*\"),\s+(\S+),\s+(\w+)\s+\]", r"[\1, \2, \3]", json.dumps(golden, indent=1))
    GOLDEN.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
