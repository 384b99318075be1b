"""One article that each customer bought next after a day: what early stopping asks for."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

# Early stopping needs no more: the standard error of NDCG@10 is then below 0.002.
_MOST_CUSTOMERS = 10_000


class NextArticles(NamedTuple):
    """Rows of customers, and an article each.

    Attributes
    ----------
    rows
        int64, shape (n,): numbers of the rows, rising.
    articles
        int64, shape (n,): article codes.
    """

    rows: NDArray[np.int64]
    articles: NDArray[np.int64]


def next_articles(
    offsets: NDArray[np.int64],
    articles: NDArray[np.int32],
    days: NDArray[np.int32],
    day: int,
    on_sale: NDArray[np.bool_],
    rng: np.random.Generator,
) -> NextArticles:
    """Draw an article of the first basket from a day on, of some who bought before and after.

    Parameters
    ----------
    offsets, articles, days
        Purchases in rows, a row for each customer, oldest first: row ``r`` has those from
        ``offsets[r]`` to ``offsets[r + 1]``.
    day
        What is before it is known; days since ``EPOCH``.
    on_sale
        bool, shape (n_articles,): by that day. Others are not recommended, and not asked for.
    rng
        Draws the customers, where there are many, and the articles.
    """
    (later,) = (days >= day).nonzero()
    of = np.searchsorted(offsets, later, side="right") - 1
    first = later[np.searchsorted(of, of)]
    asked = (first > offsets[of]) & (days[later] == days[first]) & on_sale[articles[later]]
    later, of = later[asked], of[asked]
    order = rng.permutation(len(later))
    chosen, place = np.unique(of[order], return_index=True)
    if len(chosen) > _MOST_CUSTOMERS:
        some = np.sort(rng.choice(len(chosen), _MOST_CUSTOMERS, replace=False))
        chosen, place = chosen[some], place[some]
    return NextArticles(chosen, articles[later[order][place]].astype(np.int64))
