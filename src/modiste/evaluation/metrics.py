"""How good lists of recommendations are: for each customer, and over the whole catalogue.

Scores are per customer and are averaged later, so that intervals, segments and paired comparisons
can all be had from the same frame. Everything is vectorised: a join finds the hits, which are few,
and NumPy sums them by customer in a fixed order, so that the bytes do not depend on the number of
threads.

References
----------
MAP@k: Kaggle, "H&M Personalized Fashion Recommendations", evaluation page. NDCG: Järvelin and
Kekäläinen, "Cumulated gain-based evaluation of IR techniques", ACM TOIS 20(4), 2002. Novelty as
mean self-information: Zhou et al., "Solving the apparent diversity-accuracy dilemma of recommender
systems", PNAS 107(10), 2010.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def metric_names(recall_at: Sequence[int] = ()) -> list[str]:
    """Names of the metrics that :func:`score_customers` gives, in its order."""
    return [
        "average_precision",
        "recall",
        "hit",
        "ndcg",
        "reciprocal_rank",
        *(f"recall@{depth}" for depth in recall_at),
    ]


def score_customers(
    recommendations: pl.DataFrame,
    labels: pl.DataFrame,
    k: int = 12,
    recall_at: Sequence[int] = (),
) -> pl.DataFrame:
    """Score the first ``k`` recommendations of every customer who has labels.

    A customer of the labels without recommendations scores 0; recommendations for anybody else are
    ignored. An article that a list repeats counts once, at its first place; the repeats keep the
    places that they take. The order is that of ``rank``: scores, tied or not, are not looked at.

    Parameters
    ----------
    recommendations
        Columns ``customer``, ``article`` and ``rank`` (from 1), rows in any order.
    labels
        Columns ``customer`` and ``article``: what was bought. Repeated pairs count once.
    k
        How many recommendations are looked at, by all metrics but those of ``recall_at``.
    recall_at
        Further numbers of recommendations to give the recall at.

    Returns
    -------
    One row a customer of the labels, sorted by ``customer``:

    - ``customer`` (int32) and ``n_labels`` (uint32, distinct articles bought);
    - ``average_precision``: sum of the precision at each hit / min(k, n_labels);
    - ``recall``: hits / n_labels;
    - ``hit``: 1 if there is any hit, else 0;
    - ``ndcg``: binary gains, discount log2(rank + 1), ideal list of min(k, n_labels) hits;
    - ``reciprocal_rank``: 1 / rank of the first hit, 0 without;
    - ``recall@N`` for every N of ``recall_at``.

    All metrics are float64 between 0 and 1.
    """
    depths = (k, *recall_at)
    if min(depths) < 1:
        raise ValueError("a list of recommendations is cut after one article or more")
    customers = (
        labels.lazy()
        .group_by("customer")
        .agg(pl.col("article").n_unique().alias("n_labels"))
        .sort("customer")
        .collect(engine="streaming")
    )
    hits = _first_hits(recommendations, labels, max(depths))
    scores = _score_hits(customers, hits, k, recall_at)
    return customers.with_columns(
        pl.Series(name, scores[name], pl.Float64) for name in metric_names(recall_at)
    )


def _first_hits(recommendations: pl.DataFrame, labels: pl.DataFrame, depth: int) -> pl.DataFrame:
    """Find the first place of every recommended label; ``customer``, ``rank``, sorted by both."""
    pair = ["customer", "article"]
    return (
        recommendations.lazy()
        .filter(pl.col("rank") <= depth)
        .join(labels.lazy(), on=pair, how="semi")
        .group_by(pair)
        .agg(pl.col("rank").min())
        .select("customer", "rank")
        .sort("customer", "rank")
        .collect(engine="streaming")
    )


def _score_hits(
    customers: pl.DataFrame, hits: pl.DataFrame, k: int, recall_at: Sequence[int]
) -> dict[str, Floats]:
    n_labels = customers["n_labels"].to_numpy().astype(np.int64)
    owner = np.searchsorted(customers["customer"].to_numpy(), hits["customer"].to_numpy())
    rank = hits["rank"].to_numpy().astype(np.float64)
    hits_of = np.bincount(owner, minlength=len(n_labels))
    # Hits lie together by customer and by rank within; this counts them 1, 2, … for each customer.
    nth = np.arange(len(rank)) - (np.cumsum(hits_of) - hits_of)[owner] + 1

    def total(weights: Floats, depth: int = k) -> Floats:
        within = np.where(rank <= depth, weights, 0.0)
        return np.bincount(owner, within, len(n_labels)).astype(np.float64, copy=False)

    most = np.minimum(n_labels, k)
    ideal = np.concatenate([[0.0], np.cumsum(1 / np.log2(np.arange(k) + 2))])
    one = np.ones_like(rank)
    found = total(one)
    return {
        "average_precision": total(nth / rank) / most,
        "recall": found / n_labels,
        "hit": np.minimum(found, 1.0),
        "ndcg": total(1 / np.log2(rank + 1)) / ideal[most],
        "reciprocal_rank": total((nth == 1) / rank),
        **{f"recall@{depth}": total(one, depth) / n_labels for depth in recall_at},
    }


def coverage(recommendations: pl.DataFrame, on_sale: ArrayLike) -> float:
    """Share of the articles on sale that are recommended to anybody.

    Parameters
    ----------
    recommendations
        Column ``article``: every recommendation made.
    on_sale
        Codes of the articles that could have been recommended; articles outside it do not count.
    """
    available = np.unique(np.asarray(on_sale))
    if not len(available):
        return 0.0
    return float(np.isin(available, recommendations["article"].to_numpy()).mean())


def novelty(recommendations: pl.DataFrame, sales: ArrayLike) -> float:
    """Mean self-information of the recommended articles, in bits: the rarer, the higher.

    An article's self-information is ``-log2`` of its share in past sales. Every article is given
    one sale more than it had, so that one that never sold has a finite value.

    Parameters
    ----------
    recommendations
        Column ``article``: every recommendation made.
    sales
        Past sales by article code, shape (n_articles,), in pieces.

    Returns
    -------
    Bits; NaN when nothing is recommended.
    """
    articles = recommendations["article"].to_numpy()
    if not len(articles):
        return float("nan")
    smoothed = np.asarray(sales, dtype=np.float64) + 1.0
    information = -np.log2(smoothed / smoothed.sum())
    return float(information[articles].mean())


def gini(recommendations: pl.DataFrame, on_sale: ArrayLike) -> float:
    """Gini coefficient of how often each article on sale is recommended.

    0 when all are recommended equally often; near 1 when few articles take all places. Articles
    that nobody is recommended count with 0.

    Parameters
    ----------
    recommendations
        Column ``article``: every recommendation made.
    on_sale
        Codes of the articles that could have been recommended; articles outside it do not count.

    Returns
    -------
    The coefficient; NaN when none of the articles on sale is recommended.
    """
    available = np.unique(np.asarray(on_sale))
    articles = recommendations["article"].to_numpy()
    articles = articles[np.isin(articles, available)]
    if not len(articles):
        return float("nan")
    places = np.bincount(np.searchsorted(available, articles), minlength=len(available))
    n = len(places)
    ascending = np.sort(places).astype(np.float64)
    weighted = float(np.arange(1, n + 1) @ ascending)
    return 2 * weighted / (n * float(ascending.sum())) - (n + 1) / n
