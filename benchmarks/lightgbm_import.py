"""What importing LightGBM takes a process, with and without the libraries it takes along.

    python benchmarks/lightgbm_import.py

CPU seconds and peak memory of a process that does nothing else, each the median of five.
"""

from __future__ import annotations

import sys
from statistics import median

from processes import measure

IMPORTS = {
    "with scikit-learn and pandas": "import lightgbm",
    "without": "import modiste.ranking.lightgbm_alone",
}
PROCESSES = 5


def main() -> None:
    """Print a line for each way."""
    for name, statement in IMPORTS.items():
        taken = [measure([sys.executable, "-c", statement]) for _ in range(PROCESSES)]
        seconds = median(each.cpu_seconds for each in taken)
        peak = median(each.peak_mib for each in taken)
        print(f"{name}: {seconds:.2f} s, {peak:.0f} MiB at most")


if __name__ == "__main__":
    main()
