"""The hidden checks of A4: on inputs that are drawn from the teacher's key, and on the traps for a sheet."""

import math

import torch

from companion.classroom import assignments, points
from companion.classroom.entries import check_sheet


def ids(draw, *sizes, low=2, high):
    return torch.randint(low, high, sizes, generator=draw)


@points(1, "used_pairs")
def test_used_pairs_of_many(used_pairs, expect, draw):
    expect(used_pairs, ids(draw, 7, 12, high=6), 8)
    expect(used_pairs, ids(draw, 9, 5, high=5).T, 6)


@points(0.5, "used_pairs")
def test_used_pairs_of_one_word_again_and_again(used_pairs, expect, draw):
    expect(used_pairs, ids(draw, 3, 1, high=6).repeat(1, 4), 7)


@points(0.5, "used_pairs")
def test_used_pairs_of_start_alone(used_pairs, expect, draw):
    words = torch.cat([torch.zeros(2, 1).long(), ids(draw, 2, 8, high=4)], 1)
    expect(used_pairs, words, 5)
    expect(used_pairs, words[:, :1], 5)


@points(0.5, "used_pairs")
def test_used_pairs_of_a_large_vocabulary(used_pairs, expect, draw):
    words = ids(draw, 4, 15, high=500)
    words[:, 4], words[:, 9] = words[:, -1], words[:, -1]
    expect(used_pairs, words, 500)


def log_probabilities(draw, *sizes):
    return (2 * torch.randn(*sizes, generator=draw)).log_softmax(-1)


@points(1, "advance")
def test_advance_of_many(advance, expect, draw):
    totals, ended = -5 * torch.rand(8, generator=draw), torch.rand(8, generator=draw) < 0.3
    expect(advance, totals, ended, log_probabilities(draw, 11, 8).T, 6, 2)


@points(1, "advance")
def test_advance_of_a_single_hypothesis(advance, expect, draw):
    expect(advance, torch.tensor([-1.0]), torch.tensor([False]), log_probabilities(draw, 1, 9), 3, 3)


@points(0.5, "advance")
def test_advance_of_many_words_that_cannot_come(advance, expect, draw):
    log_p = log_probabilities(draw, 4, 8).masked_fill(torch.rand(4, 8, generator=draw) < 0.4, -math.inf)
    log_p[:, 2:4] = log_probabilities(draw, 4, 2)
    expect(advance, -3 * torch.rand(4, generator=draw), torch.tensor([False, True, False, False]), log_p, 4, 2)


@points(0.5, "advance")
def test_advance_of_complete_hypotheses_alone(advance, expect, draw):
    totals = -3 - torch.randperm(4, generator=draw).float()
    expect(advance, totals, torch.ones(4).bool(), log_probabilities(draw, 4, 6), 3, 2)


@points(0.5, "advance")
def test_advance_of_totals_of_a_thousand(advance, expect, draw):
    totals = -1000 - torch.rand(3, generator=draw)
    expect(advance, totals, torch.zeros(3).bool(), log_probabilities(draw, 3, 5), 3, 2)


def model(draw, positions, vocabulary, sharpness=1.5):
    """Return a table of log-probabilities in which <start> never comes again."""
    logits = sharpness * torch.randn(positions, vocabulary, vocabulary, generator=draw)
    logits[..., 0] = -math.inf
    return logits.log_softmax(-1)


def telling(draw, width, reward, *, positions=6, vocabulary=6, **knobs):
    """Return a model on which a mistake, given by its knobs, gives another caption than the right search."""
    search = assignments.course_module("A4", "mistakes").REFERENCES["rewarded_search"]
    while True:
        log_p = model(draw, positions, vocabulary)
        if search(log_p, width, reward) != search(log_p, width, reward, **knobs):
            return log_p


@points(0.5, "rewarded_search")
def test_rewarded_search_of_width_one_is_greedy(rewarded_search, expect, draw):
    for reward in (0.0, 0.5, 2.0):
        expect(rewarded_search, model(draw, 7, 7), 1, reward)


@points(1, "rewarded_search")
def test_rewarded_search_of_many(rewarded_search, expect, draw):
    for width, reward in ((2, 0.5), (3, 1.0), (4, 1.5), (4, 0.0)):
        expect(rewarded_search, model(draw, 6, 8), width, reward)


@points(1, "rewarded_search")
def test_rewarded_search_of_a_complete_hypothesis_that_is_overtaken(rewarded_search, expect, draw):
    expect(rewarded_search, telling(draw, 2, 1.0, stop="best"), 2, 1.0)
    expect(rewarded_search, telling(draw, 2, 0.5, complete="aside"), 2, 0.5)


@points(0.5, "rewarded_search")
def test_rewarded_search_so_wide_that_nothing_is_dropped(rewarded_search, expect, draw):
    expect(rewarded_search, model(draw, 5, 5), 1000, 0.7)
    expect(rewarded_search, model(draw, 4, 6), 1000, 1.2)


@points(0.5, "rewarded_search")
def test_rewarded_search_of_a_model_that_does_not_end(rewarded_search, expect, draw):
    log_p = model(draw, 9, 6)
    log_p[..., 1] = -30.0
    expect(rewarded_search, log_p, 2, 1.0)


@points(0.5, "rewarded_search")
def test_rewarded_search_of_a_very_improbable_caption(rewarded_search, expect, draw):
    expect(rewarded_search, model(draw, 9, 6) - 100.0, 2, 101.0)


def entry(traps, variant, name):
    """Return a table of the traps for the right sheet. Raises Mistake if there is none."""
    found = traps()
    check_sheet(found, "traps", variant, name)
    return found[name]


@points(2.5, "traps")
def test_traps_for_greedy_search(traps, variant):
    variant.judge_greedy(entry(traps, variant, "greedy"))


@points(2.5, "traps")
def test_traps_for_a_beam_of_two(traps, variant):
    variant.judge_two(entry(traps, variant, "two"))
