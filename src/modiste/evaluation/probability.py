"""How good predicted probabilities of a purchase are: their errors, their order, their calibration.

Each row is a pair of a customer and an article with the predicted probability that it is bought and
whether it was. A row may stand for several: where some of the pairs that were not bought were left
out, those that are there carry their weight, and so every figure here is one of all pairs.

Nothing depends on the order of the rows but for the last digits: equal predictions are one.

References
----------
AUC as the probability that a bought pair is ranked above one that was not, ties by half: Hanley and
McNeil, "The meaning and use of the area under a ROC curve", Radiology 143(1), 1982. Expected
calibration error: Naeini, Cooper and Hauskrecht, "Obtaining well calibrated probabilities using
Bayesian binning", AAAI 2015, here with bins of equal weight, as most predictions are near 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

# A prediction of just 0 or 1 that turns out wrong would have an infinite logarithmic loss.
_LEAST = float(np.finfo(np.float64).eps)

_BINS = 10


@dataclass(frozen=True)
class ProbabilityScores:
    """What predicted probabilities scored; NaN is "not defined on these rows".

    Attributes
    ----------
    rows
        Number of rows.
    weight
        How many they stand for.
    observed, predicted
        Mean of what was bought and of what was predicted.
    mse, rmse, mae
        Mean squared error (the Brier score), its root, and the mean absolute error.
    r2
        Share of the variance that is explained: 1 less the mean squared error over that of always
        predicting ``observed``; below 0 for what is worse than that, NaN where all or none was
        bought.
    log_loss
        Mean negative logarithm (natural) of the probability given to what happened.
    auc
        Probability that a bought row is predicted higher than one that was not bought, ties
        counted by half; NaN where all or none was bought.
    calibration_error
        Expected calibration error, of the bins of :func:`calibration`.
    """

    rows: int
    weight: float
    observed: float
    predicted: float
    mse: float
    rmse: float
    mae: float
    r2: float
    log_loss: float
    auc: float
    calibration_error: float

    @classmethod
    def of(
        cls,
        predicted: ArrayLike,
        bought: ArrayLike,
        weights: ArrayLike | None = None,
        bins: int = _BINS,
    ) -> Self:
        """Score predictions.

        Parameters
        ----------
        predicted
            Probabilities, shape (n_rows,), one row or more.
        bought
            Whether, as bool or as 0 and 1; shape (n_rows,).
        weights
            How many rows each stands for, shape (n_rows,), 0 or more; None: one.
        bins
            Number of bins of the calibration error.

        Raises
        ------
        ValueError
            When shapes differ, there is no row, a prediction is no probability, what was bought is
            neither 0 nor 1, or weights are negative, not finite or all 0.
        """
        p, y, w = _checked(predicted, bought, weights)
        total = float(w.sum())
        observed = float((w * y).sum() / total)
        mse = float((w * (p - y) ** 2).sum() / total)
        # Of predicting the mean: y² = y.
        variance = observed * (1 - observed)
        happened = np.where(y == 1, p, 1 - p)
        return cls(
            rows=len(p),
            weight=total,
            observed=observed,
            predicted=float((w * p).sum() / total),
            mse=mse,
            rmse=mse**0.5,
            mae=float((w * np.abs(p - y)).sum() / total),
            r2=1 - mse / variance if _has_both(y, w) else float("nan"),
            log_loss=float((w * -np.log(np.maximum(happened, _LEAST))).sum() / total),
            auc=auc(p, y, w),
            calibration_error=expected_calibration_error(calibration(p, y, w, bins)),
        )


def auc(predicted: ArrayLike, bought: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Area under the ROC curve: how often a bought row is predicted above one that was not.

    Only the order of the predictions counts, but they must be probabilities. Parameters and errors
    are those of :meth:`ProbabilityScores.of`.

    Returns
    -------
    Between 0 and 1, ties counted by half; NaN where all or none was bought.
    """
    p, y, w = _checked(predicted, bought, weights)
    if not _has_both(y, w):
        return float("nan")
    values, place = np.unique(p, return_inverse=True)
    positive = np.bincount(place, w * y, len(values))
    negative = np.bincount(place, w * (1 - y), len(values))
    below = np.cumsum(negative) - negative
    pairs = float((positive * (below + negative / 2)).sum())
    return pairs / (float(positive.sum()) * float(negative.sum()))


