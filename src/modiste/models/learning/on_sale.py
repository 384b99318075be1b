"""The vectors of the articles on sale, asked for those that a customer's vector goes best with.

A score is the probability that a network gives an article among all that are on sale, so that it
means the same for every customer and adds up with other sources'.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from modiste.evaluation.protocol import RECOMMENDATIONS, rank_by_score

# Scores of a block of customers by all articles on sale, at once in memory: 64 MiB of float32.
_SCORES_IN_A_BLOCK = 1 << 24


class OnSale:
    """Articles on sale, laid side by side once, and not at each call.

    Parameters
    ----------
    vectors
        float32, shape (n_articles, dimensions): of all articles.
    offsets
        float32, shape (n_articles,): what is added to a score, minus infinity where an article is
        not on sale.
    """

    def __init__(self, vectors: NDArray[np.float32], offsets: NDArray[np.float32]) -> None:
        self._n_articles = len(offsets)
        (self._codes,) = np.isfinite(offsets).nonzero()
        self._vectors = torch.from_numpy(vectors[self._codes])
        self._offsets = torch.from_numpy(offsets[self._codes])

    def recommend(
        self, customers: NDArray[np.int32], vectors: NDArray[np.float32], k: int
    ) -> pl.DataFrame:
        """The best ``k`` articles of each customer.

        Parameters
        ----------
        customers
            int32, shape (n,): codes, rising.
        vectors
            float32, shape (n, dimensions): theirs.

        Returns
        -------
        A frame with the columns of ``RECOMMENDATIONS``.
        """
        found = [pl.DataFrame(schema=RECOMMENDATIONS)]
        for first, log_probability in self._log_probabilities(vectors):
            best, place = log_probability.topk(min(k, len(self._codes)), sorted=False)
            rows = len(best)
            found.append(
                rank_by_score(
                    pl.DataFrame(
                        {
                            "customer": np.repeat(customers[first : first + rows], best.shape[1]),
                            "article": self._codes[place.numpy().ravel()],
                            "score": best.exp().numpy().ravel(),
                        }
                    ),
                    k,
                )
            )
        return pl.concat(found)

    def score(
        self, customers: NDArray[np.int32], vectors: NDArray[np.float32], candidates: pl.DataFrame
    ) -> pl.DataFrame:
        """Score given articles alone.

        Parameters
        ----------
        customers, vectors
            As of :meth:`recommend`.
        candidates
            Columns ``customer`` and ``article``, and any others.

        Returns
        -------
        The candidates in their order, with a column ``score`` (float32) as :meth:`recommend` gives
        it: 0 for an article that is not on sale, null for a customer not among ``customers``.
        """
        place = pl.DataFrame({"customer": customers}).with_row_index("row")
        rows = (
            candidates.select("customer")
            .join(place, on="customer", how="left", maintain_order="left")["row"]
            .cast(pl.Int64)
            .fill_null(-1)
            .to_numpy()
        )
        asked = candidates["article"].to_numpy()
        # A network that has learned nothing has no article at all.
        column = np.full(max(self._n_articles, asked.max(initial=-1) + 1), -1)
        column[self._codes] = np.arange(len(self._codes))
        columns = column[asked]
        scores = np.where(rows < 0, np.float32(np.nan), np.float32(0))
        for first, log_probability in self._log_probabilities(vectors):
            here = (rows >= first) & (rows < first + len(log_probability)) & (columns >= 0)
            scores[here] = log_probability[rows[here] - first, columns[here]].exp().numpy()
        return candidates.with_columns(score=pl.Series(scores).fill_nan(None))

    def _log_probabilities(self, vectors: NDArray[np.float32]) -> Iterator[tuple[int, Tensor]]:
        """Blocks of customers: number of the first, and scores of the articles on sale."""
        if not len(self._codes):
            return
        step = max(_SCORES_IN_A_BLOCK // len(self._codes), 1)
        for first in range(0, len(vectors), step):
            block = torch.from_numpy(vectors[first : first + step])
            scores = torch.addmm(self._offsets, block, self._vectors.t())
            yield first, scores.log_softmax(1)
