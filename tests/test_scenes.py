"""Laws of the drawn scenes: what is drawn is what is listed, and what is said is so."""

import hashlib
import json
import re
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from companion import scenes
from companion.scenes import SPLITS, thing
from companion.vocabulary import detokenize, tokenize

MANY = 300  # scenes of every split that the laws are tried on
GOLDEN = "62561b50fde968151b4856ecec8e0167de6e97d27903031b0d718cfb19e6c986"


@pytest.fixture(scope="module")
def drawn() -> dict[str, list[scenes.Scene]]:
    return {split: scenes.make(split, MANY) for split in SPLITS}


@pytest.fixture(scope="module")
def every(drawn) -> list[scenes.Scene]:
    return [scene for split in SPLITS for scene in drawn[split]]


@pytest.fixture(scope="module")
def table() -> scenes.Scene:
    """Made by hand: two red circles on the left, one above the other; a blue square with a yellow star in it."""
    return scenes.render(
        [
            thing("small red circle", row=12, col=12),
            thing("large striped red circle", row=45, col=14),
            thing("large blue square", row=32, col=46, radius=15),
            thing("small yellow star", row=32, col=46, radius=6),
        ]
    )


TRUE = [
    "a red circle",
    "two red circles",
    "A red circle, and a BLUE square!",
    "a striped circle is below a small red circle",
    "a red circle is left of a blue square",
    "two red circles are to the left of a big blue square",
    "a yellow star inside a blue square",
    "a blue square contains a little star",
    "within a square is a yellow star",
    "to the right of a red circle there is a blue square",
    "a blue square is right of two red circles and there is a yellow star",
    "a small red circle is above a striped red circle and left of a blue square",
    "there is one red plain circle",
]
FALSE = {
    "a green star": "there is no green star",
    "a striped blue square": "there is no striped blue square",
    "a large plain red circle": "there is no large plain red circle",
    "three red circles": "there are only two red circles, not three",
    "two blue squares": "there is only one blue square, not two",
    "a red circle and a red circle and a circle": "it speaks of more things than there are: no thing is named twice",
    "a red circle is right of a blue square": "the red circle is not right of the blue square",
    "two red circles are above a blue square": "the red circles are not above the blue square",
    "a star contains a blue square": "the blue square is not inside the star",
    "a yellow star is left of a blue square": "the yellow star is not left of the blue square",
    "a red circle is inside a blue square": "the red circle is not inside the blue square",
}
UNREADABLE = [
    "",
    "circle",
    "a red",
    "a red blue circle",
    "a two circles",
    "a red circles",
    "two red circle",
    "a red circle is",
    "a red circle and",
    "and a red circle",
    "left of a red circle",
    "a red circle is left a blue square",
    "there is a red circle is left of a blue square",
    "a red circle a blue square",
    "a dog chases a red circle",
    "is a red circle",
    "a red circle contains",
    "<unk>",
]


@pytest.mark.parametrize("caption", TRUE)
def test_what_is_so_is_true(table, caption):
    assert scenes.is_true(caption, table), scenes.explain(caption, table)
    assert scenes.explain(caption, table).startswith("true")


@pytest.mark.parametrize(("caption", "reason"), FALSE.items())
def test_what_is_not_so_is_false_and_the_reason_is_named(table, caption, reason):
    assert scenes.parse(caption) is not None
    assert not scenes.is_true(caption, table)
    assert scenes.align(caption, table) is None
    assert scenes.explain(caption, table) == reason


@pytest.mark.parametrize("caption", UNREADABLE)
def test_what_cannot_be_read_is_neither_true_nor_aligned(table, caption):
    assert scenes.parse(caption) is None
    assert not scenes.is_true(caption, table)
    assert scenes.align(caption, table) is None
    assert scenes.explain(caption, table).startswith("not understood")


