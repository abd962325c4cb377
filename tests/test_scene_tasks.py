"""Captioners of scenes: the scenes that they are trained on, where places are, and the probes of what they know."""

import copy

import pytest
import torch

from companion import checkpoints, decoders, encoders, models, scenes, tasks, training
from companion.encoders import Grid
from companion.metrics import statements
from companion.tasks import scene_probes
from companion.training import TrainConfig
from companion.vocabulary import Vocabulary

CONFIG = TrainConfig(epochs=1, lr=1e-3, batch_size=4, captions_per_image=2, alignment_weight=1.0)


@pytest.fixture(scope="module")
def vocabulary(world):
    return Vocabulary.build(reference.text for scene in world for reference in scene.captions)


@pytest.fixture(scope="module")
def captioner(vocabulary):
    torch.manual_seed(0)
    return models.build("scenes", vocabulary, "tiny").eval()


def seen(batches, seed):
    return [s.seed for _ in batches.epoch(torch.Generator().manual_seed(seed)) for s in batches.world]


def test_an_epoch_draws_its_scenes_from_the_generator_and_no_two_epochs_share_one(vocabulary):
    batches = tasks.scene_batches.SceneBatches(10, vocabulary, CONFIG)
    first, again, other = seen(batches, 0), seen(batches, 0), seen(batches, 1)
    assert first == again
    assert not set(first) & set(other)
    assert len(set(first)) == 10
    assert len(batches) == len(list(batches.epoch(torch.Generator().manual_seed(0)))) == 3


def test_the_indices_of_a_batch_are_those_of_the_scenes_it_was_cut_from(vocabulary, monkeypatch):
    """Over several pools: images, captions and places belong to `world[image_ids]`."""
    monkeypatch.setattr(tasks.scene_batches.SceneBatches, "pool", 2)
    batches = tasks.scene_batches.SceneBatches(20, vocabulary, CONFIG)
    pools = set()
    for batch in batches.epoch(torch.Generator().manual_seed(3)):
        world = [batches.world[i] for i in batch.image_ids.tolist()]
        pools.add(batches.world[0].seed)
        assert torch.equal(batch.source, scenes.image_tensor(world))
        for scene, ids in zip(world, batch.tokens.tolist(), strict=True):
            references = {reference.text for reference in scene.captions}
            assert {" ".join(vocabulary.decode(row)) for row in ids} <= references
        assert batch.alignment.shape[:3] == (*batch.tokens.shape[:2], batch.tokens.shape[2] - 1)
    assert len(pools) == 3


def test_the_positional_encoding_tells_every_place_from_every_other():
    encoding = encoders.grid_positions(8, 6)
    assert encoding.shape == (48, encoders.POSITION_CHANNELS)
    assert torch.cdist(encoding, encoding).fill_diagonal_(9).min() > 0.1
    grid = encoding.view(8, 6, -1)
    assert (grid[1:, :, 0] > grid[:-1, :, 0]).all()  # y grows downwards
    assert (grid[:, 1:, 1] > grid[:, :-1, 1]).all()  # x grows to the right
    assert torch.allclose(grid.flip(1)[..., 1], -grid[..., 1], atol=1e-6)  # the mirror image of a place


@pytest.mark.parametrize("decoder", ["lstm", "transformer"])
def test_with_positions_a_decoder_sees_where_a_feature_lies(decoder):
    """Exchanging two places changes nothing without positions, and something with them."""
    torch.manual_seed(0)
    features = torch.randn(1, 16, 12)
    order = torch.arange(16)
    order[[0, 15]] = order[[15, 0]]
    tokens = torch.tensor([[[1, 4, 5, 6]]])
    for positions in (False, True):
        attention = decoders.DECODERS[decoder].default_attention
        module = decoders.DECODERS[decoder](9, 12, 32, attention=attention, dropout=0.1, positions=positions).eval()
        logits = [module(Grid(f, 4, 4), tokens).logits for f in (features, features[:, order])]
        assert torch.allclose(*logits, atol=1e-5) != positions


def test_captioners_of_scenes_have_positions_and_those_of_photographs_have_none(captioner, vocabulary):
    assert captioner.decoder.input_proj.positions
    assert not models.build("photos", vocabulary, "tiny").decoder.input_proj.positions


def test_the_forced_choice_is_a_coin_toss_untrained_and_finds_a_bias(captioner, world):
    """A model that likes "left" alone is right for half of the left-right pairs, as one that likes "right" is."""
    plain = scene_probes.forced_choice(captioner, world[:60])
    assert 0.2 < plain < 0.8
    biased = copy.deepcopy(captioner)
    with torch.no_grad():
        biased.decoder.output_proj.bias[[biased.vocabulary.id("left"), biased.vocabulary.id("above")]] += 50.0
    assert scene_probes.forced_choice(biased, world[:60]) == pytest.approx(0.5, abs=0.01)  # every pair in both orders
    assert scene_probes.forced_choice(captioner, []) == 0.0


def test_the_reference_loss_is_the_mean_over_all_words(captioner, world):
    together = scene_probes.reference_loss(captioner, world[:12])
    by_parts = scene_probes.reference_loss(captioner, world[:12], batch_size=5)
    assert together == pytest.approx(by_parts, rel=1e-5)
    uniform = torch.log(torch.tensor(float(len(captioner.vocabulary))))
    assert together > uniform / 2


