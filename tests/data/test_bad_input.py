"""Bad input: a bad row is rejected with its place, a bad table stops with one clear message."""

from __future__ import annotations

import gzip
import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from modiste.data.settings import IngestSettings
from modiste.errors import DataError
from raw_shops import ARTICLES, CUSTOMERS, TRANSACTIONS, larger_shop, prepare, write_files

GOOD = TRANSACTIONS.splitlines()[1]
HEADER = TRANSACTIONS.splitlines()[0]


def refused(tmp_path: Path, files: dict[str, Any], **settings: Any) -> str:
    """The message of a refusal, which leaves an earlier result untouched and nothing else."""
    target = tmp_path / "out"
    if not target.exists():
        prepare(write_files(tmp_path / "earlier"), target)
    before = {path: path.read_bytes() for path in target.rglob("*") if path.is_file()}
    raw = write_files(tmp_path / "raw", files)
    with pytest.raises(DataError) as caught:
        prepare(raw, target, **settings)
    assert {path: path.read_bytes() for path in target.rglob("*") if path.is_file()} == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["earlier", "out", "raw"]
    return str(caught.value)


# ------------------------------------------------------------------------------------ bad rows


BAD_ROWS = {
    "too few fields": ("2018-09-20,c1,0108775015,0.5", "", None),
    "too many fields": (f"{GOOD},x", "", None),
    "NUL byte": ("2018-09-20,c1,0108775015,0.5\0,1", "", None),
    "not valid utf-8": (
        "2018-09-20,c\udce9,0108775015,0.5,1",
        "",
        "2018-09-20,c�,0108775015,0.5,1",
    ),
    "broken quotes": ('2018-09-20,"c1"x,0108775015,0.5,1', "", None),
    "not a date": ("2018-13-45,c1,0108775015,0.5,1", "t_dat", "2018-13-45"),
    "before 1990-01-01": ("1989-12-31,c1,0108775015,0.5,1", "t_dat", "1989-12-31"),
    "after today, 2021-01-01": ("2021-01-02,c1,0108775015,0.5,1", "t_dat", "2021-01-02"),
    "not a number": ("2018-09-20,c1,0108775015,cheap,1", "price", "cheap"),
    "negative": ("2018-09-20,c1,0108775015,-0.5,1", "price", "-0.5"),
    "too large": ("2018-09-20,c1,0108775015,1e39,1", "price", "1e39"),
    "not a whole number in range": (
        "2018-09-20,c1,0108775015,0.5,999",
        "sales_channel_id",
        "999",
    ),
    "unknown article": ("2018-09-20,c1,0999999999,0.5,1", "article_id", "0999999999"),
    "unknown customer": ("2018-09-20,c9,0108775015,0.5,1", "customer_id", "c9"),
    "empty": ("2018-09-20,,0108775015,0.5,1", "customer_id", ""),
}


@pytest.mark.parametrize("reason", BAD_ROWS)
@pytest.mark.parametrize("quoted", [False, True])
def test_a_bad_row_of_transactions_is_rejected(tmp_path: Path, reason: str, quoted: bool) -> None:
    row, column, value = BAD_ROWS[reason]
    near = '2018-09-20,"c1",0108775015,0.5,1' if quoted else GOOD
    text = "\n".join([HEADER, GOOD, near, row, GOOD, near]) + "\n"
    raw = write_files(
        tmp_path / "raw", {"transactions_train.csv": text.encode("utf-8", "surrogateescape")}
    )
    shop = prepare(raw, tmp_path / "out")
    assert shop.rejects() == [(4, column, row if value is None else value, reason)]
    assert shop.manifest.tables["transactions"].rows_out == 4
    label = f"{column}: {reason}" if column else reason
    assert shop.manifest.tables["transactions"].rejected == {label: 1}


def test_prices_that_are_no_numbers(tmp_path: Path) -> None:
    rows = [f"2018-09-20,c1,0108775015,{price},1" for price in ("nan", "inf", "1,5", "0x1", "1 5")]
    text = "\n".join([HEADER, *rows, "2018-09-20,c1,0108775015, 1.5 ,1"])
    raw = write_files(tmp_path / "raw", {"transactions_train.csv": text})
    shop = prepare(raw, tmp_path / "out")
    assert [reason for *_, reason in shop.rejects()] == [
        "not a number",
        "not a number",
        "too many fields",
        "not a number",
        "not a number",
    ]
    assert shop.transactions["price"].to_list() == [1.5]


