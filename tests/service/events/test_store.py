"""What is stored is stored once, read back as it was, and erased for good."""

from __future__ import annotations

import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from modiste.service.events.database import Database
from modiste.service.events.errors import EventStoreError, EventStoreUnavailableError
from modiste.service.events.event import Event
from modiste.service.events.store import EventStore, Outcome
from modiste.service.events.writer import EventWriter
from modiste.service.live_events import KINDS

NOON = datetime(2020, 7, 31, 12, tzinfo=UTC)
STORED, DUPLICATE, CONFLICT, ERASED = Outcome


def event(name: str, customer: str = "anna", minutes: int = 0, **values: object) -> Event:
    given: dict[str, object] = {
        "event_id": name,
        "customer_id": customer,
        "article_id": "0001",
        "kind": "purchase",
        "time": NOON + timedelta(minutes=minutes),
    }
    return Event.model_validate({**given, **values})


def test_events_come_back_as_they_were_in_the_order_of_their_times(store: EventStore) -> None:
    sent = [
        event("c", minutes=2, kind="view", time="2020-07-31T14:02:00.000001+02:00"),
        event("b", minutes=1, price=0.1, channel=2),
        event("a", minutes=1, kind="cart", article_id="'; DROP TABLE events; --"),
        event("d", minutes=3, kind="return", price=1e308),
        event("👗", "bo", price=0),
    ]
    assert store.append(sent) == [STORED] * 5
    c, b, a, d, bo = sent
    assert store.of_customer("anna", NOON) == [a, b, c, d]
    assert store.of_customer("anna", NOON + timedelta(minutes=2)) == [c, d]
    assert store.of_customer("bo", NOON) == [bo]
    assert store.of_customer("an", NOON) == []


def test_an_id_counts_once(store: EventStore) -> None:
    first, other = event("a", minutes=1), event("b", minutes=2)
    assert store.append([first, first, event("a", minutes=7)]) == [STORED, DUPLICATE, CONFLICT]
    assert store.append([other, first]) == [STORED, DUPLICATE]
    for change in ({"customer": "bo"}, {"price": 1.0}, {"channel": 1}, {"kind": "view"}):
        changed = event("a", **{"minutes": 1, **change})  # type: ignore[arg-type]
        assert store.append([changed]) == [CONFLICT]
    assert store.of_customer("anna", NOON) == [first, other]
    assert store.append([]) == []


