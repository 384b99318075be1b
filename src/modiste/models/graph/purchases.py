"""The purchases that a graph network learns to predict."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from modiste.data.days import day_number
from modiste.models.graph.purchase_graph import PurchaseGraph
from modiste.models.learning.popularity_prior import PopularityPrior


@dataclass(frozen=True, eq=False)
class Purchases:
    """Edges of the graph that are predicted.

    Attributes
    ----------
    customers, articles
        int32, shape (n,): codes.
    days
        int32, shape (n,): days since ``EPOCH``; nothing of this day or later may be known.
    """

    customers: npt.NDArray[np.int32]
    articles: npt.NDArray[np.int32]
    days: npt.NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.days)

    def only(self, which: npt.NDArray[np.int64] | npt.NDArray[np.bool_]) -> Purchases:
        """Some of them, by their numbers or by a mask."""
        return Purchases(self.customers[which], self.articles[which], self.days[which])


def purchases_of(
    graph: PurchaseGraph, last_days: int | None = None, period_days: int = 1
) -> Purchases:
    """What was bought before the graph's date; sorted by customer, day and article.

    Parameters
    ----------
    last_days
        Only of so many days before it. None: all.
    period_days
        How many days are predicted together, from what was before the first of them: that is the
        day of their purchases. The last period ends at the graph's date.
    """
    edges, end = graph.articles_of, day_number(graph.as_of)
    first = -np.inf if last_days is None else end - last_days
    (at,) = np.nonzero((edges.days >= first) & (edges.days < end))
    customers = np.searchsorted(edges.offsets, at, side="right") - 1
    days = end - ((end - 1 - edges.days[at]) // period_days + 1) * period_days
    articles = edges.neighbours[at]
    if period_days > 1:  # the graph has an edge once a day, sorted
        order = np.lexsort((articles, days, customers))
        customers, days, articles = customers[order], days[order], articles[order]
        same = customers[1:] == customers[:-1]
        same &= (days[1:] == days[:-1]) & (articles[1:] == articles[:-1])
        once = np.append(True, ~same)
        customers, days, articles = customers[once], days[once], articles[once]
    return Purchases(customers.astype(np.int32), articles, days.astype(np.int32))


def predictable(
    purchases: Purchases, graph: PurchaseGraph, prior: PopularityPrior
) -> npt.NDArray[np.bool_]:
    """Whose customer bought something before, and whose article was known to be on sale.

    Nothing is known of others' customers. What nobody knew to be on sale is not recommended, and
    says nothing of taste: after days that nothing is known of, it is most of what was bought.

    Returns
    -------
    bool, shape (n,).
    """
    edges = graph.articles_of
    before = edges.days[edges.offsets[purchases.customers]] < purchases.days
    periods = prior.periods_of(purchases.days.astype(np.int64))
    on_sale = np.isfinite(prior.log_share[periods, purchases.articles])
    return np.asarray(before & on_sale)
