"""Rank captions by the words of a query: BM25 over two columns, the words of captions and those of tags, in SQLite.

`WordIndex` works in any connection, also one in memory. Explained in the chapter on searching pictures.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from companion.tags.words import IRREGULAR_PLURALS
from companion.tokenizer import find_tokenizer

TAG_WEIGHT = 0.5  # of a word in the tags; one in the caption has 1
# Words that say nothing about what is in a picture. They are left out of queries, unless there are no others.
STOP_WORDS = frozenset(
    "'s a an and are as at be being by for from has have her his in is it its of on or s she he some that the their "
    "there these they this those to up was were while who with".split()
)

_SINGULAR = {plural: word for word, plural in IRREGULAR_PLURALS.items()}
_OPEN, _CLOSE = "\x02", "\x03"  # around the words that match; no tokenizer returns them
# Marks are parts of words, which FTS5 by itself takes for blanks: the vowel signs of Hindi are marks.
_UNICODE = "unicode61 remove_diacritics 2 categories 'L* N* M* Co'"


class Match(NamedTuple):
    """What matches a query: its number, its score, higher for better, and the indices of the words that match."""

    number: int
    score: float
    caption_words: tuple[int, ...]
    tag_words: tuple[int, ...]


class WordIndex:
    """The table `words` of an SQLite database, a row for each caption (FTS5).

    With n the number of rows, n_t those with the term t, f_t its occurrences in the row, those among the tags counted
    with `TAG_WEIGHT`, and l the row's words over the mean row's, the score is

        sum_t log((n - n_t + 0.5) / (n_t + 0.5)) * 2.2 f_t / (f_t + 1.2 (0.25 + 0.75 l))

    with each logarithm at least 1e-6: BM25 with k1 = 1.2 and b = 0.75, and the columns weighted as in BM25F (Robertson
    and Zaragoza 2009, sections 3.4 and 3.6). Words of English are compared by their stems (Porter 1980), and irregular
    plurals of the tags' words by their singular.

    Args:
        connection: of the database.
        language: of the captions, a code in `tokenizer.TOKENIZERS`.
    """

    def __init__(self, connection: sqlite3.Connection, language: str = "en"):
        self.connection, self.language = connection, language
        self.tokenizer = find_tokenizer(language)

    def create(self) -> None:
        """Make the table, empty. Raises ValueError if this Python's SQLite has no FTS5."""
        rule = f"porter {_UNICODE}" if self.language == "en" else _UNICODE
        self.connection.execute("DROP TABLE IF EXISTS words")
        try:
            self.connection.execute(f'CREATE VIRTUAL TABLE words USING fts5(caption, tags, tokenize = "{rule}")')
        except sqlite3.OperationalError as error:
            if "fts5" not in str(error):
                raise
            raise ValueError("the SQLite of this Python has no full-text search (FTS5); use another Python") from None

    def add(self, number: int, caption: Sequence[str], tags: Sequence[str] = ()) -> None:
        """Add a row with the words of a caption and of its tags."""
        texts = (" ".join(map(self.normalize, words)) for words in (caption, tags))
        self.connection.execute("INSERT INTO words (rowid, caption, tags) VALUES (?, ?, ?)", (number, *texts))

    def remove(self, numbers: Iterable[int]) -> None:
        """Remove the rows with these numbers."""
        self.connection.executemany("DELETE FROM words WHERE rowid = ?", [(number,) for number in numbers])

    def normalize(self, word: str) -> str:
        """Return the word, for an irregular plural of English the singular."""
        return _SINGULAR.get(word, word) if self.language == "en" else word

    def query_words(self, query: str) -> list[str]:
        """Return the words of a query that are searched for, each once. Raises ValueError if it has no word."""
        words = list(dict.fromkeys(map(self.normalize, self.tokenizer.tokenize(query))))
        if not words:
            raise ValueError(f"there is no word in the query {query!r}")
        telling = [word for word in words if word not in STOP_WORDS] if self.language == "en" else words
        return telling or words

    def search(self, query: str, limit: int, *, tag_weight: float = TAG_WEIGHT) -> list[Match]:
        """Return the rows with at least one word of the query, the best `limit` of them, best first.

        Raises ValueError if there is no word in the query.
        """
        # In quotation marks a word is a word, whatever FTS5 would read in it: AND, NEAR, a star, a column.
        expression = " OR ".join('"' + word.replace('"', '""') + '"' for word in self.query_words(query))
        rows = self.connection.execute(
            "SELECT rowid, -bm25(words, 1.0, :weight) AS score, highlight(words, 0, :open, :close),"
            " highlight(words, 1, :open, :close) FROM words WHERE words MATCH :query"
            " ORDER BY score DESC, rowid LIMIT :limit",
            {"weight": tag_weight, "open": _OPEN, "close": _CLOSE, "query": expression, "limit": limit},
        )
        return [Match(number, score, _marked(caption), _marked(tags)) for number, score, caption, tags in rows]


def _marked(text: str) -> tuple[int, ...]:
    """Return the indices of the words in which something is marked."""
    marked, inside = [], False
    for i, word in enumerate(text.split(" ")):
        if inside or _OPEN in word:
            marked.append(i)
        if _OPEN in word or _CLOSE in word:
            inside = word.rfind(_OPEN) > word.rfind(_CLOSE)
    return tuple(marked)
