"""The vocabulary: from the text of a caption to token ids and back. Explained in the chapter on words."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from companion.files import atomic_write
from companion.tokenizer import ENGLISH, Tokenizer

SPECIALS = ("<pad>", "<start>", "<end>", "<unk>")


def tokenize(text: str) -> list[str]:
    """Return the words of an English text in lower case, without punctuation. `TOKENIZERS` has other languages.

    >>> tokenize("A dog's T-shirt, size 10 .")
    ['a', 'dog', "'s", 't-shirt', 'size', '10']
    """
    return ENGLISH.tokenize(text)


def detokenize(words: Iterable[str]) -> str:
    """Return English words as one line, a possessive 's joined to its word; tokenizing it gives the same words again.

    >>> detokenize(["the", "dog", "'s", "ball"])
    "the dog's ball"
    """
    return ENGLISH.detokenize(words)


class Vocabulary:
    """The words of a model, each with an id: its index in `words`. Ids 0 to 3 are `<pad> <start> <end> <unk>`.

    `tokenizer` is the rule of the language: it makes the words of a caption, and a line of words.

    Raises:
        ValueError: the first words are others, or a word occurs twice.
    """

    pad, start, end, unk = range(len(SPECIALS))

    def __init__(self, words: Sequence[str], tokenizer: Tokenizer = ENGLISH):
        if tuple(words[: len(SPECIALS)]) != SPECIALS:
            raise ValueError(f"a vocabulary begins with {' '.join(SPECIALS)}, this one with {' '.join(words[:4])!r}")
        if len(set(words)) != len(words):
            repeated = next(word for word, count in Counter(words).items() if count > 1)
            raise ValueError(f"the word {repeated!r} occurs twice in the vocabulary; each word has one id")
        self.words, self.tokenizer = list(words), tokenizer
        self._ids = {word: i for i, word in enumerate(words)}

    @classmethod
    def build(cls, captions: Iterable[str], min_count: int = 1, tokenizer: Tokenizer = ENGLISH) -> "Vocabulary":
        """Return the vocabulary of the words that occur at least `min_count` times, the most frequent first.

        Words of the same frequency are in alphabetical order.
        """
        counts = Counter(word for caption in captions for word in tokenizer.tokenize(caption))
        kept = sorted((word for word, count in counts.items() if count >= min_count), key=lambda w: (-counts[w], w))
        return cls([*SPECIALS, *kept], tokenizer)

    def __len__(self) -> int:
        return len(self.words)

    def __contains__(self, word: str) -> bool:
        return word in self._ids

    def id(self, word: str) -> int:
        """Return the id of a word, or that of `<unk>` for a word that is not in the vocabulary."""
        return self._ids.get(word, self.unk)

    def encode(self, text: str, max_words: int | None = None) -> list[int]:
        """Return the ids of a caption between `<start>` and `<end>`, truncated after `max_words` words."""
        return [self.start, *map(self.id, self.tokenizer.tokenize(text)[:max_words]), self.end]

    def decode(self, ids: Iterable[int]) -> list[str]:
        """Return the words before the first `<end>`, without `<start>` and `<pad>`."""
        words = []
        for i in ids:
            if i == self.end:
                break
            if i not in (self.pad, self.start):
                words.append(self.words[i])
        return words

    def known_share(self, captions: Iterable[str]) -> float:
        """Return the share of the words of these captions that the vocabulary has, 0 to 1; 1 if there are none."""
        counts = Counter(word for caption in captions for word in self.tokenizer.tokenize(caption))
        return sum(count for word, count in counts.items() if word in self) / counts.total() if counts else 1.0

    def save(self, path: Path | str) -> None:
        """Write the words as JSON, atomically."""
        atomic_write(path, self.as_bytes())

    def as_bytes(self) -> bytes:
        """Return the contents of the file that `save` writes."""
        return json.dumps(self.words, ensure_ascii=False, indent=0).encode()

    @classmethod
    def load(cls, path: Path | str, tokenizer: Tokenizer = ENGLISH) -> "Vocabulary":
        """Read what `save` wrote.

        Every word must be one that the tokenizer can return, so a vocabulary from elsewhere cannot put markup or
        control characters into captions.

        Raises:
            ValueError: the file, which the message names, is not a list of distinct words.
        """
        try:
            words = json.loads(Path(path).read_text(encoding="utf-8"))
            if not (isinstance(words, list) and all(isinstance(word, str) for word in words)):
                raise ValueError("it is not a list of words")
            vocabulary = cls(words, tokenizer)
            if odd := [word for word in words[len(SPECIALS) :] if not tokenizer.is_word(word)]:
                raise ValueError(f"{odd[0]!r} is not a word")
            return vocabulary
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{path}: not a vocabulary: {error}") from None
