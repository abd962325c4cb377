"""The hidden checks of A1: the same comparison, on inputs that are drawn from the teacher's key."""

import torch

from companion.classroom import points


def normal(draw, *sizes):
    return torch.randn(*sizes, generator=draw)


def positive(draw, *sizes):
    return 0.25 + 3 * torch.rand(*sizes, generator=draw)


@points(0.5, "temper")
def test_temper_of_ten_thousand(temper, expect, draw):
    scores = 100 * normal(draw, 3, 5)
    scores = scores + torch.tensor([[10_000.0], [-10_000.0], [0.0]])
    expect(temper, scores, 20 * positive(draw, 3))


@points(0.5, "temper")
def test_temper_near_zero_and_very_high(temper, expect, draw):
    scores = torch.randperm(6, generator=draw).float() + normal(draw, 2, 1)
    expect(temper, scores, torch.tensor([0.001, 1000.0]))


@points(0.5, "temper")
def test_temper_of_many(temper, expect, draw):
    expect(temper, 2 * normal(draw, 7, 9), positive(draw, 7))
    expect(temper, normal(draw, 1, 4), positive(draw, 1))
    expect(temper, normal(draw, 6, 4).T, positive(draw, 4))


@points(1, "manhattan")
def test_manhattan_of_many(manhattan, expect, draw):
    expect(manhattan, normal(draw, 6, 3), normal(draw, 8, 3), normal(draw, 8, 2))
    expect(manhattan, normal(draw, 3, 5).T, normal(draw, 3, 4).T, normal(draw, 4, 3))


@points(0.5, "manhattan")
def test_manhattan_of_far_places(manhattan, expect, draw):
    expect(
        manhattan,
        normal(draw, 2, 3),
        normal(draw, 4, 3) + 500 * torch.tensor([[0.0], [1], [2], [3]]),
        normal(draw, 4, 2),
    )


@points(1, "manhattan")
def test_manhattan_of_a_thousand_queries(manhattan, expect, draw):
    expect(manhattan, normal(draw, 1000, 3), normal(draw, 1000, 3), normal(draw, 1000, 2))


@points(0.5, "by_area")
def test_by_area_of_many(by_area, expect, draw):
    expect(by_area, normal(draw, 5, 7), positive(draw, 7))
    expect(by_area, normal(draw, 6, 4).T, positive(draw, 6))


@points(0.5, "by_area")
def test_by_area_of_ten_thousand(by_area, expect, draw):
    scores = normal(draw, 3, 4) + torch.tensor([[10_000.0], [-10_000.0], [0.0]])
    expect(by_area, scores, positive(draw, 4))


@points(1, "by_area")
def test_by_area_of_a_high_score_without_area(by_area, expect, draw):
    scores, areas = normal(draw, 3, 5), positive(draw, 5)
    scores[:, 2], areas[2] = 300.0, 0.0
    expect(by_area, scores, areas)


@points(0.5, "by_area")
def test_by_area_of_very_different_areas(by_area, expect, draw):
    areas = positive(draw, 6) * torch.tensor([1.0, 1e6, 1e-6, 1.0, 0.0, 1e3])
    expect(by_area, normal(draw, 4, 6), areas)
