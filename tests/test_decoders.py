"""A decoder computes the same stepped or in one pass, alone or in a batch, and attends where its query points.

The laws run over every decoder of `decoders.DECODERS` with every mechanism that it supports.
"""

import ast
import copy
import inspect
import math

import pytest
import torch
from jaxtyping import TypeCheckError
from torch.nn import functional as F

from companion import attention, decoders
from companion.decoders import DECODERS, Ensemble, State, TransformerDecoder
from companion.encoders import Grid
from tests.helpers import run_steps

# Every size is another number; the hidden width is a multiple of the number of heads.
BATCH, BEAMS, WORDS, PLACES, CHANNELS, HIDDEN, VOCAB = 2, 3, 5, 6, 7, 16, 11
SINGLE = [f"{decoder} {mechanism}" for decoder, cls in DECODERS.items() for mechanism in cls.mechanisms]
ENSEMBLES = ["2 x lstm coverage", *(f"2 x {decoder} {cls.default_attention}" for decoder, cls in DECODERS.items())]
each_decoder = pytest.mark.parametrize("name", [*SINGLE, *ENSEMBLES])


def make(name, dropout=0.4, seed=0):
    """Return a decoder, or an ensemble of two, in eval mode and in double precision."""
    torch.manual_seed(seed)
    if name.startswith("2 x "):
        member = name.removeprefix("2 x ")
        return Ensemble([make(member, dropout, seed), make(member, dropout, seed + 1)]).eval()
    decoder, mechanism = name.split()
    module = DECODERS[decoder](VOCAB, CHANNELS, HIDDEN, attention=mechanism, dropout=dropout)
    return module.double().eval().requires_grad_(False)


def inputs(seed=1):
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(BATCH, PLACES, CHANNELS, generator=generator, dtype=torch.float64)
    return Grid(features, 2, 3), torch.randint(4, VOCAB, (BATCH, BEAMS, WORDS), generator=generator)


def run_stepwise(decoder, grid, tokens):
    """Return the logits and weights of one step per word, and the last state."""
    steps = run_steps(decoder, grid, tokens)
    return torch.stack([s.logits for s in steps], 2), torch.stack([s.weights for s in steps], 2), steps[-1].state


# --- laws of all decoders -----------------------------------------------------------------------------------------


@each_decoder
def test_stepping_equals_teacher_forcing(name):
    decoder, (grid, tokens) = make(name), inputs()
    logits, weights, state = run_stepwise(decoder, grid, tokens)
    teacher_forced = decoder(grid, tokens)
    assert teacher_forced.logits.shape == (BATCH, BEAMS, WORDS, VOCAB)
    assert teacher_forced.weights.shape == (BATCH, BEAMS, WORDS, PLACES)
    torch.testing.assert_close(logits, teacher_forced.logits)
    torch.testing.assert_close(weights, teacher_forced.weights)
    torch.testing.assert_close(state.carry, teacher_forced.state.carry)


@each_decoder
def test_changing_a_word_changes_every_later_prediction_and_no_earlier_one(name):
    decoder, (grid, tokens) = make(name), inputs()
    for word in range(WORDS):
        other = tokens.clone()
        other[:, :, word] = 4 + (tokens[:, :, word] - 3) % (VOCAB - 4)
        before, after = decoder(grid, tokens), decoder(grid, other)
        torch.testing.assert_close(after.logits[:, :, :word], before.logits[:, :, :word])
        torch.testing.assert_close(after.weights[:, :, :word], before.weights[:, :, :word])
        changes = (after.logits - before.logits)[:, :, word:].abs().amax(-1)
        assert (changes > 1e-6).all()


@each_decoder
def test_padding_changes_no_prediction_before_it(name):
    decoder, (grid, tokens) = make(name), inputs()
    short, padded = tokens[..., :3], F.pad(tokens[..., :3], (0, 2))  # <pad> has the id 0
    torch.testing.assert_close(decoder(grid, padded).logits[:, :, :3], decoder(grid, short).logits)
    torch.testing.assert_close(decoder(grid, padded).weights[:, :, :3], decoder(grid, short).weights)


