"""The hidden checks of A5: on captions and maps that are drawn from the teacher's key, and on a sheet's forecasts."""

import torch

from companion.classroom import points
from companion.classroom.entries import check_sheet

WORDS = ("a", "the", "dog", "star", "runs", "red", "on", "<unk>")


def number(draw, low, high):
    """Return an integer from low to high, both included."""
    return int(torch.randint(low, high + 1, (1,), generator=draw))


def captions(draw, count, low, high, *, unknown=True):
    """Return captions of few different words, so that pairs repeat."""
    words = WORDS if unknown else WORDS[:-1]
    return [[words[number(draw, 0, len(words) - 1)] for _ in range(number(draw, low, high))] for _ in range(count)]


def references(draw, candidates, low, high):
    """Return references of each candidate, one to four: changed copies of it, and others."""
    sets = []
    for words in candidates:
        copy = [word for word in words if number(draw, 0, 3)] or ["a"]
        sets.append([*captions(draw, number(draw, 0, 3), low, high), copy])
    return sets


@points(0.25, "skip_score")
def test_skip_score_of_many_captions(skip_score, expect, draw):
    candidates = captions(draw, 8, 4, 12)
    expect(skip_score, candidates, references(draw, candidates, 3, 12), number(draw, 1, 3))


@points(0.25, "skip_score")
def test_skip_score_of_captions_without_a_pair(skip_score, expect, draw):
    candidates = [[], ["star"], *captions(draw, 2, 4, 6, unknown=False)]
    lines = [[["a", "dog"]], [["star"], ["a", "star", "glows"]], [candidates[2]], [["here"], ["there", "it", "is"]]]
    expect(skip_score, candidates, lines, 2)
    expect(skip_score, candidates[:2], [[[]], [["star"]]], 3)


@points(0.25, "skip_score")
def test_skip_score_of_one_long_caption_among_short_ones(skip_score, expect, draw):
    candidates = [*captions(draw, 1, 40, 50), *captions(draw, 3, 2, 3)]
    expect(skip_score, candidates, references(draw, candidates, 2, 45), 4)


@points(0.25, "skip_score")
def test_skip_score_of_equally_close_references(skip_score, expect, draw):
    candidates = captions(draw, 6, 6, 6)
    lines = [[*captions(draw, 2, 4, 4), *captions(draw, 1, 8, 8)] for _ in candidates]
    expect(skip_score, candidates, lines, 0)
    expect(skip_score, candidates, [each[::-1] for each in lines], 20)


@points(0.25, "error_rate")
def test_error_rate_of_many_captions(error_rate, expect, draw):
    candidates = captions(draw, 8, 4, 12)
    expect(error_rate, candidates, references(draw, candidates, 3, 12))


@points(0.25, "error_rate")
def test_error_rate_of_empty_candidates(error_rate, expect, draw):
    candidates = [[], *captions(draw, 2, 3, 6), []]
    expect(error_rate, candidates, references(draw, candidates, 3, 9))


@points(0.25, "error_rate")
def test_error_rate_of_candidates_much_longer_than_their_references(error_rate, expect, draw):
    candidates = captions(draw, 3, 15, 25)
    expect(error_rate, candidates, [captions(draw, 3, 1, 5) for _ in candidates])


@points(0.25, "error_rate")
def test_error_rate_of_unknown_words_alone(error_rate, expect, draw):
    candidates = [["<unk>"] * number(draw, 2, 5), *captions(draw, 1, 5, 6)]
    expect(error_rate, candidates, [[["<unk>"] * 3, ["a"] * 4], *references(draw, candidates[1:], 3, 6)])


def texts(draw, count, low, high):
    return [" ".join(words) for words in captions(draw, count, low, high, unknown=False)]


@points(0.25, "character_score")
def test_character_score_of_many_captions(character_score, expect, draw):
    expect(character_score, texts(draw, 7, 3, 9), texts(draw, 7, 3, 9), number(draw, 3, 5))


@points(0.25, "character_score")
def test_character_score_of_captions_shorter_than_an_n_gram(character_score, expect, draw):
    expect(character_score, ["a", "a dog", ""], ["a", *texts(draw, 2, 2, 4)], 6)
    expect(character_score, ["a dog", "dog"], ["god", "a"], 4)