def test_exact_is_true_with_nothing_left_out(table):
    whole = "two red circles are left of a blue square and there is a yellow star"
    assert scenes.is_exact(whole, table)
    assert scenes.explain(whole, table) == "true, and it names everything"
    part = "two red circles are left of a blue square"
    assert scenes.is_true(part, table)
    assert not scenes.is_exact(part, table)
    assert scenes.explain(part, table) == "true, but it leaves out the small plain yellow star"
    assert not scenes.is_exact("three red circles and a yellow star", table), "the number is right, the things are not"


def test_a_word_means_every_thing_that_it_may_mean(table):
    """Either circle makes the first caption true; the relation of the second leaves one."""
    assert scenes.align("a red circle", table) == ((), (0, 1), (0, 1))
    below = scenes.align("a red circle is below a red circle", table)
    assert below == ((), (1,), (1,), (), (), (), (0,), (0,))
    assert scenes.align("two circles and a star", table) == ((0, 1), (0, 1), (), (), (3,))


def test_every_reference_is_true_and_names_everything(every):
    for scene in every:
        assert len({caption.text for caption in scene.captions}) == 5
        for caption in scene.captions:
            assert scenes.is_exact(caption.text, scene), f"{caption.text}: {scenes.explain(caption.text, scene)}"


def test_references_say_what_the_list_of_things_says(every):
    """Judged without the parser: the shape words of a caption, counted, are the shapes of the scene."""
    counts = {"a": 1, "an": 1, "two": 2, "three": 3, "four": 4}
    adjectives = "(?:(?:small|little|large|big|plain|striped) )*"
    pattern = rf"\b(a|an|two|three|four) {adjectives}(\w+) (\w+?)(?:(?<=s)es|(?<!s)s)?\b"
    for scene in every:
        listed = sorted((t.colour, t.shape) for t in scene.things)
        for caption in scene.captions:
            text = caption.text.replace("a picture of", "")
            found = [(colour, shape) for n, colour, shape in re.findall(pattern, text) for _ in range(counts[n])]
            assert sorted(found) == listed, caption.text


def test_relations_of_two_things_are_seen_in_the_masks(every):
    """ "left of" and its like, judged by where the pixels are: the mean position of each mask."""
    axis = {"left": (1, -1), "right": (1, 1), "above": (0, -1), "over": (0, -1), "below": (0, 1), "under": (0, 1)}
    judged = 0
    for scene in every:
        centre = [np.argwhere(mask).mean(axis=0) for mask in scene.masks]
        for caption in scene.captions:
            said = [word for word in caption.words if word in axis]
            order = list(dict.fromkeys(mention for mention in caption.mentions if mention))
            if len(said) == 1 and len(order) == 2 and all(len(group) == 1 for group in order):
                (a,), (b,) = order
                if caption.words[0] in ("to", "on", "left", "right", *axis):  # the relation stands in front
                    a, b = b, a
                place, sign = axis[said[0]]
                assert sign * (centre[a] - centre[b])[place] > 5, caption.text
                judged += 1
    assert judged > 100


def test_captions_are_plain_tokens_of_moderate_length(every):
    captions = [caption for scene in every for caption in scene.captions]
    assert all(detokenize(tokenize(caption.text)) == caption.text for caption in captions)
    assert all(tuple(tokenize(caption.text)) == caption.words for caption in captions)
    lengths = np.array([len(caption.words) for caption in captions])
    assert lengths.max() <= 20
    assert np.mean((lengths >= 5) & (lengths <= 14)) > 0.7
    used = {word for caption in captions for word in caption.words}
    assert 30 <= len(used) <= 60
    assert used <= scenes.WORDS


def test_articles_and_plurals_are_english(every):
    nouns = re.compile(r"\b(two|three|four) .*?(circles|squares|triangles|stars|crosses|hearts)\b")
    for scene in every:
        for caption in scene.captions:
            for word, following in zip(caption.words, caption.words[1:], strict=False):
                assert word not in ("a", "an") or (word == "an") == (following[0] in "aeiou"), caption.text
            numbered = nouns.findall(caption.text)
            assert len(numbered) == sum(word in ("two", "three", "four") for word in caption.words), caption.text
            assert not re.search(r"\ban? (\w+ )?(circles|squares|triangles|stars|crosses|hearts)\b", caption.text)


