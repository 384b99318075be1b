"""The one typed view of the prepared tables, and the only door through time.

``Dataset.until(as_of)`` gives a :class:`History`: what was known strictly before a date. Models,
candidates and features take a history and never the whole data set. What was bought afterwards is
given by ``Dataset.purchases(window)`` to those who evaluate, and to nobody else.

A history is read by partitions of customers. Each partition is a :class:`CustomerBatch`: some
customers with all their purchases before the date, the same thing that the live service makes of
one customer.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import polars as pl

from modiste.data.days import day_numbers
from modiste.data.manifest import Manifest
from modiste.data.pairs import groups_of_sorted
from modiste.engine import Engine

Result = TypeVar("Result")


@dataclass(frozen=True, order=True)
class Window:
    """The days ``as_of <= day < as_of + horizon`` that a recommendation made as of a date is for.

    Attributes
    ----------
    as_of
        The first day of the window; a recommendation uses what happened strictly before it.
    horizon
        Length in days.
    """

    as_of: date
    horizon: int

    def __post_init__(self) -> None:
        if self.horizon < 1:
            raise ValueError(f"a label window has at least one day, not {self.horizon}")

    @property
    def end(self) -> date:
        """The first day after the window."""
        return self.as_of + timedelta(days=self.horizon)

    def earlier(self) -> Window:
        """The window of the same length that ends where this one begins."""
        return Window(self.as_of - timedelta(days=self.horizon), self.horizon)

    def __str__(self) -> str:
        last = self.end - timedelta(days=1)
        return f"{self.as_of}" if self.horizon == 1 else f"{self.as_of}..{last}"


@dataclass(frozen=True)
class CustomerBatch:
    """Some customers and what they bought strictly before a date.

    Attributes
    ----------
    as_of
        The date; every transaction is before it.
    customers
        Columns of ``schema.PREPARED_CUSTOMERS``, one row a customer, sorted by ``customer``.
    transactions
        Columns of ``schema.PREPARED_TRANSACTIONS``, sorted by (customer, t_dat).
    """

    as_of: date
    customers: pl.DataFrame
    transactions: pl.DataFrame
    _made: dict[Hashable, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    @cached_property
    def interactions(self) -> pl.DataFrame:
        """Each (customer, article, day) once, however many pieces: the three columns, sorted."""
        rows = self.transactions
        customer, article = rows["customer"].to_numpy(), rows["article"].to_numpy()
        day = day_numbers(rows["t_dat"])
        order = np.lexsort((day, article, customer))
        starts, _ = groups_of_sorted(customer[order], article[order], day[order])
        first = order[starts]
        return pl.DataFrame(
            [
                pl.Series("customer", customer[first]),
                pl.Series("article", article[first]),
                pl.Series("t_dat", day[first]).cast(pl.Date),
            ]
        )

    def once(self, key: Hashable, make: Callable[[], Result]) -> Result:
        """What ``make`` gives, remembered under ``key`` as long as the batch is.

        Sources that are asked about the same batch share what they make of it.
        """
        if key not in self._made:
            self._made[key] = make()
        made: Result = self._made[key]
        return made

    def only(self, customers: pl.Series) -> CustomerBatch:
        """The same batch with only those of its customers whose code is in ``customers``."""
        kept = customers.cast(pl.Int32).alias("customer").to_frame()
        return CustomerBatch(
            self.as_of,
            self.customers.join(kept, on="customer", how="semi", maintain_order="left"),
            self.transactions.join(kept, on="customer", how="semi", maintain_order="left"),
        )


@dataclass(frozen=True)
class Partition:
    """The address of one partition of a history; small, and readable on any worker."""

    folder: Path
    index: int
    as_of: date

    def read(self) -> CustomerBatch:
        """Read the partition's customers and their purchases before the date."""
        return CustomerBatch(self.as_of, self.read_customers(), self.read_transactions())

    def code_of(self, customer_id: str) -> int | None:
        """The code of the customer with an id; None where it is not in this partition."""
        found = (
            pl.scan_parquet(_part(self.folder, "customers", self.index))
            .filter(pl.col("customer_id") == customer_id)
            .select("customer")
            .collect()
        )
        return None if found.is_empty() else int(found["customer"][0])

    def read_customer(self, customer: int) -> CustomerBatch:
        """Read one customer by its code, and its purchases before the date: nothing else's rows."""
        own = pl.col("customer") == customer
        known = pl.scan_parquet(_part(self.folder, "customers", self.index)).filter(own)
        bought = _scan_part(self.folder, self.index).filter(own, pl.col("t_dat") < self.as_of)
        return CustomerBatch(self.as_of, known.collect(), bought.collect())

    def read_customers(self) -> pl.DataFrame:
        """Read the partition's customers: columns of ``schema.PREPARED_CUSTOMERS``, sorted."""
        return pl.read_parquet(_part(self.folder, "customers", self.index))

    def read_transactions(
        self, columns: list[str] | None = None, since: date | None = None
    ) -> pl.DataFrame:
        """Read the partition's purchases before the date, optionally only those from ``since`` on.

        Returns
        -------
        Rows sorted by (customer, t_dat), with ``columns`` of ``schema.PREPARED_TRANSACTIONS``
        (default: all).
        """
        rows = _scan_part(self.folder, self.index).filter(pl.col("t_dat") < self.as_of)
        if since is not None:
            rows = rows.filter(pl.col("t_dat") >= since)
        return rows.select(columns or pl.all()).collect()


