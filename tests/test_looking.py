"""REINFORCE for hard attention follows the exact gradient; what is withheld from a word is withheld, nothing else."""

import itertools
import json

import pytest
import torch
from torch import nn

from benchmarks import hard, looking
from companion import checkpoints, datasets, scenes, training
from companion.decoders import LSTMDecoder
from companion.encoders import Grid
from companion.models import Captioner
from companion.training import Batch, TrainConfig
from companion.vocabulary import SPECIALS, Vocabulary

VOCABULARY = Vocabulary([*SPECIALS, "red", "blue", "star"])
PLACES = 3
CONFIG = TrainConfig(epochs=1, lr=1e-3)
CAPTION = [[VOCABULARY.encode("red star")]]


@pytest.fixture
def grid():
    return Grid(torch.randn(1, PLACES, 5, generator=torch.Generator().manual_seed(1)), 1, PLACES)


@pytest.fixture
def captioner():
    """Return a captioner that is only given grids; its places differ in what they say and in how probable they are."""
    torch.manual_seed(0)
    decoder = LSTMDecoder(len(VOCABULARY), 5, 8, attention="hard", dropout=0.0)
    with torch.no_grad():
        decoder.attention.score_vector *= 3
        decoder.from_context.weight *= 30
    return Captioner(nn.Identity(), decoder, VOCABULARY, image_size=8)


def batch_of(grid, captions, copies=1):
    tokens = datasets.collate_captions(captions * copies)
    return Batch(grid.select(torch.zeros(len(tokens), dtype=torch.long)), tokens)


def expected_loss(decoder, grid, tokens):
    """Return the loss per word of a caption, averaged over every choice of places by its probability."""
    total = torch.zeros(())
    for places in itertools.product(range(PLACES), repeat=len(tokens) - 1):
        state, probability, loss = decoder.start(grid), torch.ones(()), torch.zeros(())
        keys, values = state.memory
        for place, token, target in zip(places, tokens[:-1], tokens[1:], strict=True):
            embedded = decoder.embed_tokens(torch.tensor([[token]]))
            query = decoder.attention.query_proj(state.carry[0] + decoder.word_to_query(embedded))
            probability = probability * decoder.attention.scores(query, keys).softmax(-1)[0, 0, place]
            alone = state._replace(memory=(keys[:, place : place + 1], values[:, place : place + 1]))
            step = decoder.step(torch.tensor([[token]]), alone)
            loss, state = loss - step.logits.log_softmax(-1)[0, 0, target], step.state
        total = total + probability * loss
    return total / (len(tokens) - 1)


def test_on_average_the_gradient_of_reinforce_is_that_of_the_expected_loss(captioner, grid, monkeypatch):
    monkeypatch.setattr(hard, "ENTROPY_WEIGHT", 0.0)
    parameters = [p for p in captioner.parameters() if p.requires_grad]
    exact = torch.autograd.grad(expected_loss(captioner.decoder, grid, CAPTION[0][0]), parameters)
    torch.manual_seed(0)
    drawn = torch.autograd.grad(
        hard.reinforce(captioner, captioner, batch_of(grid, CAPTION, copies=20_000), CONFIG), parameters
    )
    for mine, wanted in zip(drawn, exact, strict=True):
        assert float((mine - wanted).norm()) < 0.05 * float(wanted.norm()) + 1e-4
    of_scores = dict(zip((name for name, _ in captioner.named_parameters()), exact, strict=True))
    assert float(of_scores["decoder.attention.score_vector"].norm()) > 0.03  # it is no comparison of zeros


