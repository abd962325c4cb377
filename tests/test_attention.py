"""Laws of attention, for every function and every registered module, against slow loops and PyTorch's own."""

import copy
import inspect
import math
from typing import get_args

import pytest
import torch
from jaxtyping import TypeCheckError
from torch import nn
from torch.nn import functional as F

from companion import attention

# Every size is another number, so that no two axes can be exchanged unnoticed.
BATCH, QUERIES, PLACES, CHANNELS, KEY_DIM, HIDDEN, VALUE_DIM, HEADS = 2, 3, 5, 4, 7, 12, 6, 4


def randn(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


QUERY = randn(BATCH, QUERIES, CHANNELS)
KEYS = randn(BATCH, PLACES, CHANNELS, seed=1)
VALUES = randn(BATCH, PLACES, VALUE_DIM, seed=2)
FEATURES = randn(BATCH, PLACES, KEY_DIM, seed=3)  # keys and values of a module
MASK = torch.tensor([[[1, 1, 0, 1, 0]], [[0, 1, 1, 0, 1]]], dtype=torch.bool).repeat(1, QUERIES, 1)  # batch query place
MASK[1, 2] = torch.tensor([True, False, False, False, True])  # the queries of a picture may have different masks
CELL_STATE = randn(BATCH, QUERIES, KEY_DIM, seed=4)  # of an LSTM, for adaptive attention
COVERAGE = randn(BATCH, QUERIES, PLACES, 2, seed=5)  # features of earlier weights, for coverage attention
FUNCTIONS = {
    "dot_product": attention.dot_product,
    "scaled_dot_product": attention.scaled_dot_product,
    "additive": attention.additive,
}


def module(name):
    """Return a mechanism in eval mode, in which nothing is sampled."""
    torch.manual_seed(0)
    return attention.build(name, CHANNELS, KEY_DIM, HIDDEN).double().eval()


def needed_state(mechanism):
    """Return the keyword arguments that the mechanism needs: a cell state, and a history of two earlier words."""
    state = {"cell_state": CELL_STATE} if "cell_state" in mechanism.needs else {}
    if "history" in mechanism.needs:
        history = mechanism.init_history(FEATURES).expand(-1, QUERIES, -1, -1)
        for seed in (6, 7):
            history = mechanism.update_history(history, randn(BATCH, QUERIES, PLACES, seed=seed).softmax(-1))
        state["history"] = history
    return state


def cases():
    """Yield each function with its inputs, and each registered module with its own, as `(attend, keys, values)`."""
    for name, function in FUNCTIONS.items():
        yield pytest.param(function, KEYS, VALUES, id=f"{name}()")
    for name in attention.MECHANISMS:
        yield pytest.param(module(name), FEATURES, FEATURES, id=name)


each_mechanism = pytest.mark.parametrize(("attend", "keys", "values"), list(cases()))
each_module = pytest.mark.parametrize("name", attention.MECHANISMS)


# --- laws of all mechanisms ---------------------------------------------------------------------------------------


@each_mechanism
@pytest.mark.parametrize("mask", [None, MASK], ids=["all places", "masked"])
def test_weights_are_not_negative_and_sum_to_one_over_the_places(attend, keys, values, mask):
    context, weights = attend(QUERY, keys, values, mask)
    assert context.shape == (BATCH, QUERIES, values.shape[-1])
    assert weights.shape == (BATCH, QUERIES, PLACES)
    assert (weights >= 0).all()
    torch.testing.assert_close(weights.sum(-1), torch.ones_like(weights[..., 0]))


@each_mechanism
def test_a_masked_place_gets_exactly_zero_and_any_other_more_if_attention_is_soft(attend, keys, values):
    _, weights = attend(QUERY, keys, values, MASK)
    assert (weights[~MASK] == 0).all()
    assert (weights[MASK] > 0).all() or isinstance(attend, attention.HardAttention)


@each_mechanism
def test_masking_a_place_equals_removing_it(attend, keys, values):
    mask = torch.tensor([True, True, False, True, False])
    context, weights = attend(QUERY, keys, values, mask)
    context_without, weights_without = attend(QUERY, keys[:, mask], values[:, mask])
    torch.testing.assert_close(context, context_without)
    torch.testing.assert_close(weights[..., mask], weights_without)


@pytest.mark.filterwarnings("ignore:Anomaly Detection")
@each_mechanism
def test_a_fully_masked_query_gets_zeros_and_finite_gradients(attend, keys, values):
    mask = MASK.clone()
    mask[0, 1] = False
    inputs = [x.clone().requires_grad_() for x in (QUERY, keys, values)]
    with torch.autograd.detect_anomaly():
        context, weights = attend(*inputs, mask)
    assert (weights[0, 1] == 0).all()
    empty = attend.out_proj.bias if isinstance(attend, attention.MultiHeadAttention) else torch.zeros(values.shape[-1])
    torch.testing.assert_close(context[0, 1], empty.double())
    with torch.autograd.detect_anomaly():  # no NaN in between either
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
def test_each_query_of_each_batch_is_computed_as_if_it_were_alone(attend, keys, values):
    context, weights = attend(QUERY, keys, values, MASK)
    for b in range(BATCH):
        for q in range(QUERIES):
            alone = attend(QUERY[b, q : q + 1], keys[b], values[b], MASK[b, q : q + 1])
            torch.testing.assert_close(context[b, q], alone[0][0])
            torch.testing.assert_close(weights[b, q], alone[1][0])


@each_mechanism
@pytest.mark.parametrize("shape", [(PLACES,), (QUERIES, PLACES), (BATCH, 1, PLACES), (1, QUERIES, PLACES)])
def test_a_mask_that_broadcasts_equals_the_expanded_mask(attend, keys, values, shape):
    mask = torch.rand(shape, generator=torch.Generator().manual_seed(4)) < 0.6
    mask[..., 2] = True
    expanded = mask.expand(BATCH, QUERIES, PLACES).clone()
    torch.testing.assert_close(attend(QUERY, keys, values, mask), attend(QUERY, keys, values, expanded))


@each_mechanism
def test_the_arguments_are_not_modified(attend, keys, values):
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
        converted = copy.deepcopy(attend).to(dtype) if isinstance(attend, nn.Module) else attend
        context, weights = converted(*(x.to(dtype) * scale for x in (QUERY, keys, values)), MASK)
        assert weights.dtype == dtype
        assert context.isfinite().all()
        assert (weights[~MASK] == 0).all()
        torch.testing.assert_close(weights.float().sum(-1), torch.ones(weights.shape[:-1]), atol=0.02, rtol=0)


# --- masks --------------------------------------------------------------------------------------------------------


def test_a_masked_softmax_does_not_modify_its_arguments():
    scores, mask = randn(QUERIES, PLACES), MASK[0].clone()
    before = scores.clone()
    attention.masked_softmax(scores, mask)
    assert torch.equal(scores, before)
    assert torch.equal(mask, MASK[0])


def test_a_masked_softmax_equals_one_computed_by_hand():
    scores = torch.tensor([[math.log(1.0), math.log(3.0), 50.0, math.log(4.0)]])
    weights = attention.masked_softmax(scores, torch.tensor([True, True, False, True]))
    torch.testing.assert_close(weights, torch.tensor([[0.125, 0.375, 0.0, 0.5]]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.int64, torch.uint8])
def test_a_mask_that_is_not_boolean_is_refused_with_a_hint(dtype):
    unchecked = inspect.unwrap(attention.masked_softmax)  # without jaxtyping's checks, as outside the tests
    with pytest.raises(ValueError, match=r"boolean.*mask\.bool\(\)") as error:
        unchecked(randn(QUERIES, PLACES), torch.ones(QUERIES, PLACES, dtype=dtype))
    assert len(str(error.value).splitlines()) == 1


@each_mechanism
def test_no_mechanism_accepts_a_mask_that_is_not_boolean(attend, keys, values):
    with pytest.raises((ValueError, TypeCheckError)):
        attend(QUERY, keys, values, MASK.double())


# --- each against an independent implementation --------------------------------------------------------------------


def test_dot_product_attention_equals_a_sum_over_channels_and_places():
    context, weights = attention.dot_product(QUERY, KEYS, VALUES)
    for b in range(BATCH):
        for q in range(QUERIES):
            exps = [math.exp(sum(QUERY[b, q, i] * key[i] for i in range(CHANNELS))) for key in KEYS[b]]
            expected = torch.tensor([x / sum(exps) for x in exps], dtype=torch.float64)
            torch.testing.assert_close(weights[b, q], expected)
            torch.testing.assert_close(context[b, q], (expected[:, None] * VALUES[b]).sum(0))


@pytest.mark.parametrize("mask", [None, MASK], ids=["all places", "masked"])
@pytest.mark.parametrize(("name", "scale"), [("dot_product", 1.0), ("scaled_dot_product", CHANNELS**-0.5)])
def test_dot_product_attention_equals_pytorchs(name, scale, mask):
    expected = F.scaled_dot_product_attention(QUERY, KEYS, VALUES, mask, scale=scale)
    torch.testing.assert_close(FUNCTIONS[name](QUERY, KEYS, VALUES, mask)[0], expected)


def test_scaling_keeps_the_variance_of_a_score_at_one():
    q, k = randn(400, 256), randn(300, 256, seed=1)
    _, weights = attention.scaled_dot_product(q, k, k)
    scores = weights.log() - weights.log().mean(-1, keepdim=True)  # up to a constant per row
    assert scores.var().item() == pytest.approx(1.0, abs=0.05)


def test_additive_attention_equals_a_slow_double_loop():
    w_q, w_k, v = randn(HIDDEN, CHANNELS, seed=5), randn(HIDDEN, KEY_DIM, seed=6), randn(HIDDEN, seed=7)
    context, weights = attention.additive(QUERY, FEATURES, VALUES, query_weight=w_q, key_weight=w_k, vector=v)
    for b in range(BATCH):
        for q in range(QUERIES):
            scores = torch.stack([v.dot(torch.tanh(w_q.mv(QUERY[b, q]) + w_k.mv(key))) for key in FEATURES[b]])
            expected = scores.exp() / scores.exp().sum()
            torch.testing.assert_close(weights[b, q], expected)
            torch.testing.assert_close(context[b, q], VALUES[b].T.mv(expected))


def test_additive_attention_without_weights_has_identity_matrices_and_a_vector_of_ones():
    identity, ones = torch.eye(CHANNELS, dtype=torch.float64), torch.ones(CHANNELS, dtype=torch.float64)
    omitted = attention.additive(QUERY, KEYS, VALUES)
    explicit = attention.additive(QUERY, KEYS, VALUES, query_weight=identity, key_weight=identity, vector=ones)
    torch.testing.assert_close(omitted, explicit)


def test_the_modules_are_the_functions_on_projected_queries_and_keys():
    for name, function in (("dot", attention.dot_product), ("scaled_dot", attention.scaled_dot_product)):
        mechanism = module(name)
        q, k = QUERY @ mechanism.query_proj.weight.T, FEATURES @ mechanism.key_proj.weight.T
        torch.testing.assert_close(mechanism(QUERY, FEATURES, FEATURES, MASK), function(q, k, FEATURES, MASK))
    mechanism = module("additive")
    weights = {
        "query_weight": mechanism.query_proj.weight,
        "key_weight": mechanism.key_proj.weight,
        "vector": mechanism.score_vector,
    }
    expected = attention.additive(QUERY, FEATURES, FEATURES, MASK, **weights)
    torch.testing.assert_close(mechanism(QUERY, FEATURES, FEATURES, MASK), expected)


def test_mean_pooling_is_the_mean_of_the_unmasked_places():
    context, _ = module("mean_pooling")(QUERY, FEATURES, FEATURES)
    torch.testing.assert_close(context, FEATURES.mean(1, keepdim=True).expand_as(context))
    context, _ = module("mean_pooling")(QUERY, FEATURES, FEATURES, MASK)
    torch.testing.assert_close(context[1, 2], (FEATURES[1, 0] + FEATURES[1, 4]) / 2)


# --- multi-head attention -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("mask", [None, MASK], ids=["all places", "masked"])
def test_multi_head_attention_equals_pytorchs_on_the_same_weights(mask):
    theirs = nn.MultiheadAttention(HIDDEN, 3, batch_first=True, dtype=torch.float64)
    ours = attention.MultiHeadAttention(HIDDEN, HIDDEN, HIDDEN, heads=3).double()
    nn.init.normal_(theirs.in_proj_bias)
    parts = theirs.in_proj_weight.chunk(3), theirs.in_proj_bias.chunk(3)
    for layer, weight, bias in zip((ours.query_proj, ours.key_proj, ours.value_proj), *parts, strict=True):
        layer.load_state_dict({"weight": weight, "bias": bias})
    ours.out_proj.load_state_dict(theirs.out_proj.state_dict())
    q, k, v = randn(BATCH, QUERIES, HIDDEN), randn(BATCH, PLACES, HIDDEN, seed=1), randn(BATCH, PLACES, HIDDEN, seed=2)
    forbidden = None if mask is None else ~mask.repeat_interleave(3, 0)  # their mask is True where ours is False
    expected = theirs(q, k, v, attn_mask=forbidden, average_attn_weights=False)
    torch.testing.assert_close(ours.attend_heads(q, *ours.prepare(k, v), mask), expected)
    torch.testing.assert_close(ours(q, k, v, mask), theirs(q, k, v, attn_mask=forbidden))


def test_multi_head_attention_equals_a_loop_over_its_heads():
    mechanism, contexts = module("multi_head"), []
    projections = (mechanism.query_proj, mechanism.key_proj, mechanism.value_proj)
    for layer in projections:
        nn.init.zeros_(layer.bias)
    for w_q, w_k, w_v in zip(*(layer.weight.chunk(HEADS) for layer in projections), strict=True):
        projected = [F.linear(x, w) for x, w in ((QUERY, w_q), (FEATURES, w_k), (FEATURES, w_v))]
        contexts.append(F.scaled_dot_product_attention(*projected))
    context, _ = mechanism(QUERY, FEATURES, FEATURES)
    torch.testing.assert_close(context, mechanism.out_proj(torch.cat(contexts, -1)))


def test_the_weights_of_multi_head_attention_are_the_mean_over_its_heads():
    mechanism = module("multi_head")
    prepared = mechanism.prepare(FEATURES, FEATURES)
    context, weights = mechanism.attend(QUERY, *prepared, MASK)
    same_context, per_head = mechanism.attend_heads(QUERY, *prepared, MASK)
    assert per_head.shape == (BATCH, HEADS, QUERIES, PLACES)
    torch.testing.assert_close(context, same_context)
    torch.testing.assert_close(weights, sum(per_head[:, head] for head in range(HEADS)) / HEADS)


@pytest.mark.parametrize("mask", [None, MASK], ids=["all places", "masked"])
def test_the_weights_of_every_head_obey_the_mask_and_sum_to_one(mask):
    mechanism = module("multi_head")
    _, per_head = mechanism.attend_heads(QUERY, *mechanism.prepare(FEATURES, FEATURES), mask)
    torch.testing.assert_close(per_head.sum(-1), torch.ones_like(per_head[..., 0]))
    allowed = torch.ones_like(MASK) if mask is None else mask
    assert torch.equal(per_head > 0, allowed.unsqueeze(1).expand_as(per_head))


@pytest.mark.parametrize("mask", [None, MASK[0], MASK, MASK & False], ids=["none", "query place", "batched", "nothing"])
def test_the_fused_kernel_gives_the_same_context(mask):
    mechanism = module("multi_head")
    prepared = mechanism.prepare(FEATURES, FEATURES)
    fused = mechanism.attend_fused(QUERY, *prepared, mask)
    torch.testing.assert_close(fused, mechanism.attend(QUERY, *prepared, mask)[0])


def test_a_mask_whose_batch_is_as_large_as_the_number_of_heads_still_belongs_to_the_batch():
    mechanism, query, features = module("multi_head"), randn(HEADS, QUERIES, CHANNELS), randn(HEADS, PLACES, KEY_DIM)
    mask = torch.eye(HEADS, PLACES, dtype=torch.bool)[:, None]  # picture i may attend to place i alone
    _, per_head = mechanism.attend_heads(query, *mechanism.prepare(features, features), mask)
    assert torch.equal(per_head, mask[:, None].double().expand_as(per_head))


def test_heads_that_do_not_divide_the_hidden_channels_are_refused():
    with pytest.raises(ValueError, match=r"10 hidden channels .* 4 heads"):
        attention.MultiHeadAttention(CHANNELS, KEY_DIM, 10, heads=4)


# --- hard attention -----------------------------------------------------------------------------------------------

SCORES = randn(BATCH, QUERIES, PLACES, seed=8)


@pytest.mark.parametrize("mask", [None, MASK], ids=["all places", "masked"])
@pytest.mark.parametrize("training", [True, False], ids=["sampled", "argmax"])
def test_hard_attention_returns_the_value_of_one_place_and_weights_of_exactly_one_and_zero(training, mask):
    mechanism = module("hard").train(training)
    for _ in range(20):
        context, weights = mechanism(QUERY, FEATURES, FEATURES, mask)
        assert ((weights == 0) | (weights == 1)).all()
        assert (weights.sum(-1) == 1).all()
        assert (weights.bool() <= MASK).all() or mask is None
        torch.testing.assert_close(context, FEATURES[torch.arange(BATCH)[:, None], weights.argmax(-1)])


def test_in_eval_mode_hard_attention_is_the_argmax_of_additive_attention():
    soft, hard = module("additive"), module("hard")
    hard.load_state_dict(soft.state_dict())
    for mask in (None, MASK):
        expected = soft(QUERY, FEATURES, FEATURES, mask)[1].argmax(-1)
        assert torch.equal(hard(QUERY, FEATURES, FEATURES, mask)[1].argmax(-1), expected)


def test_places_are_sampled_with_the_probabilities_of_the_soft_weights():
    torch.manual_seed(0)
    scores, values = (x.expand(20_000, -1, -1, -1) for x in (SCORES, VALUES))
    for mask in (None, MASK):
        _, weights = attention.hard_attention(scores, values, mask, sample=True)
        expected = attention.masked_softmax(SCORES, mask)
        torch.testing.assert_close(weights.mean(0), expected, atol=0.015, rtol=0)  # four standard deviations


def test_a_sample_and_its_gradient_are_those_of_pytorchs_straight_through_gumbel_softmax():
    ours, theirs = (SCORES.clone().requires_grad_() for _ in range(2))
    torch.manual_seed(3)
    context, weights = attention.hard_attention(ours, VALUES, sample=True)
    torch.manual_seed(3)
    expected = F.gumbel_softmax(theirs, tau=1.0, hard=True)
    torch.testing.assert_close(weights, expected)
    (context * randn(*context.shape, seed=9)).sum().backward()
    ((expected @ VALUES) * randn(*context.shape, seed=9)).sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad)


