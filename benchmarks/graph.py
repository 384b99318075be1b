"""The graph of customers and articles of a shop: what it costs to make, and its size.

    PYTHONPATH=src python benchmarks/graph.py PREPARED [--rounds 3] [--out FOLDER]

PREPARED is a folder that ``modiste ingest`` wrote. The graph is made as of the day after the data
ends, and beside it the same arrays by bare Polars, which holds all transactions in memory; each in
a process of its own. Peak memory counts mapped files. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import filecmp
import json
import shutil
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from machine import describe_machine
from processes import measure


def main() -> None:
    """Run the benchmark, or one of its parts in this process."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("prepared", type=Path, help="folder of prepared tables")
    parser.add_argument("--rounds", type=int, default=3, help="how often the graph is made")
    parser.add_argument("--workers", type=int, help="threads; default: one for each core")
    parser.add_argument("--out", type=Path, help="where to work (default: a temporary folder)")
    parser.add_argument("--run", choices=["ours", "peer"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run == "ours":
        make(options.prepared, options.out, options.workers)
    elif options.run == "peer":
        make_with_polars(options.prepared, options.out)
    else:
        with tempfile.TemporaryDirectory(dir=options.out) as work:
            print(json.dumps(benchmark(options, Path(work))))


def benchmark(options: argparse.Namespace, work: Path) -> dict[str, Any]:
    """All figures."""
    from modiste.models.graph.purchase_graph import PurchaseGraph

    made: dict[str, list[dict[str, float]]] = {"peer": [], "ours": []}
    workers = [] if options.workers is None else ["--workers", str(options.workers)]
    for _ in range(options.rounds):
        for which, rounds in made.items():
            shutil.rmtree(work / which, ignore_errors=True)
            rounds.append(part(options.prepared, which, work / which, workers))
            print(which, rounds[-1], flush=True)
    files = sorted((work / "ours").rglob("*.npy"))
    same = all(
        filecmp.cmp(path, work / "peer" / path.relative_to(work / "ours"), shallow=False)
        for path in files
    )
    graph = PurchaseGraph.load(work / "ours")
    return {
        "benchmark": "graph",
        "customers": graph.n_customers,
        "articles": graph.n_articles,
        "edges": graph.articles_of.n_edges,
        "medians": {
            which: {name: statistics.median(each[name] for each in rounds) for name in rounds[0]}
            for which, rounds in made.items()
        },
        "rounds": made,
        "same_bytes": same,
        "megabytes": round(sum(path.stat().st_size for path in files) / 1e6, 1),
        "machine": describe_machine(),
    }


def part(prepared: Path, which: str, out: Path, more: Sequence[str]) -> dict[str, float]:
    """One part in a process of its own; its seconds, CPU seconds and peak GiB."""
    used = measure(
        [sys.executable, __file__, str(prepared), "--run", which, "--out", str(out), *more]
    )
    return {
        "seconds": round(used.seconds, 2),
        "cpu_seconds": round(used.cpu_seconds, 2),
        "peak_gib": round(used.peak_mib / 1024, 3),
    }


def make(prepared: Path, out: Path, workers: int | None) -> None:
    """The graph as modiste makes it."""
    from modiste.data.dataset import Dataset
    from modiste.engine import Engine
    from modiste.models.graph.purchase_graph import build_graph

    dataset = Dataset.open(prepared, Engine(workers=workers))
    build_graph(dataset.until(dataset.next_day), out)


def make_with_polars(prepared: Path, out: Path) -> None:
    """The same arrays by one query over all transactions."""
    import numpy as np
    import polars as pl

    edges = (
        pl.scan_parquet(prepared / "transactions" / "*.parquet")
        .group_by("customer", "article", "t_dat")
        .agg(pl.len().clip(upper_bound=255).cast(pl.UInt8).alias("counts"))
        .collect()
    )
    sides = {
        "articles_of": ("customer", "article", prepared / "customers" / "*.parquet"),
        "customers_of": ("article", "customer", prepared / "articles.parquet"),
    }
    for name, (node, other, table) in sides.items():
        n_nodes = pl.scan_parquet(table).select(pl.len()).collect().item()
        rows = edges.sort(node, "t_dat", other)
        (out / name).mkdir(parents=True)
        of_nodes = np.bincount(rows[node].to_numpy(), minlength=n_nodes)
        np.save(out / name / "offsets.npy", np.append(0, np.cumsum(of_nodes)))
        np.save(out / name / "neighbours.npy", rows[other].to_numpy())
        np.save(out / name / "days.npy", rows["t_dat"].to_physical().to_numpy())
        np.save(out / name / "counts.npy", rows["counts"].to_numpy())


if __name__ == "__main__":
    main()
