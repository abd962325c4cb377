"""A decoder says the same whether stepped or run through at once, alone or in company, and looks where it is told."""

import copy
import math

import pytest
import torch
from jaxtyping import TypeCheckError
from torch.nn import functional as F

from companion import decoders, mechanisms
from companion.decoders import LSTMDecoder, State, TransformerDecoder
from companion.encoders import Grid
from companion.ensemble import Ensemble

# Every size is another number; the hidden width is what heads divide.
BATCH, BEAMS, WORDS, PLACES, CHANNELS, HIDDEN, VOCAB = 2, 3, 5, 6, 7, 16, 11
NAMES = [*mechanisms.MECHANISMS, "transformer", "two lstms", "two transformers"]
each_decoder = pytest.mark.parametrize("name", NAMES)


def make(name, dropout=0.4, seed=0):
    """A decoder in eval mode and in double precision, its logits far enough apart to show every difference."""
    torch.manual_seed(seed)
    if name.startswith("two "):
        alone = {"two lstms": "coverage", "two transformers": "transformer"}[name]
        return Ensemble([make(alone, dropout, seed), make(alone, dropout, seed + 1)]).eval()
    if name == "transformer":
        decoder = TransformerDecoder(VOCAB, CHANNELS, HIDDEN, blocks=2, heads=4, dropout=dropout)
    else:
        decoder = LSTMDecoder(VOCAB, CHANNELS, HIDDEN, name, dropout)
    return decoder.double().eval().requires_grad_(False)


def inputs(seed=1):
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(BATCH, PLACES, CHANNELS, generator=generator, dtype=torch.float64)
    return Grid(features, 2, 3), torch.randint(4, VOCAB, (BATCH, BEAMS, WORDS), generator=generator)


def stepped(decoder, grid, tokens):
    """Logits and weights of one step a word, and the last state."""
    state = decoders.widen(decoder.start(grid), tokens.shape[1])
    steps = []
    for word in range(tokens.shape[2]):
        steps.append(decoder.step(tokens[..., word], state))
        state = steps[-1].state
    return torch.stack([s.logits for s in steps], 2), torch.stack([s.weights for s in steps], 2), state


# --- laws of all decoders -----------------------------------------------------------------------------------------


@each_decoder
def test_stepping_equals_teacher_forcing(name):
    decoder, (grid, tokens) = make(name), inputs()
    logits, weights, state = stepped(decoder, grid, tokens)
    whole = decoder(grid, tokens)
    assert whole.logits.shape == (BATCH, BEAMS, WORDS, VOCAB)
    assert whole.weights.shape == (BATCH, BEAMS, WORDS, PLACES)
    torch.testing.assert_close(logits, whole.logits)
    torch.testing.assert_close(weights, whole.weights)
    for ours, theirs in zip(state.carry, whole.state.carry, strict=True):
        torch.testing.assert_close(ours, theirs)


@each_decoder
def test_changing_a_word_changes_what_follows_it_and_nothing_before_it(name):
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
def test_padding_changes_nothing_for_the_words_before_it(name):
    decoder, (grid, tokens) = make(name), inputs()
    short, padded = tokens[..., :3], F.pad(tokens[..., :3], (0, 2))  # <pad> has the id 0
    torch.testing.assert_close(decoder(grid, padded).logits[:, :, :3], decoder(grid, short).logits)
    torch.testing.assert_close(decoder(grid, padded).weights[:, :, :3], decoder(grid, short).weights)


@each_decoder
def test_captions_that_share_a_picture_do_not_see_each_other(name):
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
def test_pictures_that_share_a_batch_do_not_see_each_other(name):
    decoder, (grid, tokens) = make(name), inputs()
    together = decoder(grid, tokens)
    for i in range(BATCH):
        alone = decoder(grid._replace(features=grid.features[i : i + 1]), tokens[i : i + 1])
        torch.testing.assert_close(alone.logits[0], together.logits[i])
        torch.testing.assert_close(alone.weights[0], together.weights[i])


@each_decoder
def test_weights_are_not_negative_and_sum_to_one_over_the_places_and_to_less_beside_a_sentinel(name):
    weights = make(name)(*inputs()).weights
    assert (weights >= 0).all()
    if name == "adaptive":
        assert (weights.sum(-1) < 1).all()
    else:
        torch.testing.assert_close(weights.sum(-1), torch.ones(BATCH, BEAMS, WORDS, dtype=torch.float64))


