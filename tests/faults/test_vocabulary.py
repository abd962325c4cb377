"""Markup in captions and vocabularies, and words that the vocabulary does not have."""

import json
from pathlib import Path

import torch

from companion import decoding
from companion.decoders import State, Step
from companion.vocabulary import SPECIALS, Vocabulary
from tests.faults.injection import Fault, Guard, assert_refused, attempt, fault_tests

HTML = "<script>alert('a')</script> &lt;b&gt; a <b onclick=x()>dog</b>"


def html_captions(folder: Path) -> None:
    """Markup in a caption is no word, so no model can generate it."""
    characters = "".join(Vocabulary.build([HTML]).words[4:])
    assert not set(characters) & set('<>&"=;()'), f"a word: {characters}"


def html_vocabulary(folder: Path) -> None:
    for word in ("<img src=x>", "a\x1b[31m", "$\\frac$", "two words", ""):
        (folder / "words.json").write_text(json.dumps([*SPECIALS, "dog", word]))
        assert_refused(lambda: Vocabulary.load(folder / "words.json"), "words.json", "is not a word")


class Unsure:
    """A model that gives <unk> a probability of nine in ten."""

    def start(self, source):
        return State((torch.zeros(1),), (torch.zeros(1, 1, 2),))

    def step(self, tokens, state):
        logits = torch.tensor([0.001, 0.001, 0.04, 0.9, 0.058]).log().expand(*tokens.shape, 5)
        return Step(logits.clone(), torch.ones(*tokens.shape, 1), state)


def unknown_words(folder: Path) -> None:
    """Unknown words are encoded as one word, which is never generated."""
    vocabulary = Vocabulary([*SPECIALS, "a"])
    assert attempt(lambda: vocabulary.encode("xylophone zebra")) == [1, 3, 3, 2]
    for (caption,) in (
        decoding.greedy(Unsure(), None, vocabulary, max_words=3),
        decoding.beam_search(Unsure(), None, vocabulary, 2, max_words=3),
    ):
        assert "<unk>" not in caption.words, f"generated: {caption.words}"


FAULTS = {
    "HTML in captions": Fault(html_captions, [Guard("tokenizer._ENGLISH", "", r"re.compile(r'\S+')")], "a word: "),
    "HTML in a vocabulary": Fault(
        html_vocabulary, [Guard("vocabulary.Vocabulary.load", "if not tokenizer.is_word(word)", "if False")], "accepted"
    ),
    "all captions unknown": Fault(
        unknown_words,
        [Guard("decoding.next_log_probs", "", "lambda step, *_, **__: step.logits.log_softmax(-1)")],
        "generated: ",
    ),
}

test_with_its_guard_the_law_holds, test_without_its_guard_the_harm_is_done = fault_tests(FAULTS)