@dataclass(frozen=True)
class History:
    """What was known strictly before ``as_of``.

    Attributes
    ----------
    as_of
        Nothing of this day or a later one can be seen.
    """

    as_of: date
    _folder: Path
    _manifest: Manifest
    _engine: Engine = field(repr=False, compare=False)
    _collected: dict[tuple[Any, ...], pl.DataFrame] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @property
    def n_articles(self) -> int:
        """Number of articles; their codes are 0 to n_articles - 1."""
        return self._manifest.rows_out("articles")

    @property
    def n_customers(self) -> int:
        """Number of customers; their codes are 0 to n_customers - 1."""
        return self._manifest.rows_out("customers")

    def before(self, as_of: date) -> History:
        """What was known strictly before an earlier date.

        Raises
        ------
        ValueError
            When the date is later.
        """
        if as_of > self.as_of:
            raise ValueError(f"what is known before {self.as_of} says nothing of {as_of}")
        return History(as_of, self._folder, self._manifest, self._engine)

    @cached_property
    def articles(self) -> pl.DataFrame:
        """The articles table (``schema.PREPARED_ARTICLES``); row number = ``article``."""
        return pl.read_parquet(self._folder / "articles.parquet")

    @property
    def partitions(self) -> list[Partition]:
        """The partitions, in the order of their customers' codes."""
        return [
            Partition(self._folder, index, self.as_of) for index in range(self._manifest.partitions)
        ]

    def customer(self, customer_id: str) -> CustomerBatch | None:
        """One customer by its id, with its purchases; None where nobody has the id."""
        try:
            customer_id.encode()
        except UnicodeEncodeError:  # half a character, from a terminal: no table holds it
            return None
        for partition in self.partitions:
            found = partition.code_of(customer_id)
            if found is not None:
                return partition.read_customer(found)
        return None

    def map(
        self, function: Callable[..., Result], *shared: Any, label: str = "partitions"
    ) -> list[Result]:
        """Call ``function(partition, *shared)`` for every partition, on the engine's workers.

        Returns the results in the order of the partitions. ``function`` must be picklable.
        """
        return self._engine.map(function, self.partitions, *shared, label=label)

    def collect(
        self, function: Callable[..., pl.DataFrame], *shared: Any, label: str
    ) -> pl.DataFrame:
        """Put ``function``'s frames of all partitions one below the other.

        Remembered as long as the history is: models that are fitted with one setting after the
        other pass over the data once. ``shared`` must be hashable, the frames small.
        """
        key = (function, *shared)
        if key not in self._collected:
            self._collected[key] = pl.concat(self.map(function, *shared, label=label))
        return self._collected[key]

    def batches(self) -> Iterator[CustomerBatch]:
        """Every customer once, a partition at a time, in this process."""
        return (partition.read() for partition in self.partitions)

    @cached_property
    def article_sales(self) -> pl.DataFrame:
        """Sales of every article on every day.

        Returns
        -------
        Columns ``article`` (int32), ``t_dat`` (date), ``sales`` (uint32, number of pieces), sorted
        by article and day. Days without a sale have no row.
        """
        counted = self.map(_count_article_sales, label="sales by article and day")
        return (
            pl.concat(counted)
            .group_by("article", "t_dat")
            .agg(pl.col("sales").sum())
            .sort("article", "t_dat")
        )


