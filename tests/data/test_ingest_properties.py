"""Random shops come out as they went in; of damaged ones every row is accounted for."""

from __future__ import annotations

import csv
import io
import tempfile
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modiste.data.schema import ARTICLES
from modiste.errors import DataError
from raw_shops import prepare

_TEXT = st.text(
    alphabet=st.characters(codec="utf-8", exclude_characters="\0\r", exclude_categories=["Cs"]),
    max_size=12,
)
_ID = st.text(alphabet="0123456789abcXYZ-_", min_size=1, max_size=10)
# Not zeros in front of digits alone: those are another test's matter.
_IDS = st.lists(_ID.map(lambda text: f"i{text}"), min_size=1, max_size=12, unique=True)
_DAYS = st.integers(0, 11_000).map(lambda days: date(1990, 1, 1) + timedelta(days=days))


@st.composite
def shops(draw: st.DrawFn) -> dict[str, list[dict[str, str]]]:
    """The three tables as texts."""
    article_ids, customer_ids = draw(_IDS), draw(_IDS)
    some = draw(st.sets(st.sampled_from([column.name for column in ARTICLES[1:]]), max_size=3))
    articles = [
        {"article_id": each, **{name: draw(_TEXT) for name in some}} for each in article_ids
    ]
    customers = [
        {
            "customer_id": each,
            "age": draw(st.sampled_from(["", "0", "33", "47.0", "120"])),
            "postal_code": draw(_TEXT),
        }
        for each in customer_ids
    ]
    price = st.floats(0, 1e6, width=32).map(repr) | st.just("")
    rows = st.fixed_dictionaries(
        {
            "t_dat": _DAYS.map(str),
            "customer_id": st.sampled_from(customer_ids),
            "article_id": st.sampled_from(article_ids),
            "price": price,
            "sales_channel_id": st.sampled_from(["", "1", "2"]),
        }
    )
    transactions = draw(st.lists(rows, min_size=1, max_size=25))
    return {"articles": articles, "customers": customers, "transactions_train": transactions}


def _write(
    folder: Path, tables: dict[str, list[dict[str, str]]], draw: st.DataObject, separator: str
) -> None:
    for name, rows in tables.items():
        columns = draw.draw(st.permutations(list(rows[0])), label=f"columns of {name}")
        out = io.StringIO()
        writer = csv.DictWriter(
            out,
            columns,
            delimiter=separator,
            quoting=draw.draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])),
            lineterminator=draw.draw(st.sampled_from(["\n", "\r\n"])),
        )
        writer.writeheader()
        writer.writerows(rows)
        (folder / f"{name}.csv").write_bytes(out.getvalue().encode())


def _or_none(text: str) -> str | None:
    return text or None


@settings(max_examples=25, deadline=None)
@given(tables=shops(), data=st.data(), separator=st.sampled_from(",;\t|"))
def test_what_goes_in_comes_out(
    tables: dict[str, list[dict[str, str]]], data: st.DataObject, separator: str
) -> None:
    with tempfile.TemporaryDirectory() as name:
        raw, out = Path(name) / "raw", Path(name) / "out"
        raw.mkdir()
        _write(raw, tables, data, separator)
        dialect = {"separator": separator}
        shop = prepare(
            raw,
            out,
            articles=dialect,
            customers=dialect,
            transactions=dialect,
            max_reject_share=0.0,
            partition_customers=data.draw(st.integers(1, 5)),
            block_bytes=1024,
        )
        articles, customers, transactions = shop.articles, shop.customers, shop.transactions
    for column in tables["articles"][0]:
        assert articles[column].to_list() == [_or_none(row[column]) for row in tables["articles"]]
    for column in ("customer_id", "postal_code"):
        assert customers[column].to_list() == [_or_none(row[column]) for row in tables["customers"]]
    ages = [int(float(row["age"])) if row["age"] else None for row in tables["customers"]]
    assert customers["age"].to_list() == ages
    expected = pl.DataFrame(tables["transactions_train"]).select(
        pl.col("t_dat").str.to_date(),
        "customer_id",
        "article_id",
        pl.col("price").cast(pl.Float64, strict=False).cast(pl.Float32),
        pl.col("sales_channel_id").cast(pl.Int8, strict=False),
    )
    assert transactions.sort(pl.all()).equals(expected.sort(pl.all()))


_DAMAGE = st.lists(
    st.tuples(
        st.floats(0, 1),
        st.integers(0, 3),
        st.sampled_from([b'"', b",", b"\n", b"\0", b"\xff", b"-", b"x", b'",', b'\n"', b"\r\n"]),
    ),
    min_size=1,
    max_size=12,
)


@settings(max_examples=20, deadline=None)
@given(tables=shops(), data=st.data(), damage=_DAMAGE, add=st.booleans())
def test_damage_is_accounted_for(
    tables: dict[str, list[dict[str, str]]],
    data: st.DataObject,
    damage: list[tuple[float, int, bytes]],
    add: bool,
) -> None:
    settings: dict[str, Any] = {}
    if add:
        settings = {"unknown_articles": "add", "unknown_customers": "add"}
    # Enough rows for several blocks, and a good last one: a table without rows is another matter.
    good = {
        "t_dat": "2020-01-01",
        "customer_id": tables["customers"][0]["customer_id"],
        "article_id": tables["articles"][0]["article_id"],
        "price": "1.5",
        "sales_channel_id": "1",
    }
    tables["transactions_train"] = [*tables["transactions_train"] * 5, good]
    with tempfile.TemporaryDirectory() as name:
        raw = Path(name) / "raw"
        raw.mkdir()
        _write(raw, tables, data, ",")
        path = raw / "transactions_train.csv"
        text = path.read_bytes()
        start = text.index(b"\n") + 1
        last = text.rstrip().rindex(b"\n") + 1
        for where, cut, put in damage:
            at = start + int(where * (last - start))
            text = text[:at] + put + text[at + cut :]
            last += len(put) - min(cut, len(text))
            last = max(start, min(last, len(text)))
        path.write_bytes(text + b"\n" + ",".join(good.values()).encode() + b"\n")
        try:
            small = prepare(raw, Path(name) / "small", block_bytes=1024, **settings)
        except DataError as error:  # a quote that nothing closes swallows the good row, too
            assert "no row of the table of transactions is good" in str(error)  # noqa: PT017
            with pytest.raises(DataError, match="no row of the table of transactions is good"):
                prepare(raw, Path(name) / "large", **settings)
            return
        large = prepare(raw, Path(name) / "large", **settings)
        assert small.all_bytes() == large.all_bytes()
        account = small.manifest.tables["transactions"]
        rows = sum(1 for _ in small.rejects())
        assert rows == account.rows_rejected
        assert small.transactions.height == account.rows_out


def test_no_good_transaction_is_told(tmp_path: Path) -> None:
    """The one row is bad, and as many may be: there is no shop all the same."""
    raw = tmp_path / "raw"
    raw.mkdir()
    (raw / "articles.csv").write_text("article_id\ni0\n", encoding="utf-8")
    (raw / "customers.csv").write_text("customer_id\ni0\n", encoding="utf-8")
    (raw / "transactions_train.csv").write_text(
        't_dat,customer_id,article_id\n"""""2020-01-01,i0,i0\n', encoding="utf-8"
    )
    with pytest.raises(DataError, match="no row of the table of transactions is good"):
        prepare(raw, tmp_path / "prepared")
    assert not (tmp_path / "prepared").exists()
