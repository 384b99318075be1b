"""The graph filter: recommendations in closed form, with nothing to train.

What somebody bought is a signal on the graph of items, and what they would buy is that signal
without its noise: without what differs much between items that the same people buy. Two low-pass
filters do it and are added up (GF-CF: Shen et al., "How Powerful is Graph Convolution for
Recommendation?", CIKM 2021):

- one step over the graph, by the symmetric normalised item-item matrix ``R̃ᵀ R̃``;
- the ideal low-pass, a projection on its leading eigenvectors ``V``, between the square roots of
  the items' degrees: ``D^-1/2 V Vᵀ D^1/2``.

Somebody's scores are a product of their own row, so that whoever is new needs no fitting. The
item-item matrix is sparse and the projection of low rank; nothing of items × items is dense.
"""

from __future__ import annotations

from typing import Self

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from modiste.models.graph.filter_settings import FilterSettings
from modiste.models.graph.interactions import inverse_root, symmetric_normalised
from modiste.models.graph.spectrum import Floats, leading_spectrum


class GraphFilter:
    """Scores of some items for whoever has a row of interactions.

    Parameters
    ----------
    similarity
        float32, shape (items, targets): columns of the symmetric normalised item-item matrix.
    into
        float32, shape (items, rank): takes a row into the space of the low-pass.
    out_of
        float32, shape (rank, targets): takes it out again, times the low-pass's weight.
    """

    def __init__(self, similarity: sp.csr_array, into: Floats, out_of: Floats) -> None:
        self.similarity, self.into, self.out_of = similarity, into, out_of

    @classmethod
    def fit(
        cls,
        matrix: sp.csr_array,
        settings: FilterSettings | None = None,
        targets: NDArray[np.int64] | None = None,
    ) -> Self:
        """Make the filter of what is known.

        Parameters
        ----------
        matrix
            Shape (users, items): weights of interactions, none negative; 1 for each, or less the
            longer ago it was.
        settings
            Of the filter.
        targets
            int64: items that are to be scored; None: all, in their order.

        Raises
        ------
        DataError
            When the matrix has no entry.
        """
        settings = settings or FilterSettings()
        normalised = symmetric_normalised(matrix)
        spectrum = leading_spectrum(normalised, settings.rank, settings.seed, settings.iterations)
        degrees = np.asarray(matrix.sum(axis=0), dtype=np.float64)
        into = inverse_root(degrees)[:, None] * spectrum.right
        out_of = settings.low_pass * np.sqrt(degrees)[:, None] * spectrum.right
        aimed = normalised
        if targets is not None:
            out_of, aimed = out_of[targets], normalised[:, targets]
        return cls(
            (normalised.T.tocsr() @ aimed).tocsr(),
            into.astype(np.float32),
            np.ascontiguousarray(out_of.T, dtype=np.float32),
        )

    def scores(self, rows: sp.csr_array) -> Floats:
        """Scores of the targets: float32, shape (n, targets), for rows of shape (n, items)."""
        rows = rows.astype(np.float32)
        scores: Floats = (rows @ self.into) @ self.out_of
        # Added where they are: a sparse matrix made dense would be a second one of that size.
        near = (rows @ self.similarity).tocoo()
        scores[near.row, near.col] += near.data
        return scores
