"""Maps of importance: those of the benchmark equal Captum's; its measures have the values of cases known by hand."""

import json
import math
import warnings

import pytest
import torch
from torch.nn import functional as F

from benchmarks import explanation as measured
from companion import checkpoints

with warnings.catch_warnings():  # its progress bar looks for a browser's widgets
    warnings.simplefilter("ignore")
    from captum import attr

MAP = torch.arange(64.0).view(8, 8).flip(0)  # the largest values are in the first row


@pytest.fixture(scope="module")
def captioner():
    return checkpoints.load("scenes").eval().requires_grad_(False)


@pytest.fixture(scope="module")
def word(captioner):
    return measured.find_words(captioner, 4, 1)[0]


def test_the_maps_are_those_of_captum(captioner, word):
    image, ground = word.image[None].clone().requires_grad_(), measured.ground(word)[None]

    def score(images):
        return measured.score(captioner, word, images)

    window = (3, 8, 8)
    occluded = attr.Occlusion(score).attribute(image, window, strides=window, baselines=ground)
    torch.testing.assert_close(
        measured.occlusion(captioner, word), F.avg_pool2d(occluded[0, 0][None], 8)[0], rtol=1e-3, atol=1e-4
    )
    slope = attr.Saliency(score).attribute(image)[0]
    torch.testing.assert_close(measured.gradient(captioner, word), measured.to_places(slope), rtol=1e-3, atol=1e-4)
    difference = (image - ground).detach().requires_grad_()
    product = attr.InputXGradient(lambda x: score(ground + x)).attribute(difference)[0]
    torch.testing.assert_close(
        measured.gradient_times_difference(captioner, word), measured.to_places(product), rtol=1e-3, atol=1e-4
    )


def test_an_edge_is_where_the_picture_changes(word):
    image = torch.zeros(3, 64, 64)
    image[:, :, 20:] = 1.0  # between the pixels 19 and 20, in the third column of places
    values = measured.edges(None, word._replace(image=image))
    assert values[:, 2].tolist() == [24.0] * 8  # three channels, eight rows of pixels
    assert values.sum() == 8 * 24


def test_deletion_and_insertion_begin_and_end_with_the_same_two_pictures(captioner, word):
    deletion, insertion = measured.curves(captioner, word, MAP)
    before, after = measured.score(captioner, word, torch.stack([word.image, measured.ground(word)])).exp()
    torch.testing.assert_close(deletion[[0, -1]], torch.stack([before, after]), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(insertion[[0, -1]], torch.stack([after, before]), rtol=1e-4, atol=1e-5)


def test_places_with_large_values_are_deleted_first(captioner, word, monkeypatch):
    pictures = []
    monkeypatch.setattr(measured, "score", lambda _, word, images: pictures.append(images) or torch.zeros(len(images)))
    measured.curves(captioner, word, MAP)
    eighth = measured.COUNTS.index(8)
    deleted = (pictures[0][eighth] == measured.ground(word)).all(0)
    inserted = (pictures[1][eighth] == word.image).all(0)
    assert deleted[:8].all()
    assert inserted[:8].all()
    assert not deleted[8:].all(1).any()
    assert not inserted[8:].all(1).any()


def test_the_area_under_a_line_and_under_a_step():
    share = torch.tensor(measured.COUNTS) / measured.PLACES
    assert measured.area(share).item() == pytest.approx(0.5)
    assert measured.area(torch.ones(2, len(share))).tolist() == pytest.approx([1, 1])
    assert measured.area((share == 0).float()).item() == pytest.approx(0.5 / 64)


def test_evidence_is_the_positive_part_with_the_sum_one():
    values = measured.evidence(torch.tensor([[3.0, -5.0], [1.0, 0.0]]))
    torch.testing.assert_close(values, torch.tensor([[0.75, 0], [0.25, 0]]))
    assert (measured.evidence(-torch.ones(2, 2)) == 0.25).all()


def test_divergence_and_variation_of_distributions_without_a_common_place():
    one, other = torch.tensor([0.5, 0.5, 0.0]), torch.tensor([0.0, 0.0, 1.0])
    assert measured.jensen_shannon(one, other).item() == pytest.approx(math.log(2), abs=1e-6)
    assert measured.jensen_shannon(one, one).item() == pytest.approx(0, abs=1e-6)
    assert measured.total_variation(one, other).item() == 1
    assert measured.total_variation(one, one).item() == 0


def test_the_own_weights_change_nothing_and_weights_that_are_found_keep_the_output(captioner, word):
    state, last = measured.state_before(captioner, word), word.read[-1:, None]
    step = captioner.step(last, state)
    output = step.logits[:, 0].softmax(-1)
    torch.testing.assert_close(measured.predict(captioner, state, last, step.weights[:, 0]), output)
    for off_object in (False, True):
        _, other, found = measured.search_weights(captioner, [word], off_object=off_object)
        if found:
            change = measured.total_variation(measured.predict(captioner, state, last, other), output)
            assert change <= measured.TOLERANCE + 1e-4
            assert other.sum().item() == pytest.approx(1)
            assert not off_object or other[0, measured.object_mask(captioner, word).flatten() > 0].sum() == 0


@pytest.mark.parametrize("part", measured.PARTS)
def test_only_the_part_that_is_named_is_another(captioner, part):
    changed = measured.randomize(captioner, part, 0)
    names = [
        name
        for (name, before), after in zip(captioner.named_parameters(), changed.parameters(), strict=True)
        if not torch.equal(before, after)
    ]
    assert names
    assert all(name.startswith(measured.PARTS[part]) for name in names)


def test_attention_does_not_depend_on_the_output_layer_and_depends_on_the_rest(captioner, word):
    own = measured.attention(captioner, word)
    assert torch.equal(measured.attention(measured.randomize(captioner, "output layer", 0), word), own)
    for part in ("decoder", "encoder"):
        assert not torch.allclose(measured.attention(measured.randomize(captioner, part, 0), word), own, atol=1e-2)


def test_rank_correlation_of_an_order_with_itself_and_with_its_reverse():
    assert measured.rank_correlation(MAP, MAP**3) == pytest.approx(1)
    assert measured.rank_correlation(MAP, -MAP) == pytest.approx(-1)


def test_the_stored_results_are_complete_and_of_the_weights_that_ship(captioner, word):
    results = json.loads(measured.RESULTS.read_text())
    assert results["weights"] == checkpoints.card("scenes")["sha256"]
    assert results["counts"] == list(measured.COUNTS)
    assert set(results) >= set(measured.parts(captioner, [word]))
    for method in measured.METHODS:
        scores = results[f"map: {method}"]
        assert all(len(scores[key]) == measured.SCENES for key in ("pointing", "mass", "deletion", "insertion"))
    for part in measured.PARTS:
        values = results[f"random: {part}"]
        assert list(values) == list(measured.OF_THE_MODEL)
        assert all(len(each) == measured.RANDOM_SCENES for scores in values.values() for each in scores.values())
    assert set(results["permuted"]["own"]) == {1.0}


def test_the_words_of_the_stored_results_are_found_again(captioner):
    results = json.loads(measured.RESULTS.read_text())
    words = measured.find_words(captioner, 12, 8)
    assert [word.repeated for word in words] == results["repeated"][: len(words)]
    hits = [measured.measure_maps(captioner, [word], "attention") for word in words[:2]]
    for key in ("pointing", "mass", "deletion", "insertion"):
        stored = results["map: attention"][key][:2]
        assert [each[key][0] for each in hits] == pytest.approx(stored, abs=0.01)
