"""The index of a folder: every picture is captioned once, whatever happens to the files, the process and the index.

The captions are stubs: the words of the file's name. The witness of the scores is the formula of BM25, as loops.
"""

import math
import os
import random
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from companion import apps, checkpoints
from companion.apps import index as index_module
from companion.apps.word_index import STOP_WORDS, TAG_WEIGHT, WordIndex
from companion.tokenizer import ENGLISH
from tests.captioners import TAGS, captions_of_names, untrained
from tests.processes import PROGRAMS, environment

NAME = ".companion-index.sqlite"
ODD_NAMES = [
    "a dog.png", 'a "cat".png', "it's.png", "咖啡.png", "😀 smile.png", "two\nlines.png", "caf\udce9.png",
    "<img src=x onerror=alert(1)>.png", "-dash.png",
]  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    """Three pictures, one of them in a subfolder."""
    folder = tmp_path / "album"
    (folder / "b").mkdir(parents=True)
    for i, name in enumerate(("a dog runs.png", "a cat sleeps.png", "b/two dogs swim.png")):
        write(folder / name, i)
    return folder


def write(path, number):
    """Write a small picture of its own colour."""
    Image.new("RGB", (8, 6), (number % 256, number // 256, 99)).save(path, format="PNG")
    return path


def update(folder, untrained_checkpoint, report=None):
    lines = []
    with apps.PictureIndex(folder) as index:
        result = index.update(untrained_checkpoint, report=report or lines.append)
        return result, lines, {entry.path: entry for entry in index.entries()}


def search(folder, query, limit=10):
    with apps.PictureIndex(folder) as index:
        return index.search(query, limit)


# Every picture once


def test_pictures_are_captioned_once_and_kept_with_all_that_is_known_of_their_captions(
    folder, untrained_checkpoint, captioned
):
    result, _, entries = update(folder, untrained_checkpoint)
    assert result == apps.Update(captioned=3, kept=0, removed=0, failed=0)
    assert list(entries) == ["a cat sleeps.png", "a dog runs.png", "b/two dogs swim.png"]
    [(_, caption)] = captions_of_names(None, [Path("a dog runs.png")])
    entry = entries["a dog runs.png"]
    assert (entry.caption, entry.words, entry.log_probability) == (caption.text, caption.words, -2.0)
    assert (entry.tags, entry.probability, entry.sure) == (TAGS, None, None)
    torch.testing.assert_close(entry.word_maps, caption.weights, atol=1e-3, rtol=0)


def test_a_second_update_captions_nothing_and_loads_no_model(folder, untrained_checkpoint, captioned, monkeypatch):
    update(folder, untrained_checkpoint)
    before = update(folder, untrained_checkpoint)[2]
    monkeypatch.setattr(checkpoints, "load", None)
    monkeypatch.setattr(index_module, "caption_files", None)
    result, lines, entries = update(folder, untrained_checkpoint)
    assert (result, lines) == (apps.Update(0, 3, 0, 0), [])
    assert [entry[:7] for entry in entries.values()] == [entry[:7] for entry in before.values()]


def test_only_what_is_new_or_changed_is_captioned_and_what_is_gone_is_removed(folder, untrained_checkpoint, captioned):
    update(folder, untrained_checkpoint)
    captioned.clear()
    write(folder / "a cat sleeps.png", 500)  # changed
    write(folder / "b" / "a bird.png", 501)  # new
    (folder / "a dog runs.png").unlink()
    assert update(folder, untrained_checkpoint)[0] == apps.Update(captioned=2, kept=1, removed=1, failed=0)
    assert captioned == ["a cat sleeps.png", "a bird.png"]
    assert [hit.entry.path for hit in search(folder, "dog bird")] == ["b/a bird.png", "b/two dogs swim.png"]


def test_a_touched_a_moved_and_a_copied_picture_keep_their_caption(folder, untrained_checkpoint, captioned):
    update(folder, untrained_checkpoint)
    captioned.clear()
    os.utime(folder / "a cat sleeps.png", (1, 1))
    (folder / "a dog runs.png").rename(folder / "b" / "moved.png")
    (folder / "copy.png").write_bytes((folder / "b" / "two dogs swim.png").read_bytes())
    result, _, entries = update(folder, untrained_checkpoint)
    assert (result, captioned) == (apps.Update(captioned=0, kept=4, removed=0, failed=0), [])
    assert entries["b/moved.png"].caption == "a dog runs"
    assert {hit.entry.path for hit in search(folder, "swimming")} == {"copy.png", "b/two dogs swim.png"}
    (folder / "b" / "two dogs swim.png").unlink()
    update(folder, untrained_checkpoint)
    assert {hit.entry.path for hit in search(folder, "swimming")} == {"copy.png"}


def test_a_picture_of_the_same_size_and_time_is_not_even_read(folder, untrained_checkpoint, captioned):
    update(folder, untrained_checkpoint)
    path = folder / "a dog runs.png"
    data, times = path.read_bytes(), path.stat()
    path.write_bytes(bytes(len(data)))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert update(folder, untrained_checkpoint)[0] == apps.Update(0, 3, 0, 0)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns + 1))
    assert update(folder, untrained_checkpoint)[0] == apps.Update(1, 2, 0, 0)


