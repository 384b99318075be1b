"""How long a synthetic shop takes, and how much memory: python benchmarks/synth.py --scale full."""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
from pathlib import Path

from modiste.data.synthetic import SCALES, write_shop
from modiste.engine import Engine


def main() -> None:
    """Write one shop and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", choices=sorted(SCALES), default="small")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, help="keep the shop here")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        summary = write_shop(
            options.out or Path(scratch),
            SCALES[options.scale],
            options.seed,
            Engine(workers=options.workers),
        )
    # Linux counts in KiB. All workers are threads of this process.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    rate = summary.rows / summary.seconds
    print(f"{summary.rows:,} rows in {summary.seconds:.1f} s ({rate:,.0f} rows/s)")
    print(f"peak memory {peak:,.0f} MiB")
    print(
        f"ceiling: expected MAP@12 {summary.expected_map:.4f}, simulated "
        f"{summary.simulated_map:.4f} ± {summary.simulated_map_error:.4f}"
    )
    print(
        json.dumps(
            {
                "benchmark": "synth",
                "scale": options.scale,
                "workers": options.workers,
                "seconds": round(summary.seconds, 2),
                "peak_mib": round(peak, 1),
                "rows": summary.rows,
                "expected_map": summary.expected_map,
            }
        )
    )


if __name__ == "__main__":
    main()
