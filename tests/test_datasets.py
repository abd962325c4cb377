"""A folder of photographs and captions, in any published layout and with any issue, becomes the same clean examples."""

import json
import os
import shutil
from typing import Any

import pytest
from PIL import Image

from companion import datasets
from companion.datasets import Dataset, Example
from tests.layout_samples import (
    SAMPLES,
    THREE,
    coco_json,
    token_lines,
    write_coco,
    write_coco_in_one_folder,
    write_csv,
    write_file,
    write_flickr8k,
    write_images,
    write_karpathy,
)


def content(dataset):
    return {
        (os.path.basename(example.name), split, example.captions)
        for split, examples in dataset.splits.items()
        for example in examples
    }


# -- laws of every layout ---------------------------------------------------------------------------------------------


def test_every_registered_layout_has_a_sample_here():
    """Whoever registers a layout adds a writer to `tests/layout_samples.py`."""
    assert {name.split(",")[0] for name in SAMPLES} == set(datasets.LAYOUTS)


@pytest.mark.parametrize("name", SAMPLES)
def test_all_layouts_hold_the_same_examples(tmp_path, name):
    SAMPLES[name](tmp_path)
    dataset = datasets.read(tmp_path)
    assert content(dataset) == set(THREE)
    assert dataset.issues == []
    assert list(dataset.splits) == ["train", "dev", "test"]
    assert all(example.image.is_file() for examples in dataset.splits.values() for example in examples)


@pytest.mark.parametrize("name", SAMPLES)
def test_a_folder_is_recognised_by_its_own_layout_alone(tmp_path, name):
    SAMPLES[name](tmp_path)
    readers = {layout: reader.read(tmp_path) for layout, reader in datasets.LAYOUTS.items()}
    assert [layout for layout, dataset in readers.items() if dataset is not None] == [name.split(",")[0]]


@pytest.mark.parametrize("name", datasets.LAYOUTS)
def test_a_layout_does_not_recognise_a_folder_of_images_alone(tmp_path, name):
    write_images(tmp_path / "images")
    assert datasets.LAYOUTS[name].read(tmp_path) is None


@pytest.mark.parametrize("name", SAMPLES)
def test_a_missing_image_is_reported_and_the_others_are_read(tmp_path, name):
    SAMPLES[name](tmp_path)
    next(tmp_path.rglob("two.jpg")).unlink()
    dataset = datasets.read(tmp_path)
    assert content(dataset) == {THREE[0], THREE[2]}
    assert any("two.jpg" in issue and "there is no picture" in issue for issue in dataset.issues)


@pytest.mark.parametrize("name", SAMPLES)
def test_a_caption_without_a_word_is_reported_and_the_others_are_read(tmp_path, name):
    SAMPLES[name](tmp_path, [*THREE[:2], ("three.jpg", "test", (" . !", "the boat is red"))])
    dataset = datasets.read(tmp_path)
    assert content(dataset) == {*THREE[:2], ("three.jpg", "test", ("the boat is red",))}
    [issue] = dataset.issues
    assert "no word" in issue
    assert issue.isprintable()


@pytest.mark.parametrize("name", SAMPLES)
def test_no_layout_reads_an_image_in_two_splits(tmp_path, name):
    SAMPLES[name](tmp_path, [*THREE, ("one.jpg", "dev", ("a dog once more",))])
    with pytest.raises(ValueError, match=r"one\.jpg.*trained on"):
        datasets.read(tmp_path)


@pytest.mark.parametrize("name", SAMPLES)
def test_an_unsafe_name_never_reaches_the_disk(tmp_path, monkeypatch, name):
    SAMPLES[name](tmp_path / "data")
    write_images(tmp_path, ["secret.jpg"])
    texts = {path: path.read_text() for path in (tmp_path / "data").rglob("*.*") if path.suffix != ".jpg"}
    for path, text in texts.items():
        write_file(path, text.replace("one", "../../secret"))
    listed = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path=".": listed.append(str(path)) or scandir(path))
    dataset = datasets.read(tmp_path / "data")
    assert listed
    assert not any(".." in path for path in listed)
    assert "secret" not in str(dataset.splits)
    if any("one" in text for text in texts.values()):  # one layout names no pictures: they lie beside their captions
        assert any("never opened" in issue for issue in dataset.issues)


