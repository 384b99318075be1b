"""Features of a customer as of a date: how much, how lately, how dear, and who it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from modiste.data.dataset import CustomerBatch, History
from modiste.data.days import day_number, day_numbers
from modiste.data.pairs import codes_of, groups_of_sorted, pairs_of
from modiste.ranking.features.group import with_features
from modiste.ranking.features.matches import rows_of_customers
from modiste.ranking.rows import Feature

GROUP = "customer"

_MEANINGS = {
    "customer_age": "age of the customer",
    "fashion_news": "whether the customer gets fashion news",
    "active": "whether the customer is active for communication",
    "purchases": "articles that the customer bought so far",
    "purchase_days": "days on which the customer bought something",
    "purchases_28d": "articles that the customer bought in the last 28 days",
    "basket": "articles that the customer buys on a day, on average",
    "days_since_purchase": "days since the customer's last purchase",
    "days_since_first": "days since the customer's first purchase",
    "repeats": "share of the customer's purchases that were of an article bought before",
    "mean_price": "what the customer pays for an article, on average",
    "customer_online": "share of the customer's purchases that were online",
}

_FEATURES = tuple(Feature(name, GROUP, meaning) for name, meaning in _MEANINGS.items())

_ONLINE = 2


class CustomerFeatures:
    """One row a customer, the same for every candidate; nothing has to be fitted."""

    @property
    def features(self) -> tuple[Feature, ...]:
        """The group's features."""
        return _FEATURES

    def fit(self, history: History) -> Self:
        """Return itself: all comes with the batch."""
        del history
        return self

    def join(self, batch: CustomerBatch, candidates: pl.DataFrame) -> pl.DataFrame:
        """Add the customer's features."""
        row = rows_of_customers(batch, candidates["customer"])
        values = _values(batch)
        return with_features(
            candidates, {name: of_all.astype(np.float32)[row] for name, of_all in values.items()}
        )

    def save(self, folder: Path) -> None:
        """There is nothing to write."""

    def load(self, folder: Path) -> Self:
        """Return itself."""
        del folder
        return self


def _values(batch: CustomerBatch) -> dict[str, NDArray[Any]]:
    """By feature a value for each customer, NaN where it is not known."""
    customers, bought, paid = batch.customers, batch.interactions, batch.transactions
    n = customers.height
    customer = rows_of_customers(batch, bought["customer"])
    article = bought["article"].to_numpy()
    day = day_numbers(bought["t_dat"])
    ago = day_number(batch.as_of) - day
    purchases = _count(customer, n)
    # Sorted by customer and article: the first row of each pair.
    (first_of_article, _) = groups_of_sorted(customer, article)
    distinct = _count(customer[first_of_article], n)
    by_day = np.unique(pairs_of(customer, day))
    days = _count(codes_of(by_day)[0], n)
    # The first and the last of each customer's days, which stand ascending.
    end = np.cumsum(np.nan_to_num(days)).astype(np.int64)
    visits = day_number(batch.as_of) - codes_of(by_day)[1]
    some = np.flatnonzero(days > 0)
    last, first = np.full(n, np.nan), np.full(n, np.nan)
    last[some] = visits[end[some] - 1]
    first[some] = visits[np.append(0, end)[some]]
    lately = np.where(np.isnan(purchases), np.nan, np.bincount(customer[ago <= 28], minlength=n))

    payer = rows_of_customers(batch, paid["customer"])
    return {
        "customer_age": _numbers(customers["age"]),
        "fashion_news": _numbers(customers["FN"]),
        "active": _numbers(customers["Active"]),
        "purchases": purchases,
        "purchase_days": days,
        "purchases_28d": lately,
        "basket": purchases / days,
        "days_since_purchase": last,
        "days_since_first": first,
        "repeats": 1 - distinct / purchases,
        "mean_price": _mean(payer, _numbers(paid["price"]), n),
        "customer_online": _mean(payer, _numbers(paid["sales_channel_id"] == _ONLINE), n),
    }


def _numbers(values: pl.Series) -> NDArray[np.float64]:
    return values.cast(pl.Float64).to_numpy()


def _count(rows: NDArray[np.int64], n: int) -> NDArray[np.float64]:
    """How often each of ``n`` rows is named; NaN where never."""
    found = np.bincount(rows, minlength=n).astype(np.float64)
    return np.where(found > 0, found, np.nan)


def _mean(rows: NDArray[np.int64], values: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    """Mean of the known values of each of ``n`` rows, NaN where none is.

    Added up in the order of the values, which is fixed: the same bytes anywhere.
    """
    known = ~np.isnan(values)
    total = np.bincount(rows[known], values[known], minlength=n)
    return total / _count(rows[known], n)
