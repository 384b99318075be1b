"""Baselines and submission for every customer of a shop as large as Kaggle's.

    python benchmarks/full_size.py SHOP [--share 0.5]

SHOP is a folder with Kaggle's three CSV files, such as ``modiste synth --scale full`` writes. The
tables are ingested first (that is benchmarks/ingest.py's matter); what is measured is ``modiste
run`` on the prepared tables, in a process of its own: choice of the settings on validation windows,
evaluation of every baseline, the blend, submission.csv and report. The last line is a JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

from ingest import take_share
from processes import measure

_MODISTE = [sys.executable, "-c", "from modiste.cli import main; main()"]


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shop", type=Path, help="folder with Kaggle's three CSV files")
    parser.add_argument("--share", type=float, default=1.0, help="share of the customers to take")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        whole = options.share == 1
        shop = options.shop if whole else take_share(options.shop, options.share, work / "shop")
        prepared, run = work / "prepared", work / "run"
        measure([*_MODISTE, "ingest", "--data", str(shop), "--out", str(prepared)])
        usage = measure([*_MODISTE, "run", "--data", str(prepared), "--out", str(run)])
        with (run / "submission.csv").open() as lines:
            customers = sum(1 for _ in lines) - 1
        result = {
            "benchmark": "full_size",
            "share": options.share,
            "customers": customers,
            "seconds": round(usage.seconds, 1),
            "peak_gib": round(usage.peak_mib / 1024, 2),
            "stages": json.loads((run / "timings.json").read_text()),
            "map@12": json.loads((run / "metrics.json").read_text())["map@12"],
            "cores": os.cpu_count(),
            "load_average": os.getloadavg()[0],
        }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
