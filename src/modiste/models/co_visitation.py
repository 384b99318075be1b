"""Item-to-item co-visitation: what the same customers bought within the same weeks.

The similarity of two articles is the cosine of their buyers over the last ``days`` days, each buyer
weighted down by how much they bought (Linden, Smith & York, "Amazon.com recommendations", 2003;
Deshpande & Karypis, "Item-based top-N recommendation algorithms", 2004). Pairs are counted for a
block of articles at a time, over all partitions, so that the best neighbours are exact and memory
is bounded by the block and not by the number of pairs.

A customer's score of an article is the sum, over what they bought, of decayed purchase times
similarity, times a power of the article's popularity.
"""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from modiste.data.dataset import CustomerBatch, History, Partition
from modiste.data.pairs import codes_of, sums_by_pair
from modiste.evaluation.protocol import rank_arrays
from modiste.models.popularity import PopularitySettings, article_popularity
from modiste.models.sorted_rows import SortedRows
from modiste.models.time_decay import UNIT, in_units, latest_articles

# Pairs of a block of articles, before they are added up: 20 million of 16 bytes.
_PAIRS_IN_A_BLOCK = 20_000_000


class CoVisitationSettings(BaseModel):
    """Settings of co-visitation."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    purchase_decay: Annotated[float, Field(ge=0)] = Field(
        default=1.0, description="A purchase of n days ago counts n ** -purchase_decay."
    )
    popularity_power: Annotated[float, Field(ge=0)] = Field(
        default=0.5, description="Power of the recommended article's popularity."
    )
    pair_days: Annotated[int, Field(ge=1, le=36_500)] = Field(
        default=30, description="Two purchases make a pair when both lie in this many last days."
    )
    neighbours: Annotated[int, Field(ge=1)] = Field(
        default=20, description="Most similar articles kept for each article."
    )
    basket_power: Annotated[float, Field(ge=0)] = Field(
        default=0.5, description="A buyer of n articles counts n ** -basket_power for each pair."
    )
    shrinkage: Annotated[float, Field(ge=0)] = Field(
        default=1.0, description="Added to each article's number of buyers: few buyers, less trust."
    )
    max_articles: Annotated[int, Field(ge=2)] = Field(
        default=500,
        description=(
            "A buyer of more articles than this in pair_days makes no pairs: a till's own card or "
            "a reseller would make as many as all others together."
        ),
    )
    recent_articles: Annotated[int, Field(ge=1)] = Field(
        default=30, description="Of a customer's articles, the latest that are looked up."
    )


class CoVisitation:
    """Articles bought together with what a customer bought.

    Parameters
    ----------
    settings
        Of co-visitation.
    popularity
        How popularity is counted, and so what is on sale.
    """

    def __init__(
        self,
        settings: CoVisitationSettings | None = None,
        popularity: PopularitySettings | None = None,
    ) -> None:
        self.settings = settings or CoVisitationSettings()
        self.popularity = popularity or PopularitySettings()
        self._neighbours = SortedRows(pl.DataFrame(), "source")

    @property
    def neighbours(self) -> pl.DataFrame:
        """The most similar articles on sale.

        Columns ``source`` and ``target`` (int32 article codes) and ``units`` (int64: cosine times
        the target's power of popularity, in units of ``UNIT``), sorted by source and falling
        cosine.
        """
        return self._neighbours.table

    def neighbours_of(self, article: int) -> pl.DataFrame:
        """The rows of :attr:`neighbours` of one article, as its source."""
        return self._neighbours.join(pl.DataFrame({"source": [article]}))

    def fit(self, history: History) -> Self:
        """Count pairs and keep each article's nearest neighbours on sale."""
        settings = self.settings
        since = history.as_of - timedelta(days=settings.pair_days)
        factors = article_popularity(history, self.popularity).select(
            "article", factor=pl.col("popularity").pow(settings.popularity_power)
        )
        buyers = (
            history.collect(_buyers, since, settings.max_articles, label="buyers of each article")
            .group_by("article")
            .agg(pl.col("buyers").sum(), pl.col("pairs").sum())
            .sort("article")
        )
        norms = buyers.select(
            "article", norm=1 / (pl.col("buyers") + settings.shrinkage).cast(pl.Float64).sqrt()
        )
        neighbours = pl.concat(
            [_NO_NEIGHBOURS]
            + [
                self._nearest(history, since, first, last, norms, factors)
                for first, last in _blocks(buyers)
            ]
        )
        self._neighbours = SortedRows(neighbours, "source")
        return self

    def _nearest(
        self,
        history: History,
        since: date,
        first: int,
        last: int,
        norms: pl.DataFrame,
        factors: pl.DataFrame,
    ) -> pl.DataFrame:
        """Nearest neighbours of the articles ``first`` to ``last``, both included."""
        settings = self.settings
        pairs = history.map(
            _pairs,
            since,
            settings.max_articles,
            first,
            last,
            settings.basket_power,
            factors.select(target="article"),
            label=f"pairs of articles {first} to {last}",
        )
        similarity = pl.col("units") * pl.col("norm") * pl.col("norm_target")
        return (
            pl.concat(pairs)
            .group_by("source", "target")
            .agg(pl.col("units").sum())
            .join(norms, left_on="source", right_on="article")
            .join(norms, left_on="target", right_on="article", suffix="_target")
            .with_columns(similarity.round().cast(pl.Int64).alias("units"))
            .sort("source", "units", "target", descending=[False, True, False])
            .group_by("source", maintain_order=True)
            .head(settings.neighbours)
            .join(factors, left_on="target", right_on="article", maintain_order="left")
            .select(
                "source",
                "target",
                (pl.col("units") * pl.col("factor")).round().cast(pl.Int64).alias("units"),
            )
        )

    def recommend(self, batch: CustomerBatch, k: int) -> pl.DataFrame:
        """Up to ``k`` articles, bought ones included, for each customer with purchases."""
        customer, _, target, units = self._spoken_for(batch)
        pairs, total = sums_by_pair(customer, target, units)
        return rank_arrays(*codes_of(pairs), total * UNIT * UNIT, k)

    def parts(self, batch: CustomerBatch, article: int) -> pl.DataFrame:
        """What each of the purchases adds to the score of one article.

        Returns
        -------
        Columns ``customer`` and ``source`` (int32), the article bought, and ``score`` (float64), of
        those that add anything, the most first: a customer's add up to what it is recommended by.
        """
        customer, source, target, units = self._spoken_for(batch)
        own = target == article
        return pl.DataFrame(
            {
                "customer": customer[own],
                "source": source[own],
                "score": units[own] * UNIT * UNIT,
            }
        ).sort("customer", "score", "source", descending=[False, True, False])

    def _spoken_for(
        self, batch: CustomerBatch
    ) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32], NDArray[np.int64]]:
        """Customer, source, target and units of the latest purchases and their neighbours."""
        # Once for a batch: an explained list asks for the parts of each of its articles.
        return batch.once(("co-visitation", self), lambda: self._spoken_anew(batch))

    def _spoken_anew(
        self, batch: CustomerBatch
    ) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32], NDArray[np.int64]]:
        settings = self.settings
        customer, article, units = latest_articles(
            batch, settings.purchase_decay, settings.recent_articles
        )
        row, neighbour = self._neighbours.rows(article)
        return (
            customer[row],
            article[row],
            self._neighbours.array("target")[neighbour],
            units[row] * self._neighbours.array("units")[neighbour],
        )

    def save(self, folder: Path) -> None:
        """Write the neighbours."""
        self._neighbours.table.write_parquet(folder / "neighbours.parquet")

    def load(self, folder: Path) -> Self:
        """Read them back."""
        neighbours = pl.read_parquet(folder / "neighbours.parquet")
        self._neighbours = SortedRows(neighbours, "source")
        return self