def test_a_folder_without_a_known_layout_is_answered_with_all_of_them(tmp_path):
    with pytest.raises(ValueError, match="no known layout") as refusal:
        datasets.read(tmp_path)
    _, *lines = str(refusal.value).splitlines()
    assert [line.split()[0] for line in lines] == list(datasets.LAYOUTS)
    assert [line.split(maxsplit=1)[1] for line in lines] == [each.description for each in datasets.LAYOUTS.values()]


def test_every_issue_and_every_note_is_passed_to_report(tmp_path):
    write_csv(tmp_path)
    (tmp_path / "images" / "two.jpg").unlink()
    write_file(tmp_path / "captions.csv", (tmp_path / "captions.csv").read_text().replace("\n", "\r\n"))
    reported = []
    dataset = datasets.read(tmp_path, report=reported.append)
    assert reported == [*dataset.issues, *dataset.notes]
    assert dataset.issues != [] != dataset.notes


# -- one layout at a time ---------------------------------------------------------------------------------------------


def test_karpathy_names_folders_for_coco(tmp_path):
    write_karpathy(tmp_path, subfolder="val2014")
    dataset = datasets.read(tmp_path)
    assert content(dataset) == set(THREE)
    assert datasets.get_split(dataset, "train")[0].name == "val2014/one.jpg"


@pytest.mark.parametrize("layout", ["flickr30k", "csv", "coco"])
def test_without_splits_everything_is_for_training(tmp_path, layout):
    write_images(tmp_path / "images")
    if layout == "flickr30k":
        write_file(tmp_path / "results_20130124.token", token_lines())
    elif layout == "csv":
        lines = [f'{name},"{caption}"' for name, _, captions in THREE for caption in captions]
        write_file(tmp_path / "captions.txt", "\n".join(["image,caption", *lines]))
    else:
        write_file(tmp_path / "captions.json", coco_json(THREE))
    dataset = datasets.read(tmp_path)
    assert {(name, captions) for name, _, captions in content(dataset)} == {(n, c) for n, _, c in THREE}
    assert list(dataset.splits) == ["train"]


GOOD = b"one.jpg#0\ta dog runs .\none.jpg#1\ta brown dog\n"
TOKEN_ISSUES = [  # lines added to the token file, the line that the issue names, words of the message
    (b"one.jpg#2 a dog\n", 3, "no tab"),
    (b"one.jpg#2\ta dog\tand a cat\n", 3, "2 tabs"),
    (b"one.jpg\ta dog\n", 3, "#0 to #4"),
    (b"one.jpg#\ta dog\n", 3, "#0 to #4"),
    (b"one.jpg#10\ta dog\n", 3, "#0 to #4"),
    (b"one.jpg#-1\ta dog\n", 3, "#0 to #4"),
    (b"one.jpg#x\ta dog\n", 3, "#0 to #4"),
    (b"one.jpg#\xc2\xb2\ta dog\n", 3, "#0 to #4"),  # a superscript two is a digit to Python
    (b"one.jpg#1\tsomething else\n", 3, "before"),
    (b"one.jpg#2\t\n", 3, "empty caption"),
    (b"one.jpg#2\t   \n", 3, "empty caption"),
    (b"one.jpg#2\t . !\n", 3, "no word"),
    (b"#2\ta dog\n", 3, "no picture is named"),
    (b"one.jpg#2\ta d\xf6g\n", 3, "not UTF-8"),
    (b"one.jpg.1#0\ta dog\n", 3, "no picture 'one.jpg.1'"),  # Flickr8k has this one
    (b"gone.jpg#0\ta dog\ngone.jpg#1\tthe dog\n", 3, "no picture 'gone.jpg'"),
    (b"../secret.jpg#0\ta dog\n", 3, "never opened"),
    (b"a/../../secret.jpg#0\ta dog\n", 3, "never opened"),
    (b"/etc/secret.jpg#0\ta dog\n", 3, "never opened"),
    (b"..\\secret.jpg#0\ta dog\n", 3, "never opened"),
    (b"C:\\secret.jpg#0\ta dog\n", 3, "never opened"),
    (b"bell\x07.jpg#0\ta dog\n", 3, "never opened"),
]


