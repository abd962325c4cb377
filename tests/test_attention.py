"""The laws of attention, for every function and every module, against slow loops and against PyTorch's own."""

import copy
import inspect
import math

import pytest
import torch
from jaxtyping import TypeCheckError
from torch import nn
from torch.nn import functional as F

from companion import attention, averages, mechanisms

# Every size is another number, so that no two axes can be swapped unnoticed.
BATCH, QUERIES, PLACES, CHANNELS, KEY_DIM, HIDDEN, VALUE_DIM, HEADS = 2, 3, 5, 4, 7, 12, 6, 4


def draw(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


QUERY = draw(BATCH, QUERIES, CHANNELS)
KEYS = draw(BATCH, PLACES, CHANNELS, seed=1)
VALUES = draw(BATCH, PLACES, VALUE_DIM, seed=2)
FEATURES = draw(BATCH, PLACES, KEY_DIM, seed=3)  # what a module attends to: keys and values alike
MASK = torch.tensor([[[1, 1, 0, 1, 0]], [[0, 1, 1, 0, 1]]], dtype=torch.bool).repeat(1, QUERIES, 1)  # batch query place
MASK[1, 2] = torch.tensor([True, False, False, False, True])  # one query may look elsewhere than the others
MEMORY = draw(BATCH, QUERIES, KEY_DIM, seed=4)  # of an LSTM, for adaptive attention
LOOKED = draw(BATCH, QUERIES, PLACES, 2, seed=5)  # the weights of before, for coverage
OWN = {"adaptive": {"memory": MEMORY}, "coverage": {"looked": LOOKED}}  # what these alone are given
FUNCTIONS = {
    "dot_product": attention.dot_product,
    "scaled_dot_product": attention.scaled_dot_product,
    "additive": attention.additive,
}


def module(name):
    """A mechanism in eval mode, in which none draws anything."""
    torch.manual_seed(0)
    return mechanisms.build(name, CHANNELS, KEY_DIM, HIDDEN).double().eval()


def cases():
    """Each mechanism as `(attend, keys, values)`: a function with its inputs or a module with its own."""
    for name, function in FUNCTIONS.items():
        yield pytest.param(function, KEYS, VALUES, id=name)
    for name in mechanisms.MECHANISMS:
        yield pytest.param(module(name), FEATURES, FEATURES, id=type(module(name)).__name__)


each_mechanism = pytest.mark.parametrize(("attend", "keys", "values"), list(cases()))
each_module = pytest.mark.parametrize("name", mechanisms.MECHANISMS)


def per_head(mask, weights):
    """A mask over batch query place as it falls on weights that may have an axis of heads."""
    return (mask.unsqueeze(1) if weights.ndim == 4 else mask).expand_as(weights)


# --- laws of all mechanisms ---------------------------------------------------------------------------------------


@each_mechanism
@pytest.mark.parametrize("mask", [None, MASK], ids=["all places", "masked"])
def test_weights_are_not_negative_and_sum_to_one_over_the_places(attend, keys, values, mask):
    context, weights = attend(QUERY, keys, values, mask)
    assert context.shape == (BATCH, QUERIES, values.shape[-1])
    assert weights.shape[-2:] == (QUERIES, PLACES)
    assert (weights >= 0).all()
    torch.testing.assert_close(weights.sum(-1), torch.ones_like(weights[..., 0]))


@each_mechanism
def test_a_masked_place_gets_exactly_zero_and_any_other_more_if_attention_is_soft(attend, keys, values):
    _, weights = attend(QUERY, keys, values, MASK)
    allowed = per_head(MASK, weights)
    assert (weights[~allowed] == 0).all()
    assert (weights[allowed] > 0).all() or isinstance(attend, attention.HardAttention)


@each_mechanism
def test_a_masked_place_is_as_good_as_absent(attend, keys, values):
    hidden = torch.tensor([True, True, False, True, False])
    context, weights = attend(QUERY, keys, values, hidden)
    without, fewer = attend(QUERY, keys[:, hidden], values[:, hidden])
    torch.testing.assert_close(context, without)
    torch.testing.assert_close(weights[..., hidden], fewer)


@pytest.mark.filterwarnings("ignore:Anomaly Detection")
@each_mechanism
def test_a_query_with_nothing_to_attend_to_gets_zeros_and_finite_gradients(attend, keys, values):
    mask = MASK.clone()
    mask[0, 1] = False
    inputs = [x.clone().requires_grad_() for x in (QUERY, keys, values)]
    with torch.autograd.detect_anomaly():
        context, weights = attend(*inputs, mask)
    assert (weights[0].select(-2, 1) == 0).all()
    nothing = attend.out.bias if isinstance(attend, attention.MultiHeadAttention) else torch.zeros(values.shape[-1])
    torch.testing.assert_close(context[0, 1], nothing.double())
    with torch.autograd.detect_anomaly():  # not a NaN on the way either
        (context.square().sum() + weights.square().sum()).backward()
    assert all(x.grad is None or x.grad.isfinite().all() for x in inputs)
    assert inputs[2].grad.abs().sum() > 0


@each_mechanism
def test_shuffling_the_places_shuffles_the_weights_and_leaves_the_context_alone(attend, keys, values):
    order = torch.tensor([3, 0, 4, 1, 2])
    context, weights = attend(QUERY, keys, values, MASK)
    shuffled_context, shuffled_weights = attend(QUERY, keys[:, order], values[:, order], MASK[..., order])
    torch.testing.assert_close(shuffled_context, context)
    torch.testing.assert_close(shuffled_weights, weights[..., order])


@each_mechanism
def test_each_query_and_each_batch_is_answered_as_if_it_were_alone(attend, keys, values):
    context, weights = attend(QUERY, keys, values, MASK)
    for b in range(BATCH):
        for q in range(QUERIES):
            alone = attend(QUERY[b, q : q + 1], keys[b], values[b], MASK[b, q : q + 1])
            torch.testing.assert_close(context[b, q], alone[0][0])
            torch.testing.assert_close(weights[b].select(-2, q), alone[1].select(-2, 0))


@each_mechanism
@pytest.mark.parametrize("shape", [(PLACES,), (QUERIES, PLACES), (BATCH, 1, PLACES), (1, QUERIES, PLACES)])
def test_a_mask_that_broadcasts_counts_as_the_whole_mask(attend, keys, values, shape):
    small = torch.rand(shape, generator=torch.Generator().manual_seed(4)) < 0.6
    small[..., 2] = True
    whole = small.expand(BATCH, QUERIES, PLACES).clone()
    for few, all_ in zip(attend(QUERY, keys, values, small), attend(QUERY, keys, values, whole), strict=True):
        torch.testing.assert_close(few, all_)


@each_mechanism
def test_the_callers_tensors_are_not_written_to(attend, keys, values):
    inputs = (QUERY.clone(), keys.clone(), values.clone(), MASK.clone())
    attend(*inputs)
    for after, before in zip(inputs, (QUERY, keys, values, MASK), strict=True):
        assert torch.equal(after, before)


@each_mechanism
def test_gradients_are_those_of_finite_differences(attend, keys, values):
    inputs = [x[:, :2].clone().requires_grad_() for x in (QUERY, keys, values)]
    mask = torch.tensor([[True, False], [True, True]])
    assert torch.autograd.gradcheck(lambda *x: attend(*x, mask), inputs)


@each_mechanism
def test_scores_far_apart_or_in_half_precision_stay_finite(attend, keys, values):
    for scale, dtype in ((1e6, torch.float32), (10, torch.bfloat16), (10, torch.float16)):
        cast = copy.deepcopy(attend).to(dtype) if isinstance(attend, nn.Module) else attend
        context, weights = cast(*(x.to(dtype) * scale for x in (QUERY, keys, values)), MASK)
        assert weights.dtype == dtype
        assert context.isfinite().all()
        assert (weights[~per_head(MASK, weights)] == 0).all()
        torch.testing.assert_close(weights.float().sum(-1), torch.ones(weights.shape[:-1]), atol=0.02, rtol=0)


# --- masks --------------------------------------------------------------------------------------------------------


def test_a_masked_softmax_leaves_the_scores_and_the_mask_alone():
    scores, mask = draw(QUERIES, PLACES), MASK[0].clone()
    before = scores.clone()
    attention.masked_softmax(scores, mask)
    assert torch.equal(scores, before)
    assert torch.equal(mask, MASK[0])


def test_a_masked_softmax_equals_one_worked_out_by_hand():
    scores = torch.tensor([[math.log(1.0), math.log(3.0), 50.0, math.log(4.0)]])
    weights = attention.masked_softmax(scores, torch.tensor([True, True, False, True]))
    torch.testing.assert_close(weights, torch.tensor([[0.125, 0.375, 0.0, 0.5]]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.int64, torch.uint8])
def test_a_mask_that_is_not_boolean_is_refused_with_a_hint(dtype):
    unchecked = inspect.unwrap(attention.masked_softmax)  # as outside the tests, where shapes and types go unchecked
    with pytest.raises(ValueError, match=r"boolean.*mask\.bool\(\)") as caught:
        unchecked(draw(QUERIES, PLACES), torch.ones(QUERIES, PLACES, dtype=dtype))
    assert len(str(caught.value).splitlines()) == 1


@each_mechanism
def test_no_mechanism_takes_a_mask_that_is_not_boolean(attend, keys, values):
    with pytest.raises((ValueError, TypeCheckError)):
        attend(QUERY, keys, values, MASK.double())


# --- each against an independent witness --------------------------------------------------------------------------


def test_dot_product_attention_equals_a_sum_over_channels_and_places():
    context, weights = attention.dot_product(QUERY, KEYS, VALUES)
    for b in range(BATCH):
        for q in range(QUERIES):
            power = [math.exp(sum(QUERY[b, q, i] * key[i] for i in range(CHANNELS))) for key in KEYS[b]]
            expected = torch.tensor([p / sum(power) for p in power], dtype=torch.float64)
            torch.testing.assert_close(weights[b, q], expected)
            torch.testing.assert_close(context[b, q], (expected[:, None] * VALUES[b]).sum(0))


@pytest.mark.parametrize("mask", [None, MASK], ids=["all places", "masked"])
@pytest.mark.parametrize(("name", "scale"), [("dot_product", 1.0), ("scaled_dot_product", CHANNELS**-0.5)])
def test_dot_products_equal_pytorchs_attention(name, scale, mask):
    theirs = F.scaled_dot_product_attention(QUERY, KEYS, VALUES, mask, scale=scale)
    torch.testing.assert_close(FUNCTIONS[name](QUERY, KEYS, VALUES, mask)[0], theirs)


def test_scaling_keeps_the_variance_of_a_score_at_one():
    q, k = draw(400, 256), draw(300, 256, seed=1)
    _, weights = attention.scaled_dot_product(q, k, k)
    scores = weights.log() - weights.log().mean(-1, keepdim=True)  # up to a constant a row
    assert scores.var().item() == pytest.approx(1.0, abs=0.05)


def test_additive_attention_equals_a_slow_double_loop():
    w_q, w_k, v = draw(HIDDEN, CHANNELS, seed=5), draw(HIDDEN, KEY_DIM, seed=6), draw(HIDDEN, seed=7)
    context, weights = attention.additive(QUERY, FEATURES, VALUES, query_weight=w_q, key_weight=w_k, vector=v)
    for b in range(BATCH):
        for q in range(QUERIES):
            scores = torch.stack([v.dot(torch.tanh(w_q.mv(QUERY[b, q]) + w_k.mv(key))) for key in FEATURES[b]])
            expected = scores.exp() / scores.exp().sum()
            torch.testing.assert_close(weights[b, q], expected)
            torch.testing.assert_close(context[b, q], VALUES[b].T.mv(expected))


def test_additive_attention_without_weights_adds_query_and_key_as_they_are():
    same, ones = torch.eye(CHANNELS, dtype=torch.float64), torch.ones(CHANNELS, dtype=torch.float64)
    plain = attention.additive(QUERY, KEYS, VALUES)
    spelt = attention.additive(QUERY, KEYS, VALUES, query_weight=same, key_weight=same, vector=ones)
    torch.testing.assert_close(plain, spelt)


def test_the_modules_are_the_functions_on_projected_queries_and_keys():
    for name, function in (("dot", attention.dot_product), ("scaled_dot", attention.scaled_dot_product)):
        made = module(name)
        q, k = QUERY @ made.query.weight.T, FEATURES @ made.key.weight.T
        torch.testing.assert_close(made(QUERY, FEATURES, FEATURES, MASK), function(q, k, FEATURES, MASK))
    made = module("additive")
    weights = {"query_weight": made.query.weight, "key_weight": made.key.weight, "vector": made.vector}
    expected = attention.additive(QUERY, FEATURES, FEATURES, MASK, **weights)
    torch.testing.assert_close(made(QUERY, FEATURES, FEATURES, MASK), expected)


def test_mean_pooling_is_the_mean_of_the_places_that_are_allowed():
    context, _ = module("mean")(QUERY, FEATURES, FEATURES)
    torch.testing.assert_close(context, FEATURES.mean(1, keepdim=True).expand_as(context))
    context, _ = module("mean")(QUERY, FEATURES, FEATURES, MASK)
    torch.testing.assert_close(context[1, 2], (FEATURES[1, 0] + FEATURES[1, 4]) / 2)


@pytest.mark.parametrize("mask", [None, MASK], ids=["all places", "masked"])
def test_multi_head_attention_equals_pytorchs_on_the_same_weights(mask):
    theirs = nn.MultiheadAttention(HIDDEN, 3, batch_first=True, dtype=torch.float64)
    ours = attention.MultiHeadAttention(HIDDEN, HIDDEN, HIDDEN, heads=3).double()
    nn.init.normal_(theirs.in_proj_bias)
    parts = theirs.in_proj_weight.chunk(3), theirs.in_proj_bias.chunk(3)
    for layer, weight, bias in zip((ours.query, ours.key, ours.value), *parts, strict=True):
        layer.load_state_dict({"weight": weight, "bias": bias})
    ours.out.load_state_dict(theirs.out_proj.state_dict())
    q, k, v = draw(BATCH, QUERIES, HIDDEN), draw(BATCH, PLACES, HIDDEN, seed=1), draw(BATCH, PLACES, HIDDEN, seed=2)
    context, weights = ours(q, k, v, mask)
    forbidden = None if mask is None else ~mask.repeat_interleave(3, 0)  # theirs is True where one may not look
    expected = theirs(q, k, v, attn_mask=forbidden, average_attn_weights=False)
    torch.testing.assert_close(context, expected[0])
    torch.testing.assert_close(weights, expected[1])


def test_multi_head_attention_equals_a_loop_over_its_heads():
    made, contexts = module("multi_head"), []
    for layer in (made.query, made.key, made.value):
        nn.init.zeros_(layer.bias)
    for q, k, v in zip(*(layer.weight.chunk(HEADS) for layer in (made.query, made.key, made.value)), strict=True):
        rows = [F.linear(x, w) for x, w in ((QUERY, q), (FEATURES, k), (FEATURES, v))]
        contexts.append(F.scaled_dot_product_attention(*rows))
    torch.testing.assert_close(made(QUERY, FEATURES, FEATURES)[0], made.out(torch.cat(contexts, -1)))


@pytest.mark.parametrize("mask", [None, MASK[0], MASK, MASK & False], ids=["none", "query place", "batched", "nothing"])
def test_the_fused_kernel_gives_the_same_context(mask):
    made = module("multi_head")
    prepared = made.prepare(FEATURES, FEATURES)
    torch.testing.assert_close(made.fused(QUERY, *prepared, mask), made.attend(QUERY, *prepared, mask)[0])


def test_a_batch_as_large_as_the_number_of_heads_does_not_lend_its_mask_to_the_heads():
    made, query, features = module("multi_head"), draw(HEADS, QUERIES, CHANNELS), draw(HEADS, PLACES, KEY_DIM)
    mask = torch.eye(HEADS, PLACES, dtype=torch.bool)[:, None]  # picture i may look at place i alone
    _, weights = made(query, features, features, mask)
    assert torch.equal(weights, mask[:, None].double().expand_as(weights))


# --- hard attention -----------------------------------------------------------------------------------------------

SCORES = draw(BATCH, QUERIES, PLACES, seed=8)


@pytest.mark.parametrize("mask", [None, MASK], ids=["all places", "masked"])
@pytest.mark.parametrize("training", [True, False], ids=["drawn", "likeliest"])
def test_hard_attention_gives_the_value_of_one_place_and_weights_of_exactly_one_and_zero(training, mask):
    made = module("hard").train(training)
    for _ in range(20):
        context, weights = made(QUERY, FEATURES, FEATURES, mask)
        assert ((weights == 0) | (weights == 1)).all()
        assert (weights.sum(-1) == 1).all()
        assert (weights.bool() <= MASK).all() or mask is None
        torch.testing.assert_close(context, FEATURES[torch.arange(BATCH)[:, None], weights.argmax(-1)])


def test_in_eval_mode_hard_attention_looks_where_additive_attention_looks_most():
    soft, hard = module("additive"), module("hard")
    hard.load_state_dict(soft.state_dict())
    for mask in (None, MASK):
        most = soft(QUERY, FEATURES, FEATURES, mask)[1].argmax(-1)
        assert torch.equal(hard(QUERY, FEATURES, FEATURES, mask)[1].argmax(-1), most)


def test_places_are_drawn_as_often_as_the_soft_weights_say():
    torch.manual_seed(0)
    scores = SCORES.unsqueeze(0).expand(20_000, -1, -1, -1)
    values, mask = VALUES.expand(20_000, -1, -1, -1), MASK
    for masked in (None, mask):
        _, weights = averages.one_place(scores, values, masked, draw=True)
        expected = averages.masked_softmax(SCORES, masked)
        torch.testing.assert_close(weights.mean(0), expected, atol=0.015, rtol=0)  # four standard deviations


def test_a_draw_and_its_gradient_are_those_of_pytorchs_straight_through_gumbel_softmax():
    ours, theirs = (SCORES.clone().requires_grad_() for _ in range(2))
    torch.manual_seed(3)
    context, weights = averages.one_place(ours, VALUES, draw=True)
    torch.manual_seed(3)
    expected = F.gumbel_softmax(theirs, tau=1.0, hard=True)
    torch.testing.assert_close(weights, expected)
    (context * draw(*context.shape, seed=9)).sum().backward()
    ((expected @ VALUES) * draw(*context.shape, seed=9)).sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad)