@each_decoder
def test_captions_of_one_picture_are_independent_of_each_other(name):
    decoder, (grid, tokens) = make(name), inputs()
    together = decoder(grid, tokens)
    order = torch.tensor([2, 0, 1])
    shuffled = decoder(grid, tokens[:, order])
    torch.testing.assert_close(shuffled.logits, together.logits[:, order])
    torch.testing.assert_close(shuffled.weights, together.weights[:, order])
    for beam in range(BEAMS):
        alone = decoder(grid, tokens[:, beam : beam + 1])
        torch.testing.assert_close(alone.logits[:, 0], together.logits[:, beam])
        torch.testing.assert_close(alone.weights[:, 0], together.weights[:, beam])


@each_decoder
def test_pictures_of_one_batch_are_independent_of_each_other(name):
    decoder, (grid, tokens) = make(name), inputs()
    together = decoder(grid, tokens)
    for i in range(BATCH):
        alone = decoder(grid._replace(features=grid.features[i : i + 1]), tokens[i : i + 1])
        torch.testing.assert_close(alone.logits[0], together.logits[i])
        torch.testing.assert_close(alone.weights[0], together.weights[i])


@each_decoder
def test_weights_are_not_negative_and_sum_to_one_over_the_places_or_to_less_with_a_sentinel(name):
    weights = make(name)(*inputs()).weights
    assert (weights >= 0).all()
    if name == "lstm adaptive":
        assert (weights.sum(-1) < 1).all()
    else:
        torch.testing.assert_close(weights.sum(-1), torch.ones(BATCH, BEAMS, WORDS, dtype=torch.float64))


@each_decoder
def test_shuffling_the_places_shuffles_the_weights_and_leaves_the_logits_alone(name):
    decoder, (grid, tokens) = make(name), inputs()
    order = torch.tensor([4, 0, 5, 2, 1, 3])
    before, after = decoder(grid, tokens), decoder(grid._replace(features=grid.features[:, order]), tokens)
    torch.testing.assert_close(after.logits, before.logits)
    torch.testing.assert_close(after.weights, before.weights[..., order])


@each_decoder
def test_the_logits_depend_on_the_picture(name):
    decoder, (grid, tokens) = make(name), inputs()
    other = decoder(grid._replace(features=grid.features.flip(0)), tokens)
    assert ((other.logits - decoder(grid, tokens).logits).abs().amax(-1) > 1e-6).all()


@each_decoder
def test_a_search_may_reorder_select_and_expand_hypotheses_between_words(name):
    decoder, (grid, tokens) = make(name), inputs()
    parents = torch.tensor([[2, 2, 0, 1], [1, 0, 0, 2]])
    _, _, state = run_stepwise(decoder, grid, tokens[..., :3])
    step = decoder.step(torch.full((1, 4), 6), state.reorder(parents).select(torch.tensor([1])))
    prefixes = torch.cat([tokens[1:, [1, 0, 0, 2], :3], torch.full((1, 4, 1), 6)], dim=-1)
    expected = decoder(grid._replace(features=grid.features[1:]), prefixes)
    torch.testing.assert_close(step.logits, expected.logits[:, :, -1])
    torch.testing.assert_close(step.weights, expected.weights[:, :, -1])


@each_decoder
def test_a_step_does_not_modify_its_state(name):
    decoder, (grid, tokens) = make(name), inputs()
    state = decoders.expand_beams(decoder.start(grid), BEAMS)
    before = copy.deepcopy(state)
    decoder.step(tokens[..., 0], state)
    torch.testing.assert_close(state, before, rtol=0, atol=0)


@each_decoder
def test_dropout_is_active_in_training_mode_and_not_in_eval_mode(name):
    decoder, (grid, tokens) = make(name), inputs()
    torch.testing.assert_close(decoder(grid, tokens).logits, decoder(grid, tokens).logits, rtol=0, atol=0)
    decoder.train()
    assert not torch.allclose(decoder(grid, tokens).logits, decoder(grid, tokens).logits)


def tied(module):
    """Return the groups of names under which a state dict lists one and the same tensor."""
    names = {}
    for name, tensor in module.state_dict().items():
        names.setdefault(tensor.data_ptr(), []).append(name)
    return [group for group in names.values() if len(group) > 1]


