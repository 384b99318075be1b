"""Articles by the words of their texts, where there are no vectors to find them by sense.

SQLite's own full-text index (FTS5): words without regard to case and accents, ordered by BM25
(Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond", 2009).
"""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path
from typing import Self

import polars as pl

from modiste.errors import DataError

FILE_NAME = "words.sqlite"

# What a hit counts in each column: a name says more than a description.
_WEIGHTS = {
    "prod_name": 4.0,
    "product_type_name": 4.0,
    "product_group_name": 1.0,
    "colour_group_name": 3.0,
    "perceived_colour_master_name": 1.0,
    "graphical_appearance_name": 2.0,
    "department_name": 1.0,
    "index_name": 1.0,
    "section_name": 1.0,
    "garment_group_name": 1.0,
    "detail_desc": 1.0,
}

# Words of a question that are looked for.
_MOST_WORDS = 32


def write_word_index(articles: pl.DataFrame, folder: Path) -> None:
    """Index the texts of articles.

    Parameters
    ----------
    articles
        Columns of ``schema.PREPARED_ARTICLES`` and ``on_sale``; row number = code.
    folder
        Gets ``words.sqlite``.
    """
    index = sqlite3.connect(folder / FILE_NAME)
    try:
        columns = ", ".join(_WEIGHTS)
        # Without the texts themselves: the catalogue has them.
        index.execute(
            f"CREATE VIRTUAL TABLE words USING fts5({columns}, content='', "
            "tokenize='unicode61 remove_diacritics 2')"
        )
        index.execute("CREATE TABLE offered (article INTEGER PRIMARY KEY)")
        index.executemany(
            f"INSERT INTO words (rowid, {columns}) VALUES (?{', ?' * len(_WEIGHTS)})",
            articles.select("article", *_WEIGHTS).iter_rows(),
        )
        index.executemany(
            "INSERT INTO offered VALUES (?)",
            articles.filter("on_sale").select("article").iter_rows(),
        )
        index.execute("INSERT INTO words(words) VALUES ('optimize')")
        index.commit()
    finally:
        index.close()


class WordIndex:
    """Finds articles by words; open one with :meth:`open`."""

    def __init__(self, index: sqlite3.Connection) -> None:
        self._index = index

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Open what :func:`write_word_index` wrote, read-only.

        Raises
        ------
        DataError
            When the file is missing or no such index.
        """
        path = (folder / FILE_NAME).absolute()
        try:
            # Nobody writes it while it is served: no locks, no journal. Asked by one thread at a
            # time, not always the one that opens it.
            index = sqlite3.connect(
                f"{path.as_uri()}?mode=ro&immutable=1", uri=True, check_same_thread=False
            )
            index.execute("SELECT count(*) FROM offered").fetchone()
        except sqlite3.Error as error:
            raise DataError(f"{path} is no index of words ({error}): make it again") from error
        return cls(index)

    def search(self, text: str, k: int, *, on_sale: bool) -> list[tuple[int, float]]:
        """The articles that say most of the words, the last of which may be a beginning.

        Parameters
        ----------
        text
            Words, in any order.
        k
            Articles at most.
        on_sale
            Whether only those on sale are found.

        Returns
        -------
        Codes and BM25, the highest first; empty where no article says any of the words.
        """
        words = re.findall(r"\w+", text)[:_MOST_WORDS]
        if not words:
            return []
        # Quoted, a word is no operator of the query's language.
        query = " OR ".join(f'"{word}"' for word in words) + "*"
        # The plus sign keeps SQLite from asking the index about every article on sale.
        offered = "AND +rowid IN (SELECT article FROM offered)" if on_sale else ""
        weights = ", ".join(map(str, _WEIGHTS.values()))
        found = self._index.execute(
            f"SELECT rowid, -bm25(words, {weights}) AS score FROM words WHERE words MATCH ? "
            f"{offered} ORDER BY score DESC, rowid LIMIT ?",
            (query, k),
        )
        return list(found)
