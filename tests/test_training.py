"""Training fits its data, resumes after an interruption bit for bit, and depends on data, config and seed alone."""

import math
from collections import Counter
from typing import NamedTuple

import pytest
import torch
from lightning_fabric import Fabric
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from companion import datasets, scenes, tasks, training
from companion.checkpoints import trained_weights
from companion.models import Captioner, build
from companion.training import (
    Batch,
    BatchSource,
    CaptionBatches,
    TrainConfig,
    alignment_loss,
    caption_loss,
    doubly_stochastic_loss,
    fit,
    loop,
    lr_at,
    resume,
    word_dropout,
)
from companion.vocabulary import Vocabulary, detokenize, tokenize
from tests.helpers import FixedBatches, read_log, same_weights, small_captioner, without_seconds

PAD = Vocabulary.pad
CONFIG = TrainConfig(
    epochs=3, lr=1e-3, batch_size=4, captions_per_image=2, doubly_stochastic_weight=0.1, label_smoothing=0.1
)
RL_CONFIG = CONFIG._replace(epochs=1, rl_epochs=2, rl_lr=1e-3)
BATCHES = 2  # in an epoch of eight scenes


class Corpus(NamedTuple):
    """Some scenes, all of them as one batch, and the vocabulary of their captions."""

    world: list[scenes.Scene]
    batch: Batch
    vocabulary: Vocabulary


def corpus_of(world):
    examples = tasks.scene_batches.to_examples(world)
    vocabulary = tasks.run.build_vocabulary(examples, min_count=1)
    tokens = datasets.caption_tensor(examples, vocabulary)
    return Corpus(world, Batch(scenes.image_tensor(world), tokens, torch.arange(len(world))), vocabulary)


@pytest.fixture(scope="module")
def corpus():
    """Eight scenes."""
    return corpus_of(scenes.make_dataset("train", 8))


def brevity(image_ids, captions):
    """A reward for short captions, larger for some pictures than for others."""
    return [[(1 + i) / (1 + len(line.split())) for line in lines] for i, lines in zip(image_ids, captions, strict=True)]


class RecordedBatches(CaptionBatches):
    """Batches of scenes that record which pictures each held, and are interrupted after `stop_after` batches."""

    def __init__(self, corpus, stop_after=None):
        images, tokens, _, _ = corpus.batch
        super().__init__(tokens, lambda chosen, _: images[chosen], batch_size=4, captions_per_image=2)
        self.stop_after, self.order = stop_after, []

    def epoch(self, generator):
        for batch in super().epoch(generator):
            if len(self.order) == self.stop_after:
                raise KeyboardInterrupt
            self.order.append(tuple(batch.image_ids.tolist()))
            yield batch


class Run(NamedTuple):
    """A finished run: the captioner, the log, the pictures of every batch, and the arguments of every `lr_at`."""

    captioner: Captioner
    log: list
    order: list
    lr_calls: list


def train(corpus, out, config=CONFIG, *, resume=False, seed=0):
    """Train on the corpus, from the initial weights of `seed`."""
    captioner, batches, lr_calls = small_captioner(corpus.vocabulary, seed), RecordedBatches(corpus), []

    def record_lr(step, steps, peak, *, warm_up):
        lr_calls.append((step, steps, peak, warm_up))
        return lr_at(step, steps, peak, warm_up=warm_up)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(loop, "lr_at", record_lr)
        log = fit(captioner, batches, config, out=out, validate=random_score, resume=resume, reward_fn=brevity)
    return Run(captioner, log, batches.order, lr_calls)


def train_until(stop_after, corpus, out, config=CONFIG, *, resume=False):
    """Train, but interrupt the run after so many batches; return the pictures of each."""
    batches = RecordedBatches(corpus, stop_after)
    captioner = small_captioner(corpus.vocabulary)
    with pytest.raises(KeyboardInterrupt):
        fit(captioner, batches, config, out=out, validate=random_score, resume=resume, reward_fn=brevity)
    return batches.order


