"""A captioner generates the same caption alone or in a batch, from images or grids, in whatever mode it was before."""

import pytest
import torch
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from companion import decoding, models
from companion.attention import MECHANISMS
from companion.decoders import DECODERS, Ensemble
from companion.encoders import ConvEncoder, EfficientNetLite0
from companion.models import LENGTH_POWER, Captioner
from companion.vocabulary import Vocabulary

TEXTS = ("a red square", "two blue dots below a red square", "it", "dots in a row")
VOCABULARY = Vocabulary.build(TEXTS)
IMAGES = torch.randint(0, 256, (4, 3, 32, 48), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
for image, dark in zip(IMAGES, [(0, slice(0, 16)), (1,), (2, ..., slice(24, 48)), ()], strict=True):
    image[dark] //= 4


@pytest.fixture(scope="module", params=DECODERS)
def trained(request):
    """A captioner that has been trained on the four pictures until it generates different captions of them."""
    torch.manual_seed(0)
    cls = DECODERS[request.param]
    decoder = cls(len(VOCABULARY), 7, 32, attention=cls.default_attention, dropout=0.1)
    captioner = Captioner(ConvEncoder((4, 6, 8, 7)), decoder, VOCABULARY, image_size=32)
    tokens = pad_sequence([torch.tensor(VOCABULARY.encode(text)) for text in TEXTS], batch_first=True).unsqueeze(1)
    optimizer = torch.optim.Adam(captioner.parameters(), lr=0.01)
    for _ in range(60):
        logits = captioner(IMAGES, tokens[..., :-1]).logits
        optimizer.zero_grad()
        F.cross_entropy(logits.flatten(0, 2), tokens[..., 1:].flatten(), ignore_index=Vocabulary.pad).backward()
        optimizer.step()
    return captioner.requires_grad_(False)


@pytest.fixture
def captioner(trained):
    return trained.eval()


def assert_same(one, other):
    assert one.words == other.words
    assert one.log_probability == pytest.approx(other.log_probability, abs=1e-4)
    torch.testing.assert_close(one.weights, other.weights, atol=1e-5, rtol=1e-4)


def test_each_word_has_weights_over_rows_and_columns_that_sum_to_one(captioner):
    for caption in captioner.caption(IMAGES, max_words=6):
        assert caption.words
        assert caption.weights.shape == (len(caption.words), 4, 6)
        torch.testing.assert_close(caption.weights.sum((1, 2)), torch.ones(len(caption.words)))


def test_the_rows_of_the_weights_are_the_rows_of_the_picture(captioner):
    grid = captioner.encode(IMAGES)
    flat = decoding.beam_search(captioner.decoder, grid, VOCABULARY, 5, max_words=6, length_power=LENGTH_POWER)
    for unflattened, caption in zip(captioner.caption(IMAGES, max_words=6), flat, strict=True):
        for row in range(4):
            for col in range(6):
                assert torch.equal(unflattened.weights[:, row, col], caption.weights[:, 6 * row + col])


@pytest.mark.parametrize("beam", [1, 3])
def test_a_picture_in_a_batch_gets_the_caption_that_it_gets_alone(captioner, beam):
    captions = captioner.caption(IMAGES, beam, max_words=6)
    assert len({caption.words for caption in captions}) > 1
    for i, caption in enumerate(captions):
        assert_same(captioner.caption(IMAGES[i : i + 1], beam, max_words=6)[0], caption)


def test_a_grid_gets_the_caption_of_its_image(captioner):
    grid = captioner.encode(IMAGES)
    for one, other in zip(captioner.caption(grid, max_words=6), captioner.caption(IMAGES, max_words=6), strict=True):
        assert_same(one, other)


def test_bytes_and_the_same_numbers_as_floats_get_the_same_caption(captioner):
    for one, other in zip(
        captioner.caption(IMAGES.float(), max_words=6), captioner.caption(IMAGES, max_words=6), strict=True
    ):
        assert_same(one, other)


def test_captioning_switches_to_eval_mode_and_training_mode_has_dropout(captioner):
    tokens = torch.full((4, 1, 3), 5)
    captioner.train()
    assert not torch.allclose(captioner(IMAGES, tokens).logits, captioner(IMAGES, tokens).logits)  # dropout
    first, second = captioner.caption(IMAGES, max_words=6), captioner.caption(IMAGES, max_words=6)
    assert not any(part.training for part in captioner.modules())
    for one, other in zip(first, second, strict=True):
        assert_same(one, other)
    assert torch.equal(captioner(IMAGES, tokens).logits, captioner(IMAGES, tokens).logits)


def test_every_search_accepts_a_captioner_as_its_model(captioner):
    greedy = decoding.greedy(captioner, IMAGES, VOCABULARY, max_words=6)
    for one, other in zip(greedy, captioner.caption(IMAGES, beam=1, max_words=6), strict=True):
        assert one.words == other.words
        torch.testing.assert_close(one.weights.flatten(), other.weights.flatten())
    samples = decoding.sample(captioner, IMAGES, VOCABULARY, count=3, max_words=6, top_k=1)
    assert [[caption.words for caption in several] for several in samples] == [[c.words] * 3 for c in greedy]


def test_teacher_forcing_gives_a_caption_the_log_probability_and_weights_of_the_search(captioner):
    captions = captioner.caption(IMAGES, max_words=8)
    tokens = [torch.tensor(VOCABULARY.encode(caption.text)) for caption in captions]
    step = captioner(IMAGES, pad_sequence(tokens, batch_first=True)[:, None, :-1])
    for caption, ids, logits, weights in zip(captions, tokens, step.logits[:, 0], step.weights[:, 0], strict=True):
        log_probs = logits.log_softmax(-1)[range(len(ids) - 1), ids[1:]]
        assert log_probs.sum().item() == pytest.approx(caption.log_probability, abs=1e-4)
        torch.testing.assert_close(weights[: len(ids) - 2], caption.weights.flatten(1), atol=1e-5, rtol=1e-4)


def test_an_empty_batch_has_no_captions(captioner):
    assert captioner.caption(IMAGES[:0]) == []


# --- build --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("decoder", "attention"), [(name, attention) for name, cls in DECODERS.items() for attention in cls.mechanisms]
)
def test_a_captioner_has_the_parts_that_were_named(decoder, attention):
    captioner = models.build("scenes", VOCABULARY, "tiny", attention=attention, decoder=decoder)
    assert isinstance(captioner.encoder, ConvEncoder)
    assert type(captioner.decoder) is DECODERS[decoder]
    assert MECHANISMS[attention] in map(type, captioner.decoder.modules())
    assert captioner.config == {
        "task": "scenes",
        "size": "tiny",
        "attention": attention,
        "decoder": decoder,
        "decoders": 1,
        "positions": True,
    }
    assert captioner.image_size == 64
    assert all(x.requires_grad for x in captioner.parameters())
    (caption,) = captioner.caption(torch.zeros(1, 3, 64, 64, dtype=torch.uint8), max_words=4)
    assert caption.weights.shape == (len(caption.words), 8, 8)


