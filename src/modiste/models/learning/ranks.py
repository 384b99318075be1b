"""Ranks of what was bought next among all articles, and what they come to."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

# Scores at once in memory: 3 MiB of float32.
_SCORES_IN_A_BLOCK = 3 << 18


def ranks_of_targets(
    vectors: Tensor,
    articles: Tensor,
    targets: NDArray[np.int64],
    log_share: NDArray[np.float32] | None = None,
    seen: tuple[NDArray[np.int64], NDArray[np.int32]] | None = None,
) -> NDArray[np.int64]:
    """Rank of each target by the inner product of vectors.

    Parameters
    ----------
    vectors
        float32, shape (n, dimensions): of those who are asked about.
    articles
        float32, shape (n_articles, dimensions).
    targets
        int64, shape (n,): article codes.
    log_share
        float32, shape (n_articles,): added to the scores; what is minus infinity is not ranked.
        None: nothing.
    seen
        Offsets, shape (n + 1,), and codes of articles that are not ranked for each; a target among
        them is ranked all the same. None: nothing.

    Returns
    -------
    int64, shape (n,): 1 is best. Of equal scores the lower article code goes first.
    """
    prior = None if log_share is None else torch.from_numpy(log_share)
    step = max(_SCORES_IN_A_BLOCK // max(len(articles), 1), 1)
    ranks = []
    for first in range(0, len(vectors), step):
        last = min(first + step, len(vectors))
        scores = vectors[first:last] @ articles.t()
        if prior is not None:
            scores += prior
        target = torch.from_numpy(targets[first:last])[:, None]
        own = scores.gather(1, target)
        if seen is not None:
            offsets = seen[0][first : last + 1]
            left_out = torch.from_numpy(seen[1][offsets[0] : offsets[-1]].astype(np.int64))
            row = torch.from_numpy(np.repeat(np.arange(last - first), np.diff(offsets)))
            scores[row, left_out] = -torch.inf
        tied = scores == own
        tied &= torch.arange(len(articles)) < target
        ranks.append(1 + (scores > own).sum(1) + tied.sum(1))
    return torch.cat(ranks).numpy() if ranks else np.empty(0, dtype=np.int64)


def ndcg_at(ranks: NDArray[np.int64], k: int) -> float:
    """Mean of 1 / log2(1 + rank) where the rank is at most ``k``, else 0."""
    gain = np.where(ranks <= k, 1 / np.log2(ranks + 1), 0)
    return float(gain.mean()) if len(ranks) else 0.0


def recall_at(ranks: NDArray[np.int64], k: int) -> float:
    """Share of the targets ranked among the first ``k``."""
    return float((ranks <= k).mean()) if len(ranks) else 0.0
