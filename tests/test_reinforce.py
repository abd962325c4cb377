"""Reinforcement learning: captions with a high reward become more probable, and equal rewards change nothing."""

import pytest
import torch

from companion import decoding, metrics, scenes, tasks, training
from companion.datasets import Example
from companion.vocabulary import SPECIALS, Vocabulary
from tests.helpers import small_captioner

VOCABULARY = Vocabulary([*SPECIALS, "red", "blue", "star"])
IMAGES = torch.randint(0, 256, (3, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
IMAGE_IDS = torch.tensor([7, 5, 9])


@pytest.fixture
def captioner():
    return small_captioner(VOCABULARY).eval()


def loss_of(captioner, reward_fn, **options):
    return training.rloo_loss(
        captioner, captioner, IMAGES, image_ids=IMAGE_IDS, reward_fn=reward_fn, **options
    )  # fmt: skip


def share_of_red(captioner):
    captions = decoding.sample(captioner, IMAGES, VOCABULARY, count=50, generator=torch.Generator().manual_seed(1))
    return sum("red" in caption.words for samples in captions for caption in samples) / 150


def test_a_rewarded_word_becomes_more_probable(captioner):
    before = share_of_red(captioner)
    optimizer = torch.optim.AdamW(training.parameter_groups(captioner, 0.0), lr=5e-3)
    torch.manual_seed(2)
    for _ in range(4):
        loss = loss_of(captioner, lambda _, captions: [["red" in line.split() for line in c] for c in captions])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert share_of_red(captioner) > before + 0.1


def test_captions_with_equal_rewards_teach_nothing(captioner):
    loss_of(captioner, lambda _, captions: [[0.7] * 5 for _ in captions]).backward()
    gradients = [p.grad for p in captioner.parameters() if p.grad is not None]
    assert gradients
    assert all(gradient.abs().max() < 1e-6 for gradient in gradients)


def test_the_reward_function_gets_the_indices_of_the_pictures_and_five_captions_of_each(captioner):
    calls = []
    loss_of(captioner, lambda *arguments: calls.append(arguments) or [[0.0] * 5] * 3)
    ((image_ids, captions),) = calls
    assert image_ids == [7, 5, 9]
    assert [len(samples) for samples in captions] == [5, 5, 5]
    assert all(set(line.split()) <= {"red", "blue", "star"} for samples in captions for line in samples)


def test_the_loss_is_minus_advantage_times_log_probability_per_word(captioner, monkeypatch):
    """Computed a caption at a time, from the log-probabilities that decoding reports.

    The rewards of the second picture differ by less than `min_advantage`: its words count, its advantages do not.
    """
    sampled, sample = [], decoding.sample
    monkeypatch.setattr(decoding, "sample", lambda *a, **k: sampled.append(sample(*a, **k)) or sampled[-1])
    rewards = torch.rand(3, 5, generator=torch.Generator().manual_seed(3))
    rewards[1] = 0.5 + 0.05 * rewards[1]
    loss = loss_of(captioner, lambda *_: rewards.tolist(), min_advantage=0.1)
    total, words = 0.0, 0
    for picture, (captions, own) in enumerate(zip(sampled[0], rewards.tolist(), strict=True)):
        for i, caption in enumerate(captions):
            others = own[:i] + own[i + 1 :]
            if picture != 1:
                total -= (own[i] - sum(others) / 4) * caption.log_probability
            words += len(caption.words) + 1
    assert loss.item() == pytest.approx(total / words, abs=1e-5)


def test_pictures_with_an_advantage_either_way_have_a_signal_and_at_least_one_picture_is_kept():
    advantage = torch.tensor([[0.1, -0.1], [0.0, -0.3], [0.3, 0.0], [0.2, 0.2]])
    assert training.has_signal(advantage, 0.2).tolist() == [1, 2]
    assert training.has_signal(advantage, 0.5).tolist() == [0]


def test_the_temperature_is_that_of_the_samples_and_of_their_probabilities(captioner):
    """As if the model itself divided its logits: the same captions, and the same loss."""

    def loss(temperature):
        torch.manual_seed(4)
        reward_fn = lambda _, captions: [[len(line.split()) / 5 for line in c] for c in captions]  # noqa: E731
        return loss_of(captioner, reward_fn, temperature=temperature).item()

    half, whole = loss(0.5), loss(1.0)
    captioner.decoder.output_proj.register_forward_hook(lambda _, inputs, logits: logits / 0.5)
    assert half == pytest.approx(loss(1.0), abs=1e-6)
    assert half != pytest.approx(whole, abs=1e-3)


def test_a_false_caption_has_no_reward_whatever_its_style_and_a_true_relation_a_quarter_more(world):
    """Of the references of fifty scenes, and of the same ones as captions of another scene."""
    reward = tasks.scenes.caption_reward
    world = world[:50]
    for scene, other in zip(world, [*world[1:], world[0]], strict=True):
        for line in (reference.text for reference in scene.captions):
            assert reward(line, scene) == (1.25 if tasks.scenes.states_relation(line) else 1.0)
            assert reward(line, scene, style=0.3) == reward(line, scene) + 0.3
            assert scenes.is_exact(line, other) or reward(line, other, style=0.3) == 0.0
    assert reward("red", world[0], style=0.3) == 0.0


def test_the_cider_reward_is_the_cider_d_of_each_caption_against_the_references_of_its_picture():
    train = [Example(name, name, tuple(f"a {colour} {shape}" for shape in ("star", "heart")))
             for name, colour in (("one", "red"), ("two", "blue"), ("three", "red"))]  # fmt: skip
    captions = [["a red star", "a blue star"], ["a blue star", "a heart"]]
    rewards = training.cider_reward(train)([2, 1], captions)
    references = metrics.References([example.captions for example in train])
    assert rewards[0] == metrics.cider_d_each(captions[0], references.take([2, 2]))
    assert rewards[1] == metrics.cider_d_each(captions[1], references.take([1, 1]))
    assert rewards[0][0] > rewards[0][1]
    assert rewards[1][0] > rewards[1][1]


def test_the_reward_of_scenes_pays_for_style_in_true_captions_alone():
    world = scenes.make_dataset("train", 20)
    train = tasks.scenes.to_examples(world)
    true = world[3].captions[0].text
    false = next(c.text for s in world for c in s.captions if not scenes.is_exact(c.text, world[3]))
    ((cider_of_true, cider_of_false),) = training.cider_reward(train)([3], [[true, false]])
    assert cider_of_true > cider_of_false > 0
    reward = tasks.scenes.scene_reward(world, train)
    expected = tasks.scenes.caption_reward(true, world[3]) + 0.02 * cider_of_true
    assert reward([3], [[true, false]]) == [[expected, 0.0]]
