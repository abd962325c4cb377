"""A captioner and a split in, scores out. Explained in chapters 13 to 16."""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from companion import datasets, features, grounding, metrics, scenes
from companion.batches import pictures
from companion.captioner import Captioner
from companion.datasets import Dataset, Example
from companion.decoding import Caption
from companion.scenes import Scene
from companion.vocabulary import detokenize


def text(caption: Caption) -> str:
    """The caption as a line."""
    return detokenize(caption.words)


def scene_images(drawn: Sequence[Scene]) -> Tensor:
    """The scenes' pictures as bytes: batch channel row col."""
    return torch.from_numpy(np.stack([scene.image for scene in drawn])).permute(0, 3, 1, 2).contiguous()


def scene_examples(drawn: Sequence[Scene]) -> list[Example]:
    """The scenes as what a data set consists of, each named by its seed."""
    return [Example(str(s.seed), s.image, tuple(caption.text for caption in s.captions)) for s in drawn]


def caption_scenes(captioner: Captioner, drawn: Sequence[Scene], beam: int = 1, batch: int = 250) -> list[Caption]:
    """A caption for every scene, by beam search (of width one: greedily)."""
    images = scene_images(drawn)
    return [caption for part in images.split(batch) for caption in captioner.caption(part, beam=beam)]


def truth(captions: Sequence[Caption], drawn: Sequence[Scene]) -> float:
    """Share of the captions that are true of their scenes."""
    return float(np.mean([scenes.is_true(text(c), scene) for c, scene in zip(captions, drawn, strict=True)]))


def related(line: str) -> bool:
    """Whether the caption states a relation between things."""
    statement = scenes.parse(line)
    return statement is not None and bool(statement.claims)


def score_scenes(captions: Sequence[Caption], drawn: Sequence[Scene]) -> dict[str, float]:
    """`truth`, `exact`, `related` (of the captions), `pointing` (of the words that name things), and the metrics."""
    lines = [text(caption) for caption in captions]
    report = grounding.grade(captions, drawn)
    return {
        "truth": truth(captions, drawn),
        "exact": float(np.mean([scenes.is_exact(line, scene) for line, scene in zip(lines, drawn, strict=True)])),
        "related": float(np.mean([related(line) for line in lines])),
        "pointing": float(np.nan_to_num(report.pointing)),  # no true caption, nothing to grade: 0
        **metrics.score(lines, [[reference.text for reference in scene.captions] for scene in drawn]),
    }


def caption_stored(captioner: Captioner, stored: np.ndarray, beam: int = 5, batch: int = 100) -> list[Caption]:
    """A caption for every photograph whose grid is stored."""
    return [
        caption
        for part in torch.arange(len(stored)).split(batch)
        for caption in captioner.caption(features.grid(stored, part), beam=beam)
    ]


def score_photos(captions: Sequence[Caption], examples: Sequence[Example]) -> dict[str, float]:
    """BLEU-1 to 4, ROUGE-L and CIDEr-D against the photographs' own captions."""
    return metrics.score([text(caption) for caption in captions], [list(example.captions) for example in examples])


def read(data: Path | str) -> Dataset:
    """The data set in the folder `data`; what is wrong with its files is named on standard error, a line a fault."""
    dataset = datasets.read(data)
    for fault in dataset.faults:
        print(fault, file=sys.stderr)
    return dataset


def evaluate_scenes(captioner: Captioner, split: str = "test", beam: int = 5, count: int = 1000) -> dict[str, float]:
    """Scores on `count` scenes of a split, and the truth on as many of the compositional one."""
    drawn, new = scenes.make(split, count), scenes.make("compositional", count)
    scores = score_scenes(caption_scenes(captioner, drawn, beam), drawn)
    return scores | {"compositional_truth": truth(caption_scenes(captioner, new, beam), new)}


def evaluate_photos(captioner: Captioner, data: Path | str, split: str = "dev", beam: int = 5) -> dict[str, float]:
    """Scores on the photographs of a split of the data set in the folder `data`."""
    examples = datasets.pick(read(data), split)
    return score_photos(caption_photos(captioner, examples, beam), examples)


def caption_photos(captioner: Captioner, examples: Sequence[Example], beam: int = 5) -> list[Caption]:
    """A caption for every photograph, read from its file."""
    found: list[Caption] = []
    for first in tqdm(range(0, len(examples), 50), desc="captioning", unit="batch", leave=False):
        found += captioner.caption(pictures(examples[first : first + 50]), beam=beam)
    return found