def random_score(captioner):
    """A validation that draws a random number: it must be the same, and disturb nothing, in a resumed run."""
    return {"score": float(torch.rand(()))}


def resume_refused(corpus, out, config=CONFIG):
    """Resume a run that cannot be resumed, and return the message; not one batch may be asked for."""
    batches = RecordedBatches(corpus, stop_after=0)
    with pytest.raises(ValueError, match=r"training\.safetensors") as caught:
        fit(small_captioner(corpus.vocabulary), batches, config, out=out, validate=random_score, resume=True)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture(scope="module")
def uninterrupted(corpus, tmp_path_factory):
    """The folder of a run that nothing interrupted, and the run."""
    out = tmp_path_factory.mktemp("uninterrupted")
    return out, train(corpus, out)


@pytest.fixture(scope="module")
def rl_run(corpus, tmp_path_factory):
    """An uninterrupted run with one epoch of cross-entropy and two of reinforcement learning."""
    return train(corpus, tmp_path_factory.mktemp("reinforced"), RL_CONFIG)


# -- the losses -------------------------------------------------------------------------------------------------------


def test_the_caption_loss_is_the_mean_cross_entropy_of_the_words_that_are_not_padding():
    logits, targets = torch.randn(2, 3, 4, 6), torch.randint(1, 6, (2, 3, 4))
    targets[0, 1, 2:] = PAD
    losses = []
    for image in range(2):
        for caption in range(3):
            for word in range(4):
                target = int(targets[image, caption, word])
                if target != PAD:
                    scores = logits[image, caption, word].tolist()
                    losses.append(math.log(sum(math.exp(s) for s in scores)) - scores[target])
    assert len(losses) == 22
    assert float(caption_loss(logits, targets)) == pytest.approx(sum(losses) / 22, rel=1e-5)


def test_label_smoothing_mixes_in_the_mean_cross_entropy_of_all_words():
    logits, targets = torch.randn(1, 1, 1, 5), torch.tensor([[[3]]])
    losses = [math.log(sum(map(math.exp, logits.flatten().tolist()))) - s for s in logits.flatten().tolist()]
    expected = 0.9 * losses[3] + 0.1 * sum(losses) / 5
    assert float(caption_loss(logits, targets, label_smoothing=0.1)) == pytest.approx(expected, rel=1e-5)


def test_the_doubly_stochastic_loss_is_the_squared_distance_of_each_places_attention_from_one():
    weights, targets = torch.rand(2, 3, 4, 5), torch.randint(1, 9, (2, 3, 4))
    targets[1, 2, 1:] = PAD
    total = 0.0
    for image in range(2):
        for caption in range(3):
            for place in range(5):
                received = sum(
                    float(weights[image, caption, word, place])
                    for word in range(4)
                    if int(targets[image, caption, word]) != PAD
                )
                total += (1 - received) ** 2
    assert float(doubly_stochastic_loss(weights, targets)) == pytest.approx(total / 6, rel=1e-5)


@pytest.mark.parametrize(("words", "places", "minimum"), [(8, 16, 0.25 * 16), (12, 196, 196 * (1 - 12 / 196) ** 2)])
def test_uniform_attention_minimises_the_doubly_stochastic_loss(words, places, minimum):
    targets = torch.ones(1, 1, words, dtype=torch.long)
    uniform = torch.full((1, 1, words, places), 1 / places)
    assert float(doubly_stochastic_loss(uniform, targets)) == pytest.approx(minimum, rel=1e-5)
    for _ in range(50):
        peaked = (torch.randn(1, 1, words, places) * 3).softmax(-1)
        assert float(doubly_stochastic_loss(peaked, targets)) > minimum


