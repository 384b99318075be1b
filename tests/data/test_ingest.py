"""A shop's raw files in, the prepared folder out: whatever way the files come."""

from __future__ import annotations

import gzip
import zipfile
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import fsspec
import polars as pl
import pytest
from distributed import LocalCluster
from polars.testing import assert_frame_equal

from modiste.data import schema
from modiste.data.dataset import Dataset
from modiste.engine import Engine
from modiste.errors import DataError, ModisteError
from raw_shops import (
    ARTICLES,
    CUSTOMERS,
    FILES,
    TRANSACTIONS,
    Prepared,
    larger_shop,
    prepare,
    write_files,
    write_tables,
)


def test_kaggle_files_as_they_come(tmp_path: Path) -> None:
    shop = prepare(write_files(tmp_path / "raw"), tmp_path / "out")
    assert shop.articles.schema == schema.PREPARED_ARTICLES
    assert shop.articles["article_id"].to_list() == ["0108775015", "0108775044", "0110065001"]
    assert shop.articles["detail_desc"].to_list() == [
        "Jersey top, with narrow straps.",
        None,
        'A "soft" bra',
    ]
    assert shop.customers.schema == schema.PREPARED_CUSTOMERS
    assert shop.customers["customer"].to_list() == [0, 1, 2]
    assert shop.customers["age"].to_list() == [24, None, 49]
    assert shop.customers["FN"].to_list() == [1, None, None]
    rows = pl.read_parquet(tmp_path / "out/transactions/part-00000.parquet")
    assert rows.schema == schema.PREPARED_TRANSACTIONS
    third, twentieth = pl.Series([0.03, 0.05], dtype=pl.Float32)
    day = date(2018, 9, 20)
    assert rows.rows() == [
        (0, 0, day, third, 1),
        (0, 0, day, third, 1),  # a repeated row is a quantity
        (0, 1, date(2018, 9, 22), None, 2),
        (1, 2, day, twentieth, 2),
    ]
    assert (shop.manifest.first_day, shop.manifest.last_day) == (day, date(2018, 9, 22))
    assert shop.rejects() == shop.rejects("articles") == shop.repairs("customers") == []
    assert Dataset.open(tmp_path / "out").last_day == date(2018, 9, 22)


def test_customers_are_cut_into_partitions_in_their_order(tmp_path: Path) -> None:
    raw = write_tables(tmp_path / "raw", larger_shop())
    whole = prepare(raw, tmp_path / "one")
    cut = prepare(raw, tmp_path / "many", partition_customers=7)
    assert cut.manifest.partitions == 22
    for index in range(22):
        name = f"part-{index:05d}.parquet"
        codes = pl.read_parquet(cut.folder / "customers" / name)["customer"]
        assert codes.to_list() == list(range(7 * index, min(7 * index + 7, 150)))
        rows = pl.read_parquet(cut.folder / "transactions" / name)
        assert rows.schema == schema.PREPARED_TRANSACTIONS
        assert rows["customer"].is_in(codes.implode()).all()
        assert rows.equals(rows.sort(["customer", "t_dat", "article", "price", "sales_channel_id"]))
    assert_frame_equal(whole.transactions, cut.transactions)
    assert_frame_equal(whole.customers, cut.customers)


def test_a_customer_without_purchases_has_a_partition_too(tmp_path: Path) -> None:
    prepare(write_files(tmp_path / "raw"), tmp_path / "out", partition_customers=1)
    rows = pl.read_parquet(tmp_path / "out/transactions/part-00002.parquet")
    assert rows.height == 0
    assert rows.schema == schema.PREPARED_TRANSACTIONS


# ------------------------------------------------------------------ the same bytes in every way


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    folder = tmp_path_factory.mktemp("expected")
    raw = write_tables(folder / "raw", larger_shop())
    shop = prepare(raw, folder / "out", partition_customers=40)
    assert shop.manifest.tables["transactions"].rejected == {
        "t_dat: after today, 2021-01-01": 14,
        "price: negative": 9,  # a tenth is in a row that is late too
        "customer_id: unknown customer": 8,
    }
    assert list(shop.manifest.tables["transactions"].repaired) == ["article_id: lost leading zeros"]
    assert shop.manifest.tables["articles"].rejected == {"article_id: duplicate article": 1}
    assert shop.manifest.tables["customers"].rejected == {"customer_id: duplicate customer": 2}
    assert set(shop.manifest.tables["customers"].repaired) == {
        "age: not a number",
        "age: not in 0 to 120",
    }
    return shop


