"""The searches, on tables of probabilities small enough to enumerate every caption."""

import math
from collections import Counter
from itertools import product

import pytest
import torch

from companion import decoding
from companion.decoders import State, Step
from companion.vocabulary import SPECIALS, Vocabulary

VOCABULARY = Vocabulary([*SPECIALS, "a", "b", "c"])
WORDS = ("a", "b", "c")
END = "<end>"


class Table:
    """A model that looks its probabilities up: a function from a prefix (a tuple of words) to those of the next word.

    The source is a list of such functions, one per picture. The memory holds the picture's number, the carry the
    prefix. The weights identify the step that computed them: the picture, the length of the prefix, its last id.
    """

    def start(self, source):
        self.source, self.steps = source, 0
        pictures = torch.arange(len(source))
        return State((pictures,), (torch.zeros(len(source), 1, 0, dtype=torch.long),))

    def step(self, tokens, state):
        self.steps += 1
        prefixes = torch.cat([state.carry[0], tokens.unsqueeze(-1)], dim=-1)
        rows, fingerprints = [], []
        for picture, of_picture in zip(state.memory[0].tolist(), prefixes.tolist(), strict=True):
            for ids in of_picture:
                assert ids[0] == Vocabulary.start, "a caption begins with <start>"
                prefix = tuple(VOCABULARY.words[i] for i in ids[1:])
                table = self.source[picture](prefix) if not set(prefix) & set(SPECIALS) else {END: 1.0}
                rows.append([table.get(word, 0.0) for word in VOCABULARY.words])
                fingerprints.append([picture, len(prefix), ids[-1]])
        shape = tokens.shape
        logits = torch.tensor(rows, dtype=torch.float64).log().view(*shape, len(VOCABULARY))
        weights = torch.tensor(fingerprints, dtype=torch.float64).view(*shape, 3)
        return Step(logits, weights, state._replace(carry=(prefixes,)))


def random_table(seed):
    """Return a table with random probabilities for every prefix, many of them of tokens that may not be generated."""

    def table(prefix):
        number = sum((WORDS.index(word) + 1) * 4**i for i, word in enumerate(prefix))  # its own for every prefix
        generator = torch.Generator().manual_seed(10_000 * seed + number)
        weights = torch.rand(7, generator=generator, dtype=torch.float64) ** 3
        return dict(zip(VOCABULARY.words, (weights / weights.sum()).tolist(), strict=True))

    return table


def fixed(rows):
    """Return a table from a dictionary with prefixes as text; after any other prefix only `<end>` is possible."""
    return lambda prefix: rows.get(" ".join(prefix), {END: 1.0})


def log_probability(table, words):
    """Return the log-probability of a caption, `<end>` included: the log of the product of the table's entries."""
    caption = [*words, END]
    return sum(math.log(table(tuple(caption[:i]))[word]) for i, word in enumerate(caption))


def exhaustive(table, max_words, length_power=0.0):
    """Return the best of all captions by exhaustive search."""
    captions = [words for length in range(max_words + 1) for words in product(WORDS, repeat=length)]
    return max(captions, key=lambda words: log_probability(table, words) / (len(words) + 1) ** length_power)


def slow_beam(table, width, max_words, length_power):
    """Run beam search with lists and without an early stop; return the words and the log-probability."""
    beams = [((), 0.0)]
    for word in range(max_words + 1):
        grown = [beam for beam in beams if END in beam[0]]
        for prefix, score in (beam for beam in beams if END not in beam[0]):
            row, words = table(prefix), (END,) if word == max_words else (*WORDS, END)
            grown += [((*prefix, w), score + math.log(row[w])) for w in words]
        beams = sorted(grown, key=lambda beam: beam[1] / len(beam[0]) ** length_power, reverse=True)[:width]
    return beams[0][0][:-1], beams[0][1]


def beam(table, width, max_words=6, length_power=0.0):
    return decoding.beam_search(Table(), [table], VOCABULARY, width, max_words=max_words, length_power=length_power)[0]


def greedy(table, max_words=6):
    return decoding.greedy(Table(), [table], VOCABULARY, max_words=max_words)[0]


def sample(table, count=1, seed=0, **settings):
    generator = torch.Generator().manual_seed(seed)
    return decoding.sample(Table(), [table], VOCABULARY, count=count, generator=generator, **settings)[0]


each_seed = pytest.mark.parametrize("seed", range(8))

# Greedy search begins with "a", the most probable first word; the most probable caption begins with "b".
THREE_WORDS = fixed(
    {
        "": {"a": 0.5, "b": 0.4, "c": 0.1},
        "a": {"a": 0.3, "b": 0.3, "c": 0.3, END: 0.1},
        "b": {"c": 0.9, END: 0.1},
        "b c": {END: 1.0},
    }
)

