"""Customers and their purchases on disk, memory-mapped: one of a million is found in microseconds.

Parquet has to be decompressed by the row group to find one customer. Here every column is one flat
array, customers lie one behind the other, and an array of offsets says where the purchases of each
begin: opening reads nothing, and a customer costs the pages that its own rows lie on. Several
processes that open the same folder share these pages.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from datetime import date
from hashlib import blake2b
from pathlib import Path
from typing import Any, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from modiste.data.dataset import CustomerBatch, History, Partition
from modiste.data.schema import PREPARED_CUSTOMERS, PREPARED_TRANSACTIONS
from modiste.errors import DataError
from modiste.models.flat_arrays import array_file, array_path, map_array, ranges

# What the folder holds, for errors.
_WHAT = "customers"

# Where each customer's purchases begin, and the end of the last one's.
_PURCHASES = "purchases"

# Hashes of the ids, ascending, and the code of each: an id is found by bisection.
_HASHES, _CODES = "id_hashes", "id_codes"

_ID = "customer_id"

# A text that is not known: a byte that UTF-8 never has.
_NO_TEXT = b"\xff"

_NUMPY: dict[pl.DataType, np.dtype[Any]] = {
    pl.Int8(): np.dtype(np.int8),
    pl.Int16(): np.dtype(np.int16),
    pl.Int32(): np.dtype(np.int32),
    pl.Float32(): np.dtype(np.float32),
    pl.Date(): np.dtype(np.int32),
}

_TEXTS = [name for name, dtype in PREPARED_CUSTOMERS.items() if dtype == pl.String()]
_NUMBERS = {
    name: dtype
    for name, dtype in PREPARED_CUSTOMERS.items()
    if dtype != pl.String() and name != "customer"
}
_OF_PURCHASES = {name: dtype for name, dtype in PREPARED_TRANSACTIONS.items() if name != "customer"}


def write_customer_store(history: History, folder: Path) -> None:
    """Write all customers of a history, and their purchases, a partition at a time.

    Parameters
    ----------
    history
        Whose customers.
    folder
        Existing and empty; gets one ``.npy`` file a column.

    Raises
    ------
    DataError
        When a column holds a number that stands for "not known" here.
    """
    sizes = history.map(_sizes, label="sizes of the customers' table")
    n_purchases = sum(purchases for purchases, _ in sizes)
    n_bytes = {name: sum(texts[name] for _, texts in sizes) for name in _TEXTS}
    hashes = np.empty(history.n_customers, dtype=np.uint64)
    with ExitStack() as files:

        def opened(name: str, dtype: np.dtype[Any], n: int) -> Callable[[NDArray[Any]], None]:
            return files.enter_context(array_file(array_path(folder, name), dtype, n))

        n = history.n_customers
        numbers = {name: opened(name, _NUMPY[dtype], n) for name, dtype in _NUMBERS.items()}
        texts = {name: opened(name, np.dtype(np.uint8), n_bytes[name]) for name in _TEXTS}
        places = {name: opened(_places_of(name), np.dtype(np.int64), n + 1) for name in _TEXTS}
        columns = {
            name: opened(name, _NUMPY[dtype], n_purchases) for name, dtype in _OF_PURCHASES.items()
        }
        purchases = opened(_PURCHASES, np.dtype(np.int64), n + 1)
        ends = dict.fromkeys((*_TEXTS, _PURCHASES), 0)
        for batch in history.batches():
            customers = batch.customers
            for name, append in numbers.items():
                append(_without_null(customers[name]))
            for name in _TEXTS:
                encoded = [_encoded(each) for each in customers[name]]
                texts[name](np.frombuffer(b"".join(encoded), dtype=np.uint8))
                starts = ends[name] + np.cumsum([0, *map(len, encoded)])
                places[name](starts[:-1])
                ends[name] = int(starts[-1])
            codes = customers["customer"].to_numpy()
            hashes[codes] = [_hash(each) for each in customers[_ID]]
            rows = batch.transactions
            for name, append in columns.items():
                append(_without_null(rows[name]))
            first = np.searchsorted(rows["customer"].to_numpy(), codes)
            purchases(ends[_PURCHASES] + first.astype(np.int64))
            ends[_PURCHASES] += rows.height
        for name in _TEXTS:
            places[name](np.array([ends[name]]))
        purchases(np.array([ends[_PURCHASES]]))
    order = np.argsort(hashes, kind="stable")
    np.save(array_path(folder, _HASHES), hashes[order])
    np.save(array_path(folder, _CODES), order.astype(np.int32))


class CustomerStore:
    """Customers by id or by code, with their purchases; open one with :meth:`open`.

    Attributes
    ----------
    as_of
        Every purchase is before this date.
    """

    def __init__(self, folder: Path, as_of: date) -> None:
        def mapped(name: str, dtype: np.dtype[Any]) -> NDArray[Any]:
            return map_array(folder, name, dtype, _WHAT)

        self.as_of = as_of
        self._numbers = {name: mapped(name, _NUMPY[dtype]) for name, dtype in _NUMBERS.items()}
        self._texts = {name: mapped(name, np.dtype(np.uint8)) for name in _TEXTS}
        self._places = {name: mapped(_places_of(name), np.dtype(np.int64)) for name in _TEXTS}
        self._columns = {name: mapped(name, _NUMPY[dtype]) for name, dtype in _OF_PURCHASES.items()}
        self._purchases = mapped(_PURCHASES, np.dtype(np.int64))
        self._hashes = mapped(_HASHES, np.dtype(np.uint64))
        self._codes = mapped(_CODES, np.dtype(np.int32))

    @classmethod
    def open(cls, folder: Path, as_of: date) -> Self:
        """Open what :func:`write_customer_store` wrote for a history as of a date.

        Raises
        ------
        DataError
            When a file is missing, damaged or of another length than the others.
        """
        store = cls(folder, as_of)
        n, purchases = len(store), len(store._columns["article"])
        whole = (
            all(len(values) == n for values in (*store._numbers.values(), store._codes))
            and all(len(places) == n + 1 for places in store._places.values())
            and all(len(store._texts[name]) == store._places[name][-1] for name in _TEXTS)
            and all(len(values) == purchases for values in store._columns.values())
            and len(store._purchases) == n + 1
            and store._purchases[-1] == purchases
        )
        if not whole:
            raise DataError(f"the arrays in {folder} do not fit together: make them again")
        return store

    def __len__(self) -> int:
        """Number of customers."""
        return len(self._hashes)

    def code(self, customer_id: str) -> int | None:
        """The code of the customer with an id; None where nobody has it."""
        try:
            wanted = customer_id.encode()
        except UnicodeEncodeError:  # half a character: no table holds it
            return None
        hashed = np.uint64(_hash_bytes(wanted))
        place = int(np.searchsorted(self._hashes, hashed))
        while place < len(self) and self._hashes[place] == hashed:
            code = int(self._codes[place])
            if self._bytes(_ID, code) == wanted:
                return code
            place += 1
        return None

    def customer_id(self, code: int) -> str:
        """The id of a customer."""
        return self._bytes(_ID, code).decode()

    def batch(self, codes: Iterable[int]) -> CustomerBatch:
        """Some customers with all their purchases, in the order of their codes.

        Returns
        -------
        The same rows as of :meth:`modiste.data.dataset.Partition.read`, of these customers alone.
        """
        own = np.array(sorted(set(codes)), dtype=np.int64)
        starts, ends = self._purchases[own], self._purchases[own + 1]
        rows: slice | NDArray[np.int64] = (
            slice(int(starts[0]), int(ends[0])) if len(own) == 1 else ranges(starts, ends - starts)
        )
        customers = [
            pl.Series("customer", own.astype(np.int32)),
            *(
                pl.Series(name, [self._text(name, int(code)) for code in own], dtype=pl.String)
                if name in self._texts
                else _series(name, self._numbers[name][own], PREPARED_CUSTOMERS[name])
                for name in PREPARED_CUSTOMERS
                if name != "customer"
            ),
        ]
        purchases = [
            pl.Series("customer", np.repeat(own.astype(np.int32), ends - starts)),
            *(
                _series(name, self._columns[name][rows], dtype)
                for name, dtype in _OF_PURCHASES.items()
            ),
        ]
        return CustomerBatch(
            self.as_of,
            pl.DataFrame(customers)[list(PREPARED_CUSTOMERS)],
            pl.DataFrame(purchases)[list(PREPARED_TRANSACTIONS)],
        )

    def _text(self, name: str, code: int) -> str | None:
        found = self._bytes(name, code)
        return None if found == _NO_TEXT else found.decode()

    def _bytes(self, name: str, code: int) -> bytes:
        places = self._places[name]
        return self._texts[name][places[code] : places[code + 1]].tobytes()


def _sizes(partition: Partition) -> tuple[int, dict[str, int]]:
    """Number of a partition's purchases, and bytes of its customers' texts by column."""
    customers = partition.read_customers()
    lengths = customers.select(
        pl.col(name).str.len_bytes().fill_null(len(_NO_TEXT)).cast(pl.Int64).sum()
        for name in _TEXTS
    )
    purchases = partition.read_transactions(["article"]).height
    return purchases, lengths.row(0, named=True)


def _places_of(name: str) -> str:
    return f"{name}_places"


def _encoded(text: str | None) -> bytes:
    return _NO_TEXT if text is None else text.encode()


def _hash(customer_id: str) -> int:
    return _hash_bytes(customer_id.encode())


def _hash_bytes(customer_id: bytes) -> int:
    """A number of 64 bits, the same on every machine and in every version."""
    return int.from_bytes(blake2b(customer_id, digest_size=8).digest(), "little")


def _unknown(dtype: np.dtype[Any]) -> Any:
    """The number of a type that stands for one that is not known."""
    return np.nan if dtype.kind == "f" else np.iinfo(dtype).min


def _without_null(values: pl.Series) -> NDArray[Any]:
    """The values as a flat array, with a number for those that are not known."""
    dtype = _NUMPY[values.dtype]
    physical = values.to_physical()
    unknown = _unknown(dtype)
    mistaken = physical.is_nan() if dtype.kind == "f" else physical == unknown
    if mistaken.any():
        raise DataError(
            f"column {values.name} holds {unknown}, which stands for what is not known in a "
            "bundle: mend it in the shop's tables"
        )
    return physical.fill_null(unknown).to_numpy()


def _series(name: str, values: NDArray[Any], dtype: pl.DataType) -> pl.Series:
    """The reverse of :func:`_without_null`."""
    unknown = np.isnan(values) if values.dtype.kind == "f" else values == _unknown(values.dtype)
    series = pl.Series(name, values)
    if unknown.any():
        series = series.set(pl.Series(unknown), None)
    return series.cast(dtype)
