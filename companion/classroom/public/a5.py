"""The public checks of A5. Each isolates something; `expect` compares the answer with prints and names the mistake."""

import torch

from companion.classroom import Mistake, points
from companion.classroom.entries import check_entries

FORECASTS = ("pooled", "unknown", "empty", "mixed", "sharpened")


def split(*captions):
    """Return captions as lists of words."""
    return [caption.split() for caption in captions]


@points(0.25, "skip_score")
def test_skip_score_of_one_caption_without_repeats(skip_score, expect):
    expect(skip_score, split("two dogs run fast over sand"), [split("two brown dogs slowly run over the sand")], 2)


@points(0.25, "skip_score")
def test_skip_score_of_repeated_words(skip_score, expect):
    expect(skip_score, split("a dog a dog a dog a man a"), [split("a man and a dog and a dog")], 1)


@points(0.25, "skip_score")
def test_skip_score_of_several_references(skip_score, expect):
    candidate = split("a red star glows now")
    longest, short, longer, shorter, close = split(
        "there a red star glows now beside it",
        "a star",
        "a big star and a circle",
        "a red star glows",
        "a red now a star",
    )
    expect(skip_score, candidate, [[longest, short, longer, close]], 1)
    expect(skip_score, candidate, [[short, shorter, longer, longest]], 1)
    expect(skip_score, candidate, [[longer, shorter, longest]], 1)


@points(0.25, "skip_score")
def test_skip_score_of_three_captions_with_unknown_words(skip_score, expect):
    candidates = split("a <unk> on a <unk>", "a cat sleeps on a sofa", "the red <unk> ball")
    references = [
        split("a <unk> on a mat", "there is a zebra on a rug"),
        split("a dog sleeps", "a cat sleeps on the red sofa"),
        split("the small ball", "the red <unk> ball lies on a mat"),
    ]
    expect(skip_score, candidates, references, 1)


@points(0.25, "error_rate")
def test_error_rate_of_one_caption(error_rate, expect):
    expect(error_rate, split("two dogs run over the wet sand"), [split("a two big dogs walk over sand today ok")])


@points(0.25, "error_rate")
def test_error_rate_of_words_out_of_place(error_rate, expect):
    expect(error_rate, split("star red a glows here at night"), [split("the a star red glows here")])


@points(0.25, "error_rate")
def test_error_rate_of_several_references(error_rate, expect):
    lines = split("a dog runs", "one dog runs over the green grass", "a brown dog runs on the grass in the sun")
    expect(error_rate, split("a dog runs on the grass in the"), [lines])
    expect(error_rate, split("a dog on the green grass"), [[lines[2], lines[0], *split("the dog is on green grass")]])


@points(0.25, "error_rate")
def test_error_rate_of_three_captions_with_unknown_words(error_rate, expect):
    candidates = split("a <unk> on a <unk>", "a cat and a cat and a cat and a cat and a cat", "the <unk> ball")
    references = [
        split("a <unk> on a mat", "a zebra"),
        split("a cat", "some cats"),
        split("the ball", "the <unk> ball"),
    ]
    expect(error_rate, candidates, references)
    expect(error_rate, candidates[1:2], references[1:2])


@points(0.25, "character_score")
def test_character_score_of_one_word(character_score, expect):
    expect(character_score, ["running"], ["runs"], 1)
    expect(character_score, ["stars"], ["starlight"], 3)


@points(0.25, "character_score")
def test_character_score_of_several_words(character_score, expect):
    expect(character_score, ["a red star is on a mat"], ["there is a star on the mat"], 2)


@points(0.25, "character_score")
def test_character_score_of_characters_that_repeat(character_score, expect):
    expect(character_score, ["aaaabaaab"], ["baab"], 2)


@points(0.25, "character_score")
def test_character_score_of_three_captions(character_score, expect):
    candidates = ["two dogs run", "a small red ball lies in the grass", "sea"]
    expect(character_score, candidates, ["two big dogs are running", "a ball in green grass", "the sea at night"], 3)


def grid(rows, cols, *places):
    """Return a mask that holds at these places."""
    mask = torch.zeros(rows, cols).bool()
    for row, col in places:
        mask[row, col] = True
    return mask


def peaks(rows, cols, *places, weight=0.6):
    """Return a map with this weight, shared by these places; the other places have less, and not the same."""
    ramp = torch.arange(1.0, rows * cols + 1).view(rows, cols)
    weights = ramp / ramp.sum() * (1 - weight) / 10
    for row, col in places:
        weights[row, col] = weight / len(places)
    return weights


