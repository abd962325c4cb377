"""A folder of photographs and captions, in any published layout and with any fault, becomes the same clean examples."""

import json
import os
import shutil

import pytest
from PIL import Image

from companion import collecting, datasets
from companion.datasets import Dataset, Example

# The same three pictures in all layouts: name, split, captions.
THREE = [
    ("one.jpg", "train", ("a dog runs .", "a brown dog")),
    ("two.jpg", "dev", ("two cats , asleep", "cats")),
    ("three.jpg", "test", ("a red boat", "the boat is red")),
]


def pictures(folder, names=("one.jpg", "two.jpg", "three.jpg")):
    folder.mkdir(parents=True, exist_ok=True)
    for i, name in enumerate(names):
        Image.new("RGB", (4, 4), (i, i, i)).save(folder / name)
    return folder


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def token_lines():
    return "".join(f"{name}#{i}\t{caption}\n" for name, _, captions in THREE for i, caption in enumerate(captions))


def flickr8k(folder):
    pictures(folder / "Flicker8k_Dataset")
    write(folder / "Flickr8k.token.txt", token_lines())
    for name, split, _ in THREE:
        write(folder / f"Flickr_8k.{split}Images.txt", f"{name}\n")


def flickr30k(folder):
    pictures(folder / "flickr30k_images")
    write(folder / "results_20130124.token", token_lines())
    for (_, split, _), stem in zip(THREE, ("one", "two", "three"), strict=True):
        write(folder / f"{split.replace('dev', 'val')}.txt", f"{stem}\n")  # these lists leave the .jpg away


def karpathy(folder, place=""):
    pictures(folder / "images" / place)
    records = [
        {"filename": name, "split": split.replace("dev", "val").replace("train", "restval"), "filepath": place}
        | {"sentences": [{"raw": caption, "tokens": caption.split()} for caption in captions]}
        for name, split, captions in THREE
    ]
    write(folder / "dataset_flickr8k.json", json.dumps({"images": records, "dataset": "flickr8k"}))


def coco_json(chosen):
    return json.dumps(
        {
            "info": {"year": 2017},
            "images": [{"id": i, "file_name": name} for i, (name, _, _) in enumerate(chosen)],
            "annotations": [
                {"id": 10 * i + j, "image_id": i, "caption": caption}
                for i, (_, _, captions) in enumerate(chosen)
                for j, caption in enumerate(captions)
            ],
        }
    )


def coco(folder):
    for example in THREE:
        split = {"train": "train2017", "dev": "val2017", "test": "test2017"}[example[1]]
        pictures(folder / split, [example[0]])
        write(folder / "annotations" / f"captions_{split}.json", coco_json([example]))


def coco_beside(folder):
    pictures(folder / "images")
    for example in THREE:
        write(folder / f"captions_{example[1]}.json", coco_json([example]))


def csv(folder):
    pictures(folder / "images")
    rows = "".join(f'{name},"{caption}",{split}\n' for name, split, captions in THREE for caption in captions)
    write(folder / "captions.csv", "image,caption,split\n" + rows)


def csv_in_another_order(folder):
    pictures(folder)
    rows = "".join(f'{split},"{caption}",{name}\n' for name, split, captions in THREE for caption in captions)
    write(folder / "captions.csv", "Split,Caption,Image\n" + rows)


LAYOUTS = [flickr8k, flickr30k, karpathy, coco, coco_beside, csv, csv_in_another_order]


def content(dataset):
    return {
        (os.path.basename(example.name), split, example.captions)
        for split, examples in dataset.splits.items()
        for example in examples
    }


@pytest.mark.parametrize("layout", LAYOUTS)
def test_all_layouts_hold_the_same_examples(tmp_path, layout):
    layout(tmp_path)
    dataset = datasets.read(tmp_path)
    assert content(dataset) == set(THREE)
    assert dataset.faults == []
    assert list(dataset.splits) == ["train", "dev", "test"]
    assert all(example.image.is_file() for examples in dataset.splits.values() for example in examples)


