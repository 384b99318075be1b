"""Weeks, seasons, weekdays and paydays: when people shop."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import numpy as np

from modiste.data.synthetic.arrays import Floats, Ints

HORIZON_DAYS = 7

# Monday to Sunday. Store days: Saturday is the busiest and Sunday the quietest, as in the data.
_WEEKDAY = np.array([0.96, 0.99, 1.03, 1.02, 1.05, 1.12, 0.83])
_PAYDAY_FROM, _PAYDAY_GAIN = 25, 1.18

# Demand over the year as bumps: (month, day, half width in days, gain).
_YEARLY = (
    (6, 26, 14.0, 0.55),  # midsummer sale
    (5, 15, 35.0, 0.22),  # spring
    (11, 29, 6.0, 0.50),  # Black Friday
    (9, 20, 20.0, 0.10),  # autumn collections
    (1, 25, 25.0, -0.18),  # after the holidays
)
# What happened once: (day, half width in days, gain).
_ONCE = (
    (dt.date(2019, 6, 24), 9.0, 0.45),
    (dt.date(2020, 3, 25), 16.0, -0.35),  # shops closed
    (dt.date(2020, 5, 5), 25.0, 0.20),  # and opened again
)


@dataclass(frozen=True)
class Calendar:
    """The model weeks of a shop, counted back from the last day so that the last one is whole.

    Attributes
    ----------
    first_day : date
    weeks : int
        Number of weeks with transactions. Week ``weeks`` is the horizon that follows.
    week_start : int64, (weeks + 1,)
        First day of each week, in days since 1970-01-01.
    day_share : float64, (weeks + 1, 7)
        How a week's shopping spreads over its days; 0 for days before ``first_day``.
    demand : float64, (weeks + 1,)
        Expected visits of the week relative to the mean week.
    season_angle : float64, (weeks + 1,)
        Middle of the week as an angle of the year, radians.
    """

    first_day: dt.date
    weeks: int
    week_start: Ints
    day_share: Floats
    demand: Floats
    season_angle: Floats


def make_calendar(first_day: dt.date, last_day: dt.date) -> Calendar:
    """Lay out the weeks from the first to the last day, and the horizon after it."""
    weeks = -(-((last_day - first_day).days + 1) // HORIZON_DAYS)
    epoch = dt.date(1970, 1, 1)
    last, first = (last_day - epoch).days, (first_day - epoch).days
    week_start = last + 1 - HORIZON_DAYS * np.arange(weeks, -1, -1, dtype=np.int64)
    days = week_start[:, None] + np.arange(HORIZON_DAYS)
    weight = _day_weight(days) * (days >= first)
    total = weight.sum(1)
    return Calendar(
        first_day=first_day,
        weeks=weeks,
        week_start=week_start,
        day_share=weight / total[:, None],
        demand=total / total[:-1].mean(),
        season_angle=2 * np.pi * _day_of_year(week_start + 3) / 365.25,
    )


def _day_of_year(days: Ints) -> Floats:
    dates = days.astype("datetime64[D]")
    return np.asarray((dates - dates.astype("datetime64[Y]")).astype(np.float64))


def _day_weight(days: Ints) -> Floats:
    """Relative number of visits on each day."""
    dates = days.astype("datetime64[D]")
    of_year = _day_of_year(days)
    of_month = (dates - dates.astype("datetime64[M]")).astype(np.int64) + 1
    gain = np.ones(days.shape)
    for month, day, width, size in _YEARLY:
        middle = (dt.date(2019, month, day) - dt.date(2019, 1, 1)).days
        # The year is a circle: December is near January.
        away = (of_year - middle + 182.5) % 365 - 182.5
        gain += size * np.exp(-0.5 * (away / width) ** 2)
    for date, width, size in _ONCE:
        since = days - (date - dt.date(1970, 1, 1)).days
        gain += size * np.exp(-0.5 * (since / width) ** 2)
    # 1970-01-01 was a Thursday, weekday 3.
    weekday = _WEEKDAY[(days + 3) % 7]
    payday = np.where(of_month >= _PAYDAY_FROM, _PAYDAY_GAIN, 1.0)
    return np.asarray(np.maximum(gain, 0.2) * weekday * payday)
