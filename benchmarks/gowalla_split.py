"""Gowalla as the LightGCN paper splits it: reading, holding out, and measuring.

``gowalla.npz`` holds ``train`` and ``test``, int32 pairs of a user and an item. All items are
ranked for each user but those of its training; recall@k is the share of the user's test items among
the first k, NDCG@k divides by the gain of min(k, test items) hits; both are means over users with
test items.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from modiste.errors import DataError

USERS, ITEMS = 29_858, 40_981

# Users that are scored at once: 80 MiB of float32.
_USERS_IN_A_BLOCK = 512

Scores = Callable[[NDArray[np.int64]], NDArray[np.float32]]


class Measured(NamedTuple):
    """Means over the users with something to find."""

    recall: float
    ndcg: float


def data_folder() -> Path:
    """Where ``gowalla.npz`` lies unless a call says so."""
    return Path(os.environ.get("MODISTE_DATA", "../shared/data")) / "gowalla"


def cache_folder() -> Path:
    """Where trained weights are kept, outside the repository."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "modiste" / "gowalla"


def read_split(folder: Path) -> tuple[csr_matrix, csr_matrix]:
    """Train and test: float32 ones, shape (USERS, ITEMS)."""
    path = folder / "gowalla.npz"
    if not path.is_file():
        raise DataError(f"{path} is missing: name the folder of the split with --data")
    with np.load(path) as arrays:
        return _matrix(arrays["train"]), _matrix(arrays["test"])


def hold_out(train: csr_matrix, share: float = 0.1, seed: int = 0) -> tuple[csr_matrix, csr_matrix]:
    """Split a share of each user's items off: what is left, and what is to be found."""
    lengths = np.diff(train.indptr)
    user = np.repeat(np.arange(len(lengths)), lengths)
    order = np.lexsort((np.random.default_rng(seed).random(train.nnz), user))
    place = np.arange(train.nnz) - np.repeat(train.indptr[:-1].astype(np.int64), lengths)
    held = np.zeros(train.nnz, dtype=bool)
    held[order] = place < np.round(share * lengths)[user]
    pairs = np.stack([user, train.indices], axis=1)
    return _matrix(pairs[~held]), _matrix(pairs[held])


def measure(
    scores: Scores,
    seen: csr_matrix,
    wanted: csr_matrix,
    k: int = 20,
    users: NDArray[np.int64] | None = None,
) -> Measured:
    """Recall@k and NDCG@k.

    Parameters
    ----------
    scores
        Given users, int64, shape (n,): float32, shape (n, ITEMS).
    seen
        What is not ranked.
    wanted
        What is to be found.
    k
        How many items are recommended.
    users
        Those that are asked; None: all with something to find.
    """
    if users is None:
        users = np.flatnonzero(np.diff(wanted.indptr)).astype(np.int64)
    gains = 1 / np.log2(np.arange(2, k + 2))
    ideal = np.append(0, np.cumsum(gains))
    recall = ndcg = 0.0
    for first in range(0, len(users), _USERS_IN_A_BLOCK):
        block = users[first : first + _USERS_IN_A_BLOCK]
        scored = torch.from_numpy(scores(block))
        rows, left_out = seen[block].nonzero()
        scored[torch.from_numpy(rows), torch.from_numpy(left_out)] = -torch.inf
        best = scored.topk(k, dim=1).indices.numpy()
        row, item = wanted[block].nonzero()
        targets = np.bincount(row, minlength=len(block))
        found = np.isin(
            best + np.arange(len(block))[:, None] * ITEMS, row.astype(np.int64) * ITEMS + item
        )
        recall += float((found.sum(1) / targets).sum())
        ndcg += float((found @ gains / ideal[np.minimum(targets, k)]).sum())
    return Measured(recall / len(users), ndcg / len(users))


def _matrix(pairs: NDArray[Any]) -> csr_matrix:
    ones = np.ones(len(pairs), dtype=np.float32)
    return csr_matrix((ones, (pairs[:, 0], pairs[:, 1])), shape=(USERS, ITEMS))