@dataclass(frozen=True)
class Dataset:
    """A shop's prepared tables.

    Open one with :meth:`open`; write one with :func:`modiste.data.ingest.ingest`.
    """

    folder: Path
    manifest: Manifest
    engine: Engine = field(repr=False, compare=False)

    @classmethod
    def open(cls, folder: Path, engine: Engine | None = None) -> Dataset:
        """Open a folder that the ingest has written.

        Raises
        ------
        DataError
            When the folder is not there, not whole, or of another layout version.
        """
        return cls(folder, Manifest.read(folder), engine or Engine())

    @property
    def first_day(self) -> date:
        """The day of the first transaction."""
        return self.manifest.first_day

    @property
    def last_day(self) -> date:
        """The day of the last transaction."""
        return self.manifest.last_day

    @property
    def next_day(self) -> date:
        """The day after the data ends."""
        return self.last_day + timedelta(days=1)

    @cached_property
    def pieces_by_day(self) -> dict[date, int]:
        """Pieces sold on each day that any were, in the order of the days: to lay windows by."""
        counted = self.engine.map(
            _pieces_by_day, range(self.manifest.partitions), self.folder, label="sales by day"
        )
        days = pl.concat(counted).group_by("t_dat").agg(pl.col("pieces").sum()).sort("t_dat")
        return dict(days.iter_rows())

    def until(self, as_of: date) -> History:
        """What was known strictly before ``as_of``: the only door for all that recommends."""
        return History(as_of, self.folder, self.manifest, self.engine)

    def purchases(self, window: Window) -> pl.DataFrame:
        """What was bought in a window: the labels, for evaluation only.

        Returns
        -------
        Columns ``customer`` and ``article`` (int32), distinct pairs, sorted.
        """
        found = self.engine.map(
            _distinct_purchases,
            range(self.manifest.partitions),
            self.folder,
            window,
            label=f"purchases of {window}",
        )
        return pl.concat(found)


def _part(folder: Path, table: str, index: int) -> Path:
    return folder / table / f"part-{index:05d}.parquet"


def _scan_part(folder: Path, index: int) -> pl.LazyFrame:
    return pl.scan_parquet(_part(folder, "transactions", index))


def _count_article_sales(partition: Partition) -> pl.DataFrame:
    rows = partition.read_transactions(["article", "t_dat"])
    return rows.group_by("article", "t_dat").agg(pl.len().alias("sales"))


def _pieces_by_day(index: int, folder: Path) -> pl.DataFrame:
    rows = _scan_part(folder, index).group_by("t_dat").agg(pl.len().alias("pieces"))
    return rows.collect()


def _distinct_purchases(index: int, folder: Path, window: Window) -> pl.DataFrame:
    return (
        _scan_part(folder, index)
        .filter(pl.col("t_dat") >= window.as_of, pl.col("t_dat") < window.end)
        .select("customer", "article")
        .unique()
        .sort("customer", "article")
        .collect()
    )
