"""Data sets of captioned photographs: `download` and `archives` fetch them, `readers` reads a folder by its `layouts`
and builds clean examples (`parsing`, `validation`), `images` decodes, `collate` and `augment` make tensors, `shards`
packs many pictures for a shared disk. Explained in the chapter on real photographs.
"""

from companion.datasets import archives, augment, download, layouts, shards
from companion.datasets.collate import (
    batch_indices,
    caption_tensor,
    collate_captions,
    length_bucketed,
    load_images,
    load_readable_images,
    trim_padding,
)
from companion.datasets.examples import Dataset, Example
from companion.datasets.images import EXAMPLE_IMAGES, IMAGE_SIZE, MAX_PIXELS, example_image, load_image, load_original
from companion.datasets.layouts import LAYOUTS, Layout, find_image_folders
from companion.datasets.layouts.coco import coco
from companion.datasets.layouts.csv_table import csv_file
from companion.datasets.layouts.flickr import flickr
from companion.datasets.layouts.karpathy import karpathy
from companion.datasets.readers import get_split, print_issue, read
from companion.datasets.splits import DEFAULT_SPLIT_RATIO
from companion.datasets.validation import DatasetBuilder

__all__ = [
    "DEFAULT_SPLIT_RATIO",
    "EXAMPLE_IMAGES",
    "IMAGE_SIZE",
    "LAYOUTS",
    "MAX_PIXELS",
    "Dataset",
    "DatasetBuilder",
    "Example",
    "Layout",
    "archives",
    "augment",
    "batch_indices",
    "caption_tensor",
    "coco",
    "collate_captions",
    "csv_file",
    "download",
    "example_image",
    "find_image_folders",
    "flickr",
    "get_split",
    "karpathy",
    "layouts",
    "length_bucketed",
    "load_image",
    "load_images",
    "load_original",
    "load_readable_images",
    "print_issue",
    "read",
    "shards",
    "trim_padding",
]
