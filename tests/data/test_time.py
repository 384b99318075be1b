"""The door through time: what happens on or after a date cannot be seen as of that date."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta

import polars as pl
import pytest
from hypothesis import Phase, given, settings

from futures import TwoFutures, assert_blind_to_the_future, two_futures
from modiste.data import dataset as dataset_module
from modiste.data.dataset import CustomerBatch, History, Partition


def everything_shown(history: History) -> dict[str, pl.DataFrame]:
    """All that a history gives to those who recommend."""
    shown = {"articles": history.articles, "article_sales": history.article_sales}
    for partition in history.partitions:
        batch = partition.read()
        since = history.as_of - timedelta(days=7)
        shown |= {
            f"{partition.index}: customers": batch.customers,
            f"{partition.index}: transactions": batch.transactions,
            f"{partition.index}: one customer": batch.only(
                batch.customers["customer"].head(1)
            ).transactions,
            f"{partition.index}: lately": partition.read_transactions(["article", "t_dat"], since),
        }
    return shown


@given(case=two_futures())
@settings(max_examples=100, deadline=None)
def test_history_is_blind_to_the_future(case: TwoFutures) -> None:
    assert_blind_to_the_future(case, everything_shown)


def leak_one_day(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let purchases of the date itself through: the mistake that is easiest to make."""
    honest = Partition.read_transactions

    def leaky(
        self: Partition, columns: list[str] | None = None, since: date | None = None
    ) -> pl.DataFrame:
        tomorrow = Partition(self.folder, self.index, self.as_of + timedelta(days=1))
        return honest(tomorrow, columns, since)

    monkeypatch.setattr(Partition, "read_transactions", leaky)


def leak_sales(monkeypatch: pytest.MonkeyPatch) -> None:
    """Count sales over the whole file, as one would for popularity in a hurry."""

    def leaky(partition: Partition) -> pl.DataFrame:
        rows = dataset_module._scan_part(partition.folder, partition.index)
        return rows.group_by("article", "t_dat").agg(pl.len().alias("sales")).collect()

    monkeypatch.setattr(dataset_module, "_count_article_sales", leaky)


def leak_customers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Show only customers who ever buy, which tells who will."""
    honest = Partition.read

    def leaky(self: Partition) -> CustomerBatch:
        batch = honest(self)
        buyers = dataset_module._scan_part(self.folder, self.index).select("customer").collect()
        return batch.only(buyers["customer"])

    monkeypatch.setattr(Partition, "read", leaky)


@pytest.mark.parametrize("leak", [leak_one_day, leak_sales, leak_customers])
def test_a_leak_is_caught(
    monkeypatch: pytest.MonkeyPatch, leak: Callable[[pytest.MonkeyPatch], None]
) -> None:
    leak(monkeypatch)

    @given(case=two_futures())
    @settings(
        max_examples=300, deadline=None, database=None, phases=[Phase.generate], derandomize=True
    )
    def check(case: TwoFutures) -> None:
        assert_blind_to_the_future(case, everything_shown)

    with pytest.raises(AssertionError):
        check()