def test_a_point_where_a_decimal_comma_belongs_is_no_number(tmp_path: Path) -> None:
    text = "t_dat;customer_id;article_id;price\n" + "".join(
        f"2020-01-01;c1;0108775015;{price}\n" for price in ("12.99", "1.299", "12,99", "7")
    )
    raw = write_files(tmp_path / "raw", {"transactions_train.csv": text})
    shop = prepare(raw, tmp_path / "out", transactions={"separator": ";", "decimal_comma": True})
    assert shop.rejects() == [(2, "price", "12.99", "not a number")]
    assert shop.transactions["price"].to_list() == pytest.approx([7, 12.99, 1299])


def test_duplicate_rows_of_articles_and_customers(tmp_path: Path) -> None:
    files = {
        "articles.csv": ARTICLES + "0108775015,0,another,\n",
        "customers.csv": CUSTOMERS + "c2,,,,,77,\nc4,,,,,5,\nc2,,,,,old,\n",
    }
    shop = prepare(write_files(tmp_path / "raw", files), tmp_path / "out")
    assert shop.rejects("articles") == [(5, "article_id", "0108775015", "duplicate article")]
    assert shop.rejects("customers") == [
        (5, "customer_id", "c2", "duplicate customer"),
        (7, "customer_id", "c2", "duplicate customer"),
    ]
    assert shop.articles["prod_name"].to_list()[0] == "Strap top"
    assert shop.customers.select("customer_id", "age").rows()[1:] == [
        ("c2", None),
        ("c3", 49),
        ("c4", 5),
    ]
    # A repair in a row that is rejected afterwards is none.
    assert shop.manifest.tables["customers"].repaired == {}


def test_an_odd_attribute_does_not_cost_the_customer(tmp_path: Path) -> None:
    customers = (
        "customer_id,FN,Active,club_member_status,fashion_news_frequency,age,postal_code\n"
        "c1,yes,1.0,ACTIVE,NONE,24.5,p\nc2,1,300,ACTIVE,NONE,121,p\nc3,,,,,forty,p\n,,,,,1,p\n"
    )
    shop = prepare(write_files(tmp_path / "raw", {"customers.csv": customers}), tmp_path / "out")
    assert shop.customers.select("customer_id", "FN", "Active", "age").rows() == [
        ("c1", None, 1, None),
        ("c2", 1, None, None),
        ("c3", None, None, None),
    ]
    assert sorted(shop.repairs("customers")) == [
        (2, "FN", "yes", "not a number"),
        (2, "age", "24.5", "not a whole number in range"),
        (3, "Active", "300", "not a whole number in range"),
        (3, "age", "121", "not in 0 to 120"),
        (4, "age", "forty", "not a number"),
    ]
    assert shop.rejects("customers") == [(5, "customer_id", "", "empty")]


def test_a_stray_quote_swallows_no_good_row(tmp_path: Path) -> None:
    """Neither one that is never closed nor one that another stray quote seems to close."""
    rows = [GOOD] * 3 + ['2018-09-20,"c1,0108775015,0.5,1'] + [GOOD] * 3
    for tail in ([], ['2018-09-20,c1,0108775015,0.5,1"', GOOD]):
        text = "\n".join([HEADER, *rows, *tail]) + "\n"
        raw = write_files(tmp_path / "raw", {"transactions_train.csv": text})
        shop = prepare(raw, tmp_path / "out", block_bytes=1024)
        found = shop.rejects()
        assert found[0] == (5, "", rows[3], "broken quotes")
        assert shop.manifest.tables["transactions"].rows_out == 6 + bool(tail)


def test_blank_lines_are_no_rows(tmp_path: Path) -> None:
    text = f"\n{HEADER}\n\n{GOOD}\r\n\r\n\nx\n{GOOD}\n\n"
    shop = prepare(
        write_files(tmp_path / "raw", {"transactions_train.csv": text}), tmp_path / "out"
    )
    assert shop.rejects() == [(7, "", "x", "too few fields")]
    assert shop.manifest.tables["transactions"].rows_in == 3


# ------------------------------------------------------------------------------ too many bad rows