@pytest.mark.filterwarnings("ignore:Anomaly Detection")
def test_sampling_a_fully_masked_query_gives_zeros_and_finite_gradients():
    mask, scores = MASK.clone(), SCORES.clone().requires_grad_()
    mask[0, 1] = False
    with torch.autograd.detect_anomaly():
        context, weights = attention.hard_attention(scores, VALUES, mask, sample=True)
        context.square().sum().backward()
    assert (weights[0, 1] == 0).all()
    assert (context[0, 1] == 0).all()
    assert (scores.grad[~mask] == 0).all()


# --- adaptive attention -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mask", [None, MASK], ids=["all places", "masked"])
def test_adaptive_attention_equals_a_softmax_over_places_and_sentinel_computed_one_by_one(mask):
    mechanism = module("adaptive")
    p = mechanism.state_dict()
    prepared = mechanism.prepare(FEATURES, FEATURES)
    context, weights = mechanism.attend(QUERY, *prepared, mask, cell_state=CELL_STATE)
    for b in range(BATCH):
        for q in range(QUERIES):
            allowed = [i for i in range(PLACES) if mask is None or mask[b, q, i]]
            gate = 1 / (1 + (-(p["gate.weight"] @ QUERY[b, q] + p["gate.bias"])).exp())
            sentinel = gate * CELL_STATE[b, q].tanh()
            projected = p["query_proj.weight"] @ QUERY[b, q]
            keys = [*(p["key_proj.weight"] @ FEATURES[b, i] for i in allowed), p["sentinel_proj.weight"] @ sentinel]
            exps = torch.stack([p["score_vector"] @ (projected + key).tanh() for key in keys]).exp()
            joint = exps / exps.sum()
            torch.testing.assert_close(weights[b, q, allowed], joint[:-1])
            torch.testing.assert_close(1 - weights[b, q].sum(), joint[-1])
            torch.testing.assert_close(context[b, q], joint[:-1] @ FEATURES[b, allowed] + joint[-1] * sentinel)


