"""What rankers learn from beside the features: what was bought, and the rows' weights."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from modiste.errors import DataError
from modiste.ranking.list_accuracy import with_purchases
from modiste.ranking.rows import LABEL, WEIGHT, RankingRows


@dataclass(frozen=True)
class Labels:
    """Of rows that a ranker learns from.

    Attributes
    ----------
    bought
        bool, shape (n_rows,).
    weights
        float32, shape (n_rows,).
    """

    bought: NDArray[np.bool_]
    weights: NDArray[np.float32]

    @property
    def share_bought(self) -> float:
        """How much of the rows, by weight, was bought: above 0, and below 1.

        Where all of them were, as in a shop with one article, as if one more had not been.
        """
        weights = self.weights.astype(np.float64)
        total = weights.sum() + self.bought.all()
        return float(weights[self.bought].sum() / total)


def labels_of(rows: RankingRows) -> Labels:
    """What a ranker can learn from.

    Raises
    ------
    DataError
        When the rows do not say what was bought, none of them was, or a weight is not a positive
        number.
    """
    lacking = [name for name in (LABEL, WEIGHT) if name not in rows.frame.columns]
    if lacking:
        raise DataError(f"the rows to learn from lack {' and '.join(lacking)}")
    bought = rows.frame[LABEL].fill_null(False).to_numpy()
    weights = rows.frame[WEIGHT].to_numpy().astype(np.float32)
    if not bought.any():
        raise DataError(
            f"none of the {len(bought):,} rows was bought, so there is nothing to learn from: "
            "give more windows, or more candidates a customer"
        )
    if not (np.isfinite(weights) & (weights > 0)).all():
        raise DataError("a weight of the rows to learn from is not a positive number")
    return Labels(bought, weights)


def lists_to_watch(watched: RankingRows) -> RankingRows:
    """Those of the watched lists that tell how well a ranker orders them.

    Raises
    ------
    DataError
        When there are none.
    """
    if LABEL not in watched.frame.columns:
        raise DataError(f"the rows to watch lack {LABEL}")
    lists = with_purchases(watched)
    if not lists.frame.height:
        raise DataError(
            "none of the watched rows was bought, so nothing tells when to stop: watch other "
            "windows, or say how many rounds to learn"
        )
    return lists
