"""How every article sold week by week, and who bought it: counted once, when a bundle is made."""

from __future__ import annotations

from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from modiste.data.dataset import History, Partition
from modiste.errors import DataError

_SALES, _BUYERS = "weekly_sales.npy", "buyers_by_age.npy"

_WEEK = 7

# First year of each age band; the last one has no end, and one more counts unknown ages.
_FIRST_YEARS = (0, 20, 25, 30, 40, 50, 60)
AGE_BANDS = (
    *(f"{first}-{after - 1}" for first, after in pairwise(_FIRST_YEARS)),
    f"{_FIRST_YEARS[-1]}+",
    "unknown",
)


def write_article_facts(history: History, folder: Path) -> None:
    """Count the sales and buyers of a history.

    Parameters
    ----------
    history
        What was known as of the bundle's date.
    folder
        Gets ``weekly_sales.npy`` (uint32, shape (n_articles, weeks), the last one ends before the
        date) and ``buyers_by_age.npy`` (uint32, shape (n_articles, len(AGE_BANDS))).
    """
    sold = history.article_sales.with_columns(
        ago=(pl.lit(history.as_of) - pl.col("t_dat")).dt.total_days() - 1
    ).with_columns(pl.col("ago") // _WEEK)
    weeks = 0 if sold.is_empty() else int(sold["ago"].max()) + 1  # type: ignore[arg-type]
    sales = np.zeros((history.n_articles, weeks), dtype=np.uint32)
    by_week = sold.group_by("article", "ago").agg(pl.col("sales").sum())
    sales[by_week["article"], weeks - 1 - by_week["ago"].to_numpy()] = by_week["sales"]
    np.save(folder / _SALES, sales)
    buyers = np.zeros((history.n_articles, len(AGE_BANDS)), dtype=np.uint32)
    for counted in history.map(_buyers_by_age, label="who buys each article"):
        buyers[counted["article"], counted["band"]] += counted["buyers"].to_numpy()
    np.save(folder / _BUYERS, buyers)


class ArticleFacts:
    """What :func:`write_article_facts` counted, memory-mapped.

    Parameters
    ----------
    folder
        That it was written into.
    as_of
        The history's date.

    Raises
    ------
    DataError
        When a file is missing or damaged.
    """

    def __init__(self, folder: Path, as_of: date) -> None:
        self._as_of = as_of
        self._sales = _mapped(folder / _SALES)
        self._buyers = _mapped(folder / _BUYERS)

    @classmethod
    def open(cls, folder: Path, as_of: date, n_articles: int) -> Self:
        """Open the facts of so many articles.

        Raises
        ------
        DataError
            When a file is missing, damaged, or of another number of articles.
        """
        facts = cls(folder, as_of)
        if not len(facts._sales) == len(facts._buyers) == n_articles:
            raise DataError(f"the counts in {folder} are not of {n_articles:,} articles")
        return facts

    def sales(self, article: int) -> list[tuple[date, int]]:
        """Pieces sold in each week from the first sale on, beside the week's first day."""
        row = self._sales[article]
        sold = np.flatnonzero(row)
        weeks = range(int(sold[0]) if len(sold) else len(row), len(row))
        first_day = self._as_of - timedelta(days=_WEEK * len(row))
        return [(first_day + timedelta(days=_WEEK * week), int(row[week])) for week in weeks]

    def buyers(self, article: int) -> dict[str, int]:
        """By age band how many customers ever bought an article."""
        return dict(zip(AGE_BANDS, self._buyers[article].tolist(), strict=True))


def _mapped(path: Path) -> NDArray[Any]:
    try:
        values = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path} is missing or damaged ({error}): make the bundle again") from error
    if values.ndim != 2 or values.dtype != np.uint32:
        raise DataError(f"{path} holds no table of counts: make the bundle again")
    return np.asarray(values)


def _buyers_by_age(partition: Partition) -> pl.DataFrame:
    """Of a partition's customers: ``article``, ``band`` and ``buyers``."""
    last = len(_FIRST_YEARS) - 1
    ages = partition.read_customers().select("customer", "age")
    band = np.searchsorted(_FIRST_YEARS, ages["age"].fill_null(0).to_numpy(), side="right") - 1
    bands = ages.select(
        "customer",
        band=pl.when(pl.col("age").is_null())
        .then(last + 1)
        .otherwise(pl.Series(band, dtype=pl.Int64)),
    )
    return (
        partition.read_transactions(["customer", "article"])
        .unique()
        .join(bands, on="customer")
        .group_by("article", "band")
        .agg(buyers=pl.len())
    )
