"""A training recipe, in miniature, leaves a checkpoint, a card that says how it was made, and nothing else."""

import functools
import json
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from companion import checkpoints, datasets, model_card, models, scenes, tasks
from companion.datasets import Example
from companion.training import TrainConfig, feature_cache
from companion.vocabulary import SPECIALS
from tests.albums import write_album

PSEUDO = {"pseudo.npy", "pseudo.sha256"}  # where pseudo-pairs are given
CACHES = {"train.npy", "train.sha256", "dev.npy", "dev.sha256"}
WIDTHS = (16, 16, 16, 32)


@pytest.fixture(scope="module", autouse=True)
def small():
    """Smaller decoders than any that ships, one frozen encoder for all, and few scenes to be scored on."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(models, "SIZES", {"tiny": (WIDTHS, 32), "base": (WIDTHS, 32)})
        patched.setattr(models, "EfficientNetLite0", functools.cache(models.EfficientNetLite0))
        patched.setattr(tasks.scenes, "VALIDATION_SIZE", 10)
        patched.setattr(tasks.scenes, "MEASURED", 20)
        yield


def names(folder):
    return {file.name for file in folder.iterdir()}


def refuse_call(*_):
    raise AssertionError("this must not be called")


# -- the parts --------------------------------------------------------------------------------------------------------


def test_trimming_removes_the_columns_that_are_padding_for_all():
    tokens = torch.tensor([[[1, 7, 2, 0, 0], [1, 2, 0, 0, 0]], [[1, 7, 8, 2, 0], [0, 0, 0, 0, 0]]])
    assert torch.equal(datasets.trim_padding(tokens), tokens[..., :4])
    assert torch.equal(datasets.trim_padding(tokens[:1]), tokens[:1, :, :3])
    assert torch.equal(datasets.trim_padding(tokens[..., :3]), tokens[..., :3])


def test_a_hold_out_is_apart_from_the_rest_and_without_one_both_parts_are_everything():
    taught, held_out = tasks.photos.holdout_split(50, 10)
    assert len(held_out) == 10
    assert held_out.tolist() != [*range(40, 50)]
    assert sorted([*taught.tolist(), *held_out.tolist()]) == [*range(50)]
    assert [part.tolist() for part in tasks.photos.holdout_split(50, 0)] == [[*range(50)]] * 2


def test_the_vocabulary_is_of_all_captions_and_leaves_out_rare_words():
    train = [Example("", Path(), ("a dog runs", "A dog")), Example("", Path(), ("the dog",))]
    assert set(tasks.run.build_vocabulary(train, 1).words) == {*SPECIALS, "a", "dog", "runs", "the"}
    assert set(tasks.run.build_vocabulary(train, 2).words) == {*SPECIALS, "a", "dog"}


# -- scenes -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def scenes_run(tmp_path_factory):
    """A run on forty scenes: its folder and what it returned."""
    out = tmp_path_factory.mktemp("runs") / "of scenes"
    return out, tasks.scenes.train(out, seed=3, size="tiny", config=TrainConfig(epochs=2, lr=2e-3), count=40)


def test_a_run_on_scenes_writes_its_files_and_no_others(scenes_run):
    assert names(scenes_run[0]) == set(tasks.run.RUN_FILES) - CACHES - PSEUDO - {"reference.safetensors"}


def test_what_the_recipe_returns_is_what_it_saved(scenes_run):
    out, captioner = scenes_run
    assert not captioner.training
    loaded, own = (checkpoints.trained_weights(c) for c in (checkpoints.load(out), captioner))
    assert loaded.keys() == own.keys()
    assert all(torch.equal(loaded[name], own[name]) for name in own)


def test_the_card_of_scenes_says_how_it_was_made_and_how_good_it_is(scenes_run):
    out, _ = scenes_run
    card = checkpoints.card(out)
    log = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    options = "--size tiny --attention coverage --decoder lstm --seed 3 --precision 32-true"
    assert card["command"] == f"companion train scenes --out 'of scenes' {options}"
    assert card["seed"] == card["train_config"]["seed"] == 3
    assert card["log"] == log
    assert card["metrics"] == model_card.round_scores(tasks.scenes.evaluate(checkpoints.load(out), count=20))
    assert {"truth", "states_relation", "pointing", "forced_choice", "true_of_five"} < card["metrics"].keys()
    assert card["decodings"].keys() == {"sample at 0.7", "greedy", "beam 5", "sample at 1"}
    assert card["decodings"]["sample at 0.7"]["truth"] == card["metrics"]["truth"]
    assert card["minutes"] == round(sum(record["seconds"] for record in log) / 60, 1)
    assert (card["data"]["name"], card["data"]["examples"]) == ("scenes", 80)  # two epochs
    examples = tasks.scene_batches.to_examples(scenes.make_dataset("train", tasks.scenes.VOCABULARY_SCENES))
    assert card["data"]["sha256"] == feature_cache.fingerprint(examples)


def test_the_scenes_that_a_run_is_scored_on_are_new_to_it():
    train, validation, test = (
        {scene.image.tobytes() for scene in scenes.make_dataset(split, 100)}
        for split in ("train", "validation", "test")
    )
    assert not train & validation
    assert not train & test


def test_the_learning_curve_is_an_opaque_picture(scenes_run):
    with Image.open(scenes_run[0] / "learning.png") as image:
        assert np.asarray(image.convert("RGBA"))[..., 3].min() == 255
        assert len(image.convert("RGB").getcolors(maxcolors=10**6)) > 2


# -- photographs ------------------------------------------------------------------------------------------------------

LEFT, PLAIN = "a dog on the left side of the grass", "a dog runs on the green grass"
CONFIG = TrainConfig(epochs=6, lr=2e-3)


@pytest.fixture(scope="module")
def album(tmp_path_factory):
    """Six photographs to train on, the even ones with a caption that says left, and two to be measured on."""
    folder, splits = tmp_path_factory.mktemp("data") / "album", ["train"] * 6 + ["dev"] * 2
    write_album(folder, splits=splits, captions=lambda i: (PLAIN, PLAIN if i % 2 else LEFT))
    with open(folder / "captions.csv", "a") as file:
        file.write("\n9.png,a picture that is not there,train")
    return folder


class ViewCounter:
    """Stands in for `feature_cache.cached_grid` and counts how often each picture was seen in which view."""

    def __init__(self):
        self.views = Counter()
        self.cached_grid = feature_cache.cached_grid

    def __call__(self, cache, image_ids, views=None):
        if views is not None:  # in training
            self.views.update(zip(image_ids.tolist(), views.tolist(), strict=True))
        return self.cached_grid(cache, image_ids, views)


@pytest.fixture(scope="module")
def photos_run(album, tmp_path_factory):
    """A run on the album: its folder, what it returned, and how often each picture was seen in each view."""
    out, counter = tmp_path_factory.mktemp("runs") / "photos", ViewCounter()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(feature_cache, "cached_grid", counter)
        captioner = tasks.photos.train(album, out, seed=1, config=CONFIG)
    return out, captioner, counter.views


@pytest.fixture
def out(photos_run, tmp_path):
    """A folder for another run on the album, with the cached features, so that no photograph is encoded again."""
    for name in CACHES:
        shutil.copyfile(photos_run[0] / name, tmp_path / name)
    return tmp_path


def test_a_run_on_photographs_writes_its_files_and_no_others(photos_run):
    assert names(photos_run[0]) == set(tasks.run.RUN_FILES) - PSEUDO - {"reference.safetensors"}


def test_every_picture_is_seen_mirrored_unless_a_caption_says_left(photos_run):
    _, _, views = photos_run
    assert sum(views.values()) == 6 * CONFIG.epochs
    assert [views[picture, 1] for picture in (0, 2, 4)] == [0, 0, 0]
    assert sum(views[picture, 1] for picture in (1, 3, 5)) > 0
    assert all(views[picture, 0] > 0 for picture in range(6))


def test_one_photograph_in_five_is_held_out_for_the_reward_if_wanted(album, out, monkeypatch):
    counter, asked, real = ViewCounter(), [], tasks.photos.cider_reward

    def recording_reward(*arguments):
        reward = real(*arguments)
        return lambda image_ids, captions: asked.extend(image_ids) or reward(image_ids, captions)

    monkeypatch.setattr(feature_cache, "cached_grid", counter)
    monkeypatch.setattr(tasks.photos, "cider_reward", recording_reward)
    tasks.photos.train(album, out, reward_holdout=True, config=TrainConfig(epochs=2, lr=1e-3, rl_epochs=2))
    (held_out,) = tasks.photos.holdout_split(6, 1)[1].tolist()
    assert asked == [held_out, held_out]
    assert Counter(picture for picture, _ in counter.views.elements()) == dict.fromkeys(range(6), 2)
    assert "--reward-holdout --seed 0" in checkpoints.card(out)["command"]


def test_a_photograph_has_the_same_caption_from_its_file_and_from_the_cache(album, photos_run):
    out, captioner, _ = photos_run
    examples = datasets.read(album).splits["dev"]
    cached = [c.words for c in tasks.photos.caption_cached(captioner, np.load(out / "dev.npy"), beam=1)]
    assert cached == [captioner.caption(datasets.load_image(e.image)[None], beam=1)[0].words for e in examples]


def test_the_card_of_photographs_says_how_it_was_made_and_how_good_it_is(album, photos_run):
    out, _, _ = photos_run
    card, data = checkpoints.card(out), datasets.read(album)
    assert card["command"] == "companion train photos --data album --out photos --seed 1 --precision 32-true"
    assert card["seed"] == card["train_config"]["seed"] == 1
    captions = tasks.photos.caption_cached(checkpoints.load(out), np.load(out / "dev.npy"))
    assert card["metrics"] == model_card.round_scores(tasks.photos.score(captions, data.splits["dev"]))
    assert (card["data"]["name"], card["data"]["examples"]) == ("album", 6)
    assert card["data"]["sha256"] == feature_cache.fingerprint([*data.splits["train"], *data.splits["dev"]])


def test_resuming_a_finished_run_writes_the_same_checkpoint_without_training(album, photos_run, capsys, monkeypatch):
    out, captioner, _ = photos_run
    before = {file.name: file.read_bytes() for file in out.iterdir()}
    monkeypatch.setattr(type(captioner.encoder), "forward", refuse_call)  # no photograph is encoded again
    tasks.photos.train(album, out, seed=1, config=CONFIG, resume=True)
    assert {file.name: file.read_bytes() for file in out.iterdir()} == before
    assert "captions.csv:18: " in capsys.readouterr().err  # the issue in the data is reported


def test_rare_words_are_not_learnt(photos_run):
    words = photos_run[1].vocabulary.words
    assert "left" not in words  # three times: below MIN_COUNT
    assert {"dog", "grass", "runs"} <= set(words)


def test_a_run_may_start_from_the_weights_of_another(album, photos_run, scenes_run, out):
    """Its weights and words are the start, and with a learning rate near zero the end, too. The card names it."""
    first, _, _ = photos_run
    still = TrainConfig(epochs=1, lr=1e-9, weight_decay=0.0)
    tasks.photos.train(album, out, init_from=str(first), config=still)
    ours, theirs = (checkpoints.trained_weights(checkpoints.load(folder)) for folder in (out, first))
    assert all(torch.allclose(ours[name], theirs[name], atol=1e-4) for name in theirs)
    card = checkpoints.card(out)
    assert card["data"]["init_from"]["sha256"] == checkpoints.card(first)["sha256"]
    assert f"--init-from {first}" in card["command"]
    with pytest.raises(ValueError, match="not on photographs"):
        tasks.photos.train(album, out / "other", init_from=str(scenes_run[0]), config=still)