# "a a a" has -1.5 per word, `<end>` included: -6 in total. "b b b b b b b" has -1 per word: -8 in total. The rest of
# the probability belongs to a token that may not be generated.
SHORT, LONG = ("a",) * 3, ("b",) * 7


def unlikely(word, score):
    return {word: math.exp(score), "<unk>": 1 - math.exp(score)}


SHORT_OR_LONG = fixed(
    {
        "": {"a": math.exp(-1.5), "b": math.exp(-1), "<unk>": 1 - math.exp(-1.5) - math.exp(-1)},
        **{"a a a"[: 2 * n - 1]: unlikely("a" if n < 3 else END, -1.5) for n in (1, 2, 3)},
        **{"b b b b b b b"[: 2 * n - 1]: unlikely("b" if n < 7 else END, -1) for n in range(1, 8)},
    }
)

ENDLESS = fixed({" ".join("a" * n): {"a": 0.9, END: 0.001, "<unk>": 0.099} for n in range(30)})


# --- beam search --------------------------------------------------------------------------------------------------


@each_seed
def test_a_beam_of_one_is_greedy(seed):
    one, other = beam(random_table(seed), width=1), greedy(random_table(seed))
    assert one.words == other.words
    assert one.log_probability == pytest.approx(other.log_probability)
    assert torch.equal(one.weights, other.weights)


def test_beam_search_beats_greedy_on_a_table_of_three_words():
    assert greedy(THREE_WORDS).words[0] == "a"
    assert greedy(THREE_WORDS).log_probability == pytest.approx(math.log(0.5 * 0.3))
    assert beam(THREE_WORDS, width=2).words == ("b", "c")
    assert beam(THREE_WORDS, width=2).log_probability == pytest.approx(math.log(0.4 * 0.9))


@each_seed
@pytest.mark.parametrize("length_power", [0.0, 0.7, 2.0])
def test_a_beam_that_is_wide_enough_equals_exhaustive_search(seed, length_power):
    table = random_table(seed)
    best = exhaustive(table, 3, length_power)
    caption = beam(table, width=60, max_words=3, length_power=length_power)
    assert caption.words == best
    assert caption.log_probability == pytest.approx(log_probability(table, best))


@each_seed
@pytest.mark.parametrize("length_power", [0.0, 0.7, 2.0])
@pytest.mark.parametrize("width", [2, 3])
def test_a_narrow_beam_equals_a_slow_beam_search_that_never_stops_early(seed, width, length_power):
    words, score = slow_beam(random_table(seed), width, 5, length_power)
    caption = beam(random_table(seed), width, 5, length_power)
    assert caption.words == words
    assert caption.log_probability == pytest.approx(score)


@pytest.mark.parametrize("width", [2, 5])
@pytest.mark.parametrize(("length_power", "words", "score"), [(0.0, SHORT, -6), (0.75, LONG, -8), (1.0, LONG, -8)])
def test_a_length_power_above_zero_prefers_the_long_caption(length_power, words, score, width):
    caption = beam(SHORT_OR_LONG, width, max_words=10, length_power=length_power)
    assert caption.words == words
    assert caption.log_probability == pytest.approx(score)


def test_a_search_stops_as_soon_as_no_hypothesis_can_become_better():
    model = Table()
    table = fixed({"": {"a": 0.9, END: 0.1}, "a": {END: 0.8, "b": 0.2}})
    decoding.beam_search(model, [table], VOCABULARY, 3, max_words=20)
    assert model.steps == 2


def test_a_hypothesis_that_does_not_end_is_ended_after_max_words():
    for width in (1, 2, 5, 100):
        caption = beam(ENDLESS, width, max_words=4, length_power=1.0)
        assert caption.words == ("a",) * 4
        assert caption.log_probability == pytest.approx(4 * math.log(0.9) + math.log(0.001))


def test_a_beam_may_be_wider_than_the_vocabulary():
    assert beam(fixed({"": {"a": 1.0}}), width=50).words == ("a",)


def test_a_caption_has_its_words_as_text():
    assert beam(THREE_WORDS, width=2).text == "b c"
    assert decoding.Caption(("the", "dog", "'s", "ball"), 0.0, torch.zeros(4, 1)).text == "the dog's ball"


# --- greedy and sampling ------------------------------------------------------------------------------------------


