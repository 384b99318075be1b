"""Seconds and peak memory of a command, its children included."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass

import psutil

_SAMPLE_SECONDS = 0.05


@dataclass(frozen=True)
class Usage:
    """What a command took: wall-clock and CPU seconds, peak resident MiB over its process tree."""

    seconds: float
    cpu_seconds: float
    peak_mib: float


def measure(command: Sequence[str]) -> Usage:
    """Run a command to its end and measure it; memory is sampled every 50 ms.

    Raises
    ------
    subprocess.CalledProcessError
        When it fails.
    """
    started, cpu, peak = time.perf_counter(), 0.0, 0
    with subprocess.Popen(command) as process:
        root = psutil.Process(process.pid)
        while process.poll() is None:
            try:
                tree = [root, *root.children(recursive=True)]
                peak = max(peak, sum(each.memory_info().rss for each in tree))
                cpu = sum(sum(each.cpu_times()[:2]) for each in tree)
            except psutil.NoSuchProcess:
                pass  # one of them has just ended
            time.sleep(_SAMPLE_SECONDS)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return Usage(time.perf_counter() - started, cpu, peak / 2**20)
