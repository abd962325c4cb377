"""The layouts in which people have captioned photographs, as the tools of their makers write them."""

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cases.pictures import draw, write_pictures

DOG, CAT = ("A dog .",), ("A cat , asleep .",)


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def jsonl(*records: dict) -> str:
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)


def kaggle_flickr30k(folder: Path) -> None:
    write_pictures(folder / "flickr30k_images", ["1.jpg", "2.jpg"])
    rows = ["1.jpg| 0| A dog .", "1.jpg| 4   A dog runs .", "2.jpg| 0| A cat , asleep ."]
    write(folder / "results.csv", "\n".join(["image_name| comment_number| comment", *rows]))


def kaggle_flickr30k_nested(folder: Path) -> None:
    """As the archive unpacks: the pictures and the table in flickr30k_images/flickr30k_images/."""
    kaggle_flickr30k(folder / "flickr30k_images")


def kaggle_flickr8k(folder: Path) -> None:
    write_pictures(folder / "Images", ["1.jpg", "2.jpg"])
    write(folder / "captions.txt", 'image,caption\n1.jpg,A dog .\n2.jpg,"A cat , asleep ."\n')


def flickr8k_in_two_folders(folder: Path) -> None:
    """As the two archives unpack, each into a folder of its own."""
    write_pictures(folder / "Flickr8k_Dataset" / "Flicker8k_Dataset", ["1.jpg", "2.jpg"])
    write(folder / "Flickr8k_text" / "Flickr8k.token.txt", "1.jpg#0\tA dog .\n2.jpg#0\tA cat , asleep .\n")
    write(folder / "Flickr8k_text" / "Flickr_8k.trainImages.txt", "1.jpg\n")
    write(folder / "Flickr8k_text" / "Flickr_8k.devImages.txt", "2.jpg\n")


def tables_of_splits(folder: Path) -> None:
    write_pictures(folder, ["train/1.jpg", "val/1.jpg"])
    write(folder / "train.csv", "filename,caption\n1.jpg,A dog .\n")
    write(folder / "val.csv", 'filename,caption\n1.jpg,"A cat , asleep ."\n')


def columns_of_captions(folder: Path) -> None:
    write_pictures(folder / "images", ["1.jpg", "2.jpg"])
    write(folder / "annotations.tsv", "image\tcaption_1\tcaption_2\n1.jpg\tA dog .\t\n2.jpg\tA cat , asleep .\t\n")


def paths_in_the_table(folder: Path) -> None:
    write_pictures(folder / "images", ["1.jpg", "2.jpg"])
    write(folder / "captions.csv", 'image,caption\nimages/1.jpg,A dog .\n.\\images\\2.jpg,"A cat , asleep ."\n')


def whole_paths_in_the_table(folder: Path) -> None:
    """As a script writes them that ran elsewhere: absolute, and from the folder above."""
    write_pictures(folder / "images", ["1.jpg", "2.jpg"])
    write(
        folder / "captions.csv", f'image,caption\n{folder}/images/1.jpg,A dog .\ndata/images/2.jpg,"A cat , asleep ."\n'
    )


def numbers_for_names(folder: Path) -> None:
    write_pictures(folder / "photos", ["1.jpg", "2.png"])
    write(folder / "captions.csv", 'image_id,caption\n1,A dog .\n2,"A cat , asleep ."\n')


def imagefolder_jsonl(folder: Path) -> None:
    write_pictures(folder, ["train/1.jpg", "validation/2.jpg"])
    write(folder / "train" / "metadata.jsonl", jsonl({"file_name": "1.jpg", "text": "A dog ."}))
    write(folder / "validation" / "metadata.jsonl", jsonl({"file_name": "2.jpg", "text": "A cat , asleep ."}))


def imagefolder_csv(folder: Path) -> None:
    write_pictures(folder, ["1.jpg", "deeper/2.jpg"])
    rows = "1.jpg,en,A dog .\n" + 'deeper/2.jpg,en,"A cat , asleep ."\n'
    write(folder / "metadata.csv", f"file_name,language,caption\n{rows}")


def imagefolder_of_the_hub(folder: Path) -> None:
    write_pictures(folder, ["data/train/1.jpg", "data/test/2.jpg"])
    for split, name, text in (("train", "1.jpg", "A dog ."), ("test", "2.jpg", "A cat , asleep .")):
        write(folder / "data" / split / "metadata.jsonl", jsonl({"file_name": name, "caption": [text]}))


