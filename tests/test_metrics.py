"""Metrics against their definitions worked out by hand, against two other implementations, and against laws.

The laws of every metric run over `metrics.METRICS`, so a new metric has to keep them too.
"""

import json
import math
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from companion import metrics

GOLDEN = json.loads(Path(__file__).with_name("golden").joinpath("metrics.json").read_text(encoding="utf-8"))
each_corpus = pytest.mark.parametrize("corpus", GOLDEN, ids=lambda corpus: corpus["name"])

captions = st.lists(st.sampled_from(["a", "the", "dog", "cat", "sits", "runs", "on", "mat"]), max_size=9).map(" ".join)
images = st.lists(st.tuples(captions, st.lists(captions, min_size=1, max_size=4)), min_size=1, max_size=6)
quick = settings(max_examples=40, deadline=None)
quick_each = settings(max_examples=20, deadline=None)  # of a law that runs for every metric
each_metric = pytest.mark.parametrize("name", metrics.METRICS)


def texts(corpus):
    return corpus["candidates"], corpus["references"]


def columns(corpus):
    """Return pairs of a candidate and its references as a list of candidates and a list of lists of references."""
    candidates, references = zip(*corpus, strict=True)
    return list(candidates), list(references)


# --- two other implementations ------------------------------------------------------------------------------------


def bleu_with_constants(counts):
    """BLEU as pycocoevalcap computes it: 1e-15 on the matches, 1e-9 on the totals and on the references' length."""
    scores, product = [], 1.0
    ratio = (sum(c.length for c in counts) + 1e-15) / (sum(c.closest for c in counts) + 1e-9)
    for order in range(4):
        product *= (sum(c.matches[order] for c in counts) + 1e-15) / (sum(c.totals[order] for c in counts) + 1e-9)
        scores.append(product ** (1 / (order + 1)) * (math.exp(1 - 1 / ratio) if ratio < 1 else 1))
    return scores


@each_corpus
def test_bleu_equals_sacrebleu_without_smoothing(corpus):
    assert metrics.bleu(*texts(corpus)) == pytest.approx(corpus["sacrebleu"], abs=1e-9)


@each_corpus
def test_bleu_equals_pycocoevalcap_where_an_ngram_of_each_order_matches(corpus):
    counts = metrics.bleu_counts(*texts(corpus))
    pairs = list(zip(metrics.bleu(*texts(corpus)), corpus["pycocoevalcap"]["bleu"], strict=True))
    for count, theirs in zip(counts, corpus["pycocoevalcap"]["bleu_each"], strict=True):
        pairs += zip(metrics.bleu_from_counts([count]), theirs, strict=True)
    assert all(ours == pytest.approx(theirs, abs=1e-6) for ours, theirs in pairs if ours > 0)
    assert all(theirs < 0.04 for ours, theirs in pairs if ours == 0)


@each_corpus
def test_elsewhere_bleu_differs_from_pycocoevalcap_by_its_small_constants_alone(corpus):
    counts = metrics.bleu_counts(*texts(corpus))
    assert bleu_with_constants(counts) == pytest.approx(corpus["pycocoevalcap"]["bleu"], abs=1e-12)
    for count, theirs in zip(counts, corpus["pycocoevalcap"]["bleu_each"], strict=True):
        assert bleu_with_constants([count]) == pytest.approx(theirs, abs=1e-12)


@each_corpus
def test_rouge_l_and_cider_d_equal_pycocoevalcap(corpus):
    theirs = corpus["pycocoevalcap"]
    assert metrics.rouge_l(*texts(corpus)) == pytest.approx(theirs["rouge_l"], abs=1e-6)
    assert metrics.rouge_l_each(*texts(corpus)) == pytest.approx(theirs["rouge_l_each"], abs=1e-6)
    assert metrics.cider_d(*texts(corpus)) == pytest.approx(theirs["cider_d"], abs=1e-6)
    assert metrics.cider_d_each(*texts(corpus)) == pytest.approx(theirs["cider_d_each"], abs=1e-6)


def test_the_golden_file_holds_the_cases_that_matter():
    all_images = GOLDEN[0]
    lengths = [len(candidate.split()) for candidate in all_images["candidates"]]
    assert len(lengths) >= 40
    assert "" in all_images["candidates"]
    assert max(lengths) > 80
    assert {1, 2, 3} <= set(lengths)
    assert 0 < max(all_images["pycocoevalcap"]["cider_d_each"]) <= 10


# --- by hand ------------------------------------------------------------------------------------------------------


def test_seven_times_the_is_clipped_to_two_of_seven():
    """The example of Papineni et al. 2002, section 2.1: no reference says "the" more than twice."""
    references = [["The cat is on the mat.", "There is a cat on the mat."]]
    assert metrics.bleu(["the the the the the the the"], references) == pytest.approx([2 / 7, 0, 0, 0])


def test_three_of_five_words_pay_for_brevity():
    """All precisions are 1 as far as they exist; exp(1 - 5/3) = 0.513417; there is no 4-gram."""
    scores = metrics.bleu(["a dog runs"], [["a dog runs fast today"]])
    assert scores == pytest.approx([0.513417, 0.513417, 0.513417, 0], abs=1e-6)


