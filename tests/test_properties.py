"""Laws of every caption, score, probability table, matrix and scene: hypothesis looks for one that breaks them."""

import math
import tempfile
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from companion import decoding, metrics, scenes
from companion.datasets import augment
from companion.decoders import State, Step
from companion.scenes import Claim
from companion.scenes.words import COUNT_WORDS, PLURALS, RELATION_PHRASES, SIZE_WORDS
from companion.vocabulary import SPECIALS, Vocabulary, detokenize, tokenize

# The same examples on every machine; fewer of those that take longer.
many = settings(max_examples=80, deadline=None, derandomize=True)
few = settings(max_examples=30, deadline=None, derandomize=True)

# -- vocabulary -------------------------------------------------------------------------------------------------------

texts = st.text(max_size=30) | st.text(st.sampled_from("abS'’-_ .1é\u0301İΣß<>&$"), max_size=20)


@many
@given(st.lists(texts, max_size=5))
def test_every_vocabulary_that_can_be_built_can_be_read_again(captions):
    vocabulary = Vocabulary.build(captions)
    with tempfile.TemporaryDirectory() as folder:
        vocabulary.save(Path(folder) / "words.json")
        assert Vocabulary.load(Path(folder) / "words.json").words == vocabulary.words


@many
@given(st.lists(texts, max_size=5), st.randoms(use_true_random=False), st.integers(1, 3))
def test_a_vocabulary_depends_on_the_captions_and_not_on_their_order(captions, rng, min_count):
    vocabulary = Vocabulary.build(captions, min_count)
    shuffled = list(captions)
    rng.shuffle(shuffled)
    assert Vocabulary.build(shuffled, min_count).words == vocabulary.words
    assert [vocabulary.id(word) for word in vocabulary.words] == list(range(len(vocabulary)))
    assert Vocabulary.build(captions * min_count, min_count).words[4:] == Vocabulary.build(captions).words[4:]


@many
@given(texts, texts, st.integers(0, 6))
def test_encoding_truncates_but_never_loses_the_end_and_decoding_is_its_inverse(text, other, max_words):
    words, vocabulary = tokenize(text), Vocabulary.build([other])
    ids = vocabulary.encode(text, max_words)
    assert (ids[0], ids[-1]) == (vocabulary.start, vocabulary.end)
    assert len(ids) == 2 + min(max_words, len(words))
    assert vocabulary.decode(ids) == [word if word in vocabulary else "<unk>" for word in words[:max_words]]
    assert tokenize(detokenize(words)) == words


# -- metrics ----------------------------------------------------------------------------------------------------------

line_words = st.sampled_from("a b c d dog's The".split())
lines, long_lines = (st.lists(line_words, min_size=least, max_size=9).map(" ".join) for least in (0, 4))
reference_lists = st.lists(lines, min_size=1, max_size=3)
corpora = st.lists(st.tuples(lines, reference_lists), min_size=1, max_size=4)
BLEU_AND_ROUGE = ("bleu1", "bleu2", "bleu3", "bleu4", "rouge_l")


def score(corpus, metric=metrics.score):
    """Return the scores of a corpus, a list of candidates, each with its references."""
    return metric([candidate for candidate, _ in corpus], [references for _, references in corpus])


@few
@given(corpora)
def test_every_metric_stays_in_its_range_and_does_not_depend_on_any_order(corpus):
    reversed_corpus = [(candidate, references[::-1]) for candidate, references in corpus[::-1]]
    for metric in metrics.METRICS.values():
        scores = score(corpus, metric)
        assert all(0 <= value <= metric.maximum + 1e-9 for value in scores.values())
        assert score(reversed_corpus, metric) == pytest.approx(scores, abs=1e-12)


@few
@given(corpora)
def test_capitals_and_punctuation_do_not_count_and_a_repeated_corpus_has_the_same_bleu_and_rouge(corpus):
    scores = score(corpus)
    loud = [(f" {candidate.upper()} .", [f"{r}!" for r in references]) for candidate, references in corpus]
    assert score(loud) == scores
    twice = score([*corpus, *corpus])
    for name in BLEU_AND_ROUGE:
        assert twice[name] == pytest.approx(scores[name], abs=1e-12)


