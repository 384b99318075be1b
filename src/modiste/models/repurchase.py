"""Repurchase: what a customer bought before and can still buy.

``score = repeat rate * popularity ** popularity_power * sum of age ** -purchase_decay`` over the
days on which the customer bought the article. The repeat rate says how much more often than the
shop's average articles of this kind (tights, not coats) are bought again by the same customer.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

import numpy as np
import polars as pl
from pydantic import BaseModel, ConfigDict, Field

from modiste.data.dataset import CustomerBatch, History, Partition
from modiste.evaluation.protocol import rank_arrays
from modiste.models.columns import ArticleColumn
from modiste.models.popularity import PopularitySettings, article_popularity
from modiste.models.sorted_rows import SortedRows
from modiste.models.time_decay import UNIT, purchase_units


class RepurchaseSettings(BaseModel):
    """Settings of repurchase."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    purchase_decay: Annotated[float, Field(ge=0)] = Field(
        default=1.0, description="A purchase of n days ago counts n ** -purchase_decay."
    )
    popularity_power: Annotated[float, Field(ge=0)] = Field(
        default=0.25, description="Power of the article's popularity; 0: it does not matter."
    )
    repeat_group: ArticleColumn | None = Field(
        default="product_type_name",
        description=(
            "Column of the articles whose values share a repeat rate; article_id: each article has "
            "its own; null: all are alike."
        ),
    )
    repeat_days: Annotated[int, Field(ge=1, le=36_500)] = Field(
        default=7, description="Bought again within this many days counts as a repeat."
    )
    repeat_smoothing: Annotated[float, Field(gt=0)] = Field(
        default=50.0,
        description="Purchases at the shop's average rate that each group starts with.",
    )


class Repurchase:
    """A customer's own articles that are still on sale.

    Parameters
    ----------
    settings
        Of repurchase.
    popularity
        How popularity is counted, and so what is on sale.
    """

    def __init__(
        self,
        settings: RepurchaseSettings | None = None,
        popularity: PopularitySettings | None = None,
    ) -> None:
        self.settings = settings or RepurchaseSettings()
        self.popularity = popularity or PopularitySettings()
        self._factors = SortedRows(pl.DataFrame(), "article")

    def fit(self, history: History) -> Self:
        """Take popularity and repeat rate of the articles on sale."""
        settings = self.settings
        popularity = article_popularity(history, self.popularity)
        factors = popularity.join(
            repeat_rates(history, settings), on="article", how="left", maintain_order="left"
        ).select(
            "article",
            factor=pl.col("popularity").pow(settings.popularity_power)
            * pl.col("rate").fill_null(1.0),
        )
        self._factors = SortedRows(factors, "article")
        return self

    def recommend(self, batch: CustomerBatch, k: int) -> pl.DataFrame:
        """Up to ``k`` of each customer's own articles."""
        bought = purchase_units(batch, self.settings.purchase_decay)
        article = bought["article"].to_numpy()
        row, factor = self._factors.rows(article)
        score = bought["units"].to_numpy()[row] * UNIT * self._factors.array("factor")[factor]
        return rank_arrays(bought["customer"].to_numpy()[row], article[row], score, k)

    def save(self, folder: Path) -> None:
        """Write the articles' factors."""
        self._factors.table.write_parquet(folder / "factors.parquet")

    def load(self, folder: Path) -> Self:
        """Read them back."""
        factors = pl.read_parquet(folder / "factors.parquet")
        self._factors = SortedRows(factors, "article")
        return self


def repeat_rates(history: History, settings: RepurchaseSettings) -> pl.DataFrame:
    """Repeat rate of every article's group over the shop's, smoothed: ``article``, ``rate``.

    1 for an article whose group is not known, or with no group at all.
    """
    if settings.repeat_group is None:
        return history.articles.select("article", rate=pl.lit(1.0))
    counts = history.collect(_gaps, label="repeated purchases")
    soon = counts.filter(pl.col("gap") <= settings.repeat_days)
    per_article = np.zeros((2, history.n_articles), dtype=np.int64)
    for row, rows in enumerate((counts, soon)):
        np.add.at(per_article[row], rows["article"].to_numpy(), rows["purchases"].to_numpy())
    average = per_article[1].sum() / max(per_article[0].sum(), 1)
    if average == 0:
        return history.articles.select("article", rate=pl.lit(1.0))
    smoothing = settings.repeat_smoothing
    groups = history.articles.select(
        "article",
        group=settings.repeat_group,
        purchases=pl.Series(per_article[0]),
        repeats=pl.Series(per_article[1]),
    )
    rate = (pl.col("repeats").sum() + smoothing * average) / (pl.col("purchases").sum() + smoothing)
    return groups.select(
        "article",
        rate=pl.when(pl.col("group").is_null()).then(1.0).otherwise(rate.over("group") / average),
    )


def _gaps(partition: Partition) -> pl.DataFrame:
    """Purchase days of each article by the days until the same customer bought it again.

    Columns ``article``, ``gap`` (null: not again) and ``purchases``. All gaps in one pass, so that
    trying another number of days costs none.
    """
    rows = (
        partition.read_transactions(["customer", "article", "t_dat"])
        .unique()
        .sort("customer", "article", "t_dat")
    )
    same = (pl.col("customer") == pl.col("customer").shift(-1)) & (
        pl.col("article") == pl.col("article").shift(-1)
    )
    gap = (pl.col("t_dat").shift(-1) - pl.col("t_dat")).dt.total_days().cast(pl.Int32)
    return (
        rows.select("article", gap=pl.when(same).then(gap))
        .group_by("article", "gap")
        .agg(pl.len().cast(pl.Int64).alias("purchases"))
    )