@pytest.fixture(scope="module")
def raw(expected: Prepared) -> Path:
    return expected.folder.parent / "raw"


@pytest.mark.parametrize("block_bytes", [1024, 5000, 1 << 16])
@pytest.mark.parametrize("workers", [1, 3])
def test_block_size_and_workers_change_no_byte(
    expected: Prepared, raw: Path, tmp_path: Path, block_bytes: int, workers: int
) -> None:
    shop = prepare(
        raw,
        tmp_path / "out",
        engine=Engine(workers=workers),
        block_bytes=block_bytes,
        partition_customers=40,
    )
    assert shop.all_bytes() == expected.all_bytes()


@pytest.fixture(scope="module")
def cluster() -> Iterator[Engine]:
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0") as cluster,
        Engine(cluster=cluster.scheduler_address) as engine,
    ):
        yield engine


@pytest.mark.parametrize("add", [False, True])
def test_a_cluster_changes_no_byte(raw: Path, tmp_path: Path, cluster: Engine, add: bool) -> None:
    settings: dict[str, Any] = {"block_bytes": 20_000, "partition_customers": 40}
    if add:
        settings |= {"unknown_customers": "add", "unknown_articles": "add"}
        (raw / "customers.csv").rename(raw / "elsewhere")
    try:
        here = prepare(raw, tmp_path / "here", **settings)
        there = prepare(raw, tmp_path / "there", engine=cluster, **settings)
    finally:
        if add:
            (raw / "elsewhere").rename(raw / "customers.csv")
    assert here.all_bytes() == there.all_bytes()