@many
@given(corpora, lines)
def test_one_more_reference_never_lowers_rouge(corpus, added):
    before = score(corpus, metrics.rouge_l_each)
    after = score([(candidate, [*references, added]) for candidate, references in corpus], metrics.rouge_l_each)
    assert all(late >= early - 1e-12 for early, late in zip(before, after, strict=True))


@few
@given(st.lists(st.tuples(long_lines, reference_lists), min_size=1, max_size=4))
def test_repeating_a_reference_is_perfect(corpus):
    """If it has four words or more: a shorter one has no 4-gram."""
    scores = score([(line, [line, *references]) for line, references in corpus])
    for name in BLEU_AND_ROUGE:
        assert scores[name] == pytest.approx(1)


# -- decoding ---------------------------------------------------------------------------------------------------------

VOCABULARY = Vocabulary([*SPECIALS, "a", "b"])
MAX_WORDS = 3
# For each image a table of logits: position in the caption, previous word, next word. The last term avoids ties.
tables = st.lists(
    st.lists(
        st.lists(st.lists(st.integers(-40, 40), min_size=6, max_size=6), min_size=6, max_size=6),
        min_size=MAX_WORDS + 1,
        max_size=MAX_WORDS + 1,
    ).map(lambda table: torch.tensor(table, dtype=torch.float64) / 10 + torch.arange(6) / 97),
    min_size=1,
    max_size=3,
)


class TableModel:
    """A model whose next word depends on the image, the position in the caption, and the previous word."""

    def start(self, source):
        return State((torch.stack(source),), (torch.zeros(len(source), 1, dtype=torch.long),))

    def step(self, tokens, state):
        (table,), (position,) = state
        rows = torch.arange(len(table))[:, None]
        logits = table[rows, position.clamp(max=MAX_WORDS), tokens]
        return Step(logits, torch.ones(*tokens.shape, 1, dtype=logits.dtype), State((table,), (position + 1,)))


def beam_search(source, width, **options):
    return decoding.beam_search(TableModel(), source, VOCABULARY, width, max_words=MAX_WORDS, **options)


def greedy(source):
    return decoding.greedy(TableModel(), source, VOCABULARY, max_words=MAX_WORDS)


def log_probability(table, words):
    """Return the log-probability of a caption and its end. Tokens that may not be generated keep their share."""
    ids = [*(VOCABULARY.id(word) for word in words), VOCABULARY.end]
    previous = [VOCABULARY.start, *ids]
    return sum(float(table[i, previous[i]].log_softmax(-1)[word]) for i, word in enumerate(ids))


@few
@given(tables, st.integers(1, 4), st.floats(0, 1))
def test_every_search_ends_generates_words_alone_and_knows_their_log_probability(source, width, power):
    captions = [*greedy(source), *beam_search(source, width, length_power=power)]
    for table, caption in zip([*source, *source], captions, strict=True):
        assert set(caption.words) <= {"a", "b"}
        assert len(caption.words) == len(caption.weights) <= MAX_WORDS
        assert math.isfinite(caption.log_probability)
        if len(caption.words) < MAX_WORDS:  # after that many words the end is certain
            assert caption.log_probability == pytest.approx(log_probability(table, caption.words), abs=1e-4)


@few
@given(tables, st.floats(0, 1))
def test_an_image_gets_the_caption_that_it_gets_alone_and_a_beam_of_one_is_greedy(source, power):
    together = beam_search(source, 3, length_power=power)
    alone = [beam_search([table], 3, length_power=power)[0] for table in source]
    assert [c.words for c in together] == [c.words for c in alone]
    assert [c.words for c in beam_search(source, 1)] == [c.words for c in greedy(source)]


@few
@given(tables)
def test_a_beam_as_wide_as_the_number_of_captions_is_never_worse_than_greedy(source):
    for wide, narrow in zip(beam_search(source, 40), greedy(source), strict=True):
        assert wide.log_probability >= narrow.log_probability - 1e-6


# -- augmentation -----------------------------------------------------------------------------------------------------

