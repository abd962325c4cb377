"""Many files at once: each gets what it would get alone, in the order in which the files were named."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from companion import photos, pipeline
from companion.captioner import build
from companion.vocabulary import SPECIALS, Vocabulary


@pytest.fixture(scope="module")
def captioner():
    torch.manual_seed(1)
    made = build("scenes", Vocabulary([*SPECIALS, *"a dog cat man runs sits on the grass water".split()]), "tiny")
    with torch.no_grad():
        for parameter in made.decoder.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    return made


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Forty names; every third is not of a photograph, every seventh of no file at all."""
    folder = tmp_path_factory.mktemp("files")
    chance = np.random.default_rng(0)
    for i in range(40):
        if i % 3 == 1:
            (folder / f"{i}.png").write_bytes(b"no picture")
        elif i % 7:
            Image.fromarray(chance.integers(0, 256, (9, 9, 3), dtype=np.uint8)).save(folder / f"{i}.png")
    return [folder / f"{i}.png" for i in range(40)]


def test_every_file_has_its_own_answer_in_its_own_place(captioner, files):
    answers = list(pipeline.caption_files(captioner, files, beam=2))
    assert [path for path, _ in answers] == files
    for path, found in answers:
        if isinstance(found, ValueError):
            with pytest.raises(ValueError, match=re.escape(str(found))):
                photos.load(path, captioner.side)
        else:
            alone = captioner.caption(photos.load(path, captioner.side).unsqueeze(0), beam=2)[0]
            assert found.words == alone.words
            assert torch.allclose(found.weights, alone.weights, atol=1e-5)
    assert len({found.words for _, found in answers if not isinstance(found, ValueError)}) > 1


def test_batches_grow_from_one_to_the_largest_and_hold_each_file_once():
    for count in (0, 1, 2, 31, 32, 100):
        paths = [Path(str(i)) for i in range(count)]
        batches = pipeline.split(paths)
        assert [path for batch in batches for path in batch] == paths
        sizes = [len(batch) for batch in batches]
        assert sizes[:-1] == [1, 2, 4, 8, *[pipeline.BATCH] * 10][: len(sizes) - 1]
        assert max(sizes) <= pipeline.BATCH


def test_no_more_is_read_than_the_next_batch(captioner, files, monkeypatch):
    """Ten thousand files must not fill the memory: whoever takes one answer has caused the reading of three files."""
    taken, load = [], photos.load
    monkeypatch.setattr(photos, "load", lambda path, side: taken.append(path) or load(path, side))
    answers = pipeline.caption_files(captioner, files, beam=1)
    next(answers)
    answers.close()
    assert taken == files[:3]


def test_no_file_is_no_trouble(captioner):
    assert list(pipeline.caption_files(captioner, [])) == []
