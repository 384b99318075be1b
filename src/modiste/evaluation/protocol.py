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

# Of a number of 64 bits by which rows are ranked: those of the score, and those that are left.
_SCORE_BITS = 32
_BITS_BESIDE_SCORE = 32

# No customer has a greater code.
_ANY = np.iinfo(np.int32).max

# All bits of a positive 32-bit number but its sign: turned over, they fall as the number rises.
_POSITIVE = np.uint32(0x7FFFFFFF)

# What is not a number, with a sign: after all numbers by its bits.
_LAST = np.float32(np.copysign(np.nan, -1.0))


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
    """The same of flat arrays, which cost a live answer for one customer less than a frame.

    Customer, score and article of a row are one number of 64 bits each, so that the processor
    sorts plain numbers, several at a time; for that, many customers are ranked in several parts.
    """
    customer, article = customer.astype(np.int32), article.astype(np.int32)
    score = score.astype(np.float32)
    bits = int(article.max(initial=1)).bit_length()
    part = (customer - customer.min(initial=_ANY)) >> (_BITS_BESIDE_SCORE - bits)
    if part.any():
        by_part = np.argsort(part, kind="stable")
        rows = np.split(by_part, groups_of_sorted(part[by_part])[0][1:])
        ranked = [_rank_part(customer[row], article[row], score[row], bits, k) for row in rows]
        columns = tuple(map(np.concatenate, zip(*ranked, strict=True)))
    else:
        columns = _rank_part(customer, article, score, bits, k)
    return pl.DataFrame(
        [pl.Series(name, values) for name, values in zip(RECOMMENDATIONS, columns, strict=True)]
    )


def _rank_part(
    customer: NDArray[np.int32],
    article: NDArray[np.int32],
    score: NDArray[np.float32],
    bits: int,
    k: int,
) -> tuple[NDArray[Any], ...]:
    """The columns of ``RECOMMENDATIONS``, for customers whose codes fit beside the articles'."""
    first = customer.min(initial=_ANY)
    rows = (customer - first).astype(np.uint64) << np.uint64(_SCORE_BITS + bits)
    rows |= _falling(score).astype(np.uint64) << np.uint64(bits)
    rows |= article.astype(np.uint64)
    rows.sort()
    owner = rows >> np.uint64(_SCORE_BITS + bits)
    starts, sizes = groups_of_sorted(owner)
    place = np.arange(len(rows)) - np.repeat(starts, sizes)
    kept = place < k
    rows, owner, place = rows[kept], owner[kept], place[kept]
    return (
        owner.astype(np.int32) + first,
        (rows & np.uint64((1 << bits) - 1)).astype(np.int32),
        _of_falling((rows >> np.uint64(bits)).astype(np.uint32)),
        (place + 1).astype(np.uint16),
    )


def _falling(score: NDArray[np.float32]) -> NDArray[np.uint32]:
    """Whole numbers that fall as the scores rise; scores that are not a number come last."""
    # Of two zeros none is greater.
    bits = np.where(np.isnan(score), _LAST, score + np.float32(0)).view(np.uint32)
    return np.where(bits >> 31, bits, bits ^ _POSITIVE)


def _of_falling(numbers: NDArray[np.uint32]) -> NDArray[np.float32]:
    return np.where(numbers >> 31, numbers, numbers ^ _POSITIVE).view(np.float32)
