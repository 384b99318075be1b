"""From texts (or a Parquet file's own types) to the typed columns of a table.

Each conversion takes a series to a series of the wanted type in which what cannot be read is null.
It tries the usual form on the whole series, and the rarer forms only where that failed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date

import numpy as np
import numpy.typing as npt
import polars as pl

from modiste.data.findings import findings_frame
from modiste.data.schema import FIRST_DAY, Column

Mask = npt.NDArray[np.bool_]
Problems = list[tuple[str, Mask]]

_ISO_DAY = "%Y-%m-%d"
# A day, alone or with a time after it: 2020-09-20, 2020-09-20T10:00:00Z, 2020-9-20 10:00.
_ISO_TIMESTAMP = r"^\s*(\d{4}-\d{1,2}-\d{1,2})(?:[T ].*)?$"
# strftime directives that a day has not: with one of them a format describes a timestamp.
_OF_TIME = tuple(f"%{letter}" for letter in "HIMSTRXcspPfzZ")
# Groups of three digits with points, or plain digits, before a decimal comma: 1.299,00 and 12,99.
_COMMA_NUMBER = r"^[+-]?(?:\d{1,3}(?:\.\d{3})+|\d*)(?:,\d+)?(?:[eE][+-]?\d+)?$"


@dataclass
class Verdict:
    """Which rows of a block are rejected, each for the first reason found, and what is repaired.

    Attributes
    ----------
    line
        Line of every row.
    rejected
        Whether each row is rejected so far.
    """

    line: npt.NDArray[np.int64]
    rejected: Mask = field(init=False)
    _rejects: list[pl.DataFrame] = field(default_factory=list)
    _repairs: list[pl.DataFrame] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rejected = np.zeros(self.line.size, np.bool_)

    def reject(self, rows: Mask, column: str, reason: str, values: pl.Series) -> None:
        """Reject those of the rows that are not rejected yet; ``values`` are the column's."""
        rows = rows & ~self.rejected
        if rows.any():
            self._rejects.append(self._list(rows, column, reason, values))
            self.rejected |= rows

    def repair(self, rows: Mask, column: str, reason: str, values: pl.Series) -> None:
        """Note that values become null in rows that are otherwise kept."""
        if rows.any():
            self._repairs.append(self._list(rows, column, reason, values))

    def rejects(self, *more: pl.DataFrame) -> pl.DataFrame:
        """The rejected rows, with ``more`` of the same block, by line."""
        return pl.concat([findings_frame(), *self._rejects, *more]).sort(
            "line", maintain_order=True
        )

    def repairs(self) -> pl.DataFrame:
        """The repairs in rows that are not rejected, by line."""
        lost = pl.Series(self.line[self.rejected], dtype=pl.Int64)
        return (
            pl.concat([findings_frame(), *self._repairs])
            .filter(~pl.col("line").is_in(lost.implode()))
            .sort("line", maintain_order=True)
        )

    def _list(self, rows: Mask, column: str, reason: str, values: pl.Series) -> pl.DataFrame:
        texts = to_text(values.filter(pl.Series(rows))).fill_null("")
        return findings_frame(self.line[rows], column, texts, reason)


@dataclass(frozen=True)
class Formats:
    """How the texts of a table write numbers and days (see ``TableSettings``)."""

    decimal_comma: bool = False
    date_format: str | None = None


def typed_column(
    column: Column,
    source: pl.Series,
    formats: Formats,
    today: date,
    verdict: Verdict,
    *,
    strict: bool,
) -> pl.Series:
    """A column in its prepared type; what breaks its rules is given to the verdict.

    Parameters
    ----------
    strict
        Whether a value that cannot be read costs the row. If not, it becomes null, which is noted
        as a repair. A required value that is missing costs the row in any case.
    """
    values, problems = _convert(column, source, formats, today)
    if column.required and values.null_count():
        missing = to_text(source).is_null().to_numpy()
        verdict.reject(missing, column.name, "empty", source)
    for reason, rows in problems:
        if strict:
            verdict.reject(rows, column.name, reason, source)
        else:
            verdict.repair(rows, column.name, reason, source)
            if rows.any():
                values = values.set(pl.Series(rows), None)
    return values.alias(column.name)


