"""Rank correlations against SciPy and by hand; tables from a small copy of the files; damage is named with its line."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kendalltau

from benchmarks import human_judgements as study
from companion import metrics

TOKENS, EXPERTS, CROWDS = "Flickr8k.token.txt", "ExpertAnnotations.txt", "CrowdFlowerAnnotations.txt"
CAPTIONS = {
    "one.jpg": ("a dog runs .", "the brown dog is running", "a dog on grass", "a dog plays", "one dog"),
    "two.jpg": ("two cats sleep", "cats asleep on a sofa", "two cats on a red sofa", "a pair of cats", "cats"),
    "three.jpg": ("a red boat", "the boat is red", "a boat on water", "a red boat sails", "one boat"),
}
# The first judgement of the experts and the second of the crowd are of a caption of the image itself.
EXPERT = """\
one.jpg\tone.jpg#2\t4\t4\t4
one.jpg\ttwo.jpg#0\t1\t2\t1
two.jpg\tone.jpg#0\t1\t1\t1
two.jpg\tthree.jpg#0\t1\t1\t1
three.jpg\ttwo.jpg#2\t2\t3\t2
"""
CROWD = """\
one.jpg\ttwo.jpg#1\t0\t0\t3
two.jpg\ttwo.jpg#1\t1\t3\t0
three.jpg\ttwo.jpg#2\t0.333333333333\t1\t2
three.jpg\tone.jpg#2\t0.25\t1\t3
"""


@pytest.fixture
def folder(tmp_path):
    """A folder with the three files, in the format of the originals."""
    lines = [f"{name}#{i}\t{text}\n" for name, texts in CAPTIONS.items() for i, text in enumerate(texts)]
    (tmp_path / TOKENS).write_text("".join(lines))
    (tmp_path / EXPERTS).write_text(EXPERT)
    (tmp_path / CROWDS).write_text(CROWD)
    return tmp_path


def test_five_judgements_by_hand():
    """Ratings 1 1 2 3 4, scores 1 3 2 2 4: of ten pairs six are concordant, two discordant, two tied."""
    taus = study.kendall(np.array([1.0, 3, 2, 2, 4]), np.array([1.0, 1, 2, 3, 4]))
    assert taus.tau_b == pytest.approx((6 - 2) / math.sqrt(9 * 9))
    assert taus.tau_c == pytest.approx((6 - 2) / (25 * 3 / 8))


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(1, 4)), min_size=3, max_size=60))
@settings(max_examples=60, deadline=None)
def test_both_correlations_are_those_of_scipy(pairs):
    scores, ratings = np.array(pairs, dtype=float).T
    taus = study.kendall(scores, ratings)
    if len(set(scores)) < 2 or len(set(ratings)) < 2:
        assert math.isnan(taus.tau_b)
        assert math.isnan(taus.tau_c)
        return
    assert taus.tau_b == pytest.approx(kendalltau(scores, ratings, variant="b").statistic, abs=1e-12)
    assert taus.tau_c == pytest.approx(kendalltau(scores, ratings, variant="c").statistic, abs=1e-12)


def test_agreement_without_ties_is_one_and_its_reverse_minus_one():
    order = np.arange(7.0)
    assert study.kendall(order, order) == pytest.approx((1, 1))
    assert study.kendall(-order, order) == pytest.approx((-1, -1))


def test_every_metric_is_computed_for_each_caption_on_its_own():
    """One caption for each image, so that the corpus is that of `cider_d_each`."""
    references = {name: list(texts) for name, texts in CAPTIONS.items()}
    captions = ["a dog", "cats", "a cat"]
    judgements = [study.Judgement(name, text, (1.0,)) for name, text in zip(CAPTIONS, captions, strict=True)]
    scores = study.score_each(judgements, references)
    assert scores.keys() == metrics.score(captions, [*references.values()]).keys()
    np.testing.assert_allclose(scores["cider_d"], metrics.cider_d_each(captions, [*references.values()]))
    np.testing.assert_allclose(scores["rouge_l"], metrics.rouge_l_each(captions, [*references.values()]))


def test_each_expert_counts_alone_and_captions_of_the_image_itself_do_not(folder):
    report = study.report(folder)
    assert "Flickr8k-Expert: 12 ratings of 4 captions; 1 captions of the image itself left out" in report
    assert "Flickr8k-CrowdFlower: 3 ratings of 3 captions; 1 captions of the image itself left out" in report
    captions = study.read_captions(folder / study.CAPTIONS)
    judgements = study.read_judgements(folder / EXPERTS, study.STUDIES["Flickr8k-Expert"], captions)[1:]
    references = study.references_by_image(captions)
    scores = [
        metrics.rouge_l_each([each.caption], [references[each.image]])[0] for each in judgements for _ in range(3)
    ]
    ratings = [rating for each in judgements for rating in each.ratings]
    row = next(line.split() for line in report.splitlines() if line.startswith("rouge_l"))
    assert float(row[1]) == pytest.approx(100 * kendalltau(scores, ratings, variant="c").statistic, abs=0.05)
    assert float(row[2]) == pytest.approx(100 * kendalltau(scores, ratings, variant="b").statistic, abs=0.05)
    assert row[3] == "32.3"


def test_line_ends_of_windows_and_a_byte_order_mark_change_nothing(folder):
    before = study.report(folder)
    for path in folder.iterdir():
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert study.report(folder) == before


def test_an_image_whose_captions_have_a_longer_name_is_found(folder):
    tokens = folder / TOKENS
    tokens.write_text(tokens.read_text().replace("three.jpg#", "three.jpg.1#"))
    expert = folder / EXPERTS
    expert.write_text(expert.read_text().replace("\tthree.jpg#", "\tthree.jpg.1#"))
    assert "of 4 captions" in study.report(folder)


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        (EXPERTS, "\t1\t2\t1", "\t1\t2", "txt:2: 4 columns in 'one.jpg\\ttwo.jpg#0\\t1\\t2', expected 5"),
        (EXPERTS, "\t1\t2\t1", "\t1\t5\t1", "txt:2: '1, 5, 1' are not three scores, each 1, 2, 3 or 4"),
        (EXPERTS, "one.jpg\ttwo", "ten.jpg\ttwo", f"txt:2: {TOKENS} has no caption of 'ten.jpg'"),
        (EXPERTS, "two.jpg#0", "two.jpg#9", f"txt:2: {TOKENS} has no 'two.jpg#9'"),
        (EXPERTS, EXPERT, EXPERT[:23], "txt: 0 captions to correlate, all rated alike"),
        (CROWDS, "0\t0\t3", "0.5\t0\t3", "txt:1: '0.5, 0, 3' is not the share of yes"),
        (CROWDS, "0\t0\t3", "0\t0\t0", "txt:1: '0, 0, 0' is not the share of yes"),
        (CROWDS, "0\t0\t3", "0\tno\t3", "txt:1: '0, no, 3' is not the share of yes"),
        (TOKENS, "two.jpg#1\t", "two.jpg#1 ", "txt:7: 1 columns in 'two.jpg#1 cats asleep on a sofa', "),
        (TOKENS, "two.jpg#1\t", "two.jpg\t", "txt:7: 'two.jpg' is no caption id; expected name.jpg#0"),
    ],
)  # fmt: skip
def test_damage_is_one_line_with_the_place_and_what_is_expected(folder, capsys, file, old, new, message):
    text = (folder / file).read_text()
    assert old in text
    (folder / file).write_text(text.replace(old, new, 1))
    assert study.main([str(folder)]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert f"{folder}/{file[:-3]}{message}" in printed.err


def test_a_line_that_is_not_utf8_stops_it(folder, capsys):
    path = folder / TOKENS
    path.write_bytes(path.read_bytes().replace(b"sofa", b"caf\xe9", 1))
    assert study.main([str(folder)]) == 1
    assert "Flickr8k.token.txt:7: " in (error := capsys.readouterr().err)
    assert "is not UTF-8" in error


@pytest.mark.parametrize("missing", [TOKENS, EXPERTS, CROWDS])
def test_a_missing_file_is_named(folder, capsys, missing):
    (folder / missing).unlink()
    assert study.main([str(folder)]) == 1
    assert capsys.readouterr().err == f"{folder / missing}: it cannot be read: No such file or directory\n"
