"""Which windows a run chooses on and reports on."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest

from modiste.data.dataset import Dataset, Window
from modiste.errors import DataError
from modiste.evaluation.splits import (
    before_rankers,
    older_windows,
    ranker_windows,
    split,
    training_windows,
)
from shops import write_prepared

FIRST = date(2020, 1, 1)
DAYS = 60
NEXT = FIRST + timedelta(days=DAYS)


def shop(folder: Path, rows_a_day: list[int]) -> Dataset:
    days = [FIRST + timedelta(days=day) for day, rows in enumerate(rows_a_day) for _ in range(rows)]
    return Dataset.open(
        write_prepared(
            folder,
            pl.DataFrame({"article": [0]}),
            pl.DataFrame({"customer": [0]}),
            pl.DataFrame({"customer": 0, "article": 0, "t_dat": days}),
        )
    )


@pytest.fixture
def even(tmp_path: Path) -> Dataset:
    return shop(tmp_path, [2] * DAYS)


def test_without_a_date_the_last_week_is_the_test(even: Dataset) -> None:
    found = split(even, None, 7)
    week = timedelta(days=7)
    assert found.submit == NEXT
    assert found.test == Window(NEXT - week, 7)
    end = NEXT - week
    assert found.validation == (
        Window(end - week, 7),
        Window(end - timedelta(days=1), 1),
    )
    assert all(window.end == found.test.as_of for window in found.validation)
    assert found.selection == (Window(NEXT - week, 7), Window(NEXT - timedelta(days=1), 1))


def test_a_date_within_the_data_is_tested_on_what_came_then(even: Dataset) -> None:
    as_of = NEXT - timedelta(days=20)
    found = split(even, as_of, 3)
    assert (found.submit, found.test) == (as_of, Window(as_of, 3))
    assert found.selection == found.validation


def test_a_test_window_ends_with_the_data(even: Dataset) -> None:
    as_of = NEXT - timedelta(days=2)
    assert split(even, as_of, 7).test == Window(as_of, 2)


def test_a_later_date_is_submitted_for_and_the_last_week_tested(even: Dataset) -> None:
    found = split(even, NEXT + timedelta(days=5), 7)
    assert found.submit == NEXT + timedelta(days=5)
    assert found.test == Window(NEXT - timedelta(days=7), 7)
    assert found.selection == split(even, None, 7).selection


def test_windows_with_a_blind_history_are_left_out(tmp_path: Path) -> None:
    """Of a shop whose rows begin in earnest four days before: as of then nothing was known."""
    dataset = shop(tmp_path, [1] + [0] * (DAYS - 5) + [50] * 4)
    found = split(dataset, NEXT - timedelta(days=1), 3)
    assert found.validation == (Window(NEXT - timedelta(days=2), 1),)


def test_nothing_before_the_test_window_is_an_error(even: Dataset) -> None:
    for as_of in (FIRST, FIRST - timedelta(days=3)):
        with pytest.raises(DataError, match="nothing is known before"):
            split(even, as_of, 7)
    with pytest.raises(DataError, match="nothing is known before"):
        split(even, None, DAYS)


def test_rankers_learn_from_whole_windows_before_a_date(even: Dataset) -> None:
    end = NEXT - timedelta(days=7)
    week = timedelta(days=7)
    found = training_windows(even, end, 7, 3)
    assert found == tuple(Window(end - n * week, 7) for n in (1, 2, 3))


def test_rankers_learn_from_single_days_where_weeks_have_no_history(tmp_path: Path) -> None:
    # Only the last five days have sales worth the name, as in a sample of whole days.
    dataset = shop(tmp_path, [1] + [0] * (DAYS - 6) + [50] * 5)
    day = timedelta(days=1)
    found = training_windows(dataset, NEXT, 3, 4)
    assert found == (
        Window(NEXT - 3 * day, 3),
        Window(NEXT - day, 1),
        Window(NEXT - 2 * day, 1),
        Window(NEXT - 3 * day, 1),
    )


def test_rankers_are_watched_on_the_validation_window_and_learn_before_it(even: Dataset) -> None:
    week = timedelta(days=7)
    windows = split(even, None, 7)
    to_submit = ranker_windows(even, windows.selection, 7, 2)
    assert to_submit.watched == windows.test == Window(NEXT - week, 7)
    assert to_submit.before == (Window(NEXT - 2 * week, 7), Window(NEXT - 3 * week, 7))
    assert to_submit.learned == (Window(NEXT - week, 7), Window(NEXT - 2 * week, 7))
    to_test = ranker_windows(even, windows.validation, 7, 2)
    assert to_test.watched == to_submit.before[0]
    assert to_test.learned == to_submit.before
    assert before_rankers(even, windows, 7, 2) == to_test.earliest == NEXT - 4 * week


def test_what_rankers_need_does_not_depend_on_labels_to_come(even: Dataset) -> None:
    """The same date, once with days after it and once where the data ends."""
    as_of = NEXT - timedelta(days=7)
    here = before_rankers(even, split(even, as_of, 7), 7, 2)
    later = NEXT + timedelta(days=0)
    assert before_rankers(even, split(even, later, 7), 7, 2) == here + timedelta(days=7)


def test_too_few_days_for_rankers_is_an_error(tmp_path: Path) -> None:
    dataset = shop(tmp_path, [1] + [0] * (DAYS - 3) + [50] * 2)
    windows = split(dataset, None, 1)
    with pytest.raises(DataError, match=r"ranking\.enabled=false"):
        ranker_windows(dataset, windows.validation, 1, 2)


def test_rankers_learn_from_whole_days_before_a_gap(tmp_path: Path) -> None:
    # Whole days: the last five, four some weeks before, and two before those; else a few customers.
    sold = [3] * DAYS
    for whole in (range(5, 7), range(20, 24), range(DAYS - 5, DAYS)):
        for number in whole:
            sold[number] = 50
    dataset = shop(tmp_path, sold)

    def day(number: int) -> date:
        return FIRST + timedelta(days=number)

    older = (
        Window(day(21), 3),
        Window(day(23), 1),
        Window(day(22), 1),
        Window(day(21), 1),
        Window(day(6), 1),
    )
    assert older_windows(dataset, NEXT, 3, 9) == older
    assert older_windows(dataset, NEXT, 3, 2) == older[:2]
    assert older_windows(dataset, day(22), 3, 9) == older[-1:]
    watched = Window(NEXT - timedelta(days=1), 1)
    found = ranker_windows(dataset, [watched], 3, 4, older=1)
    assert found.before == (*training_windows(dataset, watched.as_of, 3, 4), older[0])
    assert found.learned == (*training_windows(dataset, NEXT, 3, 4), older[0])
    assert ranker_windows(dataset, [watched], 3, 4).earliest > day(23)


def test_data_without_a_gap_has_no_older_windows(tmp_path: Path, even: Dataset) -> None:
    assert older_windows(even, NEXT - timedelta(days=7), 7, 9) == ()
    # Nor has a shop that is closed on Sundays.
    weekly = shop(tmp_path / "weekly", [0 if day % 7 == 3 else 9 for day in range(DAYS)])
    assert older_windows(weekly, NEXT, 3, 9) == ()
