"""The public checks of A3. Each isolates something; `expect` compares the answer with prints and names the mistake."""

import torch

from companion.classroom import Mistake, points
from companion.classroom.entries import check_entries
from companion.classroom.public.a2 import table


def cube(batch, rows, cols, seed):
    """Return numbers without a pattern, with three axes."""
    return table(batch * rows, cols, seed).view(batch, rows, cols)


def decoder(vocabulary, channels, fade, strength):
    """Return the matrices and numbers of a decoder."""
    return {
        "embed": table(vocabulary, channels, 5),
        "mix": table(channels, channels, 6),
        "fade": fade,
        "strength": strength,
    }


@points(1, "inhibited_step")
def test_inhibited_step_of_equal_sizes(inhibited_step, expect):
    words, inhibition = torch.tensor([3, 0, 2, 1]), table(4, 4, 2).abs()
    expect(inhibited_step, words, table(4, 4, 1), inhibition, cube(4, 4, 4, 3), decoder(4, 4, 0.7, 1.6))


@points(1, "inhibited_step")
def test_inhibited_step_of_other_sizes(inhibited_step, expect):
    words, inhibition = torch.tensor([4, 2]), table(2, 5, 2).abs()
    expect(inhibited_step, words, table(2, 3, 1), inhibition, cube(2, 5, 3, 4), decoder(6, 3, 0.3, 2.5))


@points(1, "inhibited_step")
def test_inhibited_step_before_any_inhibition(inhibited_step, expect):
    words, inhibition = torch.tensor([1, 5, 3]), torch.zeros(3, 4)
    expect(inhibited_step, words, table(3, 2, 8), inhibition, cube(3, 4, 2, 7), decoder(6, 2, 0.5, 2.0))


@points(1, "inhibited_step")
def test_inhibited_step_of_equal_dot_products_shows_the_inhibition_alone(inhibited_step, expect):
    picture = table(1, 3, 4).expand(2, 4, 3).clone()
    inhibition = torch.tensor([[2.0, 0.0, 1.0, 0.5], [0.0, 0.25, 3.0, 1.5]])
    expect(inhibited_step, torch.tensor([2, 0]), table(2, 3, 9), inhibition, picture, decoder(5, 3, 0.6, 3.0))


CAPTIONS = torch.tensor([[1, 4, 3, 5, 2], [1, 3, 5, 2, 0], [1, 5, 4, 4, 3]])


@points(1, "unroll")
def test_unroll_of_known_words_alone(unroll, expect):
    expect(unroll, CAPTIONS, torch.full((3,), 5), cube(3, 4, 3, 1), decoder(6, 3, 0.5, 0.0))


@points(1, "unroll")
def test_unroll_of_own_words_alone(unroll, expect):
    expect(unroll, CAPTIONS, torch.ones(3).long(), cube(3, 4, 3, 2), decoder(6, 3, 0.5, 0.0))


@points(1, "unroll")
def test_unroll_of_captions_that_switch_at_different_positions(unroll, expect):
    expect(unroll, CAPTIONS, torch.tensor([3, 2, 4]), cube(3, 4, 3, 4), decoder(6, 3, 0.8, 0.0))


@points(0.5, "unroll")
def test_unroll_with_inhibition(unroll, expect):
    expect(unroll, CAPTIONS[:2], torch.tensor([5, 5]), cube(2, 4, 3, 7), decoder(6, 3, 0.6, 3.0))


@points(1, "loss_by_caption")
def test_loss_of_three_captions(loss_by_caption, expect):
    tokens = torch.tensor([[1, 4, 3, 5, 2, 0], [1, 3, 2, 0, 0, 0], [1, 5, 4, 3, 3, 2]])
    expect(loss_by_caption, 2 * cube(3, 5, 6, 1), tokens)


@points(0.5, "loss_by_caption")
def test_loss_without_padding(loss_by_caption, expect):
    expect(loss_by_caption, cube(2, 3, 6, 2), torch.tensor([[1, 4, 3, 2], [1, 3, 5, 2]]))


@points(0.5, "loss_by_caption")
def test_loss_of_one_caption(loss_by_caption, expect):
    expect(loss_by_caption, cube(1, 4, 5, 3), torch.tensor([[1, 4, 2, 0, 0]]))


@points(0.5, "loss_by_caption")
def test_loss_of_large_logits(loss_by_caption, expect):
    expect(loss_by_caption, 200 + 2 * cube(2, 3, 5, 4), torch.tensor([[1, 3, 2, 0], [1, 4, 4, 2]]))


@points(0, "forecast")
def test_forecast_has_its_four_entries(forecast):
    found = forecast()
    check_entries(found, "forecast", "sheet", "copied", "second", "third")
    for part in ("copied", "second", "third"):
        if not isinstance(found[part], list | tuple) or len(found[part]) != 4:
            raise Mistake(f'"{part}" should be a list of four numbers.')
