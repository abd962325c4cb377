"""The hidden checks of A3: on inputs that are drawn from the teacher's key, and on the forecasts of a sheet."""

import torch

from companion.classroom import points
from companion.classroom.entries import check_sheet


def normal(draw, *sizes):
    return torch.randn(*sizes, generator=draw)


def ids(draw, *sizes, vocabulary):
    return torch.randint(vocabulary, sizes, generator=draw)


def decoder(draw, vocabulary, channels, strength=1.5):
    """Return the matrices and numbers of a decoder."""
    fade = 0.2 + 0.6 * torch.rand((), generator=draw).item()
    mix = normal(draw, channels, channels)
    return {"embed": normal(draw, vocabulary, channels), "mix": mix, "fade": fade, "strength": strength}


def state(draw, batch, places, channels):
    """Return a hidden state and an inhibition."""
    return normal(draw, batch, channels).tanh(), torch.rand(batch, places, generator=draw)


@points(1, "inhibited_step")
def test_inhibited_step_of_many(inhibited_step, expect, draw):
    picture = normal(draw, 6, 5, 9).mT  # does not lie in one piece
    expect(inhibited_step, ids(draw, 6, vocabulary=11), *state(draw, 6, 9, 5), picture, decoder(draw, 11, 5))


@points(1, "inhibited_step")
def test_inhibited_step_of_a_batch_of_one(inhibited_step, expect, draw):
    words, picture = ids(draw, 1, vocabulary=6), normal(draw, 1, 7, 4)
    expect(inhibited_step, words, *state(draw, 1, 7, 4), picture, decoder(draw, 6, 4))


@points(1, "inhibited_step")
def test_inhibited_step_of_two_very_different_pictures(inhibited_step, expect, draw):
    picture = normal(draw, 2, 4, 3) * torch.tensor([20.0, 0.1])[:, None, None]
    expect(inhibited_step, ids(draw, 2, vocabulary=5), *state(draw, 2, 4, 3), picture, decoder(draw, 5, 3))


@points(1, "inhibited_step")
def test_inhibited_step_with_one_place_left(inhibited_step, expect, draw):
    hidden, inhibition = state(draw, 2, 4, 3)
    inhibition[:, 1:] += 300.0
    expect(
        inhibited_step, ids(draw, 2, vocabulary=5), hidden, inhibition, normal(draw, 2, 4, 3), decoder(draw, 5, 3, 4.0)
    )


@points(1, "unroll")
def test_unroll_of_many(unroll, expect, draw):
    tokens, given = ids(draw, 5, 7, vocabulary=9), 1 + torch.randperm(7, generator=draw)[:5]
    tokens[:, 0] = 1
    expect(unroll, tokens, given, normal(draw, 5, 6, 4), decoder(draw, 9, 4))


@points(1, "unroll")
def test_unroll_of_two_very_different_pictures(unroll, expect, draw):
    tokens = ids(draw, 2, 5, vocabulary=6)
    tokens[:, 0] = 1
    picture = normal(draw, 2, 4, 3) * torch.tensor([10.0, 0.1])[:, None, None]
    expect(unroll, tokens, torch.tensor([2, 4]), picture, decoder(draw, 6, 3))


@points(1, "unroll")
def test_unroll_of_a_batch_of_one(unroll, expect, draw):
    tokens = ids(draw, 1, 6, vocabulary=7)
    tokens[:, 0] = 1
    expect(unroll, tokens, torch.tensor([3]), normal(draw, 1, 5, 4), decoder(draw, 7, 4))


@points(0.5, "unroll")
def test_unroll_of_start_alone(unroll, expect, draw):
    expect(unroll, torch.ones(3, 1).long(), torch.ones(3).long(), normal(draw, 3, 5, 4), decoder(draw, 7, 4))


def captions(draw, lengths, vocabulary):
    """Return captions of these numbers of words, with <start>, <end> and padding."""
    tokens = torch.zeros(len(lengths), max(lengths) + 2).long()
    tokens[:, 0] = 1
    for row, length in enumerate(lengths):
        tokens[row, 1 : 1 + length] = torch.randint(3, vocabulary, (length,), generator=draw)
        tokens[row, 1 + length] = 2
    return tokens


@points(1, "loss_by_caption")
def test_loss_of_many(loss_by_caption, expect, draw):
    tokens = captions(draw, [3, 9, 1, 6, 4, 8], 12)
    expect(loss_by_caption, 2 * normal(draw, 10, 6, 12).transpose(0, 1), tokens)


@points(0.5, "loss_by_caption")
def test_loss_of_a_caption_without_a_word(loss_by_caption, expect, draw):
    expect(loss_by_caption, normal(draw, 2, 6, 8), captions(draw, [0, 5], 8))


@points(0.5, "loss_by_caption")
def test_loss_of_logits_of_ten_thousand(loss_by_caption, expect, draw):
    shift = torch.tensor([10_000.0, -9000.0, 0.0])[:, None, None]
    expect(loss_by_caption, normal(draw, 3, 4, 6) + shift, captions(draw, [3, 1, 2], 6))


@points(0.5, "loss_by_caption")
def test_loss_of_a_very_improbable_word(loss_by_caption, expect, draw):
    tokens = captions(draw, [2, 4], 7)
    logits = normal(draw, 2, 5, 7)
    logits[0, 1, tokens[0, 2]] -= 500.0
    expect(loss_by_caption, logits, tokens)


def entry(forecast, variant, part):
    """Return a part of the forecasts for the right sheet. Raises Mistake if there is none."""
    found = forecast()
    check_sheet(found, "forecast", variant, part)
    return found[part]


@points(2, "forecast")
def test_forecast_of_a_copied_place(forecast, variant):
    variant.judge("copied", entry(forecast, variant, "copied"))


@points(1.5, "forecast")
def test_forecast_of_the_second_word(forecast, variant):
    variant.judge("second", entry(forecast, variant, "second"))


@points(1.5, "forecast")
def test_forecast_of_the_third_word(forecast, variant):
    variant.judge("third", entry(forecast, variant, "third"))
