"""Tokenizers: what a word is in each language. The chapter on words explains that of English.

`TOKENIZERS` lists them by the code of their language (ISO 639-1). A model keeps the tokenizer with which its vocabulary
was made, so training, decoding, metrics and reports agree about what a word is.

Most languages need no more than their line in the table. A word is a run of letters, digits and the marks on them
(vowel signs, points, accents that have no composed letter). Where a script has no blanks between words, each character
is a token: a Chinese character, a kana, a Thai consonant with the marks on it. Lower case is `str.lower` and not
`str.casefold`: captions are read, and folding would spell "strasse" for "straße" and end Greek words in "σ".
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

# Letters of the scripts that have no blanks between words; their digits are not among them, so a number is one token.
_HAN = r"\u3005-\u3007\u303b\u3105-\u312f\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_KANA = r"\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff\uff66-\uff9f\U0001b000-\U0001b16f"
_THAI_LAO = r"\u0e00-\u0e4f\u0e5a-\u0ecf\u0eda-\u0eff"
_BURMESE = r"\u1000-\u103f\u104a-\u108f\u109a-\u109f\ua9e0-\ua9ef\uaa60-\uaa7f"
_KHMER = r"\u1780-\u17df\u17ea-\u17ff"
_NO_BLANKS = _HAN + _KANA + _THAI_LAO + _BURMESE + _KHMER

_AM = "\u0e33\u0eb3"  # a vowel of Thai and of Lao that counts as a letter and is written on the one before
_STACKING = "\u1039\u17d2"  # of Burmese and of Khmer: the next letter is written below the one before
_BURMESE_SYMBOLS = r"\u104c-\u104f"  # words that count as punctuation
# What no word consists of: marks of direction, soft hyphens, tatweel (it only stretches a line), choices of a glyph.
_IGNORED = re.compile(
    "[\u00ad\u034f\u061c\u0640\u200e\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff\U000e0100-\U000e01ef]"
)
_PUNCTUATION = str.maketrans("’‐‑", "'--")

# A word may contain hyphens and apostrophes ("t-shirt", "don't"), but a possessive 's is a token: "dog", "'s".
_ENGLISH = re.compile(r"[^\W_]+(?:-[^\W_]+|'(?!s(?![^\W_]))[^\W_]+)*|'s(?![^\W_])")


@dataclass(frozen=True)
class Tokenizer:
    """A rule for the words of a language.

    Tokenizing the text of words gives the words again, so nothing is lost between a caption and its ids except
    punctuation, symbols, emoji and capitals.
    """

    language: str  # its code
    form: Literal["NFC", "NFKC"] = "NFC"  # of Unicode; NFKC also replaces full-width letters, ligatures and the like
    dotless_i: bool = False  # whether I is the capital of ı, and İ that of i
    inside: str = "'-"  # may join two parts of a word
    splits: bool = True  # whether a character of a script without blanks is a token
    max_words: int = 20  # the longest caption that is trained or generated, by default

    def tokenize(self, text: str) -> list[str]:
        """Return the words of a text in lower case, without punctuation.

        >>> TOKENIZERS["zh"].tokenize("一只狗，穿着Ｔ恤。")
        ['一', '只', '狗', '穿', '着', 't', '恤']
        """
        text = _IGNORED.sub("", unicodedata.normalize(self.form, text))
        if self.dotless_i:
            text = text.replace("I", "ı").replace("İ", "i")
        text = unicodedata.normalize(self.form, text.lower())  # "İ".lower() is two characters
        return _words(self.inside, self.splits).findall(text.translate(_PUNCTUATION))

    def detokenize(self, words: Iterable[str]) -> str:
        """Return the words as one line, without blanks between the characters of a script that has none.

        >>> TOKENIZERS["zh"].detokenize(["一", "只", "狗", "穿", "着", "t", "恤"])
        '一只狗穿着 t 恤'
        """
        line, joins = "", False
        for word in words:
            joined, joins = joins, self.splits and _no_blanks().match(word) is not None
            line += word if not line or (joined and joins) else f" {word}"
        return line

    def is_word(self, token: str) -> bool:
        """Return whether the tokenizer can return this token."""
        return _words(self.inside, self.splits).fullmatch(token) is not None


class English(Tokenizer):
    """The rule of English: letters without marks, hyphens and apostrophes inside a word, a possessive 's apart."""

    def tokenize(self, text: str) -> list[str]:
        """Return the words of a text in lower case, without punctuation."""
        composed = unicodedata.normalize("NFC", text.lower())  # a separate combining accent would split the word
        return _ENGLISH.findall(composed.replace("’", "'"))

    def detokenize(self, words: Iterable[str]) -> str:
        """Return the words as one line, a possessive 's joined to its word."""
        return " ".join(words).replace(" 's", "'s")

    def is_word(self, token: str) -> bool:
        """Return whether the tokenizer can return this token, or the same in capitals."""
        return _ENGLISH.fullmatch(token) is not None


