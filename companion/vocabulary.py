"""Tokenizer and vocabulary: from the text of a caption to token ids and back. Explained in the chapter on words."""

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from companion.files import atomic_write

SPECIALS = ("<pad>", "<start>", "<end>", "<unk>")

# A word may contain hyphens and apostrophes ("t-shirt", "don't"), but a possessive 's is a token: "dog", "'s".
_WORD = re.compile(r"[^\W_]+(?:-[^\W_]+|'(?!s(?![^\W_]))[^\W_]+)*|'s(?![^\W_])")


def tokenize(text: str) -> list[str]:
    """Return the words of a text in lower case, without punctuation.

    It is the only tokenizer of the package, so training, decoding and all metrics agree about what a word is.

    >>> tokenize("A dog's T-shirt, size 10 .")
    ['a', 'dog', "'s", 't-shirt', 'size', '10']
    """
    composed = unicodedata.normalize("NFC", text.lower())  # a separate combining accent would split the word
    return _WORD.findall(composed.replace("’", "'"))


def detokenize(words: Iterable[str]) -> str:
    """Return the words as one line, a possessive 's joined to its word; tokenizing it gives the same words again.

    >>> detokenize(["the", "dog", "'s", "ball"])
    "the dog's ball"
    """
    return " ".join(words).replace(" 's", "'s")


class Vocabulary:
    """The words of a model, each with an id: its index in `words`. Ids 0 to 3 are `<pad> <start> <end> <unk>`.

    Raises:
        ValueError: the first words are others, or a word occurs twice.
    """

    pad, start, end, unk = range(len(SPECIALS))

    def __init__(self, words: Sequence[str]):
        if tuple(words[: len(SPECIALS)]) != SPECIALS:
            raise ValueError(f"a vocabulary begins with {' '.join(SPECIALS)}, this one with {' '.join(words[:4])!r}")
        if len(set(words)) != len(words):
            repeated = next(word for word, count in Counter(words).items() if count > 1)
            raise ValueError(f"the word {repeated!r} occurs twice in the vocabulary; each word has one id")
        self.words = list(words)
        self._ids = {word: i for i, word in enumerate(words)}

    @classmethod
    def build(cls, captions: Iterable[str], min_count: int = 1) -> "Vocabulary":
        """Return the vocabulary of the words that occur at least `min_count` times, the most frequent first.

        Words of the same frequency are in alphabetical order.
        """
        counts = Counter(word for caption in captions for word in tokenize(caption))
        kept = sorted((word for word, count in counts.items() if count >= min_count), key=lambda w: (-counts[w], w))
        return cls([*SPECIALS, *kept])

    def __len__(self) -> int:
        return len(self.words)

    def __contains__(self, word: str) -> bool:
        return word in self._ids

    def id(self, word: str) -> int:
        """Return the id of a word, or that of `<unk>` for a word that is not in the vocabulary."""
        return self._ids.get(word, self.unk)

    def encode(self, text: str, max_words: int | None = None) -> list[int]:
        """Return the ids of a caption between `<start>` and `<end>`, truncated after `max_words` words."""
        return [self.start, *map(self.id, tokenize(text)[:max_words]), self.end]

    def decode(self, ids: Iterable[int]) -> list[str]:
        """Return the words before the first `<end>`, without `<start>` and `<pad>`."""
        words = []
        for i in ids:
            if i == self.end:
                break
            if i not in (self.pad, self.start):
                words.append(self.words[i])
        return words

    def save(self, path: Path | str) -> None:
        """Write the words as JSON, atomically."""
        atomic_write(path, self.as_bytes())

    def as_bytes(self) -> bytes:
        """Return the contents of the file that `save` writes."""
        return json.dumps(self.words, ensure_ascii=False, indent=0).encode()

    @classmethod
    def load(cls, path: Path | str) -> "Vocabulary":
        """Read what `save` wrote.

        Every word must be one that `tokenize` can return, so a vocabulary from elsewhere cannot put markup or control
        characters into captions.

        Raises:
            ValueError: the file, which the message names, is not a list of distinct words.
        """
        try:
            words = json.loads(Path(path).read_text(encoding="utf-8"))
            if not (isinstance(words, list) and all(isinstance(word, str) for word in words)):
                raise ValueError("it is not a list of words")
            vocabulary = cls(words)
            if (odd := next((word for word in words[len(SPECIALS) :] if not _WORD.fullmatch(word)), None)) is not None:
                raise ValueError(f"{odd!r} is not a word")
            return vocabulary
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{path}: not a vocabulary: {error}") from None