def test_aligned_words_describe_the_things_that_they_point_to(every):
    field = {"colour": 1, "size": 2, "texture": 3}
    usual = {"little": "small", "big": "large"}
    for scene in every:
        for caption in scene.captions:
            assert caption.mentions == scenes.align(caption.text, scene), caption.text
            for word, mention in zip(caption.words, caption.mentions, strict=True):
                kind = scenes.word_class(word)
                assert bool(mention) == (kind not in ("other", "relation")), f"{word} in {caption.text}"
                for i in mention:
                    if kind == "shape":
                        assert word.startswith(scene.things[i].shape)
                    elif kind in field:
                        assert usual.get(word, word) == scene.things[i][field[kind]]
                    else:
                        assert word == ("", "one", "two", "three", "four")[len(mention)]


def test_all_attributes_relations_and_numbers_occur(drawn):
    things = [t for scene in drawn["train"] for t in scene.things]
    assert {t.shape for t in things} == set(scenes.SHAPES)
    assert {t.colour for t in things} == set(scenes.COLOURS)
    assert {t.size for t in things} == set(scenes.SIZES)
    assert {t.texture for t in things} == set(scenes.TEXTURES)
    assert {len(scene.things) for scene in drawn["train"]} == {1, 2, 3, 4}
    said = [claim.relation for s in drawn["train"] for c in s.captions for claim in scenes.parse(c.text).claims]
    assert set(said) == set(scenes.RELATIONS)


def test_held_out_pairs_are_in_every_compositional_scene_and_nowhere_else(drawn):
    for split in SPLITS:
        for scene in drawn[split]:
            new = [t for t in scene.things if (t.colour, t.shape) in scenes.HELD_OUT]
            assert bool(new) == (split == "compositional")
            text = " ".join(caption.text for caption in scene.captions)
            said = [f"{colour} {shape}" for colour, shape in scenes.HELD_OUT if f"{colour} {shape}" in text]
            assert bool(said) == (split == "compositional")
    trained = {(t.colour, t.shape) for scene in drawn["train"] for t in scene.things}
    assert {c for c, _ in scenes.HELD_OUT} <= {c for c, _ in trained}, "each colour is known, only the pair is new"
    assert {s for _, s in scenes.HELD_OUT} <= {s for _, s in trained}


def test_no_picture_stands_in_two_splits_or_twice_in_one(every):
    assert len({scene.image.tobytes() for scene in every}) == len(every)


def test_masks_are_disjoint_and_as_large_as_their_things(every):
    for scene in every:
        assert scene.masks.shape == (len(scene.things), 64, 64)
        assert scene.masks.sum(axis=0).max() == 1
        for mask, t in zip(scene.masks, scene.things, strict=True):
            rows, cols = np.nonzero(mask)
            box = (rows.min(), rows.max(), cols.min(), cols.max())
            expected = (t.row - t.radius, t.row + t.radius, t.col - t.radius, t.col + t.radius)
            assert np.abs(np.subtract(box, expected)).max() <= 1.5, t


