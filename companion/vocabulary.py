"""Caption text in, token ids out, and back. Explained in chapter 9, "Words into numbers"."""

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from companion.files import write_whole

SPECIALS = ("<pad>", "<start>", "<end>", "<unk>")

# A word may hold hyphens and apostrophes ("t-shirt", "don't"), but a possessive 's stands alone: "dog", "'s".
_WORD = re.compile(r"[^\W_]+(?:-[^\W_]+|'(?!s(?![^\W_]))[^\W_]+)*|'s(?![^\W_])")


def tokenize(text: str) -> list[str]:
    """Lower-case words of `text`, punctuation dropped.

    The one tokenizer of the package: training, decoding and all metrics see the same words.

    >>> tokenize("A dog's T-shirt, size 10 .")
    ['a', 'dog', "'s", 't-shirt', 'size', '10']
    """
    composed = unicodedata.normalize("NFC", text.lower())  # an accent that is a character of its own would cut the word
    return _WORD.findall(composed.replace("’", "'"))


def detokenize(words: Iterable[str]) -> str:
    """Words joined into a line, the possessive closed up: the inverse of `tokenize` on tokenized text.

    >>> detokenize(["the", "dog", "'s", "ball"])
    "the dog's ball"
    """
    return " ".join(words).replace(" 's", "'s")


class Vocabulary:
    """The words that a model knows, each with its id; ids 0 to 3 are `<pad> <start> <end> <unk>`."""

    pad, start, end, unk = range(len(SPECIALS))

    def __init__(self, words: Sequence[str]):
        if tuple(words[: len(SPECIALS)]) != SPECIALS:
            raise ValueError(f"a vocabulary begins with {' '.join(SPECIALS)}, this one with {' '.join(words[:4])!r}")
        if len(set(words)) != len(words):
            twice = next(word for word, count in Counter(words).items() if count > 1)
            raise ValueError(f"the word {twice!r} stands twice in the vocabulary; each word has one id")
        self.words = list(words)
        self._ids = {word: i for i, word in enumerate(words)}

    @classmethod
    def build(cls, captions: Iterable[str], min_count: int = 1) -> "Vocabulary":
        """Words seen at least `min_count` times, the most frequent first, ties in alphabetical order."""
        counts = Counter(word for caption in captions for word in tokenize(caption))
        kept = sorted((word for word, count in counts.items() if count >= min_count), key=lambda w: (-counts[w], w))
        return cls([*SPECIALS, *kept])

    def __len__(self) -> int:
        return len(self.words)

    def __contains__(self, word: str) -> bool:
        return word in self._ids

    def id(self, word: str) -> int:
        """Id of `word`, or that of `<unk>`."""
        return self._ids.get(word, self.unk)

    def encode(self, text: str, max_words: int | None = None) -> list[int]:
        """Ids of a caption between `<start>` and `<end>`; words after the first `max_words` are cut off."""
        return [self.start, *map(self.id, tokenize(text)[:max_words]), self.end]

    def decode(self, ids: Iterable[int]) -> list[str]:
        """Words up to the first `<end>`; `<start>` and `<pad>` are passed over."""
        words = []
        for i in ids:
            if i == self.end:
                break
            if i not in (self.pad, self.start):
                words.append(self.words[i])
        return words

    def save(self, path: Path | str) -> None:
        """Write the words as JSON, whole or not at all."""
        write_whole(path, self.as_bytes())

    def as_bytes(self) -> bytes:
        """The file that `save` writes."""
        return json.dumps(self.words, ensure_ascii=False, indent=0).encode()

    @classmethod
    def load(cls, path: Path | str) -> "Vocabulary":
        """Read what `save` wrote. ValueError, naming the file, if it is not a list of distinct words.

        A word is what `tokenize` could have made: no markup, no control character, whoever wrote the file.
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