def test_a_sentinel_with_a_high_score_takes_all_weight_and_one_with_a_low_score_takes_none():
    high, low = (torch.full((BATCH, QUERIES), score, dtype=torch.float64) for score in (1e4, -1e4))
    sentinels = randn(BATCH, QUERIES, VALUE_DIM, seed=9)
    for mask in (None, MASK):
        context, weights = attention.sentinel_attention(SCORES, VALUES, high, sentinels, mask)
        assert (weights == 0).all()
        torch.testing.assert_close(context, sentinels)
        without = attention.sentinel_attention(SCORES, VALUES, low, sentinels, mask)
        torch.testing.assert_close(without, attention.attention_pooling(SCORES, VALUES, mask))


def test_a_fully_masked_query_gets_its_sentinel():
    sentinels = randn(BATCH, QUERIES, VALUE_DIM, seed=9)
    context, weights = attention.sentinel_attention(SCORES, VALUES, SCORES[..., 0], sentinels, MASK & False)
    assert (weights == 0).all()
    torch.testing.assert_close(context, sentinels)


@pytest.mark.parametrize("shape", [(PLACES,), (1, PLACES), (QUERIES, 1), (BATCH, 1, PLACES)])
def test_a_mask_that_broadcasts_also_does_so_with_a_sentinel(shape):
    mask = torch.ones(shape, dtype=torch.bool)
    mask[0] = False
    inputs = (SCORES, VALUES, SCORES[..., 0], randn(BATCH, QUERIES, VALUE_DIM, seed=9))
    expanded = mask.expand(SCORES.shape).clone()
    torch.testing.assert_close(
        attention.sentinel_attention(*inputs, mask), attention.sentinel_attention(*inputs, expanded)
    )


