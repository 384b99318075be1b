"""How long this process took for its latest answers, by operation of the API."""

from __future__ import annotations

import time
from collections import defaultdict, deque

import numpy as np
from fastapi import APIRouter, Request
from fastapi.routing import APIRoute
from pydantic import BaseModel, Field
from starlette.types import ASGIApp, Receive, Scope, Send

# Answers of an operation that are remembered.
_REMEMBERED = 1_000


class OperationLatency(BaseModel):
    """The latest answers of one of the API's operations."""

    operation: str = Field(
        description="Its summary in the API's description.", examples=["Articles for a customer"]
    )
    answers: int = Field(description="The latest so many of this process, 1,000 at most.")
    p50_ms: float = Field(description="Half of them took no longer, in milliseconds.")
    p99_ms: float
    max_ms: float


class Latencies:
    """Times of one process's answers, from the request's headers to the end of the answer."""

    def __init__(self) -> None:
        self._seconds: defaultdict[str, deque[float]] = defaultdict(
            lambda: deque(maxlen=_REMEMBERED)
        )

    def note(self, operation: str, seconds: float) -> None:
        """Remember one answer."""
        self._seconds[operation].append(seconds)

    def by_operation(self) -> list[OperationLatency]:
        """What is remembered, operations in the order of their names."""
        found = []
        for operation in sorted(self._seconds):
            ms = np.array(self._seconds[operation]) * 1_000
            p50, p99 = np.percentile(ms, [50, 99])
            found.append(
                OperationLatency(
                    operation=operation, answers=len(ms), p50_ms=p50, p99_ms=p99, max_ms=ms.max()
                )
            )
        return found


class LatencyMiddleware:
    """Times the answers of all operations that the API's description names.

    Parameters
    ----------
    app
        Behind it.
    latencies
        That remember.
    """

    def __init__(self, app: ASGIApp, latencies: Latencies) -> None:
        self._app, self._latencies = app, latencies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the application answer."""
        started = time.perf_counter()
        try:
            await self._app(scope, receive, send)
        finally:
            # By what the API calls it, not by its path: that has ids of people in it.
            route = scope.get("route")
            if isinstance(route, APIRoute) and route.include_in_schema and route.summary:
                self._latencies.note(route.summary, time.perf_counter() - started)


def latency_router() -> APIRouter:
    """The endpoint."""
    router = APIRouter(tags=["service"])

    @router.get("/latencies", summary="How long answers took")
    async def latencies(request: Request) -> list[OperationLatency]:
        """By operation, of this process alone: others that answer beside it have their own."""
        found: Latencies = request.app.state.latencies
        return found.by_operation()

    return router
