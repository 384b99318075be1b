"""Files to blocks: ranges of whole records (CSV) or rows (Parquet) that workers read themselves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

import polars as pl

from modiste.data.mapping import TableFile
from modiste.data.records import MAX_RECORD, find_records, regular_prefix

# Files are searched for quotes in ranges of this size, in pieces of that.
SEARCH_BYTES = 256 << 20
_PIECE_BYTES = 1 << 20

# What a row of Parquet is taken to weigh (bytes): makes blocks of rows out of ``block_bytes``.
_ROW_BYTES = 100


@dataclass(frozen=True)
class Block:
    """A part of a file.

    Attributes
    ----------
    file
        The file.
    start, stop
        Bytes of a CSV file, rows of a Parquet file.
    """

    file: TableFile
    start: int
    stop: int

    def read_bytes(self) -> bytes:
        """The block of a CSV file, ending with a line end also where the file does not."""
        with self.file.path.open("rb") as stream:
            stream.seek(self.start)
            data = stream.read(self.stop - self.start)
        return data if data.endswith(b"\n") else data + b"\n"


def has_quote(item: tuple[Path, int]) -> bool:
    """Whether there is a quote in the ``SEARCH_BYTES`` of a file from an offset on."""
    path, start = item
    piece = bytearray(_PIECE_BYTES)
    with path.open("rb", buffering=0) as stream:
        stream.seek(start)
        for _ in range(SEARCH_BYTES // _PIECE_BYTES):
            size = stream.readinto(piece)
            if not size:
                return False
            if piece.find(b'"', 0, size) >= 0:
                return True
    return False


def split(file: TableFile, block_bytes: int, *, quoted: bool) -> list[Block]:
    """The blocks of a file, in order.

    Parameters
    ----------
    quoted
        Whether a CSV file has quotes. Then it is read through here, since only from its start can
        be told which line ends are within quotes.
    """
    if file.is_parquet:
        rows = pl.scan_parquet(file.path).select(pl.len()).collect().item()
        step = max(1, block_bytes // _ROW_BYTES)
        return [Block(file, start, min(start + step, rows)) for start in range(0, rows, step)]
    size = file.path.stat().st_size
    with file.path.open("rb") as stream:
        find_ends = _record_ends if quoted else _line_ends
        bounds = [file.data_start, *find_ends(stream, file, block_bytes, size)]
    return [Block(file, start, stop) for start, stop in pairwise(bounds)]


def _line_ends(stream: BinaryIO, file: TableFile, block_bytes: int, size: int) -> Iterator[int]:
    end = file.data_start
    while end < size:
        end = min(end + block_bytes, size)
        stream.seek(end - 1)
        stream.readline()
        end = stream.tell()
        yield end


def _record_ends(stream: BinaryIO, file: TableFile, block_bytes: int, size: int) -> Iterator[int]:
    separator, end = file.separator.encode(), file.data_start
    while end < size:
        if size - end <= block_bytes:
            yield size
            return
        stream.seek(end)
        data = stream.read(block_bytes)
        whole = regular_prefix(data, separator, file.fields)
        if whole == 0:
            # Enough to judge any record that begins within the block.
            data += stream.read(MAX_RECORD) + stream.readline()
            whole = _judged_prefix(data, separator, file.fields, block_bytes)
        end = min(end + whole, size)
        yield end


def _judged_prefix(data: bytes, separator: bytes, fields: int, block_bytes: int) -> int:
    """Where the last record ends that fits in a block, or the first one if none fits."""
    if not data.endswith(b"\n"):
        data += b"\n"
    ends = find_records(data, separator, fields).end
    if ends.size == 0:
        return len(data)
    fitting = ends[ends <= block_bytes]
    return int(fitting[-1] if fitting.size else ends[0])
