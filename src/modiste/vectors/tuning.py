"""How thorough a search must be for a wanted recall against exact search.

Recall counts by exact score: a found row is right if it is no further from the query than the k-th
nearest. Shops have articles with the same text and so the same vector; which of them is found is
no merit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from modiste.vectors.neighbours import exact_scores

# Vectors compared with all queries at a time: a bound on memory, not on results.
_BLOCK = 8192

# Two ways to add up the same inner product differ by less.
_ROUNDING = 1e-5

# Where the wanted recall is out of reach, more work must bring at least this much.
_WORTHWHILE = 0.01


class Tuning(BaseModel):
    """The thoroughness chosen for an index, and what it was chosen from."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    parameter: str
    """Faiss's name of what was tuned."""
    value: int = Field(ge=1)
    k: int
    wanted: float
    recall: float | None
    """Recall@k at the value, less two standard errors; unknown where no vectors were held out."""
    queries: int
    curve: tuple[tuple[int, float], ...]
    """Each value that was tried, with its recall (less two standard errors), ascending."""


def kth_best_scores(
    queries: NDArray[np.float32],
    vectors: NDArray[np.float32],
    rows: NDArray[np.int64],
    k: int,
) -> NDArray[np.float32]:
    """Exact inner product of each query with the k-th nearest of some rows; at least ``k`` rows."""
    best = np.empty((len(queries), 0), dtype=np.float32)
    for start in range(0, len(rows), _BLOCK):
        products = queries @ vectors[rows[start : start + _BLOCK]].T
        best = np.concatenate([best, products], axis=1)
        if best.shape[1] > k:
            best = np.partition(best, -k, axis=1)[:, -k:]
    return np.asarray(best.min(axis=1))


def recall(
    queries: NDArray[np.float32],
    ids: NDArray[np.int64],
    vectors: NDArray[np.float32],
    kth_best: NDArray[np.float32],
) -> NDArray[np.float64]:
    """Of each query, the share of what was found that is as near as the k-th nearest.

    ``ids`` has k columns; the result has the shape (queries,).
    """
    scores = exact_scores(queries, ids, vectors)
    return np.asarray((scores >= kth_best[:, None] - _ROUNDING).mean(axis=1))


def surely(recalls: NDArray[np.float64]) -> float:
    """Their mean less two standard errors: what other queries of the kind reach, too."""
    return float(recalls.mean() - 2 * recalls.std() / np.sqrt(len(recalls)))


def smallest_reaching(
    wanted: float, values: Sequence[int], measure: Callable[[int], float]
) -> tuple[int, dict[int, float]]:
    """The smallest of ascending ``values`` whose recall is ``wanted``, and all that was measured.

    Recall is taken to grow with the value. Steps double until it is reached and are halved then, so
    that little is measured beyond what is needed. Where it is not reached, it is the smallest
    measured value within 0.01 of the best.
    """
    measured: dict[int, float] = {}

    def reaches(position: int) -> bool:
        value = values[position]
        measured[value] = measure(value)
        return measured[value] >= wanted

    last = len(values) - 1
    short, position = -1, 0
    while not reaches(position):
        if position == last:
            enough = max(measured.values()) - _WORTHWHILE
            return min(v for v, reached in measured.items() if reached >= enough), measured
        short, position = position, min(2 * position + 1, last)
    while position - short > 1:
        middle = (short + position) // 2
        if reaches(middle):
            position = middle
        else:
            short = middle
    return values[position], measured
