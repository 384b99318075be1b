"""The store as the live events that answers count."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from typing import TypeVar

from modiste.service.events.errors import EventStoreUnavailableError
from modiste.service.events.event import can_be_id
from modiste.service.events.store import EventStore, hash_of
from modiste.service.live_events import LiveEvent, LiveEventsUnavailableError

Found = TypeVar("Found")

# By which the clocks of several services over one store may differ, and a commit may take.
_OVERLAP = timedelta(minutes=10)

_logger = logging.getLogger("modiste.service.events")


class StoredLiveEvents:
    """Live events of a store, and who was erased from it.

    When it could not be read, it is asked again every few seconds by a thread of its own, and
    until it answers no request waits for it: a server that is away can take long to say so.

    Parameters
    ----------
    store
        Of events. It has to be readable now: all who were erased are read at once, so that they are
        known when it is not readable later.
    retry_seconds
        For which it is left alone each time that it could not be read.
    failed
        What is done beside the log when it cannot be read.

    Raises
    ------
    EventStoreUnavailableError
        When the store cannot be read.
    """

    def __init__(self, store: EventStore, retry_seconds: float, failed: Callable[[], None]) -> None:
        self._store, self._retry_seconds, self._failed = store, retry_seconds, failed
        self._lock = threading.Lock()
        self._asking_again = False
        self._closed = threading.Event()
        self._erased: set[bytes] = set()
        self._latest_erasure = datetime(1970, 1, 1, tzinfo=UTC) + _OVERLAP
        self._learn_erasures()

    def of_customer(self, customer_id: str, since: date) -> Sequence[LiveEvent]:
        """A customer's events from a day (UTC) on, the earliest first; none of who is not known.

        Raises
        ------
        LiveEventsUnavailableError
            When the store cannot be read now.
        """
        if not can_be_id(customer_id):
            return []
        first = datetime.combine(since, datetime.min.time(), UTC)
        return [
            LiveEvent(each.article_id, each.kind, each.time, each.price, each.channel)
            for each in self._read(lambda: self._store.of_customer(customer_id, first))
        ]

    def is_erased(self, customer_id: str) -> bool:
        """Whether all that a bundle holds of a customer is to be taken for unknown.

        While the store cannot be read: whether it was so when it could be read last.
        """
        if not can_be_id(customer_id):
            return False
        # That it cannot be read, whoever asks for the events is told.
        with suppress(LiveEventsUnavailableError):
            self._read(self._learn_erasures)
        return hash_of(customer_id) in self._erased

    def _learn_erasures(self) -> None:
        """Read who was erased since this was done last, in any process."""
        found = self._store.erasures(self._latest_erasure - _OVERLAP)
        self._erased.update(found)
        self._latest_erasure = max([self._latest_erasure, *found.values()])

    def close(self) -> None:
        """Ask no more; the store can be closed then."""
        self._closed.set()

    def _read(self, read: Callable[[], Found]) -> Found:
        if self._asking_again:
            raise LiveEventsUnavailableError("the event store could not be read a moment ago")
        try:
            return read()
        except EventStoreUnavailableError as error:
            self._note(error)
            self._ask_again()
            raise LiveEventsUnavailableError(str(error)) from error

    def _ask_again(self) -> None:
        with self._lock:
            if self._asking_again:
                return
            self._asking_again = True
        threading.Thread(target=self._until_readable, name="event-store", daemon=True).start()

    def _until_readable(self) -> None:
        while not self._closed.wait(self._retry_seconds):
            try:
                self._learn_erasures()
            except EventStoreUnavailableError as error:
                self._note(error)
            else:
                self._asking_again = False
                return

    def _note(self, error: EventStoreUnavailableError) -> None:
        self._failed()
        _logger.warning(str(error))