def imagefolder_with_one_file(folder: Path) -> None:
    write_pictures(folder, ["train/1.jpg", "test/2.jpg"])
    records = (
        {"file_name": "train/1.jpg", "prompt": "A dog ."},
        {"file_name": "test/2.jpg", "prompt": "A cat , asleep ."},
    )
    write(folder / "metadata.jsonl", jsonl(*records))


def img2dataset_files(folder: Path) -> None:
    for i, text in enumerate(("A dog .", "A cat , asleep .")):
        stem = folder / "00000" / f"00000000{i}"
        write_pictures(folder, [f"00000/{stem.name}.jpg"], first_seed=i)
        write(stem.with_suffix(".txt"), text)
        write(stem.with_suffix(".json"), json.dumps({"caption": text, "key": stem.name, "status": "success"}))
    write(folder / "00000_stats.json", json.dumps({"count": 2, "successes": 2}))
    (folder / "00000.parquet").write_bytes(b"PAR1")


def img2dataset_shards(folder: Path) -> None:
    folder.mkdir()
    for shard, text in enumerate(("A dog .", "A cat , asleep .")):
        picture = io.BytesIO()
        draw(shard).save(picture, "JPEG")
        facts = json.dumps({"caption": text, "status": "success"}).encode()
        with tarfile.open(folder / f"0000{shard}.tar", "w") as archive:
            for suffix, data in (("jpg", picture.getvalue()), ("txt", text.encode()), ("json", facts)):
                member = tarfile.TarInfo(f"0000{shard}0000.{suffix}")
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))


def img2dataset_json_alone(folder: Path) -> None:
    write_pictures(folder, ["00000/0.png", "00001/1.webp"])
    for stem, text in (("00000/0", "A dog ."), ("00001/1", "A cat , asleep .")):
        write(folder / f"{stem}.json", json.dumps({"caption": text, "status": "success"}))


def text_beside_each_picture(folder: Path) -> None:
    write_pictures(folder, ["a b.JPG", "c.png"])
    write(folder / "a b.txt", "A dog .\n")
    write(folder / "c.txt", "A cat , asleep .\n")


def ai_challenger(folder: Path) -> None:
    """As its two archives unpack."""
    for split, date, picture, captions in (
        ("train", "20170902", "8f00f3d0.jpg", DOG),
        ("validation", "20170910", "c6a55b7f.jpg", CAT),
    ):
        outer = folder / f"ai_challenger_caption_{split}_{date}"
        write_pictures(outer / f"caption_{split}_images_{date}", [picture], first_seed=date == "20170910")
        record = {"url": "http://x/y", "image_id": picture, "caption": list(captions)}
        write(outer / f"caption_{split}_annotations_{date}.json", json.dumps([record]))


def pictures_in_photographs(folder: Path) -> None:
    write_pictures(folder / "photographs", ["1.jpg", "2.jpg", "not described.jpg"])
    records = [{"image": "1.jpg", "captions": DOG}, {"image": "2.jpg", "captions": CAT}]
    write(folder / "dev.json", json.dumps(records, indent=1))


def pictures_of_another_layout_beside(folder: Path) -> None:
    """COCO's captions of pictures that are not there, and a list of pictures that are."""
    pictures_in_photographs(folder)
    other = {"images": [{"id": 1, "file_name": "x.jpg"}], "annotations": [{"image_id": 1, "caption": "A bird."}]}
    write(folder / "captions_val2017.json", json.dumps(other))


def neuraltalk2(folder: Path) -> None:
    write_pictures(
        folder / "images", ["val2014/COCO_val2014_000000391895.jpg", "train2014/COCO_train2014_000000000009.jpg"]
    )
    records = [
        {"file_path": "val2014/COCO_val2014_000000391895.jpg", "captions": DOG, "id": 391895},
        {"file_path": "train2014/COCO_train2014_000000000009.jpg", "captions": CAT, "id": 9, "split": "val"},
    ]
    write(folder / "coco_raw.json", json.dumps(records))


def captions_by_name(folder: Path) -> None:
    write_pictures(folder, ["1.jpg", "2.jpg"])
    write(folder / "captions.json", json.dumps({"1.jpg": list(DOG), "2.jpg": CAT[0]}))


def one_object_in_each_line(folder: Path) -> None:
    write_pictures(folder / "img", ["1.jpg", "2.jpg"])
    write(folder / "data.jsonl", jsonl({"img": "1.jpg", "sentence": DOG[0]}, {"img": "2.jpg", "sentence": CAT[0]}))


