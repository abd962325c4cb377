"""Perfect captions get perfect scores, wrong ones do not, and the scores have the names that were agreed."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from companion import scenes, tasks
from companion.decoding import Caption
from companion.encoders import Grid
from companion.models import Captioner
from companion.vocabulary import Vocabulary, detokenize, tokenize
from tests.helpers import small_captioner

METRICS = {"bleu1", "bleu2", "bleu3", "bleu4", "rouge_l", "cider_d"}
STATED = {
    "truth_directional", "truth_left_of", "truth_right_of", "truth_above", "truth_below",
    "states_relation", "states_size", "states_number", "distinct_openings", "words_used",
}  # fmt: skip
PROBED = {"compositional_truth", "forced_choice", "reference_loss", "distinct_of_five", "true_of_five"}
SCENES = METRICS | STATED | {"truth", "exact", "pointing"}


@pytest.fixture(scope="module")
def world(world):
    return world[:60]


def attending(words, scene, at=None):
    """A caption whose words attend to one pixel each, of an object that they name; or all of them to the pixel `at`."""
    weights = torch.zeros(len(words), 64, 64)
    mentions = scenes.align(" ".join(words), scene) or [()] * len(words)
    for word, objects in enumerate(mentions):
        mask = np.any(scene.masks[list(objects)], axis=0) if objects else np.ones((64, 64), dtype=bool)
        row, col = at or np.argwhere(mask)[0]
        weights[word, row, col] = 1.0
    return Caption(tuple(words), -1.0, weights)


def exact_reference(scene):
    """A reference that names every object, if there is one, else any."""
    texts = [reference.text for reference in scene.captions]
    return tokenize(next((text for text in texts if scenes.is_exact(text, scene)), texts[0]))


def test_a_reference_that_attends_to_its_objects_is_perfect(world):
    complete = [s for s in world if scenes.is_exact(" ".join(exact_reference(s)), s)]
    assert len(complete) >= 10
    scores = tasks.scenes.score([attending(exact_reference(s), s) for s in complete], complete)
    assert scores.keys() == SCENES
    perfect = SCENES - {"cider_d", "states_relation", "states_size", "distinct_openings", "words_used"}
    assert {name: round(scores[name], 9) for name in perfect} == dict.fromkeys(perfect, 1.0)
    relations = {"left", "right", "above", "below", "inside", "over", "under"}
    with_relation = [bool(relations & set(exact_reference(s))) for s in complete]
    assert sum(with_relation) / len(complete) <= scores["states_relation"] < 1  # some are stated in other words
    assert scores["cider_d"] > 2  # an exact match with one of five


def test_captions_of_other_scenes_are_seldom_true_and_attention_to_a_corner_is_not_pointing(world):
    others = [*world[1:], world[0]]
    swapped = [attending(exact_reference(other), scene) for other, scene in zip(others, world, strict=True)]
    scores = tasks.scenes.score(swapped, world)
    assert scores["truth"] < 0.2
    assert scores["exact"] <= scores["truth"]
    assert scores["bleu4"] < 0.5
    corner = tasks.scenes.score([attending(exact_reference(s), s, at=(0, 0)) for s in world], world)
    assert corner["truth"] == 1
    assert corner["pointing"] < 0.05


def test_the_truth_rate_is_the_share_of_true_captions(world):
    captions = [attending(tokenize("a red circle"), scene) for scene in world]
    true = sum(any((o.colour, o.shape) == ("red", "circle") for o in scene.objects) for scene in world)
    assert 0 < true < len(world)
    assert tasks.scenes.truth_rate(captions, world) == pytest.approx(true / len(world))


def test_without_a_true_caption_pointing_is_zero_and_a_number(world):
    """JSON has no NaN."""
    scores = tasks.scenes.score([attending(["above"], scene) for scene in world[:5]], world[:5])
    assert (scores["truth"], scores["pointing"]) == (0, 0)


@pytest.fixture(scope="module")
def captioner(world):
    vocabulary = Vocabulary.build(reference.text for scene in world for reference in scene.captions)
    return small_captioner(vocabulary).eval()


def test_the_scores_of_scenes_have_the_agreed_names_and_are_numbers(captioner):
    scores = tasks.scenes.evaluate(captioner, "validation", beam=2, count=3)
    assert scores.keys() == SCENES | PROBED
    assert all(isinstance(value, float) and np.isfinite(value) for value in scores.values())
    json.dumps(scores, allow_nan=False)


def test_a_split_that_does_not_exist_is_refused_with_the_names_of_those_that_do(captioner):
    with pytest.raises(ValueError, match=r"'dev'.*validation"):
        tasks.scenes.evaluate(captioner, "dev", count=2)


def test_scenes_have_the_same_captions_one_by_one_and_all_at_once(captioner, world):
    at_once = tasks.scenes.caption(captioner, world[:5], beam=2)
    one_by_one = tasks.scenes.caption(captioner, world[:5], beam=2, batch_size=1)
    assert [caption.words for caption in at_once] == [caption.words for caption in one_by_one]


@pytest.fixture
def album(tmp_path):
    """Three photographs with captions, one of them in another split, and a line that is no caption."""
    lines = ["image,caption,split"]
    for i, split in enumerate(["dev", "dev", "test"]):
        Image.new("RGB", (40, 30), (80 * i, 90, 200)).save(tmp_path / f"{i}.png")
        lines += [f"{i}.png,a picture number {i} of a colour,{split}", f"{i}.png,all of one colour,{split}"]
    (tmp_path / "captions.csv").write_text("\n".join([*lines, "nothing"]))
    return tmp_path


class Parrot(Captioner):
    """Generates the first reference of every photograph; it recognises them by their red."""

    def __init__(self):
        nn.Module.__init__(self)

    def caption(self, source, beam):
        assert beam == 4
        numbers = [round(float(image[0].float().mean())) // 80 for image in source]
        return [Caption(tuple(f"a picture number {i} of a colour".split()), 0.0, torch.ones(7, 7, 7)) for i in numbers]


def test_a_captioner_that_repeats_the_references_is_perfect_on_its_split(album, capsys):
    scores = tasks.photos.evaluate(Parrot(), album, "dev", beam=4)
    assert scores.keys() == METRICS | {"right_noun", "noun_precision"}
    assert [round(scores[name], 9) for name in sorted(METRICS - {"cider_d"})] == [1.0] * 5
    assert capsys.readouterr().err.count(f"{album / 'captions.csv'}:8") == 1  # the issue is reported


def test_an_unknown_split_of_photographs_is_refused(album):
    with pytest.raises(ValueError, match=r"'train'.*dev, test"):
        tasks.photos.evaluate(Parrot(), album, "train", beam=4)


def test_cached_grids_have_the_captions_of_the_grids_themselves(captioner, world):
    grid = captioner.encoder(scenes.image_tensor(world[:3]))
    cache = grid.features.detach().half().numpy()[:, None]
    captions = tasks.photos.caption_cached(captioner, cache, beam=2, batch_size=2)
    halves = Grid(torch.from_numpy(cache[:, 0]).float(), grid.rows, grid.cols)
    assert [c.words for c in captions] == [c.words for c in captioner.caption(halves, beam=2)]
    assert [c.weights.shape[1:] for c in captions] == [(8, 8)] * 3


def test_the_text_of_a_caption_is_its_words_in_a_line():
    words = ("the", "dog", "'s", "ball")
    assert Caption(words, 0.0, torch.zeros(4, 1, 1)).text == detokenize(words) == "the dog's ball"