def test_another_model_captions_everything_anew_and_one_that_cannot_be_loaded_changes_nothing(
    folder, untrained_checkpoint, captioned, tmp_path
):
    update(folder, untrained_checkpoint)
    other = tmp_path / "other"
    checkpoints.save(untrained(1), other, {"minutes": 0})
    (other / "weights.safetensors").write_bytes(b"damaged")
    with pytest.raises(ValueError, match="weights"):
        update(folder, other)
    assert len(search(folder, "dog")) == 2
    checkpoints.save(untrained(1), other, {"minutes": 0})
    assert update(folder, other)[0] == apps.Update(3, 0, 0, 0)
    assert update(folder, other)[0] == apps.Update(0, 3, 0, 0)


def test_confidence_of_the_card_is_kept_with_the_captions(folder, captioned, tmp_path):
    confidence = {"bias": 1.0, "word_log_prob": 0.1, "agreement": 0.0, "threshold": 0.99}
    checkpoints.save(untrained(), tmp_path / "sure", {"confidence": confidence})
    entries = update(folder, tmp_path / "sure")[2].values()
    expected = 1 / (1 + math.exp(-(1.0 + 0.1 * -2.0 / 4)))  # three words and <end>
    assert {round(entry.probability, 6) for entry in entries if len(entry.words) == 3} == {round(expected, 6)}
    assert {entry.sure for entry in entries} == {False}


# What lies in folders


def test_a_damaged_picture_is_named_every_time_and_read_once(folder, untrained_checkpoint, captioned):
    write(folder / "bad.png", 7)
    (folder / "notes.txt").touch()
    expected = f"{folder / 'bad.png'}: it is not a picture"
    result, lines, entries = update(folder, untrained_checkpoint)
    assert (result, lines) == (apps.Update(3, 0, 0, 1), [f"{folder}: passed over 1 no pictures (.txt)", expected])
    assert "bad.png" not in entries
    captioned.clear()
    assert update(folder, untrained_checkpoint)[:2] == (apps.Update(0, 3, 0, 1), [expected])
    assert captioned == []


def test_odd_names_are_found_under_their_names(tmp_path, untrained_checkpoint, captioned):
    for i, name in enumerate(ODD_NAMES):
        write(tmp_path / name, i)
    result, lines, entries = update(tmp_path, untrained_checkpoint)
    assert (result.captioned, lines, set(entries)) == (len(ODD_NAMES), [], set(ODD_NAMES))
    assert update(tmp_path, untrained_checkpoint)[0].kept == len(ODD_NAMES)


def test_links_to_pictures_count_and_broken_ones_are_named(folder, untrained_checkpoint, captioned, tmp_path):
    (folder / "link.png").symlink_to(write(tmp_path / "outside.png", 8))
    (folder / "broken.png").symlink_to(tmp_path / "nowhere.png")
    (folder / "loop.png").symlink_to(folder / "loop.png")
    result, lines, entries = update(folder, untrained_checkpoint)
    assert (result.captioned, result.failed) == (4, 2)
    assert "link.png" in entries
    assert [Path(line.partition(": ")[0]).name for line in lines] == ["broken.png", "loop.png"]


def test_an_empty_folder_has_an_empty_index_and_a_missing_one_is_an_error(tmp_path, untrained_checkpoint):
    assert update(tmp_path, untrained_checkpoint) == (apps.Update(0, 0, 0, 0), [], {})
    with pytest.raises(ValueError, match="there is no such folder"):
        apps.PictureIndex(tmp_path / "none")


def test_a_thousand_pictures(tmp_path, untrained_checkpoint, captioned):
    for i in range(1000):
        write(tmp_path / f"dog {i}.png", i)
    assert update(tmp_path, untrained_checkpoint)[0] == apps.Update(1000, 0, 0, 0)
    captioned.clear()
    assert update(tmp_path, untrained_checkpoint)[0] == apps.Update(0, 1000, 0, 0)
    assert captioned == []
    assert [hit.entry.path for hit in search(tmp_path, "617")] == ["dog 617.png"]
    assert len(search(tmp_path, "dogs", limit=7)) == 7


# Processes that are killed, and two at once


