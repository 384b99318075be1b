"""Other colours: articles of the products that a customer bought, in colours not yet bought.

Scored like repurchase, with the purchases of the product in all colours and the popularity of the
one colour. A shop whose articles have no ``product_code`` gets nothing from it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Self

import polars as pl

from modiste.data.dataset import CustomerBatch, History
from modiste.evaluation.protocol import rank_by_score
from modiste.models.repurchase import RepurchaseSettings, popularity_factors, purchase_units
from modiste.models.time_decay import UNIT


class OtherColours:
    """Colours, on sale and not yet bought, of the products that a customer bought."""

    def __init__(self, settings: RepurchaseSettings | None = None) -> None:
        self.settings = settings or RepurchaseSettings(popularity_power=0.75)
        self._products = pl.DataFrame()
        self._colours = pl.DataFrame()

    def fit(self, history: History) -> Self:
        """Group the articles by product and take the popularity of those on sale."""
        self._products = (
            history.articles.select("article", product="product_code")
            .drop_nulls()
            .with_columns(pl.col("product").rank("dense").cast(pl.Int32))
        )
        factors = popularity_factors(history, self.settings)
        self._colours = self._products.join(factors, on="article").sort("article")
        return self

    def recommend(self, batch: CustomerBatch, k: int) -> pl.DataFrame:
        """Up to ``k`` other colours for each customer."""
        bought = purchase_units(batch, self.settings.purchase_decay)
        products = (
            bought.join(self._products, on="article")
            .group_by("customer", "product")
            .agg(pl.col("units").sum())
        )
        scored = (
            products.join(self._colours, on="product")
            .join(bought, on=["customer", "article"], how="anti")
            .select("customer", "article", score=pl.col("units") * UNIT * pl.col("factor"))
        )
        return rank_by_score(scored, k)

    def save(self, folder: Path) -> None:
        """Write the products and their colours on sale."""
        self._products.write_parquet(folder / "products.parquet")
        self._colours.write_parquet(folder / "colours.parquet")

    def load(self, folder: Path) -> Self:
        """Read them back."""
        self._products = pl.read_parquet(folder / "products.parquet")
        self._colours = pl.read_parquet(folder / "colours.parquet")
        return self
