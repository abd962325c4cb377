"""NanoDet-g, a small detector of the 80 COCO classes, with its weights.

Origin: RangiLyu, "NanoDet" (github.com/RangiLyu/nanodet, Apache-2.0), model NanoDet-g; `tools/convert_nanodet.py` says
from which file the weights were taken. Explained in the chapter on real photographs.
"""

from pathlib import Path
from typing import NamedTuple, cast

import torch
from einops import rearrange
from jaxtyping import Float
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from companion.encoders import Images, to_pixels

CLASSES = 80  # of COCO, in the order of coco_words.tsv
BINS = 11  # the distance to each side of a box is a distribution over 0, 1, ..., 10 strides
STRIDES = (8, 16, 32)  # pixels a place, of the three grids
MEAN, DEVIATION = (103.53, 116.28, 123.675), (57.375, 57.12, 58.395)  # of blue, green and red, 0 to 255
WEIGHTS = Path(__file__).parents[1] / "weights" / "nanodet" / "weights.safetensors"


class Detections(NamedTuple):
    """What a detector finds of each class in each picture."""

    scores: Float[Tensor, "batch 80"]  # the highest score of the class at any place, from 0 to 1
    boxes: Float[Tensor, "batch 80 4"]  # the box of that place: left, top, right, bottom as fractions of the picture


