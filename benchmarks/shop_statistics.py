"""Statistics of synthetic shops beside those of the real H&M data, as a Markdown table.

    PYTHONPATH=src python benchmarks/shop_statistics.py [--full FOLDER] [--hm FOLDER] [--seed N]

The demo and small shops are written on the spot into a temporary folder. FOLDER of ``--full`` is a
shop that ``modiste synth --scale full`` wrote; FOLDER of ``--hm`` holds the sampled H&M rows as
Parquet. A source that is not there is left out with a message. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import math
import resource
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import polars as pl

from modiste.data.synthetic import SCALES, write_shop
from modiste.data.synthetic.statistics import MEANINGS, Statistics, shop_statistics
from modiste.engine import Engine
from modiste.evaluation.metrics import score_customers

PLACES = 12

# Measured here, beside what shop_statistics knows.
FURTHER: Mapping[str, str] = {
    "last_days_on_sale": "share of the last 3 days' rows whose article sold in the 4 days before",
    "map_best_sellers": "MAP@12 of the last week's best sellers in the week after",
    "map_own_on_sale": "MAP@12 of own articles on sale, newest first, then best sellers",
    "map_ceiling": "MAP@12 of the best possible lists, expected (truth.json)",
}

# All 31,788,324 rows of the Kaggle data as others measured them, from shared/data/README.md ("The
# whole data, as others measured it"; Coding-Samurai110602/hm-fashion-recsys). The MAP figures there
# are of the last week of the data, 16 to 22 September 2020, as the week after. The busiest week is
# given in rows; the mean week is all rows over 734 days, times 7.
PUBLISHED: Statistics = {
    "rows": 31_788_324,
    "buyers": 1_371_980 - 9_699,
    "one_week": 0.341,
    "gap_q1": 4,
    "gap_median": 10,
    "gap_q3": 24,
    "sold_articles": 105_542 - 995,
    "gini": 0.759,
    "top_1": 0.186,
    "top_10": 0.608,
    "exact_repeats": 0.174,
    "basket_median": 2,
    "basket_q3": 4,
    "same_article": 0.0474,
    "same_product": 0.0853,
    "same_type": 0.506,
    "new_buyers": 0.081,
    "new_articles": 0.037,
    "jaccard_12": 0.20,
    "jaccard_100": 0.37,
    "busiest_week": 635_891 / (31_788_324 / 734 * 7),
    "saturday": 1.11,
    "map_best_sellers": 0.0087,
    "map_own_on_sale": 0.0245,
}

# Days of which the sample has all customers (shared/data/README.md), first and last of each run.
WHOLE_DAYS = (
    (dt.date(2019, 5, 29), dt.date(2019, 5, 31)),
    (dt.date(2019, 7, 28), dt.date(2019, 7, 31)),
    (dt.date(2019, 10, 27), dt.date(2019, 10, 31)),
    (dt.date(2019, 11, 29), dt.date(2019, 11, 30)),
    (dt.date(2019, 12, 31), dt.date(2019, 12, 31)),
    (dt.date(2020, 2, 1), dt.date(2020, 2, 5)),
    (dt.date(2020, 9, 16), dt.date(2020, 9, 22)),
)
# The first day has part of the customers: neither whole nor of the few with full histories alone.
PARTIAL_DAY = dt.date(2018, 9, 20)

# What a sample of whole customers can tell, and what a sample of whole days can.
OF_CUSTOMERS = (
    *("rows", "buyers", "one_row", "one_day", "one_week", "rows_a_buyer_median"),
    *("gap_q1", "gap_median", "gap_q3", "age_q1", "age_median", "age_q3"),
    *("basket_q1", "basket_median", "basket_q3", "basket_mean", "exact_repeats", "mates"),
    *("same_article", "same_product", "same_type", "saturday"),
)
OF_DAYS = (
    *("rows", "basket_q1", "basket_median", "basket_q3", "basket_mean"),
    *("exact_repeats", "mates"),
)


def main() -> None:
    """Measure every shop that is there and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--full", type=Path, help="a shop that 'modiste synth' wrote")
    parser.add_argument("--hm", type=Path, default=Path("../shared/data/hm"))
    parser.add_argument("--seed", type=int, default=0, help="of the demo and small shops")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    started = time.perf_counter()
    columns: dict[str, Statistics] = {}
    for scale in ("demo", "small"):
        with tempfile.TemporaryDirectory() as scratch:
            shop = Path(scratch) / scale
            write_shop(shop, SCALES[scale], options.seed, Engine(workers=options.workers))
            columns[scale] = synthetic_shop(shop)
    if options.full is None:
        print("full left out: name its folder with --full", file=sys.stderr)
    elif not (options.full / "truth.json").is_file():
        print(f"full left out: {options.full} holds no synthetic shop", file=sys.stderr)
    else:
        columns["full"] = synthetic_shop(options.full)
    columns["H&M, published"] = PUBLISHED
    if (options.hm / "transactions_train.parquet").is_file():
        columns |= sampled_rows(options.hm)
    else:
        print(f"H&M sample left out: nothing in {options.hm}", file=sys.stderr)
    print_table(columns)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # Linux counts in KiB
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


# --- synthetic shops -----------------------------------------------------------------------


