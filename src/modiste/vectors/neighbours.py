"""What a search in a vector index finds, and its exact scores."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Vectors gathered at a time to be scored: a bound on memory, not on results.
_GATHERED = 1 << 15


@dataclass(frozen=True)
class Neighbours:
    """The nearest rows of each query, best first; of equal scores the lower row first.

    Attributes
    ----------
    ids
        int64, shape (queries, k): row numbers, and -1 where there were fewer than ``k``.
    scores
        float32, shape (queries, k): inner products with the query, and -inf beside each -1.
    """

    ids: NDArray[np.int64]
    scores: NDArray[np.float32]

    def best(self, k: int) -> Neighbours:
        """The first ``k`` of each query in the order that the class promises, padded to ``k``."""
        scores = np.where(self.ids < 0, np.float32(-np.inf), self.scores)
        order = np.lexsort((self.ids, -scores), axis=-1)[:, :k]
        missing = ((0, 0), (0, k - order.shape[1]))
        return Neighbours(
            np.pad(np.take_along_axis(self.ids, order, axis=1), missing, constant_values=-1),
            np.pad(np.take_along_axis(scores, order, axis=1), missing, constant_values=-np.inf),
        )


def exact_scores(
    queries: NDArray[np.float32], ids: NDArray[np.int64], vectors: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Inner products of each query with the rows of ``vectors`` found for it; -inf for id -1."""
    scores = np.full(ids.shape, -np.inf, dtype=np.float32)
    at_once = max(1, _GATHERED // max(1, ids.shape[1]))
    for start in range(0, len(queries), at_once):
        block = slice(start, start + at_once)
        gathered = vectors[np.maximum(ids[block], 0)]
        products = np.matmul(gathered, queries[block, :, None])[:, :, 0]
        np.copyto(scores[block], products, where=ids[block] >= 0)
    return scores


def rerank(
    found: Neighbours, queries: NDArray[np.float32], vectors: NDArray[np.float32], k: int
) -> Neighbours:
    """The best ``k`` of what was found, by exact scores.

    For an index of compressed vectors: find some times ``k``, then keep the best ``k``. The
    ``vectors`` (those that the index was built of, memory-mapped if need be) are read only where
    something was found.
    """
    return Neighbours(found.ids, exact_scores(queries, found.ids, vectors)).best(k)
