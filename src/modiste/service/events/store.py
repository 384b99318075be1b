"""The store of events: appended once, read by customer, erased by customer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from hashlib import blake2b
from typing import Any, Self

import sqlalchemy as sa

from modiste.service.events.database import ERASURES, EVENTS, Database
from modiste.service.events.event import Event
from modiste.service.live_events import EventKind

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

# Rows that are fetched at once of a long answer.
_FETCHED = 10_000

# Rows that are deleted in one transaction: others wait for it to end.
_DELETED = 5_000


class Outcome(StrEnum):
    """What became of an event that was to be appended."""

    STORED = "stored"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"
    ERASED = "erased"


def hash_of(customer_id: str) -> bytes:
    """What remains of a customer who was erased: enough to know the id again, if it comes."""
    return blake2b(customer_id.encode(), digest_size=32).digest()


class EventStore:
    """Events in a database, for many threads; from :meth:`create` or :meth:`open`.

    Parameters
    ----------
    database
        With the tables in it.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    @classmethod
    def create(cls, url: str, seconds: float = 5.0) -> Self:
        """Open the store at an address, an empty one where there is none yet.

        Parameters
        ----------
        url, seconds
            As for :meth:`open`.

        Raises
        ------
        EventStoreError
            When the address is none, or what lies there cannot be used.
        """
        database = Database(url, seconds)
        database.create()
        return cls(database)

    @classmethod
    def open(cls, url: str, seconds: float = 5.0) -> Self:
        """Open the store at an address.

        Parameters
        ----------
        url
            ``postgresql://user@host/name``, ``sqlite:///file``, or the path of a file of SQLite.
        seconds
            For which a statement waits for a lock at most.

        Raises
        ------
        EventStoreError
            When the address is none, there is no store, or it cannot be reached.
        """
        database = Database(url, seconds)
        database.check()
        return cls(database)

    def append(self, events: Sequence[Event]) -> list[Outcome]:
        """Store events, each once, in one transaction that is on disk at the end.

        Returns
        -------
        For each event whether it is stored now; was before, as it is (duplicate) or with other
        contents (conflict: the earlier ones stay); or is of before its customer's data was erased.

        Raises
        ------
        EventStoreUnavailableError
            When the store cannot be written now; none of the events is stored by this call, or, if
            the connection broke at its very end, all may be: send the same ones again.
        """
        if not events:
            return []
        insert = self._database.insert_new().returning(EVENTS.c.event_id)
        with self._database.appending() as connection:
            erased = self._erasures(connection, {each.customer_id for each in events})
            kept = [each for each in events if not _is_erased(each, erased)]
            # An id that is there twice is inserted by its first event.
            firsts = {each.event_id: each for each in reversed(kept)}
            rows = [_row(each) for each in firsts.values()]
            stored = set(connection.scalars(insert, rows)) if rows else set()
            there = self._by_id(connection, firsts.keys() - stored)
        there |= {name: firsts[name] for name in stored}
        outcomes = []
        for each in events:
            if _is_erased(each, erased):
                outcomes.append(Outcome.ERASED)
            elif there[each.event_id] != each:
                outcomes.append(Outcome.CONFLICT)
            elif each.event_id in stored:
                stored.remove(each.event_id)
                outcomes.append(Outcome.STORED)
            else:
                outcomes.append(Outcome.DUPLICATE)
        return outcomes

    def of_customer(self, customer_id: str, since: datetime) -> list[Event]:
        """A customer's events at or after a time, in the order of their times.

        Raises
        ------
        EventStoreUnavailableError
            When the store cannot be read now.
        """
        wanted = sa.select(EVENTS).where(
            EVENTS.c.customer_id == customer_id, EVENTS.c.time >= _microseconds(since)
        )
        with self._database.reading() as connection:
            found = [_event(row) for row in connection.execute(wanted)]
        return sorted(found, key=lambda each: (each.time, each.event_id))

    def purchases(self, since: datetime | None, until: datetime | None) -> Iterator[Event]:
        """All purchases from a time on and before another, in the order of their times.

        Raises
        ------
        EventStoreUnavailableError
            When the store cannot be read now.
        """
        wanted = sa.select(EVENTS).where(EVENTS.c.kind == "purchase", *_between(since, until))
        wanted = wanted.order_by(EVENTS.c.time, EVENTS.c.event_id)
        with self._database.reading() as connection:
            rows = connection.execution_options(yield_per=_FETCHED).execute(wanted)
            for row in rows:
                yield _event(row)

    def count(self, kind: EventKind, since: datetime | None, until: datetime | None) -> int:
        """Number of events of a kind from a time on and before another.

        Raises
        ------
        EventStoreUnavailableError
            When the store cannot be read now.
        """
        wanted = sa.select(sa.func.count()).select_from(EVENTS)
        wanted = wanted.where(EVENTS.c.kind == kind, *_between(since, until))
        with self._database.reading() as connection:
            return connection.execute(wanted).scalar_one()

    def erase(self, customer_id: str, now: datetime) -> int:
        """Delete all events of a customer, and refuse those of before ``now`` that come later.

        Returns
        -------
        Number of events that were deleted.

        Raises
        ------
        EventStoreUnavailableError
            When the store cannot be written now, or its files could not be cleaned at once; do it
            again then.
        """
        row = {"customer_hash": hash_of(customer_id), "time": _microseconds(now)}
        with self._database.erasing() as connection:
            connection.execute(self._database.upsert_erasure(), row)
            deleted = connection.execute(
                sa.delete(EVENTS).where(EVENTS.c.customer_id == customer_id)
            )
        return deleted.rowcount

    def prune(self, until: datetime) -> int:
        """Delete all that is no purchase and happened before a time, a part at a time.

        Purchases stay, for an export has all of them.

        Returns
        -------
        Number of events that were deleted.

        Raises
        ------
        EventStoreUnavailableError
            When the store cannot be written now; a part may be deleted.
        """
        part = sa.select(EVENTS.c.event_id).where(
            EVENTS.c.kind != "purchase", EVENTS.c.time < _microseconds(until)
        )
        wanted = sa.delete(EVENTS).where(EVENTS.c.event_id.in_(part.limit(_DELETED)))
        pruned = 0
        while True:
            with self._database.appending() as connection:
                deleted = connection.execute(wanted).rowcount
            pruned += deleted
            if deleted < _DELETED:
                return pruned

    def erased_at(self, customer_id: str) -> datetime | None:
        """When a customer's data was erased last; None where it never was.

        Nothing that is known of the customer from before that time may be used.

        Raises
        ------
        EventStoreUnavailableError
            When the store cannot be read now.
        """
        with self._database.reading() as connection:
            return self._erasures(connection, {customer_id}).get(customer_id)

    def close(self) -> None:
        """Close all connections."""
        self._database.close()

    def erasures(self, since: datetime) -> dict[bytes, datetime]:
        """Whose data was erased at or after a time, by the hash of the id, and when.

        Raises
        ------
        EventStoreUnavailableError
            When the store cannot be read now.
        """
        wanted = sa.select(ERASURES).where(ERASURES.c.time >= _microseconds(since))
        with self._database.reading() as connection:
            return {
                bytes(row.customer_hash): _datetime(row.time) for row in connection.execute(wanted)
            }

    @staticmethod
    def _erasures(connection: sa.Connection, customers: set[str]) -> dict[str, datetime]:
        """When the data of some customers was erased, of those of whom it was."""
        names = {hash_of(each): each for each in customers}
        wanted = sa.select(ERASURES).where(ERASURES.c.customer_hash.in_(list(names)))
        return {
            names[bytes(row.customer_hash)]: _datetime(row.time)
            for row in connection.execute(wanted)
        }

    @staticmethod
    def _by_id(connection: sa.Connection, names: set[str]) -> dict[str, Event]:
        if not names:
            return {}
        wanted = sa.select(EVENTS).where(EVENTS.c.event_id.in_(names))
        return {row.event_id: _event(row) for row in connection.execute(wanted)}


def _is_erased(event: Event, erasures: dict[str, datetime]) -> bool:
    erased = erasures.get(event.customer_id)
    return erased is not None and event.time <= erased


def _between(since: datetime | None, until: datetime | None) -> list[sa.ColumnElement[bool]]:
    limits = []
    if since is not None:
        limits.append(EVENTS.c.time >= _microseconds(since))
    if until is not None:
        limits.append(EVENTS.c.time < _microseconds(until))
    return limits


def _row(event: Event) -> dict[str, object]:
    return {**event.model_dump(), "time": _microseconds(event.time)}


def _event(row: sa.Row[Any]) -> Event:
    values = row._asdict()
    # What was stored was looked at before.
    return Event.model_construct(**{**values, "time": _datetime(values["time"])})


def _microseconds(time: datetime) -> int:
    return (time - _EPOCH) // _MICROSECOND


def _datetime(microseconds: int) -> datetime:
    return _EPOCH + microseconds * _MICROSECOND
