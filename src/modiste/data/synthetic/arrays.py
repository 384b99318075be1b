"""Names for the array types of the synthetic shop, and small vectorised draws."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.floating[Any]]
Ints: TypeAlias = NDArray[np.integer[Any]]
Bools: TypeAlias = NDArray[np.bool_]

# One random stream for each purpose and block. A stream's number is part of every shop made with
# it: append, never renumber.
STREAMS = (
    "catalogue",
    "market",
    "personas",
    "people",
    "never_bought",
    "ids",
    "cards",
    "visits",
    "picks",
    "repeats",
    "next_week",
    "ceiling",
)


def stream(seed: int, purpose: str, block: int = 0) -> np.random.Generator:
    """Random stream of one purpose in one block: the same whoever runs it, and when."""
    key = (STREAMS.index(purpose), block)
    return np.random.Generator(np.random.SFC64(np.random.SeedSequence(seed, spawn_key=key)))


def stacked_cdf(weights: Floats) -> Floats:
    """Cumulative distributions of all rows in one rising array, for :func:`draw_from`.

    Parameters
    ----------
    weights : (rows, n)
        Not negative; each row has a positive sum.

    Returns
    -------
    float64, (rows * n,)
        Row ``r`` rises from ``r`` to ``r + 1``.
    """
    cdf = np.cumsum(weights, axis=1, dtype=np.float64)
    cdf /= cdf[:, -1:]
    # Rounding must not leave a gap at the top of a row.
    cdf[:, -1] = 1.0
    return (cdf + np.arange(len(cdf))[:, None]).ravel()


def draw_from(cdf: Floats, row: Ints, uniform: Floats) -> Ints:
    """Draw one place of the stacked cdf for each (row, uniform in [0, 1))."""
    # A uniform next to 1 could round up into the next row.
    target = np.minimum(row + uniform, np.nextafter(row + 1.0, 0.0))
    return np.asarray(np.searchsorted(cdf, target, side="right"))


def sum_by(group: Ints, value: Floats, groups: int) -> Floats:
    """Sum of the values of each group 0 … groups - 1; float64, (groups,)."""
    return np.asarray(np.bincount(group, weights=value, minlength=groups), dtype=np.float64)