def test_under_a_mask_stands_the_colour_of_the_thing(every):
    """Witness: of eight plain colours, the one nearest to the brightest pixels under the mask."""
    palette = np.array([scenes.RGB[colour] for colour in scenes.COLOURS], dtype=int)
    for scene in every:
        for mask, t in zip(scene.masks, scene.things, strict=True):
            pixels = scene.image[mask].astype(int)
            near = np.abs(pixels[:, None] - palette).sum(axis=2)
            exact = (near == 0).sum(axis=0)
            assert scenes.COLOURS[exact.argmax()] == t.colour
            share = exact.max() / len(pixels)
            assert share > 0.55 if t.texture == "plain" else 0.2 < share < 0.7, t
            dark = (pixels == np.array(scenes.RGB[t.colour]) * 9 // 20).all(axis=1).mean()
            assert dark > 0.15 if t.texture == "striped" else dark == 0, t


def test_the_ground_is_muted_and_no_thing_is_outside_its_mask(every):
    """Away from the masks, a picture is nearly grey: the channels differ little and are nowhere dark or bright."""
    for scene in every:
        covered = scene.masks.any(axis=0)
        near = np.zeros_like(covered)
        for row, col in np.ndindex(3, 3):
            near |= np.roll(covered, (row - 1, col - 1), axis=(0, 1))
        ground = scene.image[~near].astype(int)
        assert (ground.max(axis=1) - ground.min(axis=1)).max() <= 16
        assert ground.min() >= 120
        assert ground.max() <= 215


def test_things_overlap_only_where_one_is_inside_the_other(every):
    nested = 0
    for scene in every:
        for a, b in combinations(scene.things, 2):
            apart = max(abs(a.row - b.row), abs(a.col - b.col)) - a.radius - b.radius
            if apart < 2:
                small, large = sorted((a, b), key=lambda t: t.radius)
                assert scenes.holds("inside", small, large)
                assert small.colour != large.colour
                nested += 1
    assert nested > 50


def test_the_same_seed_gives_the_same_bytes():
    """The digest was written down once; another machine, Python or NumPy has to arrive at it too."""
    digest = hashlib.sha256()
    for scene in scenes.make("train", 50):
        digest.update(scene.image.tobytes())
        digest.update(np.packbits(scene.masks).tobytes())
        digest.update("\n".join(caption.text for caption in scene.captions).encode())
    assert digest.hexdigest() == GOLDEN


def test_a_shorter_data_set_is_the_beginning_of_a_longer_one():
    assert [s.captions for s in scenes.make("test", 3)] == [s.captions for s in scenes.make("test", 6)[:3]]
    assert scenes.make("test", 3)[2].seed == 2
    assert scenes.make("test", 1, seed=1)[0].seed not in range(1000)
    again = scenes.draw(scenes.make("test", 1, seed=1)[0].seed, "test")
    assert np.array_equal(again.image, scenes.make("test", 1, seed=1)[0].image)


OPPOSITE = {"left": "right", "right": "left", "above": "below", "over": "under", "below": "above", "under": "over"}


def test_the_opposite_relation_is_false(every):
    """Of a caption with one relation, left and right, or above and below, exchanged make it false."""
    turned = 0
    for scene in every[::2]:
        for caption in scene.captions:
            if len(scenes.parse(caption.text).claims) == 1 and any(word in OPPOSITE for word in caption.words):
                swapped = " ".join(OPPOSITE.get(word, word) for word in caption.words)
                assert not scenes.is_true(swapped, scene), swapped
                turned += 1
    assert turned > 300


def test_the_mirror_turns_left_into_right_and_nothing_else(every):
    seen = 0
    for scene in every[::5]:
        turned = scenes.mirror(scene)
        assert np.array_equal(turned.image[:, 0], scene.image[:, 63])
        for mask, t in zip(turned.masks, turned.things, strict=True):
            assert abs(np.nonzero(mask)[1].mean() - t.col) < 3
        kept = {caption.text for caption in turned.captions}
        for caption in scene.captions:
            sided = bool({"left", "right"} & set(caption.words))
            assert (caption.text in kept) == (not sided), caption.text
            exchanged = " ".join({"left": "right", "right": "left"}.get(word, word) for word in caption.words)
            assert scenes.is_exact(exchanged, turned), exchanged
            seen += sided
    assert seen > 50
    assert np.array_equal(scenes.mirror(scenes.mirror(every[0])).masks, every[0].masks)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**40), st.sampled_from(SPLITS))
