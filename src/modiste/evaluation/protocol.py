"""The protocol that all that recommends obeys, so that one backtest compares any of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np
import polars as pl
from numpy.typing import NDArray

from modiste.data.dataset import CustomerBatch, History
from modiste.data.pairs import groups_of_sorted

# The columns of every frame of recommendations. Sorted by (customer, rank); ranks start at 1 and
# have no gaps; a customer has no article twice; scores fall with the rank.
RECOMMENDATIONS: dict[str, pl.DataType] = {
    "customer": pl.Int32(),
    "article": pl.Int32(),
    "score": pl.Float32(),
    "rank": pl.UInt16(),
}


@runtime_checkable
class Recommender(Protocol):
    """Learns from a history and recommends articles to customers.

    A fitted recommender holds only what concerns articles and what is shared; what concerns a
    customer comes with the batch. So it can be sent to workers, saved, and asked about a customer
    that it has never seen.
    """

    def fit(self, history: History) -> Self:
        """Learn from what was known before ``history.as_of``; returns itself."""

    def recommend(self, batch: CustomerBatch, k: int) -> pl.DataFrame:
        """Recommend up to ``k`` articles to each customer of the batch.

        Returns
        -------
        A frame with the columns of ``RECOMMENDATIONS``. Only articles on sale, as past sales tell;
        beside them, where a setting of the recommender says so, those without any sale so far. A
        customer of whom the recommender knows nothing may be absent or have fewer than ``k``.
        """

    def save(self, folder: Path) -> None:
        """Write what was learned into an existing, empty folder (Parquet, JSON, npy; no pickle)."""

    def load(self, folder: Path) -> Self:
        """Read back what :meth:`save` wrote; returns itself."""


def rank_by_score(scored: pl.DataFrame, k: int) -> pl.DataFrame:
    """The best ``k`` articles of each customer, as recommendations.

    Parameters
    ----------
    scored
        Columns ``customer``, ``article`` and ``score``; a pair at most once. Ties are broken by the
        article's code, so that the order is one and the same everywhere.
    k
        Recommendations a customer.

    Returns
    -------
    A frame with the columns of ``RECOMMENDATIONS``.
    """
    customer, article, score = (
        scored[name].to_numpy() for name in ("customer", "article", "score")
    )
    return rank_arrays(customer, article, score, k)


def rank_arrays(
    customer: NDArray[Any], article: NDArray[Any], score: NDArray[Any], k: int
) -> pl.DataFrame:
    """The same of flat arrays, which cost a live answer for one customer less than a frame."""
    customer, article = customer.astype(np.int32), article.astype(np.int32)
    score = score.astype(np.float32)
    order = np.lexsort((article, -score, customer))
    starts, sizes = groups_of_sorted(customer[order])
    place = np.arange(len(order)) - np.repeat(starts, sizes)
    kept = order[place < k]
    columns = (customer[kept], article[kept], score[kept], (place[place < k] + 1).astype(np.uint16))
    return pl.DataFrame(
        [pl.Series(name, values) for name, values in zip(RECOMMENDATIONS, columns, strict=True)]
    )