@pytest.mark.filterwarnings("ignore:Anomaly Detection")
def test_a_draw_among_no_places_gives_zeros_and_finite_gradients():
    mask, scores = MASK.clone(), SCORES.clone().requires_grad_()
    mask[0, 1] = False
    with torch.autograd.detect_anomaly():
        context, weights = averages.one_place(scores, VALUES, mask, draw=True)
        context.square().sum().backward()
    assert (weights[0, 1] == 0).all()
    assert (context[0, 1] == 0).all()
    assert (scores.grad[~mask] == 0).all()


# --- adaptive attention -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mask", [None, MASK], ids=["all places", "masked"])
def test_adaptive_attention_equals_a_softmax_over_the_places_and_the_sentinel_worked_out_one_by_one(mask):
    made = module("adaptive")
    p = made.state_dict()
    context, weights = made.attend(QUERY, *made.prepare(FEATURES, FEATURES), mask, memory=MEMORY)
    for b in range(BATCH):
        for q in range(QUERIES):
            seen = [i for i in range(PLACES) if mask is None or mask[b, q, i]]
            gate = 1 / (1 + (-(p["gate.weight"] @ QUERY[b, q] + p["gate.bias"])).exp())
            sentinel = gate * MEMORY[b, q].tanh()
            asked = p["query.weight"] @ QUERY[b, q]
            keys = [*(p["key.weight"] @ FEATURES[b, i] for i in seen), p["sentinel.weight"] @ sentinel]
            power = torch.stack([p["vector"] @ (asked + key).tanh() for key in keys]).exp()
            share = power / power.sum()
            torch.testing.assert_close(weights[b, q, seen], share[:-1])
            torch.testing.assert_close(1 - weights[b, q].sum(), share[-1])
            torch.testing.assert_close(context[b, q], share[:-1] @ FEATURES[b, seen] + share[-1] * sentinel)