@each_decoder
def test_tied_matrices_are_still_tied_after_copying_and_loading(name):
    decoder, copied = make(name), copy.deepcopy(make(name, seed=7))
    copied.load_state_dict(decoder.state_dict())
    assert tied(copied) == tied(decoder)
    torch.testing.assert_close(copied.state_dict(), decoder.state_dict(), rtol=0, atol=0)


@pytest.mark.parametrize("name", ["lstm additive", "transformer multi_head"])
def test_the_embedding_and_the_output_projection_are_one_matrix(name):
    decoder = make(name)
    assert decoder.output_proj.weight is decoder.embed.weight
    assert [x.shape for x in decoder.parameters()].count((VOCAB, HIDDEN)) == 1
    assert tied(decoder) == [["embed.weight", "output_proj.weight"]]


@each_decoder
def test_every_parameter_has_a_gradient(name):
    decoder, (grid, tokens) = make(name, dropout=0.0).requires_grad_(True).train(), inputs()
    F.cross_entropy(decoder(grid, tokens).logits.flatten(0, 2), tokens.roll(-1, 2).flatten()).backward()
    without = {key for key, x in decoder.named_parameters() if x.grad is None or x.grad.abs().max() < 1e-9}
    # The bias of the keys adds the same to all scores of a query. Mean pooling does not use its query.
    exempt = ("key_proj.bias", "word_to_query.weight") if name == "lstm mean_pooling" else ("key_proj.bias",)
    assert {key for key in without if not key.endswith(exempt)} == set()


@each_decoder
def test_axes_in_the_wrong_order_are_refused(name):
    decoder, (grid, tokens) = make(name), inputs()
    with pytest.raises((TypeCheckError, RuntimeError)):
        decoder(grid, tokens[:, 0])
    with pytest.raises((TypeCheckError, RuntimeError)):
        decoder(grid, tokens.transpose(0, 1))
    with pytest.raises((TypeCheckError, RuntimeError)):
        decoder.step(tokens, decoder.start(grid))


# --- ensembles ----------------------------------------------------------------------------------------------------


def test_the_log_probabilities_and_weights_of_an_ensemble_are_the_mean_of_its_members():
    ensemble, (grid, tokens) = make("2 x lstm coverage"), inputs()
    one, other = (decoder(grid, tokens) for decoder in ensemble.decoders)
    mean = ensemble(grid, tokens)
    torch.testing.assert_close(mean.weights, (one.weights + other.weights) / 2)
    torch.testing.assert_close(mean.logits, (one.logits.log_softmax(-1) + other.logits.log_softmax(-1)) / 2)
    assert not torch.allclose(one.logits, other.logits)


def test_an_ensemble_of_equal_decoders_predicts_what_one_predicts():
    alone, (grid, tokens) = make("lstm additive"), inputs()
    for count in (2, 3):
        mean = Ensemble([alone] * count)(grid, tokens)
        torch.testing.assert_close(mean.logits, alone(grid, tokens).logits.log_softmax(-1))
        torch.testing.assert_close(mean.weights, alone(grid, tokens).weights)


def test_splitting_a_merged_state_gives_the_states_back():
    grid, _ = inputs()
    states = [make("lstm coverage", seed=seed).start(grid) for seed in range(3)]
    for split, state in zip(decoders.split_states(decoders.merge_states(states), 3), states, strict=True):
        torch.testing.assert_close(split, state, rtol=0, atol=0)


# --- the interface between decoders and mechanisms ----------------------------------------------------------------


@pytest.mark.parametrize("needs", [(), ("cell_state",), ("history",), ("cell_state", "history")], ids=" ".join)
def test_the_lstm_decoder_passes_what_a_mechanism_needs_and_nothing_else(needs, monkeypatch):
    calls = []

    class Spy(attention.ScaledDotProductAttention):
        """A mechanism that records its keyword arguments, and whose history is the weights of all words so far."""

        def init_history(self, keys):
            return keys.new_zeros(len(keys), 1, keys.shape[-2], 1)

        def update_history(self, history, weights):
            return history + weights.unsqueeze(-1)

        def attend(self, query, keys, values, mask=None, **state):
            calls.append(state)
            return super().attend(query, keys, values, mask)

    Spy.needs = frozenset(needs)
    monkeypatch.setitem(attention.MECHANISMS, "spy", Spy)
    decoder, (grid, tokens) = make("lstm spy"), inputs()
    state = decoders.expand_beams(decoder.start(grid), BEAMS)
    total = torch.zeros(BATCH, BEAMS, PLACES, dtype=torch.float64)
    for word in range(3):
        step = decoder.step(tokens[..., word], state)
        assert set(calls[-1]) == set(needs)
        if "cell_state" in needs:
            assert calls[-1]["cell_state"] is state.carry[1]
        if "history" in needs:
            torch.testing.assert_close(calls[-1]["history"], total.unsqueeze(-1))
        total, state = total + step.weights, step.state
    assert len(calls) == 3


