"""Three streams in one run: captioned photographs, captions alone with simulated tags, and retrieved captions."""

import json

import numpy as np
import pytest
import torch

from companion import checkpoints, datasets, tasks
from companion.encoders import Grid
from companion.models import build
from companion.tags import TAG_WORDS
from companion.tasks import streams
from companion.tasks.streams import StreamConfig
from companion.tokenizer import ENGLISH
from companion.training import Batch, TrainConfig
from companion.vocabulary import SPECIALS, Vocabulary
from tests.albums import write_album
from tests.test_two_memories import make_tags


def test_captions_of_one_picture_of_a_coco_file_stay_together_and_lines_stand_alone(tmp_path):
    annotations = [
        {"image_id": 7, "caption": "A cat on\na bed."},
        {"image_id": 3, "caption": "A dog."},
        {"image_id": 7, "caption": " The cat sleeps."},
        {"caption": "of nothing"},
    ]
    (tmp_path / "captions.json").write_text(json.dumps({"annotations": annotations}))
    (tmp_path / "captions.txt").write_text("A cat on a bed.\n\nA dog.\n")
    issues = []
    coco = streams.read_text(tmp_path / "captions.json", report=issues.append)
    assert [example.captions for example in coco] == [("A cat on a bed.", "The cat sleeps."), ("A dog.",)]
    assert len(issues) == 1
    assert "annotations[3]" in issues[0]
    lines = streams.read_text(tmp_path / "captions.txt")
    assert [example.captions for example in lines] == [("A cat on a bed.",), ("A dog.",)]
    with pytest.raises(ValueError, match=r"annotations\[3\]"):
        streams.read_text(tmp_path / "captions.json", strict=True)
    (tmp_path / "nothing.txt").write_text("\n")
    with pytest.raises(ValueError, match="no caption"):
        streams.read_text(tmp_path / "nothing.txt")


def test_text_comes_without_places_with_new_tags_each_time_that_follow_the_captions():
    examples = [datasets.Example(text, streams.NO_PICTURE, (text,)) for text in ("a cat", "a bus")]
    stream, chosen = streams.text_stream(examples, ENGLISH, channels=7), torch.tensor([0, 1, 1])
    torch.manual_seed(0)
    grids = [stream.load(chosen, None) for _ in range(60)]
    assert grids[0].features.shape == (3, 0, 7)
    assert not torch.equal(grids[0].tags.words, grids[1].tags.words)
    seen = torch.stack([(grid.tags.words == TAG_WORDS.index("cat")).any(-1).double() for grid in grids]).mean(0)
    assert seen[0] > 0.7
    assert (seen[1:] < 0.4).all()
    torch.manual_seed(0)
    assert torch.equal(stream.load(chosen, None).tags.words, grids[0].tags.words)


class Numbered:
    """A source of batches whose image ids are their numbers."""

    def __init__(self, count, rows=1):
        self.count, self.rows = count, rows

    def __len__(self):
        return self.count

    def epoch(self, generator):
        for i in range(self.count):
            grid = Grid(torch.zeros(1, self.rows, 1), self.rows, self.rows, make_tags(batch=1))
            yield Batch(grid, torch.zeros(1, 1, 2, dtype=torch.long), torch.tensor([i]))


def test_an_epoch_has_every_batch_of_a_stream_as_often_as_it_passes_in_an_order_of_the_generator():
    mixed = streams.MixedBatches([(Numbered(30), 0, 1), (Numbered(10, rows=0), 100, 2)])
    assert len(mixed) == 50
    orders = []
    for seed in (0, 0, 1):
        batches = list(mixed.epoch(torch.Generator().manual_seed(seed)))
        orders.append([int(batch.image_ids) for batch in batches])
        assert sorted(orders[-1]) == sorted([*range(30), *range(100, 110), *range(100, 110)])
        assert all(batch.source.tags is not None for batch in batches)
    assert orders[0] == orders[1] != orders[2]
    assert {i >= 100 for i in orders[0][:10]} == {True, False}


def test_memories_are_withheld_from_a_share_of_the_batches_of_photographs_never_both_and_never_from_text():
    dropout = StreamConfig(grid_dropout=0.3, tag_dropout=0.2)
    mixed = streams.MixedBatches([(Numbered(1000), 0, 1), (Numbered(300, rows=0), 2000, 1)], dropout=dropout)
    batches = list(mixed.epoch(torch.Generator().manual_seed(0)))
    text = [batch.source for batch in batches if batch.image_ids >= 2000]
    photographs = [batch.source for batch in batches if batch.image_ids < 2000]
    assert all(grid.tags is not None and not grid.rows for grid in text)
    assert all(grid.tags is not None or grid.rows for grid in photographs)
    assert np.mean([not grid.rows for grid in photographs]) == pytest.approx(0.3, abs=0.05)
    assert np.mean([grid.tags is None for grid in photographs]) == pytest.approx(0.2, abs=0.05)


