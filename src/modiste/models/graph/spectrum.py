"""The leading singular vectors of a sparse matrix, by random projection.

A random subspace is turned towards the leading one by products with the matrix and its transpose,
and what is left is small (Halko, Martinsson & Tropp, "Finding structure with randomness", SIAM
Review 2011, algorithms 4.4 and 5.1). The matrix is only ever multiplied with thin dense ones.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy import linalg

from modiste.errors import DataError

Floats = NDArray[np.float32]

# Dimensions of the random subspace beyond those that are wanted.
_OVERSAMPLING = 16


class Spectrum(NamedTuple):
    """Leading singular triplets, the largest first.

    Attributes
    ----------
    left
        float32, shape (rows, rank).
    values
        float32, shape (rank,).
    right
        float32, shape (columns, rank).
    """

    left: Floats
    values: Floats
    right: Floats


def leading_spectrum(
    matrix: sp.csr_array, rank: int, seed: int = 0, iterations: int = 3
) -> Spectrum:
    """Leading singular triplets of a matrix.

    Parameters
    ----------
    matrix
        float32, shape (rows, columns).
    rank
        How many are wanted; a matrix that is narrower than that has fewer.
    seed
        Of the random subspace: the same gives the same triplets.
    iterations
        Times that the subspace is turned towards the leading one.

    Returns
    -------
    The triplets. Of each pair of vectors the right one's entry of largest size is positive, so that
    signs do not hang on the subspace that was drawn.

    Raises
    ------
    DataError
        When the matrix has no entry.
    """
    if not matrix.nnz:
        raise DataError("a matrix without an entry has no spectrum: give some interactions")
    width = min(rank + _OVERSAMPLING, *matrix.shape)
    # With a transpose in rows of its own both products go along rows.
    transposed = matrix.T.tocsr()
    subspace = np.random.default_rng(seed).standard_normal((matrix.shape[1], width))
    basis = _orthonormal(matrix @ subspace.astype(np.float32))
    for _ in range(iterations):
        basis = _orthonormal(matrix @ _orthonormal(transposed @ basis))
    right, values, turn = linalg.svd(transposed @ basis, full_matrices=False, check_finite=False)
    kept = min(rank, width)
    right, left = right[:, :kept], (basis @ turn[:kept].T)
    largest = right[np.abs(right).argmax(axis=0), np.arange(kept)]
    signs = np.where(largest < 0, -1, 1).astype(np.float32)
    return Spectrum(left * signs, values[:kept], right * signs)


def _orthonormal(columns: Floats) -> Floats:
    """An orthonormal basis of what the columns span: the same shape."""
    basis: Floats = linalg.qr(columns, mode="economic", check_finite=False, overwrite_a=True)[0]
    return basis
