"""Recommending by a filter on the graph of purchases: nothing is trained.

A customer's row of purchases is a signal on the articles. What is recommended is that signal with
its high frequencies damped (Shen et al., "How Powerful is Graph Convolution for Recommendation?",
CIKM 2021, there GF-CF): ``r P + w r D^(-1/2) V V^T D^(1/2)``, where ``P = N^T N`` is the symmetric
normalised article–article matrix, a linear low-pass, and ``V`` are the leading singular vectors of
``N``, an ideal low-pass. A customer is scored from its own row alone, so one who came after the
fit is scored, too.

Nothing dense is of articles × articles. ``P`` is sparse, made block by block, and can be cut to
the strongest neighbours of each article, which bounds its memory in a shop with many customers.
"""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, vstack

from modiste.errors import DataError
from modiste.models.graph.spectral import inverse_root_degrees, normalised, singular_vectors

# Rows of the article–article matrix that are made, and cut, at once.
_ARTICLES_IN_A_BLOCK = 4096


class GraphFilter:
    """The linear and the ideal low-pass of a graph; see the module, and :meth:`fit`.

    Parameters
    ----------
    neighbours
        float32, shape (n_articles, n_articles), sparse: the linear low-pass.
    into, out_of
        float32, shapes (n_articles, k) and (k, n_articles): factors of the ideal low-pass with
        its weight; k may be 0.
    """

    def __init__(
        self, neighbours: csr_matrix, into: NDArray[np.float32], out_of: NDArray[np.float32]
    ) -> None:
        self.neighbours, self.into, self.out_of = neighbours, into, out_of

    @classmethod
    def fit(
        cls,
        interactions: csr_matrix,
        *,
        frequencies: int = 256,
        ideal_weight: float = 0.3,
        neighbours: int | None = None,
        seed: int = 0,
    ) -> Self:
        """Make the filter of a graph.

        Parameters
        ----------
        interactions
            Shape (n_customers, n_articles): who bought what, no entry below 0.
        frequencies
            How many the ideal low-pass lets through.
        ideal_weight
            w: its weight beside the linear one.
        neighbours
            Of each article only so many of the strongest are kept, of equal ones those with the
            lower codes; None: all.
        seed
            Of the decomposition.

        Raises
        ------
        DataError
            When there are no edges, or negative ones.
        """
        matrix = normalised(interactions)
        if not matrix.nnz:
            raise DataError("the graph has no edges, so there is nothing to filter by")
        vectors = singular_vectors(matrix, frequencies, seed).columns
        inverse = inverse_root_degrees(np.asarray(interactions.sum(0), dtype=np.float64).ravel())
        roots = np.divide(1, inverse, out=np.zeros_like(inverse), where=inverse > 0)
        return cls(
            _article_graph(matrix, neighbours),
            inverse[:, None] * vectors,
            np.ascontiguousarray(ideal_weight * (roots[:, None] * vectors).T),
        )

    def scores(self, interactions: csr_matrix) -> NDArray[np.float32]:
        """Scores of all articles for a block of customers.

        Parameters
        ----------
        interactions
            Shape (n, n_articles): rows of customers, be they of the fit or not.

        Returns
        -------
        float32, shape (n, n_articles); all 0 for a customer without purchases.

        Raises
        ------
        DataError
            When the rows are of another number of articles.
        """
        if interactions.shape[1] != len(self.into):
            raise DataError(
                f"the rows have {interactions.shape[1]} articles and the filter was made of "
                f"{len(self.into)}: give rows over the same articles"
            )
        rows = csr_matrix(interactions, dtype=np.float32)
        scores = (rows @ self.into) @ self.out_of
        linear = rows @ self.neighbours
        # Within a row no article comes twice, so plain addition in place does.
        row = np.repeat(np.arange(linear.shape[0]), np.diff(linear.indptr))
        scores[row, linear.indices] += linear.data
        return np.asarray(scores, dtype=np.float32)


def _article_graph(matrix: csr_matrix, neighbours: int | None) -> csr_matrix:
    """``matrix.T @ matrix``, with the strongest neighbours of each row."""
    if neighbours is not None and neighbours < 1:
        raise DataError(f"an article cannot have {neighbours} neighbours: give at least 1")
    transposed = csr_matrix(matrix.T)
    blocks = []
    for first in range(0, transposed.shape[0], _ARTICLES_IN_A_BLOCK):
        block = csr_matrix(transposed[first : first + _ARTICLES_IN_A_BLOCK] @ matrix)
        blocks.append(block if neighbours is None else _strongest(block, neighbours))
    return csr_matrix(vstack(blocks, format="csr"))


def _strongest(rows: csr_matrix, kept: int) -> csr_matrix:
    """The largest entries of each row; of equal ones those of the lower columns."""
    lengths = np.diff(rows.indptr)
    row = np.repeat(np.arange(len(lengths)), lengths)
    order = np.lexsort((rows.indices, -rows.data, row))
    place = np.arange(len(order)) - np.repeat(rows.indptr[:-1].astype(np.int64), lengths)
    chosen = order[place < kept]
    return csr_matrix((rows.data[chosen], (row[chosen], rows.indices[chosen])), shape=rows.shape)
