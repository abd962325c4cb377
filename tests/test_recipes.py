"""A recipe, in miniature: it leaves a checkpoint, a card that says how it was made, and nothing else."""

import functools
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from companion import checkpoints, datasets, evaluation, features, photos, recipes, scenes, training
from companion.datasets import Example
from companion.training import Plan
from companion.vocabulary import SPECIALS

FEATURES = {"train.npy", "train.sha256", "dev.npy", "dev.sha256"}


def names(folder):
    return {file.name for file in folder.iterdir()}


def weights(captioner):
    return checkpoints.trained_weights(captioner)


# -- the parts --------------------------------------------------------------------------------------------------------


def test_trimming_takes_away_the_columns_that_are_padding_for_all():
    tokens = torch.tensor([[[1, 7, 2, 0, 0], [1, 2, 0, 0, 0]], [[1, 7, 8, 2, 0], [0, 0, 0, 0, 0]]])
    assert torch.equal(recipes.trimmed(tokens), tokens[..., :4])
    assert torch.equal(recipes.trimmed(tokens[:1]), tokens[:1, :, :3])
    assert torch.equal(recipes.trimmed(tokens[..., :3]), tokens[..., :3])


def test_an_epoch_has_a_batch_for_every_picture_and_no_empty_one():
    pictures, plan = [Example("", Path(), ("a",))], Plan(epochs=1, rate=1e-3, batch=4)
    assert [recipes.steps(pictures * count, plan) for count in (1, 3, 4, 5, 8, 9)] == [1, 1, 1, 2, 2, 3]


def test_pictures_kept_for_the_judge_teach_no_words_and_without_any_all_do_both():
    taught, kept = recipes.parted(50, 10)
    assert len(kept) == 10
    assert kept.tolist() != [*range(40, 50)]
    assert sorted([*taught.tolist(), *kept.tolist()]) == [*range(50)]
    assert [part.tolist() for part in recipes.parted(50, 0)] == [[*range(50)]] * 2


def test_the_vocabulary_is_of_all_captions_and_leaves_out_rare_words():
    train = [Example("", Path(), ("a dog runs", "A dog")), Example("", Path(), ("the dog",))]
    assert set(recipes.vocabulary_of(train, 1).words) == {*SPECIALS, "a", "dog", "runs", "the"}
    assert set(recipes.vocabulary_of(train, 2).words) == {*SPECIALS, "a", "dog"}


# -- scenes -----------------------------------------------------------------------------------------------------------


FEW = functools.partial(evaluation.evaluate_scenes, count=20)


@pytest.fixture(scope="module")
def of_scenes(tmp_path_factory):
    """A run on forty scenes: its folder and what it returned."""
    out, plan = tmp_path_factory.mktemp("runs") / "of scenes", Plan(epochs=2, rate=2e-3)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(recipes, "MEASURED", 20)
        return out, recipes.train_scenes(out, seed=3, size="tiny", plan=plan, drawn=40)


def test_a_run_on_scenes_writes_its_files_and_no_others(of_scenes):
    assert names(of_scenes[0]) == set(recipes.FILES) - FEATURES


def test_what_the_recipe_returns_is_what_it_saved(of_scenes):
    out, captioner = of_scenes
    assert not captioner.training
    loaded, own = weights(checkpoints.load(out)), weights(captioner)
    assert loaded.keys() == own.keys()
    assert all(torch.equal(loaded[name], own[name]) for name in own)


def test_the_card_of_scenes_says_how_it_was_made_and_how_good_it_is(of_scenes):
    out, _ = of_scenes
    card = checkpoints.card(out)
    log = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    made = "--size tiny --attention coverage --decoder lstm --seed 3 --precision 32-true"
    assert card["command"] == f"companion train scenes --out 'of scenes' {made}"
    assert card["seed"] == card["plan"]["seed"] == 3
    assert card["log"] == log
    assert card["metrics"] == training.rounded(FEW(checkpoints.load(out)))
    assert {"truth", "exact", "pointing", "compositional_truth"} < card["metrics"].keys()
    assert card["minutes"] == round(sum(record["seconds"] for record in log) / 60, 1)
    assert (card["data"]["name"], card["data"]["examples"]) == ("scenes", 40)
    seen = evaluation.scene_examples(scenes.make("train", 40))
    assert card["data"]["sha256"] == features.fingerprint(seen)


def test_the_scenes_that_a_run_is_measured_on_are_new_to_it():
    trained_on = {scene.image.tobytes() for scene in scenes.make("train", 300)}
    assert not trained_on & {scene.image.tobytes() for scene in scenes.make("validation", 300)}


def test_the_learning_curve_is_an_opaque_picture(of_scenes):
    with Image.open(of_scenes[0] / "learning.png") as image:
        assert np.asarray(image.convert("RGBA"))[..., 3].min() == 255
        assert len(image.convert("RGB").getcolors(maxcolors=10**6)) > 2


# -- photographs ------------------------------------------------------------------------------------------------------

SAID = {"left": "a dog on the left side of the grass", "plain": "a dog runs on the green grass"}