def test_a_sentinel_that_wins_leaves_the_places_nothing_and_one_that_loses_leaves_them_all():
    values, sentinels = VALUES, draw(BATCH, QUERIES, VALUE_DIM, seed=9)
    for mask in (None, MASK):
        context, weights = averages.beside_sentinel(
            SCORES, values, torch.full((BATCH, QUERIES), 1e4).double(), sentinels, mask
        )
        assert (weights == 0).all()
        torch.testing.assert_close(context, sentinels)
        lost = averages.beside_sentinel(SCORES, values, torch.full((BATCH, QUERIES), -1e4).double(), sentinels, mask)
        torch.testing.assert_close(lost, averages.weighted_average(SCORES, values, mask))


def test_a_query_with_every_place_masked_gets_its_sentinel():
    sentinels = draw(BATCH, QUERIES, VALUE_DIM, seed=9)
    context, weights = averages.beside_sentinel(SCORES, VALUES, SCORES[..., 0], sentinels, MASK & False)
    assert (weights == 0).all()
    torch.testing.assert_close(context, sentinels)


@pytest.mark.parametrize("shape", [(PLACES,), (1, PLACES), (QUERIES, 1), (BATCH, 1, PLACES)])
def test_a_mask_that_broadcasts_does_so_beside_a_sentinel(shape):
    small = torch.ones(shape, dtype=torch.bool)
    small[0] = False
    inputs = (SCORES, VALUES, SCORES[..., 0], draw(BATCH, QUERIES, VALUE_DIM, seed=9))
    whole = small.expand(SCORES.shape).clone()
    torch.testing.assert_close(averages.beside_sentinel(*inputs, small), averages.beside_sentinel(*inputs, whole))


