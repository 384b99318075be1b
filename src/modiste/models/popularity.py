"""Popularity: what sells best just now.

Every later model is measured against it, and it is what a customer sees of whom nothing is known.

``popularity = sum of age ** -decay * n ** -basket_power`` over the last days' interactions, where n
is the number of articles in that basket: who fills a bag says less about each article than who came
for one. It is scaled to 1 for the best seller.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from modiste.data.dataset import CustomerBatch, History, Partition
from modiste.evaluation.protocol import rank_arrays
from modiste.models.time_decay import decay, in_units


class PopularitySettings(BaseModel):
    """Settings of popularity, also where other models weigh articles by it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    days: Annotated[int, Field(ge=1, le=36_500)] = Field(
        default=28,
        description=(
            "Purchases of this many last days count; an article bought in none of them is taken to "
            "be off sale, and is not recommended."
        ),
    )
    decay: Annotated[float, Field(ge=0)] = Field(
        default=1.0, description="A purchase of n days ago counts n ** -decay; 0: all days alike."
    )
    basket_power: Annotated[float, Field(ge=0)] = Field(
        default=0.5, description="A purchase in a basket of n articles counts n ** -basket_power."
    )


def article_popularity(history: History, settings: PopularitySettings) -> pl.DataFrame:
    """Popularity of the articles on sale.

    Returns
    -------
    Columns ``article`` (int32) and ``popularity`` (float64, 1 for the most popular), sorted by
    article. Articles that are not on sale have no row.
    """
    (weight,) = popularity_weights(history, [history.as_of], settings)
    (articles,) = weight.nonzero()
    return pl.DataFrame(
        {
            "article": articles.astype(np.int32),
            "popularity": weight[articles] / weight.max(initial=1e-300),
        }
    )


def popularity_weights(
    history: History, as_of: Sequence[date], settings: PopularitySettings
) -> Iterator[NDArray[np.float64]]:
    """Popularity of every article as of some dates, none of them after the history's.

    Yields
    ------
    For each date, shape (n_articles,), not scaled; 0: not on sale.
    """
    window = timedelta(days=settings.days)
    daily = (
        history.collect(
            _basket_units,
            min(as_of) - window,
            settings.basket_power,
            label="purchases by article and day",
        )
        .group_by("article", "t_dat")
        .agg(pl.col("units").sum())
        .sort("article", "t_dat")
    )
    for day in as_of:
        weighed = daily.filter(pl.col("t_dat").is_between(day - window, day, closed="left")).select(
            "article", weight=pl.col("units") * decay(day, settings.decay)
        )
        # bincount adds up in the order of the rows: the same bytes for any number of threads.
        weights: NDArray[np.float64] = np.bincount(
            weighed["article"], weights=weighed["weight"], minlength=history.n_articles
        ).astype(np.float64)  # without a row numpy gives whole numbers
        yield weights


class Popularity:
    """The same best sellers for everybody."""

    def __init__(self, settings: PopularitySettings | None = None) -> None:
        self.settings = settings or PopularitySettings()
        self._popularity = pl.DataFrame()
        self._best = pl.DataFrame()

    @property
    def article_scores(self) -> pl.DataFrame:
        """The score of every article that has one, the same for all: ``article``, ``score``."""
        return self._popularity.select("article", score="popularity")

    def fit(self, history: History) -> Self:
        """Count the purchases of the last days."""
        return self._use(article_popularity(history, self.settings))

    def _use(self, popularity: pl.DataFrame) -> Self:
        self._popularity = popularity
        self._best = self.article_scores.sort("score", "article", descending=[True, False])
        return self

    def recommend(self, batch: CustomerBatch, k: int) -> pl.DataFrame:
        """The ``k`` most popular articles for each customer."""
        customers, best = batch.customers["customer"].to_numpy(), self._best.head(k)
        return rank_arrays(
            np.repeat(customers, best.height),
            np.tile(best["article"].to_numpy(), len(customers)),
            np.tile(best["score"].to_numpy(), len(customers)),
            k,
        )

    def save(self, folder: Path) -> None:
        """Write the articles' popularity."""
        self._popularity.write_parquet(folder / "popularity.parquet")

    def load(self, folder: Path) -> Self:
        """Read it back."""
        return self._use(pl.read_parquet(folder / "popularity.parquet"))


def recent_baskets(partition: Partition, since: date) -> pl.DataFrame:
    """Interactions from a day on, each with the number of articles in its basket.

    Columns ``customer``, ``article``, ``t_dat`` and ``basket`` (float64).
    """
    return (
        partition.read_transactions(["customer", "article", "t_dat"], since)
        .unique()
        .with_columns(basket=pl.len().over("customer", "t_dat").cast(pl.Float64))
    )


def _basket_units(partition: Partition, since: date, basket_power: float) -> pl.DataFrame:
    """Purchases of each (article, day), weighed by basket, in units of ``UNIT``."""
    return (
        recent_baskets(partition, since)
        .group_by("article", "t_dat")
        .agg(in_units(pl.col("basket").pow(-basket_power)).sum().alias("units"))
    )
