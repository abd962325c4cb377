"""The public checks of A4. Each isolates something; `expect` compares the answer with prints and names the mistake."""

import math

import torch

from companion.classroom import Mistake, points
from companion.classroom.entries import check_entries
from companion.classroom.public.a2 import table


def log_p_of(logits):
    """Return log-probabilities that are the same on every machine."""
    return logits.double().log_softmax(-1).float()


@points(1, "used_pairs")
def test_used_pairs_of_as_many_hypotheses_as_ids(used_pairs, expect):
    words = torch.tensor(
        [
            [0, 2, 3, 4, 2, 5, 2],
            [0, 3, 3, 2, 4, 5, 3],
            [0, 4, 5, 4, 3, 2, 4],
            [0, 5, 2, 5, 2, 3, 5],
            [0, 2, 3, 4, 5, 4, 2],
            [0, 4, 2, 3, 2, 5, 5],
        ]
    )
    expect(used_pairs, words, 6)


@points(0.5, "used_pairs")
def test_used_pairs_of_other_sizes(used_pairs, expect):
    expect(used_pairs, torch.tensor([[0, 3, 6, 3, 5, 4, 6, 3], [0, 6, 4, 6, 2, 6, 4, 6]]), 9)


@points(0.5, "used_pairs")
def test_used_pairs_that_overlap(used_pairs, expect):
    expect(used_pairs, torch.tensor([[0, 2, 2], [0, 4, 4], [0, 3, 2]]), 5)


@points(0.5, "used_pairs")
def test_used_pairs_of_a_new_word(used_pairs, expect):
    expect(used_pairs, torch.tensor([[0, 3, 2, 3, 2, 4], [0, 2, 4, 2, 4, 2]]), 5)


LOG_P = log_p_of(table(4, 6, 5) + torch.tensor([0.0, -0.5, 0.25, 1.75, -0.25, 0.75]))
TOTALS = torch.tensor([-0.5, -1.5, -1.75, -2.0])
NONE = torch.zeros(4).bool()


@points(1, "advance")
def test_advance_of_four_hypotheses(advance, expect):
    expect(advance, TOTALS, NONE, LOG_P, 5, 2)


@points(1, "advance")
def test_advance_with_complete_hypotheses(advance, expect):
    expect(advance, TOTALS, torch.tensor([False, True, False, True]), LOG_P, 4, 2)


@points(0.5, "advance")
def test_advance_with_one_sibling(advance, expect):
    expect(advance, TOTALS[:3], NONE[:3], log_p_of(table(3, 5, 4)), 2, 1)


@points(0.5, "advance")
def test_advance_with_as_many_siblings_as_words(advance, expect):
    expect(advance, TOTALS[:2], NONE[:2], log_p_of(2 * table(2, 7, 5)), 5, 7)


@points(0.5, "advance")
def test_advance_with_words_that_cannot_come(advance, expect):
    log_p = LOG_P.masked_fill(table(4, 6, 3) < -0.5, -math.inf)
    expect(advance, TOTALS, torch.tensor([True, False, False, False]), log_p, 3, 2)


def model(positions, vocabulary, seed, sharpness=1.0):
    """Return a table of log-probabilities, position previous next, in which <start> never comes again."""
    logits = sharpness * table(positions * vocabulary, vocabulary, seed).view(positions, vocabulary, vocabulary)
    logits[..., 0] = -math.inf
    return log_p_of(logits)


@points(1, "rewarded_search")
def test_rewarded_search_without_a_reward(rewarded_search, expect):
    expect(rewarded_search, model(5, 5, 20), 3, 0.0)


@points(1, "rewarded_search")
def test_rewarded_search_with_a_reward(rewarded_search, expect):
    expect(rewarded_search, model(5, 5, 20), 2, 1.5)


@points(1, "rewarded_search")
def test_rewarded_search_of_a_model_that_repeats_itself(rewarded_search, expect):
    expect(rewarded_search, model(6, 6, 5), 3, 1.5)


@points(0.5, "rewarded_search")
def test_rewarded_search_of_a_complete_hypothesis_that_may_be_overtaken(rewarded_search, expect):
    expect(rewarded_search, model(6, 5, 39, sharpness=2.0), 3, 1.5)


@points(0.5, "rewarded_search")
def test_rewarded_search_of_width_one(rewarded_search, expect):
    expect(rewarded_search, model(6, 6, 25), 1, 0.3)


@points(0, "traps")
def test_traps_has_its_three_entries(traps):
    found = traps()
    check_entries(found, "traps", "sheet", "greedy", "two")
    for name in ("greedy", "two"):
        if not torch.is_tensor(found[name]) or found[name].shape != (6, 6):
            raise Mistake(f'"{name}" should be a tensor of 6 rows and 6 columns.')
