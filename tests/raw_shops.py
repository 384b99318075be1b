"""Small shops as raw files in Kaggle's format, and what an ingest made of them, decoded again."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from modiste.data.ingest import ingest
from modiste.data.manifest import Manifest
from modiste.data.settings import IngestSettings
from modiste.engine import Engine

TODAY = date(2021, 1, 1)

ARTICLES = """article_id,product_code,prod_name,detail_desc
0108775015,0108775,Strap top,"Jersey top, with narrow straps."
0108775044,0108775,Strap top,
0110065001,0110065,OP T-shirt,"A ""soft"" bra"
"""
CUSTOMERS = """customer_id,FN,Active,club_member_status,fashion_news_frequency,age,postal_code
c1,1.0,1.0,ACTIVE,Regularly,24.0,p1
c2,,,PRE-CREATE,NONE,,p2
c3,,,,,49.0,p1
"""
TRANSACTIONS = """t_dat,customer_id,article_id,price,sales_channel_id
2018-09-20,c2,0110065001,0.05,2
2018-09-20,c1,0108775015,0.03,1
2018-09-20,c1,0108775015,0.03,1
2018-09-22,c1,0108775044,,2
"""
FILES = {
    "articles.csv": ARTICLES,
    "customers.csv": CUSTOMERS,
    "transactions_train.csv": TRANSACTIONS,
}


def write_files(folder: Path, files: Mapping[str, str | bytes | None] | None = None) -> Path:
    """Write the little shop above, with some of its files replaced or (None) left out."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in (FILES | dict(files or {})).items():
        if text is not None:
            data = text if isinstance(text, bytes) else text.encode()
            (folder / name).write_bytes(data)
    return folder


@dataclass(frozen=True)
class Prepared:
    """A prepared folder with its ids decoded."""

    folder: Path
    manifest: Manifest

    @property
    def articles(self) -> pl.DataFrame:
        return pl.read_parquet(self.folder / "articles.parquet")

    @property
    def customers(self) -> pl.DataFrame:
        return pl.concat(map(pl.read_parquet, sorted((self.folder / "customers").iterdir())))

    @property
    def transactions(self) -> pl.DataFrame:
        """The columns of the raw table, in the prepared order."""
        rows = pl.concat(map(pl.read_parquet, sorted((self.folder / "transactions").iterdir())))
        return rows.select(
            "t_dat",
            self.customers["customer_id"].gather(rows["customer"]),
            self.articles["article_id"].gather(rows["article"]),
            "price",
            "sales_channel_id",
        )

    def rejects(self, table: str = "transactions") -> list[tuple[Any, ...]]:
        """(line, column, value, reason) of every rejected row."""
        return self._findings("rejects", table)

    def repairs(self, table: str) -> list[tuple[Any, ...]]:
        """(line, column, value, reason) of every repaired value."""
        return self._findings("repairs", table)

    def _findings(self, kind: str, table: str) -> list[tuple[Any, ...]]:
        with (self.folder / kind / f"{table}.csv").open(newline="", encoding="utf-8") as file:
            return [
                (int(row["line"]), row["column"], row["value"], row["reason"])
                for row in csv.DictReader(file)
            ]

    def all_bytes(self) -> dict[str, bytes]:
        """Every file's bytes by its name."""
        paths = (path for path in self.folder.rglob("*") if path.is_file())
        return {str(path.relative_to(self.folder)): path.read_bytes() for path in paths}

    def table_bytes(self) -> dict[str, bytes]:
        """The bytes of the tables: what does not name the raw files."""
        return {name: data for name, data in self.all_bytes().items() if name.endswith(".parquet")}


def prepare(
    source: str | Path, target: Path, *, engine: Engine | None = None, **settings: Any
) -> Prepared:
    """Ingest with some settings, everything rejected being allowed unless said otherwise."""
    settings = {"max_reject_share": 1.0} | settings
    manifest = ingest(
        source, target, IngestSettings(**settings), engine or Engine(workers=2), TODAY
    )
    assert Manifest.read(target) == manifest
    for account in manifest.tables.values():
        assert account.rows_in + account.added == account.rows_out + account.rows_rejected
    prepared = Prepared(target, manifest)
    assert {path.name for path in target.iterdir()} == {
        *("articles.parquet", "customers", "transactions", "rejects", "repairs", "manifest.json")
    }
    assert not list(target.parent.glob(".*"))
    return prepared


def larger_shop(seed: int = 3, rows: int = 4000) -> dict[str, pl.DataFrame]:
    """Tables as texts, with quotes and line ends in the descriptions, some rows of each bad."""
    rng = np.random.default_rng(seed)
    articles = [f"{number:010d}" for number in rng.permutation(80) * 977 + 5]
    customers = [f"{number:016x}" for number in rng.permutation(150) * 12_345_678_901 + 7]
    words = np.array(["red", 'the "best"', "två", "a, b", "line\nend", "plain", "x" * 40])
    days = [str(date(2019, 1, 1) + timedelta(days=int(day))) for day in rng.integers(0, 700, rows)]
    prices = [f"{price:.6f}" for price in rng.integers(1, 40, rows) / 59]
    table = pl.DataFrame(
        {
            "t_dat": days,
            "customer_id": rng.choice(customers, rows),
            "article_id": rng.choice(articles, rows),
            "price": prices,
            "sales_channel_id": rng.choice(["1", "2"], rows),
        }
    )
    spoil = pl.int_range(pl.len())
    table = table.with_columns(
        pl.when(spoil % 301 == 7).then(pl.lit("2025-01-01")).otherwise("t_dat").alias("t_dat"),
        pl.when(spoil % 401 == 9).then(pl.lit("-1")).otherwise("price").alias("price"),
        pl.when(spoil % 501 == 3)
        .then(pl.lit("nobody"))
        .otherwise("customer_id")
        .alias("customer_id"),
        pl.when(spoil % 97 == 5)
        .then(pl.col("article_id").str.strip_chars_start("0"))
        .otherwise("article_id")
        .alias("article_id"),
    )
    return {
        "articles": pl.DataFrame(
            {
                "article_id": [*articles, articles[0]],
                "prod_name": rng.choice(words, 81),
                "detail_desc": rng.choice(words, 81),
            }
        ),
        "customers": pl.DataFrame(
            {
                "customer_id": [*customers, customers[3], customers[140]],
                "age": rng.choice(["20.0", "31", "old", "", "200"], 152),
            }
        ),
        "transactions_train": table,
    }


def write_tables(folder: Path, tables: Mapping[str, pl.DataFrame]) -> Path:
    """Write tables as CSV files by their names."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        table.write_csv(folder / f"{name}.csv")
    return folder
