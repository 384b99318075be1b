r"""Where the records of a CSV text begin and end, and which of them are broken.

The rules are RFC 4180's, made total so that every byte sequence has exactly one reading, whatever
the size of the blocks that a file is read in:

- A field that begins with ``"`` ends at the next ``"`` that is not doubled, and a separator or a
  line end must follow. A ``"`` inside any other field is an ordinary character.
- A record ends at the first line end outside quotes (``\n`` or ``\r\n``). An empty line is no
  record.
- A line that begins no such record within ``MAX_RECORD`` bytes is broken, by itself; reading goes
  on with the next line. So is the first line of a record that runs over several lines and has the
  wrong number of fields: a quote that was opened by mistake never swallows good rows unseen.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

# A record with quotes is no longer than this (bytes); bounds how far a stray quote is followed.
MAX_RECORD = 1 << 20

Positions = npt.NDArray[np.int64]

_PIECE = 1 << 18
_NEWLINE, _RETURN, _QUOTE = 10, 13, 34


@dataclass(frozen=True)
class Records:
    """The records of a block, in order: ``data[start:end]`` with the line end.

    Attributes
    ----------
    start, end
        Offsets in the block.
    quoted
        Whether the record is well formed and has a quote in it.
    broken
        Whether it is a line that no record begins with.
    """

    start: Positions
    end: Positions
    quoted: npt.NDArray[np.bool_]
    broken: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class _Grammar:
    """The patterns for one separator. Possessive throughout: matching never backtracks."""

    plain_lines: re.Pattern[bytes]
    record: re.Pattern[bytes]
    field: re.Pattern[bytes]


@lru_cache(maxsize=8)
def _grammar(separator: bytes) -> _Grammar:
    sep = re.escape(separator)
    quoted = rb'"[^"]*+(?:""[^"]*+)*+"'
    bare = rb'[^"' + sep + rb"\n][^" + sep + rb"\n]*+"
    field = rb"(?:" + quoted + rb"|" + bare + rb")?+"
    return _Grammar(
        plain_lines=re.compile(rb'(?:[^"\n]*+\n)++'),
        record=re.compile(field + rb"(?:" + sep + field + rb")*+\r?+\n"),
        field=re.compile(
            rb'(?:"([^"]*+(?:""[^"]*+)*+)"|([^"' + sep + rb"][^" + sep + rb"]*+)?+)" + sep
        ),
    )


def count_byte(data: bytes, value: int) -> int:
    """Number of bytes of that value; in pieces that stay in the cache, without the GIL."""
    raw = np.frombuffer(data, np.uint8)
    pieces = (raw[start : start + _PIECE] for start in range(0, raw.size, _PIECE))
    return int(sum(np.count_nonzero(piece == value) for piece in pieces))


def split_fields(record: bytes, separator: bytes) -> list[bytes]:
    """The fields of one well-formed record, without quotes."""
    body = record.removesuffix(b"\n").removesuffix(b"\r")
    if b'"' not in body:
        return body.split(separator)
    return [
        match[1].replace(b'""', b'"') if match[1] is not None else match[2] or b""
        for match in _grammar(separator).field.finditer(body + separator)
    ]


def first_record(data: bytes, separator: bytes) -> bytes | None:
    """The record that ``data`` begins with; None when it is broken or not whole."""
    match = _grammar(separator).record.match(data)
    return match[0] if match else None


def regular_ends(data: bytes, separator: bytes, fields: int) -> Positions | None:
    r"""Where the records of a block end, if each is well formed and has ``fields`` fields.

    Parameters
    ----------
    data
        Begins with a record and ends with a line end.

    Returns
    -------
    The offset after each record's line end; None when a record is broken, empty or of another
    number of fields, or when a quote stands inside an unquoted field.
    """
    raw = np.frombuffer(data, np.uint8)
    sep = separator[0]
    quotes = np.flatnonzero(raw == _QUOTE)
    if quotes.size % 2:
        return None
    opening, closing = quotes[0::2], quotes[1::2]
    before = np.where(opening > 0, raw[opening - 1], _NEWLINE)
    doubled = np.zeros(opening.size, np.bool_)
    doubled[1:] = opening[1:] == closing[:-1] + 1
    if not np.all((before == sep) | (before == _NEWLINE) | doubled):
        return None
    # The block ends with a line end, hence something follows every quote.
    after = raw[closing + 1]
    line_end = (after == _RETURN) & (raw[np.minimum(closing + 2, raw.size - 1)] == _NEWLINE)
    if not np.all((after == sep) | (after == _NEWLINE) | (after == _QUOTE) | line_end):
        return None
    ends = _outside(np.flatnonzero(raw == _NEWLINE), quotes) + 1
    if ends.size == 0 or ends[-1] != raw.size:
        return None
    separators = _outside(np.flatnonzero(raw == sep), quotes)
    count = np.diff(np.searchsorted(separators, ends), prepend=0)
    length = np.diff(ends, prepend=0)
    if np.any(count != fields - 1) or np.any(length > MAX_RECORD):
        return None
    if fields == 1 and np.any(_is_blank(raw, ends - length, ends)):
        return None
    return ends


def regular_prefix(data: bytes, separator: bytes, fields: int) -> int:
    """How many bytes of ``data`` are whole records that :func:`regular_ends` would accept.

    0 when the first irregularity may lie before the last line end outside quotes.
    """
    raw = np.frombuffer(data, np.uint8)
    newlines = _outside(np.flatnonzero(raw == _NEWLINE), np.flatnonzero(raw == _QUOTE))
    if newlines.size == 0:
        return 0
    end = int(newlines[-1]) + 1
    return 0 if regular_ends(data[:end], separator, fields) is None else end


def find_records(data: bytes, separator: bytes, fields: int) -> Records:
    """The records of a block of any kind, broken ones too; empty lines are left out.

    Parameters
    ----------
    data
        Begins with a record and ends with a line end.
    """
    raw = np.frombuffer(data, np.uint8)
    newlines = np.flatnonzero(raw == _NEWLINE)
    grammar = _grammar(separator)
    ends: list[Positions] = []
    kinds: list[npt.NDArray[np.uint8]] = []
    position = 0
    while position < len(data):
        plain = grammar.plain_lines.match(data, position)
        if plain:
            first, last = np.searchsorted(newlines, [position, plain.end()])
            ends.append(newlines[first:last] + 1)
            kinds.append(np.zeros(last - first, np.uint8))
            position = plain.end()
            continue
        end, broken = _quoted_record(data, position, separator, fields)
        ends.append(np.array([end]))
        kinds.append(np.array([2 if broken else 1], np.uint8))
        position = end
    end_of = np.concatenate(ends)
    start_of = np.concatenate([[0], end_of[:-1]])
    kind = np.concatenate(kinds)
    kept = ~_is_blank(raw, start_of, end_of)
    return Records(start_of[kept], end_of[kept], kind[kept] == 1, kind[kept] == 2)


def _quoted_record(data: bytes, start: int, separator: bytes, fields: int) -> tuple[int, bool]:
    """End of the record at ``start``, whose first line has a quote, and whether it is broken."""
    line_end = data.index(b"\n", start) + 1
    match = _grammar(separator).record.match(data, start, start + MAX_RECORD)
    if match is None:
        return line_end, True
    if match.end() > line_end and len(split_fields(match[0], separator)) != fields:
        return line_end, True
    return match.end(), False


def _outside(positions: Positions, quotes: Positions) -> Positions:
    """Those of the positions that have an even number of quotes before them."""
    return positions[np.searchsorted(quotes, positions) % 2 == 0] if quotes.size else positions


def _is_blank(
    raw: npt.NDArray[np.uint8], start: Positions, end: Positions
) -> npt.NDArray[np.bool_]:
    length = end - start
    blank: npt.NDArray[np.bool_] = (length == 1) | ((length == 2) & (raw[start] == _RETURN))
    return blank