transforms = st.tuples(st.floats(-60, 60, width=32), st.floats(0.5, 2, width=32), st.booleans())  # shear, zoom, flip
IDENTITY, FLIP = (0.0, 1.0, False), (0.0, 1.0, True)


def matrix(transform):
    shear, zoom, flip = transform
    return augment.affine(torch.tensor([shear]), torch.tensor([zoom]), torch.tensor([flip]))


def close(one, other):
    return torch.allclose(one, other, atol=1e-4, rtol=1e-4)


@many
@given(transforms)
def test_area_grows_by_the_square_of_the_zoom_and_its_sign_changes_only_in_a_flip(transform):
    """The matrix leads backwards, from the new image to the old."""
    _, zoom, flip = transform
    (area,) = torch.linalg.det(matrix(transform)[:, :, :2]).tolist()
    assert area == pytest.approx((-1 if flip else 1) / zoom**2, rel=1e-4)
    assert torch.equal(matrix(transform)[0, :, 2], torch.zeros(2))  # the centre stays where it is
    assert float(matrix(transform)[0, 1, 0]) == 0  # horizontal lines stay horizontal


@many
@given(transforms, transforms, transforms)
def test_composition_is_associative_and_has_an_identity_and_inverses(one, two, three):
    a, b, c = map(matrix, (one, two, three))
    assert close(augment.compose(augment.compose(a, b), c), augment.compose(a, augment.compose(b, c)))
    identity, flip = matrix(IDENTITY), matrix(FLIP)
    assert close(augment.compose(a, identity), a)
    assert close(augment.compose(identity, a), a)
    assert close(augment.compose(flip, flip), identity)
    shear, zoom, _ = one
    assert close(augment.compose(matrix((0.0, zoom, False)), matrix((0.0, 1 / zoom, False))), identity)
    assert close(augment.compose(matrix((shear, 1.0, False)), matrix((-shear, 1.0, False))), identity)


@many
@given(transforms, st.integers(0, 2**31))
def test_a_flip_is_the_mirror_image_and_no_transform_makes_a_colour_that_was_not_there(transform, seed):
    images = torch.rand(1, 3, 6, 8, generator=torch.Generator().manual_seed(seed))
    assert close(augment.apply(images, matrix(FLIP)), images.flip(-1))
    assert close(augment.apply(images, matrix(IDENTITY)), images)
    transformed = augment.apply(images, matrix(transform))
    assert float(transformed.min()) >= float(images.min()) - 1e-5
    assert float(transformed.max()) <= float(images.max()) + 1e-5
    constant = torch.full_like(images, 0.25)
    assert close(augment.apply(constant, matrix(transform)), constant)


@many
@given(st.integers(0, 2**31), st.floats(0, 80), st.floats(0, 0.9), st.lists(st.booleans(), min_size=1, max_size=6))
def test_random_transforms_stay_within_their_limits_and_flip_only_where_it_is_allowed(seed, shear, zoom, allowed):
    generator = torch.Generator().manual_seed(seed)
    matrices = augment.random(len(allowed), generator, shear=shear, zoom=zoom, flip=torch.tensor(allowed))
    factors = 1 / matrices[:, 1, 1]
    assert bool(((factors > 1 - zoom - 1e-3) & (factors < 1 + zoom + 1e-3)).all())
    slopes = torch.rad2deg(torch.atan(matrices[:, 0, 1] * factors)).abs()
    assert bool((slopes <= shear + 1e-2).all())
    assert not bool(((matrices[:, 0, 0] < 0) & ~torch.tensor(allowed)).any())


sides = st.lists(st.sampled_from("the left Right LEFTMOST right-hand bright upright dog. rightwards, up".split())).map(
    " ".join
)


@many
@given(sides | texts)
def test_mirroring_a_caption_twice_gives_it_back_and_changes_it_exactly_if_a_flip_makes_it_false(caption):
    mirrored = augment.mirror_caption(caption)
    assert augment.mirror_caption(mirrored) == caption
    assert (mirrored != caption) == augment.flip_falsifies(caption, "en")


# -- scenes -----------------------------------------------------------------------------------------------------------

