"""The public checks of A1. Each isolates something; `expect` compares the answer with prints and names the mistake."""

import torch

from companion.classroom import points

SCORES = torch.tensor([[1.0, 3.0, -2.0], [0.5, -1.0, 2.5], [-0.5, 1.5, 0.25]])
QUERY = torch.tensor([[1.0, 0.5], [-0.25, 2.0], [0.75, -1.5]])
KEYS = torch.tensor([[0.5, 0.25], [-1.0, 1.25], [1.5, 0.0]])
VALUES = torch.tensor([[1.0, -2.0], [4.0, 0.5], [-3.0, 2.0]])


@points(1, "temper")
def test_temper_of_as_many_queries_as_places(temper, expect):
    expect(temper, SCORES, torch.tensor([2.0, 0.5, 1.25]))


@points(1, "temper")
def test_temper_of_two_queries_and_four_places(temper, expect):
    scores = torch.tensor([[0.0, 1.0, 2.0, -1.0], [1.5, -0.5, 0.25, 3.0]])
    expect(temper, scores, torch.tensor([0.25, 4.0]))


@points(0.5, "temper")
def test_temper_of_large_scores(temper, expect):
    expect(temper, torch.tensor([[200.0, 198.0, 199.0], [0.0, -2.0, -1.0]]), torch.tensor([10.0, 1.0]))
    scores = torch.tensor([[1000.0, 999.0, 998.0], [-1000.0, -1002.0, -1001.0]])
    expect(temper, scores, torch.tensor([1.0, 2.0]))


@points(1, "manhattan")
def test_manhattan_of_as_many_queries_as_places(manhattan, expect):
    expect(manhattan, QUERY, KEYS, VALUES)


@points(1, "manhattan")
def test_manhattan_of_other_sizes(manhattan, expect):
    query = torch.tensor([[0.5, -1.0, 0.25, 0.0], [1.0, 0.75, -0.5, 0.25]])
    keys = torch.tensor([[0.0, 0.5, 0.5, 1.0], [-0.5, 0.25, 1.0, 0.0], [1.0, -1.0, 0.0, 0.5]])
    expect(manhattan, query, keys, torch.tensor([[1.0], [-2.0], [5.0]]))


@points(0.5, "manhattan")
def test_manhattan_of_one_query(manhattan, expect):
    expect(manhattan, QUERY[:1], KEYS, VALUES)


@points(1, "by_area")
def test_by_area_of_as_many_queries_as_places(by_area, expect):
    scores = torch.tensor(
        [[1.0, 3.0, -2.0, 0.5], [0.5, -1.0, 2.5, 1.0], [-0.5, 1.5, 0.25, 2.0], [0.0, 1.0, -1.0, 0.75]]
    )
    expect(by_area, scores, torch.tensor([2.0, 5.0, 0.5, 0.0]))


@points(0.5, "by_area")
def test_by_area_of_equal_scores(by_area, expect):
    expect(by_area, torch.full((2, 4), 0.7), torch.tensor([1.0, 2.0, 3.0, 4.0]))


@points(0.5, "by_area")
def test_by_area_with_an_area_of_zero(by_area, expect):
    expect(by_area, torch.tensor([[1.0, 2.0, 0.5], [0.0, 4.0, -1.0]]), torch.tensor([3.0, 0.0, 1.0]))


@points(0.5, "by_area")
def test_by_area_with_no_area_at_all(by_area, expect):
    expect(by_area, SCORES[:2], torch.tensor([0.5, 2.0, 1.0]))
    expect(by_area, SCORES[:2], torch.zeros(3))