def test_each_query_has_a_sentinel_of_its_own():
    mechanism, other = module("adaptive"), CELL_STATE.clone()
    other[0, 1] += 1
    prepared = mechanism.prepare(FEATURES, FEATURES)
    before, _ = mechanism.attend(QUERY, *prepared, cell_state=CELL_STATE)
    after, _ = mechanism.attend(QUERY, *prepared, cell_state=other)
    assert (after != before).any(-1).nonzero().tolist() == [[0, 1]]


def test_gradients_with_a_sentinel_are_those_of_finite_differences():
    mechanism, mask = module("adaptive"), torch.tensor([[True, False], [True, True]])
    inputs = [x[:, :2].clone().requires_grad_() for x in (QUERY, FEATURES, FEATURES, CELL_STATE)]

    def attend(query, keys, values, cell_state):
        return mechanism.attend(query, *mechanism.prepare(keys, values), mask, cell_state=cell_state)

    assert torch.autograd.gradcheck(attend, inputs)


def test_without_a_cell_state_adaptive_attention_is_additive_attention():
    soft, adaptive = module("additive"), module("adaptive")
    adaptive.load_state_dict(soft.state_dict(), strict=False)
    torch.testing.assert_close(adaptive(QUERY, FEATURES, FEATURES, MASK), soft(QUERY, FEATURES, FEATURES, MASK))


