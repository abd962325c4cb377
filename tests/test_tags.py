"""Tags: the detector is the original's, the words are in order, the tagger merges both sources, simulated tags fit."""

import json

import pytest
import torch

from benchmarks import calibrate_tags, retrieval
from companion import datasets
from companion.encoders import EfficientNetLite0
from companion.tags import COCO_WORDS, TAG_COUNT, TAG_WORDS, Tagger, best_tags, load_nanodet, mentions, simulate_tags
from companion.tags.calibration import Curve, load_calibration
from companion.tags.tagger import NAMED
from companion.tags.words import COCO_TABLE, IMAGENET_TABLE, imagenet_membership
from tests.golden import make_detections

NUMBER = {word: i for i, word in enumerate(TAG_WORDS)}
WHOLE_PICTURE = [0.0, 0.0, 1.0, 1.0]
SCORES = json.loads(make_detections.GOLDEN.read_text(encoding="utf-8"))
NAMES = ["chelsea.png", "coffee.png", "motorcycle_left.png"]


@pytest.fixture(scope="module")
def tagger():
    return Tagger()


@pytest.fixture(scope="module")
def pictures():
    """The photographs `NAMES` in the captioner's size, and the logits of their ImageNet classes."""
    images = torch.stack([datasets.load_image(make_detections.photograph(name)) for name in NAMES])
    with torch.no_grad():
        return images, EfficientNetLite0().classify(images)


def words(tags, row):
    """Return the words of a picture's tags."""
    return [TAG_WORDS[i] for i in tags.words[row].tolist()]


# The detector


def test_the_detector_scores_as_the_original_graph():
    images = torch.stack([datasets.load_image(make_detections.photograph(name), 416) for name in SCORES])
    torch.testing.assert_close(load_nanodet(416)(images).scores, torch.tensor([*SCORES.values()]), atol=1e-3, rtol=0)


@pytest.mark.parametrize(("name", "word"), [("coffee.png", "cup"), ("motorcycle_left.png", "motorcycle")])
def test_the_detector_knows_what_is_in_a_photograph(pictures, tagger, name, word):
    found = tagger.detector(pictures[0])
    assert COCO_WORDS[found.scores[NAMES.index(name)].argmax()] == word


def test_a_box_follows_its_object(tagger, pictures):
    """The motorcycle, pasted small into a corner of a grey picture, has its box there."""
    image = pictures[0][NAMES.index("motorcycle_left.png")]
    small = torch.nn.functional.interpolate(image[None].float(), (160, 160), mode="area").byte()[0]
    kind = COCO_WORDS.index("motorcycle")
    for top, left in ((0, 0), (160, 160)):
        canvas = torch.full((1, 3, 320, 320), 128, dtype=torch.uint8)
        canvas[0, :, top : top + 160, left : left + 160] = small
        box = tagger.detector(canvas).boxes[0, kind] * 320
        centre = (box[:2] + box[2:]) / 2
        torch.testing.assert_close(centre, torch.tensor([left + 80.0, top + 80.0]), atol=20, rtol=0)


def test_images_of_any_size_and_as_fractions_are_detected_alike(tagger, pictures):
    large = datasets.load_image(make_detections.photograph("motorcycle_left.png"), 640)[None]
    scores = tagger.detector(large).scores
    torch.testing.assert_close(tagger.detector(large / 255).scores, scores)
    assert COCO_WORDS[scores[0].argmax()] == "motorcycle"


# The words


def test_every_class_is_in_its_line_and_every_word_once():
    assert [int(index) for index, *_ in IMAGENET_TABLE] == list(range(1000))
    assert [int(index) for index, *_ in COCO_TABLE] == list(range(80))
    assert len({*TAG_WORDS}) == len(TAG_WORDS)
    assert TAG_WORDS[:80] == COCO_WORDS
    assert all(word.isalpha() and word.islower() for word in TAG_WORDS)


@pytest.mark.parametrize(
    ("index", "word"),
    [(285, "cat"), (967, "coffee"), (665, "motorcycle"), (208, "dog"), (404, "airplane"), (999, "toilet")],
)
def test_a_class_has_its_everyday_word(index, word):
    assert imagenet_membership()[index, NUMBER[word]] == 1


