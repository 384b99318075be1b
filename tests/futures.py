"""Two shops with one past and two futures, and the check that something cannot tell them apart.

Whatever is made from a history as of a date (a model, candidates, features) is held to the time
protocol by one property test::

    @given(case=two_futures())
    def test_blind(case: TwoFutures) -> None:
        assert_blind_to_the_future(case, lambda history: {"all": MyModel().fit(history).table})
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from modiste.data.dataset import Dataset, History
from modiste.data.schema import PREPARED_TRANSACTIONS
from modiste.engine import Engine
from shops import write_prepared

FIRST_DAY = date(2020, 1, 1)
DAYS = 40

Row = tuple[int, int, date, float, int]


@dataclass(frozen=True)
class TwoFutures:
    """A small shop as of a date, with two versions of what comes after.

    Attributes
    ----------
    as_of
        Every row of ``past`` is before it, every other one on or after it.
    past, future, other_future
        Transactions in any order, columns of ``PREPARED_TRANSACTIONS``.
    """

    as_of: date
    articles: pl.DataFrame
    customers: pl.DataFrame
    past: pl.DataFrame
    future: pl.DataFrame
    other_future: pl.DataFrame
    partition_customers: int

    def write(self, folder: Path, future: pl.DataFrame) -> Path:
        """Write the prepared shop with one of the futures."""
        return write_prepared(
            folder,
            self.articles,
            self.customers,
            # The future first: sorting must not be what hides it.
            pl.concat([future, self.past]),
            self.partition_customers,
        )


@st.composite
def two_futures(draw: st.DrawFn) -> TwoFutures:
    """Draw a shop and a date, and edit what is on or after the date: drop, change, add rows."""
    n_customers, n_articles = draw(st.integers(1, 8)), draw(st.integers(1, 8))
    as_of_day = draw(st.integers(0, DAYS))

    def rows(first: int, last: int, most: int) -> st.SearchStrategy[list[Row]]:
        if first > last:
            return st.just([])
        row = st.tuples(
            st.integers(0, n_customers - 1),
            st.integers(0, n_articles - 1),
            # The date itself is where the mistakes are.
            st.one_of(st.just(first), st.just(last), st.integers(first, last)).map(_day),
            st.sampled_from([0.1, 0.25, 1.0]),
            st.sampled_from([1, 2]),
        )
        return st.lists(row, max_size=most)

    past = draw(rows(0, as_of_day - 1, 25))
    future = draw(rows(as_of_day, DAYS, 12))
    edits = [draw(st.sampled_from(["keep", "change", "drop"])) for _ in future]
    other_future = [row for row, edit in zip(future, edits, strict=True) if edit == "keep"]
    other_future += draw(rows(as_of_day, DAYS, edits.count("change") + 6))
    age = st.one_of(st.none(), st.integers(16, 80))
    return TwoFutures(
        as_of=_day(as_of_day),
        articles=_articles(n_articles),
        customers=pl.DataFrame(
            {
                "customer": range(n_customers),
                "age": draw(st.lists(age, min_size=n_customers, max_size=n_customers)),
            }
        ),
        past=_transactions(past),
        future=_transactions(future),
        other_future=_transactions(other_future),
        partition_customers=draw(st.integers(1, n_customers)),
    )


def assert_blind_to_the_future(
    case: TwoFutures, show: Callable[[History], Mapping[str, pl.DataFrame]]
) -> None:
    """Assert that what ``show`` makes of a history is the same, whatever the future."""
    with TemporaryDirectory() as name:
        shown, other = (
            show(Dataset.open(case.write(Path(name, version), future), engine).until(case.as_of))
            for engine in [Engine(workers=1)]
            for version, future in (("one", case.future), ("other", case.other_future))
        )
    assert shown.keys() == other.keys()
    for part, frame in shown.items():
        assert_frame_equal(frame, other[part], check_exact=True)


def _day(number: int) -> date:
    return FIRST_DAY + timedelta(days=number)


def _articles(n: int) -> pl.DataFrame:
    """Two colours a product, two sections."""
    return pl.DataFrame({"article": range(n)}).with_columns(
        (pl.col("article") // 2).cast(pl.String).str.zfill(7).alias("product_code"),
        pl.format("section {}", pl.col("article") % 2).alias("section_name"),
        pl.format("department {}", pl.col("article") % 3).alias("department_name"),
    )


def _transactions(rows: list[Row]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=PREPARED_TRANSACTIONS, orient="row")