def test_what_is_written_is_read_back(seed, split):
    """From any seed: the phrases that the parser finds, in order, are the runs of equal mentions of the writer."""
    scene = scenes.draw(seed, split)
    for caption in scene.captions:
        statement = scenes.parse(caption.text)
        assert statement.words == caption.words
        for phrase in statement.phrases:
            (mention,) = {caption.mentions[position] for position in phrase.at}
            assert len(mention) == phrase.number
            assert all(phrase.fits(scene.things[i]) for i in mention)
        assert sorted(i for p in statement.phrases for i in caption.mentions[p.at[0]]) == list(range(len(scene.things)))


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(sorted(scenes.WORDS)), max_size=14))
def test_any_row_of_words_is_judged_without_an_accident(words):
    """Whatever a model writes: a true caption is aligned word by word, a false one is explained in one line."""
    scene = scenes.draw(3)
    caption = " ".join(words)
    aligned = scenes.align(caption, scene)
    assert (aligned is not None) == scenes.is_true(caption, scene)
    assert aligned is None or len(aligned) == len(words)
    assert "\n" not in scenes.explain(caption, scene)


def test_a_circle_covers_as_much_as_a_circle_does():
    """Witness for the drawing: areas from geometry; a square and a cross to the pixel, a circle to 3 %."""
    area = {}
    for shape in scenes.SHAPES:
        area[shape] = int(scenes.render([thing(f"red {shape}", 32, 32, radius=12.5)]).masks.sum())
    assert area["square"] == 25 * 25
    assert area["circle"] == pytest.approx(np.pi * 12.5**2, rel=0.03)
    assert area["triangle"] == pytest.approx(25 * 25 / 2, rel=0.05)
    assert area["cross"] == pytest.approx(25**2 * (0.38 * 2 - 0.38**2), rel=0.08)
    assert len(set(area.values())) == len(scenes.SHAPES)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: scenes.draw(0, "tset"), "no split is called 'tset'"),
        (lambda: scenes.draw(-1), "a seed is a whole number from 0 on"),
        (lambda: scenes.make("train", 0), "cannot make 0 scenes"),
        (lambda: scenes.make("elsewhere", 5), "choose one of train"),
        (lambda: scenes.render([]), "1 to 4 things"),
        (lambda: scenes.render([thing("red circle", 5, 32)]), "leaves the image"),
        (lambda: scenes.render([thing("red circle", 30, 20), thing("blue star", 32, 38)]), "overlap"),
        (lambda: scenes.render([thing("red star", 32, 32, 15), thing("small blue square", 38, 32)]), "sticks out"),
        (lambda: scenes.render([thing("red star", 32, 32)._replace(colour="mauve")]), "'mauve' is unknown"),
        (lambda: scenes.render([thing("red star", 32, 32, radius=1)]), "too small"),
        (lambda: thing("a mauve circle", 3, 3), "colour and shape"),
        (lambda: thing("two red circles", 3, 3), "is not one thing"),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_one_line(call, message):
    with pytest.raises(ValueError, match=message) as error:
        call()
    assert "\n" not in str(error.value)


def test_word_classes_of_the_captions_words():
    kinds = [
        scenes.word_class(word) for word in "two small striped red circles are to the left of an orange heart".split()
    ]
    assert kinds == [
        *("count", "size", "texture", "colour", "shape", "other", "other", "other", "relation", "other", "other"),
        *("colour", "shape"),
    ]
    assert scenes.word_class("dog") == "other"


def test_what_is_exported_is_what_was_drawn(tmp_path):
    """Read back with Pillow and json alone."""
    scenes.export(tmp_path, "test", 3)
    whole = json.loads((tmp_path / "captions.json").read_text())
    for record, scene in zip(whole["images"], scenes.make("test", 3), strict=True):
        assert np.array_equal(np.asarray(Image.open(tmp_path / "images" / record["file_name"])), scene.image)
        for i, mask in enumerate(scene.masks):
            file = tmp_path / "masks" / record["file_name"].replace(".png", f"_{i}.png")
            assert np.array_equal(np.asarray(Image.open(file)) > 0, mask)
        captions = [entry["caption"] for entry in whole["annotations"] if entry["image_id"] == record["id"]]
        assert captions == [caption.text for caption in scene.captions]
