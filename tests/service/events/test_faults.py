"""What fails underneath is told, loses nothing that was acknowledged, and heals by itself."""

from __future__ import annotations

import resource
import socket
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest
import sqlalchemy as sa

from modiste.service.app import make_app
from modiste.service.bundle import Bundle
from modiste.service.events.store import EventStore
from modiste.service.settings import EventSettings, ServiceSettings
from postgresql_servers import PostgreSQL
from served_processes import ServedProcess, served
from serving import UNHURRIED, listening

_KILLS = 10
_SENDERS = 3


@pytest.fixture
def events(bundle: Bundle) -> Iterator[dict[str, Any]]:
    """Valid events without end, each another."""
    article = bundle.articles["article_id"][0]
    return (
        {
            "event_id": f"event {number}",
            "customer_id": f"customer {number % 7}",
            "article_id": article,
            "kind": "purchase",
            "time": f"2020-07-31T12:00:00.{number:06d}Z",
        }
        for number in range(1_000_000)
    )


class Sender:
    """Sends batches until the service is gone, and then the same one again to the next one."""

    def __init__(self, events: Iterator[dict[str, Any]], lock: threading.Lock) -> None:
        self._events, self._lock = events, lock
        self._batch: list[dict[str, Any]] = []
        self.acknowledged: list[str] = []
        self.sent: set[str] = set()

    def send_until_killed(self, address: str) -> None:
        with httpx2.Client(base_url=address, timeout=60) as client:
            while True:
                if not self._batch:
                    with self._lock:
                        self._batch = [next(self._events) for _ in range(5)]
                    self.sent |= {each["event_id"] for each in self._batch}
                try:
                    answer = client.post("/v1/events", json=self._batch)
                except httpx2.TransportError:
                    return
                assert answer.status_code in (200, 201), answer.text
                self.acknowledged += [each["event_id"] for each in self._batch]
                self._batch = []


@pytest.mark.slow
def test_ten_kills_lose_nothing_and_count_nothing_twice(
    quick_bundle_folder: Path, events: Iterator[dict[str, Any]], tmp_path: Path
) -> None:
    file = tmp_path / "events.sqlite"
    lock = threading.Lock()
    senders = [Sender(events, lock) for _ in range(_SENDERS)]
    for _ in range(_KILLS):
        before = sum(len(sender.acknowledged) for sender in senders)
        process = ServedProcess(quick_bundle_folder, "--port", "0", "--events", str(file))
        threads = [
            threading.Thread(target=sender.send_until_killed, args=(process.address,))
            for sender in senders
        ]
        for thread in threads:
            thread.start()
        while sum(len(sender.acknowledged) for sender in senders) < before + 50:
            assert process.process.poll() is None
            threads[0].join(0.01)
        process.kill()
        for thread in threads:
            thread.join(60)
    store = EventStore.open(str(file))
    stored = [each.event_id for each in store.purchases(None, None)]
    store.close()
    acknowledged = [name for sender in senders for name in sender.acknowledged]
    assert len(acknowledged) >= _KILLS * 50
    assert len(set(stored)) == len(stored)
    assert set(acknowledged) <= set(stored) <= set().union(*(each.sent for each in senders))


@contextmanager
def taking(bundle: Bundle, events: EventSettings) -> Iterator[httpx2.Client]:
    settings = ServiceSettings(limits=UNHURRIED, events=events)
    store = EventStore.create(str(events.store), events.seconds)
    with listening(make_app(bundle, settings, store=store)) as client:
        yield client


def assert_unavailable(client: httpx2.Client, bundle: Bundle, event: dict[str, Any]) -> None:
    """Events are refused with a time to come back; recommendations go on."""
    refused = client.post("/v1/events", json=event)
    assert refused.status_code == 503, refused.text
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.headers["retry-after"] == "2"
    assert "send the same again" in refused.json()["detail"]
    customer = bundle.customers.customer_id(1)
    recommended = client.get(f"/v1/customers/{customer}/recommendations")
    assert recommended.status_code == 200
    assert len(recommended.json()["recommendations"]) == 12
    assert client.get("/v1/health/ready").status_code == 200


def assert_available(client: httpx2.Client, *events: dict[str, Any]) -> None:
    """They are stored; 200: the one that was refused came through after all, and counts once."""
    for each in events:
        assert client.post("/v1/events", json=each).status_code in (200, 201)


def stored(url: str) -> list[str]:
    store = EventStore.open(url)
    found = [each.event_id for each in store.purchases(None, None)]
    store.close()
    return found