def test_the_baseline_leaves_the_mean_and_takes_variance_away(captioner, grid, monkeypatch):
    """Without the other draw as a baseline the gradient of the scores varies more; both draws see the same caption."""
    torch.manual_seed(0)
    batch, vector = batch_of(grid, CAPTION, copies=200), captioner.decoder.attention.score_vector

    def gradients(baseline):
        rows = []
        for _ in range(30):
            tokens = batch.tokens[:, 0].repeat_interleave(hard.DRAWS, 0)
            pictures = torch.arange(len(batch.tokens)).repeat_interleave(hard.DRAWS)
            drawn = hard.draw(captioner.decoder, batch.source, pictures, tokens)
            reward = drawn.word.detach().flip(1).cumsum(1).flip(1)
            other = reward.view(-1, hard.DRAWS, reward.shape[1]).flip(1).flatten(0, 1)
            loss = -((reward - baseline * other) * drawn.place).mean()
            rows.append(torch.autograd.grad(loss, vector)[0])
        return torch.stack(rows)

    without, with_baseline = gradients(0.0), gradients(1.0)
    assert float(with_baseline.var(0).sum()) < 0.5 * float(without.var(0).sum())


def test_padding_changes_nothing_of_the_loss(captioner, grid):
    losses = []
    for captions in (CAPTION, [[CAPTION[0][0], VOCABULARY.encode("red star red star blue")]]):
        batch = batch_of(grid, captions)
        torch.manual_seed(0)
        captioner.decoder.attention.score_vector.data.mul_(1e6)  # so that nothing is left to chance
        losses.append(hard.reinforce(captioner, captioner, batch._replace(tokens=batch.tokens[:, :1]), CONFIG).item())
    assert losses[0] == pytest.approx(losses[1], abs=1e-6)


def test_a_drawn_place_is_all_that_a_word_reads(captioner, grid):
    """With scores that leave no doubt, a pass with drawn places is that of the mechanism that takes the argmax."""
    captioner.decoder.attention.score_vector.data.mul_(1e6)
    tokens = torch.tensor(CAPTION[0])
    with torch.no_grad():
        drawn = hard.draw(captioner.decoder, grid, torch.zeros(1, dtype=torch.long), tokens)
        logits = captioner.eval()(grid, tokens[:, None, :-1]).logits
    torch.testing.assert_close(drawn.word, training.token_log_probs(logits, tokens[:, None, 1:])[:, 0])
    assert drawn.entropy.abs().max() < 1e-3


def test_fit_trains_with_the_loss_that_it_is_given(captioner, grid, tmp_path):
    class Once:
        def __len__(self):
            return 1

        def epoch(self, generator):
            yield batch_of(grid, CAPTION)

    def loss_fn(model, captioner, batch, config):
        return captioner.decoder.embed_scale**2

    before = captioner.decoder.embed_scale.item()
    (record,) = training.fit(captioner, Once(), CONFIG, out=tmp_path, validate=lambda _: {}, loss_fn=loss_fn)
    assert record["loss"] == pytest.approx(before**2)
    assert captioner.decoder.embed_scale.item() < before


@pytest.mark.parametrize("attention", ["additive", "coverage", "adaptive"])
def test_a_blind_state_has_no_word_of_the_picture_but_keeps_what_was_read(attention):
    torch.manual_seed(0)
    decoder = LSTMDecoder(len(VOCABULARY), 5, 8, attention=attention, dropout=0.0).eval()
    one, other = (decoder.start(Grid(torch.randn(1, PLACES, 5), 1, PLACES)) for _ in range(2))
    other = other._replace(carry=one.carry)  # another picture, the same words before
    token = torch.tensor([[VOCABULARY.start]])
    assert not torch.allclose(decoder.step(token, one).logits, decoder.step(token, other).logits)
    blind = [decoder.step(token, looking.blind(state, decoder)).logits for state in (one, other)]
    torch.testing.assert_close(*blind)


