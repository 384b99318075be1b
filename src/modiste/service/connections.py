"""Connections whose clients are slow, or never say what they want."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

# Of a request's line and headers. Everything that the API takes fits into a fraction of it.
_MOST_HEADER_BYTES = 65_536


class DeadlineProtocol(HttpToolsProtocol):
    """HTTP/1.1 whose request lines and headers have to come in time, and are not endless.

    uvicorn closes a connection that is idle between two requests after ``timeout_keep_alive``
    seconds; here one whose headers are not complete by then is closed as well.
    """

    _deadline: asyncio.TimerHandle | None = None
    _header_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._wait_for_headers()

    def data_received(self, data: bytes) -> None:
        """Take what has come."""
        waited = self._deadline is not None
        super().data_received(data)
        if self._deadline is not None and waited:
            self._header_bytes += len(data)
            if self._header_bytes > _MOST_HEADER_BYTES:
                self._stop_waiting()
                self.send_400_response("The request's headers are too long.")

    def on_message_begin(self) -> None:
        """Begin to wait for a request's headers."""
        super().on_message_begin()
        self._wait_for_headers()

    def on_headers_complete(self) -> None:
        """Take the request; its body has a limit of its own."""
        self._stop_waiting()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _wait_for_headers(self) -> None:
        self._stop_waiting()
        self._header_bytes = 0
        self._deadline = self.loop.call_later(self.timeout_keep_alive, self._give_up)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        self._deadline = None
        transport: Any = self.transport
        transport.close()