def test_a_sentinel_is_each_querys_own():
    made, other = module("adaptive"), MEMORY.clone()
    other[0, 1] += 1
    prepared = made.prepare(FEATURES, FEATURES)
    changed = made.attend(QUERY, *prepared, memory=other)[0] != made.attend(QUERY, *prepared, memory=MEMORY)[0]
    assert changed.any(-1).nonzero().tolist() == [[0, 1]]


def test_gradients_beside_a_sentinel_are_those_of_finite_differences():
    made = module("adaptive")
    inputs = [x[:, :2].clone().requires_grad_() for x in (QUERY, FEATURES, FEATURES, MEMORY)]

    def attend(query, keys, values, memory):
        return made.attend(
            query, *made.prepare(keys, values), torch.tensor([[True, False], [True, True]]), memory=memory
        )

    assert torch.autograd.gradcheck(attend, inputs)


def test_without_a_memory_adaptive_attention_is_additive_attention():
    soft, adaptive = module("additive"), module("adaptive")
    adaptive.load_state_dict(soft.state_dict(), strict=False)
    torch.testing.assert_close(adaptive(QUERY, FEATURES, FEATURES, MASK), soft(QUERY, FEATURES, FEATURES, MASK))


# --- coverage -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mask", [None, MASK], ids=["all places", "masked"])
def test_coverage_adds_what_each_place_got_before_to_its_key_worked_out_one_by_one(mask):
    made = module("coverage")
    p = made.state_dict()
    context, weights = made.attend(QUERY, *made.prepare(FEATURES, FEATURES), mask, looked=LOOKED)
    for b in range(BATCH):
        for q in range(QUERIES):
            seen = [i for i in range(PLACES) if mask is None or mask[b, q, i]]
            asked = p["query.weight"] @ QUERY[b, q]
            energy = [
                asked + p["key.weight"] @ FEATURES[b, i] + p["looked.weight"] @ LOOKED[b, q, i] for i in seen
            ]  # fmt: skip
            share = torch.stack([p["vector"] @ e.tanh() for e in energy]).softmax(0)
            torch.testing.assert_close(weights[b, q, seen], share)
            torch.testing.assert_close(context[b, q], share @ FEATURES[b, seen])