@points(0.25, "near_hits")
def test_near_hits_with_a_single_peak_each(near_hits, expect):
    masks = [grid(5, 5, *each) for each in ([(0, 3), (0, 4)], [(4, 1), (4, 2)], [(2, 0)], [(3, 3)], [(1, 0), (1, 1)])]
    places = [(1, 3), (1, 4), (2, 0), (2, 2), (1, 3)]
    maps = [peaks(5, 5, place, weight=0.9 - 0.1 * row) for row, place in enumerate(places)]
    expect(near_hits, torch.stack(maps), torch.stack(masks), 1.0)


@points(0.25, "near_hits")
def test_near_hits_of_several_peaks(near_hits, expect):
    near, off = (0, 1), (3, 4)
    maps = [peaks(4, 6, near), peaks(4, 6, near, off), peaks(4, 6, (0, 0), near), peaks(4, 6, (0, 5), (1, 1), off)]
    masks = grid(4, 6, (0, 1), (1, 1)).expand(4, 4, 6).clone()
    expect(near_hits, torch.stack([*maps, torch.full((4, 6), 1 / 24)]), torch.cat([masks, grid(4, 6, (0, 0))[None]]), 1)


@points(0.25, "near_hits")
def test_near_hits_at_several_distances(near_hits, expect):
    places = [(2, 5), (0, 2), (4, 4), (3, 6), (4, 5), (2, 7)]
    maps = torch.stack([peaks(5, 8, each) for each in places])
    masks = grid(5, 8, (2, 2), (2, 3)).expand(6, 5, 8).clone()
    expect(near_hits, maps, masks, 2.0)
    expect(near_hits, maps, masks, 2.5)


@points(0.25, "near_hits")
def test_near_hits_at_the_border_and_of_a_hidden_object(near_hits, expect):
    maps = torch.stack([peaks(3, 7, (2, 0)), peaks(3, 7, (1, 6)), peaks(3, 7, (1, 3)), peaks(3, 7, (0, 0), weight=0.2)])
    masks = torch.stack([grid(3, 7, (0, 0)), grid(3, 7, (1, 0)), grid(3, 7), grid(3, 7, (0, 0), (0, 1), (0, 2))])
    expect(near_hits, maps, masks, 1.5)


def numbers(words, rows, cols, seed):
    """Return maps without a pattern, the same on every machine, whose weights sum to less than 1."""
    values = [((i * 53 + seed * 31 + 7) * 71 % 97) + 1 for i in range(words * rows * cols)]
    maps = torch.tensor(values, dtype=torch.float64).view(words, rows, cols)
    left = 1 - 0.1 * torch.arange(1, words + 1)[:, None, None]
    return (left * maps / maps.sum((1, 2), keepdim=True)).float()


@points(0.25, "on_object")
def test_on_object_of_square_maps(on_object, expect):
    masks = torch.stack([grid(4, 4, (0, 3), (1, 3), (1, 2)), grid(4, 4, (2, 0)), grid(4, 4, (0, 0), (3, 1))])
    expect(on_object, numbers(3, 4, 4, 1), masks)


@points(0.25, "on_object")
def test_on_object_of_other_sizes(on_object, expect):
    expect(on_object, numbers(2, 3, 5, 2), torch.stack([grid(3, 5, (0, 4), (1, 4)), grid(3, 5, (2, 0), (2, 1))]))


@points(0.25, "on_object")
def test_on_object_of_equal_weights(on_object, expect):
    some, few = numbers(2, 3, 4, 3)
    maps = torch.stack([torch.full((3, 4), 1 / 12), (some * 30).round() / 30, (few * 10).round() / 10])
    masks = [grid(3, 4, (1, 1), (1, 2)), grid(3, 4, (0, 1), (1, 1), (2, 0)), grid(3, 4, (0, 0), (2, 3))]
    expect(on_object, maps, torch.stack(masks))


@points(0.25, "on_object")
def test_on_object_of_a_hidden_object_and_of_one_that_fills_the_picture(on_object, expect):
    masks = torch.stack([grid(2, 4), grid(2, 4, (0, 2), (1, 1)), torch.ones(2, 4).bool()])
    expect(on_object, numbers(3, 2, 4, 5), masks)


@points(0, "forecasts")
def test_forecasts_has_its_six_entries(forecasts):
    found = forecasts()
    check_entries(found, "forecasts", "sheet", *FORECASTS)
    for part in FORECASTS:
        if type(found[part]) not in (int, float):
            raise Mistake(f'"{part}" should be a number.')
