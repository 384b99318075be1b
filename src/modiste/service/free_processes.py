"""Connections that find their process at work are closed after the answer.

A client keeps its connections, and each belongs to one of the processes that share the port: most
may be one process's, which then has requests waiting while another has nothing to do. Opened anew,
a connection goes to a process that is free to take it.
"""

from __future__ import annotations

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from modiste.service.turns import Turns


class FreeProcessMiddleware:
    """Asks clients whose request has to wait for others to connect anew for the next one.

    Parameters
    ----------
    app
        Behind it.
    turns
        Of this process's requests.
    """

    def __init__(self, app: ASGIApp, turns: Turns) -> None:
        self._app, self._turns = app, turns

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the application answer."""
        if scope["type"] != "http" or not self._turns.waiting:
            await self._app(scope, receive, send)
            return

        async def send_and_close(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["Connection"] = "close"
            await send(message)

        await self._app(scope, receive, send_and_close)
