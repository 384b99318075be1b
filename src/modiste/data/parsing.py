"""From a block of CSV bytes to a frame of texts, every row with its line number.

A block whose regularity is proved by counting is read by Polars as it is. Any other block is taken
apart record by record: what is broken is rejected with its line, the rest is read all the same.
Both ways give the same rows; the tests hold them against each other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from modiste.data.findings import findings_frame
from modiste.data.records import (
    Positions,
    Records,
    count_byte,
    find_records,
    regular_ends,
    split_fields,
)

# What undecodable bytes of a source in another encoding become.
_REPLACEMENT = "\ufffd".encode()
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class TextBlock:
    """The rows of a block, before their values are looked at.

    Attributes
    ----------
    frame
        One column for each field of the file.
    line
        Line of each row, counted from 0 at the start of the block; None: row i is on line i.
    lines
        Number of lines in the block.
    rejects
        Records that are no rows (see :mod:`modiste.data.findings`).
    """

    frame: pl.DataFrame
    line: Positions | None
    lines: int
    rejects: pl.DataFrame

    @property
    def rows_in(self) -> int:
        """Number of records in the block, rejected ones too."""
        return self.frame.height + self.rejects.height

    def line_of(self, rows: Positions) -> Positions:
        """Lines of some rows, given by position."""
        return rows if self.line is None else self.line[rows]


def field_name(index: int) -> str:
    """Name of a field's column in the frame of texts."""
    return f"field_{index}"


def parse_csv(data: bytes, fields: int, separator: str, encoding: str) -> TextBlock:
    """Read a block of whole records of UTF-8 text.

    Parameters
    ----------
    data
        Begins with a record and ends with a line end.
    fields
        Number of fields of the file's header.
    encoding
        What the file was written in before it was recoded to UTF-8; for the account.
    """
    sep = separator.encode()
    lines = count_byte(data, 10)
    ends: Positions | None = None
    rows = -1
    if not _has_odd_bytes(data, encoding):
        if b'"' in data:
            ends = regular_ends(data, sep, fields)
            rows = -1 if ends is None else ends.size
        elif _counts_agree(data, sep, fields, lines):
            rows = lines
    if rows >= 0:
        frame = _read(data, fields, separator)
        if frame is not None and frame.height == rows:
            line = None if ends is None or rows == lines else _lines_at(data, ends)
            return TextBlock(frame, line, lines, findings_frame())
    return _take_apart(data, fields, separator, encoding, lines)


def _has_odd_bytes(data: bytes, encoding: str) -> bool:
    return (
        b"\0" in data
        # Polars would skip a byte order mark at the start of any block.
        or data.startswith(_BOM)
        or (encoding != "utf-8" and _REPLACEMENT in data)
    )


def _counts_agree(data: bytes, separator: bytes, fields: int, lines: int) -> bool:
    """Whether there are as many separators as that many full rows have.

    Polars itself refuses a row with too many fields; with the sum right, none has too few, and no
    line is empty.
    """
    if fields == 1:
        return not (data.startswith((b"\n", b"\r\n")) or b"\n\n" in data or b"\n\r\n" in data)
    return count_byte(data, separator[0]) == lines * (fields - 1)


def _read(data: bytes, fields: int, separator: str) -> pl.DataFrame | None:
    """Let Polars read all fields as texts; None when it refuses (fields, quotes, UTF-8)."""
    quoted = b'"' in data
    try:
        frame = pl.read_csv(
            data,
            has_header=False,
            schema={field_name(index): pl.String for index in range(fields)},
            separator=separator,
            quote_char='"' if quoted else None,
        )
    except (pl.exceptions.ComputeError, pl.exceptions.SchemaError):
        return None
    # An empty field and a quoted empty field are the same: nothing.
    return frame.with_columns(pl.when(pl.all() != "").then(pl.all())) if quoted else frame


def _lines_at(data: bytes, ends: Positions) -> Positions:
    newlines = np.flatnonzero(np.frombuffer(data, np.uint8) == 10)
    starts = np.concatenate([[0], ends[:-1]])
    return np.searchsorted(newlines, starts)