def test_more_padding_changes_neither_loss():
    """Two more columns of padding, whatever their logits and weights, give the same numbers."""
    logits, weights, targets = torch.randn(2, 2, 3, 7), torch.rand(2, 2, 3, 4), torch.randint(1, 7, (2, 2, 3))
    padded = torch.cat([targets, torch.full((2, 2, 2), PAD)], dim=-1)
    for junk in (0.0, 1e3):
        more_logits = torch.cat([logits, torch.full((2, 2, 2, 7), junk)], dim=2)
        more_weights = torch.cat([weights, torch.full((2, 2, 2, 4), junk)], dim=2)
        assert torch.allclose(caption_loss(more_logits, padded), caption_loss(logits, targets))
        assert torch.allclose(doubly_stochastic_loss(more_weights, padded), doubly_stochastic_loss(weights, targets))


def test_the_alignment_loss_is_the_cost_of_the_attention_and_of_the_word_read_from_the_region(corpus):
    """Word by word, without batches: the mean over the words that name an object."""
    captioner, batch = small_captioner(corpus.vocabulary).eval(), corpus.batch
    decoder, targets = captioner.decoder, batch.tokens[..., 1:]
    alignment = (torch.rand(*targets.shape, 64) < 0.05) & (torch.rand(*targets.shape, 1) < 0.3)
    grid = captioner.encode(batch.source)
    weights = captioner(grid, batch.tokens[..., :-1]).weights
    costs = []
    for image, beam, word in alignment.any(-1).nonzero().tolist():
        region = alignment[image, beam, word]
        feature = decoder.input_proj(grid)[image, region].mean(0)
        log_probs = decoder.output_proj(torch.tanh(decoder.from_context(feature))).log_softmax(-1)
        gain = weights[image, beam, word, region].sum().log() + log_probs[targets[image, beam, word]]
        costs.append(-gain.item())
    assert len(costs) > 50
    loss = alignment_loss(captioner, grid, weights=weights, targets=targets, alignment=alignment)
    assert loss.item() == pytest.approx(sum(costs) / len(costs), rel=1e-4)


def test_word_dropout_replaces_a_share_of_the_words_and_never_start_or_padding():
    tokens = torch.randint(4, 30, (40, 5, 20))
    tokens[..., 0], tokens[..., 15:] = Vocabulary.start, PAD
    torch.manual_seed(0)
    dropped = word_dropout(tokens, 0.3)
    changed = dropped != tokens
    assert (dropped[changed] == Vocabulary.unk).all()
    assert not changed[..., 0].any()
    assert not changed[..., 15:].any()
    assert float(changed[..., 1:15].float().mean()) == pytest.approx(0.3, abs=0.03)


# -- the batches ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("count", "batches"), [(1, 1), (3, 1), (4, 1), (5, 2), (8, 2)])
def test_an_epoch_has_every_picture_once_in_as_many_batches_as_it_says_and_none_empty(count, batches, corpus):
    images, tokens, _, _ = corpus.batch
    source = CaptionBatches(
        tokens[:count], lambda chosen, _: images[chosen], batch_size=4, captions_per_image=2
    )  # fmt: skip
    assert isinstance(source, BatchSource)
    batches_made = list(source.epoch(torch.Generator().manual_seed(0)))
    assert len(batches_made) == len(source) == batches
    assert all(len(batch.tokens) > 0 for batch in batches_made)
    assert sorted(torch.cat([batch.image_ids for batch in batches_made]).tolist()) == [*range(count)]