@pytest.fixture(scope="module")
def album(tmp_path_factory):
    """Six photographs to learn from, the even ones with a caption that says left, and two to be measured on."""
    folder = tmp_path_factory.mktemp("data") / "album"
    folder.mkdir()
    chance, lines = np.random.default_rng(0), ["image,caption,split"]
    for i in range(8):
        pixels = chance.integers(0, 256, (4, 6, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((60, 40)).save(folder / f"{i}.png")
        split = "train" if i < 6 else "dev"
        lines += [f"{i}.png,{SAID['plain']},{split}", f"{i}.png,{SAID['plain' if i % 2 else 'left']},{split}"]
    lines.append("9.png,a picture that is not there,train")
    (folder / "captions.csv").write_text("\n".join(lines))
    return folder


class Spy:
    """Stands in for `features.grid` and notes which picture was seen in which view."""

    def __init__(self):
        self.seen = Counter()
        self.real = features.grid

    def __call__(self, stored, pictures, views=None):
        if views is not None:
            self.seen.update(zip(pictures.tolist(), views.tolist(), strict=True))
        return self.real(stored, pictures, views)


QUICK = Plan(epochs=6, rate=2e-3)


@pytest.fixture(scope="module")
def of_photos(album, tmp_path_factory):
    """A run on the album: its folder, what it returned, and how often each picture was seen in each view."""
    out, spy = tmp_path_factory.mktemp("runs") / "photos", Spy()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(features, "grid", spy)
        captioner = recipes.train_photos(album, out, seed=1, plan=QUICK)
    return out, captioner, spy.seen


def test_a_run_on_photographs_writes_its_files_and_no_others(of_photos):
    assert names(of_photos[0]) == set(recipes.FILES)


def test_every_picture_is_seen_in_the_mirror_unless_a_caption_says_left(of_photos):
    _, _, seen = of_photos
    assert sum(seen.values()) == 6 * QUICK.epochs
    assert [seen[picture, 1] for picture in (0, 2, 4)] == [0, 0, 0]
    assert sum(seen[picture, 1] for picture in (1, 3, 5)) > 0
    assert all(seen[picture, 0] > 0 for picture in range(6))


def test_one_photograph_in_five_is_kept_for_the_judge_if_so_wished(album, tmp_path, monkeypatch):
    spy, asked = Spy(), []
    monkeypatch.setattr(features, "grid", spy)
    real = recipes.rewards.judge_of_likeness

    def judge_of(train):
        judge = real(train)
        return lambda pictures, captions: asked.extend(pictures) or judge(pictures, captions)

    monkeypatch.setattr(recipes.rewards, "judge_of_likeness", judge_of)
    recipes.train_photos(album, tmp_path / "judged", withhold=True, plan=Plan(epochs=2, rate=1e-3, judged=2))
    (kept,) = recipes.parted(6, 1)[1].tolist()
    assert asked == [kept, kept]
    times = Counter(picture for picture, _ in spy.seen.elements())
    assert times == dict.fromkeys(range(6), 2)
    assert "--withhold --seed 0" in checkpoints.card(tmp_path / "judged")["command"]


def test_a_photograph_is_captioned_the_same_from_its_file_and_from_what_was_stored(album, of_photos):
    out, captioner, _ = of_photos
    examples = datasets.read(album).splits["dev"]
    stored = np.load(out / "dev.npy")
    from_store = [c.words for c in evaluation.caption_stored(captioner, stored, beam=1)]
    assert from_store == [captioner.caption(photos.load(e.image)[None], beam=1)[0].words for e in examples]


def test_the_card_of_photographs_says_how_it_was_made_and_how_good_it_is(album, of_photos):
    out, _, _ = of_photos
    card, data = checkpoints.card(out), datasets.read(album)
    assert card["command"] == "companion train photos --data album --out photos --seed 1 --precision 32-true"
    assert card["seed"] == 1
    said = evaluation.caption_stored(checkpoints.load(out), np.load(out / "dev.npy"))
    assert card["metrics"] == training.rounded(evaluation.score_photos(said, data.splits["dev"]))
    assert (card["data"]["name"], card["data"]["examples"]) == ("album", 6)
    assert card["data"]["sha256"] == features.fingerprint([*data.splits["train"], *data.splits["dev"]])


def test_resuming_a_finished_run_writes_the_same_checkpoint_without_learning(album, of_photos, capsys, monkeypatch):
    out, captioner, _ = of_photos
    before = {name: (out / name).read_bytes() for name in recipes.FILES}

    def looks(*_):
        raise AssertionError("the photographs are looked at again")

    monkeypatch.setattr(type(captioner.encoder), "forward", looks)
    recipes.train_photos(album, out, seed=1, plan=QUICK, resume=True)
    assert {name: (out / name).read_bytes() for name in recipes.FILES} == before
    assert "captions.csv:18: " in capsys.readouterr().err  # the fault in the data is named


def test_rare_words_are_not_learnt(of_photos):
    words = of_photos[1].vocabulary.words
    assert "left" not in words  # three times: below PHOTOS_MIN_COUNT
    assert {"dog", "grass", "runs"} <= set(words)


def test_a_run_may_begin_with_what_another_has_learnt(album, of_photos, tmp_path):
    """Its words and weights are the beginning: with a rate of nothing they are the end too; the card names them."""
    before, _, _ = of_photos
    still = Plan(epochs=1, rate=1e-9, decay=0.0)
    recipes.train_photos(album, tmp_path / "on", begin=str(before), plan=still)
    ours, theirs = (checkpoints.trained_weights(checkpoints.load(folder)) for folder in (tmp_path / "on", before))
    assert all(torch.allclose(ours[name], theirs[name], atol=1e-4) for name in theirs)
    card = checkpoints.card(tmp_path / "on")
    assert card["data"]["began_with"]["sha256"] == checkpoints.card(before)["sha256"]
    assert f"--begin {before}" in card["command"]
    with pytest.raises(ValueError, match="not on photographs"):
        recipes.train_photos(album, tmp_path / "other", begin="scenes", plan=still)
