"""Ids to codes: one table of all ids of a kind, looked up by hash, a block at a time."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from threading import Lock

import numpy as np
import numpy.typing as npt
import polars as pl

Codes = npt.NDArray[np.int32]

# What a lookup gives for an id that is not there.
UNKNOWN = -1
# What a repair gives where several ids differ from the lost one in leading zeros alone.
AMBIGUOUS = -2


@dataclass(frozen=True)
class Vocabulary:
    """Ids and their codes: the code of an id is its position.

    Looking up a block of ids costs a few passes of NumPy over 64-bit hashes: several times less
    than a join, which would build its hash table again for every block. Every hit is verified
    against the id itself, so a collision of hashes cannot give a wrong code.

    Attributes
    ----------
    ids
        Distinct, without null.
    """

    ids: pl.Series

    @staticmethod
    def read(path: Path) -> Vocabulary:
        """Read the ids of an Arrow file; the same object for the same file within a process."""
        with _reading:
            return _read(path)

    @staticmethod
    def forget() -> None:
        """Free the memory of the vocabularies that were read in this process."""
        _read.cache_clear()

    def __len__(self) -> int:
        return len(self.ids)

    def codes(self, ids: pl.Series) -> Codes:
        """The code of each id; ``UNKNOWN`` where it has none."""
        found = np.full(len(ids), UNKNOWN, np.int32)
        if len(self) == 0 or len(ids) == 0:
            return found
        hashes, order, first, shift = self._table
        wanted = _hash(ids)
        slot = first[wanted >> shift]
        last = hashes.size - 1
        # Within its bucket, step to the first entry whose hash is not smaller.
        rows = np.flatnonzero(hashes[np.minimum(slot, last)] < wanted)
        while rows.size:
            slot[rows] += 1
            rows = rows[slot[rows] <= last]
            rows = rows[hashes[slot[rows]] < wanted[rows]]
        code = order[np.minimum(slot, last)]
        same = self._are(code, ids)
        found[same] = code[same]
        # Step on where another id has the same hash.
        rows = np.flatnonzero(~same)
        while rows.size:
            rows = rows[slot[rows] <= last]
            rows = rows[hashes[slot[rows]] == wanted[rows]]
            code = order[slot[rows]]
            same = self._are(code, ids.gather(rows))
            found[rows[same]] = code[same]
            rows = rows[~same]
            slot[rows] += 1
        return found

    def without_zeros(self, ids: pl.Series) -> Codes:
        """The code of the one id that each of ``ids`` is when zeros are put in front of it.

        Returns
        -------
        ``UNKNOWN`` where there is no such id, ``AMBIGUOUS`` where there are several.
        """
        lost = (
            pl.DataFrame({"row": pl.int_range(len(ids), dtype=pl.UInt32, eager=True), "id": ids})
            .filter(pl.col("id").str.contains(r"^\d+$"))
            .with_columns(_stripped, pl.col("id").str.len_bytes().alias("length"))
        )
        found = (
            lost.join(self._with_zeros, on="stripped", suffix="_full")
            .filter(pl.col("length_full") > pl.col("length"))
            .group_by("row")
            .agg(pl.len().alias("matches"), pl.col("code").first())
        )
        codes = np.full(len(ids), UNKNOWN, np.int32)
        codes[found["row"].to_numpy()] = found.select(
            pl.when(pl.col("matches") == 1).then("code").otherwise(AMBIGUOUS)
        ).to_series()
        return codes

    def _are(self, codes: Codes, ids: pl.Series) -> npt.NDArray[np.bool_]:
        """Whether each code is that id's."""
        same = self.ids.gather(codes) == ids
        return same.fill_null(value=False).to_numpy()

    @cached_property
    def _table(self) -> tuple[npt.NDArray[np.uint64], Codes, Codes, np.uint64]:
        """Sorted hashes, the codes in that order, the first entry of each bucket, the shift.

        A bucket holds the hashes with the same leading bits: two entries on average, at most.
        """
        hashes = _hash(self.ids)
        order = np.argsort(hashes, kind="stable").astype(np.int32)
        hashes = hashes[order]
        bits = max(1, len(self).bit_length())
        shift = np.uint64(64 - bits)
        buckets = np.arange(1 << bits, dtype=np.uint64) << shift
        first = np.searchsorted(hashes, buckets).astype(np.int32)
        return hashes, order, first, shift

    @cached_property
    def _with_zeros(self) -> pl.DataFrame:
        return (
            pl.DataFrame({"id": self.ids})
            .with_row_index("code")
            .with_columns(pl.col("code").cast(pl.Int32))
            .filter(pl.col("id").str.contains(r"^0\d*$"))
            .select("code", _stripped, pl.col("id").str.len_bytes().alias("length"))
        )


_stripped = pl.col("id").str.strip_chars_start("0").alias("stripped")
_reading = Lock()


@lru_cache(maxsize=4)
def _read(path: Path) -> Vocabulary:
    # In one piece: to gather from many is several times slower.
    vocabulary = Vocabulary(pl.read_ipc(path)["id"].rechunk())
    # Built here, under the lock, rather than by several threads at once.
    _ = vocabulary._table
    return vocabulary


def _hash(ids: pl.Series) -> npt.NDArray[np.uint64]:
    return ids.hash().to_numpy()
