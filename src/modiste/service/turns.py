"""Turns: ranking is work for one core, so requests take turns in one thread of a process.

Two rankings at once on one core take each twice as long; one after the other, the first is done in
half the time and the second not later. The event loop stays free to take requests, to answer the
cheap ones, and to refuse what has no hope.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import TypeVar

from modiste.service.problems import ProblemError
from modiste.service.settings import LimitSettings

Answer = TypeVar("Answer")


class Turns:
    """One thread that does the work of requests, in the order in which they came.

    Parameters
    ----------
    limits
        How many may wait, and how long.
    """

    def __init__(self, limits: LimitSettings) -> None:
        self._limits = limits
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ranking")
        self._waiting = 0

    @property
    def waiting(self) -> int:
        """Requests that wait or are at work."""
        return self._waiting

    @property
    def full(self) -> bool:
        """Whether the next one would be refused."""
        return self._waiting >= self._limits.waiting

    async def take(self, work: Callable[[], Answer]) -> Answer:
        """Do some work when it is its turn, and give what it gives.

        Raises
        ------
        ProblemError
            With status 503 when too many wait already, or it took too long.
        """
        if self.full:
            raise ProblemError(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "too many requests are waiting: come back in a second",
                {"Retry-After": "1"},
            )
        self._waiting += 1
        # Counted until it is really done: one that was given up still has the thread.
        future = self._thread.submit(work)
        loop = asyncio.get_running_loop()
        future.add_done_callback(lambda _: loop.call_soon_threadsafe(self._done))
        try:
            # Given up while it waits, it is never begun.
            return await asyncio.wait_for(asyncio.wrap_future(future), self._limits.seconds)
        except TimeoutError as error:
            raise ProblemError(
                HTTPStatus.SERVICE_UNAVAILABLE,
                f"no answer within {self._limits.seconds:g} seconds: come back in a second",
                {"Retry-After": "1"},
            ) from error

    def _done(self) -> None:
        self._waiting -= 1

    def close(self) -> None:
        """End the thread when its work is done; what waits is not begun."""
        self._thread.shutdown(wait=True, cancel_futures=True)