def test_what_is_pruned_is_no_purchase_and_of_before(
    store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modiste.service.events.store._DELETED", 2)
    of_kinds = [event(f"{kind} {n}", minutes=n, kind=kind) for kind in KINDS for n in range(6)]
    store.append(of_kinds)
    assert store.prune(NOON + timedelta(minutes=5)) == 15
    kept = {f"purchase {n}" for n in range(6)} | {f"{kind} 5" for kind in KINDS}
    assert {each.event_id for each in store.of_customer("anna", NOON)} == kept
    assert store.prune(NOON + timedelta(minutes=5)) == 0


def test_the_same_id_from_many_threads_counts_once(store: EventStore) -> None:
    together = threading.Barrier(4)

    def send(_: int) -> list[Outcome]:
        together.wait()
        return store.append([event(str(name), minutes=name) for name in range(50)])

    with ThreadPoolExecutor(4) as threads:
        outcomes = list(threads.map(send, range(4)))
    for of_one_event in zip(*outcomes, strict=True):
        assert sorted(of_one_event) == [DUPLICATE] * 3 + [STORED]
    assert len(store.of_customer("anna", NOON)) == 50


def test_it_is_there_when_opened_again(store_url: str) -> None:
    first = EventStore.create(store_url)
    first.append([event("a")])
    first.erase("bo", NOON)
    first.close()
    again = EventStore.open(store_url)
    assert again.of_customer("anna", NOON) == [event("a")]
    assert again.erased_at("bo") == NOON
    again.close()


def test_what_is_erased_is_gone_and_does_not_come_back(store: EventStore) -> None:
    store.append([event("a"), event("b", minutes=1), event("c", "bo")])
    erased = NOON + timedelta(minutes=5)
    assert store.erased_at("anna") is None
    assert store.erase("anna", erased) == 2
    assert store.erased_at("anna") == erased
    assert store.of_customer("anna", NOON) == []
    assert store.of_customer("bo", NOON) == [event("c", "bo")]
    assert [each.event_id for each in store.purchases(None, None)] == ["c"]
    # Sent again by whoever had no answer; and the same person, come back.
    late, anew = event("a"), event("d", minutes=6)
    assert store.append([late, anew]) == [ERASED, STORED]
    assert store.of_customer("anna", NOON) == [anew]
    assert store.erase("anna", erased + timedelta(minutes=5)) == 1
    assert store.erase("nobody", erased) == 0


def test_a_commit_waits_for_the_disk(store_url: str) -> None:
    """A kill does not show it: what the system has, but the disk has not, outlives a process."""
    database = Database(store_url, seconds=5)
    database.create()
    with database.reading() as connection:
        if database.is_sqlite:
            assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
            full = 2
            assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == full
        else:
            assert connection.exec_driver_sql("SHOW synchronous_commit").scalar() == "on"
    database.close()


def test_no_erased_byte_stays_in_the_files(tmp_path: Path) -> None:
    def found() -> bool:
        files = tmp_path.glob("events.sqlite*")
        return any(b"anna-the-first" in file.read_bytes() for file in files)

    store = EventStore.create(str(tmp_path / "events.sqlite"))
    store.append([event(f"{n}", "anna-the-first") for n in range(100)])
    store.append([event(f"bo {n}", "bo") for n in range(100)])
    assert found()
    store.erase("anna-the-first", NOON)
    assert not found()
    assert len(store.of_customer("bo", NOON)) == 100
    store.close()


def test_purchases_between_two_times(store: EventStore) -> None:
    store.append([event(str(n), minutes=n, kind=KINDS[n % 4]) for n in range(40)])
    since, until = NOON + timedelta(minutes=10), NOON + timedelta(minutes=30)
    found = [int(each.event_id) for each in store.purchases(since, until)]
    assert found == [10, 14, 18, 22, 26]
    assert store.count("return", since, until) == 5
    assert store.count("return", None, None) == 10


def test_the_writer_answers_each_request_with_its_own_outcomes(store: EventStore) -> None:
    writer = EventWriter(store, waiting=10_000)
    futures = [
        writer.submit([event(f"{request} {n}", minutes=request) for n in range(request)])
        for request in range(30)
    ]
    again = writer.submit([event("3 0", minutes=3), event("3 1"), event("new")])
    assert [len(future.result(60)) for future in futures] == list(range(30))
    assert again.result(60) == [DUPLICATE, CONFLICT, STORED]
    writer.close()
    assert writer.waiting == 0
    assert len(store.of_customer("anna", NOON)) == sum(range(30)) + 1


def test_the_writer_takes_no_more_than_may_wait(store: EventStore) -> None:
    writer = EventWriter(store, waiting=2)
    with pytest.raises(EventStoreUnavailableError, match="too many events wait"):
        writer.submit([event(str(n)) for n in range(3)])
    writer.submit([event("a"), event("b")]).result(60)
    writer.close()


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("mysql://root:secret@localhost/events", r"cannot be kept in mysql://root:\*\*\*@"),
        ("sqlite://", "give a file's path"),
        ("://", "cannot be read"),
        ("nowhere/at/all/events.sqlite", "there is no folder nowhere/at/all"),
        ("postgresql://modiste:secret@127.0.0.1:1/no", r"modiste:\*\*\*@127.0.0.1:1/no"),
    ],
)
def test_what_is_no_address(url: str, message: str) -> None:
    with pytest.raises(EventStoreError, match=message):
        EventStore.create(url)


def test_what_is_no_store(tmp_path: Path) -> None:
    file = tmp_path / "thesis.txt"
    file.write_text("the only copy " * 1_000)
    with pytest.raises(EventStoreError, match="file is not a database"):
        EventStore.create(str(file))
    with pytest.raises(EventStoreError, match="file is not a database"):
        EventStore.open(str(file))
    assert file.read_text() == "the only copy " * 1_000


def test_a_mistyped_name_makes_no_new_store(tmp_path: Path) -> None:
    with pytest.raises(EventStoreError, match=r"there is no file .*evnts\.sqlite"):
        EventStore.open(str(tmp_path / "evnts.sqlite"))
    assert list(tmp_path.iterdir()) == []
    sqlite3.connect(tmp_path / "other.sqlite").execute("CREATE TABLE things (a)").connection.close()
    with pytest.raises(EventStoreError, match="has no table erasures"):
        EventStore.open(str(tmp_path / "other.sqlite"))
