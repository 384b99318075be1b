"""Histories for the tests of sequences: drawn, and naive versions of what is made of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
from hypothesis import strategies as st

from modiste.data.dataset import Dataset, History
from modiste.data.days import day_number
from modiste.data.schema import PREPARED_TRANSACTIONS
from modiste.engine import Engine
from modiste.models.sasrec.sequences import Sequences
from shops import write_prepared

START = date(2020, 1, 1)
START_DAY = day_number(START)

# (article, day) pairs of a customer, sorted by day and article.
Purchases = list[tuple[int, int]]


@st.composite
def many_purchases(draw: st.DrawFn) -> list[Purchases]:
    """Purchases of some customers, some of them without any."""
    pair = st.tuples(st.integers(0, 9), st.integers(0, 12))
    return [
        sorted(set(pairs), key=lambda each: (each[1], each[0]))
        for pairs in draw(st.lists(st.lists(pair, max_size=30), max_size=12))
    ]


def sequences_from(purchases: Sequence[Purchases]) -> Sequences:
    """One sequence for each customer, empty ones too, without the code under test."""
    flat = [pair for pairs in purchases for pair in pairs]
    return Sequences(
        np.array([article for article, _ in flat], np.int32),
        np.array([START_DAY + day for _, day in flat], np.int32),
        np.cumsum([0, *(len(pairs) for pairs in purchases)]),
    )


def day(number: int) -> date:
    return START + timedelta(days=number)


def baskets_of(pairs: Purchases) -> list[list[int]]:
    """The articles of each day with a purchase."""
    return [
        [article for article, when in pairs if when == day]
        for day in sorted({when for _, when in pairs})
    ]


def write_history(
    folder: Path,
    rows: pl.DataFrame,
    as_of: date,
    customers: int,
    partition_customers: int = 65_536,
    workers: int = 1,
) -> History:
    """A history of a shop with ten articles and these transactions, columns as prepared."""
    rows = pl.concat([pl.DataFrame(schema=PREPARED_TRANSACTIONS), rows], how="diagonal_relaxed")
    write_prepared(
        folder,
        pl.DataFrame({"article": range(10_000)}),
        pl.DataFrame({"customer": range(customers)}),
        rows,
        partition_customers,
    )
    return Dataset.open(folder, Engine(workers=workers)).until(as_of)