def test_karpathy_names_folders_for_coco(tmp_path):
    karpathy(tmp_path, place="val2014")
    dataset = datasets.read(tmp_path)
    assert content(dataset) == set(THREE)
    assert datasets.pick(dataset, "train")[0].name == "val2014/one.jpg"


@pytest.mark.parametrize("layout", ["flickr30k", "csv", "coco"])
def test_without_splits_everything_is_for_training(tmp_path, layout):
    pictures(tmp_path / "images")
    if layout == "flickr30k":
        write(tmp_path / "results_20130124.token", token_lines())
    elif layout == "csv":
        lines = [f'{name},"{caption}"' for name, _, captions in THREE for caption in captions]
        write(tmp_path / "captions.txt", "\n".join(["image,caption", *lines]))
    else:
        write(tmp_path / "captions.json", coco_json(THREE))
    dataset = datasets.read(tmp_path)
    assert {(name, captions) for name, _, captions in content(dataset)} == {(n, c) for n, _, c in THREE}
    assert list(dataset.splits) == ["train"]


GOOD = b"one.jpg#0\ta dog runs .\none.jpg#1\ta brown dog\n"
TOKEN_FAULTS = [  # what is added to the token file, the line that the fault names, words of the message
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
    (b"\n", 3, "empty line"),
    (b"one.jpg#2\ta d\xf6g\n", 3, "not UTF-8"),
    (b"one.jpg#2\ta dog\r\n", 3, "Windows"),
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
@pytest.mark.parametrize(("added", "line", "words"), TOKEN_FAULTS)
def test_a_bad_line_is_named_and_the_good_ones_remain(tmp_path, added, line, words, split_list):
    pictures(tmp_path / "images", ["one.jpg"])
    pictures(tmp_path, ["secret.jpg"])
    tokens = write(tmp_path / "captions.token", GOOD + added)
    lists = {"train": write(tmp_path / "train.txt", "one.jpg\n")} if split_list else {}
    dataset = datasets.flickr(tokens, tmp_path / "images", lists)
    [fault] = dataset.faults
    assert words in fault
    assert fault.startswith(f"{tokens}:{line}: ")
    assert "; " in fault
    assert fault.isprintable()
    [example] = datasets.pick(dataset, "train")
    kept = ("a dog runs .", "a brown dog") + (("a dog",) if "Windows" in words else ())
    assert example == Example("one.jpg", tmp_path / "images" / "one.jpg", kept)


def test_a_byte_order_mark_and_windows_line_ends_are_tolerated_and_told_once_a_file(tmp_path):
    flickr8k(tmp_path)
    for path in [tmp_path / "Flickr8k.token.txt", tmp_path / "Flickr_8k.devImages.txt"]:
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    dataset = datasets.read(tmp_path)
    assert content(dataset) == set(THREE)
    assert sorted(fault.split("; ")[0].removeprefix(f"{tmp_path}/") for fault in dataset.faults) == [
        "Flickr8k.token.txt:1: lines end as on Windows (CRLF)",
        "Flickr8k.token.txt:1: the file begins with a byte order mark",
        "Flickr_8k.devImages.txt:1: lines end as on Windows (CRLF)",
        "Flickr_8k.devImages.txt:1: the file begins with a byte order mark",
    ]


def test_what_is_missing_on_one_side_is_reported_with_its_place(tmp_path):
    """A split naming a lost picture or one without captions; pictures and captions that nobody asked for."""
    flickr8k(tmp_path)
    pictures(tmp_path / "Flicker8k_Dataset", ["silent.jpg", "spare.jpg", "unheard of.jpg"])
    write(tmp_path / "Flickr_8k.trainImages.txt", "one.jpg\nlost.jpg\nsilent.jpg\none.jpg\n\n../two.jpg\n")
    with open(tmp_path / "Flickr8k.token.txt", "a") as file:
        file.write("spare.jpg#0\ta spare wheel\n")
    dataset = datasets.read(tmp_path)
    train, tokens = tmp_path / "Flickr_8k.trainImages.txt", tmp_path / "Flickr8k.token.txt"
    wanted = [
        (f"{train}:2: ", "no picture 'lost.jpg'"),
        (f"{train}:3: ", "'silent.jpg' has no caption"),
        (f"{train}:4: ", f"named before, by {train}:1; counted once"),
        (f"{train}:6: ", "'../two.jpg' names no file inside"),
        (f"{tokens}:7: ", "1 picture with captions but in no split (the first is 'spare.jpg')"),
        (f"{tmp_path / 'Flicker8k_Dataset'}: ", "1 picture without a caption (the first is 'unheard of.jpg')"),
    ]
    for place, words in wanted:
        assert any(fault.startswith(place) and words in fault for fault in dataset.faults), (place, words)
    assert len(dataset.faults) == len(wanted)
    assert content(dataset) == set(THREE)


CSV_FAULTS = [
    ("one.jpg,a dog, running,train", "4 fields, not 3"),
    ("one.jpg,a dog", "2 fields, not 3"),
    ('one.jpg,"a dog,train', "unexpected end"),  # the quotation mark that never closes
    ("one.jpg,a dog,", "no split is named"),
    ("one.jpg,,train", "empty caption"),
    (",a dog,train", "no picture is named"),
    ("gone.jpg,a dog,train", "no picture 'gone.jpg'"),
    ("../secret.jpg,a dog,train", "never opened"),
    ("", "empty line"),
]


@pytest.mark.parametrize(("row", "words"), CSV_FAULTS)
def test_a_bad_row_of_a_table_is_named_and_the_good_ones_remain(tmp_path, row, words):
    csv(tmp_path)
    pictures(tmp_path, ["secret.jpg"])
    lines = (tmp_path / "captions.csv").read_text().splitlines()
    write(tmp_path / "captions.csv", "\n".join([*lines[:3], row, *lines[3:]]) + "\n")
    dataset = datasets.read(tmp_path)
    [fault] = dataset.faults
    assert fault.startswith(f"{tmp_path / 'captions.csv'}:4: ")
    assert words in fault
    assert content(dataset) == set(THREE)


KARPATHY_FAULTS = [  # a record, its place beneath images[3], words of the message
    ("text", "", "no record"),
    (None, "", "no record"),
    ({}, "", "missing"),
    ({"filename": 5, "split": "train", "sentences": []}, "", "another kind"),
    ({"filename": "new.jpg", "split": None, "sentences": []}, "", "another kind"),
    ({"filename": "new.jpg", "split": "train", "sentences": "a dog"}, "", "another kind"),
    ({"filename": "new.jpg", "split": "train", "sentences": []}, "", "no caption"),
    ({"filename": "one.jpg", "split": "train", "sentences": [{"raw": "more"}]}, "", "counted once"),
    ({"filename": "gone.jpg", "split": "train", "sentences": [{"raw": "a dog"}]}, "", "no picture 'gone.jpg'"),
    ({"filename": "../secret.jpg", "split": "train", "sentences": [{"raw": "a dog"}]}, "", "never opened"),
    ({"filename": "secret.jpg", "filepath": "..", "split": "train", "sentences": [{"raw": "x"}]}, "", "never opened"),
    ({"filename": "new.jpg", "split": "train", "sentences": [{"raw": "new"}, {"raw": ""}]}, ".sentences[1]", "empty"),
    ({"filename": "new.jpg", "split": "train", "sentences": [{"raw": "new"}, "x"]}, ".sentences[1]", "no text"),
]


@pytest.mark.parametrize(("record", "place", "words"), KARPATHY_FAULTS)
def test_a_bad_record_of_karpathy_is_named_and_the_good_ones_remain(tmp_path, record, place, words):
    karpathy(tmp_path)
    pictures(tmp_path, ["secret.jpg"])
    if isinstance(record, dict) and record.get("filename") == "new.jpg" and "another kind" not in words:
        pictures(tmp_path / "images", ["new.jpg"])
    path = tmp_path / "dataset_flickr8k.json"
    whole = json.loads(path.read_text())
    whole["images"].append(record)
    write(path, json.dumps(whole))
    dataset = datasets.read(tmp_path)
    [fault] = dataset.faults
    assert fault.startswith(f"{path}:images[3]{place}: ")
    assert words in fault
    assert content(dataset) - {("new.jpg", "train", ("new",))} == set(THREE)


COCO_FAULTS = [
    ("images", [], "no record"),
    ("images", {"id": 7}, "missing"),
    ("images", {"id": [7], "file_name": "x.jpg"}, "another kind"),
    ("images", {"id": 0, "file_name": "x.jpg"}, "the id 0 was there before"),
    ("images", {"id": 7, "file_name": "gone.jpg"}, "no picture 'gone.jpg'"),
    ("images", {"id": 7, "file_name": "/etc/secret.jpg"}, "never opened"),
    ("annotations", "text", "no record"),
    ("annotations", {"image_id": 99, "caption": "a dog"}, "no picture has the id 99"),
    ("annotations", {"image_id": 0}, "missing"),
    ("annotations", {"image_id": 0, "caption": ["a"]}, "another kind"),
    ("annotations", {"image_id": 0, "caption": " "}, "empty caption"),
]


@pytest.mark.parametrize(("key", "record", "words"), COCO_FAULTS)
def test_a_bad_record_of_coco_is_named_and_the_good_ones_remain(tmp_path, key, record, words):
    pictures(tmp_path / "images")
    whole = json.loads(coco_json(THREE))
    whole[key].append(record)
    path = write(tmp_path / "captions.json", json.dumps(whole))
    dataset = datasets.read(tmp_path)
    [fault] = dataset.faults
    assert fault.startswith(f"{path}:{key}[{len(whole[key]) - 1}]: ")
    assert words in fault
    assert {name for name, _, _ in content(dataset)} == {name for name, _, _ in THREE}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (coco_json(THREE[1:2])[:60], ":1: not whole JSON"),
        ('{\n"images": [\n', ":3: not whole JSON"),
        ("", ":1: not whole JSON"),
        ("[1, 2]", "an object"),
        ("[" * 200_000, "JSON"),
        ('{"images": 5, "annotations": []}', "no list under 'images'"),
    ],
)
def test_a_broken_json_file_is_left_out_and_the_other_split_read(tmp_path, text, words):
    coco_beside(tmp_path)
    path = write(tmp_path / "captions_dev.json", text)
    dataset = datasets.read(tmp_path)
    assert any(fault.startswith(str(path)) and words in fault for fault in dataset.faults)
    assert content(dataset) == {THREE[0], THREE[2]}


