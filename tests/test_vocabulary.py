"""English text is tokenized and encoded in one way, and decoding gives the words back."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from companion.vocabulary import SPECIALS, Vocabulary, detokenize, tokenize

TABLE = {
    "A man in a Blue shirt .": ["a", "man", "in", "a", "blue", "shirt"],
    "the dog's ball": ["the", "dog", "'s", "ball"],
    "the dog’s ball": ["the", "dog", "'s", "ball"],
    "the dogs' ball": ["the", "dogs", "ball"],
    "DOG'S": ["dog", "'s"],
    "the dog 's ball": ["the", "dog", "'s", "ball"],
    "dog's_ball": ["dog", "'s", "ball"],
    "it's five o'clock": ["it", "'s", "five", "o'clock"],
    "don't shout, don’t run": ["don't", "shout", "don't", "run"],
    "a 'quoted' word": ["a", "quoted", "word"],
    "'tis sixty": ["tis", "sixty"],
    "a T-shirt - and a black-and-white one": ["a", "t-shirt", "and", "a", "black-and-white", "one"],
    "well--known -dash- end-": ["well", "known", "dash", "end"],
    "number 10, 3.5 metres, 1,000": ["number", "10", "3", "5", "metres", "1", "000"],
    "snow_man": ["snow", "man"],
    "Ein großer Käse, ça va? Пёс": ["ein", "großer", "käse", "ça", "va", "пёс"],
    "cafe\u0301": ["caf\u00e9"],
    "<start> & <b>bold</b>": ["start", "b", "bold", "b"],
    "... !?": [],
    "": [],
    " \t\n": [],
}
captions = st.text(st.sampled_from("asSt'’-_ .1é\u0301"), max_size=20) | st.text(max_size=30)


@pytest.mark.parametrize(("text", "words"), TABLE.items())
def test_a_text_is_tokenized_into_these_words(text, words):
    assert tokenize(text) == words


@settings(max_examples=400, deadline=None)
@given(captions)
def test_tokenizing_the_text_of_words_gives_the_same_words(text):
    words = tokenize(text)
    assert tokenize(detokenize(words)) == words
    assert all(word and not set(word) & set(' ."_’<>') for word in words)


def test_a_possessive_is_joined_to_its_word_and_other_words_have_single_spaces():
    assert detokenize(["a", "dog", "'s", "red", "t-shirt"]) == "a dog's red t-shirt"
    assert detokenize([]) == ""


def test_the_most_frequent_words_come_first_and_ties_are_in_alphabetical_order():
    vocabulary = Vocabulary.build(["The pear.", "the fig, the pear", "apple"])
    assert vocabulary.words == ["<pad>", "<start>", "<end>", "<unk>", "the", "pear", "apple", "fig"]


def test_the_order_of_the_captions_does_not_matter():
    texts = ["a pear", "a fig", "the apple"]
    assert Vocabulary.build(texts).words == Vocabulary.build(reversed(texts)).words


@pytest.mark.parametrize(("min_count", "kept"), [(1, "the pear fig"), (2, "the pear"), (3, "the"), (4, "")])
def test_a_word_is_kept_if_it_occurs_min_count_times(min_count, kept):
    vocabulary = Vocabulary.build(["the the pear", "the pear fig"], min_count)
    assert vocabulary.words == [*SPECIALS, *kept.split()]


def test_the_special_tokens_have_the_ids_0_to_3_and_every_word_has_its_own():
    vocabulary = Vocabulary.build(["a b c"])
    assert [vocabulary.pad, vocabulary.start, vocabulary.end, vocabulary.unk] == [0, 1, 2, 3]
    assert [vocabulary.id(word) for word in vocabulary.words] == list(range(len(vocabulary))) == list(range(7))
    assert "b" in vocabulary
    assert "d" not in vocabulary


def test_a_caption_is_encoded_between_start_and_end_and_unknown_words_as_unk():
    vocabulary = Vocabulary([*SPECIALS, "dog", "'s", "ball"])
    assert vocabulary.encode("Dog's blue BALL!") == [1, 4, 5, 3, 6, 2]
    assert vocabulary.encode("") == [1, 2]


def test_only_the_first_max_words_are_encoded_and_end_is_always_there():
    vocabulary = Vocabulary([*SPECIALS, "a", "b", "c"])
    assert vocabulary.encode("a b c", max_words=2) == [1, 4, 5, 2]
    assert vocabulary.encode("a b c", max_words=3) == vocabulary.encode("a b c") == [1, 4, 5, 6, 2]


def test_decoding_stops_at_the_first_end_and_omits_start_and_pad():
    vocabulary = Vocabulary([*SPECIALS, "a", "b"])
    assert vocabulary.decode([1, 5, 0, 3, 4, 2, 4, 2]) == ["b", "<unk>", "a"]
    assert vocabulary.decode([1, 4]) == ["a"]
    assert vocabulary.decode([]) == []


def test_the_known_share_counts_every_word_as_often_as_it_occurs():
    vocabulary = Vocabulary([*SPECIALS, "a", "dog"])
    assert vocabulary.known_share(["A dog", "a cat and a dog"]) == 5 / 7
    assert vocabulary.known_share(["", "!"]) == vocabulary.known_share([]) == 1.0


@settings(max_examples=100, deadline=None)
@given(captions)
def test_decoding_an_encoded_caption_gives_its_words(text):
    vocabulary = Vocabulary.build(["other words", text])
    assert vocabulary.decode(vocabulary.encode(text)) == tokenize(text)


def test_a_saved_vocabulary_is_loaded_unchanged(tmp_path):
    saved = Vocabulary.build(["a dog's käse t-shirt", "Пёс"])
    saved.save(tmp_path / "vocabulary.json")
    loaded = Vocabulary.load(str(tmp_path / "vocabulary.json"))
    assert loaded.words == saved.words
    assert loaded.encode("пёс a dog") == saved.encode("пёс a dog")


DAMAGED = {
    "empty": b"",
    "cut short": json.dumps([*SPECIALS, "dog"]).encode()[:-4],
    "not text": b"\xff\xfe\x00",
    "an object": b'{"words": []}',
    "a number": b"7",
    "a number among the words": json.dumps([*SPECIALS, 7]).encode(),
    "no special tokens": b'["a", "dog", "and", "a", "ball"]',
    "special tokens in another order": json.dumps([*reversed(SPECIALS), "dog"]).encode(),
    "an empty list": b"[]",
    "a word twice": json.dumps([*SPECIALS, "dog", "cat", "dog"]).encode(),
    "line breaks in the special tokens": json.dumps(["a\nb", "c", "d", "e"]).encode(),
    "nested without end": b"[" * 100_000,
}


@pytest.mark.parametrize("data", DAMAGED.values(), ids=DAMAGED.keys())
def test_a_damaged_vocabulary_is_refused_in_one_line_that_names_the_file(data, tmp_path):
    path = tmp_path / "words.json"
    path.write_bytes(data)
    with pytest.raises(ValueError, match="not a vocabulary") as error:
        Vocabulary.load(path)
    message = str(error.value)
    assert message.startswith(f"{path}: ")
    assert len(message.splitlines()) == 1


def test_a_word_that_occurs_twice_is_named():
    with pytest.raises(ValueError, match="'dog' occurs twice"):
        Vocabulary([*SPECIALS, "dog", "cat", "dog"])