def list_inside_an_object(folder: Path) -> None:
    write_pictures(folder / "images", ["1.jpg", "2.jpg"])
    records = [{"image_name": "1", "caption": DOG[0]}, {"image_name": "2", "caption": CAT[0], "split": "test"}]
    write(folder / "textcaps.json", json.dumps({"dataset_type": "train", "data": records}))


def vizwiz(folder: Path) -> None:
    write_pictures(folder, ["train/VizWiz_train_00000000.jpg", "val/VizWiz_val_00000000.jpg"])
    for split, captions in (("train", DOG), ("val", CAT)):
        images = [{"id": 0, "file_name": f"VizWiz_{split}_00000000.jpg", "text_detected": True}]
        texts = [(*captions, False), ("Quality issues are too severe to recognize visual content.", True)]
        annotations = [
            {"id": i, "image_id": 0, "caption": text, "is_rejected": rejected, "is_precanned": rejected}
            for i, (text, rejected) in enumerate(texts)
        ]
        write(folder / "annotations" / f"{split}.json", json.dumps({"images": images, "annotations": annotations}))
    without_captions = {"info": {}, "images": [{"id": 7, "file_name": "VizWiz_test_00000000.jpg"}]}
    write(folder / "annotations" / "test.json", json.dumps(without_captions))


def coco_under_another_name(folder: Path) -> None:
    vizwiz(folder)
    for split in ("train", "val"):
        (folder / "annotations" / f"{split}.json").rename(folder / f"instances_{split}.json")
    write(folder / "annotations" / "other.json", json.dumps({"images": [], "annotations": [{"bbox": [0, 0, 1, 1]}]}))


def vizwiz_named_as_coco(folder: Path) -> None:
    vizwiz(folder)
    for split in ("train", "val"):
        (folder / "annotations" / f"{split}.json").rename(folder / "annotations" / f"captions_{split}.json")


def flickr8k_cn(folder: Path) -> None:
    write_pictures(folder / "Flicker8k_Dataset", ["1_a.jpg", "2_b.jpg"])
    write(folder / "data" / "flickr8kzhc.caption.txt", "1_a.jpg#zhc#0 A dog .\n2_b.jpg#zhc#0 A cat , asleep .\n")
    write(folder / "data" / "flickr8kenc.caption.txt", "1_a.jpg#enc#0 Another.\n")
    write(folder / "data" / "flickr8ktrain.txt", "1_a\n")
    write(folder / "data" / "flickr8kval.txt", "2_b\n")


def flickr8k_cn_by_machine(folder: Path) -> None:
    write_pictures(folder / "Flicker8k_Dataset", ["1_a.jpg", "2_b.jpg"])
    write(folder / "flickr8kzhb.caption.txt", "1_a.jpg#zhb#0 A dog .\n2_b.jpg#zhb#0 A cat , asleep .\n")


def data_set_in_a_subfolder(folder: Path) -> None:
    kaggle_flickr8k(folder / "flickr8k")
    write(folder / "LICENSE", "")


# writer: the splits of the two pictures; None for one that the content decides
LAYOUTS: dict[Callable[[Path], None], tuple[str | None, str | None]] = {
    kaggle_flickr30k: (None, None),
    kaggle_flickr30k_nested: (None, None),
    kaggle_flickr8k: (None, None),
    flickr8k_in_two_folders: ("train", "dev"),
    tables_of_splits: ("train", "dev"),
    columns_of_captions: (None, None),
    paths_in_the_table: (None, None),
    whole_paths_in_the_table: (None, None),
    numbers_for_names: (None, None),
    imagefolder_jsonl: ("train", "dev"),
    imagefolder_csv: (None, None),
    imagefolder_of_the_hub: ("train", "test"),
    imagefolder_with_one_file: ("train", "test"),
    img2dataset_files: (None, None),
    img2dataset_shards: (None, None),
    img2dataset_json_alone: (None, None),
    text_beside_each_picture: (None, None),
    ai_challenger: ("train", "dev"),
    pictures_in_photographs: ("dev", "dev"),
    pictures_of_another_layout_beside: ("dev", "dev"),
    neuraltalk2: ("train", "dev"),
    captions_by_name: (None, None),
    one_object_in_each_line: (None, None),
    list_inside_an_object: ("train", "test"),
    vizwiz: ("train", "dev"),
    vizwiz_named_as_coco: ("train", "dev"),
    coco_under_another_name: ("train", "dev"),
    flickr8k_cn: ("train", "dev"),
    flickr8k_cn_by_machine: (None, None),
    data_set_in_a_subfolder: (None, None),
}
COST = {  # layouts of which something cannot be used: words of the issue
    kaggle_flickr30k: "results.csv:3: 2 fields, not 3",
    kaggle_flickr30k_nested: "results.csv:3: 2 fields, not 3",
    vizwiz: "annotations[1]: it is marked is_rejected or is_precanned",
    coco_under_another_name: "annotations[1]: it is marked is_rejected or is_precanned",
    vizwiz_named_as_coco: "annotations[1]: it is marked is_rejected or is_precanned",
}


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.__name__)
def test_a_layout_is_read_with_its_splits(tmp_path, evaluate, layout):
    layout(tmp_path / "data")
    splits = LAYOUTS[layout]
    run = evaluate(tmp_path / "data", split=splits[0] or "train")
    assert run.status == 0, run.err
    assert sorted(run.captions.values()) == sorted([DOG, CAT])
    for split, examples in run.dataset.splits.items():
        for example in examples:
            assert example.image.is_file()
            assert split == splits[example.captions == CAT] or splits == (None, None)
    assert all(COST.get(layout, "no issue") in issue for issue in run.dataset.issues), run.dataset.issues
    assert bool(run.dataset.issues) == (layout in COST)


