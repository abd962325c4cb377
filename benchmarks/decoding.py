"""Compare ways of decoding on photographs: the width of the beam, the length normalisation and the temperature.

    python -m benchmarks.decoding FLICKR8K [CHECKPOINT]

Captions `COUNT` photographs of the split dev of FLICKR8K, behind those that chose the epoch in training, with every
setting, and writes decoding.json: BLEU-4 and CIDEr-D with a 95 % bootstrap interval, the mean length in words, and the
milliseconds for a photograph beside those of greedy search in the same run. The encoder runs once and is not timed. The
length power that the package uses was chosen on photographs of the same split.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch

from benchmarks.photographs import BATCH, encode
from companion import checkpoints, datasets, decoding, metrics, tasks
from companion.decoders import Decoder
from companion.decoding import Caption
from companion.encoders import Grid
from companion.files import atomic_write
from companion.model_card import metric_intervals
from companion.models import LENGTH_POWER, Captioner

RESULTS = Path(__file__).with_name("decoding.json")
COUNT = 300
WIDTHS, POWERS, TEMPERATURES = (2, 3, 5, 10, 20), (0.0, LENGTH_POWER, 1.0), (0.5, 0.7, 1.0)


class Setting(NamedTuple):
    """One way of decoding: a beam search with a width and a length power, or samples at a temperature."""

    width: int = 1
    length_power: float = 0.0
    temperature: float | None = None

    def search(self, captioner: Captioner, grid: Grid, generator: torch.Generator) -> list[Caption]:
        """Return a caption for each picture of the grid."""
        decoder, vocabulary = cast(Decoder, captioner.decoder), captioner.vocabulary
        if self.temperature is None:
            return decoding.beam_search(decoder, grid, vocabulary, self.width, length_power=self.length_power)
        options: dict[str, Any] = {"temperature": self.temperature, "generator": generator}
        return [caption for (caption,) in decoding.sample(decoder, grid, vocabulary, **options)]


SETTINGS = (
    Setting(),  # greedy search; with one hypothesis, the length power changes nothing
    *(Setting(width, power) for width in WIDTHS for power in POWERS),
    *(Setting(temperature=temperature) for temperature in TEMPERATURES),
)


def decode(captioner: Captioner, grid: Grid, setting: Setting) -> tuple[list[Caption], float]:
    """Return the captions of all pictures of the grid, and the seconds that they took."""
    generator = torch.Generator().manual_seed(0)
    began, captions = time.process_time(), list[Caption]()
    for part in torch.arange(len(grid.features)).split(BATCH):
        captions += setting.search(captioner, grid.select(part), generator)
    return captions, time.process_time() - began


@torch.inference_mode()
def main(data: Path, checkpoint: str = "photos") -> None:
    """Measure every setting and write decoding.json."""
    captioner = checkpoints.load(checkpoint).eval()
    first = tasks.photos.VALIDATION_SIZE
    examples = datasets.get_split(datasets.read(data), "dev")[first : first + COUNT]
    references = [list(example.captions) for example in examples]
    grid = encode(captioner, examples)
    rows: list[dict[str, Any]] = []
    for setting in SETTINGS:
        captions, seconds = decode(captioner, grid, setting)
        lines = [c.text for c in captions]
        scores, ms = metrics.score(lines, references), 1000 * seconds / len(captions)
        rows.append(
            setting._asdict()
            | {
                "bleu4": round(scores["bleu4"], 4),
                "cider_d": round(scores["cider_d"], 4),
                "cider_d_interval": metric_intervals(lines, references)["cider_d"],
                "words": round(sum(len(c.words) for c in captions) / len(captions), 2),
                "log_probability": round(sum(c.log_probability for c in captions) / len(captions), 3),
                "ms": round(ms, 2),
                "times_greedy": round(ms / (rows[0]["ms"] if rows else ms), 2),
            }
        )
        print(*(f"{key} {value}" for key, value in rows[-1].items()), flush=True)
    facts = {"photographs": len(examples), "sha256": checkpoints.card(checkpoint)["sha256"], "rows": rows}
    atomic_write(RESULTS, json.dumps(facts, indent=1).encode() + b"\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
