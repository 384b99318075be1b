"""Popularity: what sells best just now.

Every later model is measured against it, and it is what a customer sees of whom nothing is known.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Self

import polars as pl
from pydantic import BaseModel, ConfigDict, Field

from modiste.data.availability import on_sale
from modiste.data.dataset import CustomerBatch, History
from modiste.evaluation.protocol import rank_by_score
from modiste.models.time_decay import decay_units


class PopularitySettings(BaseModel):
    """Settings of popularity, also where other models weigh articles by it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    days: Annotated[int, Field(ge=1)] = Field(
        default=28, description="Sales of this many last days count."
    )
    decay: Annotated[float, Field(ge=0)] = Field(
        default=1.0, description="A sale of n days ago counts n ** -decay; 0: all days alike."
    )
    on_sale_days: Annotated[int, Field(ge=1)] = Field(
        default=14, description="An article is on sale when sold in this many last days."
    )


def article_popularity(history: History, settings: PopularitySettings) -> pl.DataFrame:
    """Popularity of the articles on sale.

    Returns
    -------
    Columns ``article`` (int32) and ``popularity`` (float64, 1 for the most popular), sorted by
    article. Articles that are not on sale or not sold in ``settings.days`` have no row.
    """
    available = pl.DataFrame({"on_sale": on_sale(history, settings.on_sale_days)})
    since = history.as_of - timedelta(days=settings.days)
    weighted = decay_units(history.as_of, settings.decay) * pl.col("sales").cast(pl.Int64)
    return (
        history.article_sales.filter(pl.col("t_dat") >= since)
        .group_by("article")
        .agg(weighted.sum().alias("units"))
        .join(
            available.with_row_index("article").with_columns(pl.col("article").cast(pl.Int32)),
            on="article",
        )
        .filter("on_sale")
        .select("article", (pl.col("units") / pl.col("units").max()).alias("popularity"))
        .sort("article")
    )


class Popularity:
    """The same best sellers for everybody."""

    def __init__(self, settings: PopularitySettings | None = None) -> None:
        self.settings = settings or PopularitySettings()
        self._popularity = pl.DataFrame()

    def fit(self, history: History) -> Self:
        """Count the sales of the last days."""
        self._popularity = article_popularity(history, self.settings)
        return self

    def recommend(self, batch: CustomerBatch, k: int) -> pl.DataFrame:
        """The ``k`` most popular articles for each customer."""
        best = self._popularity.select("article", score="popularity").sort(
            "score", "article", descending=[True, False]
        )
        return rank_by_score(batch.customers.select("customer").join(best.head(k), how="cross"), k)

    def save(self, folder: Path) -> None:
        """Write the articles' popularity."""
        self._popularity.write_parquet(folder / "popularity.parquet")

    def load(self, folder: Path) -> Self:
        """Read it back."""
        self._popularity = pl.read_parquet(folder / "popularity.parquet")
        return self
