"""The one kind of failure that a student hears of, and the one that is nobody's mistake."""

from collections.abc import Sequence

SEVERAL = "The answer is wrong, and this check alone does not tell by which of several mistakes."


class Mistake(AssertionError):
    """One sentence that says what is wrong with an answer, without how to mend it.

    Whoever raises it has looked at the answer; any other exception in a check is a fault of the check itself.
    `sentences` has more than one if several mistakes give the same answer.
    """

    def __init__(self, *sentences: str):
        super().__init__(" Or: ".join(sentences))
        self.sentences = list(sentences)


class BoxError(OSError):
    """The process of a notebook cannot be started, whatever the notebook holds."""


def resolve(found: Sequence[Sequence[str]]) -> list[str]:
    """Return one text for each of the mistakes that the checks of one function have found, each a list of sentences.

    A mistake that one check names alone explains the others of which it is an alternative. More than two alternatives
    that remain are not listed.
    """
    named = {sentences[0] for sentences in found if len(sentences) == 1}
    texts = []
    for sentences in found:
        chosen = [sentence for sentence in sentences if sentence in named] or sentences
        texts.append(" Or: ".join(chosen) if len(chosen) < 3 else SEVERAL)
    return texts
