"""Who had to do with what, as a sparse matrix, and how it is normalised."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from modiste.errors import DataError

Degrees = NDArray[np.float64]


def interaction_matrix(pairs: NDArray[np.integer[Any]], users: int, items: int) -> sp.csr_array:
    """Pairs of a user and an item as a matrix of ones.

    Parameters
    ----------
    pairs
        Shape (n, 2): codes of user and item; a pair that is there twice counts once.
    users, items
        How many there are; some may have no pair.

    Returns
    -------
    float32, shape (users, items), rows sorted by item.

    Raises
    ------
    DataError
        When a code is not one of 0 to n - 1.
    """
    if len(pairs) and (pairs.min() < 0 or (pairs.max(axis=0) >= (users, items)).any()):
        raise DataError(
            f"pairs go up to {tuple(pairs.max(axis=0).tolist())} and down to {pairs.min()}: there "
            f"are {users:,} users and {items:,} items, counted from 0"
        )
    ones = np.ones(len(pairs), dtype=np.float32)
    matrix = sp.csr_array((ones, (pairs[:, 0], pairs[:, 1])), shape=(users, items))
    matrix.sum_duplicates()
    matrix.data.fill(1)
    return matrix


def symmetric_normalised(matrix: sp.csr_array) -> sp.csr_array:
    """Each entry over the square root of its row's sum times its column's: float32, same shape.

    Its singular values are at most 1. Rows and columns without an entry stay as they are.
    """
    by_row, by_column = inverse_root(matrix.sum(axis=1)), inverse_root(matrix.sum(axis=0))
    rows = np.repeat(by_row, np.diff(matrix.indptr))
    data = (matrix.data * rows * by_column[matrix.indices]).astype(np.float32)
    return sp.csr_array((data, matrix.indices, matrix.indptr), shape=matrix.shape)


def inverse_root(degrees: NDArray[Any]) -> Degrees:
    """One over the square root, and 0 of 0: float64, the same shape."""
    degrees = np.asarray(degrees, dtype=np.float64)
    with np.errstate(divide="ignore"):
        return np.where(degrees > 0, degrees**-0.5, 0.0)
