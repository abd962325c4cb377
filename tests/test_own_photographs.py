"""Fine-tuning on few pictures: words are added and change nothing else; what is measured of it is computed right."""

import itertools
import json

import numpy as np
import pytest
import torch

from benchmarks import own_photographs
from benchmarks.own_photographs import Run
from companion import checkpoints, datasets, models, tasks
from companion.datasets import Example
from companion.tasks.languages import new_words_note
from companion.tasks.photos import PHOTOS, PHOTOS_FINETUNE, PHOTOS_FINETUNE_FEW, PHOTOS_REWARD_HOLDOUT
from companion.tasks.run import extend_vocabulary
from companion.training import TrainConfig
from companion.vocabulary import SPECIALS, Vocabulary
from tests.albums import write_album

WORDS = Vocabulary([*SPECIALS, "a", "dog", "runs"])
HERON = Example("", np.zeros((2, 2, 3), dtype=np.uint8), ("a heron stands", "a heron runs"))


@pytest.fixture(scope="module", autouse=True)
def small():
    """Smaller decoders than any that ships."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(models, "SIZES", {"base": ((16, 16, 16, 32), 32)})
        yield


def make(**options):
    torch.manual_seed(0)
    return models.build("photos", WORDS, **options).eval()


# --- words ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"decoders": 2}, {"decoder": "transformer"}, {"tags": True}], ids=str)
def test_new_words_get_the_logits_of_unk_and_the_known_ones_keep_theirs(options):
    captioner = make(**options)
    extended = extend_vocabulary(captioner, [HERON], 2).eval()
    assert extended.vocabulary.words == [*WORDS.words, "heron"]  # "stands" occurs once
    assert extended.config == captioner.config
    images = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    tokens = torch.tensor([[[Vocabulary.start, 4, 5]], [[Vocabulary.start, 5, 6]]])
    with torch.no_grad():
        grid = captioner.encode(images)._replace(tags=None)  # a tag of a new word may be pointed to
        before, after = (model(grid, tokens).logits for model in (captioner, extended))
    if "decoders" in options:  # an ensemble returns log-probabilities, which sum to one over more words
        before, after = before - before[..., :1], after - after[..., :1]
    torch.testing.assert_close(after[..., : len(WORDS)], before)
    torch.testing.assert_close(after[..., len(WORDS)], before[..., Vocabulary.unk])


def test_a_vocabulary_that_has_all_frequent_words_is_left_alone():
    captioner = make()
    assert extend_vocabulary(captioner, [HERON], 3) is captioner


def test_the_note_counts_the_new_words_and_names_some_of_them():
    two = Vocabulary([*WORDS.words, "heron", "reeds"])
    many = Vocabulary([*WORDS.words, *(f"word{letter}" for letter in "abcdefghij")])
    assert new_words_note(WORDS, two).endswith("(2): heron, reeds")
    assert new_words_note(WORDS, many).endswith("wordg, wordh, ...")


# --- the command ------------------------------------------------------------------------------------------------------


def test_the_default_depends_on_the_start_and_on_the_number_of_photographs():
    def default(count, *, init_from, reward_holdout=False):
        return tasks.photos.default_config(count, init_from=init_from, reward_holdout=reward_holdout, streams=False)

    assert default(999, init_from=True) == PHOTOS_FINETUNE_FEW
    assert default(1000, init_from=True) == PHOTOS_FINETUNE
    assert default(30, init_from=True, reward_holdout=True) == PHOTOS_FINETUNE
    assert default(30, init_from=False) == PHOTOS
    assert default(30, init_from=False, reward_holdout=True) == PHOTOS_REWARD_HOLDOUT


@pytest.mark.parametrize("tags", [True, False])
def test_fine_tuning_learns_a_new_word_and_keeps_the_tags_of_the_checkpoint(tags, tmp_path, capsys):
    checkpoints.save(make(tags=tags), tmp_path / "start", {})
    write_album(tmp_path / "mine", splits=["train"] * 4 + ["dev"] * 2, captions=lambda i: ["a heron runs"])
    config = TrainConfig(epochs=10, lr=1e-2, batch_size=1)
    tuned = tasks.photos.train(tmp_path / "mine", tmp_path / "out", init_from=str(tmp_path / "start"), config=config)
    assert tuned.config.get("tags", False) == tags
    assert checkpoints.load(tmp_path / "out").vocabulary.words == [*WORDS.words, "heron"]
    (image,) = datasets.load_images([Example("", tmp_path / "mine" / "0.png", ())])
    assert "heron" in tuned.caption(image[None])[0].words
    err = capsys.readouterr().err
    assert "the checkpoint lacks words that are frequent enough to be learnt (1): heron" in err
    assert "dev has 2 pictures" in err
    assert "confidence" not in checkpoints.card(tmp_path / "out")  # two captions are too few


# --- the benchmark ----------------------------------------------------------------------------------------------------


def test_a_data_set_that_is_written_is_read_again(tmp_path):
    examples, _ = own_photographs.draw("train", 3, tmp_path / "drawn")
    own_photographs.write_data(tmp_path / "data", {"train": examples[:2], "dev": examples[2:]})
    read = datasets.read(tmp_path / "data")
    assert not read.issues
    assert [e.captions for e in [*read.splits["train"], *read.splits["dev"]]] == [e.captions for e in examples]
    pixels = [datasets.load_images([each]) for each in (read.splits["dev"][0], examples[2])]
    assert torch.equal(*pixels)


def test_the_mean_is_over_pictures_and_seeds_and_the_gain_is_over_the_same_pictures():
    before = [{"s": [0.0, 1.0]}, {"s": [0.0, 0.0]}]
    after = [[{"s": [1.0, 1.0]}, {"s": [1.0, 1.0]}], [{"s": [1.0, 1.0]}, {"s": [0.0, 1.0]}]]
    summary = own_photographs.summarize(before, after, "s")
    assert summary["mean"] == pytest.approx(7 / 8)
    assert summary["seeds"] == [1.0, 0.75]
    assert summary["gain"] == pytest.approx(7 / 8 - 1 / 4)
    assert summary["gain_interval"][0] < summary["gain"] < summary["gain_interval"][1]


def toy_rows():
    """Return a row for every run, in which a picture's score is the number of pictures learnt from, plus the seed."""
    albums = {
        "everyday, first half": own_photographs.Album([], [], []),
        "everyday, second half": own_photographs.Album([], [], []),
        "scenes": own_photographs.Album([], [], [None]),
    }
    rows = {}
    for run in own_photographs.runs_of(albums):
        score = "right_noun" if run.album != "scenes" else "true"
        value = float(run.pictures + run.seed)
        own = {"cider_d": [value, value], score: [1.0, 0.0]}
        rows[run] = {"own": own, "flickr8k": [-value], "minutes": 1.0, "words_added": 3 * run.new_words}
    return rows


