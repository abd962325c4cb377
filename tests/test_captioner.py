"""Images in, captions out: the parts are put together so that nothing depends on company, mode or route."""

import pytest
import torch
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from companion import captioner, decoding
from companion.attention import MultiHeadAttention
from companion.captioner import LENGTH_POWER, Captioner
from companion.decoders import LSTMDecoder, TransformerDecoder
from companion.encoders import ConvEncoder, EfficientNetLite0
from companion.mechanisms import MECHANISMS
from companion.vocabulary import Vocabulary

TEXTS = ("a red square", "two blue dots below a red square", "it", "dots in a row")
VOCABULARY = Vocabulary.build(TEXTS)
IMAGES = torch.randint(0, 256, (4, 3, 32, 48), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
for image, dark in zip(IMAGES, [(0, slice(0, 16)), (1,), (2, ..., slice(24, 48)), ()], strict=True):
    image[dark] //= 4


@pytest.fixture(scope="module", params=["lstm", "transformer"])
def trained(request):
    """A captioner that was shown the four pictures often enough to say something of its own about each."""
    torch.manual_seed(0)
    decoder = LSTMDecoder if request.param == "lstm" else TransformerDecoder
    made = Captioner(ConvEncoder((4, 6, 8, 7)), decoder(len(VOCABULARY), 7, 32, dropout=0.1), VOCABULARY)
    tokens = pad_sequence([torch.tensor(VOCABULARY.encode(text)) for text in TEXTS], batch_first=True).unsqueeze(1)
    optimizer = torch.optim.Adam(made.parameters(), lr=0.01)
    for _ in range(60):
        logits = made(IMAGES, tokens[..., :-1]).logits
        optimizer.zero_grad()
        F.cross_entropy(logits.flatten(0, 2), tokens[..., 1:].flatten(), ignore_index=Vocabulary.pad).backward()
        optimizer.step()
    return made.requires_grad_(False)


@pytest.fixture
def tiny(trained):
    return trained.eval()


def same(one, other):
    assert one.words == other.words
    assert one.log_probability == pytest.approx(other.log_probability, abs=1e-4)
    torch.testing.assert_close(one.weights, other.weights, atol=1e-5, rtol=1e-4)


def test_each_word_has_weights_over_rows_and_columns_that_sum_to_one(tiny):
    for caption in tiny.caption(IMAGES, max_words=6):
        assert caption.words
        assert caption.weights.shape == (len(caption.words), 4, 6)
        torch.testing.assert_close(caption.weights.sum((1, 2)), torch.ones(len(caption.words)))


def test_the_rows_of_the_weights_are_the_rows_of_the_picture(tiny):
    grid = tiny.look(IMAGES)
    flat = decoding.beam(tiny.decoder, grid, VOCABULARY, 5, 6, LENGTH_POWER)
    for laid_out, line in zip(tiny.caption(IMAGES, max_words=6), flat, strict=True):
        for row in range(4):
            for col in range(6):
                assert torch.equal(laid_out.weights[:, row, col], line.weights[:, 6 * row + col])


@pytest.mark.parametrize("beam", [1, 3])
def test_a_picture_in_a_batch_is_captioned_as_when_it_is_alone(tiny, beam):
    together = tiny.caption(IMAGES, beam, max_words=6)
    assert len({caption.words for caption in together}) > 1
    for i, caption in enumerate(together):
        same(tiny.caption(IMAGES[i : i + 1], beam, max_words=6)[0], caption)


def test_a_grid_encoded_before_is_captioned_as_its_picture(tiny):
    grid = tiny.look(IMAGES)
    for one, other in zip(tiny.caption(grid, max_words=6), tiny.caption(IMAGES, max_words=6), strict=True):
        same(one, other)


def test_bytes_and_the_same_numbers_as_floats_are_captioned_alike(tiny):
    for one, other in zip(tiny.caption(IMAGES.float(), max_words=6), tiny.caption(IMAGES, max_words=6), strict=True):
        same(one, other)


def test_captioning_uses_eval_mode_and_training_mode_changes_the_answer(tiny):
    tokens = torch.full((4, 1, 3), 5)
    tiny.train()
    assert not torch.allclose(tiny(IMAGES, tokens).logits, tiny(IMAGES, tokens).logits)  # dropout
    first, second = tiny.caption(IMAGES, max_words=6), tiny.caption(IMAGES, max_words=6)
    assert not any(part.training for part in tiny.modules())
    for one, other in zip(first, second, strict=True):
        same(one, other)
    assert torch.equal(tiny(IMAGES, tokens).logits, tiny(IMAGES, tokens).logits)


def test_a_captioner_is_a_model_that_every_search_takes(tiny):
    greedy = decoding.greedy(tiny, IMAGES, VOCABULARY, 6)
    for one, other in zip(greedy, tiny.caption(IMAGES, beam=1, max_words=6), strict=True):
        assert one.words == other.words
        torch.testing.assert_close(one.weights.flatten(), other.weights.flatten())
    drawn = decoding.sample(tiny, IMAGES, VOCABULARY, 3, 6, top_k=1)
    assert [[caption.words for caption in picture] for picture in drawn] == [[caption.words] * 3 for caption in greedy]


def test_a_caption_scores_in_teacher_forcing_what_the_search_says(tiny):
    found = tiny.caption(IMAGES, max_words=8)
    ids = [torch.tensor(VOCABULARY.encode(" ".join(caption.words))) for caption in found]
    step = tiny(IMAGES, pad_sequence(ids, batch_first=True)[:, None, :-1])
    for caption, said, logits, weights in zip(found, ids, step.logits[:, 0], step.weights[:, 0], strict=True):
        scores = logits.log_softmax(-1)[range(len(said) - 1), said[1:]]
        assert scores.sum().item() == pytest.approx(caption.log_probability, abs=1e-4)
        torch.testing.assert_close(weights[: len(said) - 2], caption.weights.flatten(1), atol=1e-5, rtol=1e-4)


def test_no_pictures_have_no_captions(tiny):
    assert tiny.caption(IMAGES[:0]) == []


# --- build --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("attention", MECHANISMS)
def test_the_parts_are_those_that_were_named(attention):
    made = captioner.build("scenes", VOCABULARY, "tiny", attention)
    assert isinstance(made.encoder, ConvEncoder)
    assert isinstance(made.decoder, LSTMDecoder)
    assert type(made.decoder.attention) is MECHANISMS[attention]
    assert made.decoder.words.out_features == len(VOCABULARY)
    assert made.settings == {"data": "scenes", "size": "tiny", "attention": attention, "decoder": "lstm", "decoders": 1}
    assert all(x.requires_grad for x in made.parameters())


def test_a_transformer_is_built_by_name_and_captions_a_scene():
    made = captioner.build("scenes", VOCABULARY, "tiny", decoder="transformer")
    assert isinstance(made.decoder, TransformerDecoder)
    assert isinstance(made.decoder.blocks[0].at_picture, MultiHeadAttention)
    (caption,) = made.caption(torch.zeros(1, 3, 64, 64, dtype=torch.uint8), max_words=4)
    assert caption.weights.shape == (len(caption.words), 8, 8)


def test_each_size_is_larger_than_the_one_before():
    models = [captioner.build("scenes", VOCABULARY, size) for size in captioner.SIZES]
    sizes = [sum(x.numel() for x in model.parameters()) for model in models]
    assert sizes == sorted(set(sizes))


CHOICES = {
    "data": ("photos", "scenes"),
    "size": tuple(captioner.SIZES),
    "attention": tuple(MECHANISMS),
    "decoder": ("lstm", "transformer"),
}


@pytest.mark.parametrize("decoder", ["lstm", "transformer"])
@pytest.mark.parametrize("name", CHOICES)
def test_an_unknown_name_is_refused_and_the_choices_are_listed(name, decoder):
    settings = {"data": "scenes", "size": "tiny", "attention": "additive", "decoder": decoder, name: "nonsense"}
    with pytest.raises(ValueError, match=f"no {name} called 'nonsense'") as caught:
        captioner.build(vocabulary=VOCABULARY, **settings)
    assert all(choice in str(caught.value) for choice in CHOICES[name])
    assert len(str(caught.value).splitlines()) == 1


def test_a_captioner_of_photographs_has_a_frozen_encoder_that_training_mode_does_not_change():
    made = captioner.build("photos", VOCABULARY, "tiny")
    assert isinstance(made.encoder, EfficientNetLite0)
    assert not any(x.requires_grad for x in made.encoder.parameters())
    assert all(x.requires_grad for x in made.decoder.parameters())
    photograph = torch.randint(0, 256, (1, 3, 96, 160), dtype=torch.uint8)
    before = made.eval().look(photograph)
    after = made.train().look(photograph)
    assert torch.equal(before.features, after.features)
    (caption,) = made.caption(photograph, max_words=3)
    assert caption.weights.shape == (len(caption.words), 3, 5)