@each_seed
def test_greedy_search_takes_the_most_probable_word_at_every_step(seed):
    table, expected = random_table(seed), []
    while END not in expected:
        row = table(tuple(expected))
        expected.append(max((*WORDS, END) if len(expected) < 6 else (END,), key=row.get))
    assert greedy(table).words == tuple(expected[:-1])


NO_REPEATS = fixed({"": {"a": 0.5, "b": 0.25, END: 0.15, "<unk>": 0.1}, "a": {"b": 0.2, END: 0.8}})


def frequencies(captions):
    counts = Counter(caption.words for caption in captions)
    return {words: count / counts.total() for words, count in counts.items()}


def test_captions_are_sampled_with_the_probabilities_of_the_table():
    observed = frequencies(sample(NO_REPEATS, 4000))
    expected = {("a",): 0.5 * 0.8 / 0.9, ("a", "b"): 0.5 * 0.2 / 0.9, ("b",): 0.25 / 0.9, (): 0.15 / 0.9}
    assert observed.keys() == expected.keys()
    chi_square = sum(4000 * (observed[words] - p) ** 2 / p for words, p in expected.items())
    assert chi_square < 16.3  # three degrees of freedom, p = 0.001


def test_the_temperature_divides_the_log_probabilities():
    observed = frequencies(sample(fixed({"": {"a": 0.6, "b": 0.3, END: 0.1}}), 4000, temperature=0.5))
    total = 0.6**2 + 0.3**2 + 0.1**2
    for words, p in {("a",): 0.6**2 / total, ("b",): 0.3**2 / total, (): 0.1**2 / total}.items():
        assert observed[words] == pytest.approx(p, abs=4 * math.sqrt(p / 4000))


@each_seed
@pytest.mark.parametrize("settings", [{"temperature": 1e-6}, {"top_k": 1}, {"top_p": 1e-6}], ids=str)
def test_sampling_is_greedy_when_only_the_most_probable_word_is_left(seed, settings):
    table, expected = random_table(seed), greedy(random_table(seed))
    for caption in sample(table, 5, max_words=6, **settings):
        assert caption.words == expected.words
        assert caption.log_probability == pytest.approx(expected.log_probability)


FOUR = fixed({"": {"b": 0.4, "c": 0.3, "a": 0.2, END: 0.1}})


@pytest.mark.parametrize(
    ("settings", "kept"),
    [
        ({"top_k": 2}, "b c"),
        ({"top_k": 3}, "b c a"),
        ({"top_k": 100}, "b c a <end>"),
        ({"top_p": 0.3}, "b"),
        ({"top_p": 0.5}, "b c"),
        ({"top_p": 0.75}, "b c a"),
        ({"top_p": 0.95}, "b c a <end>"),
        ({"top_p": 0.95, "top_k": 2}, "b c"),
        ({}, "b c a <end>"),
    ],
    ids=str,
)
def test_top_k_and_top_p_keep_only_the_most_probable_words(settings, kept):
    first_words = {(*caption.words, END)[0] for caption in sample(FOUR, 400, **settings)}
    assert first_words == set(kept.split())


def test_the_nucleus_is_the_smallest_set_of_most_probable_words_that_reaches_top_p():
    probabilities = torch.tensor([[0.05, 0.4, 0.2, 0.35], [0.97, 0.01, 0.01, 0.01]])
    kept = decoding.nucleus(probabilities.log(), 4, 0.7) > -torch.inf
    assert kept.tolist() == [[False, True, False, True], [True, False, False, False]]


def test_a_top_p_of_one_keeps_every_word_of_a_large_vocabulary():
    scores = 4 * torch.randn(5000, generator=torch.Generator().manual_seed(0))
    assert torch.equal(decoding.nucleus(scores, 5000, 1.0), scores)


def test_the_same_seed_samples_the_same_captions_and_another_seed_others():
    one, again, other = (sample(random_table(0), 20, seed) for seed in (3, 3, 4))
    assert [c.words for c in one] == [c.words for c in again]
    assert [c.words for c in one] != [c.words for c in other]


# --- all searches ----------------------------------------------------------------------------------------------------


def captions_of_all(table, max_words):
    """Return captions of the same table by every search."""
    return [
        greedy(table, max_words),
        beam(table, 3, max_words),
        beam(table, 3, max_words, 1.0),
        *sample(table, 20, max_words=max_words),
    ]


@each_seed
def test_a_captions_log_probability_is_the_product_of_the_tables_entries(seed):
    for caption in captions_of_all(random_table(seed), 6):
        assert caption.log_probability == pytest.approx(log_probability(random_table(seed), caption.words), abs=1e-5)