# --- coverage -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mask", [None, MASK], ids=["all places", "masked"])
def test_coverage_adds_the_projected_earlier_weights_to_each_key_computed_one_by_one(mask):
    mechanism = module("coverage")
    p = mechanism.state_dict()
    context, weights = mechanism.attend(QUERY, *mechanism.prepare(FEATURES, FEATURES), mask, history=COVERAGE)
    for b in range(BATCH):
        for q in range(QUERIES):
            allowed = [i for i in range(PLACES) if mask is None or mask[b, q, i]]
            projected = p["query_proj.weight"] @ QUERY[b, q]
            keys = [p["key_proj.weight"] @ FEATURES[b, i] for i in allowed]
            features = [p["coverage_proj.weight"] @ COVERAGE[b, q, i] for i in allowed]
            energy = [projected + key + feature for key, feature in zip(keys, features, strict=True)]
            expected = torch.stack([p["score_vector"] @ e.tanh() for e in energy]).softmax(0)
            torch.testing.assert_close(weights[b, q, allowed], expected)
            torch.testing.assert_close(context[b, q], expected @ FEATURES[b, allowed])


@pytest.mark.parametrize("history", [None, torch.zeros_like(COVERAGE)], ids=["no history", "before the first word"])
def test_coverage_attention_without_earlier_weights_is_additive_attention(history):
    soft, coverage = module("additive"), module("coverage")
    coverage.load_state_dict(soft.state_dict(), strict=False)
    prepared = coverage.prepare(FEATURES, FEATURES)
    torch.testing.assert_close(
        coverage.attend(QUERY, *prepared, MASK, history=history), soft(QUERY, FEATURES, FEATURES, MASK)
    )