@pytest.mark.parametrize("references", [["a b c", "a b c d e"], ["a b c d e", "a b c"]])
def test_of_two_references_equally_near_in_length_the_shorter_counts(references):
    """Against 5 words, the 4 of the candidate would cost exp(1 - 5/4) = 0.78; against 3 they cost nothing."""
    assert metrics.bleu(["a b c d"], [references])[0] == 1
    assert metrics.bleu_counts(["a b c d"], [references])[0].closest == 3


def test_bleu_sums_counts_over_the_corpus_before_it_divides():
    """1 of 2 words and 4 of 4: 5/6 together, where the mean of the images' scores would be 3/4."""
    candidates, references = ["a x", "a b c d"], [["a y"], ["a b c d"]]
    assert metrics.bleu(candidates, references, max_order=1) == pytest.approx([5 / 6])


def test_rouge_l_of_four_common_words():
    """P = 4/5, R = 4/6: 2.44 * 0.8 * 0.666667 / (0.666667 + 1.44 * 0.8) = 1.301333 / 1.818667."""
    assert metrics.rouge_l(["a dog runs on grass"], [["a brown dog on the grass"]]) == pytest.approx(0.715543, abs=1e-6)


def test_rouge_l_takes_precision_and_recall_from_different_references():
    """P = 3/3 from the long reference, R = 1/1 from the short one: a full score without any exact match."""
    assert metrics.rouge_l(["a red ball"], [["a red rubber ball", "ball"]]) == 1


def test_cider_d_of_two_images_by_hand():
    """The word "a" is in both images: idf 0. "dog" and "a dog": cosine 1. No 3- or 4-grams: 10 (1 + 1 + 0 + 0) / 4."""
    assert metrics.cider_d_each(["a dog", "a dog"], [["a dog"], ["a cat"]]) == pytest.approx([5, 0])


def test_cider_d_clips_repeats_and_punishes_length():
    """Words: min(2, 1) * 1 / (2 * 1). Pairs: 1 / sqrt(2), "dog dog" weighs log 2 too. One word longer: exp(-1/72)."""
    expected = 10 * (0.5 + 0.707107) / 4 * 0.986207
    assert metrics.cider_d_each(["a dog dog", "a cat"], [["a dog"], ["a cat"]])[0] == pytest.approx(expected, abs=1e-5)


def test_the_longest_common_subsequence_keeps_the_order():
    assert metrics.common_length("abcd", "dcba") == 1
    assert metrics.common_length("abcd", "xaxcd") == 3
    assert metrics.common_length("", "a") == 0


# --- laws of every metric -----------------------------------------------------------------------------------------


def test_score_has_the_scores_of_every_metric_and_no_two_have_the_same_name():
    candidates, references = ["a dog runs", "two men"], [["a dog runs fast"], ["two men in a boat", "men"]]
    each = [metric(candidates, references) for metric in metrics.METRICS.values()]
    scores = metrics.score(candidates, references)
    assert list(scores)[:6] == ["bleu1", "bleu2", "bleu3", "bleu4", "rouge_l", "cider_d"]
    assert list(scores.items()) == [item for by_name in each for item in by_name.items()]


@each_metric
@given(images)
@quick_each
def test_scores_lie_between_0_and_the_maximum(name, corpus):
    metric = metrics.METRICS[name]
    scores = metric(*columns(corpus))
    assert all(0 <= value <= metric.maximum + 1e-9 for value in scores.values()), scores


@each_metric
def test_repeating_the_references_scores_the_maximum(name):
    """Two images, because CIDEr-D of a single one is 0, of four words or more, because shorter ones have no 4-grams."""
    metric, candidates = metrics.METRICS[name], ["a dog runs on the beach", "two men in a boat"]
    for repeats in (1, 3):
        scores = metric(candidates, [[candidate] * repeats for candidate in candidates])
        assert list(scores.values()) == pytest.approx([metric.maximum] * len(scores))


@each_metric
def test_captions_without_words_score_zero(name):
    scores = metrics.METRICS[name](["", "..."], [["a dog", "dogs"], ["two cats"]])
    assert set(scores.values()) == {0}


@each_metric
@given(images, st.randoms(use_true_random=False))
@quick_each
def test_the_order_of_images_and_of_references_changes_nothing(name, corpus, random):
    metric = metrics.METRICS[name]
    shuffled = [(candidate, random.sample(references, len(references))) for candidate, references in corpus]
    random.shuffle(shuffled)
    assert metric(*columns(shuffled)) == pytest.approx(metric(*columns(corpus)), abs=1e-12)


@each_metric
def test_capitals_and_punctuation_change_nothing(name):
    metric = metrics.METRICS[name]
    plain, odd = ["a dog 's ball", "a t-shirt"], ["A dog’s ball!", '"A T-shirt" .']
    references = [["a dog 's red ball"], ["the t-shirt"]]
    assert metric(plain, references) == metric(odd, references)


