"""Features of a customer and an article together: bought before, and how well it fits the taste."""

from __future__ import annotations

from pathlib import Path
from typing import Self

import polars as pl

from modiste.data.dataset import CustomerBatch, History
from modiste.ranking.features.group import ATTRIBUTE_WORDS, days_since
from modiste.ranking.rows import Feature

GROUP = "affinity"

# Attributes whose share of a customer's purchases is a feature.
_TASTES = (
    "product_type_name",
    "department_name",
    "section_name",
    "index_group_name",
    "garment_group_name",
    "colour_group_name",
    "graphical_appearance_name",
)

# The latest purchases say more: those of a department have features of their own.
_LATEST = ("department_name", "product_type_name")

_PRODUCT = "product_code"


def _features() -> tuple[Feature, ...]:
    pairs = {
        "times_bought": "days on which the customer bought the article",
        "days_since_bought": "days since the customer last bought the article",
        "product_times_bought": "times that the customer bought the product, in any colour",
        "days_since_product": "days since the customer last bought the product, in any colour",
        **{
            f"share_of_{column}": f"share of the customer's purchases {ATTRIBUTE_WORDS[column][1]}"
            for column in _TASTES
        },
        **{
            f"days_since_{column}": (
                f"days since the customer's last purchase {ATTRIBUTE_WORDS[column][1]}"
            )
            for column in _LATEST
        },
        "price_to_habit": "price compared with what the customer pays on average",
        "age_to_buyers": "years by which the customer is older than the article's buyers",
    }
    return tuple(Feature(name, GROUP, meaning) for name, meaning in pairs.items())


class AffinityFeatures:
    """What a customer's own purchases say of a candidate.

    Joined after the groups ``article`` and ``customer``, whose columns it compares.
    """

    def __init__(self) -> None:
        self._values = pl.DataFrame()

    @property
    def features(self) -> tuple[Feature, ...]:
        """The group's features."""
        return _features()

    def fit(self, history: History) -> Self:
        """Number the values of the articles' attributes."""
        self._values = history.articles.select(
            "article",
            *[
                pl.col(column).rank("dense").cast(pl.Int32).alias(column)
                for column in (_PRODUCT, *_TASTES)
            ],
        )
        return self

    def join(self, batch: CustomerBatch, candidates: pl.DataFrame) -> pl.DataFrame:
        """Add the features of the pairs."""
        now = pl.lit(batch.as_of)
        last = days_since(pl.col("t_dat").max(), now)
        bought = batch.interactions.join(self._values, on="article", how="left")
        own = bought.group_by("customer", "article").agg(
            times_bought=pl.len().cast(pl.Float32), days_since_bought=last
        )
        value_of = {column: f"_{column}" for column in self._values.columns if column != "article"}
        rows = candidates.join(
            self._values.rename(value_of), on="article", how="left", maintain_order="left"
        ).join(own, on=["customer", "article"], how="left", maintain_order="left")
        product = bought.group_by("customer", pl.col(_PRODUCT).alias(f"_{_PRODUCT}")).agg(
            product_times_bought=pl.len().cast(pl.Float32), days_since_product=last
        )
        rows = rows.join(
            product, on=["customer", f"_{_PRODUCT}"], how="left", maintain_order="left"
        )
        totals = bought.group_by("customer").agg(total=pl.len().cast(pl.Float32))
        for column in _TASTES:
            latest = {f"days_since_{column}": last} if column in _LATEST else {}
            taste = (
                bought.group_by("customer", pl.col(column).alias(f"_{column}"))
                .agg(n=pl.len().cast(pl.Float32), **latest)
                .join(totals, on="customer")
                .select(
                    "customer",
                    f"_{column}",
                    (pl.col("n") / pl.col("total")).alias(f"share_of_{column}"),
                    *latest,
                )
            )
            rows = rows.join(
                taste, on=["customer", f"_{column}"], how="left", maintain_order="left"
            )
        any_bought = pl.col("purchases").is_not_null()
        counts = [
            "times_bought",
            "product_times_bought",
            *(f"share_of_{column}" for column in _TASTES),
        ]
        return rows.drop(value_of.values()).with_columns(
            # Of who bought something, nothing of this kind is known to be none.
            *[pl.when(any_bought).then(pl.col(name).fill_null(0)).alias(name) for name in counts],
            price_to_habit=pl.col("price") / pl.col("mean_price"),
            age_to_buyers=pl.col("customer_age") - pl.col("buyer_age"),
        )

    def save(self, folder: Path) -> None:
        """Write the numbered attributes."""
        self._values.write_parquet(folder / "values.parquet")

    def load(self, folder: Path) -> Self:
        """Read them back."""
        self._values = pl.read_parquet(folder / "values.parquet")
        return self
