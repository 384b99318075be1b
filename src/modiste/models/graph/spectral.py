"""The normalised matrix of a bipartite graph, and its leading singular vectors.

Of customers and articles, ``A`` says who bought what. ``N = D_c^(-1/2) A D_a^(-1/2)``, with the
degrees in ``D_c`` and ``D_a``, is the off-diagonal block of the graph's symmetric normalised
adjacency. Its singular values lie between 0 and 1; the vectors of the largest are what changes
least along the edges: the low frequencies of the graph.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, diags

from modiste.errors import DataError

# Dimensions that the search goes on with beyond those asked for: the last ones converge slowly.
_OVERSAMPLING = 16

# Of float32 products: what is smaller than the largest by this factor is noise.
_NOISE = 1e-6


class SingularVectors(NamedTuple):
    """Leading singular triples, the largest first.

    Attributes
    ----------
    rows
        float32, shape (n_rows, k): orthonormal columns.
    values
        float32, shape (k,).
    columns
        float32, shape (n_columns, k): orthonormal columns.
    """

    rows: NDArray[np.float32]
    values: NDArray[np.float32]
    columns: NDArray[np.float32]


def inverse_root_degrees(degrees: NDArray[np.floating]) -> NDArray[np.float32]:
    """Each degree to the power -1/2, float32; 0 for isolated nodes."""
    roots = np.zeros(len(degrees), dtype=np.float32)
    np.divide(1, np.sqrt(degrees), out=roots, where=degrees > 0, casting="unsafe")
    return roots


def normalised(interactions: csr_matrix) -> csr_matrix:
    """Divide each entry by the root of the degrees of its row and its column.

    Parameters
    ----------
    interactions
        Shape (n_customers, n_articles), no entry below 0; its entries are the edges' weights.

    Returns
    -------
    float32, the same shape; rows and columns without entries stay empty.

    Raises
    ------
    DataError
        When an entry is negative or not a number.
    """
    entries = interactions.data
    if len(entries) and not entries.min() >= 0:
        raise DataError("weights of edges are negative or not numbers: give counts, or ones")
    rows = inverse_root_degrees(np.asarray(interactions.sum(1), dtype=np.float64).ravel())
    columns = inverse_root_degrees(np.asarray(interactions.sum(0), dtype=np.float64).ravel())
    return csr_matrix(diags(rows) @ interactions.astype(np.float32) @ diags(columns))


def singular_vectors(
    matrix: csr_matrix, number: int, seed: int = 0, iterations: int = 4
) -> SingularVectors:
    """Leading singular vectors, by randomised subspace iteration.

    A random subspace of the columns is multiplied by ``matrix.T @ matrix`` again and again, and
    turned to an orthonormal basis in between (Halko, Martinsson & Tropp, "Finding Structure with
    Randomness", SIAM Review 2011). The basis comes from the eigenvectors of the small Gram matrix:
    two products, where a QR decomposition of so tall a matrix takes many times as long.

    Parameters
    ----------
    matrix
        float32, shape (n_rows, n_columns).
    number
        How many; fewer are returned where the rank is lower.
    seed
        Of the subspace to begin with: the same seed and threads, the same bytes.
    iterations
        More: the last vectors become more exact.
    """
    wanted = min(number + _OVERSAMPLING, *matrix.shape)
    transposed = csr_matrix(matrix.T)
    basis = np.random.default_rng(seed).standard_normal((matrix.shape[1], wanted), dtype=np.float32)
    for _ in range(iterations):
        basis = _orthonormal(transposed @ (matrix @ basis))
    # Once more: in float32 a single pass leaves the small directions askew.
    basis = _orthonormal(basis)
    image = matrix @ basis
    values, turn = _principal(image)
    values, turn = values[:number], turn[:, :number]
    return SingularVectors((image @ turn) / values, values, basis @ turn)


def _principal(tall: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Singular values of a tall matrix, largest first, without the noise; right vectors."""
    squares, vectors = np.linalg.eigh((tall.T @ tall).astype(np.float64))
    values = np.sqrt(np.maximum(squares[::-1], 0))
    kept = values > _NOISE * max(values.max(initial=0), np.finfo(np.float32).tiny)
    kept &= squares[::-1] > _NOISE * max(squares.max(initial=0), np.finfo(np.float32).tiny)
    return values[kept].astype(np.float32), vectors[:, ::-1][:, kept].astype(np.float32)


def _orthonormal(tall: NDArray[np.float32]) -> NDArray[np.float32]:
    values, turn = _principal(tall)
    return (tall @ turn) / values
