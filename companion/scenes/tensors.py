"""Scenes as tensors. Explained in the chapter on pictures as grids."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from companion.scenes.world import Scene


def image_tensor(scenes: Sequence[Scene]) -> UInt8[Tensor, "batch 3 row col"]:
    """Return the scenes' images as bytes: batch channel row col."""
    return torch.from_numpy(np.stack([scene.image for scene in scenes])).permute(0, 3, 1, 2).contiguous()
