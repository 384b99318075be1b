"""Which windows a run chooses on, reports on and submits for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

import polars as pl

from modiste.data.dataset import Dataset, Window
from modiste.errors import DataError

# A validation window is left out when the days before it sold less than this share, a day, of what
# the window itself did: a model as of then would know next to nothing.
_LEAST_HISTORY = 0.1


@dataclass(frozen=True)
class Split:
    """The windows of a run.

    Attributes
    ----------
    validation
        Everything that is chosen is chosen on these, all before ``test``; may be empty.
    test
        Looked at to report.
    submit
        The date that the submission is made as of.
    """

    validation: tuple[Window, ...]
    test: Window
    submit: date

    @property
    def all(self) -> tuple[Window, ...]:
        """All windows, validation first."""
        return (*self.validation, self.test)


def split(dataset: Dataset, as_of: date | None, horizon: int) -> Split:
    """Lay the windows of a run.

    Parameters
    ----------
    dataset
        The shop.
    as_of
        The first day to recommend for; None: the day after the data ends.
    horizon
        Length of the test window in days.

    Returns
    -------
    The test window starts at ``as_of`` when the data goes on after it (and ends with the data), and
    else is the last one of the data. The validation windows are those that end where the test
    window starts, ``horizon``, half of it and 1 day long: the longest asks the same question as the
    test window, the shortest has the freshest history.

    Raises
    ------
    DataError
        When there is no history before the test window.
    """
    submit = as_of or dataset.next_day
    if submit <= dataset.last_day:
        test = Window(submit, min(horizon, (dataset.next_day - submit).days))
    else:
        test = Window(dataset.next_day, horizon).earlier()
    if test.as_of <= dataset.first_day:
        raise DataError(
            f"nothing is known before {test.as_of}: the data goes from {dataset.first_day} to "
            f"{dataset.last_day}; choose a later --as-of or a shorter --horizon"
        )
    lengths = sorted({horizon, -(-horizon // 2), 1}, reverse=True)
    windows = [Window(test.as_of - timedelta(days=length), length) for length in lengths]
    rows = _rows_by_day(dataset)
    validation = tuple(
        window
        for window in windows
        if _rows_a_day(rows, window) > 0
        and _rows_a_day(rows, Window(window.as_of, horizon).earlier())
        >= _LEAST_HISTORY * _rows_a_day(rows, window)
    )
    return Split(validation, test, submit)


def _rows_by_day(dataset: Dataset) -> dict[date, int]:
    sales = dataset.until(dataset.next_day).article_sales
    return dict(sales.group_by("t_dat").agg(pl.col("sales").sum()).iter_rows())


def _rows_a_day(rows: dict[date, int], window: Window) -> float:
    days = (window.as_of + timedelta(days=day) for day in range(window.horizon))
    return sum(rows.get(day, 0) for day in days) / window.horizon