def test_a_batch_holds_the_captions_the_alignment_and_the_views_of_its_pictures(corpus):
    """Of the pictures that take part, and mirrored only where that is allowed."""
    _, tokens, _, _ = corpus.batch
    alignment = tasks.scene_batches.alignment_targets(corpus.world)
    mirrorable, image_ids = torch.arange(8) % 2 == 0, torch.tensor([1, 2, 4, 6, 7])
    source = CaptionBatches(
        tokens, lambda chosen, mirrored: torch.stack([chosen, mirrored.long()]).float()[:, :, None, None],
        batch_size=2, captions_per_image=2, image_ids=image_ids, mirrorable=mirrorable, alignment=alignment,
    )  # fmt: skip
    assert len(source) == 3
    views = set()
    for seed in range(5):
        batches_made = list(source.epoch(torch.Generator().manual_seed(seed)))
        assert sorted(torch.cat([batch.image_ids for batch in batches_made]).tolist()) == image_ids.tolist()
        for batch in batches_made:
            chosen, mirrored = batch.source.squeeze().long().reshape(2, -1)
            assert chosen.tolist() == batch.image_ids.tolist()
            views |= {*zip(chosen.tolist(), mirrored.tolist(), strict=True)}
            length = batch.tokens.shape[-1]
            assert (batch.tokens[..., -1] != PAD).any()
            for image, captions, targets in zip(chosen, batch.tokens, batch.alignment, strict=True):
                for caption, target in zip(captions, targets, strict=True):
                    (same,) = (tokens[image, :, :length] == caption).all(-1).nonzero().T
                    assert any(torch.equal(alignment[image, i, : length - 1], target) for i in same)
    assert views == {(1, 0), (7, 0), *((image, view) for image in (2, 4, 6) for view in (0, 1))}


# -- one step ---------------------------------------------------------------------------------------------------------


def test_the_learning_rate_rises_to_its_peak_and_falls_to_zero():
    rates = [lr_at(step, 100, peak=0.3, warm_up=0.2) for step in range(100)]
    assert max(rates) == pytest.approx(0.3)
    peak = rates.index(max(rates))
    assert 18 <= peak <= 20
    assert rates[: peak + 1] == sorted(rates[: peak + 1])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
    assert 0 < rates[0] <= 0.3 / 20 + 1e-9
    assert 0 <= rates[-1] < 0.001
    assert rates[60] == pytest.approx(0.15)  # half way down


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_even_the_shortest_training_has_a_step_at_the_peak_rate(steps):
    assert lr_at(0, steps, peak=0.3, warm_up=0.1) == pytest.approx(0.3)


@pytest.mark.parametrize("decoder", ["lstm", "transformer"])
def test_matrices_decay_and_biases_and_norms_do_not(corpus, decoder):
    captioner = build("scenes", corpus.vocabulary, "tiny", decoder=decoder)
    captioner.decoder.input_proj.requires_grad_(False)
    decaying, free = training.parameter_groups(captioner, 0.5)
    assert (decaying["weight_decay"], free["weight_decay"]) == (0.5, 0.0)
    names = {id(p): name for name, p in captioner.named_parameters()}
    decaying, free = ([names[id(p)] for p in group["params"]] for group in (decaying, free))
    trained = [name for name in names.values() if not name.startswith("decoder.input_proj.")]
    assert sorted(decaying + free) == sorted(trained)
    assert {"decoder.embed.weight", "encoder.layers.0.weight"} <= set(decaying)
    assert {name for name in trained if name.endswith("bias") or "norm" in name} <= set(free)


def test_a_step_descends_the_whole_loss_by_at_most_the_clipped_norm_times_the_learning_rate(corpus):
    """Plain gradient descent shows the length of the step; the loss that comes back has both terms of the config."""
    captioner, batch = small_captioner(corpus.vocabulary).eval(), corpus.batch  # no dropout: the loss can be recomputed
    before = {k: v.clone() for k, v in captioner.state_dict().items()}
    targets = batch.tokens[..., 1:]

    def whole_loss():
        step = captioner(batch.source, batch.tokens[..., :-1])
        return caption_loss(step.logits, targets, 0.1) + 0.7 * doubly_stochastic_loss(step.weights, targets)

    expected = whole_loss()
    config = TrainConfig(epochs=1, lr=1.0, label_smoothing=0.1, doubly_stochastic_weight=0.7, grad_clip=1e-3)
    optimizer = torch.optim.SGD(captioner.parameters(), lr=123.0)
    loss = training.cross_entropy(captioner, captioner, batch, config)
    training.train_step(Fabric(devices=1), captioner, optimizer, loss=loss, grad_clip=config.grad_clip, lr=0.5)
    assert float(loss.detach()) == pytest.approx(float(expected.detach()), rel=1e-5)
    moved = [(p.detach() - before[name]).flatten() for name, p in captioner.named_parameters()]
    assert float(torch.cat(moved).norm()) == pytest.approx(0.5 * 1e-3, rel=0.02)
    assert bool(whole_loss() < expected)


