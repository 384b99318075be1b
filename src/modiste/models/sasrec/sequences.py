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
from pydantic import BaseModel, ConfigDict, Field

from modiste.data.dataset import History, Partition
from modiste.data.schema import PREPARED_TRANSACTIONS
from modiste.engine import atomic_folder
from modiste.errors import DataError

# Day 0 of ``Sequences.days``: Polars' own, so that dates are taken as they lie in the files.
EPOCH = date(1970, 1, 1)


class SequenceSettings(BaseModel):
    """What is kept of each purchase besides article and day."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    channels: bool = Field(default=False, description="Whether the sales channel is kept.")
    prices: bool = Field(default=False, description="Whether the price is kept.")


@dataclass(frozen=True, eq=False)
class Sequences:
    """Histories of many customers, oldest purchase first, one customer after the other.

    Sequence ``s`` has the items ``offsets[s]`` to ``offsets[s + 1]``.

    Attributes
    ----------
    items
        int32, shape (n_items,): article codes.
    days
        int32, shape (n_items,): day of each purchase, days since ``EPOCH``; never falls inside a
        sequence. Items of one sequence and one day are a basket: they have no order.
    offsets
        int64, shape (n_sequences + 1,): where each sequence begins, and the end.
    customers
        int32, shape (n_sequences,): customer code of each sequence, rising; None: not known.
    channels
        int8, shape (n_items,): sales channel, 0 where not known; None: not kept.
    prices
        float32, shape (n_items,): price, NaN where not known; None: not kept. Of several pieces of
        an article on one day the cheapest with a price stands for all.
    """

    items: npt.NDArray[np.int32]
    days: npt.NDArray[np.int32]
    offsets: npt.NDArray[np.int64]
    customers: npt.NDArray[np.int32] | None = None
    channels: npt.NDArray[np.int8] | None = None
    prices: npt.NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        n_items = len(self.items)
        for name in ("days", "channels", "prices"):
            values = getattr(self, name)
            if values is not None and len(values) != n_items:
                raise DataError(
                    f"sequences have {n_items:,} items but {len(values):,} {name}: "
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

    def save(self, folder: Path) -> None:
        """Write the arrays into a folder that is there, one ``.npy`` file each."""
        for name in _DTYPES:
            values = getattr(self, name)
            if values is not None:
                np.save(_file(folder, name), values, allow_pickle=False)

    @classmethod
    def load(cls, folder: Path) -> Sequences:
        """Map the arrays of a folder into memory, read-only.

        Raises
        ------
        DataError
            When an array is missing or damaged, or they do not belong together.
        """
        there = [name for name in _DTYPES if name in _NEEDED or _file(folder, name).is_file()]
        return cls(**{name: _map(folder, name) for name in there})


_DTYPES: dict[str, np.dtype[Any]] = {
    "items": np.dtype("<i4"),
    "days": np.dtype("<i4"),
    "offsets": np.dtype("<i8"),
    "customers": np.dtype("<i4"),
    "channels": np.dtype("<i1"),
    "prices": np.dtype("<f4"),
}
_NEEDED = ("items", "days", "offsets")


def build_sequences(
    history: History, folder: Path, settings: SequenceSettings | None = None
) -> Sequences:
    """Make the sequences of all customers who bought anything before ``history.as_of``.

    Parameters
    ----------
    history
        Nothing at or after its date is in the sequences.
    folder
        Gets its name when it is whole; an earlier one is replaced.
    settings
        Which optional arrays are made.

    Returns
    -------
    The sequences, memory-mapped from ``folder``.
    """
    settings = settings or SequenceSettings()
    with atomic_folder(folder) as partial:
        pieces = partial / "pieces"
        pieces.mkdir()
        written = history.map(_write_piece, pieces, settings, label="purchase sequences")
        if written:
            _join(written, partial)
        else:
            sequences_of(pl.DataFrame(schema=PREPARED_TRANSACTIONS), settings).save(partial)
        shutil.rmtree(pieces)
    return Sequences.load(folder)


def sequences_of(transactions: pl.DataFrame, settings: SequenceSettings | None = None) -> Sequences:
    """Make the sequences of some customers in memory.

    Parameters
    ----------
    transactions
        Columns of ``schema.PREPARED_TRANSACTIONS``, in any order.
    settings
        Which optional arrays are made.
    """
    settings = settings or SequenceSettings()
    rows = _distinct(transactions.select(_columns(settings)))
    customers, days = rows["customer"].to_numpy(), rows["t_dat"].to_physical().to_numpy()
    new_customer = np.ones(rows.height, np.bool_)
    new_customer[1:] = customers[1:] != customers[:-1]
    starts = np.flatnonzero(new_customer)
    return Sequences(
        items=rows["article"].to_numpy(),
        days=days,
        offsets=np.append(starts, rows.height),
        customers=customers[starts],
        channels=rows["sales_channel_id"].fill_null(0).to_numpy() if settings.channels else None,
        prices=rows["price"].fill_null(float("nan")).to_numpy() if settings.prices else None,
    )


def _columns(settings: SequenceSettings) -> list[str]:
    optional = {"price": settings.prices, "sales_channel_id": settings.channels}
    return ["customer", "t_dat", "article", *(name for name, kept in optional.items() if kept)]


def _distinct(rows: pl.DataFrame) -> pl.DataFrame:
    """Each (customer, t_dat, article) once, sorted; of several, the lowest known price's row."""
    # By all columns, so that the row that is kept does not depend on the order they came in.
    rows = rows.sort(rows.columns, nulls_last=True)
    key = [pl.col(name) == pl.col(name).shift(1) for name in ("customer", "t_dat", "article")]
    return rows.filter(~pl.all_horizontal(key).fill_null(False))