def _take_apart(data: bytes, fields: int, separator: str, encoding: str, lines: int) -> TextBlock:
    sep = separator.encode()
    raw = np.frombuffer(data, np.uint8)
    records = find_records(data, sep, fields)
    line = np.searchsorted(np.flatnonzero(raw == 10), records.start)
    reason = _reasons(data, raw, records, sep, fields, encoding)
    good = reason == ""
    plain, quoted = good & ~records.quoted, good & records.quoted

    # Marks of where plain rows start and stop; the running sum is 1 inside them.
    edges = np.zeros(len(data) + 1, np.int8)
    edges[records.start[plain]] += 1
    edges[records.end[plain]] -= 1
    span = np.cumsum(edges[:-1], dtype=np.int8) == 1
    frames = [_read_plain(raw[span].tobytes(), fields, separator, int(plain.sum()))]

    rows: list[list[str | None]] = []
    for index in np.flatnonzero(quoted):
        texts = split_fields(data[records.start[index] : records.end[index]], sep)
        rows.append([text.decode() or None for text in texts])
    frames.append(_frame_of(rows, fields))
    all_lines = np.concatenate([line[plain], line[quoted]])
    order = np.argsort(all_lines, kind="stable")

    bad = np.flatnonzero(~good)
    texts_of_bad = [
        data[records.start[index] : records.end[index]].decode("utf-8", "replace").rstrip("\r\n")
        for index in bad
    ]
    return TextBlock(
        pl.concat(frames)[order],
        all_lines[order],
        lines,
        findings_frame(line[bad], "", texts_of_bad, reason[bad].tolist()),
    )


def _frame_of(rows: list[list[str | None]], fields: int) -> pl.DataFrame:
    schema = {field_name(index): pl.String for index in range(fields)}
    return pl.DataFrame(rows, schema=schema, orient="row")


def _read_plain(data: bytes, fields: int, separator: str, rows: int) -> pl.DataFrame:
    if rows == 0:
        return _frame_of([], fields)
    # Here a byte order mark in front of a field is part of the text, which Polars would skip.
    mark = _BOM if data.startswith(_BOM) else b""
    frame = _read(mark + data, fields, separator)
    if frame is None or frame.height != rows:
        raise RuntimeError(f"{rows} rows that were counted are not the rows that were read")
    return frame


def _reasons(
    data: bytes,
    raw: npt.NDArray[np.uint8],
    records: Records,
    separator: bytes,
    fields: int,
    encoding: str,
) -> npt.NDArray[np.str_]:
    """Why each record is rejected; empty where it is not."""
    separators = np.flatnonzero(raw == separator[0])
    count = np.searchsorted(separators, records.end) - np.searchsorted(separators, records.start)
    for index in np.flatnonzero(records.quoted):
        record = data[records.start[index] : records.end[index]]
        count[index] = len(split_fields(record, separator)) - 1
    reason = np.full(records.start.size, "", dtype="<U40")
    reason[count < fields - 1] = "too few fields"
    reason[count > fields - 1] = "too many fields"
    reason[records.broken] = "broken quotes"
    reason[_undecodable(data, raw, records, encoding)] = f"not valid {encoding}"
    reason[_at(records, np.flatnonzero(raw == 0))] = "NUL byte"
    return reason


def _undecodable(
    data: bytes, raw: npt.NDArray[np.uint8], records: Records, encoding: str
) -> Positions:
    suspects = _at(records, np.flatnonzero(raw >= 0x80))
    found = [
        index
        for index in suspects
        if not _is_text(data[records.start[index] : records.end[index]], encoding)
    ]
    return np.array(found, np.int64)


def _is_text(record: bytes, encoding: str) -> bool:
    if encoding != "utf-8":
        return _REPLACEMENT not in record
    try:
        record.decode()
    except UnicodeDecodeError:
        return False
    return True


def _at(records: Records, positions: Positions) -> Positions:
    """The records that hold the given bytes. Only empty lines lie in no record; they hold none."""
    return np.unique(np.searchsorted(records.start, positions, side="right") - 1)
