"""Export of scenes to a folder, for use with other tools: images, masks and captions in the COCO format.

`images/000000.png` is an image, `masks/000000_1.png` the visible pixels of its second object (white on black), and
`captions.json` has the captions in the form of COCO, with the objects of each image. `datasets.read` reads such a
folder. Explained in the chapter on pictures as grids.
"""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from companion.files import atomic_write
from companion.scenes.generation import make_dataset
from companion.scenes.world import Scene

_SPLIT_NAMES = {"validation": "dev"}  # the name in `datasets`, where it differs


def export(folder: Path | str, split: str, count: int, *, seed: int = 0) -> None:
    """Write `count` scenes of a split into `folder`.

    The JSON is written last, so a folder that has it is complete. Raises what `make_dataset` raises, and OSError where
    a file cannot be written.
    """
    folder = Path(folder)
    scenes = make_dataset(split, count, seed)
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for i, scene in enumerate(tqdm(scenes, desc="writing scenes", unit="scene", leave=False)):
        atomic_write(folder / "images" / f"{i:06d}.png", png(scene.image))
        for k, mask in enumerate(scene.masks):
            atomic_write(folder / "masks" / f"{i:06d}_{k}.png", png(mask.astype(np.uint8) * 255))
        images.append(image_record(i, scene, _SPLIT_NAMES.get(split, split)))
        for caption in scene.captions:
            annotations.append({"id": len(annotations), "image_id": i, "caption": caption.text})
    contents = {"images": images, "annotations": annotations}
    atomic_write(folder / "captions.json", json.dumps(contents, indent=1).encode())


def image_record(i: int, scene: Scene, split: str) -> dict[str, Any]:
    """Return COCO's record of image number `i`, with the scene's objects added under "objects"."""
    height, width, _ = scene.image.shape
    objects = [scene_object._asdict() for scene_object in scene.objects]
    return {"id": i, "file_name": f"{i:06d}.png", "height": height, "width": width, "split": split, "objects": objects}


def png(pixels: np.ndarray) -> bytes:
    """Return the pixels, uint8 row col or row col channel, as the bytes of a PNG file."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="PNG")
    return file.getvalue()
