"""Learning from a judge: what is praised becomes likelier, what is like all the others stays as it is."""

import pytest
import torch

from companion import decoding, evaluation, metrics, rewards, scenes
from companion.captioner import build
from companion.datasets import Example
from companion.training import parameter_groups
from companion.vocabulary import SPECIALS, Vocabulary

WORDS = Vocabulary([*SPECIALS, "red", "blue", "star"])
IMAGES = torch.randint(0, 256, (3, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
PICTURES = torch.tensor([7, 5, 9])


@pytest.fixture
def captioner():
    torch.manual_seed(0)
    return build("scenes", WORDS, "tiny").eval()


def share_of_red(captioner):
    said = decoding.sample(captioner, IMAGES, WORDS, count=50, generator=torch.Generator().manual_seed(1))
    return sum("red" in caption.words for several in said for caption in several) / 150


def test_a_word_that_the_judge_praises_becomes_likelier(captioner):
    before = share_of_red(captioner)
    optimizer = torch.optim.AdamW(parameter_groups(captioner, 0.0), lr=1e-3)
    torch.manual_seed(2)
    for _ in range(20):
        loss = rewards.self_critical_loss(
            captioner, captioner, IMAGES, PICTURES, lambda _, said: [["red" in c.split() for c in s] for s in said]
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert share_of_red(captioner) > before + 0.1


def test_captions_that_are_all_worth_the_same_teach_nothing(captioner):
    loss = rewards.self_critical_loss(captioner, captioner, IMAGES, PICTURES, lambda _, said: [[0.7] * 5 for _ in said])
    loss.backward()
    gradients = [p.grad for p in captioner.parameters() if p.grad is not None]
    assert gradients
    assert all(gradient.abs().max() < 1e-6 for gradient in gradients)


def test_the_judge_hears_which_pictures_and_five_captions_of_each(captioner):
    heard = []
    rewards.self_critical_loss(
        captioner, captioner, IMAGES, PICTURES, lambda *said: heard.append(said) or [[0.0] * 5] * 3
    )
    ((pictures, captions),) = heard
    assert pictures == [7, 5, 9]
    assert [len(several) for several in captions] == [5, 5, 5]
    assert all(set(caption.split()) <= {"red", "blue", "star"} for several in captions for caption in several)


def test_the_loss_is_advantage_times_log_probability_a_word(captioner, monkeypatch):
    """Worked out a caption at a time, from the log-probabilities that decoding reports.

    The captions of the second picture differ by less than is learnt from: its words count, its advantages do not.
    """
    made = []
    sample = decoding.sample
    monkeypatch.setattr(decoding, "sample", lambda *a, **k: made.append(sample(*a, **k)) or made[-1])
    worth = torch.rand(3, 5, generator=torch.Generator().manual_seed(3))
    worth[1] = 0.5 + 0.05 * worth[1]
    judge = lambda *_: worth.tolist()  # noqa: E731
    loss = rewards.self_critical_loss(captioner, captioner, IMAGES, PICTURES, judge, least=0.1)
    total, words = 0.0, 0
    for picture, (several, rewarded) in enumerate(zip(made[0], worth.tolist(), strict=True)):
        for i, caption in enumerate(several):
            others = rewarded[:i] + rewarded[i + 1 :]
            if picture != 1:
                total -= (rewarded[i] - sum(others) / 4) * caption.log_probability
            words += len(caption.words) + 1
    assert loss.item() == pytest.approx(total / words, abs=1e-5)


def test_a_temperature_serves_both_to_draw_and_to_say_how_probable(captioner):
    """As if the model itself divided its logits: the same captions, and the same loss."""

    def loss(temperature):
        torch.manual_seed(4)
        judge = lambda _, said: [[len(c.split()) / 5 for c in several] for several in said]  # noqa: E731
        return rewards.self_critical_loss(captioner, captioner, IMAGES, PICTURES, judge, temperature=temperature).item()

    half, whole = loss(0.5), loss(1.0)
    captioner.decoder.words.register_forward_hook(lambda _, inputs, logits: logits / 0.5)
    assert half == pytest.approx(loss(1.0), abs=1e-6)
    assert half != pytest.approx(whole, abs=1e-3)


def test_a_false_caption_is_worth_nothing_whatever_its_style_and_a_true_relation_a_quarter_more():
    """Of the references of a hundred scenes, and of the same ones said of another scene."""
    drawn = scenes.make("test", 100)
    for scene, other in zip(drawn, [*drawn[1:], drawn[0]], strict=True):
        for line in (caption.text for caption in scene.captions):
            assert rewards.worth(line, scene) == (1.25 if evaluation.related(line) else 1.0)
            assert rewards.worth(line, scene, style=0.3) == rewards.worth(line, scene) + 0.3
            assert scenes.is_exact(line, other) or rewards.worth(line, other, style=0.3) == 0.0
    assert rewards.worth("red", drawn[0], style=0.3) == 0.0


def test_likeness_is_the_cider_d_of_each_caption_against_those_of_its_picture():
    train = [Example(name, name, tuple(f"a {colour} {shape}" for shape in ("star", "heart")))
             for name, colour in (("one", "red"), ("two", "blue"), ("three", "red"))]  # fmt: skip
    said = [["a red star", "a blue star"], ["a blue star", "a heart"]]
    marks = rewards.judge_of_likeness(train)([2, 1], said)
    references = metrics.References([example.captions for example in train])
    assert marks[0] == metrics.cider_d_each(said[0], references.take([2, 2]))
    assert marks[1] == metrics.cider_d_each(said[1], references.take([1, 1]))
    assert marks[0][0] > marks[0][1]
    assert marks[1][0] > marks[1][1]


def test_the_judge_of_scenes_pays_style_to_true_captions_alone():
    world = scenes.make("train", 20)
    train = evaluation.scene_examples(world)
    own = world[3].captions[0].text
    false = next(c.text for s in world for c in s.captions if not scenes.is_exact(c.text, world[3]))
    judge, likeness = rewards.judge_of_scenes(world, train), rewards.judge_of_likeness(train)
    (alike, like_too) = likeness([3], [[own, false]])[0]
    assert alike > like_too > 0
    assert judge([3], [[own, false]]) == [[rewards.worth(own, world[3]) + 0.02 * alike, 0.0]]