def test_the_history_of_coverage_is_the_last_weights_and_the_sum_of_all():
    coverage = module("coverage")
    weights = randn(4, BATCH, QUERIES, PLACES).softmax(-1)
    history = coverage.init_history(FEATURES)
    assert (history == 0).all()
    for word in range(4):
        history = coverage.update_history(history.expand(-1, QUERIES, -1, -1), weights[word])
        torch.testing.assert_close(history, torch.stack([weights[word], weights[: word + 1].sum(0)], -1))


# --- modules ------------------------------------------------------------------------------------------------------


@each_module
def test_preparing_once_and_attending_per_word_equals_doing_both(name):
    mechanism = module(name)
    prepared = mechanism.prepare(FEATURES, FEATURES)
    context, weights = mechanism(QUERY, FEATURES, FEATURES, MASK)
    for q in range(QUERIES):
        one = mechanism.attend(QUERY[:, q : q + 1], *prepared, MASK[:, q : q + 1])
        torch.testing.assert_close(one[0], context[:, q : q + 1])
        torch.testing.assert_close(one[1], weights[:, q : q + 1])


@each_module
def test_attend_is_typed_with_shapes_and_returns_weights_batch_query_place(name):
    mechanism = module(name)
    signature = inspect.signature(mechanism.attend)
    assert get_args(signature.return_annotation)[1].dim_str == "*batch query place"
    for parameter in signature.parameters.values():
        annotation = parameter.annotation
        assert any(hasattr(option, "dim_str") for option in (annotation, *get_args(annotation))), parameter
    prepared = mechanism.prepare(FEATURES, FEATURES)
    for mask in (None, MASK):
        context, weights = mechanism.attend(QUERY, *prepared, mask, **needed_state(mechanism))
        assert context.shape == (BATCH, QUERIES, KEY_DIM)
        assert weights.shape == (BATCH, QUERIES, PLACES)


