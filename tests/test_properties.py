"""Laws that hold for every caption, score, table, matrix and scene: hypothesis looks for one that breaks them."""

import math
import tempfile
from pathlib import Path

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from companion import augment, decoding, metrics, scenes
from companion.decoders import State, Step
from companion.scenes import Claim
from companion.scenes.words import COUNT_WORDS, PLURALS, RELATION_PHRASES, SIZE_WORDS
from companion.vocabulary import SPECIALS, Vocabulary, detokenize, tokenize

always = settings(max_examples=80, deadline=None, derandomize=True)  # the same examples on every machine
seldom = settings(max_examples=30, deadline=None, derandomize=True)

# -- vocabulary -------------------------------------------------------------------------------------------------------

texts = st.text(max_size=30) | st.text(st.sampled_from("abS'’-_ .1é\u0301İΣß<>&$"), max_size=20)


@always
@given(st.lists(texts, max_size=5))
def test_every_vocabulary_that_can_be_built_can_be_read_again(captions):
    built = Vocabulary.build(captions)
    with tempfile.TemporaryDirectory() as folder:
        built.save(Path(folder) / "words.json")
        assert Vocabulary.load(Path(folder) / "words.json").words == built.words


@always
@given(st.lists(texts, max_size=5), st.randoms(use_true_random=False), st.integers(1, 3))
def test_a_vocabulary_depends_on_what_was_said_and_not_on_the_order(captions, chance, least):
    built = Vocabulary.build(captions, least)
    shuffled = list(captions)
    chance.shuffle(shuffled)
    assert Vocabulary.build(shuffled, least).words == built.words
    assert [built.id(word) for word in built.words] == list(range(len(built)))
    assert Vocabulary.build(captions * least, least).words[4:] == Vocabulary.build(captions).words[4:]


@always
@given(texts, texts, st.integers(0, 6))
def test_encoding_cuts_and_never_loses_the_end_and_decoding_undoes_it(text, other, most):
    words, known = tokenize(text), Vocabulary.build([other])
    ids = known.encode(text, most)
    assert (ids[0], ids[-1]) == (known.start, known.end)
    assert len(ids) == 2 + min(most, len(words))
    assert known.decode(ids) == [word if word in known else "<unk>" for word in words[:most]]
    assert tokenize(detokenize(words)) == words


# -- metrics ----------------------------------------------------------------------------------------------------------

lines = st.lists(st.sampled_from("a b c d dog's The".split()), max_size=9).map(" ".join)
answers = st.lists(lines, min_size=1, max_size=3)
corpora = st.lists(st.tuples(lines, answers), min_size=1, max_size=4)


def scores(corpus):
    return metrics.score([candidate for candidate, _ in corpus], [references for _, references in corpus])


@always
@given(corpora)
def test_scores_stay_in_their_range_and_do_not_depend_on_any_order(corpus):
    found = scores(corpus)
    assert all(0 <= value <= 1 + 1e-9 for name, value in found.items() if name != "cider_d")
    assert 0 <= found["cider_d"] <= 10 + 1e-9
    assert found["bleu1"] >= 0
    turned = [(candidate, references[::-1]) for candidate, references in corpus[::-1]]
    assert scores(turned) == pytest.approx(found, abs=1e-12)


@always
@given(corpora)
def test_capitals_and_punctuation_do_not_score_and_a_corpus_said_twice_has_the_same_bleu(corpus):
    found = scores(corpus)
    loud = [(f" {candidate.upper()} .", [f"{r}!" for r in references]) for candidate, references in corpus]
    assert scores(loud) == found
    twice = scores([*corpus, *corpus])
    for name in ("bleu1", "bleu2", "bleu3", "bleu4", "rouge_l"):
        assert twice[name] == pytest.approx(found[name], abs=1e-12)


@always
@given(corpora, lines)
def test_one_more_reference_never_lowers_rouge(corpus, more):
    before = metrics.rouge_l_each([c for c, _ in corpus], [r for _, r in corpus])
    after = metrics.rouge_l_each([c for c, _ in corpus], [[*r, more] for _, r in corpus])
    assert all(late >= early - 1e-12 for early, late in zip(before, after, strict=True))


