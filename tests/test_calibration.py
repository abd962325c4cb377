"""Confidence: the regression finds chances that are known, the threshold keeps its promise, the curve is counted."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from companion import metrics
from companion.cli import captioning
from companion.decoding import Caption, Tag
from companion.metrics import calibration
from companion.metrics.calibration import Confidence
from companion.tasks import photo_scores
from companion.tokenizer import find_tokenizer

WHOLE_PICTURE = (0.0, 0.0, 1.0, 1.0)


def caption_of(words, log_probability, tags=()):
    """Return a caption with tags, each a word and its log-odds."""
    made = tuple(Tag(word, confidence, False, WHOLE_PICTURE) for word, confidence in tags)
    return Caption(tuple(words.split()), log_probability, torch.zeros(len(words.split()), 1, 1), tags=made)


def test_agreement_is_the_probability_of_the_surest_tag_that_the_caption_mentions():
    tags = [("cat", 1.0), ("dog", 2.0), ("bed", -1.0), ("couch", 0.5)]
    assert calibration.agreement(caption_of("two cats on a bed", -5.0, tags)) == pytest.approx(1 / (1 + np.exp(-1)))
    assert calibration.agreement(caption_of("a sofa", -5.0, tags)) == pytest.approx(1 / (1 + np.exp(-0.5)))
    assert calibration.agreement(caption_of("a man", -5.0, tags)) == 0
    assert calibration.agreement(caption_of("a cat", -5.0)) == 0


def made_up(count, seed=0):
    """Return captions, the chance of each to be right, and whether it is."""
    rng = np.random.default_rng(seed)
    per_word, logits = rng.normal(-1, 0.5, count), rng.normal(0, 2, count)
    captions = [caption_of("a cat", 3 * p, [("cat", logit)]) for p, logit in zip(per_word, logits, strict=True)]
    chances = 1 / (1 + np.exp(-(0.5 + 1.5 * per_word + 2 / (1 + np.exp(-logits)))))
    return captions, chances, (rng.random(count) < chances).tolist()


def test_the_regression_finds_the_chances_that_captions_were_made_with():
    captions, chances, right = made_up(8000)
    fitted = calibration.fit(captions, right)
    assert fitted[:3] == pytest.approx((0.5, 1.5, 2.0), abs=0.25)
    assert np.abs(np.array(fitted.probabilities(captions)) - chances).max() < 0.05
    other, _, other_right = made_up(8000, seed=1)
    curve = calibration.reliability(fitted.probabilities(other), other_right)
    assert sum(each.captions for each in curve) == 8000
    assert calibration.expected_calibration_error(curve) < 0.03


@pytest.mark.parametrize("right", [[True] * 40, [False] * 40, [True] * 20 + [False] * 20], ids=["all", "none", "half"])
def test_the_regression_stays_finite_where_right_and_wrong_are_apart(right):
    captions = [caption_of("a cat", -float(i)) for i in range(40)]
    fitted = calibration.fit(captions, right)
    assert np.isfinite(fitted).all()
    assert sum(fitted.are_sure(captions)) >= 20


def test_the_threshold_is_the_lowest_of_the_wanted_precision_and_leaves_half_of_the_captions():
    chances = [0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.05]
    right = [True] * 7 + [False] * 3  # 7 of the first 7, 7 of the first 8 (88 %), 7 of the first 9 (78 %)
    assert calibration.choose_threshold(chances, right) == 0.2
    assert calibration.choose_threshold(chances, [False] * 10) == 0.5
    assert calibration.choose_threshold(chances, [True] + [False] * 9) == 0.5
    assert calibration.choose_threshold([0.5] * 4, [True, False, False, False]) == 0.5


def test_a_reliability_curve_by_hand():
    curve = calibration.reliability([0.05, 0.15, 0.19, 1.0], [False, True, False, True], bins=10)
    assert [(each.captions, each.observed) for each in curve] == [(1, 0.0), (2, 0.5), (1, 1.0)]
    assert [each.predicted for each in curve] == pytest.approx([0.05, 0.17, 1.0])
    assert calibration.expected_calibration_error(curve) == pytest.approx((0.05 + 2 * 0.33) / 4)


def test_a_card_without_confidence_marks_nothing_and_a_broken_one_is_refused():
    assert calibration.confidence_of({}) is None
    whole = {"bias": 1, "word_log_prob": 2.0, "agreement": 3, "threshold": 0.5, "expected_calibration_error": 0.1}
    assert calibration.confidence_of({"confidence": whole}) == (1.0, 2.0, 3.0, 0.5)
    for broken in ({}, {"bias": "x"}, None, 3):
        with pytest.raises(ValueError, match="confidence lacks"):
            calibration.confidence_of({"confidence": broken})


# --- what commands and cards say ----------------------------------------------------------------------------------


def halves():
    """Return forty captions and their references: those that name a cat surely are right, and the others wrong."""
    sure = [caption_of("a cat", -1.0 - i / 100, [("cat", 3.0)]) for i in range(20)]
    unsure = [caption_of("a dog", -9.0 - i / 100, [("cat", 1.0), ("dog", -3.0)]) for i in range(20)]
    return [*sure, *unsure], metrics.References([["a cat on a bed"]] * 40)


def test_the_card_has_the_confidence_of_english_captions_with_tags_and_of_no_others():
    captions, references = halves()
    facts = photo_scores.confidence_facts(captions, references)["confidence"]
    assert (facts["captions"], facts["right"], facts["sure"]) == (40, 0.5, 0.625)  # of 25, a share of 0.8 is right
    assert facts["expected_calibration_error"] < 0.1
    assert sum(each["captions"] for each in facts["reliability"]) == 40
    confidence = calibration.confidence_of({"confidence": facts})
    assert confidence is not None
    assert all(confidence.are_sure(captions)[:20])
    plain = [caption._replace(tags=()) for caption in captions]
    assert photo_scores.confidence_facts(plain, references) == {}
    german = metrics.References([["eine Katze"]] * 40, find_tokenizer("de"))
    assert photo_scores.confidence_facts(captions, german) == {}
    assert metrics.nouns.noun_scores([caption.text for caption in captions], german) == {}


def test_sure_captions_are_counted_and_scored_apart():
    captions, references = halves()
    each = metrics.cider_d_each([caption.text for caption in captions], references)
    scores = photo_scores.sure_scores(captions, references, Confidence(0.0, 0.0, 1.0, threshold=0.6))
    assert scores == {"sure": 0.5, "cider_d_sure": pytest.approx(np.mean(each[:20]))}
    nothing = photo_scores.sure_scores(captions, references, Confidence(0.0, 0.0, 0.0, threshold=0.6))
    assert nothing == {"sure": 0.0, "cider_d_sure": 0.0}
    nouns = metrics.nouns.noun_scores([caption.text for caption in captions], references)
    assert nouns == {"right_noun": 0.5, "noun_precision": 0.5}


@pytest.mark.parametrize("confidence", [None, Confidence(0.0, 0.0, 2.0, threshold=0.6)], ids=["none", "some"])
def test_the_command_marks_captions_below_the_threshold_of_the_card_and_no_others(confidence, capsys):
    captions, _ = halves()
    chosen = [each._replace(tag_weights=torch.ones(2, len(each.tags))) for each in (captions[0], captions[20])]
    answers = [(Path(f"{i}.jpg"), caption) for i, caption in enumerate(chosen)]
    written = {}
    options = {"results": None, "figures": None, "confidence": confidence}
    assert captioning.write_captions(answers, written, form="named text", **options) == 0
    second = "1.jpg: a dog" if confidence is None else "1.jpg: a dog (unsure)"
    assert capsys.readouterr().out.splitlines() == ["0.jpg: a cat", second]
    assert list(written.values()) == ["a cat", "a dog"]
    captioning.write_captions(answers, written, form="json", **options)
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [record.get("sure") for record in records] == ([None, None] if confidence is None else [True, False])
    assert [tag["word"] for tag in records[1]["tags"]] == ["cat", "dog"]
    assert records[1]["tags"][0]["attention"] == [1.0, 1.0]
