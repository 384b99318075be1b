"""From scores to the probability that a candidate is bought.

Isotonic regression: the probability never falls as the score rises, and nothing else is supposed.
Purchases are rare, so the rows are first put into bins, in the order of their scores, with as many
purchases each as there are bins: where the scores are low a bin is wide, and none says 0 or 1 for
the sake of a single row. Between the bins' mean scores the logit of the probability is a straight
line; beyond the first and the last it is theirs.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression
from scipy.special import expit, logit

from modiste.errors import DataError, damaged

_STATE = "calibration.json"

# Purchases that a bin has at least, and that bins there are at most.
_LEAST_PURCHASES, _MOST_BINS = 10, 200

# In a bin with nothing but purchases the probability is this far from 1.
_LEAST_DOUBT = 1e-6


class Calibration:
    """Learned from scores of rows that the ranker has not learned from."""

    def __init__(self) -> None:
        self._scores: NDArray[np.float64] = np.empty(0)
        self._logits: NDArray[np.float64] = np.empty(0)

    def fit(
        self,
        scores: NDArray[np.floating[Any]],
        bought: NDArray[np.bool_],
        weights: NDArray[np.floating[Any]] | None = None,
    ) -> Self:
        """Learn how likely rows of each score are bought; returns itself.

        Parameters
        ----------
        scores
            Shape (n_rows,), finite.
        bought
            bool, shape (n_rows,).
        weights
            Of how many rows each stands; None: of one each.

        Raises
        ------
        DataError
            When none of the rows was bought, or a score is not finite.
        """
        if not bought.any():
            raise DataError(
                f"none of the {len(bought):,} rows was bought, so there is no probability to "
                "learn: give more windows"
            )
        if not np.isfinite(scores).all():
            raise DataError("a score is not finite, so it has no place among the others")
        order = np.argsort(scores, kind="stable")
        score = scores[order].astype(np.float64)
        weight = np.ones(len(score)) if weights is None else weights[order].astype(np.float64)
        bin_of = _bins(score, bought[order])
        total = np.bincount(bin_of, weights=weight)
        purchases = np.bincount(bin_of, weights=weight * bought[order])
        found = isotonic_regression(purchases / total, weights=total)
        self._scores = np.bincount(bin_of, weights=weight * score) / total
        self._logits = logit(np.clip(found.x, None, 1 - _LEAST_DOUBT))
        return self

    def probability(self, scores: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """How likely rows are bought, by their scores: shape as given, each above 0, below 1."""
        if not len(self._scores):
            raise DataError("this calibration has learned nothing yet: fit it, or load one")
        probability: NDArray[np.float64] = expit(np.interp(scores, self._scores, self._logits))
        return probability

    def save(self, folder: Path) -> None:
        """Write what was learned into an existing folder."""
        state = {"scores": self._scores.tolist(), "logits": self._logits.tolist()}
        (folder / _STATE).write_text(json.dumps(state, indent=1) + "\n", encoding="utf-8")

    def load(self, folder: Path) -> Self:
        """Read back what :meth:`save` wrote; returns itself.

        Raises
        ------
        DataError
            When the folder holds none, or a damaged one.
        """
        try:
            state = json.loads((folder / _STATE).read_text(encoding="utf-8"))
            scores, logits = (np.array(state[name], np.float64) for name in ("scores", "logits"))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise damaged(folder, "calibration", error, "fit it anew") from error
        self._scores, self._logits = scores, logits
        return self


def _bins(score: NDArray[np.float64], bought: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Number of each row's bin, from 0; rows are sorted by score, and equal scores share a bin."""
    n_purchases = int(bought.sum())
    each = max(_LEAST_PURCHASES, math.isqrt(n_purchases), n_purchases // _MOST_BINS)
    # A bin ends with its last purchase; what lies above the last one joins its bin.
    last = np.flatnonzero(bought)[each - 1 :: each][:-1]
    ends = np.unique(np.searchsorted(score, score[last], side="right"))
    return np.searchsorted(ends, np.arange(len(score)), side="right")