def synthetic_shop(folder: Path) -> Statistics:
    """All statistics of a synthetic shop, and how hard its week after is."""
    articles = pl.read_csv(
        folder / "articles.csv", columns=["article_id", "product_code", "product_type_name"]
    )
    people = (
        pl.scan_csv(folder / "customers.csv")
        .select("customer_id", "age")
        .with_row_index("customer")
        .collect()
    )
    ids = people.select("customer_id", "customer")
    rows = read_rows(folder / "transactions_train.csv", ids)
    next_week = read_rows(folder / "next_week.csv", ids)
    customers = people.select(customer_id="customer", age="age")
    notes = json.loads((folder / "truth.json").read_text())
    return (
        shop_statistics(rows, articles, customers, next_week)
        | {"last_days_on_sale": last_days_on_sale(rows)}
        | score_baselines(rows, next_week)
        | {"map_ceiling": notes["expected_map"]}
    )


def read_rows(file: Path, ids: pl.DataFrame) -> pl.DataFrame:
    """Transactions with numbers for ids: 32 million rows stay under 1 GB."""
    return (
        pl.scan_csv(
            file,
            schema={
                "t_dat": pl.Date,
                "customer_id": pl.String,
                "article_id": pl.Int64,
                "price": pl.Float32,
                "sales_channel_id": pl.Int8,
            },
        )
        .join(ids.lazy(), on="customer_id", how="inner")
        .select(
            "t_dat", "article_id", "price", "sales_channel_id", pl.col("customer").alias("buyer")
        )
        .rename({"buyer": "customer_id"})
        .collect(engine="streaming")
    )


def last_days_on_sale(rows: pl.DataFrame) -> float:
    """Share of the last 3 days' rows whose article sold in the 4 days before."""
    last: dt.date = rows["t_dat"].max()  # type: ignore[assignment]
    days = pl.col("t_dat")
    late = rows.filter(days > last - dt.timedelta(3))["article_id"]
    before = rows.filter(days.is_between(last - dt.timedelta(6), last - dt.timedelta(3)))
    return float(late.is_in(before["article_id"].unique().implode()).sum()) / len(late)


def score_baselines(rows: pl.DataFrame, next_week: pl.DataFrame) -> Statistics:
    """MAP@12 of the two simplest recommenders over the customers who buy in the week after."""
    last: dt.date = rows["t_dat"].max()  # type: ignore[assignment]
    labels = next_week.select(customer="customer_id", article="article_id").unique()
    buyers = labels.select("customer").unique()
    sales = (
        rows.filter(pl.col("t_dat") > last - dt.timedelta(7))
        .group_by("article_id")
        .len()
        .sort("len", "article_id", descending=[True, False])
    )
    best = sales.head(PLACES).select(article="article_id").with_row_index("place")
    popular = buyers.join(best, how="cross")
    own = (
        rows.rename({"customer_id": "customer", "article_id": "article"})
        .join(buyers, on="customer", how="semi")
        .join(sales.select(article="article_id"), on="article", how="semi")
        .group_by("customer", "article")
        .agg(day=pl.col("t_dat").max(), rows=pl.len())
        .sort("day", "rows", "article", descending=[True, True, False])
        .with_columns(place=pl.int_range(pl.len(), dtype=pl.UInt32).over("customer"))
        .filter(pl.col("place") < PLACES)
        .select("customer", "article", "place")
    )
    filled = pl.concat(
        [own, popular.select("customer", "article", pl.col("place") + PLACES)]
    ).unique(["customer", "article"], keep="first", maintain_order=True)
    return {
        "map_best_sellers": mean_average_precision(popular, labels),
        "map_own_on_sale": mean_average_precision(filled, labels),
    }


def mean_average_precision(lists: pl.DataFrame, labels: pl.DataFrame) -> float:
    """MAP@12 of lists in the order of ``place``, which may have gaps."""
    ranked = lists.with_columns(
        rank=pl.col("place").rank("ordinal").over("customer").cast(pl.UInt16)
    )
    scores = score_customers(ranked, labels, PLACES)["average_precision"]
    return float(scores.sum()) / len(scores)


# --- sampled H&M rows ----------------------------------------------------------------------


def sampled_rows(folder: Path) -> dict[str, Statistics]:
    """What the sample tells: of its customers with a whole history, and of its whole days."""
    rows = pl.read_parquet(folder / "transactions_train.parquet")
    articles = pl.read_parquet(folder / "articles.parquet")
    customers = pl.read_parquet(folder / "customers.parquet")
    whole = pl.any_horizontal(pl.col("t_dat").is_between(*run) for run in WHOLE_DAYS)
    # Only they have rows on the other days. Who never bought on one of these is missing.
    known = rows.filter(~whole & (pl.col("t_dat") != PARTIAL_DAY))["customer_id"].unique()
    theirs = pl.col("customer_id").is_in(known.implode())
    of_customers = shop_statistics(rows.filter(theirs), articles, customers.filter(theirs))
    days = rows.filter(whole)
    of_days = shop_statistics(days, articles, customers)
    return {
        "H&M, customers": {key: of_customers[key] for key in OF_CUSTOMERS},
        "H&M, days": {key: of_days[key] for key in OF_DAYS}
        | {"last_days_on_sale": last_days_on_sale(days)},
    }


# --- the table -----------------------------------------------------------------------------


def print_table(columns: Mapping[str, Statistics]) -> None:
    """One row a statistic, one column a shop."""
    print("| " + " | ".join(["", *columns]) + " |")
    print("| --- |" + " ---: |" * len(columns))
    for key, meaning in {**MEANINGS, **FURTHER}.items():
        cells = [shown(key, column.get(key, math.nan)) for column in columns.values()]
        print("| " + " | ".join([meaning, *cells]) + " |")


def shown(key: str, value: float) -> str:
    """A value as people read it; nothing for what is not known."""
    if math.isnan(value):
        return ""
    if key.startswith("map_"):
        return f"{value:.4f}"
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"


if __name__ == "__main__":
    main()