@each_metric
@given(images)
@quick_each
def test_references_counted_in_advance_give_the_same_scores(name, corpus):
    metric, (candidates, references) = metrics.METRICS[name], columns(corpus)
    assert metric(candidates, metrics.References(references)) == metric(candidates, references)


MISMATCHES = [
    (["a", "b"], [["a"]], "2 candidates but 1 lists of references"),
    (["a", "b"], [["a"], []], r"references\[1\] is empty"),
    (["a", "b"], [["a"], "a cat"], r"references\[1\] is the string 'a cat'"),
    ("a", [["a"]], "candidates is the string 'a'"),
    ([], [], "no candidates"),
]


@each_metric
@pytest.mark.parametrize(("candidates", "references", "message"), MISMATCHES)
def test_candidates_and_references_that_do_not_fit_together_are_refused(name, candidates, references, message):
    with pytest.raises(ValueError, match=message):
        metrics.METRICS[name](candidates, references)


# --- laws of BLEU, ROUGE-L and CIDEr-D ------------------------------------------------------------------------------


def test_a_caption_equal_to_one_of_its_references_has_full_bleu_and_rouge_l():
    candidates = ["a dog runs on the beach", "two men in a boat"]
    references = [["a cat", candidates[0]], [candidates[1], "two people on a lake in a boat"]]
    scores = metrics.score(candidates, references)
    assert [scores[f"bleu{n}"] for n in metrics.ORDERS] == [1, 1, 1, 1]
    assert scores["rouge_l"] == 1


def test_cider_d_is_ten_only_where_every_reference_agrees():
    candidates = ["a dog runs on the beach", "two men in a boat"]
    assert metrics.cider_d(candidates, [[c, c] for c in candidates]) == pytest.approx(10)
    assert metrics.cider_d(candidates, [[c, "no such thing"] for c in candidates]) == pytest.approx(5)


def test_cider_d_of_a_single_image_is_zero_even_on_an_exact_match():
    assert metrics.cider_d(["a dog runs on the beach"], [["a dog runs on the beach"]]) == 0


@given(images)
@quick
def test_the_scores_of_single_images_stay_within_their_scale(corpus):
    candidates, references = columns(corpus)
    assert all(0 <= value <= 1 for value in metrics.rouge_l_each(candidates, references))
    assert all(0 <= value <= 10 + 1e-9 for value in metrics.cider_d_each(candidates, references))


@given(images, captions)
@quick
def test_one_more_reference_never_lowers_a_clipped_precision_or_rouge_l(corpus, caption):
    candidates, references = columns(corpus)
    more = [[*texts, caption] for texts in references]
    counts = (metrics.bleu_counts(candidates, each) for each in (references, more))
    for before, after in zip(*counts, strict=True):
        assert all(b <= a for b, a in zip(before.matches, after.matches, strict=True))
        assert before.totals == after.totals
    rouges = (metrics.rouge_l_each(candidates, each) for each in (references, more))
    assert all(before <= after + 1e-12 for before, after in zip(*rouges, strict=True))


@given(images)
@quick
def test_bleu_is_that_of_the_summed_counts(corpus):
    candidates, references = columns(corpus)
    counts = metrics.bleu_counts(candidates, references)
    summed = metrics.BleuCounts(
        tuple(map(sum, zip(*(count.matches for count in counts), strict=True))),
        tuple(map(sum, zip(*(count.totals for count in counts), strict=True))),
        sum(count.length for count in counts),
        sum(count.closest for count in counts),
    )
    assert metrics.bleu_from_counts([summed]) == metrics.bleu(candidates, references)


@given(images, st.data())
@quick
def test_a_batch_taken_from_a_corpus_scores_as_it_does_within_the_corpus(corpus, data):
    candidates, references = columns(corpus)
    counted = metrics.References(references)
    batch = data.draw(st.lists(st.integers(0, len(corpus) - 1), min_size=1, max_size=5))
    part, chosen = counted.take(batch), [candidates[i] for i in batch]
    whole = metrics.cider_d_each(candidates, references)
    assert metrics.cider_d_each(chosen, part) == [whole[i] for i in batch]
    assert metrics.cider_d_each(chosen, part.take(range(len(batch)))) == [whole[i] for i in batch]
    assert metrics.bleu(chosen, part) == metrics.bleu(chosen, [references[i] for i in batch])
    assert metrics.rouge_l(chosen, part) == metrics.rouge_l(chosen, [references[i] for i in batch])


@pytest.mark.parametrize("metric", [metrics.bleu, metrics.rouge_l, metrics.cider_d, metrics.score])
@pytest.mark.parametrize(("candidates", "references", "message"), MISMATCHES)
def test_the_functions_by_name_refuse_the_same(metric, candidates, references, message):
    with pytest.raises(ValueError, match=message):
        metric(candidates, references)


@pytest.mark.parametrize("order", [0, 5])
def test_an_order_that_is_not_counted_is_refused(order):
    with pytest.raises(ValueError, match=f"max_order is {order}"):
        metrics.bleu(["a"], [["a"]], max_order=order)