def test_rejected_captions_are_no_references(tmp_path, evaluate):
    vizwiz(tmp_path / "data")
    run = evaluate(tmp_path / "data", split="dev")
    assert "Quality issues" not in str(run.captions)
    assert "val.json:annotations[1]: it is marked is_rejected or is_precanned; left out" in run.err
    assert "test.json: it has pictures, but no captions; not used" in run.err


BROKEN = {  # file: text, words of the only line
    "metadata.jsonl": ('{"file_name": "1.jpg", "text": \n', "metadata.jsonl:1: '{\"file_name"),
    "metadata.csv": ("file_name,label\n1.jpg,dog\n", "metadata.csv:2: there is no file_name, or no text or caption"),
    "metadata.parquet": ("PAR1", "metadata.parquet: Parquet is not read here; save it as metadata.csv"),
    "dev.json": ('[{"image": "1.jpg", "captions": ["A dog"]}, {"image"', "dev.json:1: not complete JSON"),
    "train.json": ('[{"image": "gone.jpg", "captions": ["A dog"]}]', "there is no picture 'gone.jpg'"),
    "gone.txt": ("A dog.", "no known layout"),
    "annotations/train.json": (
        '{"images": [{"id": 1, "file_name": "1.jpg"}], "annotations": "caption"}',
        "no list under",
    ),
    "flickr8kzhc.caption.txt": ("1.jpg#zhc#0\n", "flickr8kzhc.caption.txt:1: no tab"),
    "results.csv": ("image_name| comment_number| comment\n1.jpg| 4   A dog\n", "results.csv:2: 2 fields, not 3"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_file_that_cannot_be_used_is_named_with_the_reason(tmp_path, evaluate, name):
    text, words = BROKEN[name]
    write_pictures(tmp_path / "data", ["1.jpg"])
    write(tmp_path / "data" / name, text)
    run = evaluate(tmp_path / "data")
    assert run.status == 1
    assert words in run.err
    assert len(run.err.splitlines()) == 1


def test_two_files_for_one_split_are_named(tmp_path, evaluate):
    write_pictures(tmp_path, ["1.jpg"])
    for name in ("a.csv", "b.csv"):
        write(tmp_path / name, "image,caption\n1.jpg,A dog.\n")
    run = evaluate(tmp_path)
    assert run.err.endswith("a.csv and b.csv are both for train; keep one of them\n")


def test_results_of_a_captioner_are_no_captions(tmp_path, evaluate):
    pictures_in_photographs(tmp_path)
    write(tmp_path / "results.json", json.dumps([{"image_id": "1.jpg", "caption": "A model wrote this."}]))
    run = evaluate(tmp_path, split="dev")
    assert "A model" not in str(run.captions)


def test_a_layout_without_a_picture_gives_way_to_another_and_says_so(tmp_path, evaluate):
    pictures_of_another_layout_beside(tmp_path)
    note = "read in another layout than COCO, in which the first issue is "
    assert note in evaluate(tmp_path, split="dev").err


def test_a_file_for_a_folder_is_answered_with_where_it_is(tmp_path, evaluate):
    kaggle_flickr8k(tmp_path)
    run = evaluate(tmp_path / "captions.txt")
    assert run.err.endswith("captions.txt: is a file; name the folder it is in\n")