@pytest.mark.parametrize("decoder", DECODERS)
def test_without_an_attention_the_decoder_has_its_default(decoder):
    captioner = models.build("scenes", VOCABULARY, "tiny", decoder=decoder)
    assert captioner.config["attention"] == DECODERS[decoder].default_attention
    assert MECHANISMS[captioner.config["attention"]] in map(type, captioner.decoder.modules())


@pytest.mark.parametrize(
    ("decoder", "attention"),
    [
        (name, attention)
        for name, cls in DECODERS.items()
        for attention in MECHANISMS
        if attention not in cls.mechanisms
    ],
)
def test_an_attention_that_the_decoder_does_not_support_is_refused(decoder, attention):
    with pytest.raises(ValueError, match=f"'{decoder}' does not support the attention '{attention}'") as error:
        models.build("scenes", VOCABULARY, "tiny", attention=attention, decoder=decoder)
    assert all(choice in str(error.value) for choice in DECODERS[decoder].mechanisms)
    assert len(str(error.value).splitlines()) == 1


def test_a_transformer_with_hard_attention_is_refused():
    with pytest.raises(ValueError, match="multi_head"):
        models.build("scenes", VOCABULARY, attention="hard", decoder="transformer")


def test_several_decoders_form_an_ensemble():
    captioner = models.build("scenes", VOCABULARY, "tiny", decoders=2)
    assert isinstance(captioner.decoder, Ensemble)
    assert len(captioner.decoder.decoders) == captioner.config["decoders"] == 2


