"""How sure a figure is: bootstrap intervals of means over customers, and of paired differences.

Customers are drawn with replacement (Efron and Tibshirani, "An Introduction to the Bootstrap",
1993, chapters 13 and 16). A draw is a row of a sparse matrix with a one for each customer drawn; a
block of draws times the matrix of scores gives the resampled means of all models and metrics at
once. So two models are always compared on the same resamples (the pairing), and a further model
costs a further column of a product.

The product is SciPy's and not BLAS's: BLAS sums in an order that depends on its number of threads,
which would change the last digits, and its threads starve each other on a busy machine.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array

Floats = NDArray[np.float64]

# Customers drawn at once, over all draws of a block (12 bytes each).
_BLOCK_CUSTOMERS = 2**21


@dataclass(frozen=True)
class Interval:
    """A mean over customers and its bootstrap percentile interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Difference:
    """By how much a model's mean is above the reference's, on the same customers.

    Attributes
    ----------
    difference, low, high
        The difference of the means and its bootstrap percentile interval.
    share_positive
        Share of the resamples in which the model is above the reference.
    """

    difference: float
    low: float
    high: float
    share_positive: float


def resample_means(values: ArrayLike, resamples: int = 1000, seed: int = 0) -> Floats:
    """Means over customers drawn with replacement, for many columns of scores at once.

    Parameters
    ----------
    values
        Scores, shape (n_customers, n_columns), one customer or more.
    resamples
        Number of resamples.
    seed
        The draws depend on it, on the number of customers and on nothing else.

    Returns
    -------
    Shape (resamples, n_columns). Columns share their resamples. Memory beyond it is bounded by a
    block of draws and does not grow with ``resamples``.
    """
    scores = np.asarray(values, dtype=np.float64)
    n = len(scores)
    if n == 0:
        raise ValueError("the mean over no customers has no interval")
    rng = np.random.default_rng(seed)
    means = np.empty((resamples, scores.shape[1]))
    block = max(1, _BLOCK_CUSTOMERS // n)
    for start in range(0, resamples, block):
        draws = min(block, resamples - start)
        drawn = rng.integers(0, n, draws * n, dtype=np.int32)
        ends = np.arange(0, draws * n + 1, n, dtype=np.int32)
        # A customer drawn twice stands twice in a row; the product adds both.
        resampled = csr_array((np.ones(draws * n), drawn, ends), shape=(draws, n))
        means[start : start + draws] = np.asarray(resampled @ scores)
    means /= n
    return means


def percentiles(resampled: Floats, level: float = 0.95) -> tuple[Floats, Floats]:
    """Bounds of the central ``level`` of resampled figures, along the first axis."""
    tail = (1 - level) / 2
    low, high = np.quantile(resampled, [tail, 1 - tail], axis=0)
    return low, high


def mean_interval(
    values: ArrayLike, level: float = 0.95, resamples: int = 1000, seed: int = 0
) -> Interval:
    """Give the mean of one score over customers, with its interval.

    Parameters
    ----------
    values
        Scores, shape (n_customers,).
    level
        Share of the resampled means that lie in the interval.
    resamples, seed
        As for :func:`resample_means`.
    """
    scores = np.asarray(values, dtype=np.float64)[:, None]
    low, high = percentiles(resample_means(scores, resamples, seed), level)
    return Interval(float(scores.mean()), float(low[0]), float(high[0]))


def paired_difference(
    values: ArrayLike,
    reference: ArrayLike,
    level: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> Difference:
    """Compare two models' scores of the same customers.

    Parameters
    ----------
    values, reference
        Scores of the model and of the reference, shape (n_customers,), customers in one order.
    level, resamples, seed
        As for :func:`mean_interval`.
    """
    (found,) = paired_differences(values, {"": reference}, level, resamples, seed).values()
    return found


def paired_differences(
    values: ArrayLike,
    references: Mapping[str, ArrayLike],
    level: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> dict[str, Difference]:
    """Compare a model's scores with those of several others, all on the same resamples.

    Parameters
    ----------
    values
        Scores of the model, shape (n_customers,).
    references
        By name, scores of the others, customers in the same order.
    level, resamples, seed
        As for :func:`mean_interval`.
    """
    if not references:
        return {}
    columns = [np.asarray(reference, dtype=np.float64) for reference in references.values()]
    gaps = np.asarray(values, dtype=np.float64)[:, None] - np.stack(columns, axis=1)
    resampled = resample_means(gaps, resamples, seed)
    low, high = percentiles(resampled, level)
    return {
        name: Difference(
            float(gaps[:, column].mean()),
            float(low[column]),
            float(high[column]),
            float((resampled[:, column] > 0).mean()),
        )
        for column, name in enumerate(references)
    }