@pytest.mark.parametrize("split_list", [True, False], ids=["with a list", "without"])
@pytest.mark.parametrize(("added", "line", "words"), TOKEN_ISSUES)
def test_a_bad_line_is_named_and_the_good_ones_remain(tmp_path, added, line, words, split_list):
    write_images(tmp_path / "images", ["one.jpg"])
    write_images(tmp_path, ["secret.jpg"])
    tokens = write_file(tmp_path / "captions.token", GOOD + added)
    lists = {"train": write_file(tmp_path / "train.txt", "one.jpg\n")} if split_list else {}
    dataset = datasets.flickr(tokens, tmp_path / "images", lists)
    [issue] = dataset.issues
    assert words in issue
    assert issue.startswith(f"{tokens}:{line}: ")
    assert "; " in issue
    assert issue.isprintable()
    [example] = datasets.get_split(dataset, "train")
    assert example == Example("one.jpg", tmp_path / "images" / "one.jpg", ("a dog runs .", "a brown dog"))


@pytest.mark.parametrize(
    ("added", "line", "words"),
    [
        (b"\n", 3, "an empty line; skipped"),
        (b"one.jpg#2\ta dog\n\n \n", 4, "the first of 2 empty lines; skipped"),
        (b"one.jpg#2\ta dog\r\n", 3, "lines end as on Windows (CRLF); read all the same"),
        (b"one.jpg#2\ta dog\rone.jpg#3\ta dog\r", 3, "lines end as on old Macs (CR); read all the same"),
    ],
)
def test_an_unusual_line_is_noted_and_costs_nothing(tmp_path, added, line, words):
    write_images(tmp_path / "images", ["one.jpg"])
    tokens = write_file(tmp_path / "captions.token", GOOD + added)
    dataset = datasets.flickr(tokens, tmp_path / "images")
    assert (dataset.issues, dataset.notes) == ([], [f"{tokens}:{line}: {words}"])
    assert len(datasets.get_split(dataset, "train")[0].captions) == 2 + added.count(b"a dog")


def test_a_byte_order_mark_and_windows_line_ends_are_tolerated_and_reported_once_per_file(tmp_path):
    write_flickr8k(tmp_path)
    for path in [tmp_path / "Flickr8k.token.txt", tmp_path / "Flickr_8k.devImages.txt"]:
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    dataset = datasets.read(tmp_path)
    assert content(dataset) == set(THREE)
    assert dataset.issues == []
    assert sorted(note.split("; ")[0].removeprefix(f"{tmp_path}/") for note in dataset.notes) == [
        "Flickr8k.token.txt:1: lines end as on Windows (CRLF)",
        "Flickr8k.token.txt:1: the file begins with a byte order mark",
        "Flickr_8k.devImages.txt:1: lines end as on Windows (CRLF)",
        "Flickr_8k.devImages.txt:1: the file begins with a byte order mark",
    ]


