"""Which of a customer's purchases share a value with a candidate: counted, and the latest of them.

Purchases and candidates are flat arrays here. A join a value would do the same, and for one
customer, as a live request has it, take ten times as long.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

from modiste.data.dataset import CustomerBatch
from modiste.data.pairs import find, groups_of_sorted, pairs_of, values_at

# The code of a value that is not known.
UNKNOWN = -1


class Matches:
    """Purchases by customer and a value, and where each candidate finds its own.

    Parameters
    ----------
    customer, value
        Of each purchase: the row of its customer, and a code; one below 0 matches nothing.
    of_customer, of_value
        The same of each candidate.
    """

    def __init__(
        self,
        customer: NDArray[np.int64],
        value: NDArray[np.int32],
        of_customer: NDArray[np.int64],
        of_value: NDArray[np.int32],
    ) -> None:
        # Those of unknown values come first, and nothing that is looked for is among them.
        keys = np.where(value < 0, np.int64(UNKNOWN), pairs_of(customer, np.maximum(value, 0)))
        self._order = np.argsort(keys, kind="stable")
        ordered = keys[self._order]
        self._starts, self._sizes = groups_of_sorted(ordered)
        wanted = pairs_of(of_customer, np.maximum(of_value, 0))
        place = find(wanted, ordered[self._starts])
        self._place = np.where(of_value < 0, -1, place)

    def count(self) -> NDArray[np.float32]:
        """Of each candidate how many purchases share its value; 0 where none does."""
        return values_at(self._place, self._sizes, np.float32(0))

    def least(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Of each candidate the least of the matching purchases' values; NaN where none matches."""
        least = np.minimum.reduceat(values[self._order], self._starts) if len(values) else values
        return values_at(self._place, least, np.float32(np.nan))


class ArticleCodes:
    """A code of each article's value in some columns: what purchases and candidates match by.

    Parameters
    ----------
    table
        ``article``, dense from 0 on, and columns of codes (Int32), null where not known.
    """

    def __init__(self, table: pl.DataFrame) -> None:
        self.table = table

    @cached_property
    def codes(self) -> dict[str, NDArray[np.int32]]:
        """By column the code of each article, :data:`UNKNOWN` where it has none."""
        columns = self.table.drop("article").with_columns(pl.all().fill_null(UNKNOWN))
        return {each.name: each.to_numpy() for each in columns.iter_columns()}

    def __getstate__(self) -> pl.DataFrame:
        return self.table

    def __setstate__(self, table: pl.DataFrame) -> None:
        self.table = table


def rows_of_customers(batch: CustomerBatch, customers: pl.Series) -> NDArray[np.int64]:
    """The row in a batch's table of customers of each of some codes, which are all in it."""
    return np.searchsorted(batch.customers["customer"].to_numpy(), customers.to_numpy())


def on_last_day(customer: NDArray[np.int64], day: NDArray[np.int32], n: int) -> NDArray[np.bool_]:
    """Whether each purchase is of the last day of its customer, one of ``n`` by row."""
    latest = np.full(n, np.iinfo(day.dtype).min, dtype=day.dtype)
    np.maximum.at(latest, customer, day)
    found: NDArray[np.bool_] = day == latest[customer]
    return found
