"""As many captions as pictures, always: a picture whose scores are not finite is an error that names it."""

import copy

import pytest
import torch

from companion import decoders, decoding, models, scenes
from companion.vocabulary import Vocabulary

VOCABULARY = Vocabulary.build(["there is a red star"])
IMAGES = scenes.image_tensor(scenes.make_dataset("test", 4))
SEARCHES = {
    "greedy": lambda model, source: decoding.greedy(model, source, VOCABULARY, max_words=4),
    "sample": lambda model, source: decoding.sample(model, source, VOCABULARY, count=2, max_words=4),
    "sample of the best": lambda model, source: decoding.sample(model, source, VOCABULARY, max_words=4, top_k=2),
    "a beam of one": lambda model, source: decoding.beam_search(model, source, VOCABULARY, 1, max_words=4),
    "a beam": lambda model, source: decoding.beam_search(model, source, VOCABULARY, 3, max_words=4, length_power=0.6),
}
each_search = pytest.mark.parametrize("search", SEARCHES.values(), ids=SEARCHES)
each_decoder = pytest.mark.parametrize(
    ("decoder", "attention"),
    [(name, attention) for name, cls in decoders.DECODERS.items() for attention in cls.mechanisms],
)


def build(decoder="lstm", attention=None):
    torch.manual_seed(0)
    return models.build("scenes", VOCABULARY, "tiny", decoder=decoder, attention=attention).eval()


@pytest.fixture(scope="module")
def captioner():
    return build()


def test_the_second_of_three_pictures_is_nan(scenes_captioner):
    images = IMAGES[:3].float()
    assert len(scenes_captioner.caption(images)) == 3
    images[1] = torch.nan
    with pytest.raises(ValueError, match=r"images\[1\] .* NaN"):
        scenes_captioner.caption(images)


@each_search
@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("picture", [0, 2, 3])
def test_a_grid_with_a_number_that_is_not_finite_is_an_error_that_names_its_picture(captioner, search, picture, value):
    grid = captioner.encode(IMAGES)
    assert len(search(captioner, grid)) == 4
    features = grid.features.clone()
    features[picture, 5, 7] = value
    with pytest.raises(ValueError, match=f"picture {picture} of the batch cannot be captioned") as error:
        search(captioner, grid._replace(features=features))
    assert len(str(error.value).splitlines()) == 1


@each_decoder
def test_every_decoder_and_mechanism_names_the_picture(decoder, attention):
    model = build(decoder, attention)
    grid = model.encode(IMAGES)
    features = grid.features.clone()
    features[1] = torch.nan
    for search in SEARCHES.values():
        with pytest.raises(ValueError, match="picture 1 of the batch"):
            search(model, grid._replace(features=features))


@each_search
def test_weights_that_are_not_finite_are_an_error_at_the_first_picture(captioner, search):
    broken = copy.deepcopy(captioner)
    with torch.no_grad():
        broken.decoder.output_proj.bias[Vocabulary.end] = torch.nan
    with pytest.raises(ValueError, match=r"picture 0 of the batch .* the model's weights"):
        search(broken, IMAGES)


class Later:
    """A model whose second of three pictures has finite scores for two words; its first ends before that."""

    def start(self, source):
        return decoders.State((torch.arange(3),), (torch.zeros(3, 1, 1),))

    def step(self, tokens, state):
        words = state.carry[0] + 1
        logits = torch.zeros(*tokens.shape, len(VOCABULARY))
        logits[..., Vocabulary.end] = 9 * (words[..., 0] > (state.memory[0] > 0)[:, None] * 4) - 4.0
        logits[(state.memory[0] == 1)[:, None] & (words[..., 0] > 2)] = torch.nan
        weights = torch.ones(*tokens.shape, 1)
        return decoders.Step(logits, weights, state._replace(carry=(words,)))


@pytest.mark.parametrize("name", [name for name in SEARCHES if "sample" not in name])
def test_the_index_is_that_in_the_batch_though_other_pictures_have_ended_before(name):
    with pytest.raises(ValueError, match="picture 1 of the batch"):
        SEARCHES[name](Later(), None)


@each_search
def test_words_of_probability_zero_are_no_error(captioner, search):
    model = copy.deepcopy(captioner)
    with torch.no_grad():
        model.decoder.output_proj.bias[5:] = -torch.inf
    assert len(search(model, IMAGES)) == 4


@each_search
def test_an_empty_batch_has_no_captions(captioner, search):
    assert search(captioner, IMAGES[:0]) == []
