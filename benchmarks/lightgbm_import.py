"""What importing LightGBM takes a process, with and without the libraries it takes along.

    python benchmarks/lightgbm_import.py

CPU seconds and the process's peak memory, each the median of five processes.
"""

from __future__ import annotations

import subprocess
import sys
from statistics import median

IMPORTS = {
    "with scikit-learn and pandas": "import lightgbm",
    "without": "import modiste.ranking.lightgbm_alone",
}
MEASURED = """
import numpy, resource, time
start = time.process_time()
{}
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(time.process_time() - start, peak)
"""
PROCESSES = 5


def measure(statement: str) -> tuple[float, float]:
    """CPU seconds and MiB of one process."""
    command = [sys.executable, "-c", MEASURED.format(statement)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    seconds, peak = map(float, printed.split())
    return seconds, peak


def main() -> None:
    """Print a line for each way."""
    for name, statement in IMPORTS.items():
        taken = [measure(statement) for _ in range(PROCESSES)]
        seconds, peaks = zip(*taken, strict=True)
        print(f"{name}: {median(seconds):.2f} s, {median(peaks):.0f} MiB at most")


if __name__ == "__main__":
    main()
