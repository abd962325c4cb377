"""The public checks of A2. Each isolates something; `expect` compares the answer with prints and names the mistake."""

import torch

from companion.classroom import Mistake, points
from companion.classroom.entries import check_entries


def table(rows, cols, seed):
    """Return numbers without a pattern, the same on every machine."""
    numbers = [((i * 37 + seed * 101 + 11) * 73 % 199) / 66 - 1.5 for i in range(rows * cols)]
    return torch.tensor(numbers).view(rows, cols)


@points(1, "nearby")
def test_nearby_on_a_grid_of_three_by_four(nearby, expect):
    expect(nearby, table(12, 3, 1), table(12, 3, 2), table(12, 2, 3), 3, 4, 1)


@points(1, "nearby")
def test_nearby_of_equal_scores_shows_the_neighbourhood_alone(nearby, expect):
    expect(nearby, torch.zeros(20, 2), table(20, 2, 4), table(20, 3, 5), 4, 5, 2)


@points(0.5, "nearby")
def test_nearby_with_a_reach_of_three(nearby, expect):
    expect(nearby, torch.zeros(15, 2), table(15, 2, 4), table(15, 2, 5), 3, 5, 3)


@points(0.5, "nearby")
def test_nearby_with_a_reach_beyond_the_grid_shows_the_softmax_alone(nearby, expect):
    expect(nearby, table(6, 4, 6), table(6, 4, 7), table(6, 3, 8), 2, 3, 6)


@points(1, "prune")
def test_prune_of_as_many_queries_as_places(prune, expect):
    mask = torch.tensor([[1, 1, 0, 1], [1, 1, 1, 1], [0, 1, 1, 0], [1, 0, 1, 1]]).bool()
    expect(prune, table(4, 4, 7), table(4, 4, 8), table(4, 4, 3), 0.2, mask)


@points(1, "prune")
def test_prune_without_a_mask(prune, expect):
    expect(prune, 2 * table(2, 3, 4), table(5, 3, 5), table(5, 2, 6), 0.55, torch.ones(2, 5).bool())


@points(1, "prune")
def test_prune_with_a_share_of_zero_keeps_all(prune, expect):
    mask = torch.tensor([[True, False, True, True, True], [True, True, False, True, False]])
    expect(prune, table(2, 3, 7), table(5, 3, 8), table(5, 2, 9), 0.0, mask)


@points(0.5, "prune")
def test_prune_of_equal_weights_keeps_them(prune, expect):
    expect(prune, torch.zeros(2, 3), table(4, 3, 1), table(4, 2, 2), 1.0, torch.ones(2, 4).bool())


@points(1, "heads")
def test_heads_of_as_many_queries_as_places(heads, expect):
    expect(heads, 2 * table(4, 4, 1), table(4, 4, 2), table(4, 4, 3), torch.tensor([0.5, 3.0]))


@points(1, "heads")
def test_heads_of_other_sizes(heads, expect):
    expect(heads, table(2, 6, 4), table(5, 6, 5), table(5, 9, 6), torch.tensor([2.0, 0.25, 1.0]))


@points(1, "heads")
def test_heads_of_equal_temperatures(heads, expect):
    expect(heads, 2 * table(3, 8, 7), table(4, 8, 8), table(4, 4, 9), torch.ones(4))


@points(1, "heads")
def test_heads_with_a_single_head(heads, expect):
    expect(heads, table(2, 3, 1), table(4, 3, 2), table(4, 2, 3), torch.tensor([0.5]))


@points(0, "finding")
def test_finding_has_its_three_entries(finding):
    found = finding()
    check_entries(found, "finding", "sheet", "line", "inputs")
    if not isinstance(found["inputs"], tuple | list) or len(found["inputs"]) != 4:
        raise Mistake('"inputs" should be a tuple of four tensors: query, keys, values and mask.')
