"""Purchase sequences of a shop: what they cost to make.

    PYTHONPATH=src python benchmarks/sequences.py PREPARED [--out FOLDER]

PREPARED is a folder that ``modiste ingest`` wrote. The sequences are made as of the day after the
data ends, and beside them the same arrays by bare Polars, which holds all transactions in memory;
each in a process of its own. The last line is one JSON object.
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
    parser.add_argument("--rounds", type=int, default=3, help="how often the sequences are made")
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
    made: dict[str, list[dict[str, float]]] = {"peer": [], "ours": []}
    workers = [] if options.workers is None else ["--workers", str(options.workers)]
    for _ in range(options.rounds):
        for which, rounds in made.items():
            shutil.rmtree(work / which, ignore_errors=True)
            rounds.append(part(options.prepared, which, work / which, workers))
            print(which, rounds[-1], flush=True)
    same = all(
        filecmp.cmp(path, work / "peer" / path.name, shallow=False)
        for path in (work / "ours").glob("*.npy")
    )
    size = sum(path.stat().st_size for path in (work / "ours").glob("*.npy"))
    return {
        "benchmark": "sequences",
        "medians": {
            which: {name: statistics.median(each[name] for each in rounds) for name in rounds[0]}
            for which, rounds in made.items()
        },
        "rounds": made,
        "same_bytes": same,
        "megabytes": round(size / 1e6, 1),
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
    """The sequences as modiste makes them."""
    from modiste.data.dataset import Dataset
    from modiste.engine import Engine
    from modiste.models.sasrec.sequences import build_sequences

    dataset = Dataset.open(prepared, Engine(workers=workers))
    build_sequences(dataset.until(dataset.next_day), out)


def make_with_polars(prepared: Path, out: Path) -> None:
    """The same arrays by one query over all transactions."""
    import numpy as np
    import polars as pl

    out.mkdir(parents=True)
    key = ["customer", "t_dat", "article"]
    rows = (
        pl.scan_parquet(prepared / "transactions" / "*.parquet")
        .select(key)
        .unique()
        .sort(key)
        .collect()
    )
    customers = rows["customer"].to_numpy()
    starts = np.flatnonzero(np.diff(customers, prepend=-1))
    np.save(out / "offsets.npy", np.append(starts, len(customers)))
    np.save(out / "customers.npy", customers[starts])
    np.save(out / "items.npy", rows["article"].to_numpy())
    np.save(out / "days.npy", rows["t_dat"].to_physical().to_numpy())


if __name__ == "__main__":
    main()
