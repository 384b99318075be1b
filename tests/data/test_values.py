"""Texts and other types to days and numbers."""

from __future__ import annotations

from datetime import date

import polars as pl
import pytest

from modiste.data.values import to_day, to_number, to_text

DAY = date(2020, 9, 2)


@pytest.mark.parametrize(
    ("text", "date_format"),
    [
        ("2020-09-02", None),
        ("2020-9-2", None),
        (" 2020-09-02 ", None),
        ("2020-09-02T23:59:59", None),
        ("2020-09-02 00:00:00.000", None),
        ("2020-09-02T23:30:00-05:00", None),
        ("2020-09-02T23:30:00Z", None),
        ("02.09.2020", "%d.%m.%Y"),
        (" 02.09.2020", "%d.%m.%Y"),
        ("09/02/2020 11:30 PM", "%m/%d/%Y %I:%M %p"),
        ("2020-09-02 23:30:01", "%F %T"),
        ("20200902", "%Y%m%d"),
        ("1599004800", "%s"),
    ],
)
def test_days(text: str, date_format: str | None) -> None:
    # Among others, so that the usual form does not hide the rarer one.
    usual = "2020-09-02" if date_format is None else text
    assert to_day(pl.Series([usual, text, None]), date_format).to_list() == [DAY, DAY, None]


@pytest.mark.parametrize(
    "text", ["2020-13-01", "2020-02-30", "02.09.2020", "2020-09-02x", "2020", "x", "20200902"]
)
def test_what_is_no_day(text: str) -> None:
    assert to_day(pl.Series([text]), None).to_list() == [None]


def test_days_of_other_types() -> None:
    stamp = pl.Series(["2020-09-02T23:30:00"]).str.to_datetime()
    assert to_day(stamp, None).to_list() == [DAY]
    assert to_day(stamp.dt.replace_time_zone("America/New_York"), None).to_list() == [DAY]
    assert to_day(pl.Series([DAY]), None).to_list() == [DAY]
    assert to_day(pl.Series([20200902]), "%Y%m%d").to_list() == [DAY]


@pytest.mark.parametrize(
    ("text", "decimal_comma", "number"),
    [
        ("12.5", False, 12.5),
        (" 12.5 ", False, 12.5),
        ("1e3", False, 1000),
        ("-1", False, -1),
        ("12,5", False, None),
        ("1 000", False, None),
        ("inf", False, None),
        ("nan", False, None),
        ("1e400", False, None),
        ("", False, None),
        ("12,5", True, 12.5),
        (" 1.299,00 ", True, 1299),
        ("1.000.000", True, 1_000_000),
        ("7", True, 7),
        (",5", True, 0.5),
        ("12.99", True, None),
        ("1,2,3", True, None),
        ("", True, None),
        ("x", True, None),
    ],
)
def test_numbers(text: str, decimal_comma: bool, number: float | None) -> None:
    assert to_number(pl.Series(["1", text]), decimal_comma).to_list() == [1, number]


def test_texts_of_other_types() -> None:
    assert to_text(pl.Series([1.0, 2.5, float("nan"), 1e300])).to_list() == [
        "1",
        "2.5",
        None,
        "1e+300",
    ]
    assert to_text(pl.Series([108775015, None])).to_list() == ["108775015", None]
    assert to_text(pl.Series(["a", ""], dtype=pl.Categorical)).to_list() == ["a", None]
    assert to_text(pl.Series([DAY])).to_list() == ["2020-09-02"]
