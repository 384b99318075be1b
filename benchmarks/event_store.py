"""Events stored a second: by group commit, and by a bare loop that commits each by itself.

Many threads send an event each and wait until it is on disk, as requests do. The peer is Python's
own sqlite3 with the same durability, which inserts and commits one event after the other. How long
a disk takes to commit changes several times over from one minute to the next where others use it:
all take short turns in rounds, and the ratio within a round is the figure.
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

from machine import describe_machine
from modiste.service.events.event import Event
from modiste.service.events.store import EventStore
from modiste.service.events.writer import EventWriter

# Threads that send at the same time.
SENDERS = (1, 16, 128)

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
    parser.add_argument("--seconds", type=float, default=1.0, help="of each turn")
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args()
    bare: list[float] = []
    grouped: dict[int, list[dict[str, float]]] = {senders: [] for senders in SENDERS}
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        for number in range(given.rounds):
            bare.append(one_by_one(Path(folder) / f"bare {number}.sqlite", given.seconds))
            for senders, found in grouped.items():
                url = given.store or str(Path(folder) / f"{senders} {number}.sqlite")
                found.append(by_group_commit(url, senders, given.seconds))
    print(f"sqlite3, a commit an event: {_spread(bare)} events a second")
    result = {}
    for senders, found in grouped.items():
        rates = [each["events_per_second"] for each in found]
        ratios = [rate / peer for rate, peer in zip(rates, bare, strict=True)]
        p99 = [each["p99_ms"] for each in found]
        print(
            f"group commit, {senders} senders: {_spread(rates)} events a second, "
            f"{_spread(ratios)} times the peer of the same round, p99 {_spread(p99)} ms"
        )
        result[senders] = {"events_per_second": rates, "times_peer": ratios, "p99_ms": p99}
    print(json.dumps({**describe_machine(), "bare_events_per_second": bare, "grouped": result}))


def _spread(values: list[float]) -> str:
    return f"{np.median(values):,.1f} ({min(values):,.1f} to {max(values):,.1f})"


if __name__ == "__main__":
    main()