def test_too_many_bad_rows_stop_with_reasons_and_examples(tmp_path: Path) -> None:
    rows = [GOOD] * 90 + ["20.09.2018,c1,0108775015,0.5,1"] * 7 + ["2018-09-20,c1,7,0.5,1"] * 3
    text = "\n".join([HEADER, *rows])
    message = refused(tmp_path, {"transactions_train.csv": text}, max_reject_share=0.05)
    assert "10 of 100 rows of the table of transactions are bad (10.00%)" in message
    assert "max_reject_share allows (5.00%)" in message
    assert "7 × t_dat: not a date, first in transactions_train.csv line 92: '20.09.2018'" in message
    assert (
        "3 × article_id: unknown article, first in transactions_train.csv line 99: '7'" in message
    )
    assert "'date_format:' of transactions" in message
    raw = tmp_path / "raw"
    assert prepare(raw, tmp_path / "out", max_reject_share=0.1).manifest.rows_out("transactions")


def test_wrong_encoding_is_named(tmp_path: Path) -> None:
    message = refused(
        tmp_path,
        {"articles.csv": ARTICLES.replace("Strap", "Stråp").encode("latin-1")},
        max_reject_share=0.01,
    )
    assert "not valid utf-8, first in articles.csv line 2" in message
    assert "'encoding:' of articles, for instance latin-1" in message


def test_undecodable_bytes_of_another_encoding_are_rejected(tmp_path: Path) -> None:
    text = ARTICLES.encode() + b"0999999999,1,\x81,\n"
    raw = write_files(tmp_path / "raw", {"articles.csv": text})
    shop = prepare(raw, tmp_path / "out", articles={"encoding": "cp1252"})
    assert [(line, reason) for line, *_, reason in shop.rejects("articles")] == [
        (5, "not valid cp1252")
    ]


# --------------------------------------------------------------------------- tables that cannot be


@pytest.mark.parametrize("name", ["articles", "customers", "transactions_train"])
def test_a_missing_table(tmp_path: Path, name: str) -> None:
    message = refused(tmp_path, {f"{name}.csv": None})
    assert f"looked for {name} with one of the endings .csv, .csv.gz, .parquet" in message
    assert "Name its files by 'files:'" in message


def test_a_missing_file(tmp_path: Path) -> None:
    message = refused(tmp_path, {}, transactions={"files": ["transactions.csv"]})
    assert "names 'transactions.csv', and nothing is there" in message
    assert "did you mean 'transactions_train.csv'?" in message


def test_a_missing_shop(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist: give the folder"):
        prepare(tmp_path / "nowhere", tmp_path / "out")
    with pytest.raises(DataError, match="cannot be opened"):
        prepare("nosuch://shop", tmp_path / "out")
    (tmp_path / "shop.csv").touch()
    with pytest.raises(DataError, match="is a file: give the folder"):
        prepare(tmp_path / "shop.csv", tmp_path / "out")


def test_a_table_that_is_there_twice(tmp_path: Path) -> None:
    message = refused(tmp_path, {"articles.csv.gz": gzip.compress(ARTICLES.encode())})
    assert "more than once: articles.csv, articles.csv.gz" in message


def test_a_missing_column(tmp_path: Path) -> None:
    message = refused(
        tmp_path, {"transactions_train.csv": TRANSACTIONS.replace("customer_id", "customerid")}
    )
    assert "transactions_train.csv has no column 'customer_id'" in message
    assert "(did you mean 'customerid'?)" in message
    assert "It has 't_dat', 'customerid', 'article_id', 'price', 'sales_channel_id'" in message
    assert "by 'columns:' of transactions, as 'customer_id: name'" in message


def test_a_mapped_column_that_is_missing(tmp_path: Path) -> None:
    message = refused(tmp_path, {}, articles={"columns": {"prod_name": "title"}})
    assert "articles.csv has no column 'title'" in message


def test_a_column_that_is_there_twice(tmp_path: Path) -> None:
    text = TRANSACTIONS.replace("price", "t_dat")
    message = refused(tmp_path, {"transactions_train.csv": text})
    assert "has the column 't_dat' more than once" in message


def test_a_wrong_separator(tmp_path: Path) -> None:
    text = TRANSACTIONS.replace(",", ";")
    message = refused(tmp_path, {"transactions_train.csv": text})
    assert "seem to be separated by ';': set 'separator:' of transactions" in message


def test_a_mapping_of_no_column_of_modiste() -> None:
    with pytest.raises(ValueError, match=r"'articel_id' .*did you mean 'article_id'"):
        IngestSettings.model_validate({"articles": {"columns": {"articel_id": "x"}}})


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty"),
        (b"\xef\xbb\xbf\r\n\n", "is empty"),
        (HEADER.encode(), "the table of transactions has no rows"),
        (TRANSACTIONS.encode("utf-16"), "set 'encoding:'"),
        (gzip.compress(TRANSACTIONS.encode()), "is no text in the encoding utf-8"),
        (TRANSACTIONS.replace("price", "pris\udce9").encode("utf-8", "surrogateescape"), "latin-1"),
        (TRANSACTIONS.replace("\n", "\r").encode(), "ends its lines with CR alone"),
        (b'"t_dat,customer_id\n' + TRANSACTIONS.encode(), "quotes in the first line"),
        (b"x" * (1 << 20), "no line end in its first MiB"),
    ],
    ids=["empty", "bom", "header", "utf16", "gzip", "header-encoding", "cr", "quote", "no-lines"],
)
def test_a_file_that_is_no_table(tmp_path: Path, data: bytes, message: str) -> None:
    found = refused(tmp_path, {"transactions_train.csv": data})
    assert message in found
    assert "transactions" in found


