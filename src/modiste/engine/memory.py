"""Peak memory of a piece of work."""

from __future__ import annotations

import threading
from typing import Self

import psutil

_SECONDS_BETWEEN_SAMPLES = 0.05


class PeakMemory:
    """Context manager that samples this process's resident memory.

    Attributes
    ----------
    peak_mib
        Highest resident set size seen while the block ran, in MiB, worker threads included and
        processes of a cluster not. Sampled every 50 ms: a shorter spike can be missed.
    """

    def __init__(self) -> None:
        self.peak_mib = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _sample(self) -> None:
        process = psutil.Process()
        while True:
            self.peak_mib = max(self.peak_mib, process.memory_info().rss / 2**20)
            if self._stop.wait(_SECONDS_BETWEEN_SAMPLES):
                return
