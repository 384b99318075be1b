"""Small prepared shops, written straight from frames of codes, without an ingest or encoder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl

from modiste.data import schema
from modiste.data.manifest import LAYOUT, Manifest, TableAccount
from modiste.models.blend import RECOMMENDERS, BlendSettings
from modiste.models.graph.sage_settings import (
    GraphSAGESettings,
    GraphSettings,
    GraphTrainingSettings,
)
from modiste.models.sasrec.settings import NetworkSettings, SASRecSettings, TrainingSettings
from modiste.vectors.article_vectors import ArticleVectors, unit_rows

# The data of the fixture small_shop: days 0 to SMALL_SHOP_DAYS - 1 from here on.
SMALL_SHOP_START = date(2020, 6, 1)
SMALL_SHOP_DAYS = 60
SMALL_SHOP_ARTICLES = 40

# Every recommender, with networks that are trained in a second.
ALL_RECOMMENDERS = BlendSettings(
    sasrec=SASRecSettings(
        enabled=True,
        network=NetworkSettings(dimensions=8, blocks=1, heads=2, max_length=8, time_gaps=True),
        training=TrainingSettings(negatives=30, batch=64, learning_rate=0.01, epochs=2),
    ),
    gnn=GraphSettings(
        enabled=True,
        network=GraphSAGESettings(dimensions=8, heads=2, articles_of_customer=6),
        training=GraphTrainingSettings(
            negatives=30, own_negatives=10, batch=512, learning_rate=0.01, epochs=2
        ),
    ),
    weights=dict.fromkeys(RECOMMENDERS, 1.0),
)


def write_prepared(
    folder: Path,
    articles: pl.DataFrame,
    customers: pl.DataFrame,
    transactions: pl.DataFrame,
    partition_customers: int = 65_536,
) -> Path:
    """Write the layout that ``Dataset.open`` reads; give the folder back.

    Parameters
    ----------
    folder
        Made if it is not there; must hold no parts of an earlier shop.
    articles, customers
        Any columns of ``schema.PREPARED_ARTICLES`` and ``schema.PREPARED_CUSTOMERS``; the codes
        must be 0 to n - 1. Ids that are left out are made from the codes, other columns are null.
    transactions
        ``customer``, ``article``, ``t_dat`` and any other columns of
        ``schema.PREPARED_TRANSACTIONS``, in any order; purchases of one customer on one day keep
        their order.
    partition_customers
        Customers in one partition.
    """
    articles = _complete(_with_ids(articles, "article", digits=10), schema.PREPARED_ARTICLES)
    customers = _complete(_with_ids(customers, "customer", digits=64), schema.PREPARED_CUSTOMERS)
    transactions = _complete(transactions, schema.PREPARED_TRANSACTIONS)
    articles, customers = articles.sort("article"), customers.sort("customer")
    transactions = transactions.sort("customer", "t_dat", maintain_order=True)
    for table, code in ((articles, "article"), (customers, "customer")):
        assert table[code].to_list() == list(range(table.height)), f"{code} codes are not dense"
        assert transactions[code].is_in(table[code].implode()).all(), f"unknown {code}"

    partitions = max(1, -(-customers.height // partition_customers))
    for name, table in (("customers", customers), ("transactions", transactions)):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for part in range(partitions):
            table.filter(pl.col("customer") // partition_customers == part).write_parquet(
                folder / name / f"part-{part:05d}.parquet", compression="zstd"
            )
    articles.write_parquet(folder / "articles.parquet", compression="zstd")
    Manifest(
        layout=LAYOUT,
        tables={
            "articles": _account(articles),
            "customers": _account(customers),
            "transactions": _account(transactions),
        },
        partitions=partitions,
        partition_customers=partition_customers,
        first_day=_day(transactions["t_dat"].min()),
        last_day=_day(transactions["t_dat"].max()),
    ).write(folder)
    return folder


def prepared_articles(columns: Mapping[str, Sequence[object]]) -> pl.DataFrame:
    """Give rows of ``schema.PREPARED_ARTICLES`` with the codes 0 to n - 1, made as above."""
    table = pl.DataFrame(dict(columns)).with_row_index("article")
    return _complete(_with_ids(table, "article", digits=10), schema.PREPARED_ARTICLES)


def some_vectors(articles: int) -> ArticleVectors:
    """Vectors in which every article has some that are like it; the last one has none."""
    rng = np.random.default_rng(3)
    kinds = rng.normal(size=(3, 8))
    vectors = kinds[np.arange(articles) % 3] + 0.7 * rng.normal(size=(articles, 8))
    vectors[-1] = 0
    return ArticleVectors(unit_rows(vectors), {"model": "drawn"})


def _with_ids(table: pl.DataFrame, code: str, digits: int) -> pl.DataFrame:
    if f"{code}_id" in table.columns:
        return table
    return table.with_columns(pl.col(code).cast(pl.String).str.zfill(digits).alias(f"{code}_id"))


def _complete(table: pl.DataFrame, columns: dict[str, pl.DataType]) -> pl.DataFrame:
    """Cast to the prepared columns, in their order; a missing one is null."""
    unknown = set(table.columns) - set(columns)
    assert not unknown, f"no columns of a prepared table: {sorted(unknown)}"
    return table.select(
        (pl.col(name) if name in table.columns else pl.lit(None)).cast(dtype).alias(name)
        for name, dtype in columns.items()
    )


def _account(table: pl.DataFrame) -> TableAccount:
    return TableAccount(
        files=[], rows_in=table.height, rows_out=table.height, rejected={}, repaired={}, added=0
    )


def _day(found: object) -> date:
    # A shop without transactions has no days; the manifest wants some.
    return found if isinstance(found, date) else schema.FIRST_DAY
