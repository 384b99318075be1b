"""How customers buy in shops, side by side: python benchmarks/shop_statistics.py FOLDER [FOLDER …].

Each folder holds a shop in Kaggle's format. Where it has ``next_week.csv`` (a synthetic shop), two
simple rankings and the truth are scored on it as well.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import resource
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl

from modiste.data.synthetic.statistics import MEANINGS, shop_statistics

WEEK = dt.timedelta(7)


def main() -> None:
    """Print one Markdown table, then JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", type=Path, nargs="+")
    options = parser.parse_args()
    started = time.perf_counter()
    columns = {folder.name: describe(folder) for folder in options.folders}
    names = {name: None for column in columns.values() for name in column}
    print(f"| | {' | '.join(columns)} |\n|---|{'---:|' * len(columns)}")
    for name in names:
        cells = " | ".join(_text(column.get(name)) for column in columns.values())
        print(f"| {MEANINGS.get(name, name)} | {cells} |")
    # Linux counts in KiB.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        json.dumps(
            {
                "benchmark": "shop_statistics",
                "seconds": round(time.perf_counter() - started, 1),
                "peak_mib": round(peak, 1),
                "shops": columns,
            }
        )
    )


def describe(folder: Path) -> dict[str, float]:
    """Statistics of one shop, and scores where the next week is known."""
    rows, customers = read(folder / "transactions_train.csv"), read(folder / "customers.csv")
    articles, next_file = read(folder / "articles.csv"), folder / "next_week.csv"
    # Customers as numbers: their long ids would take most of the memory.
    codes = customers.select("customer_id").with_row_index("number")

    def numbered(table: pl.LazyFrame) -> pl.LazyFrame:
        joined = table.join(codes, on="customer_id").drop("customer_id")
        return joined.rename({"number": "customer_id"})

    known = (
        numbered(rows).with_columns(pl.col("price").cast(pl.Float32)).collect(engine="streaming")
    )
    if not next_file.is_file():
        return shop_statistics(known, articles, customers)
    coming = numbered(read(next_file)).collect()
    truth = numbered(pl.scan_parquet(folder / "truth.parquet")).select(
        "customer_id", pl.col("article_ids").cast(pl.List(pl.Int32))
    )
    return shop_statistics(known, articles, customers, coming) | scores(known, coming, truth)


def read(file: Path) -> pl.LazyFrame:
    """Open a table; article ids as numbers."""
    types = {"article_id": pl.Int32, "sales_channel_id": pl.Int8}
    table = pl.scan_csv(file, try_parse_dates=True)
    present = set(table.collect_schema().names())
    overrides = {name: kind for name, kind in types.items() if name in present}
    return pl.scan_csv(file, schema_overrides=overrides, try_parse_dates=True)


def scores(known: pl.DataFrame, coming: pl.DataFrame, truth: pl.LazyFrame) -> dict[str, float]:
    """MAP@12 on the coming week of simple rankings and of the truth."""
    last_day = known["t_dat"].max()
    recent = known.lazy().filter(pl.col("t_dat") > pl.lit(last_day) - pl.lit(WEEK))
    best_sellers = recent.group_by("article_id").len().sort("len", "article_id", descending=True)
    popular: list[int] = best_sellers.head(12).collect()["article_id"].to_list()
    buyers = coming.lazy().select("customer_id").unique()
    own = dict(
        known.lazy()
        .join(buyers, on="customer_id", how="semi")
        .join(recent.select("article_id").unique(), on="article_id", how="semi")
        .group_by("customer_id", "article_id")
        .agg(pl.col("t_dat").max())
        .sort("t_dat", "article_id", descending=True)
        .group_by("customer_id", maintain_order=True)
        .agg(pl.col("article_id").head(12))
        .collect()
        .iter_rows()
    )
    best = dict(truth.join(buyers, on="customer_id", how="semi").collect().iter_rows())

    def own_first(customer: int) -> list[int]:
        mine: list[int] = own.get(customer, [])
        return mine + [article for article in popular if article not in mine]

    bought = dict(coming.group_by("customer_id").agg(pl.col("article_id").unique()).iter_rows())
    return {
        "MAP@12 of the week's best sellers": map_at_12(lambda _: popular, bought),
        "MAP@12 of own purchases, then best sellers": map_at_12(own_first, bought),
        "MAP@12 of truth.parquet": map_at_12(best.__getitem__, bought),
    }


def map_at_12(ranking: Callable[[int], list[int]], bought: dict[int, list[int]]) -> float:
    """Mean of AP@12, written out plainly."""
    scores = []
    for customer, articles in bought.items():
        wanted, hits, score = set(articles), 0, 0.0
        for place, article in enumerate(ranking(customer)[:12], 1):
            if article in wanted:
                hits += 1
                score += hits / place
        scores.append(score / min(len(wanted), 12))
    return float(np.mean(scores))


def _text(value: float | None) -> str:
    if value is None or np.isnan(value):
        return "–"
    return f"{value:,.0f}" if value >= 5 else f"{value:.4f}".rstrip("0").rstrip(".")


if __name__ == "__main__":
    main()
