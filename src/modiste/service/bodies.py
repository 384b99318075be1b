"""Bodies of requests: not longer, and not slower, than they may be."""

from __future__ import annotations

import asyncio
from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from modiste.service.problems import ProblemError, problem_of

# What is left of the body is not waited for.
_CLOSE = {"Connection": "close"}


class BodyLimitMiddleware:
    """Reads each body whole before the application sees it, or refuses it.

    Parameters
    ----------
    app
        Behind it.
    most_bytes
        Of a body, whether its length is told or it comes in chunks.
    seconds
        Within which it has to be there.
    """

    def __init__(self, app: ASGIApp, most_bytes: int, seconds: float) -> None:
        self._app, self._most_bytes, self._seconds = app, most_bytes, seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or let the application answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            body = await asyncio.wait_for(self._read(scope, receive), self._seconds)
        except TimeoutError:
            error = ProblemError(
                HTTPStatus.REQUEST_TIMEOUT,
                f"the request's body was not there within {self._seconds:g} seconds",
                _CLOSE,
            )
            await problem_of(error, scope)(scope, receive, send)
        except ProblemError as error:
            await problem_of(error, scope)(scope, receive, send)
        else:
            if body is not None:
                await self._app(scope, _replayed(body, receive), send)

    async def _read(self, scope: Scope, receive: Receive) -> bytes | None:
        """The whole body; None where the client has gone before its end."""
        told = Headers(scope=scope).get("content-length", "")
        if told.isdecimal() and int(told) > self._most_bytes:
            raise self._too_long()
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return None
            body += message.get("body", b"")
            if len(body) > self._most_bytes:
                raise self._too_long()
            if not message.get("more_body", False):
                return bytes(body)

    def _too_long(self) -> ProblemError:
        return ProblemError(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"a request's body may have {self._most_bytes:,} bytes: send it in several requests",
            _CLOSE,
        )


def _replayed(body: bytes, receive: Receive) -> Receive:
    """Give a body that was read as one message, then what comes after it."""
    first: Message | None = {"type": "http.request", "body": body, "more_body": False}

    async def next_message() -> Message:
        nonlocal first
        if first is None:
            return await receive()
        message, first = first, None
        return message

    return next_message
