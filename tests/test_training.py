"""Training learns what it is shown, forgets nothing when it is interrupted, and leaves chance to the seed."""

import json
import math
from collections import Counter

import pytest
import torch
from lightning_fabric import Fabric
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from companion import evaluation, scenes, training
from companion.batches import batches, caption_tensor
from companion.captioner import build
from companion.checkpoints import trained_weights
from companion.losses import caption_loss, doubly_stochastic, forget, shown_loss
from companion.training import Batch, Plan, fit, rate_at
from companion.vocabulary import Vocabulary, detokenize, tokenize

PAD = Vocabulary.pad


@pytest.fixture(scope="module")
def lesson():
    """Eight small scenes as a batch, and the vocabulary of their captions."""
    drawn = scenes.make("train", 8)
    examples = evaluation.scene_examples(drawn)
    vocabulary = Vocabulary.build(caption for example in examples for caption in example.captions)
    batch = Batch(evaluation.scene_images(drawn), caption_tensor(examples, vocabulary), torch.arange(8))
    return drawn, batch, vocabulary


def student(vocabulary, seed=0):
    torch.manual_seed(seed)
    return build("scenes", vocabulary, "tiny")


PLAN = Plan(epochs=3, rate=1e-3, doubly=0.1, smoothing=0.1)


def shorter(pictures, captions):
    """A judge that likes short captions, of some pictures more than of others."""
    return [[(1 + i) / (1 + len(line.split())) for line in said] for i, said in zip(pictures, captions, strict=True)]


class Course:
    """Three short epochs on eight scenes; `stop_at` is the batch, counted from 0 over all epochs, that never comes.

    `order` keeps which scenes came when.
    """

    steps = 2

    def __init__(self, lesson, stop_at=None):
        _, self.batch, self.vocabulary = lesson
        self.left = math.inf if stop_at is None else stop_at
        self.order = []

    def __call__(self, generator):
        for chosen in batches(8, 4, generator):
            if self.left == 0:
                raise KeyboardInterrupt
            self.left -= 1
            self.order.append(tuple(chosen.tolist()))
            yield Batch(*(x[chosen] for x in self.batch if x is not None))

    def run(self, out, plan=PLAN, resume=False, seed=0):
        captioner = student(self.vocabulary, seed)
        log = fit(
            captioner, self, self.steps, plan, out, lambda c: {"score": float(torch.rand(()))}, resume, None, shorter
        )
        return captioner, log


def same(one, other):
    one, other = trained_weights(one), trained_weights(other)
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def untimed(log):
    return [{k: v for k, v in record.items() if k != "seconds"} for record in log]


