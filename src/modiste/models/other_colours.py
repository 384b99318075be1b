"""Other colours: articles of the products that a customer bought in another colour.

``score = popularity ** popularity_power * sum of age ** -purchase_decay`` over the days on which
the customer bought the product in a colour other than this. A shop whose articles have no
``product_code`` gets nothing from it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

import numpy as np
import polars as pl
from pydantic import BaseModel, ConfigDict, Field

from modiste.data.dataset import CustomerBatch, History
from modiste.data.pairs import codes_of, find, pairs_of, sums_by_pair, values_at
from modiste.evaluation.protocol import rank_arrays
from modiste.models.popularity import PopularitySettings, article_popularity
from modiste.models.sorted_rows import SortedRows
from modiste.models.time_decay import UNIT, purchase_units


class OtherColoursSettings(BaseModel):
    """Settings of other colours."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    purchase_decay: Annotated[float, Field(ge=0)] = Field(
        default=1.0, description="A purchase of n days ago counts n ** -purchase_decay."
    )
    popularity_power: Annotated[float, Field(ge=0)] = Field(
        default=0.75, description="Power of the article's popularity."
    )


class OtherColours:
    """Colours, on sale, of the products that a customer bought in another colour.

    Parameters
    ----------
    settings
        Of other colours.
    popularity
        How popularity is counted, and so what is on sale.
    """

    def __init__(
        self,
        settings: OtherColoursSettings | None = None,
        popularity: PopularitySettings | None = None,
    ) -> None:
        self.settings = settings or OtherColoursSettings()
        self.popularity = popularity or PopularitySettings()
        self._products = SortedRows(pl.DataFrame(), "article")
        self._colours = SortedRows(pl.DataFrame(), "product")

    def fit(self, history: History) -> Self:
        """Group the articles by product and take the popularity of those on sale."""
        products = (
            history.articles.select("article", product="product_code")
            .drop_nulls()
            .with_columns(pl.col("product").rank("dense").cast(pl.Int32))
        )
        popularity = article_popularity(history, self.popularity)
        colours = products.join(popularity, on="article", maintain_order="left").select(
            "article",
            "product",
            factor=pl.col("popularity").pow(self.settings.popularity_power),
        )
        return self._use(products, colours)

    def _use(self, products: pl.DataFrame, colours: pl.DataFrame) -> Self:
        self._products = SortedRows(products, "article")
        self._colours = SortedRows(colours.sort("product", "article"), "product")
        return self

    def recommend(self, batch: CustomerBatch, k: int) -> pl.DataFrame:
        """Up to ``k`` other colours for each customer."""
        bought = purchase_units(batch, self.settings.purchase_decay)
        customer, article, units = (each.to_numpy() for each in bought.iter_columns())
        row, product = self._products.rows(article)
        products, in_any = sums_by_pair(
            customer[row], self._products.array("product")[product], units[row]
        )
        of_customer, of_product = codes_of(products)
        row, colour = self._colours.rows(of_product)
        customers, colours = of_customer[row], self._colours.array("article")[colour]
        own = find(pairs_of(customers, colours), pairs_of(customer, article))
        in_others = in_any[row] - values_at(own, units, np.int64(0))
        some = in_others > 0
        score = in_others[some] * UNIT * self._colours.array("factor")[colour[some]]
        return rank_arrays(customers[some], colours[some], score, k)

    def save(self, folder: Path) -> None:
        """Write the products and their colours on sale."""
        self._products.table.write_parquet(folder / "products.parquet")
        self._colours.table.write_parquet(folder / "colours.parquet")

    def load(self, folder: Path) -> Self:
        """Read them back."""
        return self._use(
            pl.read_parquet(folder / "products.parquet"),
            pl.read_parquet(folder / "colours.parquet"),
        )