def _gzip_of(text: str) -> bytes:
    return gzip.compress(text.encode())


def _zip_of(text: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("articles.csv", text)
    return out.getvalue()


def _flipped(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 0xFF]) + data[middle + 1 :]


@pytest.mark.parametrize(
    ("ending", "pack", "damage"),
    [
        (".gz", _gzip_of, lambda data: data[:-200]),
        (".gz", _gzip_of, _flipped),
        (".gz", _gzip_of, lambda data: b"no gzip at all" + data),
        (".zip", _zip_of, lambda data: data[:-200]),
        (".zip", _zip_of, _flipped),
        (".zip", _zip_of, lambda _: b""),
    ],
    ids=["gz-cut", "gz-flipped", "gz-none", "zip-cut", "zip-flipped", "zip-empty"],
)
def test_a_damaged_archive(
    tmp_path: Path,
    ending: str,
    pack: Callable[[str], bytes],
    damage: Callable[[bytes], bytes],
) -> None:
    text = larger_shop()["articles"].write_csv()
    name = f"articles.csv{ending}"
    found = refused(tmp_path, {"articles.csv": None, name: damage(pack(text))})
    assert name in found
    assert "again" in found


def test_a_damaged_parquet_file(tmp_path: Path) -> None:
    out = io.BytesIO()
    larger_shop()["articles"].write_parquet(out)
    whole = out.getvalue()
    for data in (b"", b"PAR1", whole[:-9], whole[: len(whole) // 2]):
        found = refused(tmp_path, {"articles.csv": None, "articles.parquet": data})
        assert "articles.parquet is no whole Parquet file" in found


def test_a_parquet_column_of_a_type_that_is_no_value(tmp_path: Path) -> None:
    out = io.BytesIO()
    pl.DataFrame({"article_id": [["0108775015"]]}).write_parquet(out)
    found = refused(tmp_path, {"articles.csv": None, "articles.parquet": out.getvalue()})
    assert "cannot be read as 'article_id'" in found


def test_a_folder_without_parts(tmp_path: Path) -> None:
    parts = tmp_path / "raw" / "transactions_train"
    parts.mkdir(parents=True)
    (parts / "notes.txt").touch()
    found = refused(tmp_path, {"transactions_train.csv": None})
    assert "transactions_train is a folder without parts" in found
    assert "notes.txt" in found


def test_a_folder_named_like_a_file_holds_parts(tmp_path: Path) -> None:
    raw = write_files(tmp_path / "raw", {"transactions_train.csv": None})
    (raw / "transactions_train.csv").mkdir()
    (raw / "transactions_train.csv" / "part-0.csv").write_text(TRANSACTIONS)
    assert prepare(raw, tmp_path / "out").manifest.rows_out("transactions") == 4


def test_an_unknown_encoding(tmp_path: Path) -> None:
    assert "no encoding that Python knows" in refused(
        tmp_path, {}, articles={"encoding": "latin-17"}
    )
