"""The graph filter as a recommender: a customer's purchases, smoothed along the graph.

The kernel is :class:`~modiste.models.graph.graph_filter.GraphFilter`. The graph is made of recent
purchases of a sample of customers, which fits in memory whatever the size of the shop; what is kept
concerns articles alone, so that each customer is scored from its own purchases, seen before or not.
A sample is drawn, and not a decomposition computed over partitions, since sums of floats from
partitions would depend on how many there are, and the leading frequencies of articles do not need
more customers than hundreds of thousands.

A customer's score of an article is its row of decayed purchases through the filter, times a power
of the article's popularity. Only articles on sale have a column.
"""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Self

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from modiste.data.dataset import CustomerBatch, History, Partition
from modiste.evaluation.protocol import rank_by_score
from modiste.models.graph.graph_filter import GraphFilter
from modiste.models.graph.graph_filter_settings import GraphFilterSettings
from modiste.models.popularity import PopularitySettings, article_popularity
from modiste.models.time_decay import UNIT, decay, purchase_units

# Scores that are in memory at once: 64 MiB of float32.
_SCORES_IN_A_BLOCK = 1 << 24

# Knuth's multiplier: codes that lie together are drawn apart.
_MULTIPLIER, _MODULUS = 2_654_435_761, 1 << 32

_ARRAYS = ("data", "indices", "indptr")


class GraphFilterRecommender:
    """What the graph's low frequencies say of a customer's purchases.

    Parameters
    ----------
    settings
        Of the filter.
    popularity
        How popularity is counted, and so what is on sale.
    """

    def __init__(
        self,
        settings: GraphFilterSettings | None = None,
        popularity: PopularitySettings | None = None,
    ) -> None:
        self.settings = settings or GraphFilterSettings()
        self.popularity = popularity or PopularitySettings()
        self._keep(_nothing(0), np.empty(0, dtype=np.int32))

    def _keep(self, filtered: GraphFilter, on_sale: NDArray[np.int32]) -> None:
        """A filter whose columns are the articles on sale."""
        self._filter, self._on_sale = filtered, on_sale

    def fit(self, history: History) -> Self:
        """Make the filter of recent purchases, with a column for each article on sale."""
        settings = self.settings
        popularity = article_popularity(history, self.popularity)
        on_sale = popularity["article"].to_numpy()
        edges = pl.concat(
            history.map(
                _edges,
                history.as_of - timedelta(days=settings.edge_days),
                settings.edge_decay,
                _share(settings.max_customers, history.n_customers),
                settings.seed,
                label="edges of the graph",
            )
        ).sort("customer", "article")
        if edges.is_empty():
            self._keep(_nothing(history.n_articles), on_sale[:0])
            return self
        whole = GraphFilter.fit(
            _matrix(edges, "weight", history.n_articles),
            frequencies=settings.frequencies,
            ideal_weight=settings.ideal_weight,
            neighbours=settings.neighbours,
            seed=settings.seed,
        )
        factors = (popularity["popularity"] ** settings.popularity_power).to_numpy()
        factors = factors.astype(np.float32)
        linear = csr_matrix(whole.neighbours[:, on_sale])
        linear.data *= factors[linear.indices]
        ideal = np.ascontiguousarray(whole.out_of[:, on_sale] * factors)
        self._keep(GraphFilter(linear, whole.into, ideal), on_sale)
        return self

    def recommend(self, batch: CustomerBatch, k: int) -> pl.DataFrame:
        """Up to ``k`` articles, bought ones included, for each customer with purchases."""
        bought = purchase_units(batch, self.settings.purchase_decay).select(
            "customer", "article", weight=pl.col("units") * UNIT
        )
        # Never sold before the fit, as in the live service: the filter knows nothing of them.
        bought = bought.filter(pl.col("article") < len(self._filter.into))
        if bought.is_empty() or not len(self._on_sale):
            return rank_by_score(_NO_SCORES, k)
        rows = _matrix(bought, "weight", len(self._filter.into))
        customers = bought["customer"].unique(maintain_order=True).to_numpy()
        step = max(_SCORES_IN_A_BLOCK // len(self._on_sale), 1)
        return pl.concat(
            [
                rank_by_score(self._best(rows[first : first + step], customers[first:], k), k)
                for first in range(0, len(customers), step)
            ]
        )

    def _best(self, rows: csr_matrix, customers: NDArray[np.int32], k: int) -> pl.DataFrame:
        """The best articles of some customers, with all that tie with the last of them."""
        scores = self._filter.scores(rows)
        at = max(scores.shape[1] - k, 0)
        least = np.partition(scores, at, axis=1)[:, at]
        row, column = np.nonzero((scores >= least[:, None]) & (scores > 0))
        return pl.DataFrame(
            {
                "customer": customers[row],
                "article": self._on_sale[column],
                "score": scores[row, column],
            }
        )

    def save(self, folder: Path) -> None:
        """Write the filter and the articles of its columns."""
        np.save(folder / "on_sale.npy", self._on_sale)
        np.save(folder / "into.npy", self._filter.into)
        np.save(folder / "out_of.npy", self._filter.out_of)
        for name in _ARRAYS:
            np.save(folder / f"neighbours.{name}.npy", getattr(self._filter.neighbours, name))

    def load(self, folder: Path) -> Self:
        """Read them back."""
        on_sale, into, out_of = (
            np.load(folder / f"{name}.npy") for name in ("on_sale", "into", "out_of")
        )
        parts = tuple(np.load(folder / f"neighbours.{name}.npy") for name in _ARRAYS)
        neighbours = csr_matrix(parts, shape=(len(into), len(on_sale)))
        self._keep(GraphFilter(neighbours, into, out_of), on_sale)
        return self


_NO_SCORES = pl.DataFrame(
    schema={"customer": pl.Int32, "article": pl.Int32, "score": pl.Float32},
)


def _nothing(articles: int) -> GraphFilter:
    """The filter of a graph without edges."""
    into = np.zeros((articles, 0), dtype=np.float32)
    return GraphFilter(csr_matrix(into), into, np.zeros((0, 0), dtype=np.float32))


def _share(wanted: int, customers: int) -> int:
    """Of ``_MODULUS``, how much of it is kept for about ``wanted`` of the customers to be."""
    return min(_MODULUS, _MODULUS * wanted // max(customers, 1))


def _edges(
    partition: Partition, since: date, edge_decay: float, share: int, seed: int
) -> pl.DataFrame:
    """Edges of the drawn customers: ``customer``, ``article`` and ``weight``, of the latest day."""
    drawn = (pl.col("customer").cast(pl.Int64) + seed) * _MULTIPLIER % _MODULUS < share
    return (
        partition.read_transactions(["customer", "article", "t_dat"], since)
        .filter(drawn)
        .group_by("customer", "article")
        .agg(pl.col("t_dat").max())
        .select("customer", "article", weight=decay(partition.as_of, edge_decay))
    )


def _matrix(entries: pl.DataFrame, value: str, articles: int) -> csr_matrix:
    """A row for each customer in their order: entries are sorted by (customer, article)."""
    starts = entries["customer"].rle_id().to_numpy()
    rows = int(starts[-1]) + 1
    shape = (rows, articles)
    cells = (starts, entries["article"].to_numpy())
    return csr_matrix((entries[value].to_numpy().astype(np.float32), cells), shape=shape)
