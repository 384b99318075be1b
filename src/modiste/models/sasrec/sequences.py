"""Customers' purchases in the order of time, as flat arrays that lie on disk.

A sequence is one customer's distinct (article, day) pairs, oldest first. A basket is what a
customer bought on one day; inside it articles are sorted by their code, so that equal data gives
equal bytes. That order means nothing, and no model may read anything from it.

All sequences lie one behind the other in arrays that are memory-mapped: 31.8 million transactions
take address space and not memory. They are made partition by partition, and the same bytes come
out for any number of workers or partitions.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from modiste.data.dataset import History, Partition
from modiste.data.days import day_number
from modiste.engine import atomic_folder
from modiste.errors import DataError
from modiste.models.flat_arrays import array_path, join_rows, map_array, ranges


@dataclass(frozen=True, eq=False)
class Sequences:
    """Histories of many customers, oldest purchase first, one customer after the other.

    Sequence ``s`` has the items ``offsets[s]`` to ``offsets[s + 1]``.

    Attributes
    ----------
    items
        int32, shape (n_items,): article codes.
    days
        int32, shape (n_items,): day of each purchase, days since ``EPOCH`` (``data/days.py``);
        never falls inside a sequence. Items of one sequence and one day are a basket: they have no
        order.
    offsets
        int64, shape (n_sequences + 1,): where each sequence begins, and the end.
    customers
        int32, shape (n_sequences,): customer code of each sequence, rising; None: not known.
    """

    items: npt.NDArray[np.int32]
    days: npt.NDArray[np.int32]
    offsets: npt.NDArray[np.int64]
    customers: npt.NDArray[np.int32] | None = None

    def __post_init__(self) -> None:
        n_items = len(self.items)
        if len(self.days) != n_items:
            raise DataError(
                f"sequences have {n_items:,} items but {len(self.days):,} days: "
                "both must tell of the same interactions"
            )
        if not len(self.offsets) or self.offsets[0] != 0 or self.offsets[-1] != n_items:
            raise DataError(f"offsets of sequences must run from 0 to the {n_items:,} interactions")
        if self.customers is not None and len(self.customers) != len(self):
            raise DataError(
                f"{len(self):,} sequences belong to {len(self.customers):,} customers: "
                "give one customer for each sequence"
            )

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """int64, shape (n_sequences,): items of each sequence."""
        return np.diff(self.offsets)

    @property
    def with_several_baskets(self) -> npt.NDArray[np.int64]:
        """int64: numbers of the sequences of two baskets at least, rising."""
        (filled,) = self.lengths.nonzero()
        # Days rise within a sequence: its first and last tell whether there are two.
        first, last = self.offsets[filled], self.offsets[filled + 1] - 1
        several: npt.NDArray[np.int64] = filled[self.days[first] != self.days[last]]
        return several

    def before(self, day: date) -> Sequences:
        """What was bought before a day; who bought nothing by then is left out."""
        kept = self.days < day_number(day)
        counted = np.append(0, np.cumsum(kept))[self.offsets]
        (filled,) = np.diff(counted).nonzero()
        return Sequences(
            self.items[kept],
            self.days[kept],
            np.append(0, counted[1:][filled]),
            None if self.customers is None else self.customers[filled],
        )

    def only(self, which: npt.NDArray[np.int64]) -> Sequences:
        """Some of the sequences, by their numbers."""
        lengths = self.lengths[which]
        flat = ranges(self.offsets[which], lengths)
        return Sequences(
            self.items[flat],
            self.days[flat],
            np.append(0, np.cumsum(lengths)),
            None if self.customers is None else self.customers[which],
        )

    def save(self, folder: Path) -> None:
        """Write the arrays into a folder that is there, one ``.npy`` file each."""
        for name in _DTYPES:
            values = getattr(self, name)
            if values is not None:
                np.save(array_path(folder, name), values, allow_pickle=False)

    @classmethod
    def load(cls, folder: Path) -> Sequences:
        """Map the arrays of a folder into memory, read-only.

        Raises
        ------
        DataError
            When an array is missing or damaged, or they do not belong together.
        """
        there = [name for name in _DTYPES if name in _NEEDED or array_path(folder, name).is_file()]
        return cls(**{name: map_array(folder, name, _DTYPES[name], _WHAT) for name in there})


_DTYPES: dict[str, np.dtype[Any]] = {
    "items": np.dtype("<i4"),
    "days": np.dtype("<i4"),
    "offsets": np.dtype("<i8"),
    "customers": np.dtype("<i4"),
}
_NEEDED = ("items", "days", "offsets")
_WHAT = "purchase sequences"

# Of the transactions; sorted by them, equal data gives equal bytes.
_COLUMNS = ["customer", "t_dat", "article"]


def build_sequences(history: History, folder: Path) -> Sequences:
    """Make the sequences of all customers who bought anything before ``history.as_of``.

    Parameters
    ----------
    history
        Nothing at or after its date is in the sequences.
    folder
        Gets its name when it is whole; an earlier one is replaced.

    Returns
    -------
    The sequences, memory-mapped from ``folder``.
    """
    with atomic_folder(folder) as partial:
        pieces = partial / "pieces"
        pieces.mkdir()
        written = history.map(_write_piece, pieces, label="purchase sequences")
        join_rows(written, partial, _DTYPES)
        shutil.rmtree(pieces)
    return Sequences.load(folder)


def sequences_of(transactions: pl.DataFrame) -> Sequences:
    """Make the sequences of some customers in memory.

    Parameters
    ----------
    transactions
        Columns of ``schema.PREPARED_TRANSACTIONS``, in any order.
    """
    rows = transactions.select(_COLUMNS).unique().sort(_COLUMNS)
    customers, days = rows["customer"].to_numpy(), rows["t_dat"].to_physical().to_numpy()
    new_customer = np.ones(rows.height, np.bool_)
    new_customer[1:] = customers[1:] != customers[:-1]
    starts = np.flatnonzero(new_customer)
    return Sequences(
        items=rows["article"].to_numpy(),
        days=days,
        offsets=np.append(starts, rows.height),
        customers=customers[starts],
    )


def _write_piece(partition: Partition, folder: Path) -> Path:
    """Write a partition's sequences; give the folder that they lie in."""
    piece = folder / f"{partition.index:05d}"
    piece.mkdir(exist_ok=True)
    sequences_of(partition.read_transactions(_COLUMNS)).save(piece)
    return piece
