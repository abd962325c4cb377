"""Half, bfloat16 and double precision: every mechanism stays finite, and every captioner captions."""

import copy

import pytest
import torch
from torch.nn import functional as F

from companion import attention, checkpoints, decoders, decoding, models, scenes
from companion.vocabulary import Vocabulary

KINDS = {"half": torch.float16, "bfloat16": torch.bfloat16, "double": torch.float64}
SMALL = [torch.float16, torch.bfloat16]
IMAGES = scenes.image_tensor(scenes.make_dataset("test", 3))
each_kind = pytest.mark.parametrize("kind", KINDS)
each_small = pytest.mark.parametrize("dtype", SMALL, ids=str)


# --- attention ----------------------------------------------------------------------------------------------------


def test_a_product_that_leaves_the_range_of_float16_is_finite_as_in_pytorchs_kernel():
    """q . k = 102400, divided by 8; the largest number of float16 is 65504."""
    query, keys, values = (torch.full((1, n, 64), 40.0).half() for n in (1, 3, 3))
    context, weights = attention.scaled_dot_product(query, keys, values)
    torch.testing.assert_close(context, F.scaled_dot_product_attention(query, keys, values))
    torch.testing.assert_close(weights, torch.full((1, 1, 3), 1 / 3).half())


@each_small
@pytest.mark.parametrize("size", [0.1, 1, 10, 60])
@pytest.mark.parametrize("masked", [False, True])
def test_scaled_dot_product_equals_pytorchs_fused_kernel(dtype, size, masked):
    generator = torch.Generator().manual_seed(0)
    query, keys, values = ((size * torch.randn(2, n, 64, generator=generator)).to(dtype) for n in (4, 7, 7))
    mask = (torch.rand(2, 4, 7, generator=generator) < 0.6) if masked else None
    if masked:
        mask[..., 3], mask[1, 2] = True, False
    ours, weights = attention.scaled_dot_product(query, keys, values, mask)
    assert ours.dtype == weights.dtype == dtype
    theirs = F.scaled_dot_product_attention(query, keys, values, mask)
    torch.testing.assert_close(ours, theirs, atol=2e-2 * size, rtol=2e-2)


@pytest.mark.parametrize("name", ["dot_product", "scaled_dot_product", "additive"])
@pytest.mark.parametrize("masked", [False, True])
def test_functions_in_float16_equal_those_in_float32_at_the_edge_of_the_range(name, masked):
    """Scores beyond 65504, and a row in which they are beyond it while the only other place is masked."""
    query = torch.full((1, 2, 512), 250.0).half()
    keys = torch.stack([torch.full((512,), x) for x in (-250.0, -200.0, 30000.0)])[None].half()
    values = torch.tensor([[[65504.0, 0], [0, 65504.0], [-65504.0, 1]]]).half()
    mask = torch.tensor([[[True, True, False], [False, False, False]]]) if masked else None
    function = getattr(attention, name)
    ours, theirs = function(query, keys, values, mask), function(query.float(), keys.float(), values.float(), mask)
    for half, single in zip(ours, theirs, strict=True):
        assert half.dtype == torch.float16
        assert half.isfinite().all()
        torch.testing.assert_close(half, single.half())


@each_small
@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize("name", attention.MECHANISMS)
def test_a_fully_masked_row_and_large_inputs_stay_finite_in_every_mechanism(name, mode, dtype):
    torch.manual_seed(0)
    mechanism = attention.build(name, 8, 8, 16).to(dtype).train(mode == "train")
    query, features = (100 * torch.randn(2, n, 8)).to(dtype), (100 * torch.randn(2, 6, 8)).to(dtype)
    mask = torch.ones(2, n, 6, dtype=torch.bool)
    mask[0, 1] = False
    for _ in range(20):  # hard attention samples
        context, weights = mechanism(query, features, features, mask)
        assert context.dtype == weights.dtype == dtype
        assert context.isfinite().all()
        assert (weights[0, 1] == 0).all()
        torch.testing.assert_close(weights[1].float().sum(-1), torch.ones(n), atol=0.02, rtol=0)


n = 3  # queries


@each_small
def test_a_sentinel_in_small_precision(dtype):
    mechanism = attention.build("adaptive", 8, 8, 16).to(dtype)
    query, features, cell = (torch.randn(2, k, 8).to(dtype) for k in (n, 6, n))
    context, weights = mechanism.attend(query, *mechanism.prepare(features, features), cell_state=cell)
    assert context.dtype == weights.dtype == dtype
    assert (weights.float().sum(-1) < 1).all()


# --- captioners -----------------------------------------------------------------------------------------------------


@each_kind
def test_the_captioner_of_scenes_captions(scenes_captioner, kind):
    captions = getattr(copy.deepcopy(scenes_captioner), kind)().caption(IMAGES)
    expected = scenes_captioner.caption(IMAGES)
    assert len(captions) == 3
    assert sum(one.text == other.text for one, other in zip(captions, expected, strict=True)) >= 2
    for caption in captions:
        assert caption.weights.dtype in (torch.float32, torch.float64)  # NumPy and the figures know no bfloat16
        assert caption.weights.sum((1, 2)).sub(1).abs().max() < 0.02


@each_kind
def test_the_captioner_of_photographs_captions(photos_captioner, kind):
    (caption,) = getattr(copy.deepcopy(photos_captioner), kind)().caption(IMAGES[:1], 2)
    assert len(caption.words) > 3
    if kind == "double":
        assert caption.text == photos_captioner.caption(IMAGES[:1], 2)[0].text


@each_kind
@pytest.mark.parametrize(
    ("decoder", "mechanism", "members"),
    [
        *((name, mechanism, 1) for name, cls in decoders.DECODERS.items() for mechanism in cls.mechanisms),
        *((name, None, 2) for name in decoders.DECODERS),
    ],
)
def test_every_decoder_and_mechanism_captions(decoder, mechanism, members, kind):
    torch.manual_seed(0)
    vocabulary = Vocabulary.build(["there is a red star"])
    single = models.build("scenes", vocabulary, "tiny", attention=mechanism, decoder=decoder, decoders=members)
    single.decoder.requires_grad_(False)
    model = getattr(copy.deepcopy(single), kind)()
    assert len(model.caption(IMAGES, 2, max_words=3)) == 3
    grid = single.encode(IMAGES)  # in another precision
    greedy = decoding.greedy(model, grid, vocabulary, max_words=3)
    samples = decoding.sample(model, grid, vocabulary, count=2, max_words=3, temperature=1e-4)
    assert [len(several) for several in samples] == [2, 2, 2]
    assert all(c.log_probability > -100 for c in greedy)
    step = model(IMAGES, torch.ones(3, 1, 4, dtype=torch.long))
    assert step.logits.isfinite().all()


@each_kind
def test_a_captioner_in_another_precision_is_saved_as_any_other(tmp_path, kind):
    torch.manual_seed(0)
    model = models.build("scenes", Vocabulary.build(["a red star"]), "tiny").eval()
    checkpoints.save(getattr(model, kind)(), tmp_path, {})
    loaded = checkpoints.load(tmp_path)
    assert {x.dtype for x in loaded.parameters()} == {torch.float32}
    assert len(loaded.caption(IMAGES, 2, max_words=3)) == 3