def test_a_locked_database(
    bundle: Bundle, events: Iterator[dict[str, Any]], tmp_path: Path
) -> None:
    url = str(tmp_path / "events.sqlite")
    first, refused, last = (next(events) for _ in range(3))
    with taking(bundle, EventSettings(store=url, seconds=1)) as client:
        assert_available(client, first)
        other = sqlite3.connect(url, isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        assert_unavailable(client, bundle, refused)
        erasing = client.delete("/v1/customers/a/data")
        assert (erasing.status_code, erasing.headers["retry-after"]) == (503, "2")
        other.execute("ROLLBACK")
        other.close()
        assert_available(client, refused, last)
    assert stored(url) == [each["event_id"] for each in (first, refused, last)]


def test_postgresql_stopped_and_started_underneath(
    bundle: Bundle, events: Iterator[dict[str, Any]], postgresql: PostgreSQL
) -> None:
    first, refused, last = (next(events) for _ in range(3))
    with taking(bundle, EventSettings(store=postgresql.url, seconds=1)) as client:
        before = stored(postgresql.url)
        assert_available(client, first)
        erased = bundle.customers.customer_id(2)
        assert client.delete(f"/v1/customers/{erased}/data").status_code == 200
        assert client.get(f"/v1/customers/{erased}/recommendations").status_code == 404
        postgresql.stop()
        try:
            assert_unavailable(client, bundle, refused)
            assert_unavailable(client, bundle, refused)
            # It says that no events are counted, and takes nobody new for nobody.
            path = "/v1/customers/{}/recommendations"
            known = client.get(path.format(bundle.customers.customer_id(1)))
            assert known.json()["live_events"] is None
            new = client.get(path.format("somebody"))
            assert (new.status_code, new.headers["retry-after"]) == (503, "2")
            # Who was erased stays so.
            assert client.get(path.format(erased)).status_code == 503
        finally:
            postgresql.start()
        assert_available(client, refused, last)
    after = stored(postgresql.url)
    assert set(after) - set(before) == {each["event_id"] for each in (first, refused, last)}


class Wire:
    """A connection through loopback to a server that can be lost, as when a network is."""

    def __init__(self, port: int) -> None:
        self.lost = threading.Event()
        self._to = ("127.0.0.1", port)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listening.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listening.accept()
                far = socket.create_connection(self._to)
                for one, other in ((near, far), (far, near)):
                    threading.Thread(target=self._carry, args=(one, other), daemon=True).start()

    def _carry(self, one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError), one, other:
            while data := one.recv(65_536):
                if not self.lost.is_set():
                    other.sendall(data)


def test_a_postgresql_that_does_not_answer_holds_up_one_request_alone(
    bundle: Bundle, events: Iterator[dict[str, Any]], postgresql: PostgreSQL
) -> None:
    wire = Wire(sa.make_url(postgresql.url).port or 0)
    path = f"/v1/customers/{bundle.customers.customer_id(1)}/recommendations"

    def seconds_and_events(client: httpx2.Client) -> tuple[float, object]:
        start = time.monotonic()
        answer = client.get(path)
        assert len(answer.json()["recommendations"]) == 12
        return time.monotonic() - start, answer.json()["live_events"]

    url = sa.make_url(postgresql.url).set(port=wire.port).render_as_string(hide_password=False)
    settings = EventSettings(store=url, seconds=2, retry_seconds=1)
    with taking(bundle, settings) as client:
        assert seconds_and_events(client)[1] is not None
        wire.lost.set()
        first, counted = seconds_and_events(client)
        assert (first > 1, counted) == (True, None)
        until = time.monotonic() + 4  # the store is asked again more than once
        while time.monotonic() < until:
            took, counted = seconds_and_events(client)
            assert (took < 1, counted) == (True, None)
        wire.lost.clear()
        until = time.monotonic() + 20
        while seconds_and_events(client)[1] is None:
            assert time.monotonic() < until
    wire.close()


def test_a_full_disk(
    quick_bundle_folder: Path, bundle: Bundle, events: Iterator[dict[str, Any]], tmp_path: Path
) -> None:
    """Played by a limit on files' lengths, which the system answers in the same place."""
    url = str(tmp_path / "events.sqlite")
    first, refused, last = (next(events) for _ in range(3))
    with served(quick_bundle_folder, "--events", url) as (process, client):
        assert_available(client, first)
        length = Path(f"{url}-wal").stat().st_size
        _, hard = resource.prlimit(process.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(process.process.pid, resource.RLIMIT_FSIZE, (length, hard))
        assert_unavailable(client, bundle, refused)
        assert_unavailable(client, bundle, refused)
        resource.prlimit(process.process.pid, resource.RLIMIT_FSIZE, (hard, hard))
        assert_available(client, refused, last)
        process.stop()
        warnings = [line for line in process.log() if line["level"] == "warning"]
    assert warnings
    assert all("event store cannot be written now" in str(each["message"]) for each in warnings)
    assert stored(url) == [each["event_id"] for each in (first, refused, last)]