@points(0.25, "character_score")
def test_character_score_without_a_match(character_score, expect, draw):
    expect(character_score, ["xyz"], texts(draw, 1, 2, 4), 2)
    expect(character_score, texts(draw, 3, 2, 5), texts(draw, 3, 2, 5), 2)


@points(0.25, "character_score")
def test_character_score_of_one_long_caption_among_short_ones(character_score, expect, draw):
    expect(character_score, texts(draw, 1, 30, 40) + texts(draw, 3, 2, 3), texts(draw, 4, 4, 12), 3)


def maps_and_masks(draw, words, rows, cols, share=0.15):
    """Return maps, some of them with several equal peaks, and objects near their peaks."""
    maps = torch.rand(words, rows, cols, generator=draw)
    maps = (10 * maps).round() / 10 if number(draw, 0, 1) else maps
    masks = torch.rand(words, rows, cols, generator=draw) < share
    return maps / (1.3 * maps.sum((1, 2), keepdim=True)), masks


@points(0.25, "near_hits")
def test_near_hits_of_many_words(near_hits, expect, draw):
    expect(near_hits, *maps_and_masks(draw, 24, 7, 7, share=0.06), 1.5)
    expect(near_hits, *maps_and_masks(draw, 24, 6, 9, share=0.06), 1)


@points(0.25, "near_hits")
def test_near_hits_of_flat_maps(near_hits, expect, draw):
    maps, masks = maps_and_masks(draw, 5, 4, 6)
    masks[0], masks[1], masks[:, -1, -1] = True, False, True
    expect(near_hits, torch.ones_like(maps) / 24, masks, 1.0)


@points(0.25, "near_hits")
def test_near_hits_with_tolerances_from_none_to_all(near_hits, expect, draw):
    maps, masks = maps_and_masks(draw, 20, 6, 8, share=0.25)
    masks[4] = False
    for tolerance in (0, 1, 40):
        expect(near_hits, maps, masks, tolerance)


@points(0.25, "near_hits")
def test_near_hits_of_maps_that_do_not_lie_in_one_piece(near_hits, expect, draw):
    maps, masks = maps_and_masks(draw, 20, 8, 5, share=0.06)
    expect(near_hits, maps.mT, masks.mT, 2.0)


@points(0.25, "on_object")
def test_on_object_of_many_words(on_object, expect, draw):
    expect(on_object, *maps_and_masks(draw, 8, 7, 7))
    expect(on_object, *maps_and_masks(draw, 8, 5, 9, share=0.4))


@points(0.25, "on_object")
def test_on_object_of_flat_maps(on_object, expect, draw):
    maps, masks = maps_and_masks(draw, 4, 6, 6)
    masks[:, 0, 0], masks[:, -1, -1] = True, False
    expect(on_object, torch.full_like(maps, 0.01), masks)


@points(0.25, "on_object")
def test_on_object_of_hidden_and_of_large_objects(on_object, expect, draw):
    maps, masks = maps_and_masks(draw, 5, 4, 5)
    masks[0], masks[1], masks[2, 0, 0] = False, True, True
    expect(on_object, maps, masks)


@points(0.25, "on_object")
def test_on_object_of_maps_that_do_not_lie_in_one_piece(on_object, expect, draw):
    maps, masks = maps_and_masks(draw, 6, 8, 5, share=0.3)
    expect(on_object, maps.mT, masks.mT)


def entry(forecasts, variant, part):
    """Return one of the forecasts for the right sheet. Raises Mistake if there is none."""
    found = forecasts()
    check_sheet(found, "forecasts", variant, part)
    return found[part]


@points(1, "forecasts")
def test_forecast_of_the_pooled_score(forecasts, variant):
    variant.judge("pooled", entry(forecasts, variant, "pooled"))


@points(1, "forecasts")
def test_forecast_of_unknown_words(forecasts, variant):
    variant.judge("unknown", entry(forecasts, variant, "unknown"))


@points(1, "forecasts")
def test_forecast_of_an_empty_caption(forecasts, variant):
    variant.judge("empty", entry(forecasts, variant, "empty"))


@points(1, "forecasts")
def test_forecast_of_a_mixed_map(forecasts, variant):
    variant.judge("mixed", entry(forecasts, variant, "mixed"))


@points(1, "forecasts")
def test_forecast_of_a_sharpened_map(forecasts, variant):
    variant.judge("sharpened", entry(forecasts, variant, "sharpened"))
