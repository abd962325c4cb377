"""Pictures that are not bytes: floats from 0 to 1 get the captions of the bytes, and what is ambiguous is refused."""

import jaxtyping
import pytest
import torch

from companion import decoding, encoders, models, scenes
from companion.vocabulary import Vocabulary

BYTES = scenes.image_tensor(scenes.make_dataset("test", 3))
FLOATS = BYTES.float()


@pytest.fixture(autouse=True)
def without_checks_of_annotations(monkeypatch):
    """Users have no jaxtyping: they see our own checks."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


def replaced(images, index, value):
    """Return the images, the one with that index replaced."""
    images = images.clone()
    images[index] = value
    return images


ONE_WHITE = torch.cat([FLOATS[:2], torch.full_like(FLOATS[:1], 255)])
READ = {  # name: (given, the bytes that it stands for)
    "floats from 0 to 1": (FLOATS / 255, BYTES),
    "floats from 0 to 255": (FLOATS, BYTES),
    "doubles from 0 to 1": (BYTES.double() / 255, BYTES),
    "bfloat16 from 0 to 255": (BYTES.bfloat16(), BYTES),
    "float16 from 0 to 255": (BYTES.half(), BYTES),
    "one picture from 0 to 1": (FLOATS[:1] / 255, BYTES[:1]),
    "a view with channels that were last": (FLOATS.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2) / 255, BYTES),
    "black and bytes": (replaced(FLOATS, 0, 0.0), replaced(BYTES, 0, 0)),
    "black and 0 to 1": (replaced(FLOATS / 255, 2, 0.0), replaced(BYTES, 2, 0)),
    "nothing but black": (0 * FLOATS, 0 * BYTES),
    "nothing but white": (0 * FLOATS + 1, 0 * BYTES + 255),
    "a white picture of bytes": (ONE_WHITE, ONE_WHITE.byte()),
    "bytes that are nearly black": (torch.full_like(FLOATS, 2), torch.full_like(BYTES, 2)),
    "an empty batch": (FLOATS[:0], BYTES[:0]),
}


@pytest.mark.parametrize("name", READ)
def test_they_get_the_captions_of_the_bytes(scenes_captioner, name):
    given, wanted = READ[name]
    captions = scenes_captioner.caption(given, 2, max_words=8)
    assert [c.text for c in captions] == [c.text for c in scenes_captioner.caption(wanted, 2, max_words=8)]


def test_bytes_are_not_changed_by_a_bit(scenes_captioner):
    pixels = encoders.to_pixels(BYTES, torch.float32)
    assert torch.equal(pixels, BYTES.float())
    assert torch.equal(encoders.to_pixels(FLOATS, torch.float32), pixels)


MEAN, STD = torch.tensor([0.485, 0.456, 0.406])[:, None, None], torch.tensor([0.229, 0.224, 0.225])[:, None, None]
REFUSED = {  # name: (given, what the message says)
    "normalised as ImageNet": ((FLOATS / 255 - MEAN) / STD, r"images\[0\] has values from -.* must not be normalised"),
    "normalised to -1..1": (FLOATS / 127.5 - 1, r"images\[0\] has values from -.* must not be normalised"),
    "normalised, all of it above the mean": (
        (FLOATS[:1] * 0 + 1 - MEAN) / STD,
        r"images\[0\] has values from 2\.\d+ to 2\.\d+; .* must not be normalised",
    ),
    "one picture normalised": (replaced(FLOATS, 1, FLOATS[1] - 255), r"images\[1\] has values from -"),
    "overshoots 1": (FLOATS / 240, r"images\[\d\] has values from .* clamp them to 0\.\.1"),
    "a little below 0": (replaced(FLOATS / 255, 2, -0.01), r"images\[2\] .* clamp them to 0\.\.1"),
    "16 bits": (FLOATS * 257, r"images\[0\] has values from .* scale them"),
    "NaN": (replaced(FLOATS, 1, torch.nan), r"images\[1\] has values that are NaN or infinite"),
    "one pixel of NaN": (torch.where(torch.arange(64) == 9, torch.nan, FLOATS / 255), r"images\[0\] .* NaN"),
    "infinite": (replaced(FLOATS, 2, torch.inf), r"images\[2\] .* infinite"),
    "minus infinite": (replaced(FLOATS / 255, 0, -torch.inf), r"images\[0\] .* infinite"),
    "both ranges": (replaced(FLOATS, 1, FLOATS[1] / 255), r"images\[1\] is in 0\.\.1, and others .* 0\.\.255"),
    "both ranges, bytes last": (replaced(FLOATS / 255, 2, FLOATS[2]), r"images\[0\] is in 0\.\.1"),
    "int64": (BYTES.long(), "uint8, 0 to 255 .* torch.int64"),
    "int8": (BYTES.char(), "uint8, 0 to 255 .* torch.int8"),
    "bool": (BYTES > 127, "uint8, 0 to 255 .* torch.bool"),
    "complex": (FLOATS.to(torch.complex64), "uint8, 0 to 255 .* torch.complex64"),
    "channels last": (BYTES.permute(0, 2, 3, 1), r"\(3, 64, 64, 3\); the channels are last: images.permute"),
    "one channel": (BYTES[:, :1], r"\(3, 1, 64, 64\); for one grey channel: images.expand"),
    "four channels": (torch.cat([BYTES, BYTES[:, :1]], 1), r"batch 3 row col; theirs is \(3, 4, 64, 64\)"),
    "no batch axis": (BYTES[0], r"\(3, 64, 64\); for a single image add the batch axis: images\[None\]"),
    "no pixels": (BYTES[..., :0], r"batch 3 row col; theirs is \(3, 3, 64, 0\)"),
    "a list of tensors": (list(BYTES), "must be a tensor.* type list; torch.stack"),
    "an array": (BYTES.numpy(), "must be a tensor.* type ndarray"),
    "nothing": (None, "must be a tensor.* type NoneType"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_anything_else_is_refused_with_one_line_that_says_what_is_wanted(scenes_captioner, name):
    given, message = REFUSED[name]
    for entry in (
        lambda: scenes_captioner.caption(given),
        lambda: scenes_captioner.encode(given),
        lambda: scenes_captioner.encoder(given),
        lambda: decoding.greedy(scenes_captioner, given, scenes_captioner.vocabulary),
    ):
        with pytest.raises(ValueError, match=message) as error:
            entry()
        assert len(str(error.value).splitlines()) == 1
        assert len(str(error.value)) < 240


@pytest.mark.parametrize("name", ["normalised as ImageNet", "both ranges", "NaN", "channels last", "int64"])
def test_the_encoder_of_photographs_refuses_the_same(photos_captioner, name):
    given, message = REFUSED[name]
    for entry in (photos_captioner.encode, photos_captioner.encoder.network.classify):
        with pytest.raises(ValueError, match=message):
            entry(given)


def test_the_encoder_of_photographs_reads_floats_from_0_to_1(photos_captioner):
    with torch.inference_mode():
        wanted, given = (photos_captioner.encode(images).features for images in (BYTES, FLOATS / 255))
    torch.testing.assert_close(given, wanted, atol=1e-3, rtol=1e-3)


def test_floats_keep_their_gradient():
    captioner = models.build("scenes", Vocabulary.build(["a red star"]), "tiny")
    for images in (FLOATS.clone().requires_grad_(), (FLOATS / 255).requires_grad_()):
        captioner.encode(images).features.sum().backward()
        assert images.grad.abs().sum() > 0