def test_what_is_missing_on_one_side_is_reported_with_its_location(tmp_path):
    """A split naming a lost image or one without captions; images and captions that no split names."""
    write_flickr8k(tmp_path)
    write_images(tmp_path / "Flicker8k_Dataset", ["silent.jpg", "spare.jpg", "unheard of.jpg"])
    write_file(tmp_path / "Flickr_8k.trainImages.txt", "one.jpg\nlost.jpg\nsilent.jpg\none.jpg\n\n../two.jpg\n")
    with open(tmp_path / "Flickr8k.token.txt", "a") as file:
        file.write("spare.jpg#0\ta spare wheel\n")
    dataset = datasets.read(tmp_path)
    train, tokens = tmp_path / "Flickr_8k.trainImages.txt", tmp_path / "Flickr8k.token.txt"
    expected = [
        (f"{train}:2: ", "no picture 'lost.jpg'"),
        (f"{train}:3: ", "'silent.jpg' has no caption"),
        (f"{train}:6: ", "'../two.jpg' names no file inside"),
        (f"{tokens}:7: ", "1 picture with captions but in no split (the first is 'spare.jpg')"),
    ]
    unusual = [
        (f"{train}:4: ", f"named before, by {train}:1; counted once"),
        (f"{train}:5: ", "an empty line"),
        (f"{tmp_path / 'Flicker8k_Dataset'}: ", "1 picture without a caption (the first is 'unheard of.jpg')"),
    ]
    for lines, those_expected in ((dataset.issues, expected), (dataset.notes, unusual)):
        for location, words in those_expected:
            assert any(line.startswith(location) and words in line for line in lines), (location, words)
        assert len(lines) == len(those_expected)
    assert content(dataset) == set(THREE)


CSV_ISSUES = [
    ("one.jpg,a dog, running,train", "4 fields, not 3"),
    ("one.jpg,a dog", "2 fields, not 3"),
    ('one.jpg,"a dog,train', "never closed"),
    ("one.jpg,a dog,", "no split is named"),
    ("one.jpg,,train", "empty caption"),
    (",a dog,train", "no picture is named"),
    ("gone.jpg,a dog,train", "no picture 'gone.jpg'"),
    ("../secret.jpg,a dog,train", "never opened"),
]


@pytest.mark.parametrize(("row", "words"), CSV_ISSUES)
def test_a_bad_row_of_a_table_is_named_and_the_good_ones_remain(tmp_path, row, words):
    write_csv(tmp_path)
    write_images(tmp_path, ["secret.jpg"])
    lines = (tmp_path / "captions.csv").read_text().splitlines()
    write_file(tmp_path / "captions.csv", "\n".join([*lines[:3], row, *lines[3:]]) + "\n")
    dataset = datasets.read(tmp_path)
    [issue] = dataset.issues
    assert issue.startswith(f"{tmp_path / 'captions.csv'}:4: ")
    assert words in issue
    assert content(dataset) == set(THREE)


KARPATHY_ISSUES: list[tuple[Any, str, str]] = [  # a record, its location beneath images[3], words of the message
    ("text", "", "not a record"),
    (None, "", "not a record"),
    ({}, "", "missing"),
    ({"filename": 5, "split": "train", "sentences": []}, "", "another kind"),
    ({"filename": "new.jpg", "split": None, "sentences": []}, "", "another kind"),
    ({"filename": "new.jpg", "split": "train", "sentences": "a dog"}, "", "another kind"),
    ({"filename": "new.jpg", "split": "train", "sentences": []}, "", "no caption"),
    ({"filename": "gone.jpg", "split": "train", "sentences": [{"raw": "a dog"}]}, "", "no picture 'gone.jpg'"),
    ({"filename": "../secret.jpg", "split": "train", "sentences": [{"raw": "a dog"}]}, "", "never opened"),
    ({"filename": "secret.jpg", "filepath": "..", "split": "train", "sentences": [{"raw": "x"}]}, "", "never opened"),
    ({"filename": "new.jpg", "split": "train", "sentences": [{"raw": "new"}, {"raw": ""}]}, ".sentences[1]", "empty"),
    ({"filename": "new.jpg", "split": "train", "sentences": [{"raw": "new"}, "x"]}, ".sentences[1]", "no text"),
]


@pytest.mark.parametrize(("record", "location", "words"), KARPATHY_ISSUES)
def test_a_bad_record_of_karpathy_is_named_and_the_good_ones_remain(tmp_path, record, location, words):
    write_karpathy(tmp_path)
    write_images(tmp_path, ["secret.jpg"])
    if isinstance(record, dict) and record.get("filename") == "new.jpg" and "another kind" not in words:
        write_images(tmp_path / "images", ["new.jpg"])
    path = tmp_path / "dataset_flickr8k.json"
    document = json.loads(path.read_text())
    document["images"].append(record)
    write_file(path, json.dumps(document))
    dataset = datasets.read(tmp_path)
    [issue] = dataset.issues
    assert issue.startswith(f"{path}:images[3]{location}: ")
    assert words in issue
    assert content(dataset) - {("new.jpg", "train", ("new",))} == set(THREE)