def test_captions_mention_plurals_and_synonyms_and_nothing_else():
    mentioned = mentions([{"two", "knives", "on", "a", "sofa"}, {"men", "mice", "benches"}, set()])
    assert [[TAG_WORDS[i] for i in row.nonzero()[:, 0].tolist()] for row in mentioned] == [
        ["knife", "couch"],
        ["person", "bench", "mouse"],
        [],
    ]


# Calibration


@pytest.mark.parametrize("source", ["imagenet", "detector"])
def test_a_higher_score_has_higher_log_odds(source):
    x, y = getattr(load_calibration(), source).log_odds
    assert (x.diff() > 0).all()
    assert (y.diff() > 0).all()


def test_a_curve_is_linear_between_its_knots_and_constant_beyond():
    curve = Curve(torch.tensor([0.0, 1.0, 3.0]), torch.tensor([1.0, 2.0, -2.0]))
    x = torch.tensor([[-5.0, 0.0, 0.25], [2.0, 3.0, 9.0]])
    torch.testing.assert_close(curve(x), torch.tensor([[1.0, 1.0, 1.25], [0.0, -2.0, -2.0]]))


def test_fitted_log_odds_are_the_rates_of_bins_with_equally_many_mentions():
    """From the top: 25 pairs that are all mentioned; 25 of 51 with the one that is not; what is left, without any."""
    scores = torch.tensor([0.1] * 40 + [0.2] * 50 + [0.9] * 26)
    mentioned = torch.tensor([0] * 40 + [1, 0] * 25 + [0] + [1] * 25).bool()
    x, y = calibrate_tags.fit(scores, mentioned)
    torch.testing.assert_close(x, torch.tensor([0.1, (50 * 0.2 + 0.9) / 51, 0.9]))
    torch.testing.assert_close(y, torch.tensor([0.5 / 40.5, 25.5 / 26.5, 25.5 / 0.5]).log())


def test_scores_that_mean_nothing_are_fitted_by_log_odds_that_do_not_fall():
    scores = torch.rand(4000, generator=torch.Generator().manual_seed(0))
    x, y = calibrate_tags.fit(scores, torch.rand(4000, generator=torch.Generator().manual_seed(1)) < 0.5)
    assert (x.diff() > 0).all()
    assert (y.diff() > 0).all()
    assert y.abs().max() < 1


# The tagger


def test_what_is_plainly_there_is_the_first_tag_or_the_second(tagger, pictures):
    tags = tagger(*pictures)
    for i, word in enumerate(("cat", "coffee", "motorcycle")):
        assert word in words(tags, i)[:2]


def test_tags_are_the_best_words_by_their_scores_each_once(tagger, pictures):
    tags, scores = tagger(*pictures), tagger.tag_scores(*pictures)
    assert scores.shape == (len(NAMES), len(TAG_WORDS))
    torch.testing.assert_close(tags.confidence, scores.topk(TAG_COUNT).values)
    torch.testing.assert_close(tags.confidence, scores.gather(1, tags.words))
    assert all(len({*row}) == TAG_COUNT for row in tags.words.tolist())


def test_a_batch_has_the_tags_of_its_pictures_alone(tagger, pictures):
    together = tagger(*pictures)
    for i in range(len(NAMES)):
        alone = tagger(*(each[i : i + 1] for each in pictures))
        assert words(alone, 0) == words(together, i)
        for ours, theirs in zip(alone, together, strict=True):
            torch.testing.assert_close(ours[0], theirs[i], atol=1e-3, rtol=1e-3)


