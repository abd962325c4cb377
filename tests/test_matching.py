"""Matching: the loss against a slow double loop, unit vectors, ranks against a sort, and foils that are false."""

import json
import math

import pytest
import torch

from benchmarks import contrastive, search
from companion import datasets, matching, scenes
from companion.encoders import Grid
from companion.scenes import foils
from companion.vocabulary import Vocabulary

VOCABULARY = Vocabulary.build(["a red star is left of a blue heart", "an orange circle is right of two hearts"])
LINES = ["a red star", "a blue heart", "a heart is left of a star", "an orange circle"]


def grid(count=4):
    return Grid(torch.randn(count, 6, 5, generator=torch.Generator().manual_seed(1)), 2, 3)


def encoded(lines):
    return datasets.collate_captions([[VOCABULARY.encode(line) for line in lines]])[0]


@pytest.fixture(params=["mean_pooling", "additive"])
def model(request):
    torch.manual_seed(0)
    return matching.MatchingModel(5, len(VOCABULARY), request.param, hidden=16).eval()


def test_the_loss_is_the_mean_over_both_directions_of_minus_log_the_probability_of_the_partner():
    logits = torch.randn(3, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    loss = 0.0
    for i in range(3):
        row = sum(math.exp(logits[i, j]) for j in range(5))  # all captions
        column = sum(math.exp(logits[j, i]) for j in range(3))  # all pictures
        loss -= (math.log(math.exp(logits[i, i]) / row) + math.log(math.exp(logits[i, i]) / column)) / 6
    assert matching.info_nce(logits).item() == pytest.approx(loss, abs=1e-12)


def test_without_any_knowledge_the_loss_is_the_logarithm_of_the_number_of_pairs():
    assert matching.info_nce(torch.full((64, 64), 3.0)).item() == pytest.approx(math.log(64), abs=1e-5)


def test_logits_are_cosines_times_the_scale_and_the_scale_has_a_limit(model):
    pictures, captions = model.image_vectors(grid()), model.text_vectors(encoded(LINES))
    assert torch.allclose(pictures.norm(dim=1), torch.ones(4))
    assert torch.allclose(captions.norm(dim=1), torch.ones(4))
    logits = model(grid(), encoded(LINES))
    assert logits[2, 1].item() == pytest.approx((pictures[2] @ captions[1]).item() / 0.07, abs=1e-4)
    with torch.no_grad():
        model.log_scale.fill_(20.0)
    assert model.scale().item() == matching.MAX_SCALE


def test_padding_changes_no_vector_and_the_order_of_the_words_does(model):
    alone = torch.cat([model.text_vectors(encoded([line])) for line in LINES])
    assert torch.allclose(model.text_vectors(encoded(LINES)), alone, atol=1e-6)
    swapped = model.text_vectors(encoded(["a star is left of a heart"]))
    assert (swapped - alone[2]).abs().max() > 1e-3


def test_the_weights_sum_to_one_and_are_equal_only_without_attention():
    for name in ("mean_pooling", "additive"):
        torch.manual_seed(0)
        context, weights = matching.MatchingModel(5, 9, name, hidden=16).pool(grid())
        assert context.shape == (4, 16)
        assert torch.allclose(weights.sum(1), torch.ones(4))
        assert (weights.amax(1) - weights.amin(1) < 1e-6).all() == (name == "mean_pooling")


def test_four_pairs_can_be_learnt_by_heart(model):
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(60):
        loss = matching.info_nce(model(grid(), encoded(LINES)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.05 < math.log(4)
    assert matching.ranks(model(grid(), encoded(LINES)), torch.arange(4)).tolist() == [1, 1, 1, 1]


def test_the_rank_is_the_place_in_the_sorted_list_and_equal_candidates_share_theirs():
    similarity = torch.randn(5, 7, generator=torch.Generator().manual_seed(0))
    order = similarity.argsort(1, descending=True)
    target = torch.tensor([3, 0, 6, 2, 2])
    places = [row.tolist().index(t) + 1 for row, t in zip(order, target.tolist(), strict=True)]
    assert matching.ranks(similarity, target).tolist() == places
    ties = torch.tensor([[5.0, 4.0, 4.0, 4.0, 1.0]])
    assert matching.ranks(ties, torch.tensor([2])).item() == 3  # the mean of 2, 3 and 4
    assert matching.ranks(torch.zeros(1, 9), torch.tensor([0])).item() == 5


@pytest.mark.parametrize(
    ("kind", "caption", "foil"),
    [
        ("other colour", "a red star and an orange heart", "a yellow star and an orange heart"),
        ("other colour", "a pink star", "a red star"),
        ("sides exchanged", "a red star is left of a blue heart", "a red star is right of a blue heart"),
        ("sides exchanged", "on the right of a star is a heart", "on the left of a star is a heart"),
        ("sides exchanged", "a red star is above a blue heart", None),
        ("colours exchanged", "a red star over an orange heart", "an orange star over a red heart"),
        ("colours exchanged", "a red star over a red heart", None),
        ("colours exchanged", "three pink stars", None),
    ],
)
def test_a_foil_differs_in_what_its_name_says_and_its_articles_are_right(kind, caption, foil):
    words = foils.FOILS[kind](caption.split())
    assert (words and " ".join(words)) == foil


@pytest.mark.parametrize("kind", foils.FOILS)
def test_the_first_of_a_pair_is_true_and_the_second_false(kind):
    world = scenes.make_dataset("validation", 120)
    pairs = foils.foil_pairs(world, kind)
    assert len(pairs) > 20
    for pair in pairs:
        assert scenes.is_true(pair.true, world[pair.scene])
        assert not scenes.is_true(pair.false, world[pair.scene])
        assert len(pair.true.split()) == len(pair.false.split())


def test_exchanged_colours_leave_the_same_words():
    for pair in foils.foil_pairs(scenes.make_dataset("validation", 120), "colours exchanged"):
        bags = [sorted(w for w in text.split() if w not in ("a", "an")) for text in (pair.true, pair.false)]
        assert bags[0] == bags[1]
        assert pair.true != pair.false


def test_a_foil_that_is_true_or_that_words_alone_give_away_is_none():
    pair = [
        scenes.scene_object(f"a large {name}", row=32, col=col) for name, col in (("red star", 15), ("blue star", 47))
    ]
    scene = scenes.render_scene(pair, seed=0)
    kind = "colours exchanged"
    assert foils.false_foil(scene, "a red star and a blue star".split(), kind) is None  # still true
    assert foils.false_foil(scene, "a red star left of a blue star".split(), kind) == "a blue star left of a red star"
    pair = [
        scenes.scene_object(f"a large {name}", row=32, col=col) for name, col in (("red star", 15), ("green heart", 47))
    ]
    scene = scenes.render_scene(pair, seed=0)
    assert foils.false_foil(scene, "a red star and a green heart".split(), kind) is None  # no green star in training


def test_a_tie_is_half_right():
    assert contrastive.right_share(torch.tensor([2.0, 1, 1]), torch.tensor([1.0, 1, 2])) == [1, 0.5, 0]


def test_the_record_has_every_part_with_every_seed():
    results = json.loads(contrastive.RESULTS.read_text())
    names = {f"{name}, seed {seed}" for name in contrastive.TRAINED for seed in contrastive.SEEDS}
    assert names | {"captioner that ships", "scenes, more epochs"} <= set(results)
    assert results["trained"] == contrastive.TRAINED
    for name in names:
        rows = results[name]
        assert {"mean", "attention", "attention minus mean"} <= set(rows)
        for side in ("picture", "caption"):
            for k in contrastive.CUTOFFS:
                mean, attended, difference = (
                    rows[row]["recall"][side][str(k)] if row != "attention minus mean" else rows[row][side][str(k)]
                    for row in ("mean", "attention", "attention minus mean")
                )
                assert difference[0] == pytest.approx(attended[0] - mean[0], abs=2e-4)
                assert mean[1] <= mean[0] <= mean[2]
    assert results["measured"] == {"scenes": contrastive.VALIDATION, "photographs": search.COUNT}
