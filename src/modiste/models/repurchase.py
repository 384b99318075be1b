"""Repurchase: what a customer bought before and can still buy, latest and most popular first.

``score = (sum of age ** -decay over the customer's purchases) * popularity ** popularity_power``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

import polars as pl
from pydantic import Field

from modiste.data.dataset import CustomerBatch, History
from modiste.evaluation.protocol import rank_by_score
from modiste.models.popularity import PopularitySettings, article_popularity
from modiste.models.time_decay import UNIT, decay_units


class RepurchaseSettings(PopularitySettings):
    """Settings of repurchase, and of other colours."""

    purchase_decay: Annotated[float, Field(ge=0)] = Field(
        default=1.0, description="A purchase of n days ago counts n ** -purchase_decay."
    )
    popularity_power: Annotated[float, Field(ge=0)] = Field(
        default=0.5, description="Power of the article's popularity; 0: it does not matter."
    )


class Repurchase:
    """A customer's own articles that are still on sale."""

    def __init__(self, settings: RepurchaseSettings | None = None) -> None:
        self.settings = settings or RepurchaseSettings()
        self._factors = pl.DataFrame()

    def fit(self, history: History) -> Self:
        """Take the popularity of the articles on sale."""
        self._factors = popularity_factors(history, self.settings)
        return self

    def recommend(self, batch: CustomerBatch, k: int) -> pl.DataFrame:
        """Up to ``k`` of each customer's own articles."""
        scored = (
            purchase_units(batch, self.settings.purchase_decay)
            .join(self._factors, on="article")
            .select("customer", "article", score=pl.col("units") * UNIT * pl.col("factor"))
        )
        return rank_by_score(scored, k)

    def save(self, folder: Path) -> None:
        """Write the articles' factors."""
        self._factors.write_parquet(folder / "factors.parquet")

    def load(self, folder: Path) -> Self:
        """Read them back."""
        self._factors = pl.read_parquet(folder / "factors.parquet")
        return self


def popularity_factors(history: History, settings: RepurchaseSettings) -> pl.DataFrame:
    """``popularity ** popularity_power`` of the articles on sale: ``article``, ``factor``."""
    return article_popularity(history, settings).select(
        "article", factor=pl.col("popularity").pow(settings.popularity_power)
    )


def purchase_units(batch: CustomerBatch, exponent: float) -> pl.DataFrame:
    """Decayed number of purchases of every (customer, article): column ``units`` of ``UNIT``."""
    return batch.transactions.group_by("customer", "article").agg(
        decay_units(batch.as_of, exponent).sum().alias("units")
    )
