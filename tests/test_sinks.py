"""The share of a place is the weight that it gets whatever the query; registers take theirs from the places."""

import pytest
import torch
from torch import nn

from benchmarks import sinks
from companion import models, scenes
from companion.vocabulary import SPECIALS, Vocabulary


def captioner(**options):
    torch.manual_seed(0)
    return models.build("scenes", Vocabulary([*SPECIALS, "a"]), "tiny", **options).eval().requires_grad_(False)


def measure(model):
    return sinks.measure(model, lambda _: [], "validation", 6)


def attentions(model):
    return [block.self_attention for block in model.encoder.blocks]


@pytest.mark.parametrize("registers", [0, 4])
def test_where_all_scores_are_equal_every_place_and_register_has_the_same_share(registers):
    model = captioner(encoder="patches", registers=registers)
    for attention in attentions(model):
        nn.init.zeros_(attention.query_proj.weight)
        nn.init.zeros_(attention.query_proj.bias)
    scores = measure(model)
    assert scores.keys() == set(sinks.COLUMNS)
    assert scores["head_share"] == pytest.approx(1 / (64 + registers))
    assert scores["sink_share"] == pytest.approx(1 / (64 + registers))
    assert scores["register_share"] == pytest.approx(registers / (64 + registers))


def test_a_register_that_all_queries_look_for_takes_the_weight_of_the_places():
    model = captioner(encoder="patches", blocks=1, registers=1)
    (attention,) = attentions(model)
    nn.init.zeros_(attention.query_proj.weight)
    nn.init.zeros_(attention.key_proj.bias)
    register = model.encoder.blocks[0].norms[0](model.encoder.registers[0])
    attention.query_proj.bias.copy_(100 * attention.key_proj(register))  # the query whose best key is the register
    scores = measure(model)
    assert scores["register_share"] > 0.9
    assert scores["head_share"] < 0.1


def test_shares_are_the_means_over_queries_of_weights_that_sum_to_one():
    model = captioner(encoder="patches", blocks=2, registers=2)
    images = scenes.image_tensor(scenes.make_dataset("validation", 3))
    maps, features = sinks.block_maps(model.encoder, images)
    assert features.shape == (3, 64)
    torch.testing.assert_close(features, model.encoder(images).features.norm(dim=-1))
    for each in maps:
        assert each.weights.shape == (3, 4, 66, 66)
        assert each.value_norms.shape == (3, 4, 66)
        torch.testing.assert_close(each.weights.sum(-1), torch.ones(3, 4, 66))


def test_the_places_of_a_scene_on_objects_are_those_with_a_pixel_of_a_mask():
    world = scenes.make_dataset("validation", 4)
    for scene, row in zip(world, sinks.on_objects(world, 8, 8), strict=True):
        for place in range(64):
            top, left = 8 * (place // 8), 8 * (place % 8)
            assert row[place].item() == any(mask[top : top + 8, left : left + 8].any() for mask in scene.masks)


def test_an_encoder_without_patches_has_no_such_numbers():
    assert measure(captioner(blocks=1)) == {}