def test_tags_are_the_same_every_time(tagger, pictures):
    for ours, theirs in zip(tagger(*pictures), tagger(*pictures), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize(
    ("by_class", "by_detector", "source", "has_box"),
    [
        pytest.param(2.0, -6.0, 0, False, id="the classifier alone"),
        pytest.param(2.0, 1.0, 0, True, id="both, the classifier more confident"),
        pytest.param(1.0, 2.0, 1, True, id="both, the detector more confident"),
        pytest.param(-torch.inf, 2.0, 1, True, id="the detector alone"),
    ],
)
def test_a_word_of_both_sources_is_one_tag(by_class, by_detector, source, has_box):
    imagenet = torch.full((1, len(TAG_WORDS)), -9.0)
    detections, boxes = torch.full((1, 80), -9.0), torch.rand(1, 80, 4)
    cup = NUMBER["cup"]
    imagenet[0, cup], detections[0, cup] = by_class, by_detector
    tags = best_tags(imagenet, detections, boxes)
    assert words(tags, 0).count("cup") == 1
    assert (words(tags, 0)[0], tags.confidence[0, 0], tags.source[0, 0]) == ("cup", max(by_class, by_detector), source)
    assert tags.boxes[0, 0].tolist() == (boxes[0, cup].tolist() if has_box else WHOLE_PICTURE)


def test_the_detector_names_a_class_from_its_threshold_on():
    curve, cup = load_calibration().detector.log_odds, NUMBER["cup"]
    imagenet = torch.full((2, len(TAG_WORDS)), -9.0)
    imagenet[:, cup] = 3.0
    detections = torch.full((2, 80), -9.0)
    detections[:, cup] = curve(torch.tensor([NAMED - 0.01, NAMED + 0.01]))
    tags = best_tags(imagenet, detections, torch.full((2, 80, 4), 0.5))
    assert tags.boxes[:, 0].tolist() == [WHOLE_PICTURE, [0.5] * 4]


def test_nothing_of_the_tagger_is_trained_or_stored(tagger):
    assert not any(parameter.requires_grad for parameter in tagger.parameters())
    assert "membership" not in tagger.state_dict()


# Simulated tags


def simulate(captions_words, seed=0):
    return simulate_tags(captions_words, torch.Generator().manual_seed(seed))


def test_simulated_tags_look_like_tags_and_depend_on_the_generator_alone():
    captions_words = [{"a", "cat", "on", "my", "bed"}, {"two", "men"}]
    tags = simulate(captions_words)
    assert tags.words.shape == tags.confidence.shape == tags.source.shape == (2, TAG_COUNT)
    assert tags.boxes.shape == (2, TAG_COUNT, 4)
    assert (tags.confidence.diff(dim=1) <= 0).all()
    assert (tags.boxes[tags.source == 0].sum(-1) > 0).all()
    for same, other in zip(simulate(captions_words), tags, strict=True):
        assert torch.equal(same, other)
    assert not torch.equal(simulate(captions_words, seed=1).words, tags.words)


def test_what_captions_mention_is_often_among_the_simulated_tags_and_seldom_otherwise():
    """A word of both sources is found far more often than by chance, and not always, as with real photographs."""
    cat = NUMBER["cat"]
    with_cat = (simulate([{"cats"}] * 300).words == cat).any(1).float().mean()
    without = (simulate([{"dogs"}] * 300).words == cat).any(1).float().mean()
    assert 0.5 < with_cat < 0.95
    assert without < 0.1


def test_simulated_confidence_has_the_quantiles_of_the_calibration():
    """Half of the mentioned detections lie below the median of the pool."""
    pool = load_calibration().detector.mentioned
    draws = pool(torch.rand(20_000, generator=torch.Generator().manual_seed(0)))
    middle = pool.y[len(pool.y) // 2]
    assert (draws < middle).float().mean() == pytest.approx(0.5, abs=0.02)


# The baseline


def test_retrieval_returns_the_caption_that_most_agree_on_among_those_that_fit():
    texts = [
        "a cat on a bed",
        "a cat on the bed",
        "the cat on a bed",
        "dogs bark",
        "two dogs run",
        "a train at a station",
    ]
    index = retrieval.CaptionIndex([*texts, "..."])
    log_odds = torch.full((2, len(TAG_WORDS)), -5.0)
    log_odds[0, [NUMBER["cat"], NUMBER["bed"]]] = 3.0
    log_odds[1, NUMBER["train"]] = 3.0
    assert index.texts == texts
    assert index.retrieve(log_odds, candidates=3)[0] == "a cat on a bed"
    assert index.retrieve(log_odds, candidates=1) == ["a cat on a bed", "a train at a station"]
