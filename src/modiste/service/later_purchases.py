"""What customers bought after a bundle's date: to look at and to measure by, and never to rank by.

Not in a run's tables, it comes from a file of its own: the demo shop's ``next_week.csv``, or a week
that has passed since.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from modiste.errors import DataError
from modiste.service.customer_store import CustomerStore

FILE_NAME = "later_purchases.parquet"

_SCHEMA = {"customer": pl.Int32, "article": pl.Int32}

_IDS = ["customer_id", "article_id"]


class LaterPurchases:
    """Pairs of customers and articles; open them with :meth:`open`.

    Parameters
    ----------
    pairs
        ``customer`` and ``article`` (codes), each pair once, sorted.
    """

    def __init__(self, pairs: pl.DataFrame) -> None:
        self._pairs = pairs

    @classmethod
    def open(cls, folder: Path) -> Self | None:
        """Open what :func:`write_later_purchases` wrote; None where a bundle has none."""
        path = folder / FILE_NAME
        return cls(pl.read_parquet(path)) if path.is_file() else None

    @property
    def customers(self) -> NDArray[np.int32]:
        """Codes of the customers who bought, ascending."""
        return self._pairs["customer"].unique().sort().to_numpy()

    def articles(self, customer: int) -> list[int]:
        """Codes of what a customer bought."""
        return self._pairs.filter(pl.col("customer") == customer)["article"].to_list()

    def labels(self, customers: list[int]) -> pl.DataFrame:
        """``customer`` and ``article`` of some customers, as metrics take them."""
        return self._pairs.filter(pl.col("customer").is_in(customers))


def write_later_purchases(
    file: Path, as_of: date, customers: CustomerStore, article_ids: pl.Series, folder: Path
) -> None:
    """Read purchases and write those of the bundle's customers and articles.

    Parameters
    ----------
    file
        CSV with the columns ``customer_id``, ``article_id`` and, where it has them, days
        (``t_dat``).
    as_of
        The bundle's date.
    customers, article_ids
        The bundle's; an article's place is its code.
    folder
        Gets ``later_purchases.parquet``.

    Raises
    ------
    DataError
        When the file is not of this kind, has purchases before the date, or none of the bundle's
        customers.
    """
    try:
        read = pl.read_csv(file, infer_schema=False)
        bought = read.select(_IDS)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise DataError(
            f"{file} is no CSV file with the columns {' and '.join(_IDS)}: {error}"
        ) from error
    if "t_dat" in read.columns:
        first = read["t_dat"].min()
        if isinstance(first, str) and first < as_of.isoformat():
            raise DataError(
                f"{file} has purchases of {first}, but the run recommends for {as_of}: it has "
                "learned from them; give those of that day and later"
            )
    ids = bought["customer_id"].unique(maintain_order=True).drop_nulls()
    codes = pl.DataFrame(
        {"customer_id": ids, "customer": [customers.code(each) for each in ids]},
        schema={"customer_id": pl.String, "customer": pl.Int32},
    ).drop_nulls()
    articles = pl.DataFrame({"article_id": article_ids}).with_row_index("article")
    pairs = (
        bought.join(codes, on="customer_id")
        .join(articles, on="article_id")
        .select(pl.col(name).cast(dtype) for name, dtype in _SCHEMA.items())
        .unique()
        .sort("customer", "article")
    )
    if pairs.is_empty():
        raise DataError(f"{file} has no purchase of this run's customers: do they belong together?")
    pairs.write_parquet(folder / FILE_NAME)