def start(*arguments):
    command = [sys.executable, str(PROGRAMS / "update_index.py"), *map(str, arguments)]
    return subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_a_killed_update_loses_at_most_the_batch_it_was_at(tmp_path, untrained_checkpoint, captioned):
    (album := tmp_path / "album").mkdir()
    for i in range(12):
        write(album / f"dog {i:02}.png", i)
    process = start(album, untrained_checkpoint, tmp_path / "log", 9)
    process.communicate()
    assert process.returncode == -9
    assert len(search(album, "dog", limit=20)) == 7  # batches of 1, 2, 4; the next would be of 5
    assert update(album, untrained_checkpoint)[0] == apps.Update(5, 7, 0, 0)
    assert captioned == [f"dog {i:02}.png" for i in range(7, 12)]


@pytest.mark.slow
def test_two_at_once_caption_each_picture_once(tmp_path, untrained_checkpoint):
    (album := tmp_path / "album").mkdir()
    for i in range(40):
        write(album / f"dog {i:02}.png", i)
    processes = [start(album, untrained_checkpoint, tmp_path / "log") for _ in range(2)]
    outputs = [process.communicate() for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    assert sorted(out.split() for out, _ in outputs) == [["0", "40", "0", "0"], ["40", "0", "0", "0"]]
    assert sorted((tmp_path / "log").read_text().splitlines()) == [f"dog {i:02}.png" for i in range(40)]
    with sqlite3.connect(album / NAME) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()


def test_who_waits_for_another_process_says_so(folder, untrained_checkpoint, captioned):
    lock = sqlite3.connect(folder / ".companion-index.lock", isolation_level=None)
    lock.execute("BEGIN EXCLUSIVE")
    lines = []

    def report(line):
        lines.append(line)
        lock.close()  # the other process ends

    assert update(folder, untrained_checkpoint, report)[0].captioned == 3
    assert lines == [f"{folder}: another process is captioning this folder; waiting until it has finished"]


# Indexes that cannot be used


def update_and_search(folder, untrained_checkpoint):
    update(folder, untrained_checkpoint)
    search(folder, "dog")


def other_database(path):
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE recipes (name TEXT)")
    connection.close()


def change(statement):
    def damage(path):
        with sqlite3.connect(path) as connection:
            connection.execute(statement)
        connection.close()

    return damage


DAMAGES = {
    "no database": lambda path: path.write_bytes(b"no database at all" * 100),
    "cut off": lambda path: path.write_bytes(path.read_bytes()[:4096]),
    "overwritten": lambda path: path.write_bytes(path.read_bytes()[:4096] + bytes(len(path.read_bytes()) - 4096)),
    "of another version": change("PRAGMA user_version = 2"),
    "without its words": change("DROP TABLE words"),
    "without settings": change("DELETE FROM settings"),
    "with words that are damaged": change("DELETE FROM words_data"),
    "with a record of something else": change("""UPDATE captions SET record = '{"words": 3}'"""),
    "with maps of something else": change("UPDATE captions SET maps = x'00'"),
    "with a record that is no JSON": change("UPDATE captions SET record = 'no'"),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_index_is_named_in_one_line_and_made_anew_after_it_is_deleted(
    folder, untrained_checkpoint, captioned, damage
):
    update(folder, untrained_checkpoint)
    damage(folder / NAME)
    write(folder / "new.png", 77)
    with pytest.raises(ValueError, match="delete") as caught:
        update_and_search(folder, untrained_checkpoint)
    assert str(caught.value).startswith(f"{folder / NAME}: ")
    assert "\n" not in str(caught.value)
    (folder / NAME).unlink()
    assert update(folder, untrained_checkpoint)[0].captioned == 4


def test_the_database_of_another_program_is_left_alone(folder, untrained_checkpoint):
    other_database(folder / NAME)
    before = (folder / NAME).read_bytes()
    with pytest.raises(ValueError, match="is not an index of this version"):
        update(folder, untrained_checkpoint)
    assert (folder / NAME).read_bytes() == before


@pytest.mark.parametrize("name", [NAME, ".companion-index.lock"])
def test_an_index_that_leads_out_of_the_folder_is_refused(folder, tmp_path, name):
    outside = tmp_path / "outside"
    (folder / name).symlink_to(outside)
    with pytest.raises(ValueError, match="is not an ordinary file"):
        apps.PictureIndex(folder)
    assert not outside.exists()


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="nobody may write there, not even root")
def test_a_folder_that_cannot_be_written_is_an_error_of_one_line():
    with pytest.raises(ValueError, match="make the folder writable") as caught:
        apps.PictureIndex(Path("/proc/self"))
    assert "\n" not in str(caught.value)


# Words and scores


def rows_of(texts, language="en"):
    words = WordIndex(sqlite3.connect(":memory:"), language)
    words.create()
    for number, (caption, tags) in enumerate(texts):
        words.add(number, words.tokenizer.tokenize(caption), tags)
    return words


def bm25(rows, query, tag_weight):
    """Return the score of each row (caption, tags), by the formula, as loops over words that are their own stems."""
    lengths = [len(caption) + len(tags) for caption, tags in rows]
    mean = sum(lengths) / len(rows)
    scores = []
    for (caption, tags), length in zip(rows, lengths, strict=True):
        total = 0.0
        for term in query:
            containing = sum(term in c or term in t for c, t in rows)
            idf = max(math.log((len(rows) - containing + 0.5) / (containing + 0.5)), 1e-6)
            f = caption.count(term) + tag_weight * tags.count(term)
            total += idf * 2.2 * f / (f + 1.2 * (0.25 + 0.75 * length / mean))
        scores.append(total)
    return scores


@pytest.mark.parametrize("tag_weight", [TAG_WEIGHT, 1.0, 3.0])
def test_scores_are_those_of_the_formula(tag_weight):
    rng = random.Random(0)
    vocabulary = "dog cat bird boat car grass snow red blue".split()
    rows = [(rng.choices(vocabulary, k=rng.randint(1, 8)), rng.sample(vocabulary, 2)) for _ in range(60)]
    words = rows_of([(" ".join(caption), tags) for caption, tags in rows])
    for query in (["dog"], ["cat", "snow"], ["red", "bird", "boat", "car"]):
        expected = bm25(rows, query, tag_weight)
        matches = words.search(" ".join(query), 100, tag_weight=tag_weight)
        assert {match.number for match in matches} == {i for i, score in enumerate(expected) if score}
        assert [match.score for match in matches] == pytest.approx(sorted((s for s in expected if s), reverse=True))
        for match in matches:
            caption, tags = rows[match.number]
            assert match.score == pytest.approx(expected[match.number])
            assert match.caption_words == tuple(i for i, word in enumerate(caption) if word in query)
            assert match.tag_words == tuple(i for i, word in enumerate(tags) if word in query)


@pytest.mark.parametrize(
    ("query", "caption"),
    [("dogs", "a dog"), ("a dog running", "the dog runs"), ("people", "one person"), ("woman", "three women"),
     ("T-SHIRT", "a t-shirt"), ("shirt", "a t-shirt"), ("children's", "the child"), ("Zoë", "zoe")],
)  # fmt: skip
def test_forms_of_a_word_match(query, caption):
    assert len(rows_of([(caption, ()), ("nothing of it", ())]).search(query, 10)) == 1


def test_words_that_tell_nothing_are_searched_for_only_if_there_are_no_others():
    words = rows_of([("a cat on the mat", ()), ("a dog in the snow", ())])
    assert [match.number for match in words.search("a dog is on the", 10)] == [1]
    assert [match.number for match in words.search("on", 10)] == [0]
    assert all(ENGLISH.is_word(word) for word in STOP_WORDS)


@pytest.mark.parametrize(
    "query",
    ['dog"', '"dog', "dog*", "-dog", "caption:dog", "tags : dog", "dog AND", "NOT dog", "NEAR(dog bird)", "(dog",
     "dog)", "^dog", "dog; DROP TABLE words", "dog\x00", "dog\udce9", "😀 dog", "dog " * 3000,
     "dog " + " ".join(f"w{i}" for i in range(3000)), "{dog}", "dog + 1", "'dog'"],
)  # fmt: skip
def test_a_query_is_words_and_never_syntax(query):
    words = rows_of([("a dog", ()), ("a cat", ())])
    assert [match.number for match in words.search(query, 10)] == [0]


@pytest.mark.parametrize("query", ["", " ", "!?", "😀", "***", '""'])
def test_a_query_without_a_word_is_refused(query):
    with pytest.raises(ValueError, match="there is no word in the query"):
        rows_of([("a dog", ())]).search(query, 10)


@pytest.mark.parametrize(
    ("language", "caption", "query"),
    [
        ("zh", "一只狗穿着T恤", "狗"),
        ("hi", "एक कुत्ता दौड़ रहा है", "कुत्ता"),
        ("de", "ein Hund läuft", "HUND"),
        ("he", 'צה"ל', 'צה"ל'),
    ],
)
def test_other_languages_are_searched_by_their_own_words(language, caption, query):
    words = rows_of([(caption, ()), ("x", ())], language)
    [match] = words.search(query, 10)
    assert match.number == 0
    assert len(match.caption_words) == len(words.tokenizer.tokenize(query))


def test_matches_in_tags_are_told_apart_and_improbable_tags_are_not_searched(folder, untrained_checkpoint, captioned):
    update(folder, untrained_checkpoint)
    hits = search(folder, "a horse and a cat")
    assert hits[0].entry.path == "a cat sleeps.png"
    assert [(hit.caption_words, hit.tags) for hit in hits] == [((1,), (0,)), ((), (0,)), ((), (0,))]
    assert [hit.tags for hit in search(folder, "people")] == [(2,)] * 3
    assert search(folder, "boat") == []