seeds_and_splits = st.tuples(st.integers(0, 10**9), st.sampled_from(scenes.SPLITS))  # the arguments of `sample_scene`
phrases = st.tuples(
    st.integers(1, 4),
    st.sampled_from(scenes.SHAPES),
    st.none() | st.sampled_from(scenes.COLOURS),
    st.none() | st.sampled_from(scenes.SIZES),
    st.none() | st.sampled_from(scenes.TEXTURES),
)


@st.composite
def in_words(draw, phrase):
    """A phrase in words: its adjectives in any order, with either word for its size."""
    number, shape, colour, size, texture = phrase
    adjectives = [word for word in (colour, size and draw(st.sampled_from(SIZE_WORDS[size])), texture) if word]
    noun = shape if number == 1 else PLURALS[shape]
    determiner = draw(st.sampled_from(("a", "an", "one"))) if number == 1 else COUNT_WORDS[number]
    return " ".join([determiner, *draw(st.permutations(adjectives)), noun])


@few
@given(seeds_and_splits)
def test_every_reference_can_be_parsed_is_exact_and_mentions_the_objects_that_it_is_aligned_with(seed_and_split):
    scene = scenes.sample_scene(*seed_and_split)
    for reference in scene.captions:
        assert tuple(tokenize(reference.text)) == reference.words
        assert set(reference.words) <= scenes.WORDS
        assert scenes.is_exact(reference.text, scene)
        aligned = scenes.align(reference.text, scene)
        for mentioned, possible in zip(reference.mentions, aligned, strict=True):
            assert set(mentioned) <= set(possible)
    assert (scene.masks.sum(0) <= 1).all()  # no pixel belongs to two objects


@few
@given(seeds_and_splits, seeds_and_splits)
def test_a_caption_is_true_of_a_scene_exactly_if_the_mirrored_one_is_true_of_its_mirror_image(one, other):
    """Also for captions that were written for another scene and are mostly false."""
    scene = scenes.sample_scene(*one)
    mirrored = scenes.mirror(scene)
    for caption in (*scene.captions, *scenes.sample_scene(*other).captions):
        mirrored_caption = augment.mirror_caption(caption.text)
        assert scenes.is_true(caption.text, scene) == scenes.is_true(mirrored_caption, mirrored)
        assert scenes.is_exact(caption.text, scene) == scenes.is_exact(mirrored_caption, mirrored)


@many
@given(phrases, phrases, st.sampled_from(scenes.RELATIONS), st.data())
def test_the_parser_understands_what_the_grammar_can_write(one, two, relation, data):
    subject, other = data.draw(in_words(one)), data.draw(in_words(two))
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
        assert [(p.number, p.shape, p.colour, p.size, p.texture) for p in statement.phrases] == [first, second]
        assert statement.claims == ((claim,) if claim else ())


@many
@given(st.lists(st.sampled_from(sorted(scenes.WORDS)), max_size=14).map(" ".join) | texts)
def test_no_line_confuses_the_parser(line):
    """It parses a line or not; if it does, each word belongs to at most one phrase, and each claim to two phrases."""
    statement = scenes.parse(line)
    if statement is None:
        return
    assert statement.words == tuple(tokenize(line))
    positions = [position for phrase in statement.phrases for position in phrase.positions]
    assert len(positions) == len(set(positions))
    assert all(0 <= position < len(statement.words) for position in positions)
    for claim in statement.claims:
        assert claim.subject != claim.other
        assert {claim.subject, claim.other} <= set(range(len(statement.phrases)))


@few
@given(seeds_and_splits, st.data())
def test_another_colour_makes_a_caption_of_one_object_false(seed_and_split, data):
    scene = scenes.sample_scene(*seed_and_split)
    chosen = data.draw(st.sampled_from(scene.objects))
    assert scenes.is_true(f"a {chosen.colour} {chosen.shape}", scene)
    colours = {o.colour for o in scene.objects if o.shape == chosen.shape}
    wrong = data.draw(st.sampled_from([colour for colour in scenes.COLOURS if colour not in colours]))
    assert not scenes.is_true(f"a {wrong} {chosen.shape}", scene)
    assert wrong in scenes.explain(f"a {wrong} {chosen.shape}", scene)
