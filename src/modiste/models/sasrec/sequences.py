"""Histories as three arrays: what a sequence model reads, and nothing about where it came from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from modiste.errors import DataError


@dataclass(frozen=True)
class Sequences:
    """Histories of many customers, one after the other.

    Attributes
    ----------
    items
        int32, shape (n_interactions,): article codes from 0 on, in order of time within a sequence.
    days
        int32, shape (n_interactions,): day of each, counted from any origin. Items of one sequence
        and one day are a basket: they have no order.
    offsets
        int64, shape (n_sequences + 1,): sequence ``i`` is ``items[offsets[i]:offsets[i + 1]]``.
    """

    items: NDArray[np.int32]
    days: NDArray[np.int32]
    offsets: NDArray[np.int64]

    def __post_init__(self) -> None:
        if len(self.items) != len(self.days):
            raise DataError(
                f"sequences have {len(self.items):,} items but {len(self.days):,} days: "
                "both must tell of the same interactions"
            )
        if not len(self.offsets) or self.offsets[0] != 0 or self.offsets[-1] != len(self.items):
            raise DataError(
                f"offsets of sequences must run from 0 to the {len(self.items):,} interactions"
            )

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> NDArray[np.int64]:
        """int64, shape (n_sequences,): interactions of each sequence."""
        return np.diff(self.offsets)
