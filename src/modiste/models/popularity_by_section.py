"""Popularity by section: what sells best just now in the sections where a customer buys.

An article's popularity is multiplied by the lift of its section for the customer: the customer's
share of purchases there over the shop's, smoothed towards 1 for customers with few purchases.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

import polars as pl
from pydantic import BaseModel, ConfigDict, Field

from modiste.data.dataset import CustomerBatch, History
from modiste.evaluation.protocol import rank_by_score
from modiste.models.columns import ArticleColumn
from modiste.models.popularity import PopularitySettings, article_popularity
from modiste.models.sorted_rows import SortedRows
from modiste.models.time_decay import UNIT, in_units, purchase_units


class PopularityBySectionSettings(BaseModel):
    """Settings of popularity by section."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    column: ArticleColumn = Field(
        default="department_name",
        description="Column of the articles that says what counts as a section.",
    )
    purchase_decay: Annotated[float, Field(ge=0)] = Field(
        default=1.0,
        description="A customer's purchase of n days ago counts n ** -purchase_decay.",
    )
    smoothing: Annotated[float, Field(gt=0)] = Field(
        default=1.0,
        description="Weight of the shop's own shares, in purchases of the last day.",
    )


class PopularityBySection:
    """Best sellers of the sections that a customer prefers.

    Parameters
    ----------
    settings
        The sections and how tastes are counted.
    popularity
        How popularity is counted, and so what is on sale.
    """

    def __init__(
        self,
        settings: PopularityBySectionSettings | None = None,
        popularity: PopularitySettings | None = None,
    ) -> None:
        self.settings = settings or PopularityBySectionSettings()
        self.popularity = popularity or PopularitySettings()
        self._articles = pl.DataFrame()
        self._shares = pl.DataFrame()
        self._best = pl.DataFrame()
        self._best_of_section = SortedRows(pl.DataFrame(), "section")
        self._section_of = SortedRows(pl.DataFrame(), "article")

    def fit(self, history: History) -> Self:
        """Take the popularity of articles and of whole sections."""
        sections = history.articles.select(
            "article", section=pl.col(self.settings.column).rank("dense").cast(pl.Int32)
        )
        popularity = article_popularity(history, self.popularity)
        articles = sections.join(popularity, on="article", how="left").sort("article")
        shares = (
            articles.drop_nulls()
            .group_by("section")
            .agg(in_units(pl.col("popularity")).sum().alias("units"))
            .select("section", share=pl.col("units") / pl.col("units").sum())
            .filter(pl.col("share") > 0)
            .sort("section")
        )
        return self._use(articles, shares)

    def _use(self, articles: pl.DataFrame, shares: pl.DataFrame) -> Self:
        self._articles, self._shares = articles, shares
        self._best = (
            articles.drop_nulls()
            .sort("popularity", "article", descending=[True, False])
            .select("section", "article", "popularity")
        )
        self._best_of_section = SortedRows(
            self._best.sort("section", maintain_order=True), "section"
        )
        sections = articles.select("article", "section").join(shares, on="section")
        self._section_of = SortedRows(sections.sort("article"), "article")
        return self

    def recommend(self, batch: CustomerBatch, k: int) -> pl.DataFrame:
        """The ``k`` articles of highest popularity times lift.

        In a section where a customer never bought, all articles have the same lift; so the best of
        the bought sections and the best of all together hold the exact best ``k``.
        """
        smoothing = self.settings.smoothing
        tastes = (
            self._section_of.join(purchase_units(batch, self.settings.purchase_decay))
            .group_by("customer", "section", "share")
            .agg(pl.col("units").sum())
        )
        totals = tastes.group_by("customer").agg(total=pl.col("units").sum() * UNIT)
        bought = tastes.join(totals, on="customer").select(
            "customer",
            "section",
            lift=(pl.col("units") * UNIT + smoothing * pl.col("share"))
            / ((pl.col("total") + smoothing) * pl.col("share")),
        )
        in_bought = self._best_of_section.join(bought, most=k).select(
            "customer", "article", score=pl.col("popularity") * pl.col("lift")
        )
        elsewhere = (
            batch.customers.select("customer")
            .join(totals, on="customer", how="left")
            .join(self._best.head(k), how="cross")
            .join(bought.select("customer", "section"), on=["customer", "section"], how="anti")
            .select(
                "customer",
                "article",
                score=pl.col("popularity") * smoothing / (pl.col("total").fill_null(0) + smoothing),
            )
        )
        return rank_by_score(pl.concat([in_bought, elsewhere]), k)

    def save(self, folder: Path) -> None:
        """Write sections, popularity and shares."""
        self._articles.write_parquet(folder / "articles.parquet")
        self._shares.write_parquet(folder / "shares.parquet")

    def load(self, folder: Path) -> Self:
        """Read them back."""
        return self._use(
            pl.read_parquet(folder / "articles.parquet"), pl.read_parquet(folder / "shares.parquet")
        )