@each_module
def test_a_mechanism_refuses_state_that_it_does_not_need(name):
    mechanism = module(name)
    prepared = mechanism.prepare(FEATURES, FEATURES)
    for unneeded in {"cell_state": CELL_STATE, "history": COVERAGE, "mood": None}.items():
        if unneeded[0] not in mechanism.needs:
            with pytest.raises(TypeError):
                mechanism.attend(QUERY, *prepared, **dict([unneeded]))


@each_module
def test_only_a_mechanism_that_needs_a_history_has_one(name):
    mechanism = module(name)
    if "history" in mechanism.needs:
        history = mechanism.init_history(FEATURES)
        assert (history.shape[:3]) == (BATCH, 1, PLACES)
        weights = randn(BATCH, 1, PLACES).softmax(-1)
        assert mechanism.update_history(history, weights).shape == history.shape
    else:
        with pytest.raises(NotImplementedError, match="history"):
            mechanism.init_history(FEATURES)


@pytest.mark.parametrize("name", [name for name in attention.MECHANISMS if list(module(name).parameters())])
def test_every_parameter_that_shapes_the_context_has_a_gradient(name):
    mechanism = module(name).train()
    context, _ = mechanism.attend(QUERY, *mechanism.prepare(FEATURES, FEATURES), **needed_state(mechanism))
    context.square().sum().backward()
    without = {key for key, x in mechanism.named_parameters() if x.grad is None or x.grad.abs().max() < 1e-9}
    assert without <= {"key_proj.bias"}  # it adds the same to all scores of a query


