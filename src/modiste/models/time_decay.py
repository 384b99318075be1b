"""Time decay: how much less a purchase counts the longer ago it was.

A purchase of ``age`` days before the as-of date counts ``age ** -exponent``: the purchase of the
last day 1, whatever the exponent. Power laws fit forgetting and repurchase better than exponentials
(Anderson & Schooler, "Reflections of the environment in memory", 1991).

Decays are whole numbers of ``UNIT``. Sums of integers do not depend on the order of the rows, so
that every score is the same bytes for any partitioning, number of threads or workers.
"""

from __future__ import annotations

from datetime import date

import polars as pl

UNIT = 2.0**-20


def decay_units(as_of: date, exponent: float, day: str = "t_dat") -> pl.Expr:
    """Decay of each row's ``day`` as of a date, in units of ``UNIT`` (int64)."""
    age = (pl.lit(as_of) - pl.col(day)).dt.total_days().cast(pl.Float64)
    return (age.pow(-exponent) / UNIT).round().cast(pl.Int64)