ENGLISH = English("en")
LONG = 60  # characters of a caption; twenty words of Thai have as many
# A language that needs nothing of its own is a code in the list; one that does has a line below it.
TOKENIZERS: dict[str, Tokenizer] = {
    "en": ENGLISH,
    **{
        code: Tokenizer(code)
        for code in (
            "af am be bg bn bs cs cy da de el eo es et eu fi fr ga gl gu ha hi hr hu hy id ig is it ka kk kn ky lt lv "
            "mg mk ml mn mr ms mt ne nl no or pa pl pt ro ru si sk sl so sq sr sv sw ta te tg tl uk uz vi xh yo zu"
        ).split()
    },
    "ar": Tokenizer("ar", form="NFKC"),
    "az": Tokenizer("az", dotless_i=True),
    "ca": Tokenizer("ca", inside="'·-"),
    "fa": Tokenizer("fa", form="NFKC"),
    "he": Tokenizer("he", inside="'\"׳״־-"),
    "ja": Tokenizer("ja", form="NFKC", max_words=LONG),
    "km": Tokenizer("km", max_words=LONG),
    "ko": Tokenizer("ko", form="NFKC", splits=False),
    "lo": Tokenizer("lo", max_words=LONG),
    "my": Tokenizer("my", max_words=LONG),
    "ps": Tokenizer("ps", form="NFKC"),
    "th": Tokenizer("th", max_words=LONG),
    "tr": Tokenizer("tr", dotless_i=True),
    "ur": Tokenizer("ur", form="NFKC"),
    "zh": Tokenizer("zh", form="NFKC", max_words=LONG),
}

# A language to suggest for captions in a script, by the first word of the Unicode names of its letters.
_LANGUAGE_OF_SCRIPT = {
    "CJK": "zh", "IDEOGRAPHIC": "zh", "BOPOMOFO": "zh", "HIRAGANA": "ja", "KATAKANA": "ja", "HALFWIDTH": "ja",
    "THAI": "th", "LAO": "lo", "KHMER": "km", "MYANMAR": "my",
    "DEVANAGARI": "hi", "BENGALI": "bn", "GURMUKHI": "pa", "GUJARATI": "gu", "ORIYA": "or", "TAMIL": "ta",
    "TELUGU": "te", "KANNADA": "kn", "MALAYALAM": "ml", "SINHALA": "si", "ARABIC": "ar", "HEBREW": "he", "LATIN": "yo",
    "CYRILLIC": "ru", "GREEK": "el",
}  # fmt: skip


def find_tokenizer(language: str) -> Tokenizer:
    """Return the tokenizer of a language. Raises ValueError, listing the codes, for one that is not in `TOKENIZERS`."""
    if language not in TOKENIZERS:
        raise ValueError(f"there is no language called {language!r}; choose from {', '.join(sorted(TOKENIZERS))}")
    return TOKENIZERS[language]


def language_needed(captions: Sequence[str], tokenizer: Tokenizer) -> str | None:
    """Return a language of the captions' script if the tokenizer tears or joins the words of most of them, else None.

    The rule of English ends a word at a vowel sign and takes a line of Chinese for one word; that of Korean does only
    the latter.
    """
    if tokenizer.splits and tokenizer.language != "en":
        return None
    wrong = rf"[{_NO_BLANKS}]{{2}}" + (rf"|[^\W_][{_marks()}]" if tokenizer.language == "en" else "")
    scripts: Counter[str] = Counter()
    for caption in captions:
        if caption.isascii():
            continue
        composed = unicodedata.normalize("NFC", caption)
        if match := re.search(rf"[{_KANA}]", composed) or re.search(wrong, composed):
            scripts[unicodedata.name(match[0][0], "").split(" ")[0].split("-")[0]] += 1
    if scripts.total() * 2 <= len(captions):
        return None
    return _LANGUAGE_OF_SCRIPT.get(scripts.most_common(1)[0][0], "hi")  # any other rule reads the marks of all scripts


@cache
def _marks(virama: bool = False) -> str:
    """Return the combining marks for use in a class of a regular expression: all, or those that join two consonants."""
    characters = (chr(i) for i in range(0x300, 0x1F000))
    marks = [c for c in characters if unicodedata.category(c) in ("Mn", "Mc") and not _IGNORED.match(c)]
    return "".join(c for c in marks if not virama or unicodedata.combining(c) == 9)


@cache
def _no_blanks() -> re.Pattern[str]:
    """Return the pattern of a character of a script without blanks: a letter, and the marks on it."""
    letter = rf"(?:(?=[{_NO_BLANKS}])[^\W\d_{_AM}]|[{_BURMESE_SYMBOLS}])"
    marks = "".join(set(_marks()) - set(_STACKING))
    return re.compile(rf"{letter}(?:[{marks}{_AM}]|[{_STACKING}]{letter})*")


@cache
def _words(inside: str, splits: bool) -> re.Pattern[str]:
    """Return the pattern of a word: letters, digits and their marks; with `splits`, a character of `_no_blanks` alone.

    The joiner and the non-joiner (U+200D, U+200C) are spelling: between letters, as in Persian, and after a virama.
    """
    letter = rf"[^\W_{_NO_BLANKS if splits else ''}]"
    joiner = rf"[\u200c\u200d](?={letter})|(?<=[{_marks(virama=True)}])[\u200c\u200d]"
    part = rf"{letter}+(?:(?:[{_marks()}]|{joiner})+{letter}*)*"
    return re.compile(rf"{part}(?:[{inside}]{part})*" + (f"|{_no_blanks().pattern}" if splits else ""))