@always
@given(st.lists(answers, min_size=1, max_size=4))
def test_who_repeats_a_reference_has_full_marks(several):
    assume(all(len(tokenize(references[0])) >= 4 for references in several))
    found = scores([(references[0], references) for references in several])
    for name in ("bleu1", "bleu4", "rouge_l"):
        assert found[name] == pytest.approx(1)


# -- decoding ---------------------------------------------------------------------------------------------------------

VOCABULARY = Vocabulary([*SPECIALS, "a", "b"])
LONGEST = 3
# for each picture, for each place in the sentence and each word before it, the scores of the next word
tables = st.lists(
    st.lists(
        st.lists(st.lists(st.integers(-40, 40), min_size=6, max_size=6), min_size=6, max_size=6),
        min_size=LONGEST + 1,
        max_size=LONGEST + 1,
    ).map(lambda table: torch.tensor(table, dtype=torch.float64) / 10 + torch.arange(6) / 97),
    min_size=1,
    max_size=3,
)


class Table:
    """What comes next depends on the picture, the place in the sentence, and the word before."""

    def start(self, source):
        return State((torch.stack(source),), (torch.zeros(len(source), 1, dtype=torch.long),))

    def step(self, tokens, state):
        (table,), (place,) = state
        rows = torch.arange(len(table))[:, None]
        logits = table[rows, place.clamp(max=LONGEST), tokens]
        return Step(logits, torch.ones(*tokens.shape, 1, dtype=logits.dtype), State((table,), (place + 1,)))


def log_probability(table, words):
    """Of a sentence and its end; what may not be said keeps its share."""
    ids = [*(VOCABULARY.id(word) for word in words), VOCABULARY.end]
    before = [VOCABULARY.start, *ids]
    return sum(float(table[place, before[place]].log_softmax(-1)[word]) for place, word in enumerate(ids))


@seldom
@given(tables, st.integers(1, 4), st.floats(0, 1))
def test_every_search_ends_says_words_alone_and_knows_how_likely_they_are(source, width, power):
    found = [
        *zip(source, decoding.greedy(Table(), source, VOCABULARY, LONGEST), strict=True),
        *zip(source, decoding.beam(Table(), source, VOCABULARY, width, LONGEST, power), strict=True),
    ]
    for table, caption in found:
        assert set(caption.words) <= {"a", "b"}
        assert len(caption.words) == len(caption.weights) <= LONGEST
        assert math.isfinite(caption.log_probability)
        if len(caption.words) < LONGEST:  # at the longest, the end is certain
            assert caption.log_probability == pytest.approx(log_probability(table, caption.words), abs=1e-4)


@seldom
@given(tables, st.floats(0, 1))
def test_a_picture_gets_the_caption_that_it_gets_alone_and_a_beam_of_one_is_greedy(source, power):
    together = decoding.beam(Table(), source, VOCABULARY, 3, LONGEST, power)
    alone = [decoding.beam(Table(), [table], VOCABULARY, 3, LONGEST, power)[0] for table in source]
    assert [c.words for c in together] == [c.words for c in alone]
    greedy = decoding.greedy(Table(), source, VOCABULARY, LONGEST)
    assert [c.words for c in decoding.beam(Table(), source, VOCABULARY, 1, LONGEST)] == [c.words for c in greedy]


@seldom
@given(tables)
def test_a_wide_beam_is_never_beaten(source):
    for caption, greedy in zip(
        decoding.beam(Table(), source, VOCABULARY, 40, LONGEST),
        decoding.greedy(Table(), source, VOCABULARY, LONGEST),
        strict=True,
    ):
        assert caption.log_probability >= greedy.log_probability - 1e-6


# -- augmentation -----------------------------------------------------------------------------------------------------

angles, zooms, flips = st.floats(-60, 60, width=32), st.floats(0.5, 2, width=32), st.booleans()
moves = st.tuples(angles, zooms, flips)


def matrix(move):
    shear, zoom, flip = move
    return augment.affine(torch.tensor([shear]), torch.tensor([zoom]), torch.tensor([flip]))


def near(one, other, by=1e-4):
    return torch.allclose(one, other, atol=by, rtol=by)