def test_a_mechanism_that_needs_what_the_decoder_does_not_have_is_refused(monkeypatch):
    class Demanding(attention.DotProductAttention):
        needs = frozenset({"cell_state", "gaze"})

    monkeypatch.setitem(attention.MECHANISMS, "demanding", Demanding)
    with pytest.raises(ValueError, match="'demanding' needs gaze"):
        make("lstm demanding")


def test_no_decoder_asks_what_class_its_mechanism_is():
    """A mechanism declares its needs: `isinstance` in a decoder would have to be extended with every mechanism."""
    for module in (decoders.base, decoders.lstm, decoders.transformer, decoders.prefix, decoders.ensemble):
        names = {node.id for node in ast.walk(ast.parse(inspect.getsource(module))) if isinstance(node, ast.Name)}
        assert not names & {"isinstance", "issubclass", "type", "AdaptiveAttention", "CoverageAttention"}


def test_the_transformer_decoder_refuses_every_other_attention():
    for mechanism in attention.MECHANISMS:
        if mechanism != "multi_head":
            with pytest.raises(ValueError, match=f"'multi_head' alone, not '{mechanism}'"):
                TransformerDecoder(VOCAB, CHANNELS, HIDDEN, attention=mechanism)


@pytest.mark.parametrize("decoder", DECODERS)
def test_every_decoder_declares_its_mechanisms_and_follows_the_protocol(decoder):
    declared = DECODERS[decoder]
    assert declared.default_attention in declared.mechanisms
    assert set(declared.mechanisms) <= attention.MECHANISMS.keys()
    module = make(f"{decoder} {declared.default_attention}")
    assert isinstance(module, decoders.Decoder)
    if declared.supports_alignment:
        assert module.context_logits(torch.zeros(4, HIDDEN, dtype=torch.float64)).shape == (4, VOCAB)
        grid = Grid(torch.zeros(2, 4, CHANNELS, dtype=torch.float64), 2, 2)
        assert module.input_proj(grid).shape == (2, 4, HIDDEN)


# --- attending to the place that the query names ------------------------------------------------------------------

TARGETS = torch.tensor([[4, 1, 3], [0, 5, 2]])  # for each picture and hypothesis, the place to attend to
HIDDEN_STATE = 10 * F.one_hot(TARGETS, HIDDEN).double()  # the hidden state of a hypothesis names its place


@pytest.mark.parametrize("mechanism", ["dot", "scaled_dot", "multi_head"])
def test_a_hypothesis_attends_to_the_place_whose_key_is_like_its_query(mechanism):
    decoder, channels = make(f"lstm {mechanism}"), HIDDEN // 2
    decoder.attention.query_proj.weight.copy_(torch.eye(channels, HIDDEN))  # the first half of the hidden state
    keys = (10 * torch.eye(PLACES, channels, dtype=torch.float64)).expand(BATCH, -1, -1)
    values = torch.zeros(BATCH, PLACES, HIDDEN, dtype=torch.float64)
    if mechanism == "multi_head":  # four heads of two channels: place p differs from the others in one head alone
        decoder.attention.query_proj.bias.zero_()
        keys, values = (decoder.attention.split_heads(x) for x in (keys, values[..., :channels]))
    state = State((keys, values), (HIDDEN_STATE, HIDDEN_STATE))
    weights = decoder.step(torch.full((BATCH, BEAMS), 4), state).weights
    assert torch.equal(weights.argmax(-1), TARGETS)
    if mechanism != "multi_head":
        assert (weights.amax(-1) > 0.99).all()