def read_log(out):
    """The log's records; only what every JSON reader understands, so no NaN."""

    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    return [json.loads(line, parse_constant=refuse) for line in (out / "log.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def whole(lesson, tmp_path_factory):
    """A run that nothing interrupted: its folder, captioner and log."""
    out = tmp_path_factory.mktemp("whole")
    return out, *Course(lesson).run(out)


# -- the losses -------------------------------------------------------------------------------------------------------


def test_the_loss_is_the_mean_surprise_at_each_word_that_is_not_padding():
    logits, targets = torch.randn(2, 3, 4, 6), torch.randint(1, 6, (2, 3, 4))
    targets[0, 1, 2:] = PAD
    surprises = []
    for image in range(2):
        for caption in range(3):
            for word in range(4):
                target = int(targets[image, caption, word])
                if target != PAD:
                    scores = logits[image, caption, word].tolist()
                    surprises.append(math.log(sum(math.exp(s) for s in scores)) - scores[target])
    assert len(surprises) == 22
    assert float(caption_loss(logits, targets)) == pytest.approx(sum(surprises) / 22, rel=1e-5)


def test_label_smoothing_mixes_in_the_surprise_at_every_word_alike():
    logits, targets = torch.randn(1, 1, 1, 5), torch.tensor([[[3]]])
    surprise = [math.log(sum(map(math.exp, logits.flatten().tolist()))) - s for s in logits.flatten().tolist()]
    wanted = 0.9 * surprise[3] + 0.1 * sum(surprise) / 5
    assert float(caption_loss(logits, targets, smoothing=0.1)) == pytest.approx(wanted, rel=1e-5)


def test_the_doubly_stochastic_term_is_the_squared_miss_of_one_at_every_place():
    weights, targets = torch.rand(2, 3, 4, 5), torch.randint(1, 9, (2, 3, 4))
    targets[1, 2, 1:] = PAD
    total = 0.0
    for image in range(2):
        for caption in range(3):
            for place in range(5):
                given = sum(
                    float(weights[image, caption, word, place])
                    for word in range(4)
                    if int(targets[image, caption, word]) != PAD
                )
                total += (1 - given) ** 2
    assert float(doubly_stochastic(weights, targets)) == pytest.approx(total / 6, rel=1e-5)


@pytest.mark.parametrize(("words", "places", "floor"), [(8, 16, 0.25 * 16), (12, 196, 196 * (1 - 12 / 196) ** 2)])
def test_uniform_attention_reaches_the_floor_and_nothing_goes_below(words, places, floor):
    targets = torch.ones(1, 1, words, dtype=torch.long)
    uniform = torch.full((1, 1, words, places), 1 / places)
    assert float(doubly_stochastic(uniform, targets)) == pytest.approx(floor, rel=1e-5)
    for _ in range(50):
        sharp = (torch.randn(1, 1, words, places) * 3).softmax(-1)
        assert float(doubly_stochastic(sharp, targets)) > floor


def test_longer_padding_changes_neither_loss():
    """Two more columns of padding, with whatever logits and weights: the same numbers."""
    logits, weights, targets = torch.randn(2, 2, 3, 7), torch.rand(2, 2, 3, 4), torch.randint(1, 7, (2, 2, 3))
    padded = torch.cat([targets, torch.full((2, 2, 2), PAD)], dim=-1)
    for junk in (0.0, 1e3):
        more_logits = torch.cat([logits, torch.full((2, 2, 2, 7), junk)], dim=2)
        more_weights = torch.cat([weights, torch.full((2, 2, 2, 4), junk)], dim=2)
        assert torch.allclose(caption_loss(more_logits, padded), caption_loss(logits, targets))
        assert torch.allclose(doubly_stochastic(more_weights, padded), doubly_stochastic(weights, targets))


def test_being_shown_costs_the_surprise_at_the_look_and_at_the_word_that_the_place_alone_gives(lesson):
    """Word by word, without batches: the mean over the words that speak of something."""
    _, batch, vocabulary = lesson
    captioner = student(vocabulary).eval()
    decoder, targets = captioner.decoder, batch.tokens[..., 1:]
    shown = (torch.rand(*targets.shape, 64) < 0.05) & (torch.rand(*targets.shape, 1) < 0.3)
    grid = captioner.look(batch.source)
    weights = captioner(grid, batch.tokens[..., :-1]).weights
    costs = []
    for picture, beam, word in shown.any(-1).nonzero().tolist():
        there = shown[picture, beam, word]
        region = decoder.adapt(grid.features[picture, there]).mean(0)
        scores = decoder.words(torch.tanh(decoder.from_context(region))).log_softmax(-1)
        cost = weights[picture, beam, word, there].sum().log() + scores[targets[picture, beam, word]]
        costs.append(-cost.item())
    assert len(costs) > 50
    loss = shown_loss(captioner, grid, weights, targets, shown)
    assert loss.item() == pytest.approx(sum(costs) / len(costs), rel=1e-4)


def test_what_is_forgotten_is_a_share_of_the_words_and_never_start_or_padding():
    tokens = torch.randint(4, 30, (40, 5, 20))
    tokens[..., 0], tokens[..., 15:] = Vocabulary.start, PAD
    torch.manual_seed(0)
    read = forget(tokens, 0.3)
    changed = read != tokens
    assert (read[changed] == Vocabulary.unk).all()
    assert not changed[..., 0].any()
    assert not changed[..., 15:].any()
    assert float(changed[..., 1:15].float().mean()) == pytest.approx(0.3, abs=0.03)


# -- one step ---------------------------------------------------------------------------------------------------------


def test_the_rate_rises_to_the_plans_and_falls_to_nothing():
    rates = [rate_at(step, 100, highest=0.3, warm_up=0.2) for step in range(100)]
    assert max(rates) == pytest.approx(0.3)
    peak = rates.index(max(rates))
    assert 18 <= peak <= 20
    assert rates[: peak + 1] == sorted(rates[: peak + 1])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
    assert 0 < rates[0] <= 0.3 / 20 + 1e-9
    assert 0 <= rates[-1] < 0.001
    assert rates[60] == pytest.approx(0.15)  # half way down


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_even_the_shortest_training_moves(steps):
    assert rate_at(0, steps, highest=0.3, warm_up=0.1) == pytest.approx(0.3)


@pytest.mark.parametrize("decoder", ["lstm", "transformer"])
def test_matrices_decay_and_biases_and_norms_do_not(lesson, decoder):
    captioner = build("scenes", lesson[2], "tiny", decoder=decoder)
    captioner.decoder.adapt.requires_grad_(False)
    decaying, free = training.parameter_groups(captioner, 0.5)
    assert (decaying["weight_decay"], free["weight_decay"]) == (0.5, 0.0)
    names = {id(p): name for name, p in captioner.named_parameters()}
    decaying, free = ([names[id(p)] for p in group["params"]] for group in (decaying, free))
    trained = [name for name in names.values() if not name.startswith("decoder.adapt.")]
    assert sorted(decaying + free) == sorted(trained)
    assert {"decoder.embed.weight", "encoder.layers.0.weight"} <= set(decaying)
    assert {name for name in trained if name.endswith("bias") or "norm" in name} <= set(free)


def test_a_step_descends_the_whole_loss_by_at_most_the_clip_times_the_rate(lesson):
    """Plain gradient descent shows the length of the step; the loss that comes back is both terms of the plan."""
    _, batch, vocabulary = lesson
    captioner = student(vocabulary).eval()  # without dropout, so that the loss can be computed again
    before = {k: v.clone() for k, v in captioner.state_dict().items()}
    step = captioner(batch.source, batch.tokens[..., :-1])
    targets = batch.tokens[..., 1:]
    wanted = caption_loss(step.logits, targets, 0.1) + 0.7 * doubly_stochastic(step.weights, targets)
    plan = Plan(epochs=1, rate=1.0, smoothing=0.1, doubly=0.7, clip=1e-3)
    optimizer = torch.optim.SGD(captioner.parameters(), lr=123.0)
    loss = training.cross_entropy(captioner, captioner, batch, plan)
    training.train_step(Fabric(devices=1), captioner, optimizer, loss, plan.clip, rate=0.5)
    assert float(loss.detach()) == pytest.approx(float(wanted.detach()), rel=1e-5)
    moved = [(p.detach() - before[name]).flatten() for name, p in captioner.named_parameters()]
    assert float(torch.cat(moved).norm()) == pytest.approx(0.5 * 1e-3, rel=0.02)
    after = captioner(batch.source, batch.tokens[..., :-1])
    lower = caption_loss(after.logits, targets, 0.1) + 0.7 * doubly_stochastic(after.weights, targets)
    assert bool(lower < wanted)


def test_a_judged_epoch_comes_last_moves_the_weights_and_is_resumed_bit_for_bit(lesson, tmp_path):
    plan = PLAN._replace(epochs=1, judged=2, judged_rate=1e-3)
    whole, log = Course(lesson).run(tmp_path / "whole", plan)
    assert [record["epoch"] for record in log] == [1, 2, 3]
    with pytest.raises(KeyboardInterrupt):
        Course(lesson, stop_at=5).run(tmp_path / "cut", plan)
    resumed, again = Course(lesson).run(tmp_path / "cut", plan, resume=True)
    assert same(whole, resumed)
    assert untimed(log) == untimed(again)
    unjudged, _ = Course(lesson).run(tmp_path / "unjudged", plan._replace(judged=0))
    assert not same(whole, unjudged)


def test_the_judge_is_asked_about_what_is_kept_for_it_and_about_nothing_else(lesson, tmp_path, monkeypatch):
    _, batch, vocabulary = lesson
    taught, kept = (Batch(*(x[some] for x in batch if x is not None)) for some in (slice(0, 6), slice(6, 8)))
    plan, real, at, asked = PLAN._replace(epochs=1, judged=2), training.rate_at, [], []
    monkeypatch.setattr(training, "rate_at", lambda *given: at.append(given[:2]) or real(*given))

    def judge(pictures, captions):
        asked.append(list(pictures))
        return shorter(pictures, captions)

    unseen = (lambda _: iter([kept] * 3), 3)
    fit(student(vocabulary), lambda _: iter([taught]), 1, plan, tmp_path, lambda _: {}, judge=judge, unseen=unseen)
    assert asked == [[6, 7]] * 6
    assert at == [(0, 1), *((step, 6) for step in range(6))]


# -- a whole run ------------------------------------------------------------------------------------------------------


def test_four_scenes_can_be_learnt_by_heart(tmp_path, lesson):
    """The loss comes down to what the choice between five captions leaves open, and what is said is one of the five."""
    drawn, batch, vocabulary = lesson
    batch = Batch(*(x[:4] for x in batch if x is not None))
    captioner = student(vocabulary)
    plan = Plan(epochs=2, rate=5e-3, decay=0.0)
    fit(captioner, lambda _: iter([batch] * 60), 60, plan, tmp_path, lambda _: {})
    said = [detokenize(c.words) for c in evaluation.caption_scenes(captioner, drawn[:4])]
    lines = [[detokenize(tokenize(r.text)) for r in scene.captions] for scene in drawn[:4]]
    assert [line in own for line, own in zip(said, lines, strict=True)] == [True] * 4
    assert len(set(said)) == 4
    open_choice = sum(n * math.log(5 / n) for own in lines for n in Counter(own).values())
    words = sum(len(tokenize(line)) + 1 for own in lines for line in own)  # the end is a word, too
    with torch.inference_mode():
        logits = captioner(batch.source, batch.tokens[..., :-1]).logits
    loss = float(caption_loss(logits, batch.tokens[..., 1:]))
    assert open_choice / words - 1e-4 <= loss < open_choice / words + 0.1


def test_the_log_has_one_json_object_an_epoch(whole):
    out, _, log = whole
    assert read_log(out) == log
    assert [record["epoch"] for record in log] == [1, 2, 3]
    assert all(record.keys() == {"epoch", "loss", "score", "seconds"} for record in log)
    assert log[-1]["loss"] < log[0]["loss"]


def test_the_same_seed_gives_the_same_run_and_another_does_not(whole, lesson, tmp_path):
    _, captioner, log = whole
    again, log_again = Course(lesson).run(tmp_path / "again")
    assert same(captioner, again)
    assert untimed(log) == untimed(log_again)
    other, log_other = Course(lesson).run(tmp_path / "other", PLAN._replace(seed=1))
    assert not same(captioner, other)  # another order, another dropout, though it began with the same weights
    assert untimed(log) != untimed(log_other)


def test_every_epoch_has_an_order_of_its_own_and_goes_on_where_the_rate_was(lesson, tmp_path, monkeypatch):
    """Also after an interruption, which must not make the rate rise again."""
    real, at = training.rate_at, []
    monkeypatch.setattr(training, "rate_at", lambda *given: at.append(given[:2]) or real(*given))
    course = Course(lesson)
    course.run(tmp_path / "whole")
    assert len({tuple(course.order[first : first + 2]) for first in (0, 2, 4)}) == 3
    assert at == [(step, 6) for step in range(6)]
    at.clear()
    stopped, resumed = Course(lesson, stop_at=3), Course(lesson)
    with pytest.raises(KeyboardInterrupt):
        stopped.run(tmp_path / "stopped")
    resumed.run(tmp_path / "stopped", resume=True)
    assert stopped.order[:2] + resumed.order == course.order
    assert at == [(step, 6) for step in (0, 1, 2, 2, 3, 4, 5)]


def test_with_the_judge_the_rate_rises_and_falls_once_more(lesson, tmp_path, monkeypatch):
    real, at = training.rate_at, []
    monkeypatch.setattr(training, "rate_at", lambda *given: at.append(given) or real(*given))
    plan = PLAN._replace(epochs=1, judged=2, judged_rate=1e-3)
    Course(lesson).run(tmp_path, plan)
    taught = [(step, 2, plan.rate, plan.warm_up) for step in range(2)]
    assert at == taught + [(step, 4, 1e-3, plan.warm_up) for step in range(4)]


@pytest.mark.parametrize("stop_at", [1, 2, 3, 5])
def test_a_run_that_was_interrupted_ends_as_if_it_had_not_been(stop_at, whole, lesson, tmp_path):
    """Stopped in an epoch or between two, and gone on with from other first weights: the same to the last bit."""
    _, captioner, log = whole
    with pytest.raises(KeyboardInterrupt):
        Course(lesson, stop_at).run(tmp_path)
    done = len(read_log(tmp_path)) if (tmp_path / "log.jsonl").exists() else 0
    assert done == stop_at // Course.steps
    resumed, log_resumed = Course(lesson).run(tmp_path, resume=True, seed=5 if done else 0)
    assert same(captioner, resumed)
    assert untimed(log_resumed) == untimed(log) == untimed(read_log(tmp_path))


@pytest.mark.parametrize("write", range(6))
def test_a_run_whose_writing_was_interrupted_ends_as_if_it_had_not_been(write, whole, lesson, tmp_path, monkeypatch):
    _, captioner, log = whole
    real, left = training.write_whole, [write]

    def failing(path, data):
        left[0] -= 1
        if left[0] < 0:
            raise OSError("no space left on device")
        real(path, data)

    with monkeypatch.context() as patched:
        patched.setattr(training, "write_whole", failing)
        with pytest.raises(OSError, match="no space"):
            Course(lesson).run(tmp_path)
    resumed, _ = Course(lesson).run(tmp_path, resume=True)
    assert same(captioner, resumed)
    assert untimed(read_log(tmp_path)) == untimed(log)


def test_resuming_a_finished_run_changes_nothing(whole, lesson):
    out, captioner, log = whole
    before = {file.name: file.read_bytes() for file in out.iterdir()}
    again, log_again = Course(lesson, stop_at=0).run(out, resume=True)
    assert same(captioner, again)
    assert log_again == log
    assert {file.name: file.read_bytes() for file in out.iterdir()} == before


def test_without_resume_a_run_starts_again(whole, lesson, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        Course(lesson, stop_at=3).run(tmp_path, PLAN._replace(seed=9))
    again, _ = Course(lesson).run(tmp_path)
    assert same(whole[1], again)


# -- what cannot be resumed from --------------------------------------------------------------------------------------


def cut(path):
    path.write_bytes(path.read_bytes()[:-1000])


def flip_header(path):
    data = bytearray(path.read_bytes())
    data[40] ^= 0xFF
    path.write_bytes(data)


def rewrite(change):
    """A well-formed file with something in it changed by `change(tensors, metadata)`."""

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
    "another model": rewrite(lambda tensors, metadata: metadata.update(settings='{"data": "photos"}')),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file_is_refused_in_one_line_and_left_as_it_is(damage, whole, lesson, tmp_path):
    path = tmp_path / "training.safetensors"
    path.write_bytes((whole[0] / path.name).read_bytes())
    (tmp_path / "log.jsonl").write_text("precious\n")
    DAMAGE[damage](path)
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(ValueError, match=r"training\.safetensors") as caught:
        Course(lesson, stop_at=0).run(tmp_path, resume=True)
    assert "\n" not in str(caught.value)
    assert (path.read_bytes() if path.is_file() else None) == before
    assert (tmp_path / "log.jsonl").read_text() == "precious\n"


@pytest.mark.parametrize("change", [{"rate": 2e-3}, {"epochs": 4}, {"seed": 1}, {"doubly": 0.2}])
def test_a_run_is_not_resumed_under_another_plan(change, whole, lesson):
    out = whole[0]
    before = {file.name: file.read_bytes() for file in out.iterdir()}
    with pytest.raises(ValueError, match=r"training\.safetensors: belongs to another run") as caught:
        Course(lesson, stop_at=0).run(out, PLAN._replace(**change), resume=True)
    assert "\n" not in str(caught.value)
    assert {file.name: file.read_bytes() for file in out.iterdir()} == before


def test_a_loss_that_is_no_number_stops_the_run_and_keeps_the_last_good_epoch(lesson, tmp_path):
    _, batch, vocabulary = lesson
    bad = Batch(torch.full((8, 3, 64, 64), math.nan), batch.tokens)
    epochs = iter([[batch], [bad], [batch]])
    with pytest.raises(ValueError, match="epoch 2: the loss is nan"):
        fit(student(vocabulary), lambda _: iter(next(epochs)), 1, PLAN, tmp_path, lambda _: {})
    assert [record["epoch"] for record in read_log(tmp_path)] == [1]
    assert all(torch.isfinite(x).all() for x in load_file(tmp_path / "training.safetensors").values())