# -- a whole run ------------------------------------------------------------------------------------------------------


def test_four_scenes_can_be_learnt_by_heart(tmp_path):
    """The loss falls to the entropy of the choice among five references, and each caption is one of the five."""
    by_length = sorted(scenes.make_dataset("train", 60), key=lambda s: max(len(c.words) for c in s.captions))
    world, batch, vocabulary = corpus_of(by_length[:4])
    captioner = small_captioner(vocabulary)
    config = TrainConfig(epochs=2, lr=1.5e-2, weight_decay=0.0)
    fit(captioner, FixedBatches([batch] * 40), config, out=tmp_path, validate=lambda _: {})
    captions = [c.text for c in tasks.scenes.caption(captioner, world)]
    references = [[detokenize(tokenize(r.text)) for r in scene.captions] for scene in world]
    assert [line in own for line, own in zip(captions, references, strict=True)] == [True] * 4
    assert len(set(captions)) == 4
    entropy = sum(n * math.log(5 / n) for own in references for n in Counter(own).values())
    words = sum(len(tokenize(line)) + 1 for own in references for line in own)  # `<end>` is a word, too
    with torch.inference_mode():
        logits = captioner(batch.source, batch.tokens[..., :-1]).logits
    loss = float(caption_loss(logits, batch.tokens[..., 1:]))
    assert entropy / words - 1e-4 <= loss < entropy / words + 0.1


def test_the_log_has_one_json_object_an_epoch(uninterrupted):
    out, run = uninterrupted
    assert read_log(out) == run.log
    assert [record["epoch"] for record in run.log] == [1, 2, 3]
    assert all(record.keys() == {"epoch", "loss", "score", "seconds"} for record in run.log)
    assert run.log[-1]["loss"] < run.log[0]["loss"]


def test_the_same_seed_gives_the_same_run_and_another_does_not(uninterrupted, corpus, tmp_path):
    _, run = uninterrupted
    again = train(corpus, tmp_path / "again")
    assert same_weights(run.captioner, again.captioner)
    assert without_seconds(run.log) == without_seconds(again.log)
    other = train(corpus, tmp_path / "other", CONFIG._replace(seed=1))
    assert not same_weights(run.captioner, other.captioner)  # other batches and dropout, the same initial weights
    assert without_seconds(run.log) != without_seconds(other.log)


def test_every_epoch_has_its_own_order_and_the_learning_rate_one_schedule(uninterrupted):
    _, run = uninterrupted
    assert len({tuple(run.order[first : first + BATCHES]) for first in (0, 2, 4)}) == 3
    assert run.lr_calls == [(step, 6, CONFIG.lr, CONFIG.warm_up) for step in range(6)]


@pytest.mark.parametrize("stop_after", [1, 2, 3, 5])
def test_an_interrupted_run_ends_as_if_it_had_not_been(stop_after, uninterrupted, corpus, tmp_path):
    """Stopped in an epoch or between two, and resumed from other initial weights: the same to the last bit.

    The batches go on where the last finished epoch ended, and the learning rate does not rise again.
    """
    _, run = uninterrupted
    order = train_until(stop_after, corpus, tmp_path)
    finished = len(read_log(tmp_path)) if (tmp_path / "log.jsonl").exists() else 0
    assert finished == stop_after // BATCHES
    resumed = train(corpus, tmp_path, resume=True, seed=5 if finished else 0)
    assert same_weights(run.captioner, resumed.captioner)
    assert without_seconds(resumed.log) == without_seconds(run.log) == without_seconds(read_log(tmp_path))
    assert order[: finished * BATCHES] + resumed.order == run.order
    assert resumed.lr_calls == run.lr_calls[finished * BATCHES :]


