"""A table about articles whose rows are found by bisection, where a join would hash all of it.

Models hold tables of 100,000 articles and more, and a live request asks for those of ten.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

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
        keys, wanted = self.table[self.key].to_numpy(), left[self.key].to_numpy()
        first = np.searchsorted(keys, wanted)
        n = np.searchsorted(keys, wanted, side="right") - first
        if most is not None:
            n = np.minimum(n, most)
        rows = ranges(first, n)
        return left[np.repeat(np.arange(len(wanted)), n)].hstack(self.table.drop(self.key)[rows])
