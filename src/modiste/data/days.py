"""Days as whole numbers, for arrays."""

from __future__ import annotations

from datetime import date

import numpy as np
import polars as pl
from numpy.typing import NDArray

# Day 0: Polars' own, so that dates are taken as they lie in the files.
EPOCH = date(1970, 1, 1)


def day_number(day: date) -> int:
    """Days since ``EPOCH``."""
    return (day - EPOCH).days


def day_numbers(days: pl.Series) -> NDArray[np.int32]:
    """The same of each of some dates, none of which is null."""
    return days.cast(pl.Int32).to_numpy()