COCO_ISSUES = [
    ("images", [], "not a record"),
    ("images", {"id": 7}, "missing"),
    ("images", {"id": [7], "file_name": "x.jpg"}, "another kind"),
    ("images", {"id": 0, "file_name": "x.jpg"}, "the id 0 was there before"),
    ("images", {"id": 7, "file_name": "gone.jpg"}, "no picture 'gone.jpg'"),
    ("images", {"id": 7, "file_name": "/etc/secret.jpg"}, "never opened"),
    ("annotations", "text", "not a record"),
    ("annotations", {"image_id": 99, "caption": "a dog"}, "no picture has the id 99"),
    ("annotations", {"image_id": 0}, "missing"),
    ("annotations", {"image_id": 0, "caption": ["a"]}, "another kind"),
    ("annotations", {"image_id": 0, "caption": " "}, "empty caption"),
]


@pytest.mark.parametrize(("key", "record", "words"), COCO_ISSUES)
def test_a_bad_record_of_coco_is_named_and_the_good_ones_remain(tmp_path, key, record, words):
    write_images(tmp_path / "images")
    document = json.loads(coco_json(THREE))
    document[key].append(record)
    path = write_file(tmp_path / "captions.json", json.dumps(document))
    dataset = datasets.read(tmp_path)
    [issue] = dataset.issues
    assert issue.startswith(f"{path}:{key}[{len(document[key]) - 1}]: ")
    assert words in issue
    assert {name for name, _, _ in content(dataset)} == {name for name, _, _ in THREE}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (coco_json(THREE[1:2])[:60], ":1: not complete JSON"),
        ('{\n"images": [\n', ":3: not complete JSON"),
        ("", ":1: not complete JSON"),
        ("[1, 2]", "an object"),
        ("[" * 200_000, "JSON"),
        ('{"images": 5, "annotations": []}', "no list under 'images'"),
    ],
)
def test_a_broken_json_file_is_left_out_and_the_other_split_read(tmp_path, text, words):
    write_coco_in_one_folder(tmp_path)
    path = write_file(tmp_path / "captions_dev.json", text)
    dataset = datasets.read(tmp_path)
    assert any(issue.startswith(str(path)) and words in issue for issue in dataset.issues)
    assert content(dataset) == {THREE[0], THREE[2]}


def test_letters_that_are_not_utf8_cost_no_more_than_themselves(tmp_path):
    write_coco_in_one_folder(tmp_path)
    path = tmp_path / "captions_dev.json"
    path.write_bytes(path.read_bytes().replace(b'"cats"', b'"c\xe4ts"'))
    dataset = datasets.read(tmp_path)
    assert dataset.issues == []
    assert dataset.notes == [f"{path}:1: not UTF-8; such letters were replaced by \N{REPLACEMENT CHARACTER}"]
    assert datasets.get_split(dataset, "dev")[0].captions == ("two cats , asleep", "c\N{REPLACEMENT CHARACTER}ts")


def leak_flickr8k(folder):
    write_file(folder / "Flickr_8k.devImages.txt", "two.jpg\none.jpg\n")
    return f"{folder / 'Flickr_8k.devImages.txt'}:2", f"{folder / 'Flickr_8k.trainImages.txt'}:1"


def leak_csv(folder):
    with open(folder / "captions.csv", "a") as file:
        file.write("one.jpg,a dog once more,validation\n")
    return f"{folder / 'captions.csv'}:8", f"{folder / 'captions.csv'}:2"


def leak_karpathy(folder):
    path = folder / "dataset_flickr8k.json"
    document = json.loads(path.read_text())
    document["images"].append(document["images"][0] | {"split": "val"})
    write_file(path, json.dumps(document))
    return f"{path}:images[3]", f"{path}:images[0]"


