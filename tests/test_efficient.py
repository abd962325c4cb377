"""Laws of the attentions that do without the table of all scores, against the table and against slow loops."""

import math
from functools import partial

import pytest
import torch

from benchmarks.measure import count_work
from companion import attention

# Every size is another number, so that no two axes can be exchanged unnoticed.
BATCH, QUERIES, PLACES, CHANNELS, VALUE_DIM = 2, 3, 11, 4, 6


def randn(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


QUERY = randn(BATCH, QUERIES, CHANNELS)
KEYS = randn(BATCH, PLACES, CHANNELS, seed=1)
VALUES = randn(BATCH, PLACES, VALUE_DIM, seed=2)
PLACE_QUERY = randn(BATCH, PLACES, CHANNELS, seed=3)  # self-attention: as many queries as places


@pytest.mark.parametrize("block", [1, 3, 4, 11, 50])
def test_blocks_of_any_size_give_the_context_of_the_table(block):
    expected, _ = attention.scaled_dot_product(QUERY, KEYS, VALUES)
    torch.testing.assert_close(attention.blockwise(QUERY, KEYS, VALUES, block), expected)


def test_blocks_have_the_gradients_of_the_table():
    gradients = []
    for attend in (attention.blockwise, attention.scaled_dot_product):
        inputs = [x.clone().requires_grad_() for x in (QUERY, KEYS, VALUES)]
        result = attend(*inputs)
        context = result[0] if isinstance(result, tuple) else result
        context.square().sum().backward()
        gradients.append([x.grad for x in inputs])
    for ours, expected in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, expected)


def test_scores_that_would_overflow_do_not_in_blocks():
    expected, _ = attention.scaled_dot_product(1e4 * QUERY, KEYS, VALUES)
    torch.testing.assert_close(attention.blockwise(1e4 * QUERY, KEYS, VALUES, 2), expected)


@pytest.mark.parametrize("radius", [0, 1, 4, 10, 30])
def test_a_window_equals_the_table_under_a_mask_that_hides_what_is_farther(radius):
    place = torch.arange(PLACES)
    near = (place[:, None] - place).abs() <= radius
    expected, _ = attention.scaled_dot_product(PLACE_QUERY, KEYS, VALUES, near)
    torch.testing.assert_close(attention.windowed(PLACE_QUERY, KEYS, VALUES, radius), expected)


def test_linear_attention_equals_a_loop_over_all_pairs():
    expected = torch.zeros(BATCH, QUERIES, VALUE_DIM, dtype=torch.float64)
    query, keys = ((x.exp().clamp(max=1) + x.clamp(min=0)) for x in (QUERY, KEYS))  # elu(x) + 1 in other words
    for b in range(BATCH):
        for q in range(QUERIES):
            weights = torch.tensor([math.fsum(query[b, q] * keys[b, k]) for k in range(PLACES)], dtype=torch.float64)
            expected[b, q] = (weights / weights.sum()) @ VALUES[b]
    torch.testing.assert_close(attention.linear(QUERY, KEYS, VALUES), expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_in_half_precision_they_compute_in_single(dtype):
    query, keys, values = (x.to(dtype) for x in (PLACE_QUERY, KEYS, VALUES))
    for attend in (attention.blockwise, attention.linear, partial(attention.windowed, radius=3)):
        context = attend(query, keys, values)
        assert context.dtype == dtype
        exact = attend(query.double(), keys.double(), values.double())
        torch.testing.assert_close(context.double(), exact, atol=0, rtol=2 * torch.finfo(dtype).eps)


@pytest.mark.parametrize(
    ("attend", "growth"),
    [
        (attention.scaled_dot_product, 4),
        (attention.blockwise, 2),
        (partial(attention.windowed, radius=8), 2),
        (attention.linear, 2),
    ],
    ids=["table", "blockwise", "windowed", "linear"],
)
def test_with_twice_the_places_the_table_takes_four_times_the_memory_and_the_others_twice(attend, growth):
    peaks = [count_work(lambda n=n: attend(*randn(3, n, 4).unbind())).peak for n in (512, 1024)]
    assert peaks[1] / peaks[0] == pytest.approx(growth, rel=0.1)


def test_windows_and_linear_attention_need_twice_the_arithmetic_for_twice_the_places():
    for attend, growth in ((attention.blockwise, 4), (partial(attention.windowed, radius=8), 2), (attention.linear, 2)):
        flops = [count_work(lambda n=n, a=attend: a(*randn(3, n, 4).unbind())).flops for n in (512, 1024)]
        assert flops[1] / flops[0] == growth


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match="at least one place, not 0"):
        attention.blockwise(QUERY, KEYS, VALUES, 0)
    with pytest.raises(ValueError, match="0 places or more to each side, not -1"):
        attention.windowed(PLACE_QUERY, KEYS, VALUES, -1)