_NO_NEIGHBOURS = pl.DataFrame(schema={"source": pl.Int32, "target": pl.Int32, "units": pl.Int64})


def _blocks(buyers: pl.DataFrame) -> list[tuple[int, int]]:
    """Ranges of articles (first, last) with about ``_PAIRS_IN_A_BLOCK`` pairs each."""
    if buyers.is_empty():
        return []
    block = (buyers["pairs"].cum_sum() - 1) // _PAIRS_IN_A_BLOCK
    starts = np.flatnonzero(np.diff(block.to_numpy(), prepend=-1))
    firsts = buyers["article"].to_numpy()[starts]
    lasts = np.append(firsts[1:] - 1, buyers["article"].to_numpy()[-1])
    return [(int(first), int(last)) for first, last in zip(firsts, lasts, strict=True)]


def _recent_pairs(partition: Partition, since: date, max_articles: int) -> pl.DataFrame:
    """Distinct (customer, article) since a day, with the number of the customer's articles.

    Without the customers who have more than ``max_articles``.
    """
    return (
        partition.read_transactions(["customer", "article"], since)
        .unique()
        .with_columns(articles=pl.len().over("customer"))
        .filter(pl.col("articles") <= max_articles)
    )


def _buyers(partition: Partition, since: date, max_articles: int) -> pl.DataFrame:
    """Number of buyers of each article, and of the pairs that it is part of."""
    return (
        _recent_pairs(partition, since, max_articles)
        .group_by("article")
        .agg(
            pl.len().cast(pl.Int64).alias("buyers"),
            pl.col("articles").cast(pl.Int64).sum().alias("pairs"),
        )
    )


def _pairs(
    partition: Partition,
    since: date,
    max_articles: int,
    first: int,
    last: int,
    basket_power: float,
    on_sale: pl.DataFrame,
) -> pl.DataFrame:
    """Co-purchases of articles ``first`` to ``last`` with those on sale, in units of ``UNIT``."""
    rows = _recent_pairs(partition, since, max_articles)
    sources = rows.filter(pl.col("article").is_between(first, last)).select(
        "customer", source="article"
    )
    targets = rows.join(on_sale, left_on="article", right_on="target").select(
        "customer",
        target="article",
        units=in_units(pl.col("articles").cast(pl.Float64).pow(-basket_power)),
    )
    return (
        sources.join(targets, on="customer")
        .filter(pl.col("source") != pl.col("target"))
        .group_by("source", "target")
        .agg(pl.col("units").sum())
    )