def test_the_log_probability_of_a_sample_does_not_depend_on_the_temperature():
    for caption in sample(random_table(1), 20, temperature=3.0, top_k=2):
        assert caption.log_probability == pytest.approx(log_probability(random_table(1), caption.words), abs=1e-5)


@each_seed
def test_each_word_has_the_weights_of_the_step_that_generated_it(seed):
    for caption in captions_of_all(random_table(seed), 6):
        before = [Vocabulary.start, *map(VOCABULARY.id, caption.words)][:-1] if caption.words else []
        assert caption.weights.tolist() == [[0, position, last] for position, last in enumerate(before)]


@pytest.mark.parametrize("max_words", [1, 2, 5])
def test_no_caption_is_longer_than_max_words_and_its_log_probability_includes_the_end(max_words):
    for caption in captions_of_all(ENDLESS, max_words):
        assert len(caption.words) <= max_words
        assert caption.log_probability == pytest.approx(log_probability(ENDLESS, caption.words), abs=1e-5)
    assert greedy(ENDLESS, max_words).words == beam(ENDLESS, 3, max_words, 1.0).words == ("a",) * max_words


@pytest.mark.parametrize("special", ["<pad>", "<start>", "<unk>"])
def test_a_special_token_is_never_generated_however_probable(special):
    table = fixed({"": {special: 0.97, "a": 0.02, END: 0.01}, "a": {special: 0.9, "b": 0.06, END: 0.04}})
    for caption in captions_of_all(table, 4):
        assert set(caption.words) <= set(WORDS)
    assert greedy(table).words == beam(table, 2, length_power=1.0).words == ("a", "b")


def test_a_caption_may_be_empty():
    for caption in captions_of_all(fixed({"": {END: 1.0}}), 4):
        assert caption.words == ()
        assert caption.weights.shape == (0, 3)
        assert caption.log_probability == pytest.approx(0.0)


@pytest.mark.parametrize("length_power", [0.0, 1.0])
def test_a_picture_in_a_batch_gets_the_caption_that_it_gets_alone(length_power):
    tables = [random_table(0), ENDLESS, fixed({"": {END: 1.0}}), THREE_WORDS, random_table(5), SHORT_OR_LONG]
    beams = decoding.beam_search(Table(), tables, VOCABULARY, 3, max_words=8, length_power=length_power)
    greedies = decoding.greedy(Table(), tables, VOCABULARY, max_words=8)
    assert len({len(caption.words) for caption in beams}) > 2  # they end at different steps
    for i, table in enumerate(tables):
        alone = (beam(table, 3, 8, length_power), greedy(table, 8))
        for one, other in zip((beams[i], greedies[i]), alone, strict=True):
            assert one.words == other.words
            assert one.log_probability == pytest.approx(other.log_probability)
            assert torch.equal(one.weights[:, 1:], other.weights[:, 1:])
            assert (one.weights[:, 0] == i).all()


def test_samples_are_in_the_order_of_the_pictures():
    tables = [fixed({"": {word: 1.0}}) for word in WORDS]
    samples = decoding.sample(Table(), tables, VOCABULARY, count=4)
    assert [[caption.words for caption in picture] for picture in samples] == [[(word,)] * 4 for word in WORDS]


def test_an_empty_batch_has_no_captions():
    assert decoding.beam_search(Table(), [], VOCABULARY) == decoding.greedy(Table(), [], VOCABULARY) == []


def test_the_models_logits_are_not_modified():
    model = Table()
    step = model.step(torch.tensor([[Vocabulary.start]]), model.start([THREE_WORDS]))
    before = step.logits.clone()
    decoding.next_log_probs(step, last=True)
    assert torch.equal(step.logits, before)


@pytest.mark.parametrize(
    ("search", "wrong"),
    [
        (greedy, {"max_words": 0}),
        (beam, {"width": 0}),
        (beam, {"width": 2, "max_words": -1}),
        (beam, {"width": 2, "length_power": -0.5}),
        (beam, {"width": 2, "length_power": math.nan}),
        (sample, {"count": 0}),
        (sample, {"max_words": 0}),
        (sample, {"top_k": 0}),
        (sample, {"temperature": 0.0}),
        (sample, {"temperature": -1.0}),
        (sample, {"temperature": math.nan}),
        (sample, {"temperature": math.inf}),
        (sample, {"top_p": 0.0}),
        (sample, {"top_p": 1.5}),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_a_number_out_of_range_is_refused_in_one_line_that_names_it(search, wrong):
    name, value = list(wrong.items())[-1]
    with pytest.raises(ValueError, match=name) as error:
        search(THREE_WORDS, **wrong)
    assert str(value) in str(error.value)
    assert len(str(error.value).splitlines()) == 1