def _gzipped(raw: Path, folder: Path) -> Path:
    folder.mkdir()
    for path in raw.glob("*.csv"):
        (folder / f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
    return folder


def _zipped(raw: Path, folder: Path) -> Path:
    folder.mkdir()
    with zipfile.ZipFile(folder / "h-and-m.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in raw.glob("*.csv"):
            archive.write(path, path.name)
        archive.writestr("images/010/0108775015.jpg", b"\xff\xd8\xff")
        archive.writestr("__MACOSX/._articles.csv", b"\0\0")
    return folder


def _zip_itself(raw: Path, folder: Path) -> Path:
    return _zipped(raw, folder) / "h-and-m.zip"


def _each_zipped(raw: Path, folder: Path) -> Path:
    folder.mkdir()
    for path in raw.glob("*.csv"):
        with zipfile.ZipFile(folder / f"{path.name}.zip", "w") as archive:
            archive.write(path, path.name)
    return folder


def _in_parts(raw: Path, folder: Path) -> Path:
    """Parts of plain, gzipped and Parquet kind, one with its columns in another order."""
    folder.mkdir()
    for name in ("articles", "customers", "transactions_train"):
        (folder / name).mkdir()
        table = pl.read_csv(raw / f"{name}.csv", infer_schema=False)
        third = table.height // 3
        table[:third].write_csv(folder / name / "part-0.csv")
        (folder / name / "part-1.csv.gz").write_bytes(
            gzip.compress(table[third : 2 * third].write_csv().encode())
        )
        table[2 * third :].select(reversed(table.columns)).write_parquet(
            folder / name / "part-2.parquet"
        )
        (folder / name / "_SUCCESS").touch()
    return folder


def _parquet(raw: Path, folder: Path) -> Path:
    folder.mkdir()
    for path in raw.glob("*.csv"):
        pl.read_csv(path, infer_schema=False).write_parquet(folder / f"{path.stem}.parquet")
    return folder


def _crlf(raw: Path, folder: Path) -> Path:
    """Line ends of Windows between the records, not within the quotes."""
    folder.mkdir()
    for path in raw.glob("*.csv"):
        table = pl.read_csv(path, infer_schema=False)
        table.write_csv(folder / path.name, line_terminator="\r\n", include_bom=True)
    return folder


def _all_quoted(raw: Path, folder: Path) -> Path:
    folder.mkdir()
    for path in raw.glob("*.csv"):
        table = pl.read_csv(path, infer_schema=False)
        table.write_csv(folder / path.name, quote_style="always")
    return folder


def _remote(raw: Path, folder: Path) -> str:
    fs = fsspec.filesystem("memory")
    for path in raw.glob("*.csv"):
        fs.pipe(f"/{folder.name}/{path.name}", path.read_bytes())
    return f"memory://{folder.name}"


def _remote_zip(raw: Path, folder: Path) -> str:
    archive = _zip_itself(raw, folder)
    fsspec.filesystem("memory").pipe(f"/{folder.name}.zip", archive.read_bytes())
    return f"memory://{folder.name}.zip"


def _file_address(raw: Path, folder: Path) -> str:
    return f"file://{raw}"


WAYS: list[Callable[[Path, Path], str | Path]] = [
    _gzipped,
    _zipped,
    _zip_itself,
    _each_zipped,
    _in_parts,
    _parquet,
    _crlf,
    _all_quoted,
    _remote,
    _remote_zip,
    _file_address,
]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_packing_changes_no_byte_of_the_tables(
    expected: Prepared, raw: Path, tmp_path: Path, way: Callable[[Path, Path], str | Path]
) -> None:
    source = way(raw, tmp_path / way.__name__)
    shop = prepare(source, tmp_path / "out", block_bytes=30_000, partition_customers=40)
    assert shop.table_bytes() == expected.table_bytes()
    for table, account in expected.manifest.tables.items():
        assert shop.manifest.tables[table].rejected == account.rejected
        assert shop.manifest.tables[table].repaired == account.repaired
    if way is not _in_parts and way is not _parquet:
        # The lines are those of the raw file, quoted line ends and all.
        assert shop.rejects("customers") == expected.rejects("customers")
        assert shop.rejects("articles") == expected.rejects("articles")
        assert shop.rejects() == expected.rejects()
        assert shop.repairs("customers") == expected.repairs("customers")


def test_findings_are_listed_by_their_lines(expected: Prepared, raw: Path) -> None:
    lines = (raw / "transactions_train.csv").read_text().splitlines()
    found = expected.rejects()
    assert len(found) == 31
    assert [line for line, *_ in found] == sorted(line for line, *_ in found)
    for line, column, value, _ in found:
        assert lines[line - 1].split(",")[lines[0].split(",").index(column)] == value


# ------------------------------------------------------------------------- ids only in transactions


def test_unknown_ids_are_added_by_first_day_and_id(tmp_path: Path) -> None:
    transactions = (
        "t_dat,customer_id,article_id\n"
        "2020-01-05,late,0108775015\n"
        "2020-01-02,zoe,new2\n"
        "2020-01-02,adam,new1\n"
        "2020-01-01,late,new2\n"
        "2020-01-01,c3,0110065001\n"
    )
    raw = write_files(tmp_path / "raw", {"transactions_train.csv": transactions})
    shop = prepare(raw, tmp_path / "out", unknown_articles="add", unknown_customers="add")
    assert shop.customers["customer_id"].to_list() == ["c1", "c2", "c3", "late", "adam", "zoe"]
    assert shop.articles["article_id"].to_list()[3:] == ["new2", "new1"]
    assert shop.customers["age"].to_list()[3:] == [None] * 3
    assert shop.manifest.tables["customers"].added == 3
    assert shop.manifest.tables["articles"].added == 2
    assert shop.transactions["price"].null_count() == 5
    assert sorted(shop.transactions.select("t_dat", "customer_id", "article_id").rows()) == sorted(
        (date.fromisoformat(day), customer, article)
        for day, customer, article in (line.split(",") for line in transactions.split()[1:])
    )


def test_a_shop_with_transactions_alone(tmp_path: Path) -> None:
    files = {"articles.csv": None, "customers.csv": None}
    raw = write_files(tmp_path / "raw", files)
    shop = prepare(raw, tmp_path / "out", unknown_articles="add", unknown_customers="add")
    assert shop.customers["customer_id"].to_list() == ["c1", "c2"]
    assert shop.manifest.tables["articles"].files == []
    with pytest.raises(DataError, match="no table of customers"):
        prepare(raw, tmp_path / "no", unknown_articles="add")


def test_later_rows_change_no_earlier_code(tmp_path: Path) -> None:
    table = larger_shop()["transactions_train"].filter(pl.col("t_dat") < "2021").sort("t_dat")
    add: dict[str, Any] = {
        "unknown_articles": "add",
        "unknown_customers": "add",
        "block_bytes": 9_000,
    }
    early = write_tables(tmp_path / "early", {"transactions_train": table[:1500]})
    both = write_tables(tmp_path / "both", {"transactions_train": table.reverse()})
    first = prepare(early, tmp_path / "out1", **add)
    second = prepare(both, tmp_path / "out2", **add)
    for name in ("customers", "articles"):
        known: pl.DataFrame = getattr(first, name)
        assert_frame_equal(known, getattr(second, name).head(known.height))


def test_a_rejected_row_adds_no_id(tmp_path: Path) -> None:
    bad = TRANSACTIONS + "2018-09-20,ghost,phantom,-1,2\n"
    raw = write_files(tmp_path / "raw", {"transactions_train.csv": bad})
    shop = prepare(raw, tmp_path / "out", unknown_articles="add", unknown_customers="add")
    assert shop.manifest.tables["customers"].added == 0
    assert shop.manifest.tables["articles"].added == 0
    assert shop.rejects() == [(6, "price", "-1", "negative")]


# ------------------------------------------------------------------------------ lost leading zeros


def _transactions(*articles: str) -> str:
    return "t_dat,customer_id,article_id\n" + "".join(f"2020-01-01,c1,{a}\n" for a in articles)


def test_lost_zeros_are_repaired_and_counted(tmp_path: Path) -> None:
    text = _transactions("108775015", "108775015", "0108775044", "7")
    raw = write_files(tmp_path / "raw", {"transactions_train.csv": text})
    shop = prepare(raw, tmp_path / "out")
    assert shop.transactions["article_id"].to_list() == ["0108775015"] * 2 + ["0108775044"]
    account = shop.manifest.tables["transactions"]
    assert account.repaired == {"article_id: lost leading zeros": 2}
    assert shop.rejects() == [(5, "article_id", "7", "unknown article")]


@pytest.mark.parametrize("unknown", ["reject", "add"])
def test_lost_zeros_are_refused_where_ambiguous(tmp_path: Path, unknown: str) -> None:
    files = {
        "articles.csv": "article_id\n042\n0042\n0017\n17\n",
        "transactions_train.csv": _transactions("42", "17", "042"),
    }
    shop = prepare(write_files(tmp_path / "raw", files), tmp_path / "out", unknown_articles=unknown)
    assert shop.rejects() == [(2, "article_id", "42", "ambiguous article without leading zeros")]
    # An id that the table has is that id.
    assert sorted(shop.transactions["article_id"].to_list()) == ["042", "17"]
    assert shop.manifest.tables["transactions"].repaired == {}


def test_ids_that_never_had_zeros_are_simply_ids(tmp_path: Path) -> None:
    files = {
        "articles.csv": "article_id\n108775015\n",
        "transactions_train.csv": _transactions("108775015", "0108775015"),
    }
    shop = prepare(write_files(tmp_path / "raw", files), tmp_path / "out")
    assert shop.articles["article_id"].to_list() == ["108775015"]
    assert shop.rejects() == [(3, "article_id", "0108775015", "unknown article")]


def test_integer_ids_of_parquet_find_their_zeros(tmp_path: Path) -> None:
    raw = write_files(tmp_path / "raw", {"transactions_train.csv": None})
    pl.DataFrame(
        {
            "t_dat": [date(2020, 1, 1)] * 2,
            "customer_id": ["c1", "c2"],
            "article_id": [108775015, 110065001],
            "price": [0.5, 1.0],
        }
    ).write_parquet(raw / "transactions_train.parquet")
    shop = prepare(raw, tmp_path / "out")
    assert shop.transactions["article_id"].to_list() == ["0108775015", "0110065001"]
    assert shop.manifest.tables["transactions"].repaired == {"article_id: lost leading zeros": 2}


# ------------------------------------------------------------------------------------ other shops


def test_a_shop_that_is_odd_on_purpose(tmp_path: Path) -> None:
    """Semicolons, Latin-1, BOM, CRLF, quoted line ends, extra columns, another order."""
    folder = tmp_path / "raw"
    folder.mkdir()
    (folder / "artiklar.txt").write_bytes(
        b"\xef\xbb\xbf"
        + (
            "Pris;Färg;Artikel;Namn;Material\r\n"
            '12,50;blå;A1;"Tröja\r\nmed ""knappar""; varm";ull\r\n'
            "9,00;;A2;Mössa;\r\n"
        ).encode("latin-1")
    )
    (folder / "kunder.csv").write_bytes("Ålder;Kund\r\n41;k1\r\n;k2\r\n".encode("latin-1"))
    for year, rows in (
        ("2019", "k1;A1;03.12.2019 14:05;1.299,00;x\r\n"),
        ("2020", '"k2";"A2";"24.01.2020 23:59";"8,5";"x;y"\r\nk1;A2;01.02.2020 00:00;;\r\n'),
    ):
        text = "Kund;Artikel;Tid;Pris;Kassa\r\n" + rows
        (folder / f"kvitton-{year}.csv").write_bytes(text.encode("latin-1"))
    common = {"separator": ";", "encoding": "latin-1", "decimal_comma": True}
    shop = prepare(
        folder,
        tmp_path / "out",
        max_reject_share=0.0,
        articles={
            **common,
            "files": ["artiklar.txt"],
            "columns": {
                "article_id": "Artikel",
                "prod_name": "Namn",
                "detail_desc": ["Namn", "Färg", "Material"],
            },
        },
        customers={
            **common,
            "files": ["kunder.csv"],
            "columns": {"customer_id": "Kund", "age": "Ålder"},
        },
        transactions={
            **common,
            "files": ["kvitton-*.csv"],
            "date_format": "%d.%m.%Y %H:%M",
            "columns": {
                "t_dat": "Tid",
                "customer_id": "Kund",
                "article_id": "Artikel",
                "price": "Pris",
            },
        },
    )
    assert shop.articles["detail_desc"].to_list() == [
        'Tröja\r\nmed "knappar"; varm blå ull',
        "Mössa",
    ]
    assert shop.customers["age"].to_list() == [41, None]
    assert shop.transactions.rows() == [
        (date(2019, 12, 3), "k1", "A1", 1299.0, None),
        (date(2020, 2, 1), "k1", "A2", None, None),
        (date(2020, 1, 24), "k2", "A2", 8.5, None),
    ]
    assert shop.manifest.tables["transactions"].files == ["kvitton-2019.csv", "kvitton-2020.csv"]


@pytest.mark.parametrize("encoding", ["utf-16", "cp1252", "utf-8-sig"])
def test_other_encodings(tmp_path: Path, encoding: str) -> None:
    text = ARTICLES.replace("Strap", "Stråp")
    raw = write_files(tmp_path / "raw", {"articles.csv": text.encode(encoding)})
    shop = prepare(raw, tmp_path / "out", articles={"encoding": encoding})
    assert shop.articles["prod_name"].to_list()[0] == "Stråp top"


def test_an_empty_mapping_leaves_a_column_out(tmp_path: Path) -> None:
    raw = write_files(tmp_path / "raw")
    shop = prepare(raw, tmp_path / "out", customers={"columns": {"age": []}})
    assert shop.customers["age"].null_count() == 3


def test_types_of_parquet(tmp_path: Path) -> None:
    """Numbers, categories, times and floats of a Parquet file mean what their texts mean."""
    raw = write_files(tmp_path / "raw", dict.fromkeys(FILES))
    stamp = pl.Series(["2020-01-01T23:30:00", "2020-01-02T00:10:00"]).str.to_datetime()
    pl.DataFrame(
        {"article_id": [1, 2], "product_code": [7.0, None], "prod_name": ["", "b"]}
    ).write_parquet(raw / "articles.parquet")
    pl.DataFrame({"customer_id": [10.0, 20.0], "age": [30, 300], "FN": [True, None]}).write_parquet(
        raw / "customers.parquet"
    )
    pl.DataFrame(
        {
            "t_dat": stamp,
            "customer_id": pl.Series(["10", "20"], dtype=pl.Categorical),
            "article_id": pl.Series([1, 2], dtype=pl.UInt8),
            "price": [float("nan"), 2.5],
            "sales_channel_id": [1, 2],
        }
    ).write_parquet(raw / "transactions_train.parquet")
    shop = prepare(raw, tmp_path / "out")
    assert shop.articles["product_code"].to_list() == ["7", None]
    assert shop.articles["prod_name"].to_list() == [None, "b"]
    assert shop.customers.select("customer_id", "age", "FN").rows() == [
        ("10", 30, 1),
        ("20", None, None),
    ]
    assert shop.transactions.rows() == [
        (date(2020, 1, 1), "10", "1", None, 1),
        (date(2020, 1, 2), "20", "2", 2.5, 2),
    ]


def test_an_earlier_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    raw = write_tables(tmp_path / "raw", larger_shop())
    prepare(raw, tmp_path / "out", partition_customers=10)
    shop = prepare(write_files(tmp_path / "raw2"), tmp_path / "out")
    assert shop.manifest.partitions == 1
    assert len(list((tmp_path / "out/customers").iterdir())) == 1


def test_a_folder_that_is_not_ours_is_never_replaced(tmp_path: Path) -> None:
    raw = write_files(tmp_path / "raw")
    with pytest.raises(ModisteError, match="is not replaced"):
        prepare(raw, raw)
    assert (raw / "customers.csv").read_text() == CUSTOMERS
