"""Ingest beside a bare Polars script: seconds, CPU seconds and peak memory, in turns.

    PYTHONPATH=src python benchmarks/ingest.py SHOP [--share 0.5] [--rounds 3] [--out FOLDER]

SHOP is a folder with Kaggle's three CSV files. The peer does only what every ingest must: it reads
the three tables, encodes the ids, sorts the transactions and writes Parquet with zstd; it checks
nothing, rejects nothing and its output is one file a table. Both run in a process of their own, by
turns, on all cores. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from processes import measure


def peer(shop: Path, out: Path) -> None:
    """Read, encode, sort, write: as fast as Polars alone does it."""
    import polars as pl

    out.mkdir(parents=True)
    articles = pl.read_csv(shop / "articles.csv", schema_overrides={"article_id": pl.String})
    articles = articles.with_row_index("article")
    articles.write_parquet(out / "articles.parquet", compression="zstd")
    customers = pl.read_csv(shop / "customers.csv").with_row_index("customer")
    customers.write_parquet(out / "customers.parquet", compression="zstd")
    (
        pl.scan_csv(
            shop / "transactions_train.csv",
            schema={
                "t_dat": pl.Date,
                "customer_id": pl.String,
                "article_id": pl.String,
                "price": pl.Float32,
                "sales_channel_id": pl.Int8,
            },
        )
        .join(customers.lazy().select("customer_id", "customer"), on="customer_id")
        .join(articles.lazy().select("article_id", "article"), on="article_id")
        .select(
            pl.col("customer").cast(pl.Int32),
            pl.col("article").cast(pl.Int32),
            "t_dat",
            "price",
            "sales_channel_id",
        )
        .sort("customer", "t_dat")
        # The in-memory engine is slower here and takes 7 GiB.
        .collect(engine="streaming")
        .write_parquet(out / "transactions.parquet", compression="zstd")
    )


def ours(shop: Path, out: Path) -> None:
    """The ingest with its default settings."""
    from modiste.data.ingest import ingest
    from modiste.data.settings import IngestSettings
    from modiste.engine import Engine

    ingest(shop, out, IngestSettings(), Engine())


def measure_side(which: str, shop: Path, out: Path) -> dict[str, float]:
    """Run one of the two in a process of its own; its seconds, CPU seconds and peak GiB."""
    if out.exists():
        shutil.rmtree(out)
    usage = measure([sys.executable, __file__, str(shop), "--run", which, "--out", str(out)])
    size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    return {
        "seconds": round(usage.seconds, 2),
        "cpu_seconds": round(usage.cpu_seconds, 2),
        "peak_gib": round(usage.peak_mib / 1024, 3),
        "written_mb": round(size / 1e6, 1),
    }


def take_share(shop: Path, share: float, folder: Path) -> Path:
    """A shop with the first share of the customers and their transactions."""
    import polars as pl

    folder.mkdir(parents=True)
    shutil.copy(shop / "articles.csv", folder)
    customers = pl.read_csv(shop / "customers.csv", infer_schema=False)
    customers = customers.head(round(customers.height * share))
    customers.write_csv(folder / "customers.csv")
    (
        pl.scan_csv(shop / "transactions_train.csv", infer_schema=False)
        .join(customers.lazy().select("customer_id"), on="customer_id", how="semi")
        .sink_csv(folder / "transactions_train.csv", maintain_order=True)
    )
    return folder


def main() -> None:
    """Run the benchmark, or one of its two sides."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shop", type=Path, help="folder with Kaggle's three CSV files")
    parser.add_argument("--share", type=float, default=1.0, help="share of the customers to take")
    parser.add_argument("--rounds", type=int, default=3, help="how often each side runs")
    parser.add_argument("--out", type=Path, help="where to write (default: a temporary folder)")
    parser.add_argument("--run", choices=["peer", "ours"], help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.run:
        {"peer": peer, "ours": ours}[args.run](args.shop, args.out)
        return
    work = Path(tempfile.mkdtemp(dir=args.out))
    try:
        shop = args.shop if args.share == 1 else take_share(args.shop, args.share, work / "shop")
        runs: dict[str, list[dict[str, float]]] = {"peer": [], "ours": []}
        for _ in range(args.rounds):
            for which, found in runs.items():
                found.append(measure_side(which, shop, work / which))
                print(which, found[-1], flush=True)
        print(json.dumps(summary(runs, shop, args.share)))
    finally:
        shutil.rmtree(work)


def summary(runs: dict[str, list[dict[str, float]]], shop: Path, share: float) -> dict[str, Any]:
    """Median of each figure, the ratios of the medians, and what they were measured on."""
    medians = {
        which: {name: round(statistics.median(run[name] for run in found), 3) for name in found[0]}
        for which, found in runs.items()
    }
    return {
        "benchmark": "ingest",
        "csv_bytes": sum(path.stat().st_size for path in shop.glob("*.csv")),
        "share": share,
        "cores": os.cpu_count(),
        "load_average": os.getloadavg()[0],
        **medians,
        "ratio_seconds": round(medians["ours"]["seconds"] / medians["peer"]["seconds"], 3),
        "ratio_cpu": round(medians["ours"]["cpu_seconds"] / medians["peer"]["cpu_seconds"], 3),
        "runs": runs,
    }


if __name__ == "__main__":
    main()
