"""Which of a file's columns each of modiste's columns is made of."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import polars as pl

from modiste.data.parsing import field_name
from modiste.data.records import MAX_RECORD, first_record, split_fields
from modiste.data.schema import COLUMNS, TableName
from modiste.data.settings import TableSettings
from modiste.data.unpacking import ReadyFile, encoding_name
from modiste.data.values import Formats
from modiste.errors import DataError

_BOM = b"\xef\xbb\xbf"
# What gzip, zip and Parquet files begin with.
_MAGIC = (b"\x1f\x8b", b"PK\x03\x04", b"PAR1")
_OTHER_SEPARATORS = ";\t|,"


@dataclass(frozen=True)
class TableFile:
    """A ready file with all that is needed to read its rows; small and picklable.

    Attributes
    ----------
    table
        The table that it is a part of.
    name, path, is_parquet
        As in :class:`~modiste.data.unpacking.ReadyFile`.
    sources
        modiste's column -> the columns of the frame that it is read into; none: all null.
    formats
        How numbers and days are written.
    separator, encoding, fields, data_start, data_line
        Of a CSV file: the separator, the encoding before it was made ready, the number of fields,
        and where its rows begin (byte, and line counted from 0).
    """

    table: TableName
    name: str
    path: Path
    is_parquet: bool
    sources: dict[str, tuple[str, ...]]
    formats: Formats
    separator: str = ","
    encoding: str = "utf-8"
    fields: int = 0
    data_start: int = 0
    data_line: int = 0


def map_file(file: ReadyFile, table: TableName, settings: TableSettings) -> TableFile:
    """Read a file's header and find the columns of its table in it.

    Raises
    ------
    DataError
        When the file is empty or no such file, or has not the columns.
    """
    formats = Formats(settings.decimal_comma, settings.date_format)
    if file.is_parquet:
        found = _parquet_columns(file)
        places = _places(file.name, table, found, settings)
        sources = {
            name: tuple(found[index] for index in indices) for name, indices in places.items()
        }
        return TableFile(table, file.name, file.path, True, sources, formats)
    header, start, lines = _csv_header(file, settings)
    places = _places(file.name, table, header, settings)
    sources = {
        name: tuple(field_name(index) for index in indices) for name, indices in places.items()
    }
    return TableFile(
        table,
        file.name,
        file.path,
        False,
        sources,
        formats,
        separator=settings.separator,
        encoding=encoding_name(settings.encoding),
        fields=len(header),
        data_start=start,
        data_line=lines,
    )


def _parquet_columns(file: ReadyFile) -> list[str]:
    try:
        return pl.scan_parquet(file.path).collect_schema().names()
    except (pl.exceptions.PolarsError, OSError) as error:
        if isinstance(error, PermissionError):
            raise _unreadable(file, error) from error
        raise DataError(
            f"{file.name} is no whole Parquet file ({error}): fetch or write it again"
        ) from error


def _csv_header(file: ReadyFile, settings: TableSettings) -> tuple[list[str], int, int]:
    """The fields of the first line, the offset of the first row, and the number of its line."""
    try:
        with file.path.open("rb") as stream:
            data = stream.read(MAX_RECORD)
    except OSError as error:
        raise _unreadable(file, error) from error
    if b"\0" in data.partition(b"\n")[0] or data.startswith(_MAGIC):
        raise DataError(
            f"{file.name} is no text in the encoding {settings.encoding}: set 'encoding:' of its "
            "table (a file with a zero byte after each letter is utf-16), or decompress it if its "
            "name hides that it is packed"
        )
    text = data.removeprefix(_BOM)
    text = text.lstrip(b"\r\n")
    if not text.strip():
        raise DataError(f"{file.name} is empty: it must have at least a line of column names")
    skipped = data[: len(data) - len(text)]
    if b"\n" not in text:
        if b"\r" in text:
            raise DataError(
                f"{file.name} ends its lines with CR alone: save it with LF or CRLF line ends"
            )
        if len(data) == MAX_RECORD:
            raise DataError(f"{file.name} has no line end in its first MiB: is it a CSV file?")
        text += b"\n"
    record = first_record(text, settings.separator.encode())
    if record is None:
        raise DataError(f"the quotes in the first line of {file.name} do not match")
    try:
        names = [
            field.decode().strip() for field in split_fields(record, settings.separator.encode())
        ]
    except UnicodeDecodeError as error:
        raise DataError(
            f"the first line of {file.name} is not valid {settings.encoding}: set 'encoding:' of "
            "its table, for instance latin-1 or cp1252"
        ) from error
    start = min(len(skipped) + len(record), file.path.stat().st_size)
    return names, start, skipped.count(b"\n") + record.count(b"\n")


def _places(
    name: str, table: TableName, found: list[str], settings: TableSettings
) -> dict[str, list[int]]:
    """Of each column of modiste, the positions of the file's columns that it is made of."""
    places: dict[str, list[int]] = {}
    for column in COLUMNS[table]:
        mapped = settings.columns.get(column.name)
        wanted = [mapped or column.name] if isinstance(mapped, str | None) else mapped
        if mapped is None and not column.required and column.name not in found:
            wanted = []
        for source in wanted:
            if found.count(source) != 1:
                raise DataError(_missing(name, table, column.name, source, found, settings))
        places[column.name] = [found.index(source) for source in wanted]
    return places


def _missing(
    name: str,
    table: TableName,
    column: str,
    source: str,
    found: list[str],
    settings: TableSettings,
) -> str:
    has = ", ".join(repr(each) for each in found[:40]) + (" …" if len(found) > 40 else "")
    if source in found:
        return (
            f"{name} has the column {source!r} more than once: rename or remove one. It has {has}"
        )
    near = get_close_matches(source, found, n=1, cutoff=0.5)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    other = [sign for sign in _OTHER_SEPARATORS if sign != settings.separator and sign in found[0]]
    if len(found) == 1 and other:
        advice = f"Its fields seem to be separated by {other[0]!r}: set 'separator:' of {table}"
    else:
        advice = f"Say which column it is by 'columns:' of {table}, as '{column}: name'"
    return f"{name} has no column {source!r}{hint}. It has {has}. {advice}"


def _unreadable(file: ReadyFile, error: OSError) -> DataError:
    return DataError(f"{file.name} cannot be read: {error.strerror or error}")
