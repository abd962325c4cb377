"""The hidden checks of A2: on inputs that are drawn from the teacher's key, and on the program of a sheet."""

import torch

from companion.classroom import Mistake, points
from companion.classroom.entries import check_sheet


def normal(draw, *sizes):
    return torch.randn(*sizes, generator=draw)


@points(1, "nearby")
def test_nearby_on_a_large_grid(nearby, expect, draw):
    expect(nearby, normal(draw, 42, 5), normal(draw, 42, 5), normal(draw, 42, 3), 7, 6, 2)
    expect(nearby, normal(draw, 4, 30).T, normal(draw, 4, 30).T, normal(draw, 30, 2), 5, 6, 1)


@points(1, "nearby")
def test_nearby_with_a_reach_of_zero_sees_itself(nearby, expect, draw):
    expect(nearby, normal(draw, 10, 3), normal(draw, 10, 3), normal(draw, 10, 3), 5, 2, 0)


@points(1, "nearby")
def test_nearby_in_a_single_row_and_a_single_column(nearby, expect, draw):
    expect(nearby, normal(draw, 6, 3), normal(draw, 6, 3), normal(draw, 6, 2), 1, 6, 2)
    expect(nearby, normal(draw, 6, 3), normal(draw, 6, 3), normal(draw, 6, 2), 6, 1, 1)


@points(1, "nearby")
def test_nearby_with_a_high_score_outside(nearby, expect, draw):
    query, keys = normal(draw, 9, 4), normal(draw, 9, 4)
    query[0] = query[0].abs() + 0.5
    keys[8] = 400.0
    expect(nearby, query, keys, normal(draw, 9, 2), 3, 3, 1)


@points(1, "prune")
def test_prune_of_many(prune, expect, draw):
    mask = torch.rand(6, 9, generator=draw) < 0.7
    mask[:, 0] = True
    expect(prune, normal(draw, 6, 4), normal(draw, 9, 4), normal(draw, 9, 3), 0.3, mask)
    expect(prune, normal(draw, 4, 6).T, normal(draw, 4, 9).T, normal(draw, 9, 3), 0.7, mask)


@points(1, "prune")
def test_prune_of_a_row_without_a_place(prune, expect, draw):
    mask = torch.tensor([[True, True, False, True], [False, False, False, False]])
    expect(prune, normal(draw, 2, 3), normal(draw, 4, 3), normal(draw, 4, 2), 0.2, mask)


@points(1, "prune")
def test_prune_with_a_high_score_masked(prune, expect, draw):
    query, keys = normal(draw, 3, 4), normal(draw, 5, 4)
    query = query.abs() + 0.5
    keys[2] = 300.0
    mask = torch.ones(3, 5).bool()
    mask[:, 2] = False
    expect(prune, query, keys, normal(draw, 5, 2), 0.1, mask)


@points(0.5, "prune")
def test_prune_with_a_share_of_one(prune, expect, draw):
    expect(prune, 3 * normal(draw, 4, 3), normal(draw, 6, 3), normal(draw, 6, 2), 1.0, torch.ones(4, 6).bool())


@points(2, "heads")
def test_heads_of_many(heads, expect, draw):
    temperatures = 0.25 + 2 * torch.rand(4, generator=draw)
    expect(heads, normal(draw, 7, 12), normal(draw, 9, 12), normal(draw, 9, 8), temperatures)
    expect(heads, normal(draw, 12, 7).T, normal(draw, 12, 9).T, normal(draw, 8, 9).T, temperatures)


@points(1, "heads")
def test_heads_of_one_query_and_one_channel_each(heads, expect, draw):
    expect(heads, normal(draw, 1, 3), normal(draw, 5, 3), normal(draw, 5, 3), torch.tensor([0.5, 1.0, 4.0]))


@points(1, "heads")
def test_heads_at_a_temperature_near_zero(heads, expect, draw):
    expect(heads, normal(draw, 3, 4), normal(draw, 5, 4), normal(draw, 5, 4), torch.tensor([0.001, 1.0]))


def entries(finding, variant):
    """Return the dictionary of a finding on the right sheet. Raises Mistake if it is none."""
    found = finding()
    check_sheet(found, "finding", variant, "line", "inputs")
    return found


@points(3, "finding")
def test_finding_names_the_line(finding, variant):
    line = entries(finding, variant)["line"]
    if type(line) is not int:
        raise Mistake('"line" should be an integer.')
    if line != variant.line:
        raise Mistake(
            f"Line {line} of the program is right." if line in variant.lines else f"There is no code in line {line}."
        )


@points(2, "finding")
def test_finding_shows_that_the_program_is_wrong(finding, variant):
    inputs = variant.checked_inputs(entries(finding, variant)["inputs"])
    if not variant.differs(variant.bug, inputs):
        raise Mistake("With this input the program of the sheet gives the right result.")


@points(3, "finding")
def test_finding_singles_out_the_bug(finding, variant):
    inputs = variant.checked_inputs(entries(finding, variant)["inputs"])
    if not variant.differs(variant.bug, inputs):
        raise Mistake("With this input the program of the sheet gives the right result.")
    others = [bug for bug in variant.other_bugs if variant.differs(bug, inputs)]
    if others:
        raise Mistake(f"With this input {len(others)} of {len(variant.other_bugs)} other wrong programs differ, too.")
