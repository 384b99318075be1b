"""Logistic regression as a ranker: the floor that every other must be above."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit
from threadpoolctl import threadpool_limits

from modiste.errors import DataError, damaged
from modiste.ranking.encoding import Encoded, FeatureEncoding
from modiste.ranking.list_accuracy import mean_average_precision
from modiste.ranking.logistic_settings import LogisticSettings
from modiste.ranking.purchases import Labels, labels_of, lists_to_watch
from modiste.ranking.rows import LABEL, RankingRows

_STATE = "logistic.json"

# Of which products are in float64 at once.
_ROWS_IN_A_BLOCK = 1 << 16

_Flat = np.ndarray[tuple[int], np.dtype[np.float64]]


class LogisticRanker:
    """Weighted logistic regression on encoded features, a coefficient for each code of a category.

    The same rows give the same coefficients. A fit takes seconds and leaves no checkpoints: one
    that was killed begins anew.

    Parameters
    ----------
    settings
        Of the regression.
    """

    def __init__(self, settings: LogisticSettings | None = None) -> None:
        self.settings = settings or LogisticSettings()
        self._rounds = 0
        self._encoding = FeatureEncoding()
        # Of the numbers, of all codes of the first category, the second …, and the intercept.
        self._coefficients: NDArray[np.float64] = np.empty(0)
        self._importance: NDArray[np.float64] = np.empty(0)

    @property
    def rounds(self) -> int:
        """Iterations of L-BFGS after which the coefficients were best."""
        return self._rounds

    def fit(
        self,
        rows: RankingRows,
        watched: RankingRows | None = None,
        *,
        rounds: int | None = None,
        checkpoints: Path | None = None,  # noqa: ARG002  (a fit takes seconds)
    ) -> Self:
        """Learn from rows; returns itself. See :class:`~modiste.ranking.protocol.Ranker`.

        With ``rounds`` the lists of ``watched`` are not looked at: learning does not stop early.

        Raises
        ------
        DataError
            When there is nothing to learn from, or no bought article in ``watched``.
        """
        labels = labels_of(rows)
        encoding = FeatureEncoding().fit(rows)
        encoded = encoding.transform(rows.frame)
        accuracy = None
        if watched is not None and rounds is None:
            accuracy = _accuracy_on(watched, encoding)
        # On one thread: how several share the sums differs from one process to the next, in the
        # last bits, and two runs would not be the same.
        with threadpool_limits(limits=1, user_api="blas"):
            found = _minimum(encoded, labels, encoding, self.settings, rounds, accuracy)
        self._encoding, (self._coefficients, self._rounds) = encoding, found
        self._importance = _importance(encoded, encoding, self._coefficients)
        return self

    def score(self, frame: pl.DataFrame) -> NDArray[np.float32]:
        """The logit of each row's probability, shape (n_rows,)."""
        self._require_fitted()
        encoded = self._encoding.transform(frame)
        with threadpool_limits(limits=1, user_api="blas"):
            return _logits(encoded, self._encoding, self._coefficients).astype(np.float32)

    def contributions(self, frame: pl.DataFrame) -> pl.DataFrame:
        """What each feature adds to a row's score: its coefficients times its encoded values.

        Returns
        -------
        One column (float64) a feature and ``expected``, the intercept: each row adds up to its
        score. An encoded number is 0 where the feature has its usual value, or is missing.
        """
        self._require_fitted()
        encoded, flat = self._encoding.transform(frame), self._coefficients
        added = {
            feature.name: _of_feature(encoded, self._encoding, flat, place)
            for place, feature in enumerate(self._encoding.features)
        }
        return pl.DataFrame({**added, "expected": np.full(len(encoded), flat[-1])})

    def importance(self) -> pl.DataFrame:
        """Standard deviation of what each feature adds to the score, as a share of all."""
        names = [feature.name for feature in self._encoding.features]
        return pl.DataFrame({"feature": names, "importance": self._importance})

    def save(self, folder: Path) -> None:
        """Write what was learned into an existing, empty folder."""
        self._require_fitted()
        self._encoding.save(folder)
        state = {
            "rounds": self._rounds,
            "coefficients": self._coefficients.tolist(),
            "importance": self._importance.tolist(),
        }
        (folder / _STATE).write_text(json.dumps(state, indent=1) + "\n", encoding="utf-8")

    def load(self, folder: Path) -> Self:
        """Read back what :meth:`save` wrote; returns itself.

        Raises
        ------
        DataError
            When the folder holds none, or a damaged one.
        """
        encoding = FeatureEncoding().load(folder)
        try:
            state: dict[str, Any] = json.loads((folder / _STATE).read_text(encoding="utf-8"))
            coefficients, importance = (
                np.array(state[name], dtype=np.float64) for name in ("coefficients", "importance")
            )
            rounds = int(state["rounds"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise damaged(folder, "logistic regression", error, "fit it anew") from error
        self._encoding, self._rounds = encoding, rounds
        self._coefficients, self._importance = coefficients, importance
        return self

    def _require_fitted(self) -> None:
        if not len(self._coefficients):
            raise DataError("this regression has learned nothing yet: fit it, or load one")


def _accuracy_on(
    watched: RankingRows, encoding: FeatureEncoding
) -> Callable[[NDArray[np.float64]], float]:
    """MAP@12 of coefficients on watched lists."""
    lists = lists_to_watch(watched)
    rows, sizes = encoding.transform(lists.frame), lists.list_sizes()
    bought = lists.frame[LABEL].to_numpy()
    return lambda flat: mean_average_precision(sizes, bought, _logits(rows, encoding, flat))


def _minimum(
    rows: Encoded,
    labels: Labels,
    encoding: FeatureEncoding,
    settings: LogisticSettings,
    rounds: int | None,
    accuracy: Callable[[NDArray[np.float64]], float] | None,
) -> tuple[NDArray[np.float64], int]:
    """The coefficients of the least loss, or of the best accuracy on the way to it, and when."""
    shares = labels.weights.astype(np.float64) / labels.weights.sum(dtype=np.float64)
    starts = _starts(encoding)

    def loss(flat: _Flat) -> tuple[float, _Flat]:
        total, gradient = 0.0, np.zeros_like(flat)
        for here, block in rows.blocks(_ROWS_IN_A_BLOCK):
            logits, share = _logits(block, encoding, flat), shares[here]
            sign = np.where(labels.bought[here], 1.0, -1.0)
            total += float(share @ np.logaddexp(0, -sign * logits))
            error = share * (expit(logits) - labels.bought[here])
            gradient[: starts[0]] += error @ block.numbers.astype(np.float64)
            for place, start in enumerate(starts[:-1]):
                codes = block.categories[:, place]
                gradient[start : starts[place + 1]] += np.bincount(
                    codes, weights=error, minlength=starts[place + 1] - start
                )
            gradient[-1] += error.sum()
        gradient[:-1] += settings.l2 * flat[:-1]
        return total + settings.l2 / 2 * float(flat[:-1] @ flat[:-1]), gradient

    best: _Flat = np.zeros(int(starts[-1]) + 1)
    best_accuracy, n_done, n_best = -np.inf, 0, 0

    def note(xk: _Flat) -> None:
        nonlocal best, best_accuracy, n_done, n_best
        n_done += 1
        if accuracy is None:
            best, n_best = xk.copy(), n_done
            return
        found = accuracy(xk)
        if found > best_accuracy:
            best, best_accuracy, n_best = xk.copy(), found, n_done

    start = np.zeros_like(best)
    start[-1] = np.log(labels.share_bought / (1 - labels.share_bought))
    most = rounds or settings.iterations
    minimize(loss, start, jac=True, method="L-BFGS-B", callback=note, options={"maxiter": most})
    return (best, n_best) if n_best else (start, 0)


def _starts(encoding: FeatureEncoding) -> NDArray[np.int64]:
    """Where the coefficients of each category begin, and where the last ones end."""
    columns = encoding.columns
    return len(columns.of_numbers) + np.cumsum([0, *columns.codes])


def _logits(
    rows: Encoded, encoding: FeatureEncoding, flat: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Scores of encoded rows by flat coefficients."""
    starts = _starts(encoding)
    logits = np.empty(len(rows))
    for here, block in rows.blocks(_ROWS_IN_A_BLOCK):
        logits[here] = _row_by_row(block.numbers, flat[: starts[0]]) + flat[-1]
        for place, start in enumerate(starts[:-1]):
            logits[here] += flat[start + block.categories[:, place]]
    return logits


def _row_by_row(
    numbers: NDArray[np.float32], coefficients: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Each row's sum of numbers times coefficients.

    The last bits of BLAS's product of a row depend on the rows beside it (OpenBLAS on an Intel
    processor with AVX-512), and a customer's list would on who else is asked about.
    """
    sums: NDArray[np.float64] = np.einsum("ij,j->i", numbers.astype(np.float64), coefficients)
    return sums


def _of_feature(
    rows: Encoded, encoding: FeatureEncoding, flat: NDArray[np.float64], feature: int
) -> NDArray[np.float64]:
    """What one feature, by its place, adds to the scores of encoded rows."""
    columns, starts = encoding.columns, _starts(encoding)
    if feature in columns.of_categories:
        place = columns.of_categories.index(feature)
        added: NDArray[np.float64] = flat[starts[place] + rows.categories[:, place]]
    else:
        (own,) = np.nonzero(np.array(columns.of_numbers) == feature)
        added = _row_by_row(rows.numbers[:, own], flat[own])
    return added


def _importance(
    rows: Encoded, encoding: FeatureEncoding, flat: NDArray[np.float64]
) -> NDArray[np.float64]:
    spread = np.array(
        [
            _of_feature(rows, encoding, flat, feature).std()
            for feature in range(encoding.columns.n_features)
        ]
    )
    total = spread.sum()
    return spread / total if total > 0 else np.full(len(spread), 1 / len(spread))