def test_additive_attention_attends_to_the_place_whose_key_fits_its_query():
    decoder, channels = make("lstm additive"), HIDDEN // 2
    decoder.attention.query_proj.weight.copy_(torch.eye(channels, HIDDEN))
    decoder.attention.score_vector.fill_(20.0)
    # In the channel that the query names, the right place gives tanh(10 + 0), the others tanh(10 - 20).
    keys = -20 * (1 - torch.eye(PLACES, channels, dtype=torch.float64)).expand(BATCH, -1, -1)
    values = torch.zeros(BATCH, PLACES, HIDDEN, dtype=torch.float64)
    state = State((keys, values), (HIDDEN_STATE, HIDDEN_STATE))
    weights = decoder.step(torch.full((BATCH, BEAMS), 4), state).weights
    assert torch.equal(weights.argmax(-1), TARGETS)
    assert (weights.amax(-1) > 0.99).all()


def test_the_transformer_returns_the_weights_of_its_last_block_and_they_follow_its_keys():
    decoder, (grid, tokens) = make("transformer multi_head"), inputs()
    last = decoder.blocks[-1].cross_attention
    last.query_proj.weight.zero_()
    last.query_proj.bias.fill_(1.0)  # the query of every word is a vector of ones
    state = decoders.expand_beams(decoder.start(grid), BEAMS)
    keys = torch.zeros_like(state.memory[2])  # batch head place channel
    keys[0, :, 4], keys[1, :, 1] = 20.0, 20.0
    memory = (*state.memory[:2], keys, state.memory[3])
    weights = decoder.step(tokens[..., 0], state._replace(memory=memory)).weights
    assert weights.argmax(-1).tolist() == [[4] * BEAMS, [1] * BEAMS]
    assert (weights.amax(-1) > 0.99).all()


def test_the_weights_of_several_heads_are_their_mean():
    decoder, (grid, tokens) = make("lstm multi_head"), inputs()
    state = decoders.expand_beams(decoder.start(grid), BEAMS)
    query = state.carry[0] + decoder.word_to_query(decoder.embed_tokens(tokens[..., 0]))
    _, per_head = decoder.attention.attend_heads(query, *state.memory)
    mean = sum(per_head[:, head] for head in range(4)) / 4
    torch.testing.assert_close(decoder.step(tokens[..., 0], state).weights, mean)


# --- hard, adaptive and coverage attention ------------------------------------------------------------------------


def test_hard_attention_selects_one_place_per_word_sampled_in_training_and_fixed_in_eval_mode():
    decoder, (grid, tokens) = make("lstm hard", dropout=0.0), inputs()
    fixed = decoder(grid, tokens).weights
    assert torch.equal(decoder(grid, tokens).weights, fixed)
    decoder.train()
    torch.manual_seed(0)
    samples = [decoder(grid, tokens).weights for _ in range(5)]
    for weights in (fixed, *samples):
        assert ((weights == 0) | (weights == 1)).all()
        assert (weights.sum(-1) == 1).all()
    assert not all(torch.equal(weights, samples[0]) for weights in samples)
    torch.manual_seed(0)
    assert torch.equal(decoder(grid, tokens).weights, samples[0])


def test_captions_of_one_picture_sample_their_places_independently():
    decoder, (grid, tokens) = make("lstm hard", dropout=0.0).train(), inputs()
    torch.manual_seed(0)
    weights = decoder(grid, tokens[:, :1].expand(-1, 50, -1)).weights
    assert (weights[:, :, 0].amax(1).sum(-1) > 1).all()  # at the first word all fifty have the same scores


def test_the_sentinel_of_a_step_is_made_of_the_cell_state_before_the_step():
    decoder, (grid, tokens) = make("lstm adaptive"), inputs()
    state = decoders.expand_beams(decoder.start(grid), BEAMS)
    hidden, cell = state.carry
    query = hidden + decoder.word_to_query(decoder.embed_tokens(tokens[..., 0]))
    _, weights = decoder.attention.attend(query, *state.memory, cell_state=cell)
    torch.testing.assert_close(decoder.step(tokens[..., 0], state).weights, weights)


