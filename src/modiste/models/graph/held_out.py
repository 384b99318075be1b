"""Recall and NDCG of all that was held out, all items ranked, as graph recommenders are compared.

The protocol of NGCF and LightGCN (Wang et al., SIGIR 2019; He et al., SIGIR 2020): each user's
items in training are left out of the ranking; recall is the share of the held-out items among the
first k; NDCG is that of a list whose first ``min(k, number held out)`` places are all right. Both
are means over the users with something held out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray

from modiste.errors import DataError

# Users whose scores are in memory at once: 84 MiB with 41,000 items.
_BLOCK = 512


class Found(NamedTuple):
    """Means over the users."""

    recall: float
    ndcg: float


def hold_out(matrix: sp.csr_array, share: float, seed: int) -> tuple[sp.csr_array, sp.csr_array]:
    """Part each user's items, at random, into those to learn from and those held out.

    Parameters
    ----------
    matrix
        Shape (users, items).
    share
        Of each user's items that is held out, rounded: with 0.1 of 5 none, of 6 one.
    seed
        Of the draw.

    Returns
    -------
    What is left, and what is held out, both of the matrix's shape.
    """
    lengths = np.diff(matrix.indptr)
    rows = np.repeat(np.arange(matrix.shape[0]), lengths)
    order = np.lexsort((np.random.default_rng(seed).random(matrix.nnz), rows))
    place = np.arange(matrix.nnz) - np.repeat(matrix.indptr[:-1], lengths)
    held = np.zeros(matrix.nnz, dtype=bool)
    held[order[place < np.round(share * lengths)[rows]]] = True
    return _entries(matrix, rows, ~held), _entries(matrix, rows, held)


def _entries(
    matrix: sp.csr_array, rows: NDArray[np.int64], which: NDArray[np.bool_]
) -> sp.csr_array:
    kept = matrix.data[which], (rows[which], matrix.indices[which])
    return sp.csr_array(kept, shape=matrix.shape)


def recall_and_ndcg(
    score: Callable[[NDArray[np.int64]], NDArray[np.float32]],
    known: sp.csr_array,
    held_out: sp.csr_array,
    k: int = 20,
    users: NDArray[np.int64] | None = None,
) -> Found:
    """Rank all items for each user and look for those that were held out.

    Parameters
    ----------
    score
        Gives some users' scores, float32 of shape (n, items), for their codes; they are written to.
    known
        Shape (users, items): what is not ranked.
    held_out
        The same shape: what is looked for.
    k
        Places that count.
    users
        int64: those who are asked about; None: all with something held out.

    Raises
    ------
    DataError
        When nobody has anything held out.
    """
    numbers = np.diff(held_out.indptr)
    users = np.flatnonzero(numbers) if users is None else users[numbers[users] > 0]
    if not len(users):
        raise DataError("nothing is held out, so there is nothing to find: hold out a larger share")
    discounts = 1 / np.log2(np.arange(2, k + 2))
    ideal = np.append(0, np.cumsum(discounts))
    recall = ndcg = 0.0
    for some in _blocks(users):
        hits = _hits(score(some), known[some], held_out[some], k)
        recall += float((hits.sum(axis=1) / numbers[some]).sum())
        ndcg += float(
            (hits @ discounts[: hits.shape[1]] / ideal[np.minimum(numbers[some], k)]).sum()
        )
    return Found(recall / len(users), ndcg / len(users))


def _blocks(users: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    return (users[first : first + _BLOCK] for first in range(0, len(users), _BLOCK))


def _hits(
    scores: NDArray[np.float32], known: sp.csr_array, held_out: sp.csr_array, k: int
) -> NDArray[np.bool_]:
    """Whether each of the best ``k`` items was held out: shape (n, k), the best first."""
    rows = np.repeat(np.arange(len(scores)), np.diff(known.indptr))
    scores[rows, known.indices] = -np.inf
    best = torch.from_numpy(scores).topk(min(k, scores.shape[1]), dim=1).indices.numpy()
    wanted = np.zeros(scores.shape, dtype=bool)
    rows = np.repeat(np.arange(len(scores)), np.diff(held_out.indptr))
    wanted[rows, held_out.indices] = True
    return np.take_along_axis(wanted, best, axis=1)
