"""What can be wrong with a store of events."""

from __future__ import annotations

from modiste.errors import ModisteError


class EventStoreError(ModisteError):
    """The store's address is wrong, or what lies there is no store of events."""


class EventStoreUnavailableError(ModisteError):
    """The store cannot be read or written now: its disk is full, it is locked, or it is away.

    Nothing that was being written counts as stored; the same may be tried again.
    """