def leak_coco(folder):
    """The same bytes under the same name in two folders."""
    shutil.copy(folder / "train2017" / "one.jpg", folder / "val2017" / "one.jpg")
    write_file(folder / "annotations" / "captions_val2017.json", coco_json([THREE[1], THREE[0]]))
    return "captions_val2017.json:images[1]", "captions_train2017.json:images[0]"


@pytest.mark.parametrize(
    ("write_sample", "leak"),
    [(write_flickr8k, leak_flickr8k), (write_csv, leak_csv), (write_karpathy, leak_karpathy), (write_coco, leak_coco)],
)
def test_an_image_in_two_splits_stops_everything_and_both_locations_are_named(tmp_path, write_sample, leak):
    write_sample(tmp_path)
    locations = leak(tmp_path)
    with pytest.raises(ValueError, match=r"one\.jpg.*trained on") as refusal:
        datasets.read(tmp_path)
    for location in locations:
        assert location in str(refusal.value)


def test_two_images_that_only_share_a_name_are_two_images(tmp_path):
    """train/1.jpg and dev/1.jpg may well be different photographs."""
    write_coco(tmp_path)
    Image.new("RGB", (9, 9), "red").save(tmp_path / "val2017" / "one.jpg")
    write_file(tmp_path / "annotations" / "captions_val2017.json", coco_json([THREE[1], THREE[0]]))
    assert [example.name for example in datasets.get_split(datasets.read(tmp_path), "dev")] == [
        "val2017/two.jpg",
        "val2017/one.jpg",
    ]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda folder: None, "no known layout.*\n.*Flickr8k.*\n.*Karpathy.*\n(.*\n)*.*COCO.*\n(.*\n)*.*CSV"),
        (lambda folder: shutil.rmtree(folder), "no such folder"),
        (lambda folder: write_file(folder / "captions.csv", ""), "no picture with a caption.*; its files are empty"),
        (lambda folder: write_file(folder / "captions.csv", "picture,text\n"), "captions.csv:1: image,caption"),
        (lambda folder: write_file(folder / "captions.csv", "image,caption\na.jpg,a dog\n"), "captions.csv:2: .*a.jpg"),
        (  # the cause, not the first issue
            lambda folder: write_file(folder / "captions.csv", b"\xef\xbb\xbfimage,caption\r\na.jpg,a dog\r\n"),
            "the first issue is .*captions.csv:2: there is no picture 'a.jpg'",
        ),
        (lambda folder: write_file(folder / "dataset.json", '{"images": ['), "dataset.json:1: not complete JSON"),
        (lambda folder: (folder / "captions.csv").mkdir(), "cannot be read"),
        (
            lambda folder: [write_file(folder / f"dataset_{i}.json", "{}") for i in "ab"],
            "dataset_a.json and dataset_b.json",
        ),
        (lambda folder: [write_file(folder / f"captions_train{y}.json", "{}") for y in (2014, 2017)], "both for train"),
    ],
)
def test_a_folder_without_a_usable_data_set_is_refused(tmp_path, make, words):
    folder = tmp_path / "data"
    folder.mkdir()
    make(folder)
    with pytest.raises(ValueError, match=words):
        datasets.read(folder)


def test_missing_files_are_named(tmp_path):
    tokens = write_file(tmp_path / "tokens", token_lines())
    with pytest.raises(ValueError, match="nowhere: there is no such folder"):
        datasets.flickr(tokens, tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"gone\.txt: it cannot be read"):
        datasets.flickr(tokens, tmp_path, {"train": tmp_path / "gone.txt"})


def test_a_split_that_is_not_there_is_refused_with_those_that_are(tmp_path):
    write_csv(tmp_path)
    dataset = datasets.read(tmp_path)
    assert datasets.get_split(dataset, "val") == datasets.get_split(dataset, "dev")
    with pytest.raises(ValueError, match="no split 'tset'; this data set has train, dev, test"):
        datasets.get_split(dataset, "tset")
    with pytest.raises(ValueError, match="has none"):
        datasets.get_split(Dataset({}, [], []), "train")