def test_the_observed_cost_is_that_of_a_second_pass():
    captioner, world = checkpoints.load("scenes").eval(), scenes.make_dataset("validation", 2)
    lines = [scene.captions[0].text for scene in world]
    grid = looking.encode(captioner, world)
    found = looking.observe(captioner, grid, lines)
    assert [each.word_class for each in found if each.picture == 0] == [
        looking.word_class(word) for word in world[0].captions[0].words
    ]
    tokens = torch.tensor(captioner.vocabulary.encode(lines[0]))
    with torch.no_grad():
        own = captioner(grid.select(torch.tensor([0])), tokens[None, None, :-1]).logits[0, 0].log_softmax(-1)
        state = captioner.start(grid.select(torch.tensor([0])))
        keys, values = state.memory
        dark = captioner.step(tokens[None, :1], state._replace(memory=(keys, 0 * values))).logits[0, 0].log_softmax(-1)
    first = found[0]
    assert first.values["cost"] == pytest.approx(float(own[0, tokens[1]] - dark[tokens[1]]), abs=1e-4)
    assert first.values["sentinel"] < 1e-5 < first.values["gate"] < 1


def test_a_picture_counts_once_in_a_summary():
    observed = [looking.Observation(0, "shape", {"cost": x}) for x in (1.0, 3.0)]
    observed += [looking.Observation(1, "shape", {"cost": 4.0}), looking.Observation(1, "colour", {"cost": 9.0})]
    table = looking.summary(observed)
    assert (table["shape"]["words"], table["shape"]["pictures"]) == (3, 2)
    assert (table["shape"]["cost"][0], table["colour"]["cost"]) == (3.0, [9.0, 9.0, 9.0])


@pytest.fixture(scope="module")
def coffee():
    captioner = checkpoints.load("photos").eval()
    with torch.no_grad():
        grid = captioner.encode(datasets.load_image(datasets.example_image("coffee"))[None])
    return captioner, grid, captioner.caption(grid)


def test_nothing_withheld_gives_the_prediction_of_the_ensemble(coffee):
    captioner, grid, (caption,) = coffee
    decoders = list(captioner.decoder.decoders)
    tokens = torch.tensor([captioner.vocabulary.encode(caption.text)])
    states = [decoder.start(grid) for decoder in decoders]
    total = 0.0
    for previous, target in zip(tokens[:, :-1].unbind(1), tokens[0, 1:], strict=True):
        step = looking.predict(decoders, states, previous)
        total, states = total + step.log_probs[0, target].item(), step.states
        assert 0 < step.share.item() < 1
    with torch.no_grad():
        logits = captioner(grid, tokens[:, None, :-1]).logits
    assert total == pytest.approx(
        training.token_log_probs(logits.log_softmax(-1), tokens[:, None, 1:]).sum().item(), abs=1e-3
    )


def test_without_tags_the_prediction_is_that_of_a_picture_that_has_none(coffee):
    """Only the one word is predicted so: both pictures have the same words before, read with the tags."""
    captioner, grid, _ = coffee
    decoders = list(captioner.decoder.decoders)
    states = [decoder.start(grid) for decoder in decoders]
    bare = [
        decoder.start(grid._replace(tags=None))._replace(carry=state.carry)
        for decoder, state in zip(decoders, states, strict=True)
    ]
    token = torch.tensor([captioner.vocabulary.start])
    torch.testing.assert_close(
        looking.predict(decoders, states, token, "tags").log_probs,
        looking.predict(decoders, bare, token).log_probs, atol=1e-4, rtol=1e-4,
    )  # fmt: skip
    parts = {what: looking.predict(decoders, states, token, what).log_probs for what in ("", *looking.WITHHELD)}
    assert len({tuple(x[0, :50].tolist()) for x in parts.values()}) == 1 + len(looking.WITHHELD)


def test_the_record_is_complete_and_of_the_weights_that_ship():
    results = json.loads(looking.RESULTS.read_text())
    assert results["weights"] == {name: checkpoints.card(name)["sha256"] for name in ("scenes", "photos")}
    for row, seed in itertools.product(looking.ROWS, looking.SEEDS):
        assert results[f"{row}, seed {seed}"].keys() == {"truth", "pointing", "forced_choice", "seconds", "words"}
    for part, kinds in {"everyday": {"tag", "other noun", "other word"}, "shipped": {"shape", "colour"}}.items():
        assert kinds <= results[part].keys()
    assert results["flickr8k"]["photographs"] == looking.PHOTOGRAPHS
