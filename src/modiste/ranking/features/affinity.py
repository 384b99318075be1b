"""Features of a customer and an article together: bought before, and how well it fits the taste."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from modiste.data.dataset import CustomerBatch, History
from modiste.data.days import day_number, day_numbers
from modiste.ranking.features.group import ATTRIBUTE_WORDS, with_features
from modiste.ranking.features.matches import ArticleCodes, Matches, rows_of_customers
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


@cache  # a live request would put them into words anew
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
        self._values = ArticleCodes(pl.DataFrame())

    @property
    def features(self) -> tuple[Feature, ...]:
        """The group's features."""
        return _features()

    def fit(self, history: History) -> Self:
        """Number the values of the articles' attributes."""
        self._values = ArticleCodes(
            history.articles.select(
                "article",
                *[
                    pl.col(column).rank("dense").cast(pl.Int32).alias(column)
                    for column in (_PRODUCT, *_TASTES)
                ],
            )
        )
        return self

    def join(self, batch: CustomerBatch, candidates: pl.DataFrame) -> pl.DataFrame:
        """Add the features of the pairs."""
        bought = batch.interactions
        customer = rows_of_customers(batch, bought["customer"])
        of_customer = rows_of_customers(batch, candidates["customer"])
        article, of_article = bought["article"].to_numpy(), candidates["article"].to_numpy()
        days = (day_number(batch.as_of) - day_numbers(bought["t_dat"])).astype(np.float32)
        total = np.bincount(customer, minlength=batch.customers.height)[of_customer]
        total = np.where(total, total, np.nan).astype(np.float32)

        own = Matches(customer, article, of_customer, of_article)
        codes = self._values.codes
        same = {
            column: Matches(customer, of_all[article], of_customer, of_all[of_article])
            for column, of_all in codes.items()
        }
        # Of who bought something, nothing of this kind is known to be none.
        nothing = np.isnan(total)
        added: dict[str, NDArray[Any]] = {
            "times_bought": np.where(nothing, np.nan, own.count()),
            "days_since_bought": own.least(days),
            "product_times_bought": np.where(nothing, np.nan, same[_PRODUCT].count()),
            "days_since_product": same[_PRODUCT].least(days),
            **{f"share_of_{column}": same[column].count() / total for column in _TASTES},
            **{f"days_since_{column}": same[column].least(days) for column in _LATEST},
        }
        known = {
            name: candidates[name].to_numpy()
            for name in ("price", "mean_price", "customer_age", "buyer_age")
        }
        # Not by Polars, which divides a column by one number as it multiplies by its reciprocal: a
        # customer alone would have features with another last bit than among others.
        with np.errstate(divide="ignore", invalid="ignore"):  # what was given away cost 0
            added["price_to_habit"] = known["price"] / known["mean_price"]
        added["age_to_buyers"] = known["customer_age"] - known["buyer_age"]
        return with_features(candidates, added)

    def save(self, folder: Path) -> None:
        """Write the numbered attributes."""
        self._values.table.write_parquet(folder / "values.parquet")

    def load(self, folder: Path) -> Self:
        """Read them back."""
        self._values = ArticleCodes(pl.read_parquet(folder / "values.parquet"))
        return self