def calibration(
    predicted: ArrayLike,
    bought: ArrayLike,
    weights: ArrayLike | None = None,
    bins: int = _BINS,
    alike: Literal["rows", "predicted"] = "rows",
) -> pl.DataFrame:
    """Compare predicted with observed shares in bins of rising predictions.

    Bins are quantiles: each holds about the same weight, or the same number of predicted purchases.
    Equal predictions are never parted, so that there are fewer bins where many are equal.

    Parameters
    ----------
    predicted, bought, weights
        As for :meth:`ProbabilityScores.of`, which says the errors, too.
    bins
        Number of bins at most, 1 or more.
    alike
        What each bin holds about as much of: rows, by their weight; or predicted purchases, so that
        the few high predictions, which matter most, have bins of their own.

    Returns
    -------
    One row a bin, by rising predictions: ``low`` and ``high`` (the lowest and highest prediction in
    it), ``predicted`` and ``observed`` (weighted means), ``n`` (int64, number of rows) and
    ``weight`` (how many they stand for). Rows of weight 0 are left out.
    """
    if bins < 1:
        raise ValueError(f"there is one bin at least, not {bins}")
    p, y, w = _checked(predicted, bought, weights)
    p, y, w = p[w > 0], y[w > 0], w[w > 0]
    values, place, rows = np.unique(p, return_inverse=True, return_counts=True)
    weight = np.bincount(place, w, len(values))
    positive = np.bincount(place, w * y, len(values))
    # A value belongs to the bin that the middle of its weight lies in.
    held = weight * values if alike == "predicted" and values.any() else weight
    middle = (np.cumsum(held) - held / 2) / held.sum()
    of_value = np.minimum((middle * bins).astype(np.int64), bins - 1)
    _, first, bin_ = np.unique(of_value, return_index=True, return_inverse=True)
    last = np.append(first[1:], len(values)) - 1
    in_bin = np.bincount(bin_, weight)
    return pl.DataFrame(
        {
            "low": values[first],
            "high": values[last],
            "predicted": np.bincount(bin_, weight * values) / in_bin,
            "observed": np.bincount(bin_, positive) / in_bin,
            "n": np.add.reduceat(rows.astype(np.int64), first),
            "weight": in_bin,
        }
    )


def expected_calibration_error(table: pl.DataFrame) -> float:
    """Mean distance of predicted and observed shares over the bins, by their weight.

    Parameters
    ----------
    table
        Of :func:`calibration`; one bin or more.

    Returns
    -------
    Between 0 and 1; 0 is well calibrated. Few rows in a bin make it larger by chance.
    """
    weight = table["weight"].to_numpy()
    gaps = np.abs(table["predicted"].to_numpy() - table["observed"].to_numpy())
    return float((weight * gaps).sum() / weight.sum())


def _has_both(bought: Floats, weights: Floats) -> bool:
    """Whether something was bought and something was not."""
    counted = bought[weights > 0]
    return bool(counted.min() < counted.max())


def _checked(
    predicted: ArrayLike, bought: ArrayLike, weights: ArrayLike | None
) -> tuple[Floats, Floats, Floats]:
    """The three as float64 of one length."""
    p = np.asarray(predicted, dtype=np.float64)
    y = np.asarray(bought, dtype=np.float64)
    w = np.ones_like(p) if weights is None else np.asarray(weights, dtype=np.float64)
    if p.ndim != 1 or not p.shape == y.shape == w.shape:
        raise ValueError(
            f"a prediction, a purchase and a weight a row: not {p.shape}, {y.shape} and {w.shape}"
        )
    if not len(p):
        raise ValueError("no rows: there is nothing to score")
    if not ((p >= 0) & (p <= 1)).all():
        raise ValueError("a probability lies between 0 and 1")
    if not ((y == 0) | (y == 1)).all():
        raise ValueError("a row was bought (1) or not (0)")
    if not (np.isfinite(w) & (w >= 0)).all() or not w.any():
        raise ValueError("weights are finite and 0 or more, and one at least is more")
    return p, y, w