def conv(before: int, after: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """Return a convolution, its batch norm folded in, and a leaky ReLU."""
    return nn.Sequential(nn.Conv2d(before, after, kernel, stride, kernel // 2), nn.LeakyReLU(0.1))


class CSPStage(nn.Module):
    """A stage of the backbone, with two paths that are concatenated (Wang et al. 2020, CSPNet, section 3.1).

    The first path is the output of a convolution. The second continues through `blocks` pairs of convolutions, each
    pair half as wide and concatenated, and ends with one more convolution. The output has twice the channels of the
    first convolution.
    """

    def __init__(self, before: int, channels: int, blocks: int, stride: int):
        super().__init__()
        half = channels // 2
        self.entry = conv(before, channels, stride=stride)
        self.blocks = nn.ModuleList(
            nn.ModuleList([conv(channels, half), conv(half, half)]) for _ in range(blocks)
        )  # fmt: skip
        self.exit = conv(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return feature maps with `2 * channels` channels, and rows and columns divided by the stride."""
        entry = x = self.entry(x)
        for block in self.blocks:
            first, second = cast(nn.ModuleList, block)
            narrow = first(x)
            x = torch.cat([second(narrow), narrow], 1)
        return torch.cat([self.exit(x), entry], 1)


class NanoDet(nn.Module):
    """NanoDet-g: a backbone of CSP stages, feature maps at three scales, and a head on each.

    `load_nanodet` returns it with the weights that ship.

    The maps of the last three stages are brought to 128 channels and exchanged between the scales, first from coarse to
    fine and then back, by resizing and adding (Liu et al. 2018, PANet, section 3.1). A place scores each class by a
    sigmoid, and gives the distances to the four sides of the object's box as expectations of distributions (Li et al.
    2020, "Generalized Focal Loss", section 3.2).

    Args:
        size: pixels a side to which images are resized, a multiple of 32. Its training had 416. With 320, the size of
            the images that the captioner of photographs reads, it takes 0.6 of the time, and finds what captions of the
            168 photographs of the calibration mention with an average precision of 0.62, with 416 of 0.58.
    """

    def __init__(self, size: int = 320):
        super().__init__()
        assert size % STRIDES[-1] == 0, f"size={size}: a multiple of {STRIDES[-1]} is needed"
        self.size = size
        self.stem = conv(3, 32, stride=2)
        self.stages = nn.ModuleList(
            [CSPStage(32, 32, 1, 1), CSPStage(64, 64, 2, 2), CSPStage(128, 128, 2, 2), CSPStage(256, 256, 3, 2)]
        )
        self.laterals = nn.ModuleList(nn.Conv2d(channels, 128, 1) for channels in (128, 256, 512))
        self.heads = nn.ModuleList(
            nn.Sequential(conv(128, 128), nn.Conv2d(128, CLASSES + 4 * BINS, 1)) for _ in STRIDES
        )  # fmt: skip

    def forward(self, images: Images) -> Detections:
        """Return score and box of every class in every image (see `encoders.to_pixels`), whatever their size."""
        maps = self.heads_of(self.pyramid(self.prepare(images)))
        scores, boxes = zip(*map(self.best_of_classes, maps, STRIDES), strict=True)
        best = torch.stack(scores).max(0)
        index = best.indices[None, :, :, None].expand(-1, -1, -1, 4)
        return Detections(best.values, torch.stack(boxes).gather(0, index)[0])

    def prepare(self, images: Images) -> Float[Tensor, "batch 3 size size"]:
        """Return images as the network wants them: resized in single precision, blue first, normalised."""
        pixels = to_pixels(images, torch.float32)
        if pixels.shape[-2:] != (self.size, self.size):
            pixels = F.interpolate(pixels, (self.size, self.size), mode="bicubic", antialias=True).clamp(0, 255)
        mean, deviation = (pixels.new_tensor(values)[:, None, None] for values in (MEAN, DEVIATION))
        normalised = (pixels.flip(1) - mean) / deviation
        return normalised.to(next(self.parameters()).dtype, memory_format=torch.channels_last)

    def pyramid(self, pixels: Float[Tensor, "batch 3 row col"]) -> list[Tensor]:
        """Return the feature maps of the three scales, fine to coarse, after the exchange between them."""
        x = F.max_pool2d(self.stem(pixels), 3, 2, 1)
        x = self.stages[0](x)
        maps = []
        for stage, lateral in zip(list(self.stages)[1:], self.laterals, strict=True):
            x = stage(x)
            maps.append(lateral(x))
        for fine, coarse in ((1, 2), (0, 1)):
            maps[fine] = maps[fine] + resize(maps[coarse], maps[fine])
        for fine, coarse in ((0, 1), (1, 2)):
            maps[coarse] = maps[coarse] + resize(maps[fine], maps[coarse])
        return maps

    def heads_of(self, maps: list[Tensor]) -> list[Tensor]:
        """Return the head's output for each scale: logits of the classes, then of the bins of the four distances."""
        return [head(x) for head, x in zip(self.heads, maps, strict=True)]

    def best_of_classes(self, output: Tensor, stride: int) -> Detections:
        """Return, for one scale, each class's highest score and the box of the place that has it."""
        cols = output.shape[-1]
        best = output[:, :CLASSES].flatten(2).max(2)
        index = best.indices[:, None, :].expand(-1, 4 * BINS, -1)
        bins = output[:, CLASSES:].flatten(2).gather(2, index)
        weights = rearrange(bins, "batch (side bin) kind -> batch kind side bin", bin=BINS).softmax(-1)
        distance = (weights @ torch.arange(BINS, dtype=weights.dtype, device=weights.device)) * stride
        centre = torch.stack([best.indices % cols, best.indices // cols], -1) * stride + stride / 2
        boxes = torch.cat([centre - distance[..., :2], centre + distance[..., 2:]], -1) / self.size
        return Detections(best.values.sigmoid(), boxes.clamp(0, 1))


def load_nanodet(size: int = 320) -> NanoDet:
    """Return NanoDet-g with the weights that ship, which no optimizer changes."""
    with torch.device("meta"):  # nothing is initialised at random first
        detector = NanoDet(size)
    state = {name: tensor.float() for name, tensor in load_file(WEIGHTS).items()}
    detector.load_state_dict(state, assign=True)
    detector.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return detector.eval().requires_grad_(False)


def resize(maps: Float[Tensor, "batch channel _ _"], like: Tensor) -> Float[Tensor, "batch channel row col"]:
    """Return feature maps with the rows and columns of `like`, by bilinear interpolation."""
    return F.interpolate(maps, like.shape[-2:], mode="bilinear", align_corners=False)