@pytest.mark.parametrize("looked", [None, torch.zeros_like(LOOKED)], ids=["unasked", "nowhere yet"])
def test_who_has_looked_nowhere_looks_as_additive_attention_does(looked):
    soft, coverage = module("additive"), module("coverage")
    coverage.load_state_dict(soft.state_dict(), strict=False)
    prepared = coverage.prepare(FEATURES, FEATURES)
    torch.testing.assert_close(
        coverage.attend(QUERY, *prepared, MASK, looked=looked), soft(QUERY, FEATURES, FEATURES, MASK)
    )


# --- modules ------------------------------------------------------------------------------------------------------


@each_module
def test_preparing_once_and_attending_per_word_equals_doing_both(name):
    made = module(name)
    prepared = made.prepare(FEATURES, FEATURES)
    context, weights = made(QUERY, FEATURES, FEATURES, MASK)
    for q in range(QUERIES):
        one = made.attend(QUERY[:, q : q + 1], *prepared, MASK[:, q : q + 1])
        torch.testing.assert_close(one[0], context[:, q : q + 1])
        torch.testing.assert_close(one[1], weights[..., q : q + 1, :])


@pytest.mark.parametrize("name", [name for name in mechanisms.MECHANISMS if name != "mean"])
def test_every_matrix_that_shapes_the_context_learns(name):
    made = module(name).train()
    made.attend(QUERY, *made.prepare(FEATURES, FEATURES), **OWN.get(name, {}))[0].square().sum().backward()
    still = {key for key, x in made.named_parameters() if x.grad is None or x.grad.abs().max() < 1e-9}
    assert still <= {"key.bias"}  # it lifts all scores of a query alike