def test_letters_that_are_not_utf8_cost_no_more_than_themselves(tmp_path):
    coco_beside(tmp_path)
    path = tmp_path / "captions_dev.json"
    path.write_bytes(path.read_bytes().replace(b'"cats"', b'"c\xe4ts"'))
    dataset = datasets.read(tmp_path)
    assert dataset.faults == [f"{path}:1: not UTF-8; such letters were replaced by \N{REPLACEMENT CHARACTER}"]
    assert datasets.pick(dataset, "dev")[0].captions == ("two cats , asleep", "c\N{REPLACEMENT CHARACTER}ts")


def leak_flickr8k(folder):
    write(folder / "Flickr_8k.devImages.txt", "two.jpg\none.jpg\n")
    return f"{folder / 'Flickr_8k.devImages.txt'}:2", f"{folder / 'Flickr_8k.trainImages.txt'}:1"


def leak_csv(folder):
    with open(folder / "captions.csv", "a") as file:
        file.write("one.jpg,a dog once more,validation\n")
    return f"{folder / 'captions.csv'}:8", f"{folder / 'captions.csv'}:2"


def leak_karpathy(folder):
    path = folder / "dataset_flickr8k.json"
    whole = json.loads(path.read_text())
    whole["images"].append(whole["images"][0] | {"split": "val"})
    write(path, json.dumps(whole))
    return f"{path}:images[3]", f"{path}:images[0]"


