"""The same few captioned images, written in every layout that `datasets.read` reads.

Each writer takes a folder and images as (file name, split, captions). Whoever adds a layout adds a writer here; the
parametrised tests of `test_datasets` then apply to it.
"""

import csv
import io
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from PIL import Image

ImageSpec = tuple[str, str, tuple[str, ...]]  # file name, split, captions

THREE: list[ImageSpec] = [
    ("one.jpg", "train", ("a dog runs .", "a brown dog")),
    ("two.jpg", "dev", ("two cats , asleep", "cats")),
    ("three.jpg", "test", ("a red boat", "the boat is red")),
]


def write_images(folder: Path, names: Iterable[str] = ("one.jpg", "two.jpg", "three.jpg")) -> Path:
    """Write an image of another grey for each name, and return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for i, name in enumerate(dict.fromkeys(names)):
        Image.new("RGB", (4, 4), (i, i, i)).save(folder / name)
    return folder


def write_file(path: Path, content: str | bytes) -> Path:
    """Write a file and the folders above it, and return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def file_names(images: Sequence[ImageSpec]) -> list[str]:
    return [name for name, _, _ in images]


def by_split(images: Sequence[ImageSpec]) -> dict[str, list[ImageSpec]]:
    splits = dict.fromkeys(split for _, split, _ in images)
    return {split: [image for image in images if image[1] == split] for split in splits}


def token_lines(images: Sequence[ImageSpec] = THREE) -> str:
    return "".join(f"{name}#{i}\t{caption}\n" for name, _, captions in images for i, caption in enumerate(captions))


def write_flickr8k(folder: Path, images: Sequence[ImageSpec] = THREE) -> None:
    write_images(folder / "Flicker8k_Dataset", file_names(images))
    write_file(folder / "Flickr8k.token.txt", token_lines(images))
    for split, members in by_split(images).items():
        write_file(folder / f"Flickr_8k.{split}Images.txt", "".join(f"{name}\n" for name in file_names(members)))


def write_flickr30k(folder: Path, images: Sequence[ImageSpec] = THREE) -> None:
    write_images(folder / "flickr30k_images", file_names(images))
    write_file(folder / "results_20130124.token", token_lines(images))
    for split, members in by_split(images).items():
        stems = [Path(name).stem if name.endswith(".jpg") else name for name in file_names(members)]
        write_file(folder / f"{split.replace('dev', 'val')}.txt", "".join(f"{stem}\n" for stem in stems))


def write_karpathy(folder: Path, images: Sequence[ImageSpec] = THREE, subfolder: str = "") -> None:
    write_images(folder / "images" / subfolder, file_names(images))
    records = [
        {"filename": name, "split": split.replace("dev", "val").replace("train", "restval"), "filepath": subfolder}
        | {"sentences": [{"raw": caption, "tokens": caption.split()} for caption in captions]}
        for name, split, captions in images
    ]
    write_file(folder / "dataset_flickr8k.json", json.dumps({"images": records, "dataset": "flickr8k"}))


def coco_json(images: Sequence[ImageSpec]) -> str:
    return json.dumps(
        {
            "info": {"year": 2017},
            "images": [{"id": i, "file_name": name} for i, (name, _, _) in enumerate(images)],
            "annotations": [
                {"id": 10 * i + j, "image_id": i, "caption": caption}
                for i, (_, _, captions) in enumerate(images)
                for j, caption in enumerate(captions)
            ],
        }
    )


def write_images_by_split(folder: Path, images: Sequence[ImageSpec], subfolders: dict[str, str]) -> None:
    """Write the images of each split into a folder of its own; an image that is in two splits is the same file."""
    greys = {name: (i, i, i) for i, name in enumerate(file_names(images))}
    for split, members in by_split(images).items():
        (folder / subfolders[split]).mkdir(parents=True)
        for name in file_names(members):
            Image.new("RGB", (4, 4), greys[name]).save(folder / subfolders[split] / name)


def write_coco(folder: Path, images: Sequence[ImageSpec] = THREE) -> None:
    subfolders = {"train": "train2017", "dev": "val2017", "test": "test2017"}
    write_images_by_split(folder, images, subfolders)
    for split, members in by_split(images).items():
        write_file(folder / "annotations" / f"captions_{subfolders[split]}.json", coco_json(members))


def write_coco_in_one_folder(folder: Path, images: Sequence[ImageSpec] = THREE) -> None:
    write_images(folder / "images", file_names(images))
    for split, members in by_split(images).items():
        write_file(folder / f"captions_{split}.json", coco_json(members))