@each_decoder
def test_shuffling_the_places_shuffles_the_weights_and_leaves_the_words_alone(name):
    decoder, (grid, tokens) = make(name), inputs()
    order = torch.tensor([4, 0, 5, 2, 1, 3])
    before, after = decoder(grid, tokens), decoder(grid._replace(features=grid.features[:, order]), tokens)
    torch.testing.assert_close(after.logits, before.logits)
    torch.testing.assert_close(after.weights, before.weights[..., order])


@each_decoder
def test_the_picture_matters(name):
    decoder, (grid, tokens) = make(name), inputs()
    other = decoder(grid._replace(features=grid.features.flip(0)), tokens)
    assert ((other.logits - decoder(grid, tokens).logits).abs().amax(-1) > 1e-6).all()


@each_decoder
def test_a_search_may_reorder_drop_and_widen_hypotheses_in_the_middle(name):
    decoder, (grid, tokens) = make(name), inputs()
    parents = torch.tensor([[2, 2, 0, 1], [1, 0, 0, 2]])
    _, _, state = stepped(decoder, grid, tokens[..., :3])
    step = decoder.step(torch.full((1, 4), 6), state.reorder(parents).keep(torch.tensor([1])))
    told = torch.cat([tokens[1:, [1, 0, 0, 2], :3], torch.full((1, 4, 1), 6)], dim=-1)
    expected = decoder(grid._replace(features=grid.features[1:]), told)
    torch.testing.assert_close(step.logits, expected.logits[:, :, -1])
    torch.testing.assert_close(step.weights, expected.weights[:, :, -1])


@each_decoder
def test_a_step_leaves_the_state_it_was_given_as_it_was(name):
    decoder, (grid, tokens) = make(name), inputs()
    state = decoders.widen(decoder.start(grid), BEAMS)
    before = copy.deepcopy(state)
    decoder.step(tokens[..., 0], state)
    for now, then in zip((*state.memory, *state.carry), (*before.memory, *before.carry), strict=True):
        assert torch.equal(now, then)


@each_decoder
def test_in_training_mode_words_are_dropped_at_random_and_in_eval_mode_not(name):
    decoder, (grid, tokens) = make(name), inputs()
    torch.testing.assert_close(decoder(grid, tokens).logits, decoder(grid, tokens).logits, rtol=0, atol=0)
    decoder.train()
    assert not torch.allclose(decoder(grid, tokens).logits, decoder(grid, tokens).logits)


@each_decoder
def test_the_embedding_and_the_last_layer_are_one_matrix_also_after_copying_and_loading(name):
    decoder, copied = make(name), copy.deepcopy(make(name, seed=7))
    copied.load_state_dict(decoder.state_dict())
    pairs = [*zip(*(getattr(one, "decoders", [one]) for one in (copied, decoder)), strict=True)]
    for ours, theirs in pairs:
        assert ours.words.weight is ours.embed.weight
        assert torch.equal(ours.embed.weight, theirs.embed.weight)
    matrices = [x for x in copied.parameters() if x.shape == (VOCAB, HIDDEN)]
    assert len(matrices) == len(pairs)


# --- several that speak together ----------------------------------------------------------------------------------


def test_together_the_log_probabilities_and_the_looks_are_the_mean_of_both():
    both, (grid, tokens) = make("two lstms"), inputs()
    one, other = (decoder(grid, tokens) for decoder in both.decoders)
    together = both(grid, tokens)
    torch.testing.assert_close(together.weights, (one.weights + other.weights) / 2)
    mean = (one.logits.log_softmax(-1) + other.logits.log_softmax(-1)) / 2
    torch.testing.assert_close(together.logits, mean)
    assert not torch.allclose(one.logits, other.logits)


def test_two_that_are_the_same_say_what_one_says():
    alone, (grid, tokens) = make("additive"), inputs()
    for count in (2, 3):
        whole = Ensemble([alone] * count)(grid, tokens)
        torch.testing.assert_close(whole.logits, alone(grid, tokens).logits.log_softmax(-1))
        torch.testing.assert_close(whole.weights, alone(grid, tokens).weights)


@each_decoder
def test_every_parameter_learns_from_the_words(name):
    decoder, (grid, tokens) = make(name, dropout=0.0).requires_grad_(True).train(), inputs()
    F.cross_entropy(decoder(grid, tokens).logits.flatten(0, 2), tokens.roll(-1, 2).flatten()).backward()
    still = {key for key, x in decoder.named_parameters() if x.grad is None or x.grad.abs().max() < 1e-9}
    # key.bias lifts all scores of a query alike; where nothing is asked (mean pooling), the question learns nothing
    unheard = ("key.bias", "ask.weight") if name == "mean" else ("key.bias",)
    assert {key for key in still if not key.endswith(unheard)} == set()