def leak_coco(folder):
    """The same bytes under the same name in two folders."""
    shutil.copy(folder / "train2017" / "one.jpg", folder / "val2017" / "one.jpg")
    write(folder / "annotations" / "captions_val2017.json", coco_json([THREE[1], THREE[0]]))
    return "captions_val2017.json:images[1]", "captions_train2017.json:images[0]"


@pytest.mark.parametrize(
    ("layout", "leak"), [(flickr8k, leak_flickr8k), (csv, leak_csv), (karpathy, leak_karpathy), (coco, leak_coco)]
)
def test_a_picture_in_two_splits_stops_everything(tmp_path, layout, leak):
    layout(tmp_path)
    places = leak(tmp_path)
    with pytest.raises(ValueError, match=r"one\.jpg.*trained on") as refusal:
        datasets.read(tmp_path)
    for place in places:
        assert place in str(refusal.value)


def test_two_pictures_that_only_share_a_name_are_two_pictures(tmp_path):
    """train/1.jpg and dev/1.jpg may well be different photographs."""
    coco(tmp_path)
    Image.new("RGB", (9, 9), "red").save(tmp_path / "val2017" / "one.jpg")
    write(tmp_path / "annotations" / "captions_val2017.json", coco_json([THREE[1], THREE[0]]))
    assert [example.name for example in datasets.pick(datasets.read(tmp_path), "dev")] == [
        "val2017/two.jpg",
        "val2017/one.jpg",
    ]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_unsafe_name_never_reaches_the_disk(tmp_path, monkeypatch, layout):
    layout(tmp_path / "data")
    pictures(tmp_path, ["secret.jpg"])
    for path in (tmp_path / "data").rglob("*.*"):
        if path.suffix != ".jpg":
            write(path, path.read_text().replace("one", "../../secret"))
    asked = []
    scandir = os.scandir
    monkeypatch.setattr(collecting.os, "scandir", lambda path: asked.append(str(path)) or scandir(path))
    dataset = datasets.read(tmp_path / "data")
    assert asked
    assert not any(".." in path for path in asked)
    assert "secret" not in str(dataset.splits)
    assert any("never opened" in fault for fault in dataset.faults)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda folder: None, "no known layout.*\n.*Flickr8k.*\n.*Karpathy.*\n.*Flickr30k.*\n.*COCO.*\n.*CSV"),
        (lambda folder: shutil.rmtree(folder), "no such folder"),
        (lambda folder: write(folder / "captions.csv", ""), "no picture with a caption"),
        (lambda folder: write(folder / "captions.csv", "picture,text\n"), "captions.csv:1: image,caption"),
        (lambda folder: write(folder / "captions.csv", "image,caption\na.jpg,a dog\n"), "captions.csv:2: .*a.jpg"),
        (lambda folder: write(folder / "dataset.json", '{"images": ['), "dataset.json:1: not whole JSON"),
        (lambda folder: (folder / "captions.csv").mkdir(), "cannot be read"),
        (lambda folder: [write(folder / f"dataset_{i}.json", "{}") for i in "ab"], "dataset_a.json and dataset_b.json"),
        (lambda folder: [write(folder / f"captions_train{y}.json", "{}") for y in (2014, 2017)], "both for train"),
    ],
)
def test_a_folder_without_a_usable_data_set_is_refused(tmp_path, make, words):
    folder = tmp_path / "data"
    folder.mkdir()
    make(folder)
    with pytest.raises(ValueError, match=words):
        datasets.read(folder)


def test_missing_files_are_named(tmp_path):
    tokens = write(tmp_path / "tokens", token_lines())
    with pytest.raises(ValueError, match="nowhere: there is no such folder"):
        datasets.flickr(tokens, tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"gone\.txt: it cannot be read"):
        datasets.flickr(tokens, tmp_path, {"train": tmp_path / "gone.txt"})


def test_a_split_that_is_not_there_is_refused_with_those_that_are(tmp_path):
    csv(tmp_path)
    dataset = datasets.read(tmp_path)
    assert datasets.pick(dataset, "val") == datasets.pick(dataset, "dev")
    with pytest.raises(ValueError, match="no split 'tset'; this data set has train, dev, test"):
        datasets.pick(dataset, "tset")
    with pytest.raises(ValueError, match="has none"):
        datasets.pick(Dataset({}, []), "train")