def test_an_unknown_name_is_refused_and_the_choices_are_listed():
    with pytest.raises(ValueError, match="'dott'") as caught:
        mechanisms.build("dott", CHANNELS, KEY_DIM, HIDDEN)
    assert all(name in str(caught.value) for name in mechanisms.MECHANISMS)


def test_heads_that_do_not_divide_the_hidden_units_are_refused():
    with pytest.raises(ValueError, match=r"10 hidden units .* 4 heads"):
        attention.MultiHeadAttention(CHANNELS, KEY_DIM, 10, heads=4)


# --- shapes: what must pass, and beside it what must be refused ---------------------------------------------------

SHAPES = {
    "a batch": ([(2, 3, 4), (2, 5, 4), (2, 5, 6)], True),
    "no batch": ([(3, 4), (5, 4), (5, 6)], True),
    "two batch axes": ([(2, 7, 3, 4), (2, 7, 5, 4), (2, 7, 5, 6)], True),
    "one query, one place": ([(1, 4), (1, 4), (1, 6)], True),
    "no axis of queries": ([(4,), (5, 4), (5, 6)], False),
    "other channels in the keys": ([(3, 4), (5, 3), (5, 6)], False),
    "other places in the values": ([(3, 4), (5, 4), (7, 6)], False),
    "keys the wrong way round": ([(3, 4), (4, 5), (5, 6)], False),
    "other batches": ([(2, 3, 4), (7, 5, 4), (7, 5, 6)], False),
    "a batch of one": ([(2, 3, 4), (1, 5, 4), (1, 5, 6)], False),
    "a batch in the query alone": ([(2, 3, 4), (5, 4), (5, 6)], False),
}


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
@pytest.mark.parametrize(("shapes", "passes"), SHAPES.values(), ids=SHAPES)
def test_shapes(function, shapes, passes):
    inputs = [torch.ones(shape) for shape in shapes]
    if passes:
        context, weights = function(*inputs)
        assert (context.shape, weights.shape) == ((*shapes[0][:-1], shapes[2][-1]), (*shapes[0][:-1], shapes[2][-2]))
    elif function is attention.additive and shapes[1][-1] != shapes[0][-1]:
        with pytest.raises((TypeCheckError, RuntimeError)):  # its matrices make them equal; here there are none
            function(*inputs)
    else:
        with pytest.raises(TypeCheckError):
            function(*inputs)


@pytest.mark.parametrize("shape", [(PLACES + 1,), (PLACES, QUERIES), (BATCH + 1, QUERIES, PLACES)])
@each_mechanism
def test_a_mask_of_another_shape_is_refused(attend, keys, values, shape):
    with pytest.raises((TypeCheckError, RuntimeError)):
        attend(QUERY, keys, values, torch.ones(shape, dtype=torch.bool))
