"""Metrics for Prometheus, of one process or of all that answer together."""

from __future__ import annotations

import os
from datetime import UTC, date, datetime, time
from pathlib import Path

import psutil
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

# Set before any process that answers is started: the folder where each leaves its numbers.
MULTIPROCESS_FOLDER = "PROMETHEUS_MULTIPROC_DIR"

# Seconds; between them lie the answers that a service for pages may take.
_BUCKETS = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0)


class ServiceMetrics:
    """What one process counts.

    Attributes
    ----------
    requests
        Answered, by method, route (not the path, which has ids in it) and status.
    seconds
        From a request's headers to the end of its answer, by route.
    in_progress
        Requests that are not answered yet.
    events
        Sent, by kind and by what became of them.
    store_failures
        Times when events could not be written or read.
    bundle_as_of
        The day that is recommended for; of several processes the earliest.
    swaps
        Bundles that were looked at because another one was named, by whether they were taken.
    """

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self.requests = Counter(
            "modiste_http_requests",
            "Requests that were answered.",
            ("method", "route", "status"),
            registry=registry,
        )
        self.seconds = Histogram(
            "modiste_http_request_seconds",
            "From a request's headers to the end of its answer.",
            ("route",),
            buckets=_BUCKETS,
            registry=registry,
        )
        self.in_progress = Gauge(
            "modiste_http_requests_in_progress",
            "Requests that are not answered yet.",
            multiprocess_mode="livesum",
            registry=registry,
        )
        self.events = Counter(
            "modiste_events",
            "Events that were sent, by what became of them.",
            ("kind", "outcome"),
            registry=registry,
        )
        self.store_failures = Counter(
            "modiste_event_store_failures",
            "Times when the event store could not be used.",
            registry=registry,
        )
        self.bundle_as_of = Gauge(
            "modiste_bundle_as_of_timestamp_seconds",
            "The day that the served bundle recommends for.",
            multiprocess_mode="livemin",
            registry=registry,
        )
        self.swaps = Counter(
            "modiste_bundle_swaps",
            "Bundles that were named to be served instead, by whether they were taken.",
            ("outcome",),
            registry=registry,
        )
        if _folder() is None:
            ProcessCollector(registry=registry)

    def serves(self, as_of: date) -> None:
        """Note the day of the bundle that is served."""
        self.bundle_as_of.set(datetime.combine(as_of, time(), UTC).timestamp())

    def exposition(self) -> bytes:
        """All numbers as Prometheus reads them; of all processes where there are several."""
        folder = _folder()
        if folder is None:
            return generate_latest(self._registry)
        together = CollectorRegistry()
        MultiProcessCollector(together, path=str(folder))
        return generate_latest(together)


def forget_dead_processes() -> None:
    """Leave out the gauges of processes that answer no more; their counts stay."""
    folder = _folder()
    if folder is None:
        return
    for file in folder.glob("gauge_live*_*.db"):
        process = int(file.stem.rpartition("_")[2])
        if not psutil.pid_exists(process):
            mark_process_dead(process, str(folder))


def _folder() -> Path | None:
    found = os.environ.get(MULTIPROCESS_FOLDER)
    return None if found is None else Path(found)
