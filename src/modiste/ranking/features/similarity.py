"""Features of likeness: how near a candidate is, in a space of vectors, to what was bought."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Self

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import sparse

from modiste.data.dataset import CustomerBatch, History
from modiste.data.days import day_numbers
from modiste.ranking.features.group import with_features
from modiste.ranking.features.matches import on_last_day, rows_of_customers
from modiste.ranking.rows import Feature
from modiste.vectors.article_vectors import unit_rows

GROUP = "similarity"

# What nearness is in each space, in a merchandiser's words.
_MEANINGS = {
    "content": "how alike the article's description is to {}",
    "sasrec": "how well the article goes with {} (SASRec)",
    "gnn": "how well the article goes with {} (graph network)",
}

# Rows whose vectors are gathered at once.
_ROWS_IN_A_BLOCK = 1 << 18


class SimilarityFeatures:
    """Cosines of a candidate's vector to the purchases of the last day, and to all.

    Parameters
    ----------
    space
        Name of the space, for people.
    vectors
        Gives, when the group is fitted, float32 of shape (n_articles, dimensions); a row of zeros
        is not known. Left out where the group is loaded.
    """

    def __init__(
        self, space: str, vectors: Callable[[], NDArray[np.float32]] | None = None
    ) -> None:
        self.space = space
        self._source = vectors
        self._vectors = np.zeros((0, 0), dtype=np.float32)

    @property
    def features(self) -> tuple[Feature, ...]:
        """The group's features."""
        space = self.space
        meaning = _MEANINGS.get(space, f"how near the article is ({space}) to {{}}")
        return (
            Feature(f"{space}_to_last", GROUP, meaning.format("what the customer bought last")),
            Feature(f"{space}_to_all", GROUP, meaning.format("all that the customer bought")),
        )

    def fit(self, history: History) -> Self:
        """Take the vectors, each of length 1."""
        if self._source is None:
            raise ValueError("there are no vectors to be fitted with")
        self._vectors = unit_rows(self._source())
        missing = history.n_articles - len(self._vectors)
        if missing:  # a network that has learned nothing has no vectors
            self._vectors = np.pad(self._vectors, ((0, missing), (0, 0)))
        return self

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_source": None}

    def join(self, batch: CustomerBatch, candidates: pl.DataFrame) -> pl.DataFrame:
        """Add both cosines; null for who bought nothing."""
        row = rows_of_customers(batch, candidates["customer"])
        of_row = candidates["article"].to_numpy()
        # Of all spaces the same.
        counts = batch.once(
            ("purchases by article", len(self._vectors)),
            lambda: _purchase_counts(batch, len(self._vectors)),
        )
        sums: NDArray[np.float32] = counts @ self._vectors
        n = batch.customers.height
        found = {}
        for feature, profile in zip(
            self.features, (unit_rows(sums[n:]), unit_rows(sums[:n])), strict=True
        ):
            cosines = np.empty(len(row), dtype=np.float32)
            for first in range(0, len(row), _ROWS_IN_A_BLOCK):
                block = slice(first, first + _ROWS_IN_A_BLOCK)
                cosines[block] = np.einsum(
                    "ij,ij->i", profile[row[block]], self._vectors[of_row[block]]
                )
            known = np.any(profile, axis=1)[row]
            found[feature.name] = np.where(known, cosines, np.float32(np.nan))
        return with_features(candidates, found)

    def cosines(self, article: int, others: NDArray[np.int32]) -> NDArray[np.float32]:
        """Cosines of one article to others, shape (n_others,); 0 where one has no vector."""
        found: NDArray[np.float32] = self._vectors[others] @ self._vectors[article]
        return found

    def save(self, folder: Path) -> None:
        """Write the vectors."""
        np.save(folder / "vectors.npy", self._vectors)

    def load(self, folder: Path) -> Self:
        """Open them, memory-mapped."""
        # A plain view of the mapping: indexing an np.memmap makes another one each time, slowly.
        self._vectors = np.asarray(np.load(folder / "vectors.npy", mmap_mode="r"))
        return self


def _purchase_counts(batch: CustomerBatch, n_articles: int) -> sparse.csr_array:
    """How often each customer bought each article, and under that the same of its last day.

    Returns
    -------
    float32, shape (2 * customers, articles): both sums of vectors are one product.
    """
    bought = batch.interactions
    n = batch.customers.height
    customer = rows_of_customers(batch, bought["customer"])
    article = bought["article"].to_numpy()
    last = on_last_day(customer, day_numbers(bought["t_dat"]), n)
    row = np.append(customer, n + customer[last])
    column = np.append(article, article[last])
    ones = np.ones(len(row), dtype=np.float32)
    return sparse.csr_array((ones, (row, column)), shape=(2 * n, n_articles))
