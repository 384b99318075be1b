"""Each request gets an id, a line in the log, and is counted."""

from __future__ import annotations

import logging
import re
import time
from uuid import uuid4

from fastapi.routing import APIRoute
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from modiste.service.metrics import ServiceMetrics

REQUEST_ID = "X-Request-ID"

# Of ids that others give: what can stand in a log as it is.
_PLAIN_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

_logger = logging.getLogger("modiste.service.requests")


class ObservingMiddleware:
    """Observes requests; stands in front of everything that may refuse one.

    Parameters
    ----------
    app
        Behind it.
    metrics
        That count.
    """

    def __init__(self, app: ASGIApp, metrics: ServiceMetrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the application answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get(REQUEST_ID, "")
        request_id = given if _PLAIN_ID.fullmatch(given) else uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id
        status = 500  # of whoever raises something unforeseen before anything is sent

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[REQUEST_ID] = request_id
            await send(message)

        started = time.perf_counter()
        try:
            with self._metrics.in_progress.track_inprogress():
                await self._app(scope, receive, send_with_id)
        except Exception:
            _logger.exception("request failed", extra={"fields": {"request_id": request_id}})
            raise
        finally:
            self._note(scope, request_id, status, time.perf_counter() - started)

    def _note(self, scope: Scope, request_id: str, status: int, seconds: float) -> None:
        method = scope["method"] if scope["method"] in _METHODS else "other"
        route = _template(scope)
        self._metrics.requests.labels(method, route, status).inc()
        self._metrics.seconds.labels(route).observe(seconds)
        fields = {
            "request_id": request_id,
            "method": method,
            "route": route,
            "status": status,
            "milliseconds": round(seconds * 1_000, 1),
            "key": scope["state"].get("key_name"),
        }
        _logger.info("request", extra={"fields": fields})


def _template(scope: Scope) -> str:
    """The path as its route has it, such as ``/v1/customers/{customer_id}``; "none" without one.

    The path itself has ids of people in it.
    """
    route = scope.get("route")
    template: str = getattr(route, "path", "none")
    if not isinstance(route, APIRoute) or ":path}" in template:
        return template
    # A route of a router in another router knows no prefix of the outer one. It is what the path
    # has in front: each of the template's segments stands for one of the path's.
    segments = scope["path"].split("/")
    return "/".join(segments[: len(segments) - template.count("/")]) + template