def test_samples_are_those_of_their_seed(captioner, world):
    one, same = (scene_probes.sample_captions(captioner, world[:4], seed=3) for _ in range(2))
    assert one == same != scene_probes.sample_captions(captioner, world[:4], seed=4)
    scores = scene_probes.sample_scores(captioner, world[:4])
    assert 1 <= scores["distinct_of_five"] <= 5
    assert 0 <= scores["true_of_five"] <= 1


def test_a_run_with_the_penalty_resumes_from_its_reference_and_refuses_a_damaged_one(tmp_path):
    config = TrainConfig(epochs=1, lr=1e-3, captions_per_image=2, rl_epochs=2, rl_lr=1e-3, kl_weight=0.5, batch_size=8)

    class Stopped(Exception):
        pass

    def run(out, vocabulary, *, resume=False, stop_after=None):
        torch.manual_seed(1)
        captioner = models.build("scenes", vocabulary, "tiny", attention="dot")
        batches = tasks.scene_batches.SceneBatches(8, vocabulary, config)
        done = []

        def validate(_):
            done.append(1)
            return {}

        class Cut:
            def __len__(self):
                return len(batches)

            def epoch(self, generator):
                if len(done) == stop_after:
                    raise Stopped
                return batches.epoch(generator)

        reward = lambda _, captions: [[len(set(line.split())) / 9 for line in c] for c in captions]  # noqa: E731
        training.fit(captioner, Cut(), config, out=out, validate=validate, resume=resume, reward_fn=reward)
        return torch.cat([p.detach().flatten() for p in captioner.parameters()])

    words = Vocabulary.build(reference.text for s in scenes.make_dataset("train", 50) for reference in s.captions)
    whole = run(tmp_path / "whole", words)
    with pytest.raises(Stopped):
        run(tmp_path / "cut", words, stop_after=2)
    reference = tmp_path / "cut" / "reference.safetensors"
    kept = reference.read_bytes()
    assert kept == (tmp_path / "whole" / "reference.safetensors").read_bytes()
    reference.write_bytes(kept[:100])
    with pytest.raises(ValueError, match=r"reference\.safetensors: cannot be read"):
        run(tmp_path / "cut", words, resume=True)
    reference.write_bytes(kept)
    assert torch.equal(run(tmp_path / "cut", words, resume=True), whole)


def test_in_reinforcement_the_cross_entropy_term_teaches_where_the_reward_says_nothing(vocabulary, tmp_path):
    """Every caption has the reward 1, so nothing else changes the weights."""
    config = TrainConfig(
        epochs=0, lr=1e-3, captions_per_image=2, rl_epochs=2, rl_lr=3e-3, batch_size=8, weight_decay=0.0
    )
    losses = {}
    for weight in (0.0, 1.0):
        torch.manual_seed(1)
        captioner = models.build("scenes", vocabulary, "tiny", attention="dot")
        batches = tasks.scene_batches.SceneBatches(80, vocabulary, config)
        world = scenes.make_dataset("validation", 20)
        before = scene_probes.reference_loss(captioner, world)
        training.fit(
            captioner, batches, config._replace(rl_ce_weight=weight), out=tmp_path / str(weight),
            validate=lambda _: {}, reward_fn=lambda _, captions: [[1.0] * 5] * len(captions),
        )  # fmt: skip
        losses[weight] = scene_probes.reference_loss(captioner, world) - before
    assert abs(losses[0.0]) < 1e-3
    assert losses[1.0] < -0.3


def test_an_article_and_a_relation_have_the_places_of_the_object_that_follows(world):
    targets = tasks.scene_batches.alignment_targets(world)
    checked = set()
    for scene, scene_targets in zip(world, targets, strict=True):
        for reference, places in zip(scene.captions, scene_targets, strict=True):
            following = torch.zeros_like(places[0])
            for position in reversed(range(len(reference.words))):
                word = reference.words[position]
                if reference.mentions[position]:
                    following = places[position]
                elif word in ("a", "an", "left", "above"):
                    assert torch.equal(places[position], following)
                    checked.add(word)
                elif word in ("is", "are", "there", "and"):
                    assert not places[position].any()
    assert checked == {"a", "an", "left", "above"}


def test_a_captioner_with_a_self_attention_block_comes_back_from_its_checkpoint(vocabulary, tmp_path, world):
    captioner = models.build("scenes", vocabulary, "tiny", attention="dot", blocks=1).eval()
    checkpoints.save(captioner, tmp_path, {})
    loaded = checkpoints.load(tmp_path)
    assert loaded.config["blocks"] == 1
    images = scenes.image_tensor(world[:3])
    assert torch.allclose(loaded.encode(images).features, captioner.encode(images).features, atol=0.05)
    assert models.build("scenes", vocabulary, "tiny").encoder.position_proj is None


def test_a_captioner_of_scenes_without_positions_comes_back_without_them(vocabulary, tmp_path):
    captioner = models.build("scenes", vocabulary, "tiny", attention="dot", positions=False)
    checkpoints.save(captioner, tmp_path, {})
    assert not checkpoints.load(tmp_path).decoder.input_proj.positions


def test_weak_relations_are_true_and_some_of_them_are_stated_by_no_reference(world):
    weak = [tasks.scene_batches.state_weak_relations(scene) for scene in world]
    unclear = 0
    for scene, other in zip(world, weak, strict=True):
        assert other.objects == scene.objects
        for caption in other.captions:
            assert scenes.is_exact(caption.text, scene)
            stated = statements.relations(caption.text)
            clear = {relation for reference in scene.captions for relation in statements.relations(reference.text)}
            unclear += bool(stated - clear)
    assert unclear > len(world) / 4
    assert tasks.scene_batches.state_weak_relations(world[0]) == weak[0]
