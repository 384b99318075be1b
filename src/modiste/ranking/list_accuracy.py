"""How well scores order lists of candidates, as far as the lists hold what was bought."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from modiste.ranking.rows import LABEL, LIST_KEYS, RankingRows


def with_purchases(rows: RankingRows) -> RankingRows:
    """Only the lists that hold an article that was bought: all others are ordered equally well."""
    holds = pl.col(LABEL).any().over(LIST_KEYS)
    return RankingRows(rows.features, rows.frame.filter(holds))


def mean_average_precision(
    sizes: NDArray[np.int64],
    bought: NDArray[np.bool_],
    scores: NDArray[np.floating[Any]],
    k: int = 12,
) -> float:
    """MAP@k of lists that are ordered by scores.

    Parameters
    ----------
    sizes
        int64, shape (n_lists,): number of rows of each list, one list behind the other.
    bought
        bool, shape (n_rows,).
    scores
        Shape (n_rows,); the higher, the further up. Of equal ones the earlier row goes first.
    k
        How many of a list count.

    Returns
    -------
    The mean, over the lists that hold a bought article, of the average precision at ``k``: the sum
    of the precisions at the bought ones' ranks, by the most that there could be in ``k`` places.
    0.0 where no list holds any.
    """
    if not bought.any():
        return 0.0
    list_of = np.repeat(np.arange(len(sizes)), sizes)
    order = np.lexsort((-scores, list_of))  # stable; the lists stay where they are
    hits = bought[order]
    first = np.repeat(np.cumsum(sizes) - sizes, sizes)
    rank = np.arange(len(hits)) - first + 1
    hits_so_far = np.cumsum(hits)
    before_list = np.concatenate([[0], hits_so_far])[first]
    precision = np.where(hits & (rank <= k), (hits_so_far - before_list) / rank, 0.0)
    n_bought = np.bincount(list_of, weights=bought, minlength=len(sizes))
    total = np.bincount(list_of, weights=precision, minlength=len(sizes))
    some = n_bought > 0
    return float(np.mean(total[some] / np.minimum(n_bought[some], k)))
