"""Features of a customer as of a date: how much, how lately, how dear, and who it is."""

from __future__ import annotations

from pathlib import Path
from typing import Self

import polars as pl

from modiste.data.dataset import CustomerBatch, History
from modiste.ranking.features.group import Defined, days_since, in_order
from modiste.ranking.rows import Feature

GROUP = "customer"

_NUMBERS: dict[str, tuple[str, pl.Expr]] = {
    "age": ("age of the customer", pl.col("age")),
    "fashion_news": ("whether the customer gets fashion news", pl.col("FN")),
    "active": ("whether the customer is active for communication", pl.col("Active")),
    "purchases": ("articles that the customer bought so far", pl.col("purchases")),
    "purchase_days": ("days on which the customer bought something", pl.col("purchase_days")),
    "purchases_28d": (
        "articles that the customer bought in the last 28 days",
        pl.col("purchases_28d"),
    ),
    "basket": (
        "articles that the customer buys on a day, on average",
        pl.col("purchases") / pl.col("days"),
    ),
    "days_since_purchase": (
        "days since the customer's last purchase",
        pl.col("days_since_purchase"),
    ),
    "days_since_first": ("days since the customer's first purchase", pl.col("days_since_first")),
    "repeats": (
        "share of the customer's purchases that were of an article bought before",
        1 - pl.col("distinct") / pl.col("purchases"),
    ),
    "mean_price": ("what the customer pays for an article, on average", pl.col("mean_price")),
    "customer_online": ("share of the customer's purchases that were online", pl.col("online")),
}


def _definitions() -> list[Defined]:
    return [
        (Feature(f"customer_{name}" if name in _PREFIXED else name, GROUP, meaning), expression)
        for name, (meaning, expression) in _NUMBERS.items()
    ]


# Names that an article's feature has, too.
_PREFIXED = frozenset({"age"})


class CustomerFeatures:
    """One row a customer, the same for every candidate; nothing has to be fitted."""

    @property
    def features(self) -> tuple[Feature, ...]:
        """The group's features."""
        return tuple(feature for feature, _ in _definitions())

    def fit(self, history: History) -> Self:
        """Return itself: all comes with the batch."""
        del history
        return self

    def join(self, batch: CustomerBatch, candidates: pl.DataFrame) -> pl.DataFrame:
        """Add the customer's features."""
        now = pl.lit(batch.as_of)
        day = pl.col("t_dat")
        bought = batch.interactions.group_by("customer").agg(
            purchases=pl.len(),
            distinct=pl.col("article").n_unique(),
            days=day.n_unique(),
            purchase_days=day.n_unique(),
            purchases_28d=(days_since(day, now) <= 28).sum(),
            days_since_purchase=days_since(day.max(), now),
            days_since_first=days_since(day.min(), now),
        )
        # Sums of a customer's rows, whose order is fixed: the same bytes anywhere.
        paid = batch.transactions.group_by("customer", maintain_order=True).agg(
            mean_price=pl.col("price").cast(pl.Float64).mean(),
            online=(pl.col("sales_channel_id") == 2).mean(),
        )
        known = (
            batch.customers.join(bought, on="customer", how="left", maintain_order="left")
            .join(paid, on="customer", how="left", maintain_order="left")
            .select("customer", *in_order(_definitions()))
        )
        return candidates.join(known, on="customer", how="left", maintain_order="left")

    def save(self, folder: Path) -> None:
        """There is nothing to write."""

    def load(self, folder: Path) -> Self:
        """Return itself."""
        del folder
        return self
