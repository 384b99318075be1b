"""Days as whole numbers, for arrays."""

from __future__ import annotations

from datetime import date

# Day 0: Polars' own, so that dates are taken as they lie in the files.
EPOCH = date(1970, 1, 1)


def day_number(day: date) -> int:
    """Days since ``EPOCH``."""
    return (day - EPOCH).days
