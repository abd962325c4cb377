"""Scenes out to a folder, for people who want the data elsewhere: pictures, masks, COCO captions JSON.

`images/000000.png` is the picture, `masks/000000_1.png` the visible pixels of its second thing (white on black), and
`captions.json` the captions in COCO's form, with each picture's things. `datasets.read` reads such a folder again.
"""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from companion.files import write_whole
from companion.scenes.making import make
from companion.scenes.world import Scene

_SPLIT = {"validation": "dev"}  # the name that `datasets` uses


def export(folder: Path | str, split: str, count: int, seed: int = 0) -> None:
    """Write `count` scenes of a split into `folder`; the JSON last, when all that it speaks of is there."""
    folder = Path(folder)
    scenes = make(split, count, seed)
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for i, scene in enumerate(tqdm(scenes, desc="writing scenes", unit="scene", leave=False)):
        write_whole(folder / "images" / f"{i:06d}.png", png(scene.image))
        for thing, mask in enumerate(scene.masks):
            write_whole(folder / "masks" / f"{i:06d}_{thing}.png", png(mask.astype(np.uint8) * 255))
        images.append(about(i, scene, _SPLIT.get(split, split)))
        for caption in scene.captions:
            annotations.append({"id": len(annotations), "image_id": i, "caption": caption.text})
    written = {"images": images, "annotations": annotations}
    write_whole(folder / "captions.json", json.dumps(written, indent=1).encode())


def about(i: int, scene: Scene, split: str) -> dict[str, Any]:
    """COCO's record of a picture, with its things added."""
    height, width, _ = scene.image.shape
    things = [thing._asdict() for thing in scene.things]
    return {"id": i, "file_name": f"{i:06d}.png", "height": height, "width": width, "split": split, "things": things}


def png(pixels: np.ndarray) -> bytes:
    """Pixels as a PNG file."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="PNG")
    return file.getvalue()