def test_what_is_held_out_of_cross_entropy_is_rewarded_and_a_stream_without_reward_is_learnt_whole():
    vocabulary, config = Vocabulary([*SPECIALS, "a"]), TrainConfig(epochs=1, lr=1.0, batch_size=2, captions_per_image=1)
    examples = [datasets.Example(str(i), streams.NO_PICTURE, ("a",)) for i in range(10)]
    first = streams.text_stream(examples, ENGLISH, channels=1)
    second = streams.text_stream(examples[:4], ENGLISH, channels=1)
    sources = streams.mix(
        [first, second], vocabulary, config,
        holdout=lambda count: (torch.arange(2, count), torch.arange(2)), tags=True,
    )  # fmt: skip
    taught, rewarded = (
        sorted(i for batch in source.epoch(torch.Generator().manual_seed(0)) for i in batch.image_ids.tolist())
        for source in sources
    )
    assert taught == [*range(2, 10), *range(10, 14)]
    assert rewarded == [0, 1]


# --- whole runs ---------------------------------------------------------------------------------------------------

PLACES = ["street", "road", "bridge", "hill"]
CAPTIONS = ["a dog runs on the grass", "a cat sits on the bed"]
CONFIG = TrainConfig(epochs=2, lr=2e-3, batch_size=2, captions_per_image=2, rl_epochs=1)


@pytest.fixture(scope="module")
def album(tmp_path_factory):
    """A folder with a data set, captions alone, and photographs with retrieved captions."""
    folder = tmp_path_factory.mktemp("everyday")
    write_album(folder / "data", splits=["train"] * 4 + ["dev"] * 2, captions=lambda i: CAPTIONS)
    write_album(folder / "pseudo", splits=["train"] * 2, captions=lambda i: [f"a bus {i} on the {x}" for x in PLACES])
    (folder / "text.txt").write_text("a cup on the table\n" * 4)
    return folder


def train(album, out, **options):
    return tasks.photos.train(
        album / "data", out, tags=True, text=album / "text.txt", pseudo=album / "pseudo", config=CONFIG, **options
    )


@pytest.mark.slow
def test_a_run_on_three_streams_that_is_stopped_after_an_epoch_ends_as_one_that_was_not(album, tmp_path, monkeypatch):
    whole = train(album, tmp_path / "whole")
    assert {"cup", "bus", "dog"} <= set(whole.vocabulary.words)
    log = [json.loads(line) for line in (tmp_path / "whole" / "log.jsonl").read_text().splitlines()]
    assert log[1]["loss"] < log[0]["loss"]
    card = checkpoints.card(tmp_path / "whole")
    assert [each["captions"] for each in card["data"]["streams"]["sizes"]] == [8, 4, 8]
    assert "companion train photos --data data --out whole --tags --text text.txt --pseudo pseudo" in card["command"]
    original, epochs = tasks.photos.score, []

    def stop(*arguments):
        epochs.append(None)
        if len(epochs) == 2:
            raise KeyboardInterrupt
        return original(*arguments)

    monkeypatch.setattr(tasks.photos, "score", stop)
    with pytest.raises(KeyboardInterrupt):
        train(album, tmp_path / "stopped")
    monkeypatch.setattr(tasks.photos, "score", original)
    resumed = checkpoints.trained_weights(train(album, tmp_path / "stopped", resume=True))
    for name, tensor in checkpoints.trained_weights(whole).items():
        assert torch.equal(resumed[name], tensor), name


def test_text_is_refused_without_tags_and_so_is_a_checkpoint_of_the_other_kind(album, tmp_path):
    with pytest.raises(ValueError, match="for a decoder with tags"):
        tasks.photos.train(album / "data", tmp_path, text=album / "text.txt")
    without = build("photos", Vocabulary([*SPECIALS, "a"]), "tiny")
    checkpoints.save(without, tmp_path / "untagged", {"minutes": 0})
    with pytest.raises(ValueError, match="untagged: was trained without tags"):
        tasks.photos.train(album / "data", tmp_path, tags=True, init_from=str(tmp_path / "untagged"))