def test_each_size_is_larger_than_the_one_before():
    captioners = [models.build("scenes", VOCABULARY, size) for size in models.SIZES]
    sizes = [sum(x.numel() for x in captioner.parameters()) for captioner in captioners]
    assert sizes == sorted(set(sizes))


@pytest.mark.parametrize("encoder", models.ENCODERS)
@pytest.mark.parametrize("decoder", DECODERS)
def test_every_encoder_of_scenes_fits_every_decoder(encoder, decoder):
    captioner = models.build("scenes", VOCABULARY, "tiny", encoder=encoder, decoder=decoder, blocks=1)
    assert captioner.config["blocks"] == len(captioner.encoder.blocks) == 1
    assert captioner.config.get("encoder", "convolution") == encoder
    assert captioner.encoder.channels == 96
    (caption,) = captioner.caption(torch.zeros(1, 3, 64, 64, dtype=torch.uint8), max_words=4)
    assert caption.weights.shape == (len(caption.words), 8, 8)


def test_an_encoder_of_patches_has_the_registers_that_were_asked_for():
    captioner = models.build("scenes", VOCABULARY, "tiny", encoder="patches", registers=3)
    assert captioner.encoder.registers.shape == (3, 96)
    assert captioner.config["registers"] == 3
    assert models.build("scenes", VOCABULARY, "tiny", encoder="patches").encoder.registers is None


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"task": "scenes", "registers": 2}, "registers are for the encoder 'patches', not for 'convolution'"),
        ({"task": "photos", "encoder": "patches", "blocks": 1}, "encoder, blocks: for scenes"),
        ({"task": "photos", "registers": 1}, "registers: for scenes"),
    ],
)
def test_an_option_that_would_do_nothing_to_the_encoder_is_refused(options, reason):
    with pytest.raises(ValueError, match=reason):
        models.build(vocabulary=VOCABULARY, **options)


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("name", ["task", "size", "attention", "decoder", "encoder"])
def test_an_unknown_name_is_refused_and_the_choices_are_listed(name, decoder):
    choices = {"task": models.IMAGE_SIZES, "size": models.SIZES, "decoder": DECODERS, "encoder": models.ENCODERS}
    choices["attention"] = DECODERS[decoder].mechanisms
    config = {"task": "scenes", "size": "tiny", "decoder": decoder, name: "nonsense"}
    with pytest.raises(ValueError, match=f"no {name} called 'nonsense'") as error:
        models.build(vocabulary=VOCABULARY, **config)
    assert all(choice in str(error.value) for choice in choices[name])
    assert len(str(error.value).splitlines()) == 1


def test_a_captioner_of_photographs_has_a_frozen_encoder_that_training_mode_does_not_change():
    captioner = models.build("photos", VOCABULARY, "tiny")
    assert isinstance(captioner.encoder, EfficientNetLite0)
    assert captioner.image_size == 320
    assert not any(x.requires_grad for x in captioner.encoder.parameters())
    assert all(x.requires_grad for x in captioner.decoder.parameters())
    photograph = torch.randint(0, 256, (1, 3, 96, 160), dtype=torch.uint8)
    before = captioner.eval().encode(photograph)
    after = captioner.train().encode(photograph)
    assert torch.equal(before.features, after.features)
    (caption,) = captioner.caption(photograph, max_words=3)
    assert caption.weights.shape == (len(caption.words), 3, 5)


def test_a_captioner_that_was_not_built_has_an_image_size_too():
    captioner = Captioner(ConvEncoder((4, 6, 8, 7)), torch.nn.Linear(1, 1), VOCABULARY, image_size=48)
    assert (captioner.image_size, captioner.config) == (48, {})
