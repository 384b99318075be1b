"""Popularity by section: what sells best just now in the sections where a customer buys.

An article's popularity is multiplied by the lift of its section for the customer: the customer's
share of purchases there over the shop's, smoothed towards 1 for customers with few purchases.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

import numpy as np
import polars as pl
from pydantic import BaseModel, ConfigDict, Field

from modiste.data.dataset import CustomerBatch, History
from modiste.data.pairs import codes_of, find, pairs_of, sums_by_pair
from modiste.evaluation.protocol import rank_arrays
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
        customers = batch.customers["customer"].to_numpy()
        bought = purchase_units(batch, self.settings.purchase_decay)
        row, found = self._section_of.rows(bought["article"].to_numpy())
        tastes, units = sums_by_pair(
            bought["customer"].to_numpy()[row],
            self._section_of.array("section")[found],
            bought["units"].to_numpy()[row],
        )
        customer, section = codes_of(tastes)
        of_customer = np.searchsorted(customers, customer)
        total = np.zeros(len(customers), dtype=np.int64)
        np.add.at(total, of_customer, units)
        weight = total * UNIT + smoothing
        share = self._shares["share"].to_numpy()[
            np.searchsorted(self._shares["section"].to_numpy(), section)
        ]
        lift = (units * UNIT + smoothing * share) / (weight[of_customer] * share)
        taste, best = self._best_of_section.rows(section, most=k)

        everywhere = self._best.head(k)
        in_section = np.tile(everywhere["section"].to_numpy(), len(customers))
        everybody = np.repeat(np.arange(len(customers)), everywhere.height)
        elsewhere = find(pairs_of(customers[everybody], in_section), tastes) < 0
        popularity = np.tile(everywhere["popularity"].to_numpy(), len(customers))
        score = popularity * smoothing / weight[everybody]
        return rank_arrays(
            np.concatenate([customer[taste], customers[everybody][elsewhere]]),
            np.concatenate(
                [
                    self._best_of_section.array("article")[best],
                    np.tile(everywhere["article"].to_numpy(), len(customers))[elsewhere],
                ]
            ),
            np.concatenate(
                [
                    self._best_of_section.array("popularity")[best] * lift[taste],
                    score[elsewhere],
                ]
            ),
            k,
        )

    def save(self, folder: Path) -> None:
        """Write sections, popularity and shares."""
        self._articles.write_parquet(folder / "articles.parquet")
        self._shares.write_parquet(folder / "shares.parquet")

    def load(self, folder: Path) -> Self:
        """Read them back."""
        return self._use(
            pl.read_parquet(folder / "articles.parquet"), pl.read_parquet(folder / "shares.parquet")
        )
