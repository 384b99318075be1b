"""Time decay: how much less a purchase counts the longer ago it was.

A purchase of ``age`` days before the as-of date counts ``age ** -exponent``: the purchase of the
last day 1, whatever the exponent. Power laws fit forgetting and repurchase better than exponentials
(Anderson & Schooler, "Reflections of the environment in memory", 1991).

What is summed over rows is counted in whole ``UNIT``s. Sums of integers do not depend on the order
of the rows, so that every score is the same bytes for any partitioning, threads or workers.
"""

from __future__ import annotations

from datetime import date

import polars as pl

from modiste.data.dataset import CustomerBatch

UNIT = 2.0**-20


def in_units(value: pl.Expr) -> pl.Expr:
    """A non-negative number as whole units (int64)."""
    return (value / UNIT).round().cast(pl.Int64)


def decay(as_of: date, exponent: float) -> pl.Expr:
    """Decay of each row's ``t_dat`` as of a date (float64, at most 1)."""
    age = (pl.lit(as_of) - pl.col("t_dat")).dt.total_days().cast(pl.Float64)
    return age.pow(-exponent)


def purchase_units(batch: CustomerBatch, exponent: float) -> pl.DataFrame:
    """Decayed purchase days of every pair: ``customer``, ``article``, ``units`` of ``UNIT``.

    How many pieces were bought on a day does not count: it says little of what comes next.
    """
    return batch.once(
        ("purchase units", exponent),
        lambda: batch.interactions.group_by("customer", "article", maintain_order=True).agg(
            in_units(decay(batch.as_of, exponent)).sum().alias("units")
        ),
    )
