"""Segments of customers are right, complete, and as of the date."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import polars as pl
from hypothesis import given, settings

from futures import TwoFutures, assert_blind_to_the_future, two_futures
from modiste.data.dataset import Dataset, History
from modiste.evaluation.segments import SEGMENTS, segment_customers
from shops import write_prepared

AS_OF = date(2020, 9, 16)

# Pieces bought before the date, days between the last purchase and the date, age.
BUYERS: list[tuple[int, int | None, int | None]] = [
    (0, None, None),
    (1, 1, 24),
    (4, 7, 25),
    (5, 8, 44),
    (19, 30, 45),
    (20, 31, 54),
    (49, 365, 55),
    (50, 366, 99),
]
EXPECTED = [
    ("cold", "none", "never bought", "unknown"),
    ("with history", "1-4", "1-7 d", "<25"),
    ("with history", "1-4", "1-7 d", "25-34"),
    ("with history", "5-19", "8-30 d", "35-44"),
    ("with history", "5-19", "8-30 d", "45-54"),
    ("with history", "20-49", "31-90 d", "45-54"),
    ("with history", "20-49", "91-365 d", "55+"),
    ("with history", "50+", ">365 d", "55+"),
]


def history_of_buyers(folder: Path) -> History:
    past = [
        (customer, 0, AS_OF - timedelta(days=(days or 0) + (500 if piece else 0)))
        for customer, (pieces, days, _) in enumerate(BUYERS)
        for piece in range(pieces)
    ]
    # On the date itself everybody buys, which nobody may know.
    today = [(customer, 0, AS_OF) for customer in range(len(BUYERS))]
    folder = write_prepared(
        folder,
        pl.DataFrame({"article": [0]}),
        pl.DataFrame({"customer": range(len(BUYERS)), "age": [age for *_, age in BUYERS]}),
        pl.DataFrame(past + today, schema=["customer", "article", "t_dat"], orient="row"),
        partition_customers=3,
    )
    return Dataset.open(folder).until(AS_OF)


def test_hand_worked(tmp_path: Path) -> None:
    segments = segment_customers(
        history_of_buyers(tmp_path), pl.Series(range(len(BUYERS)), dtype=pl.Int32)
    )
    assert segments["kind"].to_list() == list(SEGMENTS) * len(BUYERS)
    assert [
        tuple(own["segment"].to_list())
        for _, own in segments.group_by("customer", maintain_order=True)
    ] == EXPECTED


def test_only_the_customers_asked_about(tmp_path: Path) -> None:
    history = history_of_buyers(tmp_path)
    segments = segment_customers(history, pl.Series([5, 2, 5], dtype=pl.Int32))
    assert segments["customer"].unique().to_list() == [2, 5]
    assert segments.height == 2 * len(SEGMENTS)
    nobody = segment_customers(history, pl.Series([], dtype=pl.Int32))
    assert nobody.is_empty()
    assert nobody.schema == segments.schema


@given(case=two_futures())
@settings(max_examples=40, deadline=None)
def test_a_later_purchase_moves_nobody(case: TwoFutures) -> None:
    everybody = case.customers["customer"].cast(pl.Int32)
    assert_blind_to_the_future(
        case, lambda history: {"segments": segment_customers(history, everybody)}
    )
