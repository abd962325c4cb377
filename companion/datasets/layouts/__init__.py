"""The layouts in which captioned photographs are published, one reader in each file, and their registry `LAYOUTS`.

To add a layout, write its reader in a file here and register it with one line in that table.
"""

from companion.datasets.layouts import coco, csv_table, flickr, imagefolder, img2dataset, json_list, karpathy
from companion.datasets.layouts.base import IMAGE_FOLDERS, Layout, find_image_folders

__all__ = ["IMAGE_FOLDERS", "LAYOUTS", "Layout", "describe_layouts", "find_image_folders"]

LAYOUTS: dict[str, Layout] = {  # `datasets.read` tries them in this order
    "Flickr8k": flickr.FLICKR8K,
    "Karpathy": karpathy.KARPATHY,
    "Flickr30k": flickr.FLICKR30K,
    "Flickr8k-CN": flickr.FLICKR8K_CN,
    "COCO": coco.COCO,
    "VizWiz": coco.VIZWIZ,
    "imagefolder": imagefolder.IMAGEFOLDER,
    "CSV": csv_table.CSV,
    "img2dataset": img2dataset.IMG2DATASET,
    "JSON": json_list.JSON_LIST,
}


def describe_layouts() -> str:
    """Return the registered layouts as text, a line for each: its name and its files."""
    return "\n".join(f"  {name:<12} {layout.description}" for name, layout in LAYOUTS.items())