@pytest.mark.parametrize("writes", range(6))
def test_a_run_that_could_not_write_ends_as_if_it_could(writes, uninterrupted, corpus, tmp_path, monkeypatch):
    """The disk is full after so many writes, of two an epoch; then the run is resumed."""
    real, left = resume.atomic_write, [writes]

    def failing(path, data):
        left[0] -= 1
        if left[0] < 0:
            raise OSError("no space left on device")
        real(path, data)

    with monkeypatch.context() as patched:
        patched.setattr(resume, "atomic_write", failing)
        with pytest.raises(OSError, match="no space"):
            train(corpus, tmp_path)
    resumed = train(corpus, tmp_path, resume=True)
    assert same_weights(uninterrupted[1].captioner, resumed.captioner)
    assert without_seconds(read_log(tmp_path)) == without_seconds(uninterrupted[1].log)


def test_resuming_a_finished_run_changes_nothing(uninterrupted, corpus):
    out, run = uninterrupted
    before = {file.name: file.read_bytes() for file in out.iterdir()}
    again = train(corpus, out, resume=True)
    assert again.order == []
    assert same_weights(run.captioner, again.captioner)
    assert again.log == run.log
    assert {file.name: file.read_bytes() for file in out.iterdir()} == before


def test_without_resume_a_run_starts_again(uninterrupted, corpus, tmp_path):
    train_until(3, corpus, tmp_path, CONFIG._replace(seed=9))
    assert same_weights(uninterrupted[1].captioner, train(corpus, tmp_path).captioner)


# -- reinforcement learning -------------------------------------------------------------------------------------------


def test_reinforcement_epochs_come_last_change_the_weights_and_are_resumed_bit_for_bit(rl_run, corpus, tmp_path):
    """Stopped in the first of them and, resumed, in the second."""
    assert [record["epoch"] for record in rl_run.log] == [1, 2, 3]
    train_until(3, corpus, tmp_path, RL_CONFIG)
    without = load_file(tmp_path / "training.safetensors")  # after the epoch of cross-entropy
    assert [record["epoch"] for record in read_log(tmp_path)] == [1]
    train_until(3, corpus, tmp_path, RL_CONFIG, resume=True)
    assert [record["epoch"] for record in read_log(tmp_path)] == [1, 2]
    resumed = train(corpus, tmp_path, RL_CONFIG, resume=True)
    assert same_weights(rl_run.captioner, resumed.captioner)
    assert without_seconds(rl_run.log) == without_seconds(resumed.log)
    trained = trained_weights(rl_run.captioner)
    assert not all(torch.equal(tensor, without[f"model.{name}"]) for name, tensor in trained.items())


def test_reinforcement_learning_has_a_learning_rate_schedule_of_its_own(rl_run):
    first = [(step, 2, RL_CONFIG.lr, RL_CONFIG.warm_up) for step in range(2)]
    assert rl_run.lr_calls == first + [(step, 4, 1e-3, RL_CONFIG.warm_up) for step in range(4)]


