"""Sequences against a naive version, and the promises: no future, the same bytes, any size."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings

from futures import TwoFutures, assert_blind_to_the_future, two_futures
from modiste.data.dataset import Dataset, History
from modiste.data.days import day_number
from modiste.engine import Engine
from modiste.errors import DataError
from modiste.models.sasrec.sequences import (
    Sequences,
    build_sequences,
    sequences_of,
)
from purchase_histories import (
    START,
    START_DAY,
    Purchases,
    day,
    write_history,
)
from shops import SMALL_SHOP_DAYS, SMALL_SHOP_START

# Customer, and their (day, article).
Shown = list[tuple[int, list[tuple[int, int]]]]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def rows_of(purchases: dict[int, Purchases]) -> pl.DataFrame:
    rows = [
        (code, article, day(when)) for code, pairs in purchases.items() for article, when in pairs
    ]
    return pl.DataFrame(
        rows, schema={"customer": pl.Int32, "article": pl.Int32, "t_dat": pl.Date}, orient="row"
    )


def naive(transactions: pl.DataFrame, as_of: date) -> Shown:
    """Customer, and their (day, article), row by row."""
    kept: dict[int, set[tuple[int, int]]] = {}
    for customer, article, when in transactions.select("customer", "article", "t_dat").iter_rows():
        if when < as_of:
            kept.setdefault(customer, set()).add((day_number(when), article))
    return [(customer, sorted(mine)) for customer, mine in sorted(kept.items())]


def shown(sequences: Sequences) -> Shown:
    assert sequences.customers is not None
    items = list(zip(sequences.days.tolist(), sequences.items.tolist(), strict=True))
    return [
        (customer, items[sequences.offsets[number] : sequences.offsets[number + 1]])
        for number, customer in enumerate(sequences.customers.tolist())
    ]


@given(case=two_futures())
@settings(max_examples=40, deadline=None)
def test_as_a_naive_version(case: TwoFutures) -> None:
    with TemporaryDirectory() as name:
        folder = case.write(Path(name, "shop"), case.future)
        history = Dataset.open(folder, Engine(workers=2)).until(case.as_of)
        built = build_sequences(history, Path(name, "sequences"))
        assert shown(built) == naive(case.past, case.as_of)
        assert built.customers is not None
        for array in (built.items, built.days, built.customers):
            assert array.dtype == np.int32
        assert built.offsets.dtype == np.int64
        # In any order of the rows, and without a folder.
        shuffled = case.past.sample(fraction=1, shuffle=True, seed=1)
        assert shown(sequences_of(shuffled)) == shown(built)


@given(case=two_futures())
@settings(max_examples=40, deadline=None)
def test_blind_to_the_future(case: TwoFutures) -> None:
    def files(history: History) -> dict[str, pl.DataFrame]:
        with TemporaryDirectory() as name:
            build_sequences(history, Path(name, "sequences"))
            found = contents(Path(name, "sequences"))
        return {name: pl.DataFrame({"bytes": [content]}) for name, content in found.items()}

    assert_blind_to_the_future(case, files)


def test_files(small_shop: Dataset, tmp_path: Path) -> None:
    build_sequences(small_shop.until(small_shop.next_day), tmp_path / "s")
    names = {"items.npy", "days.npy", "offsets.npy", "customers.npy"}
    assert set(contents(tmp_path / "s")) == names


def test_before_a_day(small_shop: Dataset) -> None:
    rows = pl.concat(
        [batch.transactions for batch in small_shop.until(day_of_small_shop(50)).batches()]
    )
    whole = sequences_of(rows)
    cut = day_of_small_shop(30)
    assert shown(whole.before(cut)) == naive(rows, cut)
    assert len(whole.before(day_of_small_shop(0))) == 0
    some = np.array([3, 0, 5])
    assert shown(whole.only(some)) == [shown(whole)[number] for number in some]


def test_several_baskets() -> None:
    sequences = sequences_of(
        rows_of({0: [(1, 4), (2, 4)], 1: [(1, 4), (1, 5)], 2: [(1, 4)], 3: [(2, 1), (1, 9)]})
    )
    assert sequences.with_several_baskets.tolist() == [1, 3]


@pytest.mark.parametrize(("partition_customers", "workers"), [(1000, 1), (30, 1), (7, 3), (1, 2)])
def test_partitions_and_workers_do_not_matter(
    small_shop: Dataset, tmp_path: Path, partition_customers: int, workers: int
) -> None:
    history = small_shop.until(day_of_small_shop(40))
    rows = pl.concat([batch.transactions for batch in history.batches()])
    other = write_history(
        tmp_path / "shop", rows, history.as_of, history.n_customers, partition_customers, workers
    )
    build_sequences(history, tmp_path / "one")
    build_sequences(other, tmp_path / "other")
    assert contents(tmp_path / "one") == contents(tmp_path / "other")


def test_files_are_as_numpy_writes_them(small_shop: Dataset, tmp_path: Path) -> None:
    built = build_sequences(small_shop.until(small_shop.next_day), tmp_path / "built")
    (tmp_path / "saved").mkdir()
    built.save(tmp_path / "saved")
    assert contents(tmp_path / "built") == contents(tmp_path / "saved")


def test_arrays_are_mapped_and_read_only(small_shop: Dataset, tmp_path: Path) -> None:
    built = build_sequences(small_shop.until(small_shop.next_day), tmp_path / "s")
    assert isinstance(built.items.base, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        built.items[0] = 1


@pytest.mark.parametrize("length", [1, 5000])
def test_a_history_of(length: int, tmp_path: Path) -> None:
    pairs = [(number, number // 3) for number in range(length)]
    rows = rows_of({2: pairs, 4: [(7, 0)]})
    built = build_sequences(write_history(tmp_path / "shop", rows, day(5000), 6), tmp_path / "s")
    assert built.customers is not None
    assert built.customers.tolist() == [2, 4]
    assert built.lengths.tolist() == [length, 1]
    assert built.items.tolist() == [*range(length), 7]
    assert (built.days - START_DAY).tolist() == [*(when for _, when in pairs), 0]


@pytest.mark.parametrize("customers", [0, 3])
def test_no_purchases(customers: int, tmp_path: Path) -> None:
    history = write_history(tmp_path / "shop", rows_of({}), day(3), customers)
    built = build_sequences(history, tmp_path / "s")
    assert len(built) == 0
    assert built.items.shape == built.days.shape == (0,)
    assert built.offsets.tolist() == [0]


def test_a_damaged_folder_is_told(small_shop: Dataset, tmp_path: Path) -> None:
    folder = tmp_path / "s"
    with pytest.raises(DataError, match=r"items\.npy is missing"):
        Sequences.load(folder)
    build_sequences(small_shop.until(small_shop.next_day), folder)
    whole = (folder / "days.npy").read_bytes()
    (folder / "days.npy").write_bytes(whole[:200])
    with pytest.raises(DataError, match=r"days\.npy is damaged"):
        Sequences.load(folder)
    np.save(folder / "days.npy", np.zeros(3, np.int32))
    with pytest.raises(DataError, match="items but 3 days"):
        Sequences.load(folder)
    np.save(folder / "days.npy", np.zeros(3))
    with pytest.raises(DataError, match="holds float64"):
        Sequences.load(folder)


def test_arrays_that_do_not_belong_together() -> None:
    two = np.zeros(2, np.int32)
    with pytest.raises(DataError, match="offsets"):
        Sequences(two, two, np.array([0, 1]))
    with pytest.raises(DataError, match="1 sequences belong to 2 customers"):
        Sequences(two, two, np.array([0, 2]), customers=two)


def day_of_small_shop(number: int) -> date:
    assert number <= SMALL_SHOP_DAYS
    return day(number + (SMALL_SHOP_START - START).days)


def test_days_count_from_the_epoch() -> None:
    assert sequences_of(rows_of({0: [(1, 4)]})).days.tolist() == [START_DAY + 4]
