"""Reinforcement learning: captions with a high reward become more probable, and equal rewards change nothing."""

import copy

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


def test_a_caption_is_worth_one_if_it_is_true_and_names_everything(world):
    """Of the references of fifty scenes, and of the same ones as captions of another scene."""
    world = world[:50]
    reward = tasks.scenes.scene_reward(world)
    for i, other in enumerate([*range(1, 50), 0]):
        lines = [reference.text for reference in world[i].captions]
        assert reward([i], [lines]) == [[1.0] * len(lines)]
        exact = [float(scenes.is_exact(line, world[other])) for line in lines]  # a reference repeats no phrase
        assert reward([other], [lines]) == [exact]
    assert reward([0, 1], [["red"], ["nonsense"]]) == [[0.0], [0.0]]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("two red circles", 1.0),
        ("a small red circle and a large red circle", 1.0),
        ("a red circle and a red circle", 0.0),
        ("a red circle and a small red circle", 1.0),
        ("a red circle", 0.0),
    ],
)
def test_objects_alike_are_counted_or_told_apart(line, expected):
    alike = [scenes.scene_object("a small red circle", 20, 14), scenes.scene_object("a large red circle", 40, 44)]
    assert tasks.scenes.caption_reward(line, scenes.render_scene(alike)) == expected


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


@pytest.mark.parametrize("kl_weight", [0.1, 0.7])
def test_the_divergence_penalty_is_the_log_ratio_to_the_reference_model(captioner, monkeypatch, kl_weight):
    """Recomputed caption by caption from the two models' probabilities of the words that were sampled."""
    reference = copy.deepcopy(captioner)
    with torch.no_grad():
        reference.decoder.output_proj.bias[VOCABULARY.id("red")] += 1.0
    advantages, captions = [], []
    has_signal, sample = training.reinforce.has_signal, decoding.sample
    monkeypatch.setattr(training.reinforce, "has_signal", lambda a, limit: advantages.append(a) or has_signal(a, limit))
    monkeypatch.setattr(decoding, "sample", lambda *a, **k: captions.append(sample(*a, **k)) or captions[-1])
    reward_fn = lambda _, lines: [[float("red" in line) for line in of_image] for of_image in lines]  # noqa: E731
    loss_of(captioner, reward_fn, reference=reference, kl_weight=kl_weight)

    def log_probability(model, image, words):
        ids = torch.tensor([[[VOCABULARY.start, *map(VOCABULARY.id, words), VOCABULARY.end]]])
        logits = model(IMAGES[image : image + 1], ids[..., :-1]).logits
        return training.token_log_probs(logits, ids[..., 1:]).sum().item()

    reward = torch.tensor(
        [
            [
                float("red" in c.words) - kl_weight * (c.log_probability - log_probability(reference, i, c.words))
                for c in of_image
            ]
            for i, of_image in enumerate(captions[0])
        ]
    )
    expected = (reward - reward.mean(1, keepdim=True)) * 5 / 4
    assert torch.allclose(advantages[0], expected, atol=1e-4)


def test_with_the_penalty_a_model_that_gains_nothing_goes_back_to_the_reference(captioner):
    """Equal rewards: the penalty alone moves a model that prefers "red" back to one that does not."""
    reference = copy.deepcopy(captioner)
    with torch.no_grad():
        captioner.decoder.output_proj.bias[VOCABULARY.id("red")] += 2.0
    before, wanted = share_of_red(captioner), share_of_red(reference)
    optimizer = torch.optim.AdamW(training.parameter_groups(captioner, 0.0), lr=1e-2)
    torch.manual_seed(2)
    for _ in range(30):
        loss = loss_of(captioner, lambda _, c: [[0.0] * 5] * 3, reference=reference, kl_weight=0.5)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert before > wanted + 0.1
    assert abs(share_of_red(captioner) - wanted) < abs(before - wanted) / 2