@always
@given(moves)
def test_an_area_grows_by_the_square_of_the_zoom_and_turns_over_only_if_it_is_flipped(move):
    """The matrix leads backwards, from the new picture to the old."""
    (area,) = torch.linalg.det(matrix(move)[:, :, :2]).tolist()
    assert area == pytest.approx((-1 if move[2] else 1) / move[1] ** 2, rel=1e-4)
    assert torch.equal(matrix(move)[0, :, 2], torch.zeros(2))  # the centre stays where it is
    assert float(matrix(move)[0, 1, 0]) == 0  # what is level stays level


@always
@given(moves, moves, moves)
def test_to_put_moves_together_is_to_multiply_them(one, two, three):
    a, b, c = map(matrix, (one, two, three))
    assert near(augment.compose(augment.compose(a, b), c), augment.compose(a, augment.compose(b, c)))
    nothing = matrix((0.0, 1.0, False))
    assert near(augment.compose(a, nothing), a)
    assert near(augment.compose(nothing, a), a)
    flip = matrix((0.0, 1.0, True))
    assert near(augment.compose(flip, flip), nothing)
    zoomed = augment.compose(matrix((0.0, one[1], False)), matrix((0.0, 1 / one[1], False)))
    assert near(zoomed, nothing)
    leaning = augment.compose(matrix((one[0], 1.0, False)), matrix((-one[0], 1.0, False)))
    assert near(leaning, nothing)


@always
@given(moves, st.integers(0, 2**31))
def test_a_flip_is_the_mirror_image_and_no_move_makes_a_colour_that_was_not_there(move, seed):
    picture = torch.rand(1, 3, 6, 8, generator=torch.Generator().manual_seed(seed))
    assert near(augment.apply(picture, matrix((0.0, 1.0, True))), picture.flip(-1))
    assert near(augment.apply(picture, matrix((0.0, 1.0, False))), picture)
    moved = augment.apply(picture, matrix(move))
    assert float(moved.min()) >= float(picture.min()) - 1e-5
    assert float(moved.max()) <= float(picture.max()) + 1e-5
    plain = torch.full_like(picture, 0.25)
    assert near(augment.apply(plain, matrix(move)), plain)


@always
@given(st.integers(0, 2**31), st.floats(0, 80), st.floats(0, 0.9), st.lists(flips, min_size=1, max_size=6))
def test_what_is_drawn_stays_within_its_bounds_and_is_flipped_only_where_it_may_be(seed, shear, zoom, allowed):
    generator = torch.Generator().manual_seed(seed)
    drawn = augment.random(len(allowed), generator, shear, zoom, torch.tensor(allowed))
    factors = 1 / drawn[:, 1, 1]
    assert bool(((factors > 1 - zoom - 1e-3) & (factors < 1 + zoom + 1e-3)).all())
    slopes = torch.rad2deg(torch.atan(drawn[:, 0, 1] * factors)).abs()
    assert bool((slopes <= shear + 1e-2).all())
    assert not bool(((drawn[:, 0, 0] < 0) & ~torch.tensor(allowed)).any())


sides = st.lists(st.sampled_from("the left Right LEFTMOST right-hand bright upright dog. rightwards, up".split())).map(
    " ".join
)


@always
@given(sides | texts)
def test_mirroring_a_caption_twice_gives_it_back_and_changes_it_exactly_if_a_flip_makes_it_false(caption):
    mirrored = augment.mirror_caption(caption)
    assert augment.mirror_caption(mirrored) == caption
    assert (mirrored != caption) == augment.flip_falsifies(caption)


# -- scenes -----------------------------------------------------------------------------------------------------------

numbers = st.tuples(st.integers(0, 10**9), st.sampled_from(scenes.SPLITS))  # of a scene: its seed and its split
phrases = st.tuples(
    st.integers(1, 4),
    st.sampled_from(scenes.SHAPES),
    st.none() | st.sampled_from(scenes.COLOURS),
    st.none() | st.sampled_from(scenes.SIZES),
    st.none() | st.sampled_from(scenes.TEXTURES),
)


