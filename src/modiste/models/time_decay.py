"""Time decay: how much less a purchase counts the longer ago it was.

A purchase of ``age`` days before the as-of date counts ``age ** -exponent``: the purchase of the
last day 1, whatever the exponent. Power laws fit forgetting and repurchase better than exponentials
(Anderson & Schooler, "Reflections of the environment in memory", 1991).

What is summed over rows is counted in whole ``UNIT``s. Sums of integers do not depend on the order
of the rows, so that every score is the same bytes for any partitioning, threads or workers.
"""

from __future__ import annotations

from datetime import date
from functools import lru_cache

import numpy as np
import polars as pl
from numpy.typing import NDArray

from modiste.data.dataset import CustomerBatch
from modiste.data.days import day_number, day_numbers
from modiste.data.pairs import groups_of_sorted

UNIT = 2.0**-20

# Ages whose decay is worked out at once: eleven years of days.
_AGES = 4096


def in_units(value: pl.Expr) -> pl.Expr:
    """A non-negative number as whole units (int64)."""
    return (value / UNIT).round().cast(pl.Int64)


def decay(as_of: date, exponent: float) -> pl.Expr:
    """Decay of each row's ``t_dat`` as of a date (float64, at most 1)."""
    return _decay_of_age((pl.lit(as_of) - pl.col("t_dat")).dt.total_days(), exponent)


def _decay_of_age(age: pl.Expr, exponent: float) -> pl.Expr:
    return age.cast(pl.Float64).pow(-exponent)


@lru_cache(64)
def _units_by_age(exponent: float, n: int) -> NDArray[np.int64]:
    """Decay of the ages 1 to ``n`` in whole units."""
    age = pl.int_range(1, n + 1, eager=True).alias("age").to_frame()
    return age.select(in_units(_decay_of_age(pl.col("age"), exponent))).to_series().to_numpy()


def purchase_units(batch: CustomerBatch, exponent: float) -> pl.DataFrame:
    """Decayed purchase days of every pair: ``customer``, ``article``, ``units`` of ``UNIT``.

    How many pieces were bought on a day does not count: it says little of what comes next.
    """
    return batch.once(("purchase units", exponent), lambda: _purchase_units(batch, exponent))


def _purchase_units(batch: CustomerBatch, exponent: float) -> pl.DataFrame:
    bought = batch.interactions
    customer, article = bought["customer"].to_numpy(), bought["article"].to_numpy()
    age = day_number(batch.as_of) - day_numbers(bought["t_dat"])
    ages = -(-int(age.max(initial=1)) // _AGES) * _AGES
    units = _units_by_age(exponent, ages)[age - 1]
    starts, _ = groups_of_sorted(customer, article)
    return pl.DataFrame(
        [
            pl.Series("customer", customer[starts]),
            pl.Series("article", article[starts]),
            pl.Series("units", np.add.reduceat(units, starts) if len(starts) else units),
        ]
    )


def latest_articles(
    batch: CustomerBatch, exponent: float, most: int
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int64]]:
    """The pairs of :func:`purchase_units` with the most units of each customer.

    Parameters
    ----------
    batch, exponent
        As there.
    most
        Articles of a customer.

    Returns
    -------
    Customer, article and units: by customer, the most units first, then the lower code.
    """
    bought = purchase_units(batch, exponent)
    customer, article, units = (each.to_numpy() for each in bought.iter_columns())
    order = np.lexsort((article, -units, customer))
    starts, sizes = groups_of_sorted(customer[order])
    place = np.arange(len(order)) - np.repeat(starts, sizes)
    kept = order[place < most]
    return customer[kept], article[kept], units[kept]
