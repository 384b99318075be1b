"""A table about articles whose rows are found by bisection, where a join would hash all of it.

Models hold tables of 100,000 articles and more, and a live request asks for those of ten.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from modiste.models.flat_arrays import ranges


@dataclass(frozen=True)
class SortedRows:
    """A table that is sorted by a key.

    Attributes
    ----------
    table
        Its rows, ascending by the key; a key may have several, whose order is kept.
    key
        Name of an integer column without null.
    """

    table: pl.DataFrame
    key: str

    def join(self, left: pl.DataFrame, most: int | None = None) -> pl.DataFrame:
        """The rows of a frame beside the table's rows of the same key.

        Parameters
        ----------
        left
            Has a column of the key's name, and none of the table's others.
        most
            Rows of a key that are taken at most: its first ones.

        Returns
        -------
        As an inner join: the columns of ``left`` and the table's; in the order of ``left`` and, for
        each of its rows, of the table.
        """
        of_left, rows = self.rows(left[self.key].to_numpy(), most)
        return left[of_left].hstack(self.table.drop(self.key)[rows])

    def rows(
        self, wanted: NDArray[Any], most: int | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The pairs of :meth:`join` as row numbers: of the keys that are wanted, and the table."""
        keys = self.array(self.key)
        # Of another type, all keys would be converted for the sake of a few.
        wanted = wanted.astype(keys.dtype, copy=False)
        first = np.searchsorted(keys, wanted)
        n = np.searchsorted(keys, wanted, side="right") - first
        if most is not None:
            n = np.minimum(n, most)
        return np.repeat(np.arange(len(wanted)), n), ranges(first, n)

    def array(self, column: str) -> NDArray[Any]:
        """A column of the table as a flat array."""
        return self._arrays[column]

    @cached_property
    def _arrays(self) -> dict[str, NDArray[Any]]:
        return {each.name: each.to_numpy() for each in self.table.iter_columns()}

    def __getstate__(self) -> dict[str, Any]:
        # The arrays are views of the table: they would be sent to workers beside it.
        return {"table": self.table, "key": self.key}