def test_with_all_weight_on_the_sentinel_the_logits_do_not_depend_on_the_values():
    decoder, (grid, tokens) = make("lstm adaptive"), inputs()
    decoder.attention.key_proj.weight.zero_()
    decoder.attention.query_proj.weight.zero_()  # the score of a place is 0
    decoder.attention.score_vector.fill_(1e3)
    decoder.attention.sentinel_proj.weight.copy_(torch.eye(HIDDEN // 2, HIDDEN))
    state = decoders.expand_beams(decoder.start(grid), BEAMS)
    state = state._replace(carry=(state.carry[0], state.carry[1].abs() + 1))  # a sentinel and its score above 0
    step = decoder.step(tokens[..., 0], state)
    assert (step.weights == 0).all()
    keys, values = (torch.randn_like(x) for x in state.memory)
    other = decoder.step(tokens[..., 0], state._replace(memory=(keys, values)))
    assert not torch.allclose(other.logits, step.logits)  # with other keys a place can have weight again
    other = decoder.step(tokens[..., 0], state._replace(memory=(state.memory[0], values)))
    torch.testing.assert_close(other.logits, step.logits)


def test_coverage_gets_the_weights_of_the_last_word_and_the_sum_over_all_words():
    decoder, (grid, tokens) = make("lstm coverage"), inputs()
    weights = decoder(grid, tokens).weights
    state = decoders.expand_beams(decoder.start(grid), BEAMS)
    assert (state.carry[2] == 0).all()
    for word in range(WORDS):
        query = state.carry[0] + decoder.word_to_query(decoder.embed_tokens(tokens[..., word]))
        before = weights[:, :, :word]
        last = before[:, :, -1] if word else torch.zeros_like(weights[:, :, 0])
        history = torch.stack([last, before.sum(2)], -1)
        _, expected = decoder.attention.attend(query, *state.memory, history=history)
        step = decoder.step(tokens[..., word], state)
        torch.testing.assert_close(step.weights, expected)
        state = step.state


# --- the LSTM decoder's equations ---------------------------------------------------------------------------------


def test_one_step_equals_the_equations_of_the_docstring_computed_one_by_one():
    decoder, (grid, tokens) = make("lstm additive"), inputs()
    decoder.embed_scale.fill_(1.7)  # it starts at one, which would hide whether it is used
    p = decoder.state_dict()
    normed = [F.layer_norm(place, (CHANNELS,)) for place in grid.features[1]]
    a = torch.stack([F.relu(p["input_proj.1.weight"] @ place + p["input_proj.1.bias"]) for place in normed])
    h, c = torch.tanh(p["init_state.weight"] @ a.mean(0) + p["init_state.bias"]).split(HIDDEN)
    w_q, w_k, v = p["attention.query_proj.weight"], p["attention.key_proj.weight"], p["attention.score_vector"]
    word = p["embed.weight"][tokens[1, 2, 0]] * p["embed_scale"]
    query = h + p["word_to_query.weight"] @ word
    alpha = torch.stack([v @ torch.tanh(w_q @ query + w_k @ place) for place in a]).softmax(0)
    z = torch.sigmoid(p["gate.weight"] @ h + p["gate.bias"]) * (alpha @ a)
    gates = p["cell.weight_ih"] @ torch.cat([word, z]) + p["cell.bias_ih"] + p["cell.weight_hh"] @ h + p["cell.bias_hh"]
    i, f, g, o = gates.split(HIDDEN)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    h = torch.sigmoid(o) * torch.tanh(c)
    deep = word + p["from_hidden.weight"] @ h + p["from_hidden.bias"] + p["from_context.weight"] @ z
    step = decoder.step(tokens[..., 0], decoders.expand_beams(decoder.start(grid), BEAMS))
    torch.testing.assert_close(step.weights[1, 2], alpha)
    torch.testing.assert_close(step.state.carry[0][1, 2], h)
    torch.testing.assert_close(step.state.carry[1][1, 2], c)
    torch.testing.assert_close(step.logits[1, 2], p["embed.weight"] @ torch.tanh(deep) + p["output_proj.bias"])


def test_the_logits_of_a_context_alone_are_those_of_the_output_layer_without_word_and_hidden_state():
    decoder, context = make("lstm additive"), torch.randn(4, HIDDEN, dtype=torch.float64)
    p = decoder.state_dict()
    expected = torch.tanh(context @ p["from_context.weight"].T) @ p["embed.weight"].T + p["output_proj.bias"]
    torch.testing.assert_close(decoder.context_logits(context), expected)


def test_a_closed_gate_hides_the_context_and_has_one_value_per_channel():
    decoder, (grid, tokens) = make("lstm additive"), inputs()
    decoder.gate.weight.zero_()
    decoder.gate.bias.fill_(-1e4)
    state = decoders.expand_beams(decoder.start(grid), BEAMS)
    states = (state, state._replace(memory=tuple(x.flip(0) for x in state.memory)))
    one, other = (decoder.step(tokens[..., 0], each).logits for each in states)
    torch.testing.assert_close(one, other)
    decoder.gate.bias[HIDDEN // 2] = 1e4
    one, other = (decoder.step(tokens[..., 0], each).logits for each in states)
    assert not torch.allclose(one, other)


# --- the transformer's parts --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("words", "seen"), [(4, 4), (1, 4), (2, 5), (1, 1)])
def test_each_of_the_last_words_attends_to_itself_and_to_earlier_words(words, seen):
    table = [[position <= seen - words + row for position in range(seen)] for row in range(words)]
    assert decoders.causal_mask(words, seen, torch.device("cpu")).tolist() == table


def test_positions_are_sines_and_cosines_of_decreasing_frequency_from_any_start():
    encoding = decoders.sinusoidal_positions(3, 4, 6, torch.device("cpu"))
    for row, word in enumerate(range(3, 7)):
        angles = [word / 10_000 ** (2 * i / 6) for i in range(3)]
        assert encoding[row].tolist() == pytest.approx([*map(math.sin, angles), *map(math.cos, angles)], abs=1e-6)


def test_the_transformer_distinguishes_two_orders_of_the_same_words():
    decoder, (grid, _) = make("transformer multi_head"), inputs()
    one, other = torch.tensor([[[4, 5, 6, 7]]] * BATCH), torch.tensor([[[5, 4, 6, 7]]] * BATCH)
    assert not torch.allclose(decoder(grid, one).logits[:, :, -1], decoder(grid, other).logits[:, :, -1])


def test_any_number_of_words_may_be_read_after_a_state():
    decoder, (grid, tokens) = make("transformer multi_head"), inputs()
    first = decoder(grid, tokens[..., :2])
    rest = decoder.decode_chunk(tokens[..., 2:], first.state)
    torch.testing.assert_close(rest.logits, decoder(grid, tokens).logits[:, :, 2:])


# --- State --------------------------------------------------------------------------------------------------------


def table_state():
    """Return a state with a number per picture in the memory and one per hypothesis in the carry: tens are pictures."""
    picture = torch.arange(2)[:, None]
    hypothesis = 10 * picture + torch.arange(3)
    return State((picture,), (hypothesis, hypothesis[..., None].expand(2, 3, 4) + 100))


def test_reorder_replaces_hypotheses_by_their_parents_and_leaves_the_memory():
    state = table_state().reorder(torch.tensor([[2, 0, 0], [1, 1, 2]]))
    assert state.memory[0].tolist() == [[0], [1]]
    assert state.carry[0].tolist() == [[2, 0, 0], [11, 11, 12]]
    assert state.carry[1][..., 3].tolist() == [[102, 100, 100], [111, 111, 112]]


@pytest.mark.parametrize("parents", [[[2], [1]], [[0, 1, 2, 2], [2, 1, 0, 0]]], ids=["narrower", "wider"])
def test_reorder_may_change_the_width_of_the_beam(parents):
    expected = [[10 * picture + parent for parent in row] for picture, row in enumerate(parents)]
    assert table_state().reorder(torch.tensor(parents)).carry[0].tolist() == expected


def test_select_takes_the_pictures_from_the_memory_and_from_the_carry():
    state = table_state().select(torch.tensor([1]))
    assert state.memory[0].tolist() == [[1]]
    assert state.carry[0].tolist() == [[10, 11, 12]]
    assert state.carry[1].shape == (1, 3, 4)


def test_expand_beams_copies_the_one_hypothesis():
    state = table_state().reorder(torch.tensor([[1], [2]]))
    assert decoders.expand_beams(state, 3).carry[0].tolist() == [[1, 1, 1], [12, 12, 12]]
