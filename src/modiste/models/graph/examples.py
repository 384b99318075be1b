"""What the graph network is to predict: purchases of some days, from what was before."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from modiste.models.graph.purchase_graph import Adjacency
from modiste.models.learning.popularity_prior import PopularityPrior


@dataclass(frozen=True, eq=False)
class Examples:
    """Purchases of customers in periods of some days each.

    Attributes
    ----------
    customers
        int32, shape (n,): codes. All bought something before the period.
    days
        int32, shape (n,): the period's first day; nothing of this day or later is known.
    articles
        int32: codes of the distinct articles that were bought in the periods, one after the other.
    offsets
        int64, shape (n + 1,): where those of each begin, and the end.
    """

    customers: NDArray[np.int32]
    days: NDArray[np.int32]
    articles: NDArray[np.int32]
    offsets: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.customers)


def on_sale_by_then(examples: Examples, prior: PopularityPrior) -> Examples:
    """Leave out what nobody knew to be on sale, and examples of nothing else.

    It is not recommended, and says nothing of taste: after days that nothing is known of, it is
    most of what was bought.
    """
    of = np.repeat(np.arange(len(examples)), np.diff(examples.offsets))
    periods = prior.periods_of(examples.days.astype(np.int64))
    kept = np.isfinite(prior.log_share[periods[of], examples.articles])
    counts = np.bincount(of[kept], minlength=len(examples))
    filled = counts > 0
    return Examples(
        examples.customers[filled],
        examples.days[filled],
        examples.articles[kept],
        np.append(0, np.cumsum(counts[filled])),
    )


def examples_of(purchases: Adjacency, first: int, end: int, period_days: int) -> Examples:
    """Examples of all customers.

    Parameters
    ----------
    purchases
        Articles of each customer.
    first, end
        Days whose purchases are predicted: ``first <= day < end``.
    period_days
        Length of the periods; the last one ends where the days do, and the first may be shorter.
    """
    days = np.asarray(purchases.days)
    (at,) = ((days >= first) & (days < end)).nonzero()
    customers = np.searchsorted(purchases.offsets, at, side="right") - 1
    periods = (end - 1 - days[at].astype(np.int64)) // period_days
    starts = np.maximum(end - (periods + 1) * period_days, first)
    known = days[purchases.offsets[customers]] < starts
    customers, starts = customers[known], starts[known]
    articles = np.asarray(purchases.neighbours)[at[known]]
    order = np.lexsort((articles, starts, customers))
    customers, starts, articles = customers[order], starts[order], articles[order]
    new_example = _changes(customers, starts)
    new_article = new_example | _changes(articles)
    kept = np.flatnonzero(new_article)
    begins = np.flatnonzero(new_example)
    return Examples(
        customers[begins].astype(np.int32),
        starts[begins].astype(np.int32),
        articles[kept].astype(np.int32),
        np.append(np.searchsorted(kept, begins), len(kept)),
    )


def _changes(*columns: NDArray[np.generic]) -> NDArray[np.bool_]:
    """Where any of the columns is another than in the row before; the first row is one, too."""
    changed = np.ones(len(columns[0]), dtype=np.bool_)
    changed[1:] = False
    for column in columns:
        changed[1:] |= column[1:] != column[:-1]
    return changed
