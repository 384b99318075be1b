"""CSV text has exactly one reading: whichever path reads it, however it is cut into blocks."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modiste.data import parsing, records, splitting
from modiste.data.mapping import TableFile
from modiste.data.parsing import TextBlock, parse_csv
from modiste.data.splitting import Block, has_quote, split
from modiste.data.values import Formats

Row = tuple[Any, ...]

# The bytes that matter, and a few that do not.
_ODD = st.lists(
    st.sampled_from(
        [b'"', b'""', b",", b"\n", b"\r\n", b"\r", b"a", b"\xc3\xa9", b"\xe9", b"\0", b"1,2"]
    ),
    max_size=60,
).map(b"".join)


def _with_line_end(data: bytes) -> bytes:
    return data if data.endswith(b"\n") else data + b"\n"


def _content(block: TextBlock, first_line: int = 0) -> tuple[list[Row], list[Row]]:
    """The rows and the rejected records of a block, each with its line."""
    lines = block.line if block.line is not None else range(block.frame.height)
    rows = [
        (int(line) + first_line, *row) for line, row in zip(lines, block.frame.rows(), strict=True)
    ]
    rejects = [(line + first_line, *rest) for line, *rest in block.rejects.rows()]
    return rows, rejects


def _taken_apart(data: bytes, fields: int) -> TextBlock:
    return parsing._take_apart(data, fields, ",", "utf-8", data.count(b"\n"))


@settings(max_examples=600, deadline=None)
@given(data=_ODD, fields=st.integers(1, 3))
def test_both_paths_read_the_same(data: bytes, fields: int) -> None:
    data = _with_line_end(data)
    assert _content(parse_csv(data, fields, ",", "utf-8")) == _content(_taken_apart(data, fields))


def _in_blocks(path: Path, fields: int, block_bytes: int) -> tuple[list[Row], list[Row]]:
    file = TableFile("transactions", path.name, path, False, {}, Formats(), fields=fields)
    blocks = split(file, block_bytes, quoted=has_quote((path, 0)))
    assert [block.start for block in blocks[1:]] == [block.stop for block in blocks[:-1]]
    rows: list[Row] = []
    rejects: list[Row] = []
    line = 0
    for block in blocks:
        parsed = parse_csv(block.read_bytes(), fields, ",", "utf-8")
        more_rows, more_rejects = _content(parsed, line)
        rows += more_rows
        rejects += more_rejects
        line += parsed.lines
    return rows, rejects


@settings(
    max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    data=_ODD, fields=st.integers(1, 3), block_bytes=st.integers(1, 40), limit=st.integers(3, 60)
)
def test_blocks_change_nothing(
    tmp_path: Path, data: bytes, fields: int, block_bytes: int, limit: int
) -> None:
    path = tmp_path / "part.csv"
    path.write_bytes(data)
    with pytest.MonkeyPatch.context() as patch:
        # So short that the limit on records with quotes is met as well.
        patch.setattr(records, "MAX_RECORD", limit)
        patch.setattr(splitting, "MAX_RECORD", limit)
        cut = _in_blocks(path, fields, block_bytes)
        whole = (
            _content(parse_csv(_with_line_end(data), fields, ",", "utf-8")) if data else ([], [])
        )
    assert cut == whole


_TEXTS = st.text(alphabet='ab", \néß;0', max_size=8)


@settings(max_examples=300, deadline=None)
@given(
    table=st.lists(st.tuples(_TEXTS, _TEXTS, _TEXTS), max_size=12),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
    line_end=st.sampled_from(["\n", "\r\n"]),
)
def test_what_pythons_csv_module_writes_is_read(
    table: list[tuple[str, ...]], quoting: Any, line_end: str
) -> None:
    out = io.StringIO()
    csv.writer(out, quoting=quoting, lineterminator=line_end).writerows(table)
    text = out.getvalue().encode() or b"\n"
    block = parse_csv(text, 3, ",", "utf-8")
    assert block.rejects.height == 0
    assert block.frame.rows() == [tuple(field or None for field in row) for row in table]


def test_many_rows_of_every_kind_at_once() -> None:
    """A block that Polars reads in several threads, with odd rows among many plain ones."""
    plain = b"2020-01-01,c1,a1\n" * 50_000
    odd = b'x,"y\nz",w\nfew,x\n1,2,3,4\n"broken"x,1,2\n\xe9,1,2\nmid"quote,1,2\n'
    block = parse_csv(plain + odd + plain, 3, ",", "utf-8")
    assert block.frame.height == 100_002
    assert block.rejects.select("line", "reason").rows() == [
        (50_002, "too few fields"),
        (50_003, "too many fields"),
        (50_004, "broken quotes"),
        (50_005, "not valid utf-8"),
    ]
    assert block.line is not None
    assert block.frame[[50_000, 50_001]].rows() == [("x", "y\nz", "w"), ('mid"quote', "1", "2")]
    assert block.line[[50_000, 50_001, 50_002, -1]].tolist() == [50_000, 50_006, 50_007, 100_006]
    assert block.lines == 100_007


def test_a_byte_order_mark_in_the_middle_of_a_file_is_text() -> None:
    for data in (b"\xef\xbb\xbfa,b\nc,d\n", b'\xef\xbb\xbfa,b\nc,"d"\n'):
        block = parse_csv(data, 2, ",", "utf-8")
        assert block.frame.rows() == [("\ufeffa", "b"), ("c", "d")]


def test_blocks_of_parquet_are_rows(tmp_path: Path) -> None:
    path = tmp_path / "part.parquet"
    pl.DataFrame({"a": range(10)}).write_parquet(path)
    file = TableFile("articles", path.name, path, True, {}, Formats())
    assert split(file, 300, quoted=False) == [
        Block(file, start, min(start + 3, 10)) for start in (0, 3, 6, 9)
    ]