def test_the_table_has_a_row_for_each_number_of_pictures():
    rows = toy_rows()
    table = own_photographs.results(rows, "sha")["table"]
    assert [(row["album"], row["pictures"], row["new_words"]) for row in table] == [
        *(("everyday", n, True) for n in (0, *own_photographs.EVERYDAY_COUNTS)),
        *(("scenes", n, True) for n in (0, *own_photographs.SCENE_COUNTS[:1])),
        *(("scenes", own_photographs.FIXED_COUNT, new) for new in (False, True)),
        *(("scenes", n, True) for n in own_photographs.SCENE_COUNTS[2:]),
    ]
    for row in table:
        few = (row["album"], row["pictures"]) == ("scenes", own_photographs.SCENE_COUNTS[0])
        seeds = (*own_photographs.SEEDS, *own_photographs.MORE_SEEDS * few) if row["pictures"] else (0,)
        assert row["seeds"] == len(seeds)
        assert row["measured"] == (4 if row["album"] == "everyday" else 2)
        assert row["scores"]["cider_d"]["mean"] == pytest.approx(row["pictures"] + np.mean(seeds))
        assert row["flickr8k"]["gain"] == pytest.approx(-row["pictures"] - np.mean(seeds))
    assert len(rows) == len(set(rows)) == 3 + 2 * (2 * 2 + 3) + 2 + 3


def test_a_benchmark_that_is_stopped_goes_on(tmp_path, monkeypatch):
    """A row that is there is not measured again, unless it is of other weights."""
    album = own_photographs.Album([HERON], [HERON], [])
    monkeypatch.setattr(own_photographs, "make_albums", lambda *_: dict.fromkeys(("everyday, a", "everyday, b"), album))
    monkeypatch.setattr(own_photographs, "runs_of", lambda albums: [Run(name, 0) for name in albums])
    monkeypatch.setattr(own_photographs, "RESULTS", tmp_path / "results.json")
    monkeypatch.setattr(datasets, "read", lambda *_: datasets.Dataset({"dev": [HERON] * 302}, [], []))
    monkeypatch.setattr(own_photographs.feature_cache, "cache_features", lambda *_: own_photographs.feature_cache)
    monkeypatch.setattr(own_photographs.feature_cache, "grids", None, raising=False)
    monkeypatch.setattr(checkpoints, "load", lambda _: make())
    monkeypatch.setattr(checkpoints, "card", lambda _: {"sha256": "x"})
    calls = itertools.count()

    def measure(*_):
        if next(calls) == 3:
            raise KeyboardInterrupt
        return {"cider_d": [0.5], "right_noun": [1.0]}

    monkeypatch.setattr(own_photographs, "measure", measure)
    arguments = tmp_path, tmp_path, tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        own_photographs.main(*arguments)
    rows = tmp_path / "out" / "rows.jsonl"
    assert len(rows.read_text().splitlines()) == 1
    own_photographs.main(*arguments)
    assert next(calls) == 6  # two for the row that was lost, and no others
    assert json.loads((tmp_path / "results.json").read_text())["sha256"] == "x"
