"""Giving a word the attention of another object: one place alone, the model's own weights, probes counted by hand."""

import pytest
import torch

from companion import decoding, scenes
from companion.attention import MECHANISMS
from companion.encoders import Grid
from companion.metrics import redirection
from companion.metrics.redirection import Probe
from companion.models import build
from companion.vocabulary import SPECIALS, Vocabulary

WORDS = Vocabulary([*SPECIALS, "a", "red", "circle"])
KINDS = [*((name, "lstm") for name in MECHANISMS), ("multi_head", "transformer")]
PLACES = 6


def decoder_and_state(attention, kind):
    """Return an untrained decoder with its state after one word, for two pictures of six places."""
    torch.manual_seed(0)
    decoder = build("scenes", WORDS, "tiny", attention=attention, decoder=kind, positions=False).decoder.eval()
    channels = decoder.input_proj[0].normalized_shape[0]
    state = decoder.start(Grid(torch.randn(2, PLACES, channels), 2, 3))
    return decoder, decoder.step(torch.tensor([[1], [1]]), state).state


@pytest.mark.parametrize(("attention", "kind"), [k for k in KINDS if k[0] != "adaptive"])
@torch.no_grad()
def test_all_weight_on_one_place_is_the_picture_with_that_place_alone(attention, kind):
    """But for adaptive attention, whose sentinel would get another share."""
    decoder, state = decoder_and_state(attention, kind)
    place = torch.tensor([4, 1])
    token = torch.tensor([[4], [5]])
    given = decoder.step(token, redirection.redirect(state, torch.eye(PLACES)[place])).logits
    rows, carry = torch.arange(2), state.carry
    memory = tuple(m[rows, ..., place, :].unsqueeze(-2) for m in state.memory)
    if attention == "coverage":
        *carry, history = carry
        carry = (*carry, history[rows, :, place].unsqueeze(-2))
    alone = decoder.step(token, state._replace(memory=memory, carry=tuple(carry))).logits
    torch.testing.assert_close(given, alone)


@pytest.mark.parametrize("attention", [name for name in MECHANISMS if name != "multi_head"])
@torch.no_grad()
def test_the_own_weights_change_nothing_and_others_do(attention):
    """But for several heads, which have weights of their own."""
    decoder, state = decoder_and_state(attention, "lstm")
    token = torch.tensor([[4], [5]])
    step = decoder.step(token, state)
    own = step.weights[:, 0] / step.weights[:, 0].sum(-1, keepdim=True)  # a sentinel has the rest
    torch.testing.assert_close(decoder.step(token, redirection.redirect(state, own)).logits, step.logits)
    other = decoder.step(token, redirection.redirect(state, own.roll(1, -1) ** 2)).logits
    assert (other - step.logits).abs().max() > 1e-4


def scene(*descriptions):
    """Return a scene of these objects, from left to right."""
    objects = tuple(scenes.scene_object(d, row=32, col=14 + 18 * i, radius=7) for i, d in enumerate(descriptions))
    return scenes.Scene(0, None, objects, None, ())


def caption(text):
    """Return a caption without maps."""
    return decoding.Caption(tuple(text.split()), 0.0, torch.zeros(len(text.split()), 1))


def test_each_shape_word_of_a_true_caption_is_probed_with_the_first_other_shape():
    world = [scene("a red circle", "a blue star"), scene("a red circle", "a red heart", "a blue circle")]
    world += [scene("a red circle", "a blue circle"), scene("a red circle", "a blue star")]
    captions = [
        caption("a red circle is left of a blue star"),
        caption("there is a red circle and a red heart and a blue circle"),
        caption("a red circle and a blue circle"),  # no other shape
        caption("a red circle is right of a blue star"),  # false
    ]
    probes = redirection.find_probes(captions, world)
    assert probes == [Probe(0, 2, 8), Probe(0, 8, 2), Probe(1, 4, 8), Probe(1, 8, 4), Probe(1, 12, 8)]


def test_a_word_in_the_plural_names_the_same_shape():
    captions = [caption("two red circles and a blue cross")]
    probes = [Probe(0, 2, 6)] * 5
    words = ["circles", "crosses", "cross", "hearts", "red"]
    assert redirection.outcomes(words, captions, probes) == ["own", "other", "other", "neither", "neither"]


@pytest.fixture(scope="module")
def probed(scenes_captioner, world):
    """The shipped captioner's captions of forty scenes, and the probes in them."""
    captions = scenes_captioner.caption(scenes.image_tensor(world[:40]), beam=1)
    return captions, redirection.find_probes(captions, world[:40])


def maps(captions, positions):
    """Return the flat maps of words, given as pairs of caption and position."""
    return torch.stack([captions[i].weights[t].flatten() for i, t in positions])


def test_with_its_own_attention_every_word_stays(scenes_captioner, world, probed):
    captions, probes = probed
    own = maps(captions, [(p.caption, p.word) for p in probes])
    words = redirection.predict(scenes_captioner, captions, world[:40], probes, own)
    assert words == [captions[p.caption].words[p.word] for p in probes]


def test_with_the_attention_of_another_object_most_words_change_and_batches_do_not_matter(
    scenes_captioner, world, probed
):
    captions, probes = probed
    other = maps(captions, [(p.caption, p.other) for p in probes])
    words = redirection.predict(scenes_captioner, captions, world[:40], probes, other)
    assert words == redirection.predict(scenes_captioner, captions, world[:40], probes, other, batch_size=7)
    results = redirection.outcomes(words, captions, probes)
    assert len(results) > 30
    assert results.count("other") > len(results) / 2
    vocabulary, probe = scenes_captioner.vocabulary, probes[-1]  # once more, word by word
    state = scenes_captioner.start(scenes.image_tensor([world[probe.caption]]))
    with torch.no_grad():
        for previous in vocabulary.encode(captions[probe.caption].text)[: probe.word]:
            state = scenes_captioner.step(torch.tensor([[previous]]), state).state
        last = vocabulary.encode(captions[probe.caption].text)[probe.word]
        logits = scenes_captioner.step(torch.tensor([[last]]), redirection.redirect(state, other[-1:])).logits
    assert vocabulary.words[int(logits.argmax())] == words[-1]
