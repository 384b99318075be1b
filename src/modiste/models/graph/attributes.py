"""Values of the articles' and customers' columns, as numbers that an embedding takes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from modiste.data.dataset import History, Partition

# Of ages, so many years are one value: a single year has too few customers to learn from.
_YEARS = 5


@dataclass(frozen=True)
class Attributes:
    """The values that each column has, all numbered one after the other.

    Attributes
    ----------
    values
        By column, sorted. A value that is missing or not among them has a number of its own, the
        column's first.
    """

    values: dict[str, tuple[str, ...]]

    @classmethod
    def of_articles(cls, history: History, columns: Iterable[str]) -> Self:
        """All values in the catalogue."""
        return cls(_distinct(history.articles, tuple(columns)))

    @classmethod
    def of_customers(cls, history: History, columns: Iterable[str]) -> Self:
        """All values that customers have, collected from the partitions."""
        columns = tuple(columns)
        found = history.map(_distinct_in, columns, label="values of the customers' attributes")
        joined = {name: {value for one in found for value in one[name]} for name in columns}
        return cls({name: tuple(sorted(joined[name])) for name in columns})

    def __len__(self) -> int:
        """How many numbers there are."""
        return sum(1 + len(values) for values in self.values.values())

    def numbers(self, table: pl.DataFrame) -> NDArray[np.int32]:
        """Numbers of the values of each row: shape (rows, columns)."""
        numbers = np.zeros((table.height, len(self.values)), dtype=np.int32)
        first = 0
        for place, (name, values) in enumerate(self.values.items()):
            known = pl.DataFrame(
                {name: values, "number": range(1, len(values) + 1)},
                schema={name: pl.String, "number": pl.Int64},
            )
            column = _as_text(table, name).to_frame()
            found = column.join(known, on=name, how="left", maintain_order="left")
            numbers[:, place] = first + found["number"].fill_null(0).to_numpy()
            first += 1 + len(values)
        return numbers


def _as_text(table: pl.DataFrame, name: str) -> pl.Series:
    column = table[name]
    return (column // _YEARS if name == "age" else column).cast(pl.String)


def _distinct(table: pl.DataFrame, columns: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    return {name: tuple(_as_text(table, name).drop_nulls().unique().sort()) for name in columns}


def _distinct_in(partition: Partition, columns: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    return _distinct(partition.read_customers(), columns)
