"""Which windows a run chooses on, reports on and submits for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, timedelta

from modiste.data.dataset import Dataset, Window
from modiste.errors import DataError

# A validation window is left out when the days before it sold less than this share, a day, of what
# the window itself did: a model as of then would know next to nothing.
_LEAST_HISTORY = 0.1

# Of a sample of whole days, one that sold at least this share of the best of the latest days is
# whole; what lies between such days is a gap where it is longer than a holiday.
_WHOLE_DAY = 0.1
_GAP = timedelta(days=7)


@dataclass(frozen=True)
class Split:
    """The windows of a run.

    Attributes
    ----------
    selection
        What is submitted is chosen on these, all before ``submit``; may be empty.
    validation
        What is tested is chosen on these, all before ``test``; may be empty. The same as
        ``selection`` where the test window starts on ``submit``.
    test
        Looked at to report.
    submit
        The date that the submission is made as of.
    """

    selection: tuple[Window, ...]
    validation: tuple[Window, ...]
    test: Window
    submit: date

    @property
    def reported(self) -> tuple[Window, ...]:
        """The windows that scores are reported on: validation, then test."""
        return (*self.validation, self.test)

    @property
    def before_all(self) -> date:
        """A date that no window begins before.

        A window's length before those that are chosen on: the test window ends there at the
        earliest and is chosen for on days before it, and where it begins later, because there are
        labels from the submission's date on, the submission must not depend on it.
        """
        chosen_on = [window.earlier().as_of for window in self.selection]
        return min(*chosen_on, *(window.as_of for window in self.reported), self.submit)


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
    else is the last one of the data. Settings are chosen on windows that end where what they are
    chosen for begins, ``horizon`` and 1 day long: the one asks the same question, the other has the
    freshest history. So the submission depends on nothing from its date on, not even on whether
    there is anything.

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
    rows = dataset.pieces_by_day
    # A date after days without a sale is chosen for on the last days that had any.
    known = max(day for day in rows if day < submit) + timedelta(days=1)
    return Split(
        _windows_before(known, horizon, rows),
        _windows_before(test.as_of, horizon, rows),
        test,
        submit,
    )


def _windows_before(end: date, horizon: int, rows: Mapping[date, int]) -> tuple[Window, ...]:
    """Windows to choose on that end on the day before ``end``, but those with a blind history."""
    lengths = sorted({horizon, 1}, reverse=True)
    windows = [Window(end - timedelta(days=length), length) for length in lengths]
    return tuple(window for window in windows if _has_history(window, horizon, rows))


def training_windows(dataset: Dataset, end: date, horizon: int, n: int) -> tuple[Window, ...]:
    """Past windows that rankers learn from: what was bought there is known as of ``end``.

    Returns
    -------
    Up to ``n``, the latest first. Windows of ``horizon`` days lie one before the other; where the
    data has fewer of them with a history, windows of one day, the last before ``end`` first, make
    up the number. Their days may be among those of a longer window: the same purchases are asked
    for with a fresher history.
    """
    rows = dataset.pieces_by_day
    found: list[Window] = []
    for length in sorted({horizon, 1}, reverse=True):
        window = Window(end, length).earlier()
        while (
            len(found) < n
            and window.as_of > dataset.first_day
            and _has_history(window, horizon, rows)
        ):
            found.append(window)
            window = window.earlier()
    return tuple(found)


def older_windows(dataset: Dataset, end: date, horizon: int, n: int) -> tuple[Window, ...]:
    """Windows before a gap in the data, for rankers to learn from beside the latest ones.

    How customers come back is much the same in every season, and a sample of whole days has too few
    of them in a row to learn it from. Data without a gap has no such windows.

    Returns
    -------
    Up to ``n``, those of ``horizon`` days first, then those of one day, each the latest first.
    Every day of theirs, and the day before, is a whole one.
    """
    rows = dataset.pieces_by_day
    least = _WHOLE_DAY * max(
        (rows.get(end - timedelta(days=day), 0) for day in range(1, horizon + 1)), default=0
    )
    day = timedelta(days=1)
    whole = {each for each, sold in rows.items() if each < end and sold >= least > 0}
    after_gaps = [each for each in whole if not any(each - n * day in whole for n in _days(_GAP))]
    # The latest run of whole days begins here: what is before it lies before a gap.
    latest = max(after_gaps, default=dataset.first_day)
    found: list[Window] = []
    for length in sorted({horizon, 1}, reverse=True):
        window = Window(latest, length).earlier()
        while len(found) < n and window.as_of > dataset.first_day:
            days = [window.as_of + number * day for number in range(-1, length)]
            if whole.issuperset(days):
                found.append(window)
                window = window.earlier()
            else:
                window = Window(window.as_of - day, length)
    return tuple(found)


def _days(span: timedelta) -> range:
    return range(1, span.days + 1)


@dataclass(frozen=True)
class RankerWindows:
    """The windows from which rankers learn what they are asked as of a date.

    Attributes
    ----------
    watched
        How long they learn, and their weights, are chosen on it.
    before
        They learn from these, all before ``watched``, while it is watched.
    learned
        They learn from these, all before the date, in the end; the latest first.
    """

    watched: Window
    before: tuple[Window, ...]
    learned: tuple[Window, ...]

    @property
    def earliest(self) -> date:
        """The date that no window begins before."""
        return min(window.as_of for window in (*self.before, *self.learned))


def ranker_windows(
    dataset: Dataset, validation: Sequence[Window], horizon: int, n: int, older: int = 0
) -> RankerWindows:
    """Lay the windows of rankers that are asked as of a date.

    Parameters
    ----------
    dataset
        The shop.
    validation
        The windows to choose on before the date, all ending there, as of :func:`split`. The first
        that has windows to learn from before it is watched.
    horizon
        Length of the windows in days, see :func:`training_windows`.
    n
        Windows to learn from at most.
    older
        Windows before a gap to learn from beside those, at most, see :func:`older_windows`.

    Raises
    ------
    DataError
        When the data is too short for it.
    """
    for watched in validation:
        before = training_windows(dataset, watched.as_of, horizon, n)
        if before:
            learned = training_windows(dataset, watched.end, horizon, n)
            return RankerWindows(
                watched,
                (*before, *older_windows(dataset, watched.as_of, horizon, older)),
                (*learned, *older_windows(dataset, watched.end, horizon, older)),
            )
    raise DataError(
        "the data has too few days for rankers to learn from and to be chosen on before the days "
        "to recommend for: give more of the past, or go without (--set ranking.enabled=false)"
    )


def before_rankers(dataset: Dataset, windows: Split, horizon: int, n: int) -> date:
    """A date that no window begins before from which rankers learn, for the test or to submit.

    The same whether there are labels from the submission's date on or not: where there are none,
    the last days before it are the test, and rankers learn from days before them.
    """
    earliest = ranker_windows(dataset, windows.selection, horizon, n).earliest
    rows = dataset.pieces_by_day
    tested = min(window.as_of for window in windows.selection)
    with suppress(DataError):  # then there is no such test
        to_test = ranker_windows(dataset, _windows_before(tested, horizon, rows), horizon, n)
        earliest = min(earliest, to_test.earliest)
    return earliest


def _has_history(window: Window, horizon: int, rows: Mapping[date, int]) -> bool:
    """Whether the window has sales, and the days before it were not far fewer than its own."""
    sold = _rows_a_day(rows, window)
    before = _rows_a_day(rows, Window(window.as_of, horizon).earlier())
    return sold > 0 and before >= _LEAST_HISTORY * sold


def _rows_a_day(rows: Mapping[date, int], window: Window) -> float:
    days = (window.as_of + timedelta(days=day) for day in range(window.horizon))
    return sum(rows.get(day, 0) for day in days) / window.horizon
