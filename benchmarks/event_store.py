"""Events stored a second: by group commit, and by a bare loop that commits each by itself.

Many threads send an event each and wait until it is on disk, as requests do. The peer is Python's
own sqlite3 with the same durability, which inserts and commits one event after the other.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import tempfile
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from modiste.service.events.event import Event
from modiste.service.events.store import EventStore
from modiste.service.events.writer import EventWriter

_TIME = datetime(2020, 9, 23, 12, tzinfo=UTC)


def _event(number: int) -> Event:
    return Event.model_construct(
        event_id=f"event {time.time_ns()} {number}",
        customer_id=f"customer {number % 1_000}",
        article_id="0706016001",
        kind="purchase",
        time=_TIME,
        price=0.0339,
        channel=2,
    )


def by_group_commit(url: str, senders: int, seconds: float) -> dict[str, float]:
    """Events a second and milliseconds until one is stored, of some threads at once."""
    store = EventStore.create(url)
    writer = EventWriter(store, waiting=100_000)
    waits: list[float] = []
    end = time.perf_counter() + seconds

    def send(sender: int) -> None:
        number = sender
        while (started := time.perf_counter()) < end:
            writer.submit([_event(number)]).result()
            waits.append(time.perf_counter() - started)
            number += senders

    threads = [threading.Thread(target=send, args=(sender,)) for sender in range(senders)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    writer.close()
    store.close()
    return {
        "senders": senders,
        "events_per_second": len(waits) / seconds,
        "p50_ms": float(np.percentile(waits, 50)) * 1_000,
        "p99_ms": float(np.percentile(waits, 99)) * 1_000,
    }


def one_by_one(file: Path, seconds: float) -> float:
    """Events a second of the peer."""
    connection = sqlite3.connect(file, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(
        "CREATE TABLE events (event_id TEXT PRIMARY KEY, customer_id TEXT, article_id TEXT, "
        "kind TEXT, time INTEGER, price REAL, channel INTEGER)"
    )
    end, stored = time.perf_counter() + seconds, 0
    while time.perf_counter() < end:
        row = _event(stored).model_dump()
        row["time"] = int(row["time"].timestamp() * 1e6)
        connection.execute("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?)", list(row.values()))
        stored += 1
    connection.close()
    return stored / seconds


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, help="where the files lie [default: temporary]")
    parser.add_argument("--store", help="address of a PostgreSQL instead of SQLite")
    parser.add_argument("--seconds", type=float, default=5.0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        bare = one_by_one(Path(folder) / "bare.sqlite", given.seconds)
        print(f"sqlite3, a commit an event: {bare:,.0f} events a second")
        grouped = []
        for senders in (1, 16, 128):
            url = given.store or str(Path(folder) / f"{senders}.sqlite")
            found = by_group_commit(url, senders, given.seconds)
            grouped.append(found)
            print(
                f"group commit, {senders} senders: {found['events_per_second']:,.0f} events a "
                f"second, {found['p50_ms']:.1f} ms at the median, {found['p99_ms']:.1f} at p99"
            )
    print(json.dumps({"bare_events_per_second": bare, "group_commit": grouped}))


if __name__ == "__main__":
    main()