@each_decoder
def test_axes_in_the_wrong_order_are_refused(name):
    decoder, (grid, tokens) = make(name), inputs()
    with pytest.raises((TypeCheckError, RuntimeError)):
        decoder(grid, tokens[:, 0])
    with pytest.raises((TypeCheckError, RuntimeError)):
        decoder(grid, tokens.transpose(0, 1))
    with pytest.raises((TypeCheckError, RuntimeError)):
        decoder.step(tokens, decoder.start(grid))


# --- looking where they are told ----------------------------------------------------------------------------------

TARGETS = torch.tensor([[4, 1, 3], [0, 5, 2]])  # for each picture and hypothesis, the place to look at
ABOUT = 10 * F.one_hot(TARGETS, HIDDEN).double()  # the hidden state of a hypothesis names its place


@pytest.mark.parametrize("name", ["dot", "scaled_dot", "multi_head"])
def test_a_hypothesis_looks_at_the_place_whose_key_is_like_its_query(name):
    decoder, units = make(name), HIDDEN // 2
    decoder.attention.query.weight.copy_(torch.eye(units, HIDDEN))  # the query is the first half of the hidden state
    keys = (10 * torch.eye(PLACES, units, dtype=torch.float64)).expand(BATCH, -1, -1)
    values = torch.zeros(BATCH, PLACES, HIDDEN, dtype=torch.float64)
    if name == "multi_head":  # four heads of two units: only the head that holds unit p tells place p from the others
        decoder.attention.query.bias.zero_()
        keys, values = decoder.attention.split(keys), decoder.attention.split(values[..., :units])
    weights = decoder.step(torch.full((BATCH, BEAMS), 4), State((keys, values), (ABOUT, ABOUT))).weights
    assert torch.equal(weights.argmax(-1), TARGETS)
    if name != "multi_head":
        assert (weights.amax(-1) > 0.99).all()


def test_additive_attention_looks_at_the_place_whose_key_fits_its_query():
    decoder, units = make("additive"), HIDDEN // 2
    decoder.attention.query.weight.copy_(torch.eye(units, HIDDEN))
    decoder.attention.vector.fill_(20.0)
    # of the unit that the query names, only the right place makes tanh(10 + 0); the others make tanh(10 - 20)
    keys = -20 * (1 - torch.eye(PLACES, units, dtype=torch.float64)).expand(BATCH, -1, -1)
    values = torch.zeros(BATCH, PLACES, HIDDEN, dtype=torch.float64)
    weights = decoder.step(torch.full((BATCH, BEAMS), 4), State((keys, values), (ABOUT, ABOUT))).weights
    assert torch.equal(weights.argmax(-1), TARGETS)
    assert (weights.amax(-1) > 0.99).all()


def test_the_transformer_returns_the_weights_of_its_last_block_and_they_follow_its_keys():
    decoder, (grid, tokens) = make("transformer"), inputs()
    last = decoder.blocks[-1].at_picture
    last.query.weight.zero_()
    last.query.bias.fill_(1.0)  # every word asks for ones
    state = decoders.widen(decoder.start(grid), BEAMS)
    keys = torch.zeros_like(state.memory[2])  # batch head place channel
    keys[0, :, 4], keys[1, :, 1] = 20.0, 20.0
    weights = decoder.step(tokens[..., 0], state._replace(memory=(*state.memory[:2], keys, state.memory[3]))).weights
    assert weights.argmax(-1).tolist() == [[4] * BEAMS, [1] * BEAMS]
    assert (weights.amax(-1) > 0.99).all()


def test_the_weights_of_several_heads_are_their_mean():
    decoder, (grid, tokens) = make("multi_head"), inputs()
    state = decoders.widen(decoder.start(grid), BEAMS)
    query = state.carry[0] + decoder.ask(decoder.look_up(tokens[..., 0]))
    _, per_head = decoder.attention.attend(query, *state.memory)
    mean = sum(per_head[:, head] for head in range(4)) / 4
    torch.testing.assert_close(decoder.step(tokens[..., 0], state).weights, mean)


# --- hard and adaptive attention ----------------------------------------------------------------------------------


def test_hard_attention_looks_at_one_place_a_word_drawn_in_training_and_fixed_in_eval_mode():
    decoder, (grid, tokens) = make("hard", dropout=0.0), inputs()
    fixed = decoder(grid, tokens).weights
    decoder.train()
    torch.manual_seed(0)
    drawn = [decoder(grid, tokens).weights for _ in range(5)]
    for weights in (fixed, *drawn):
        assert ((weights == 0) | (weights == 1)).all()
        assert (weights.sum(-1) == 1).all()
    assert not all(torch.equal(weights, drawn[0]) for weights in drawn)
    torch.manual_seed(0)
    assert torch.equal(decoder(grid, tokens).weights, drawn[0])


