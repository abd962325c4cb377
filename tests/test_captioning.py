"""Many files at once: each gets the caption that it would get alone, in the order in which the files were named."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from companion import apps, datasets
from companion.vocabulary import SPECIALS, Vocabulary
from tests.helpers import small_captioner


@pytest.fixture(scope="module")
def captioner():
    """An untrained captioner whose captions differ between images."""
    captioner = small_captioner(Vocabulary([*SPECIALS, *"a dog cat man runs sits on the grass water".split()]), seed=1)
    with torch.no_grad():
        for parameter in captioner.decoder.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    return captioner


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Forty paths; every third is of no image, and of the others every seventh of no file at all."""
    folder = tmp_path_factory.mktemp("files")
    rng = np.random.default_rng(0)
    for i in range(40):
        if i % 3 == 1:
            (folder / f"{i}.png").write_bytes(b"no picture")
        elif i % 7:
            Image.fromarray(rng.integers(0, 256, (9, 9, 3), dtype=np.uint8)).save(folder / f"{i}.png")
    return [folder / f"{i}.png" for i in range(40)]


def test_every_file_has_its_own_answer_in_its_own_place(captioner, files):
    answers = list(apps.caption_files(captioner, files, beam=2))
    assert [path for path, _ in answers] == files
    for path, answer in answers:
        if isinstance(answer, ValueError):
            with pytest.raises(ValueError, match=re.escape(str(answer))):
                datasets.load_image(path, captioner.image_size)
        else:
            alone = captioner.caption(datasets.load_image(path, captioner.image_size).unsqueeze(0), beam=2)[0]
            assert answer.words == alone.words
            assert torch.allclose(answer.weights, alone.weights, atol=1e-5)
    assert len({answer.words for _, answer in answers if not isinstance(answer, ValueError)}) > 1


def test_batches_grow_from_one_to_the_largest_and_hold_each_file_once():
    for count in (0, 1, 2, 31, 32, 100):
        paths = [Path(str(i)) for i in range(count)]
        batches = apps.growing_batches(paths)
        assert [path for batch in batches for path in batch] == paths
        sizes = [len(batch) for batch in batches]
        assert sizes[:-1] == [1, 2, 4, 8, *[apps.BATCH_SIZE] * 10][: len(sizes) - 1]
        assert max(sizes) <= apps.BATCH_SIZE


def test_no_more_is_read_than_the_next_batch(captioner, files, monkeypatch):
    """Ten thousand files must not fill the memory: when one answer is taken, three files have been read."""
    read, load_image = [], datasets.load_image
    monkeypatch.setattr(datasets, "load_image", lambda path, size: read.append(path) or load_image(path, size))
    answers = apps.caption_files(captioner, files, beam=1)
    next(answers)
    answers.close()
    assert read == files[:3]


def test_without_files_there_are_no_answers(captioner):
    assert list(apps.caption_files(captioner, [])) == []