def to_text(values: pl.Series) -> pl.Series:
    """As text: nothing is null rather than empty, a float without a fraction is a whole number."""
    if values.dtype == pl.String:
        return values
    if values.dtype.is_float():
        values = values.fill_nan(None)
        whole = values.cast(pl.Int64, strict=False)
        return (
            pl.DataFrame({"whole": whole, "value": values})
            .select(
                pl.when(pl.col("whole").cast(values.dtype) == pl.col("value"))
                .then(pl.col("whole").cast(pl.String))
                .otherwise(pl.col("value").cast(pl.String))
            )
            .to_series()
        )
    texts = values.cast(pl.String)
    return texts.set(texts == "", None)


def to_day(values: pl.Series, date_format: str | None) -> pl.Series:
    """As days; timestamps are cut to the day that they name, whatever their time zone."""
    if values.dtype == pl.Date:
        return values
    if isinstance(values.dtype, pl.Datetime):
        return values.dt.date()
    texts = to_text(values)
    if date_format is None:
        days = texts.str.to_date(_ISO_DAY, strict=False)
        return _where_missing(
            days,
            texts,
            lambda rest: rest.str.extract(_ISO_TIMESTAMP).str.to_date(_ISO_DAY, strict=False),
        )
    if any(directive in date_format for directive in _OF_TIME):
        times = texts.str.strip_chars().str.to_datetime(date_format, strict=False)
        return times.dt.date()
    days = texts.str.to_date(date_format, strict=False)
    return _where_missing(
        days, texts, lambda rest: rest.str.strip_chars().str.to_date(date_format, strict=False)
    )


def to_number(values: pl.Series, decimal_comma: bool) -> pl.Series:
    """As float64; what is not finite counts as unreadable."""
    if values.dtype.is_numeric() or values.dtype == pl.Boolean:
        numbers = values.cast(pl.Float64).fill_nan(None)
    elif decimal_comma:
        texts = to_text(values).str.strip_chars()
        texts = texts.set(~texts.str.contains(_COMMA_NUMBER), None)
        plain = texts.str.replace_all(".", "", literal=True).str.replace(",", ".", literal=True)
        numbers = plain.cast(pl.Float64, strict=False)
    else:
        texts = to_text(values)
        numbers = _where_missing(
            texts.cast(pl.Float64, strict=False),
            texts,
            lambda rest: rest.str.strip_chars().cast(pl.Float64, strict=False),
        )
    infinite = ~numbers.is_finite()
    return numbers.set(infinite, None) if infinite.any() else numbers


def _convert(
    column: Column, source: pl.Series, formats: Formats, today: date
) -> tuple[pl.Series, Problems]:
    if column.dtype == pl.String():
        return to_text(source), []
    if column.dtype == pl.Date():
        days = to_day(source, formats.date_format)
        return days, [
            *_unread("not a date", source, days),
            (f"before {FIRST_DAY}", _true(days < FIRST_DAY)),
            (f"after today, {today}", _true(days > today)),
        ]
    numbers = to_number(source, formats.decimal_comma)
    unread = _unread("not a number", source, numbers)
    if column.dtype == pl.Float32():
        # Adding zero makes -0.0 a 0.0: prices that are equal have equal bytes.
        prices = numbers.cast(pl.Float32) + 0.0
        return prices, [
            *unread,
            ("too large", ~_true(prices.is_finite().fill_null(value=True))),
            ("negative", _true(prices < 0)),
        ]
    whole = numbers.cast(column.dtype, strict=False)
    problems = [
        *unread,
        *_unread("not a whole number in range", numbers, whole),
        ("not a whole number in range", _true(whole.cast(pl.Float64) != numbers)),
    ]
    if column.between is not None:
        low, high = column.between
        problems.append((f"not in {low} to {high}", _true((whole < low) | (whole > high))))
    return whole, problems


def _unread(reason: str, source: pl.Series, values: pl.Series) -> Problems:
    """The rows that have something in the source and nothing in the values."""
    if values.null_count() == source.null_count():
        return []
    return [(reason, _true(values.is_null() & to_text(source).is_not_null()))]


def _where_missing(
    values: pl.Series, texts: pl.Series, convert: Callable[[pl.Series], pl.Series]
) -> pl.Series:
    """The values, and where a text has none, what ``convert`` makes of the text."""
    if values.null_count() == texts.null_count():
        return values
    rest = values.is_null() & texts.is_not_null()
    return values.scatter(rest.arg_true(), convert(texts.filter(rest)))


def _true(values: pl.Series) -> Mask:
    """As a NumPy mask in which null is false."""
    mask: Mask = values.fill_null(value=False).to_numpy()
    return mask