def test_captions_that_share_a_picture_draw_each_for_itself():
    decoder, (grid, tokens) = make("hard", dropout=0.0).train(), inputs()
    torch.manual_seed(0)
    weights = decoder(grid, tokens[:, :1].expand(-1, 50, -1)).weights
    assert (weights[:, :, 0].amax(1).sum(-1) > 1).all()  # at the first word all fifty have the same scores


def test_the_sentinel_of_a_step_is_made_of_the_memory_before_the_step():
    decoder, (grid, tokens) = make("adaptive"), inputs()
    state = decoders.widen(decoder.start(grid), BEAMS)
    hidden, cell = state.carry
    query = hidden + decoder.ask(decoder.look_up(tokens[..., 0]))
    _, weights = decoder.attention.attend(query, *state.memory, memory=cell)
    torch.testing.assert_close(decoder.step(tokens[..., 0], state).weights, weights)


def test_a_sentinel_that_wins_leaves_the_places_nothing_and_the_words_to_memory():
    decoder, (grid, tokens) = make("adaptive"), inputs()
    decoder.attention.key.weight.zero_()
    decoder.attention.query.weight.zero_()  # a place scores 0
    decoder.attention.vector.fill_(1e3)
    decoder.attention.sentinel.weight.copy_(torch.eye(HIDDEN // 2, HIDDEN))
    state = decoders.widen(decoder.start(grid), BEAMS)
    state = state._replace(carry=(state.carry[0], state.carry[1].abs() + 1))  # a sentinel above 0 scores above 0
    step = decoder.step(tokens[..., 0], state)
    assert (step.weights == 0).all()
    blind = decoder.step(tokens[..., 0], state._replace(memory=tuple(torch.randn_like(x) for x in state.memory)))
    assert not torch.allclose(blind.logits, step.logits)  # with keys of its own a place may win again
    blind = decoder.step(tokens[..., 0], state._replace(memory=(state.memory[0], torch.randn_like(state.memory[1]))))
    torch.testing.assert_close(blind.logits, step.logits)


def test_coverage_is_told_the_weights_of_the_last_word_and_the_sum_over_all_of_them():
    decoder, (grid, tokens) = make("coverage"), inputs()
    weights = decoder(grid, tokens).weights
    state = decoders.widen(decoder.start(grid), BEAMS)
    assert (state.carry[2] == 0).all()
    for word in range(WORDS):
        query = state.carry[0] + decoder.ask(decoder.look_up(tokens[..., word]))
        before = weights[:, :, :word]
        last = before[:, :, -1] if word else torch.zeros_like(weights[:, :, 0])
        looked = torch.stack([last, before.sum(2)], -1)
        _, expected = decoder.attention.attend(query, *state.memory, looked=looked)
        step = decoder.step(tokens[..., word], state)
        torch.testing.assert_close(step.weights, expected)
        state = step.state


# --- the LSTM decoder's equations ---------------------------------------------------------------------------------


def test_one_step_is_the_equations_of_the_docstring_worked_out_one_by_one():
    decoder, (grid, tokens) = make("additive"), inputs()
    with torch.no_grad():
        decoder.scale.fill_(1.7)  # it starts at one, which would hide whether it is used
    p = decoder.state_dict()
    normed = [F.layer_norm(place, (CHANNELS,)) for place in grid.features[1]]
    a = torch.stack([F.relu(p["adapt.1.weight"] @ place + p["adapt.1.bias"]) for place in normed])
    h, c = torch.tanh(p["first.weight"] @ a.mean(0) + p["first.bias"]).split(HIDDEN)
    w_q, w_k, v = p["attention.query.weight"], p["attention.key.weight"], p["attention.vector"]
    word = p["embed.weight"][tokens[1, 2, 0]] * p["scale"]
    query = h + p["ask.weight"] @ word
    alpha = torch.stack([v @ torch.tanh(w_q @ query + w_k @ place) for place in a]).softmax(0)
    z = torch.sigmoid(p["gate.weight"] @ h + p["gate.bias"]) * (alpha @ a)
    gates = p["cell.weight_ih"] @ torch.cat([word, z]) + p["cell.bias_ih"] + p["cell.weight_hh"] @ h + p["cell.bias_hh"]
    i, f, g, o = gates.split(HIDDEN)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    h = torch.sigmoid(o) * torch.tanh(c)
    deep = word + p["from_hidden.weight"] @ h + p["from_hidden.bias"] + p["from_context.weight"] @ z
    step = decoder.step(tokens[..., 0], decoders.widen(decoder.start(grid), BEAMS))
    torch.testing.assert_close(step.weights[1, 2], alpha)
    torch.testing.assert_close(step.state.carry[0][1, 2], h)
    torch.testing.assert_close(step.state.carry[1][1, 2], c)
    torch.testing.assert_close(step.logits[1, 2], p["embed.weight"] @ torch.tanh(deep) + p["words.bias"])


def test_a_closed_gate_hides_the_picture_and_has_one_value_per_channel():
    decoder, (grid, tokens) = make("additive"), inputs()
    decoder.gate.weight.zero_()
    decoder.gate.bias.fill_(-1e4)
    carry = decoders.widen(decoder.start(grid), BEAMS).carry
    memories = [(x, y) for x, y in (decoder.start(grid).memory, [m.flip(0) for m in decoder.start(grid).memory])]
    one, other = (decoder.step(tokens[..., 0], State(memory, carry)).logits for memory in memories)
    torch.testing.assert_close(one, other)
    decoder.gate.bias[HIDDEN // 2] = 1e4
    one, other = (decoder.step(tokens[..., 0], State(memory, carry)).logits for memory in memories)
    assert not torch.allclose(one, other)


# --- the transformer's parts --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("words", "seen"), [(4, 4), (1, 4), (2, 5), (1, 1)])
def test_each_of_the_last_words_sees_itself_and_what_came_before(words, seen):
    table = [[position <= seen - words + row for position in range(seen)] for row in range(words)]
    assert decoders.causal(words, seen, torch.device("cpu")).tolist() == table


def test_positions_are_sines_and_cosines_of_falling_frequency_from_any_start():
    found = decoders.positions(3, 4, 6, torch.device("cpu"))
    for row, word in enumerate(range(3, 7)):
        angles = [word / 10_000 ** (2 * i / 6) for i in range(3)]
        assert found[row].tolist() == pytest.approx([*map(math.sin, angles), *map(math.cos, angles)], abs=1e-6)


def test_the_transformer_tells_two_orders_of_the_same_words_apart():
    decoder, (grid, _) = make("transformer"), inputs()
    one, other = torch.tensor([[[4, 5, 6, 7]]] * BATCH), torch.tensor([[[5, 4, 6, 7]]] * BATCH)
    assert not torch.allclose(decoder(grid, one).logits[:, :, -1], decoder(grid, other).logits[:, :, -1])


def test_any_number_of_words_may_be_added_to_a_state():
    decoder, (grid, tokens) = make("transformer"), inputs()
    first = decoder(grid, tokens[..., :2])
    rest = decoder.extend(tokens[..., 2:], first.state)
    torch.testing.assert_close(rest.logits, decoder(grid, tokens).logits[:, :, 2:])


# --- State --------------------------------------------------------------------------------------------------------


def table_state():
    """One number for each picture in the memory, one for each hypothesis in the carry: tens are pictures."""
    picture = torch.arange(2)[:, None]
    hypothesis = 10 * picture + torch.arange(3)
    return State((picture,), (hypothesis, hypothesis[..., None].expand(2, 3, 4) + 100))


def test_reorder_puts_the_parents_in_place_and_leaves_the_memory():
    state = table_state().reorder(torch.tensor([[2, 0, 0], [1, 1, 2]]))
    assert state.memory[0].tolist() == [[0], [1]]
    assert state.carry[0].tolist() == [[2, 0, 0], [11, 11, 12]]
    assert state.carry[1][..., 3].tolist() == [[102, 100, 100], [111, 111, 112]]


@pytest.mark.parametrize("parents", [[[2], [1]], [[0, 1, 2, 2], [2, 1, 0, 0]]], ids=["narrower", "wider"])
def test_reorder_may_narrow_or_widen_the_beam(parents):
    expected = [[10 * picture + parent for parent in row] for picture, row in enumerate(parents)]
    assert table_state().reorder(torch.tensor(parents)).carry[0].tolist() == expected


def test_keep_keeps_the_pictures_named_in_the_memory_and_in_the_carry():
    state = table_state().keep(torch.tensor([1]))
    assert state.memory[0].tolist() == [[1]]
    assert state.carry[0].tolist() == [[10, 11, 12]]
    assert state.carry[1].shape == (1, 3, 4)


def test_widening_copies_the_one_hypothesis():
    state = table_state().reorder(torch.tensor([[1], [2]]))
    assert decoders.widen(state, 3).carry[0].tolist() == [[1, 1, 1], [12, 12, 12]]
