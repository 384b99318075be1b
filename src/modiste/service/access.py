"""Who may ask for what, and how often: API keys by role, and a rate for each."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from modiste.service.keys import FindsKeys, Key, Role
from modiste.service.problems import ProblemError, problem_of

SCHEME = "Bearer"

# Under /v1, what needs no key: a balancer that asks whether a process is well has none.
_OPEN = ("/v1/health/live", "/v1/health/ready")

_EVENTS = "/v1/events"

_READING = frozenset({"GET", "HEAD", "POST", "OPTIONS"})


def required_role(method: str, path: str) -> Role | None:
    """What a key has to be for; None where none is needed.

    Whatever stands under ``/v1`` needs one unless it is named here, so that nothing new is open by
    mistake. Outside of it are the API's description and the page, which hold no data.
    """
    if path == "/metrics":
        return Role.READ
    if not path.startswith("/v1") or path in _OPEN:
        return None
    if path == _EVENTS:
        return Role.EVENT
    return Role.READ if method in _READING else Role.ADMIN


class TokenBucket:
    """So many requests a second over time, and a few more at once.

    Parameters
    ----------
    per_second
        Over time.
    burst
        At once, after a while without any.
    clock
        Seconds, from whenever.
    """

    def __init__(
        self, per_second: float, burst: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._per_second, self._burst, self._clock = per_second, max(burst, 1.0), clock
        self._tokens, self._time = self._burst, clock()

    def take(self) -> float:
        """Take one; gives 0, or, where there is none, the seconds after which there will be."""
        now = self._clock()
        refilled = self._tokens + (now - self._time) * self._per_second
        self._tokens, self._time = min(self._burst, refilled), now
        if self._tokens < 1:
            return (1 - self._tokens) / self._per_second
        self._tokens -= 1
        return 0.0


class AccessMiddleware:
    """Lets requests through whose key is for them and is not used too often.

    Parameters
    ----------
    app
        Behind it.
    keys
        That are valid; None: there are none, and everything is allowed.
    per_second, burst
        Of a key, in this process.
    """

    def __init__(
        self, app: ASGIApp, keys: FindsKeys | None, per_second: float, burst: float
    ) -> None:
        self._app, self._keys = app, keys
        self._per_second, self._burst = per_second, burst
        self._buckets: dict[Key, TokenBucket] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or let the application answer."""
        if scope["type"] == "http" and self._keys is not None:
            try:
                self._admit(scope, self._keys)
            except ProblemError as error:
                await problem_of(error, scope)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _admit(self, scope: Scope, keys: FindsKeys) -> None:
        """Refuse a request by raising a ProblemError."""
        role = required_role(scope["method"], scope["path"])
        if role is None:
            return
        scheme, _, presented = Headers(scope=scope).get("authorization", "").partition(" ")
        key = keys.find(presented.strip()) if scheme.lower() == SCHEME.lower() else None
        if key is None:
            raise ProblemError(
                HTTPStatus.UNAUTHORIZED,
                f"a valid API key is needed: send the header 'Authorization: {SCHEME} KEY'",
                {"WWW-Authenticate": SCHEME},
            )
        scope.setdefault("state", {})["key_name"] = key.name
        if not key.may(role):
            raise ProblemError(
                HTTPStatus.FORBIDDEN, f"this API key is not for that: it needs the role {role}"
            )
        wait = self._bucket(key).take()
        if wait > 0:
            raise ProblemError(
                HTTPStatus.TOO_MANY_REQUESTS,
                "this API key is used too often: come back later",
                {"Retry-After": str(math.ceil(wait))},
            )

    def _bucket(self, key: Key) -> TokenBucket:
        bucket = self._buckets.get(key)
        if bucket is None:
            per_second, burst = self._per_second, self._burst
            if key.requests_per_second is not None:
                burst *= key.requests_per_second / per_second
                per_second = key.requests_per_second
            bucket = self._buckets[key] = TokenBucket(per_second, burst)
        return bucket