@st.composite
def spoken(draw, phrase):
    """A phrase in words: its adjectives in any order, with either word for its size."""
    number, shape, colour, size, texture = phrase
    said = [word for word in (colour, size and draw(st.sampled_from(SIZE_WORDS[size])), texture) if word]
    noun = shape if number == 1 else PLURALS[shape]
    return " ".join([draw(st.sampled_from(("a", "an", "one"))) if number == 1 else COUNT_WORDS[number],
                     *draw(st.permutations(said)), noun])  # fmt: skip


@seldom
@given(numbers)
def test_every_reference_is_read_back_is_exact_and_speaks_of_the_things_that_it_says(number):
    scene = scenes.draw(*number)
    for reference in scene.captions:
        assert tuple(tokenize(reference.text)) == reference.words
        assert set(reference.words) <= scenes.WORDS
        assert scenes.is_exact(reference.text, scene)
        aligned = scenes.align(reference.text, scene)
        assert all(set(told) <= set(meant) for told, meant in zip(reference.mentions, aligned, strict=True))
    assert (scene.masks.sum(0) <= 1).all()  # no pixel is seen of two things


@seldom
@given(numbers, numbers)
def test_a_caption_is_true_of_a_scene_exactly_if_the_mirrored_one_is_true_of_its_mirror_image(number, another):
    """Also for captions that were made for another scene, and are mostly false."""
    scene, other = scenes.draw(*number), scenes.draw(*another)
    mirrored = scenes.mirror(scene)
    for caption in (*scene.captions, *other.captions):
        turned = augment.mirror_caption(caption.text)
        assert scenes.is_true(caption.text, scene) == scenes.is_true(turned, mirrored)
        assert scenes.is_exact(caption.text, scene) == scenes.is_exact(turned, mirrored)


@always
@given(phrases, phrases, st.sampled_from(scenes.RELATIONS), st.data())
def test_what_is_said_by_the_grammar_is_what_the_parser_understands(one, two, relation, data):
    subject, other = data.draw(spoken(one)), data.draw(spoken(two))
    link = data.draw(st.sampled_from(RELATION_PHRASES[relation]))
    verb = data.draw(st.sampled_from(("is", "are")))
    forms = {
        f"{subject} {verb} {link} {other}": (one, two, Claim(0, relation, 1)),
        f"there {verb} {subject} {link} {other}": (one, two, Claim(0, relation, 1)),
        f"{link} {other} {verb} {subject}": (two, one, Claim(1, relation, 0)),
        f"{subject} and {other}": (one, two, None),
    }
    for caption, (first, second, claim) in forms.items():
        statement = scenes.parse(caption)
        assert statement is not None, caption
        said = [(p.number, p.shape, p.colour, p.size, p.texture) for p in statement.phrases]
        assert said == [first, second]
        assert statement.claims == ((claim,) if claim else ())


@always
@given(st.lists(st.sampled_from(sorted(scenes.WORDS)), max_size=14).map(" ".join) | texts)
def test_no_line_confuses_the_parser(line):
    """It understands it or not; if it does, each word belongs to at most one phrase, and each claim to two."""
    statement = scenes.parse(line)
    if statement is None:
        return
    assert statement.words == tuple(tokenize(line))
    places = [place for phrase in statement.phrases for place in phrase.at]
    assert len(places) == len(set(places))
    assert all(0 <= place < len(statement.words) for place in places)
    for claim in statement.claims:
        assert claim.subject != claim.other
        assert {claim.subject, claim.other} <= set(range(len(statement.phrases)))


@seldom
@given(numbers, st.data())
def test_another_colour_makes_a_caption_of_one_thing_false(number, data):
    scene = scenes.draw(*number)
    thing = data.draw(st.sampled_from(scene.things))
    assert scenes.is_true(f"a {thing.colour} {thing.shape}", scene)
    others = {t.colour for t in scene.things if t.shape == thing.shape}
    wrong = data.draw(st.sampled_from([colour for colour in scenes.COLOURS if colour not in others]))
    assert not scenes.is_true(f"a {wrong} {thing.shape}", scene)
    assert wrong in scenes.explain(f"a {wrong} {thing.shape}", scene)
