"""Perfect captions get perfect scores, wrong ones do not, and the scores have the names that were agreed."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from companion import evaluation, scenes
from companion.captioner import Captioner, build
from companion.decoding import Caption
from companion.encoders import Grid
from companion.vocabulary import Vocabulary, detokenize, tokenize

METRICS = {"bleu1", "bleu2", "bleu3", "bleu4", "rouge_l", "cider_d"}
SCENES = METRICS | {"truth", "exact", "related", "pointing"}


@pytest.fixture(scope="module")
def drawn():
    return scenes.make("test", 60)


def looking(words, scene, at=None):
    """A caption whose words look, one pixel each, at the things they speak of; or all of them `at` one pixel."""
    weights = torch.zeros(len(words), 64, 64)
    aligned = scenes.align(" ".join(words), scene) or [()] * len(words)
    for word, things in enumerate(aligned):
        mask = np.any(scene.masks[list(things)], axis=0) if things else np.ones((64, 64), dtype=bool)
        row, col = at or np.argwhere(mask)[0]
        weights[word, row, col] = 1.0
    return Caption(tuple(words), -1.0, weights)


def exact_reference(scene):
    """A reference that leaves nothing out, if there is one, else any."""
    texts = [reference.text for reference in scene.captions]
    return tokenize(next((text for text in texts if scenes.is_exact(text, scene)), texts[0]))


def test_a_reference_that_looks_at_its_things_is_perfect(drawn):
    complete = [s for s in drawn if scenes.is_exact(" ".join(exact_reference(s)), s)]
    assert len(complete) >= 10
    scores = evaluation.score_scenes([looking(exact_reference(s), s) for s in complete], complete)
    assert scores.keys() == SCENES
    perfect = SCENES - {"cider_d", "related"}
    assert {name: round(scores[name], 9) for name in perfect} == dict.fromkeys(perfect, 1.0)
    said = {"left", "right", "above", "below", "inside", "over", "under"}
    stated = [bool(said & set(exact_reference(s))) for s in complete]
    assert sum(stated) / len(complete) <= scores["related"] < 1  # some are said in other words
    assert scores["cider_d"] > 2  # an exact match with one of five


def test_captions_of_other_scenes_are_seldom_true_and_looking_at_nothing_is_not_pointing(drawn):
    others = [*drawn[1:], drawn[0]]
    swapped = [looking(exact_reference(other), scene) for other, scene in zip(others, drawn, strict=True)]
    scores = evaluation.score_scenes(swapped, drawn)
    assert scores["truth"] < 0.2
    assert scores["exact"] <= scores["truth"]
    assert scores["bleu4"] < 0.5
    corner = evaluation.score_scenes([looking(exact_reference(s), s, at=(0, 0)) for s in drawn], drawn)
    assert corner["truth"] == 1
    assert corner["pointing"] < 0.05


def test_truth_is_the_share_of_true_captions(drawn):
    said = [looking(tokenize("a red circle"), scene) for scene in drawn]
    wanted = sum(any((t.colour, t.shape) == ("red", "circle") for t in scene.things) for scene in drawn)
    assert 0 < wanted < len(drawn)
    assert evaluation.truth(said, drawn) == pytest.approx(wanted / len(drawn))


def test_without_a_true_caption_pointing_is_zero_and_a_number(drawn):
    """JSON has no NaN."""
    scores = evaluation.score_scenes([looking(["above"], scene) for scene in drawn[:5]], drawn[:5])
    assert (scores["truth"], scores["pointing"]) == (0, 0)


@pytest.fixture(scope="module")
def captioner(drawn):
    torch.manual_seed(0)
    vocabulary = Vocabulary.build(reference.text for scene in drawn for reference in scene.captions)
    return build("scenes", vocabulary, "tiny").eval()


def test_the_scores_of_scenes_have_the_agreed_names_and_are_numbers(captioner):
    scores = evaluation.evaluate_scenes(captioner, "validation", beam=2, count=3)
    assert scores.keys() == SCENES | {"compositional_truth"}
    assert all(isinstance(value, float) and np.isfinite(value) for value in scores.values())
    json.dumps(scores, allow_nan=False)


def test_a_split_that_does_not_exist_is_refused_with_the_names_of_those_that_do(captioner):
    with pytest.raises(ValueError, match=r"'dev'.*validation"):
        evaluation.evaluate_scenes(captioner, "dev", count=2)


def test_scenes_are_captioned_alike_one_by_one_and_all_at_once(captioner, drawn):
    at_once = evaluation.caption_scenes(captioner, drawn[:5], beam=2)
    one_by_one = evaluation.caption_scenes(captioner, drawn[:5], beam=2, batch=1)
    assert [caption.words for caption in at_once] == [caption.words for caption in one_by_one]


@pytest.fixture
def folder(tmp_path):
    """Three photographs with captions, one of them in another split, and a line that is no caption."""
    lines = ["image,caption,split"]
    for i, split in enumerate(["dev", "dev", "test"]):
        Image.new("RGB", (40, 30), (80 * i, 90, 200)).save(tmp_path / f"{i}.png")
        lines += [f"{i}.png,a picture number {i} of a colour,{split}", f"{i}.png,all of one colour,{split}"]
    (tmp_path / "captions.csv").write_text("\n".join([*lines, "nothing"]))
    return tmp_path


class Parrot(Captioner):
    """Says of every photograph what its first caption says; it knows them by their red."""

    def __init__(self):
        nn.Module.__init__(self)

    def caption(self, source, beam):
        assert beam == 4
        reds = [round(float(image[0].float().mean())) // 80 for image in source]
        return [Caption(tuple(f"a picture number {i} of a colour".split()), 0.0, torch.ones(7, 7, 7)) for i in reds]


def test_a_captioner_that_repeats_the_references_is_perfect_on_its_split(folder, capsys):
    scores = evaluation.evaluate_photos(Parrot(), folder, "dev", beam=4)
    assert scores.keys() == METRICS
    assert [round(scores[name], 9) for name in sorted(METRICS - {"cider_d"})] == [1.0] * 5
    assert capsys.readouterr().err.count(f"{folder / 'captions.csv'}:8") == 1  # the fault is named


def test_an_unknown_split_of_photographs_is_refused(folder):
    with pytest.raises(ValueError, match=r"'train'.*dev, test"):
        evaluation.evaluate_photos(Parrot(), folder, "train", beam=4)


def test_stored_grids_are_captioned_as_the_grids_themselves(captioner, drawn):
    grid = captioner.encoder(evaluation.scene_images(drawn[:3]))
    stored = grid.features.detach().half().numpy()[:, None]
    said = evaluation.caption_stored(captioner, stored, beam=2, batch=2)
    halves = Grid(torch.from_numpy(stored[:, 0]).float(), grid.rows, grid.cols)
    assert [c.words for c in said] == [c.words for c in captioner.caption(halves, beam=2)]
    assert [c.weights.shape[1:] for c in said] == [(8, 8)] * 3


def test_the_text_of_a_caption_is_its_words_in_a_line():
    words = ("the", "dog", "'s", "ball")
    assert evaluation.text(Caption(words, 0.0, torch.zeros(4, 1, 1))) == detokenize(words) == "the dog's ball"