def test_the_base_classes_compute_nothing():
    with pytest.raises(NotImplementedError, match="MECHANISMS"):
        attention.Attention()(QUERY, KEYS, VALUES)
    with pytest.raises(NotImplementedError, match="score function"):
        attention.ProjectedAttention(CHANNELS, KEY_DIM, HIDDEN).double()(QUERY, FEATURES, FEATURES)


def test_an_unknown_name_is_refused_and_the_choices_are_listed():
    with pytest.raises(ValueError, match="'dott'") as error:
        attention.build("dott", CHANNELS, KEY_DIM, HIDDEN)
    assert all(name in str(error.value) for name in attention.MECHANISMS)


# --- shapes: those that must pass beside those that must be refused ---------------------------------------------------

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
        with pytest.raises((TypeCheckError, RuntimeError)):  # its channels may differ if it has matrices, not here
            function(*inputs)
    else:
        with pytest.raises(TypeCheckError):
            function(*inputs)


@pytest.mark.parametrize("shape", [(PLACES + 1,), (PLACES, QUERIES), (BATCH + 1, QUERIES, PLACES)])
@each_mechanism
def test_a_mask_of_another_shape_is_refused(attend, keys, values, shape):
    with pytest.raises((TypeCheckError, RuntimeError)):
        attend(QUERY, keys, values, torch.ones(shape, dtype=torch.bool))


def test_a_self_attention_block_equals_pytorchs_encoder_layer():
    """The same parameters in both: pre-norm, GELU, a feed-forward network twice as wide, no dropout."""
    torch.manual_seed(0)
    block = attention.SelfAttentionBlock(HIDDEN, HEADS)
    layer = nn.TransformerEncoderLayer(
        HIDDEN, HEADS, 2 * HIDDEN, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
    )
    own = block.self_attention
    projections = (own.query_proj, own.key_proj, own.value_proj)
    with torch.no_grad():
        layer.self_attn.in_proj_weight.copy_(torch.cat([projection.weight for projection in projections]))
        layer.self_attn.in_proj_bias.copy_(torch.cat([projection.bias for projection in projections]))
    pairs = {layer.self_attn.out_proj: own.out_proj, layer.linear1: block.feed_forward[0]}
    pairs |= {layer.linear2: block.feed_forward[2], layer.norm1: block.norms[0], layer.norm2: block.norms[1]}
    for theirs, ours in pairs.items():
        theirs.load_state_dict(ours.state_dict())
    x = randn(BATCH, PLACES, HIDDEN, dtype=torch.float32)
    assert torch.allclose(block(x), layer(x), atol=1e-5)
    assert torch.equal(own.key_proj.weight, own.query_proj.weight)  # a similarity, before training
