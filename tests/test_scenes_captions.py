"""Captions of scenes: references are true, exact and aligned, and any caption's truth is decided and explained."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from companion import scenes
from companion.scenes import SPLITS, scene_object
from companion.vocabulary import detokenize, tokenize
from tests.scene_worlds import all_scenes


@pytest.fixture(scope="module")
def table() -> scenes.Scene:
    """Made by hand: two red circles on the left, one above the other; a blue square with a yellow star in it."""
    return scenes.render_scene(
        [
            scene_object("small red circle", row=12, col=12),
            scene_object("large striped red circle", row=45, col=14),
            scene_object("large blue square", row=32, col=46, radius=15),
            scene_object("small yellow star", row=32, col=46, radius=6),
        ]
    )


# --- truth --------------------------------------------------------------------------------------------------------

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
    "a red circle and a red circle and a circle": (
        "it mentions more objects than there are: no object may be counted twice"
    ),
    "a red circle is right of a blue square": "the red circle is not right of the blue square",
    "two red circles are above a blue square": "the red circles are not above the blue square",
    "a star contains a blue square": "the blue square is not inside the star",
    "a yellow star is left of a blue square": "the yellow star is not left of the blue square",
    "a red circle is inside a blue square": "the red circle is not inside the blue square",
}
UNPARSABLE = [
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
def test_a_caption_whose_claims_hold_is_true(table, caption):
    assert scenes.is_true(caption, table), scenes.explain(caption, table)
    assert scenes.explain(caption, table).startswith("true")


@pytest.mark.parametrize(("caption", "reason"), FALSE.items())
def test_a_caption_with_a_false_claim_is_false_and_the_reason_is_named(table, caption, reason):
    assert scenes.parse(caption) is not None
    assert not scenes.is_true(caption, table)
    assert scenes.align(caption, table) is None
    assert scenes.explain(caption, table) == reason


@pytest.mark.parametrize("caption", UNPARSABLE)
def test_a_caption_that_cannot_be_parsed_is_neither_true_nor_aligned(table, caption):
    assert scenes.parse(caption) is None
    assert not scenes.is_true(caption, table)
    assert scenes.align(caption, table) is None
    assert scenes.explain(caption, table).startswith("not understood")


def test_an_exact_caption_is_true_and_leaves_nothing_out(table):
    whole = "two red circles are left of a blue square and there is a yellow star"
    assert scenes.is_exact(whole, table)
    assert scenes.explain(whole, table) == "true, and it names everything"
    part = "two red circles are left of a blue square"
    assert scenes.is_true(part, table)
    assert not scenes.is_exact(part, table)
    assert scenes.explain(part, table) == "true, but it leaves out the small plain yellow star"
    assert not scenes.is_exact("three red circles and a yellow star", table), "the number is right, the objects are not"


def test_a_word_refers_to_every_object_of_any_reading(table):
    """Either circle makes the first caption true; the relation of the second leaves one."""
    assert scenes.align("a red circle", table) == ((), (0, 1), (0, 1))
    below = scenes.align("a red circle is below a red circle", table)
    assert below == ((), (1,), (1,), (), (), (), (0,), (0,))
    assert scenes.align("two circles and a star", table) == ((0, 1), (0, 1), (), (), (3,))


OPPOSITE = {"left": "right", "right": "left", "above": "below", "over": "under", "below": "above", "under": "over"}


def test_the_opposite_relation_is_false():
    """In a caption with one relation, exchanging left and right, or above and below, makes it false."""
    exchanged = 0
    for scene in all_scenes()[::2]:
        for caption in scene.captions:
            if len(scenes.parse(caption.text).claims) == 1 and any(word in OPPOSITE for word in caption.words):
                opposite = " ".join(OPPOSITE.get(word, word) for word in caption.words)
                assert not scenes.is_true(opposite, scene), opposite
                exchanged += 1
    assert exchanged > 300


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(sorted(scenes.WORDS)), max_size=14))
def test_any_sequence_of_words_is_checked_without_an_exception(words):
    """Whatever a model generates: a true caption is aligned word by word, a false one is explained in one line."""
    scene = scenes.sample_scene(3)
    caption = " ".join(words)
    aligned = scenes.align(caption, scene)
    assert (aligned is not None) == scenes.is_true(caption, scene)
    assert aligned is None or len(aligned) == len(words)
    assert "\n" not in scenes.explain(caption, scene)


# --- references ---------------------------------------------------------------------------------------------------


def test_every_reference_is_true_and_names_everything():
    for scene in all_scenes():
        assert len({caption.text for caption in scene.captions}) == 5
        for caption in scene.captions:
            assert scenes.is_exact(caption.text, scene), f"{caption.text}: {scenes.explain(caption.text, scene)}"


def test_references_name_the_colours_and_shapes_of_the_objects():
    """Checked without the parser: the colours and shapes of a caption, times their numbers, are those of the scene."""
    counts = {"a": 1, "an": 1, "two": 2, "three": 3, "four": 4}
    adjectives = "(?:(?:small|little|large|big|plain|striped) )*"
    pattern = rf"\b(a|an|two|three|four) {adjectives}(\w+) (\w+?)(?:(?<=s)es|(?<!s)s)?\b"
    for scene in all_scenes():
        expected = sorted((o.colour, o.shape) for o in scene.objects)
        for caption in scene.captions:
            text = caption.text.replace("a picture of", "")
            named = [(colour, shape) for n, colour, shape in re.findall(pattern, text) for _ in range(counts[n])]
            assert sorted(named) == expected, caption.text


def test_relations_of_two_objects_can_be_seen_in_the_masks():
    """ "left of" and the like are checked by the mean position of the pixels of each mask."""
    axis = {"left": (1, -1), "right": (1, 1), "above": (0, -1), "over": (0, -1), "below": (0, 1), "under": (0, 1)}
    checked = 0
    for scene in all_scenes():
        centre = [np.argwhere(mask).mean(axis=0) for mask in scene.masks]
        for caption in scene.captions:
            relations = [word for word in caption.words if word in axis]
            order = list(dict.fromkeys(mention for mention in caption.mentions if mention))
            if len(relations) == 1 and len(order) == 2 and all(len(members) == 1 for members in order):
                (a,), (b,) = order
                if caption.words[0] in ("to", "on", "left", "right", *axis):  # the relation comes first
                    a, b = b, a
                coordinate, sign = axis[relations[0]]
                assert sign * (centre[a] - centre[b])[coordinate] > 5, caption.text
                checked += 1
    assert checked > 100


def test_references_are_plain_tokens_of_moderate_length():
    captions = [caption for scene in all_scenes() for caption in scene.captions]
    assert all(detokenize(tokenize(caption.text)) == caption.text for caption in captions)
    assert all(tuple(tokenize(caption.text)) == caption.words for caption in captions)
    lengths = np.array([len(caption.words) for caption in captions])
    assert lengths.max() <= 20
    assert np.mean((lengths >= 5) & (lengths <= 14)) > 0.7
    used = {word for caption in captions for word in caption.words}
    assert 30 <= len(used) <= 60
    assert used <= scenes.WORDS


def test_articles_and_plurals_are_english():
    nouns = re.compile(r"\b(two|three|four) .*?(circles|squares|triangles|stars|crosses|hearts)\b")
    for scene in all_scenes():
        for caption in scene.captions:
            for word, following in zip(caption.words, caption.words[1:], strict=False):
                assert word not in ("a", "an") or (word == "an") == (following[0] in "aeiou"), caption.text
            plurals = nouns.findall(caption.text)
            assert len(plurals) == sum(word in ("two", "three", "four") for word in caption.words), caption.text
            assert not re.search(r"\ban? (\w+ )?(circles|squares|triangles|stars|crosses|hearts)\b", caption.text)


def test_aligned_words_describe_the_objects_that_they_refer_to():
    attributes, synonyms = ("colour", "size", "texture"), {"little": "small", "big": "large"}
    for scene in all_scenes():
        for caption in scene.captions:
            assert caption.mentions == scenes.align(caption.text, scene), caption.text
            for word, mention in zip(caption.words, caption.mentions, strict=True):
                kind = scenes.word_class(word)
                assert bool(mention) == (kind not in ("other", "relation")), f"{word} in {caption.text}"
                for i in mention:
                    if kind == "shape":
                        assert word.startswith(scene.objects[i].shape)
                    elif kind in attributes:
                        assert synonyms.get(word, word) == getattr(scene.objects[i], kind)
                    else:
                        assert word == ("", "one", "two", "three", "four")[len(mention)]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**40), st.sampled_from(SPLITS))
def test_the_parser_reads_back_what_the_grammar_writes(seed, split):
    """From any seed, the phrases that the parser finds have the objects that the writer gave to their words."""
    scene = scenes.sample_scene(seed, split)
    for caption in scene.captions:
        statement = scenes.parse(caption.text)
        assert statement.words == caption.words
        for phrase in statement.phrases:
            (mention,) = {caption.mentions[position] for position in phrase.positions}
            assert len(mention) == phrase.number
            assert all(phrase.matches(scene.objects[i]) for i in mention)
        mentioned = sorted(i for p in statement.phrases for i in caption.mentions[p.positions[0]])
        assert mentioned == list(range(len(scene.objects)))


def test_the_words_of_a_caption_have_classes():
    caption = "two small striped red circles are to the left of an orange heart"
    assert [scenes.word_class(word) for word in caption.split()] == [
        *("count", "size", "texture", "colour", "shape", "other", "other", "other", "relation", "other", "other"),
        *("colour", "shape"),
    ]
    assert scenes.word_class("dog") == "other"