def test_the_reward_is_asked_about_the_hold_out_and_about_nothing_else(corpus, tmp_path, monkeypatch):
    taught, held_out = (Batch(*(x[part] for x in corpus.batch[:3])) for part in (slice(0, 6), slice(6, 8)))
    steps, asked = [], []

    def record_step(step, count, *_, **__):
        steps.append((step, count))
        return 1e-3

    def reward(image_ids, captions):
        asked.append(list(image_ids))
        return brevity(image_ids, captions)

    monkeypatch.setattr(loop, "lr_at", record_step)
    fit(
        small_captioner(corpus.vocabulary), FixedBatches([taught]), RL_CONFIG,
        out=tmp_path, validate=lambda _: {}, reward_fn=reward, rl_batches=FixedBatches([held_out] * 3),
    )  # fmt: skip
    assert asked == [[6, 7]] * 6
    assert steps == [(0, 1), *((step, 6) for step in range(6))]


# -- what cannot be resumed -------------------------------------------------------------------------------------------


def cut(path):
    path.write_bytes(path.read_bytes()[:-1000])


def flip_header(path):
    data = bytearray(path.read_bytes())
    data[40] ^= 0xFF
    path.write_bytes(data)


def rewrite(change):
    """Return a damage that leaves a well-formed file, in which `change(tensors, metadata)` has changed something."""

    def damage(path):
        tensors = load_file(path)
        with safe_open(path, framework="pt") as file:
            metadata = dict(file.metadata())
        change(tensors, metadata)
        save_file(tensors, path, metadata or None)

    return damage


DAMAGE = {
    "cut short": cut,
    "header flipped": flip_header,
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("hello"),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
    "foreign": rewrite(lambda tensors, metadata: metadata.clear()),
    "log not JSON": rewrite(lambda tensors, metadata: metadata.update(log="[{")),
    "not a number": rewrite(lambda tensors, metadata: tensors["model.decoder.embed.weight"].fill_(math.nan)),
    "tensor missing": rewrite(lambda tensors, metadata: tensors.pop("model.decoder.embed.weight")),
    "another shape": rewrite(lambda tensors, metadata: tensors.update({"model.decoder.embed.weight": torch.ones(3)})),
    "tensor too many": rewrite(lambda tensors, metadata: tensors.update({"model.extra": torch.ones(3)})),
    "another model": rewrite(lambda tensors, metadata: metadata.update(config='{"task": "photos"}')),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_state_is_refused_in_one_line_and_left_as_it_is(damage, uninterrupted, corpus, tmp_path):
    path = tmp_path / "training.safetensors"
    path.write_bytes((uninterrupted[0] / path.name).read_bytes())
    (tmp_path / "log.jsonl").write_text("precious\n")
    DAMAGE[damage](path)
    before = path.read_bytes() if path.is_file() else None
    resume_refused(corpus, tmp_path)
    assert (path.read_bytes() if path.is_file() else None) == before
    assert (tmp_path / "log.jsonl").read_text() == "precious\n"


@pytest.mark.parametrize("change", [{"lr": 2e-3}, {"epochs": 4}, {"seed": 1}, {"doubly_stochastic_weight": 0.2}])
def test_a_run_is_not_resumed_with_another_config(change, uninterrupted, corpus):
    out, _ = uninterrupted
    before = {file.name: file.read_bytes() for file in out.iterdir()}
    assert "training.safetensors: belongs to another run" in resume_refused(corpus, out, CONFIG._replace(**change))
    assert {file.name: file.read_bytes() for file in out.iterdir()} == before


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_last_good_epoch(corpus, tmp_path):
    captioner = small_captioner(corpus.vocabulary)

    class Diverging(FixedBatches):
        """Batches before whose second epoch the weights have become infinite."""

        def epoch(self, generator):
            if (tmp_path / "log.jsonl").exists():
                with torch.no_grad():
                    captioner.decoder.output_proj.weight.fill_(math.inf)
            return super().epoch(generator)

    with pytest.raises(ValueError, match="epoch 2: the loss is nan"):
        fit(captioner, Diverging([corpus.batch]), CONFIG, out=tmp_path, validate=lambda _: {})
    assert [record["epoch"] for record in read_log(tmp_path)] == [1]
    assert all(torch.isfinite(x).all() for x in load_file(tmp_path / "training.safetensors").values())