def _write_piece(partition: Partition, folder: Path, settings: SequenceSettings) -> Path:
    """Write a partition's sequences; give the folder that they lie in."""
    piece = folder / f"{partition.index:05d}"
    piece.mkdir(exist_ok=True)
    sequences_of(partition.read_transactions(_columns(settings)), settings).save(piece)
    return piece


def _join(pieces: list[Path], folder: Path) -> None:
    """Write the arrays of all pieces one behind the other; one of them in memory at a time."""
    # Where each piece's items begin among all, and the end.
    bases = np.cumsum([0, *(len(_map(piece, "items")) for piece in pieces)])
    for name, dtype in _DTYPES.items():
        if not _file(pieces[0], name).is_file():
            continue
        # A piece's last offset is the next one's first.
        extra = 1 if name == "offsets" else 0
        n_values = sum(len(_map(piece, name)) - extra for piece in pieces) + extra
        with _file(folder, name).open("wb") as out:
            np.lib.format.write_array_header_1_0(
                out,
                {
                    "descr": np.lib.format.dtype_to_descr(dtype),
                    "fortran_order": False,
                    "shape": (n_values,),
                },
            )
            for piece, base in zip(pieces, bases[:-1], strict=True):
                values = np.load(_file(piece, name), allow_pickle=False)
                out.write(((values[:-1] + base).astype(dtype) if extra else values).data)
            if extra:
                out.write(bases[-1:].astype(dtype).data)


def _file(folder: Path, name: str) -> Path:
    return folder / f"{name}.npy"


def _map(folder: Path, name: str) -> npt.NDArray[Any]:
    path, dtype = _file(folder, name), _DTYPES[name]
    try:
        values = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError as error:
        raise DataError(
            f"{folder} holds no purchase sequences ({path.name} is missing): make them again"
        ) from error
    except (ValueError, EOFError) as error:
        raise DataError(f"{path} is damaged ({error}): make the sequences again") from error
    if values.dtype != dtype or values.ndim != 1:
        raise DataError(
            f"{path} holds {values.dtype} of shape {values.shape} instead of a row of {dtype}: "
            "make the sequences again"
        )
    # A plain view of the mapping: indexing an np.memmap makes another one each time, slowly.
    return np.asarray(values)