def write_csv(folder: Path, images: Sequence[ImageSpec] = THREE) -> None:
    write_images(folder / "images", file_names(images))
    rows = "".join(f'{name},"{caption}",{split}\n' for name, split, captions in images for caption in captions)
    write_file(folder / "captions.csv", "image,caption,split\n" + rows)


def write_csv_in_another_order(folder: Path, images: Sequence[ImageSpec] = THREE) -> None:
    write_images(folder, file_names(images))
    rows = "".join(f'{split},"{caption}",{name}\n' for name, split, captions in images for caption in captions)
    write_file(folder / "captions.csv", "Split,Caption,Image\n" + rows)


def write_flickr8k_cn(folder: Path, images: Sequence[ImageSpec] = THREE) -> None:
    write_images(folder / "Flicker8k_Dataset", file_names(images))
    lines = [f"{name}#zhc#{i} {caption}" for name, _, captions in images for i, caption in enumerate(captions)]
    write_file(folder / "flickr8kzhc.caption.txt", "\n".join(lines))
    for split, members in by_split(images).items():
        stems = [name.removesuffix(".jpg") for name in file_names(members)]
        write_file(folder / f"flickr8k{split.replace('dev', 'val')}.txt", "\n".join(stems))


def write_vizwiz(folder: Path, images: Sequence[ImageSpec] = THREE) -> None:
    subfolders = {"train": "train", "dev": "val", "test": "test"}
    write_images_by_split(folder, images, subfolders)
    for split, members in by_split(images).items():
        write_file(folder / "annotations" / f"{subfolders[split]}.json", coco_json(members))


def write_imagefolder(folder: Path, images: Sequence[ImageSpec] = THREE) -> None:
    subfolders = {"train": "train", "dev": "validation", "test": "test"}
    write_images_by_split(folder, images, subfolders)
    for split, members in by_split(images).items():
        records = [{"file_name": name, "text": caption} for name, _, captions in members for caption in captions]
        write_file(folder / subfolders[split] / "metadata.jsonl", "\n".join(map(json.dumps, records)))


def write_imagefolder_csv(folder: Path, images: Sequence[ImageSpec] = THREE) -> None:
    subfolders = {"train": "train", "dev": "valid", "test": "test"}
    write_images_by_split(folder, images, subfolders)
    rows = [(f"{subfolders[split]}/{name}", caption) for name, split, captions in images for caption in captions]
    table = io.StringIO()
    csv.writer(table, lineterminator="\n").writerows([("file_name", "text"), *rows])
    write_file(folder / "metadata.csv", table.getvalue())


def write_img2dataset(folder: Path, images: Sequence[ImageSpec] = THREE) -> None:
    subfolders = {"train": "train", "dev": "val", "test": "test"}
    write_images_by_split(folder, images, subfolders)
    for name, split, captions in images:
        write_file((folder / subfolders[split] / name).with_suffix(".txt"), "\n".join(captions))


def write_json_list(folder: Path, images: Sequence[ImageSpec] = THREE) -> None:
    write_images(folder / "photographs", file_names(images))
    records = [{"image": name, "captions": captions, "split": split} for name, split, captions in images]
    write_file(folder / "album.json", json.dumps(records))


def write_ai_challenger(folder: Path, images: Sequence[ImageSpec] = THREE) -> None:
    subfolders = {"train": "caption_train_images", "dev": "caption_validation_images", "test": "caption_test_images"}
    write_images_by_split(folder, images, subfolders)
    for split, members in by_split(images).items():
        records = [{"image_id": name, "caption": captions} for name, _, captions in members]
        write_file(folder / f"{subfolders[split].replace('images', 'annotations')}.json", json.dumps(records))


# By the name in `datasets.LAYOUTS`; a variant has more after a comma.
SAMPLES: dict[str, Callable[..., None]] = {
    "Flickr8k": write_flickr8k,
    "Flickr30k": write_flickr30k,
    "Karpathy": write_karpathy,
    "Flickr8k-CN": write_flickr8k_cn,
    "COCO": write_coco,
    "COCO, one folder": write_coco_in_one_folder,
    "VizWiz": write_vizwiz,
    "imagefolder": write_imagefolder,
    "imagefolder, one table": write_imagefolder_csv,
    "CSV": write_csv,
    "CSV, another order": write_csv_in_another_order,
    "img2dataset": write_img2dataset,
    "JSON": write_json_list,
    "JSON, AI Challenger": write_ai_challenger,
}
