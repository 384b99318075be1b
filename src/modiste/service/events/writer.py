"""Group commit: one thread that stores what all requests of a process send.

A commit waits for the disk, and takes as long for a thousand events as for one. What comes while
one is on its way is committed together by the next.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import TypeAlias

from modiste.service.events.errors import EventStoreUnavailableError
from modiste.service.events.event import Event
from modiste.service.events.store import EventStore, Outcome

_Sent: TypeAlias = tuple[Sequence[Event], "Future[list[Outcome]]"]

# Events of one transaction, about.
_TOGETHER = 2_000


class EventWriter:
    """Stores events in the order in which they come.

    Parameters
    ----------
    store
        Where to.
    waiting
        Events that may wait for their commit at most.
    """

    def __init__(self, store: EventStore, waiting: int) -> None:
        self._store = store
        self._most = waiting
        self._waiting = 0
        self._lock = Lock()
        self._sent: SimpleQueue[_Sent | None] = SimpleQueue()
        self._thread = Thread(target=self._write, name="events", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Events that are not committed yet."""
        return self._waiting

    def submit(self, events: Sequence[Event]) -> Future[list[Outcome]]:
        """Have events stored.

        Returns
        -------
        What :meth:`EventStore.append` gives of them or raises, when they are on disk.

        Raises
        ------
        EventStoreUnavailableError
            When too many wait already.
        """
        with self._lock:
            if self._waiting + len(events) > self._most:
                raise EventStoreUnavailableError("too many events wait to be stored")
            self._waiting += len(events)
        future: Future[list[Outcome]] = Future()
        self._sent.put((events, future))
        return future

    def close(self) -> None:
        """End when all that was sent is stored or refused."""
        self._sent.put(None)
        self._thread.join()

    def _write(self) -> None:
        last = False
        while not last:
            together, last = self._next()
            wanted = [each for each in together if each[1].set_running_or_notify_cancel()]
            try:
                outcomes = iter(self._store.append([e for events, _ in wanted for e in events]))
            except Exception as error:  # whoever waits must hear of it, whatever it is
                for _, future in wanted:
                    future.set_exception(error)
            else:
                for events, future in wanted:
                    future.set_result([next(outcomes) for _ in events])
            with self._lock:
                self._waiting -= sum(len(events) for events, _ in together)

    def _next(self) -> tuple[list[_Sent], bool]:
        """What is to be stored together, one at least but at the end; whether it is the last."""
        together: list[_Sent] = []
        found = self._sent.get()
        while found is not None:
            together.append(found)
            if sum(len(events) for events, _ in together) >= _TOGETHER:
                return together, False
            try:
                found = self._sent.get_nowait()
            except Empty:
                return together, False
        return together, True
